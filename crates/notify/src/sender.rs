//! The one loop that sends.
//!
//! Input: what waits in the database, for whom. Output: calls, and what they came to, back in the
//! database. Invariants: one call at a time for each chat and webhook, so order is kept; a call begins
//! only when the limits allow it and after the database knows of it; what failed for now is tried again
//! with growing pauses, what failed for ever is settled.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::alert::{self, Counts, TOGETHER, Table};
use crate::limits::{Limits, millis};
use crate::notifier::{Notifier, backoff, now};
use crate::outcome::{Call, Lane, What, accepted, aside, meter, refused};
use crate::plan::{self, NEVER, Rules, Step, Waiting};
use crate::record::Record;
use crate::store::{Change, Digest, Millis, Old, Place, Receiver, Settle, To};
use crate::telegram::Failure;
use crate::{NotifyError, text};

/// How long calls in flight may take when it is time to stop.
const LAST_CALLS: Duration = Duration::from_secs(5);

/// How often what is of no more use is removed.
const TIDY: Millis = 5_000;

/// Whoever says to wait is not believed longer.
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);

/// Problems that a digest names.
const NAMED: usize = 8;

/// Links of a file that are read at once.
const CHUNK: usize = 200;

type Ended = (Call, Result<i32, Failure>);

/// A lane whose last call failed.
#[derive(Default)]
struct Trouble {
    failures: u32,
    until: Millis,
}

/// The loop.
pub(crate) struct Sender<'a> {
    notifier: &'a Notifier,
    limits: Limits,
    rules: Rules,
    began: Instant,
    running: FuturesUnordered<BoxFuture<'a, Ended>>,
    busy: HashSet<Lane>,
    trouble: HashMap<Lane, Trouble>,
    /// The receiver that was served last: others come first.
    turn: i64,
    tidied: Millis,
}

/// What all receivers share at a moment.
struct Outbox {
    now: Millis,
    last: i64,
    last_found: Millis,
    /// The last link from before the time that storms are counted in.
    before: i64,
    storms: HashMap<i64, bool>,
}

impl<'a> Sender<'a> {
    /// A loop that knows what was sent before. With `only`, webhooks that are not set are not told any
    /// more.
    pub fn new(notifier: &'a Notifier, only: bool) -> Result<Sender<'a>, NotifyError> {
        let (store, pace) = (&notifier.store, &notifier.settings.pace);
        store.set_webhooks(&notifier.webhooks.endpoints(), only)?;
        let mut limits = Limits::new(pace);
        let wall = now();
        for (chat, end) in store.calls_since(wall - millis(pace.minute), wall)? {
            limits.note(chat, (end - wall).min(0));
        }
        for (chat, until) in store.pauses(wall)? {
            match chat {
                0 => limits.pause_all(until - wall),
                chat => drop(limits.pause(chat, until - wall, NEVER)),
            }
        }
        Ok(Sender {
            notifier,
            limits,
            rules: Rules::new(pace),
            began: Instant::now(),
            running: FuturesUnordered::new(),
            busy: HashSet::new(),
            trouble: HashMap::new(),
            turn: 0,
            tidied: NEVER,
        })
    }

    /// Sends until it is time to stop, and lets calls in flight end then.
    pub async fn run(&mut self, stopped: &CancellationToken) -> Result<(), NotifyError> {
        while !stopped.is_cancelled() {
            self.tidy()?;
            let next = self.begin_all()?;
            let pause = u64::try_from(next - self.clock()).unwrap_or(0);
            tokio::select! {
                Some(ended) = self.running.next(), if !self.running.is_empty() => self.end(ended)?,
                () = self.notifier.wake.notified() => {}
                () = tokio::time::sleep(Duration::from_millis(pause)) => {}
                () = stopped.cancelled() => {}
            }
        }
        let deadline = tokio::time::Instant::now() + LAST_CALLS;
        while let Ok(Some(ended)) = tokio::time::timeout_at(deadline, self.running.next()).await {
            self.end(ended)?;
        }
        Ok(())
    }

    /// Milliseconds since this loop began; unlike the wall clock they only go forward.
    fn clock(&self) -> Millis {
        millis(self.began.elapsed())
    }

    /// Begins every call that may begin; gives the time to look again at.
    fn begin_all(&mut self) -> Result<Millis, NotifyError> {
        let mut next = self.clock() + millis(self.notifier.settings.pace.look);
        let bot = self.notifier.telegram.is_some() && !self.notifier.is_refused();
        if bot {
            for reply in self.notifier.store.replies()? {
                let lane = Lane::Chat(reply.place.chat);
                match self.free_at(&lane) {
                    Some(at) if at > self.clock() => next = next.min(at),
                    Some(_) => self.say(lane, reply.place, 0, What::Reply(reply.id), reply.html)?,
                    None => {}
                }
            }
        }
        let mut outbox = self.outbox()?;
        let mut receivers = self.notifier.store.receivers()?;
        let turn = self.turn;
        receivers.sort_by_key(|receiver| (receiver.id <= turn, receiver.id));
        for receiver in receivers {
            let at = match &receiver.to {
                To::Chat(_) if !bot => continue,
                To::Webhook(endpoint) if !self.notifier.webhooks.has(endpoint) => continue,
                To::Chat(place) => self.serve(&receiver, *place, &mut outbox)?,
                To::Webhook(endpoint) => self.post(&receiver, endpoint, &outbox)?,
            };
            next = next.min(at);
        }
        Ok(next)
    }

    fn outbox(&self) -> Result<Outbox, NotifyError> {
        let store = &self.notifier.store;
        let (now, (last, last_found)) = (now(), store.last()?);
        let before = store.last_before(now - self.rules.calm)?;
        Ok(Outbox { now, last, last_found, before, storms: HashMap::new() })
    }

    /// When a lane may be used: now, later, or after what is in flight.
    fn free_at(&self, lane: &Lane) -> Option<Millis> {
        if self.busy.contains(lane) {
            return None;
        }
        let trouble = self.trouble.get(lane).map_or(0, |trouble| trouble.until);
        match lane {
            Lane::Chat(chat) => Some(self.limits.free_at(*chat, self.clock())?.max(trouble)),
            Lane::Webhook(_) => Some(trouble),
        }
    }

    /// Takes the next step for a chat, if there is one and it may be taken; gives the time to look
    /// again at.
    fn serve(
        &mut self,
        receiver: &Receiver,
        place: Place,
        outbox: &mut Outbox,
    ) -> Result<Millis, NotifyError> {
        if receiver.digest.is_none() && outbox.last <= receiver.position {
            return Ok(NEVER);
        }
        let lane = Lane::Chat(place.chat);
        match self.free_at(&lane) {
            None => return Ok(NEVER),
            Some(at) if at > self.clock() => return Ok(at),
            Some(_) => {}
        }
        let records = match receiver.digest {
            None => self.first_problem(receiver)?,
            Some(_) => Problem::default(),
        };
        let waiting = Waiting {
            last: outbox.last,
            last_found: outbox.last_found,
            first_found: records.found,
            another: records.another,
            storm: self.is_storm(receiver, outbox)?,
        };
        let upto = outbox.last;
        let links = count(upto - receiver.position);
        let (what, html) = match plan::step(outbox.now, receiver, &waiting, &self.rules) {
            Step::Rest(NEVER) => return Ok(NEVER),
            Step::Rest(until) => return Ok(self.clock() + (until - outbox.now)),
            Step::Alert if records.records.is_empty() => {
                // One that cannot be read must not hold up the rest.
                let skip = Settle::Failed(receiver.id, receiver.position + 1, 1);
                self.notifier.store.settle(None, &[skip], outbox.now)?;
                return Ok(0);
            }
            Step::Alert => {
                let (html, told) = alert::message(&records.records, receiver.language);
                let last = records.seqs.get(told - 1).copied().unwrap_or(receiver.position);
                (What::Links(last, told as u64), html)
            }
            Step::OpenDigest => {
                (What::Open(upto, links), self.digest(receiver, outbox.now, upto, false)?)
            }
            Step::EditDigest(digest) => {
                (What::Edit(upto, None), self.digest(receiver, digest.since, upto, false)?)
            }
            Step::EndDigest(digest) => {
                (What::Edit(upto, Some(upto)), self.digest(receiver, digest.since, upto, true)?)
            }
            Step::SendFile(upto) => {
                self.send_file(lane, receiver, place, upto)?;
                return Ok(NEVER);
            }
        };
        match (what, receiver.digest) {
            (What::Edit(..), Some(digest)) => {
                self.edit(lane, receiver, place, digest, what, html)?
            }
            _ => self.say(lane, place, receiver.id, what, html)?,
        }
        Ok(NEVER)
    }

    /// The links of the problem that waits first.
    fn first_problem(&self, receiver: &Receiver) -> Result<Problem, NotifyError> {
        let mut problem = Problem::default();
        let mut key = None;
        for link in self.notifier.store.behind(receiver.position, TOGETHER + 1)? {
            let Ok(record) = Record::read(&link.json) else {
                problem.another = true;
                break;
            };
            let this = record.problem_key();
            if *key.get_or_insert_with(|| this.clone()) != this || problem.seqs.len() == TOGETHER {
                problem.another = true;
                break;
            }
            if problem.seqs.is_empty() {
                problem.found = link.found;
            }
            problem.seqs.push(link.seq);
            problem.records.push(record);
        }
        Ok(problem)
    }

    /// Whether more was found for a receiver within a while, or waits, than it is to be told one by one.
    fn is_storm(&self, receiver: &Receiver, outbox: &mut Outbox) -> Result<bool, NotifyError> {
        let most = self.notifier.settings.storm;
        if most == 0 {
            return Ok(false);
        }
        let floor = receiver.position.min(outbox.before).max(receiver.joined);
        if let Some(storm) = outbox.storms.get(&floor) {
            return Ok(*storm);
        }
        let links = count(outbox.last - floor);
        let storm = links > most
            && (links > most.saturating_mul(TOGETHER as u64)
                || self.notifier.store.problems_behind(floor, most + 1)? > most);
        outbox.storms.insert(floor, storm);
        Ok(storm)
    }

    fn digest(
        &self,
        receiver: &Receiver,
        since: Millis,
        upto: i64,
        over: bool,
    ) -> Result<String, NotifyError> {
        let most = self.notifier.store.most_frequent(receiver.position, upto, NAMED)?;
        let links = count(upto - receiver.position);
        Ok(alert::digest(&Counts { links, most, since, over }, receiver.language))
    }

    fn send_file(
        &mut self,
        lane: Lane,
        receiver: &Receiver,
        place: Place,
        upto: i64,
    ) -> Result<(), NotifyError> {
        let mut table = Table::new()?;
        let mut after = receiver.position;
        'file: while after < upto {
            let links = self.notifier.store.behind(after, CHUNK)?;
            if links.is_empty() {
                break;
            }
            for link in links.iter().take_while(|link| link.seq <= upto) {
                after = link.seq;
                if !table.add(link)? {
                    break 'file;
                }
            }
            after = after.max(links.last().map_or(upto, |link| link.seq));
        }
        let (last, rows) = (table.upto.max(receiver.position), table.rows);
        let caption = match receiver.language {
            crate::store::Language::En => format!("{rows} links, one a row"),
            crate::store::Language::Ru => format!("Связей: {rows}, каждая в своей строке"),
        };
        let stamp = Timestamp::now().strftime("%Y-%m-%d-%H%M%S");
        let name = format!("links-{stamp}.csv");
        let csv = table.finish()?;
        let what = What::Links(last, count(last - receiver.position));
        let Some(telegram) = &self.notifier.telegram else { return Ok(()) };
        self.begin(lane, place, receiver.id, what, async move {
            telegram.file(place, &name, csv, &caption).await
        })
    }

    fn say(
        &mut self,
        lane: Lane,
        place: Place,
        receiver: i64,
        what: What,
        html: String,
    ) -> Result<(), NotifyError> {
        let Some(telegram) = &self.notifier.telegram else { return Ok(()) };
        debug_assert!(text::width(&html) <= alert::LONGEST);
        self.begin(lane, place, receiver, what, async move { telegram.send(place, &html).await })
    }

    fn edit(
        &mut self,
        lane: Lane,
        receiver: &Receiver,
        place: Place,
        digest: Digest,
        what: What,
        html: String,
    ) -> Result<(), NotifyError> {
        let Some(telegram) = &self.notifier.telegram else { return Ok(()) };
        self.begin(lane, place, receiver.id, what, async move {
            telegram.edit(place, digest.message, &html).await
        })
    }

    /// Posts the link that waits first; gives the time to look again at.
    fn post(
        &mut self,
        receiver: &Receiver,
        endpoint: &str,
        outbox: &Outbox,
    ) -> Result<Millis, NotifyError> {
        if outbox.last <= receiver.position {
            return Ok(NEVER);
        }
        let lane = Lane::Webhook(endpoint.to_owned());
        match self.free_at(&lane) {
            None => return Ok(NEVER),
            Some(at) if at > self.clock() => return Ok(at),
            Some(_) => {}
        }
        let Some(link) = self.notifier.store.behind(receiver.position, 1)?.pop() else {
            return Ok(NEVER);
        };
        let what = What::Links(link.seq, 1);
        let (webhooks, endpoint) = (&self.notifier.webhooks, endpoint.to_owned());
        let place = Place { chat: 0, topic: 0 };
        self.begin(lane, place, receiver.id, what, async move {
            let record = Record::read(&link.json);
            let record = record.map_err(|error| Failure::Refused(error.to_string()))?;
            webhooks.post(&endpoint, &link, &record, Timestamp::now()).await
        })?;
        Ok(NEVER)
    }

    /// Begins a call, after the database and the limits know of it.
    fn begin(
        &mut self,
        lane: Lane,
        place: Place,
        receiver: i64,
        what: What,
        call: impl Future<Output = Result<i32, Failure>> + Send + 'a,
    ) -> Result<(), NotifyError> {
        let number = match &lane {
            Lane::Chat(chat) => {
                let number = self.notifier.store.begin_call(*chat)?;
                self.limits.begin(*chat);
                Some(number)
            }
            Lane::Webhook(_) => None,
        };
        if receiver > 0 {
            self.turn = receiver;
        }
        self.busy.insert(lane.clone());
        let about = Call { lane, number, place, receiver, what };
        self.running.push(async move { (about, call.await) }.boxed());
        Ok(())
    }

    /// Settles a call.
    fn end(&mut self, (call, result): Ended) -> Result<(), NotifyError> {
        self.busy.remove(&call.lane);
        if let Lane::Chat(chat) = call.lane {
            self.limits.end(chat, self.clock());
        }
        let settles = match result {
            Ok(message) => {
                self.recovered(&call.lane);
                accepted(&call, message)
            }
            Err(failure) => self.failed(&call, failure),
        };
        for settle in &settles {
            meter(&call.lane, settle);
        }
        self.notifier.store.settle(call.number, &settles, now())
    }

    fn recovered(&mut self, lane: &Lane) {
        if self.trouble.remove(lane).is_some_and(|trouble| trouble.failures > 0) {
            tracing::info!(to = ?lane, "alerts arrive again");
        }
    }

    /// What to do after a failure: all of it is here.
    fn failed(&mut self, call: &Call, failure: Failure) -> Vec<Settle> {
        let chat = call.place.chat;
        match failure {
            Failure::Later(reason) | Failure::Conflict(reason) => {
                self.retry(&call.lane, &reason);
                Vec::new()
            }
            Failure::Wait(time) => self.wait(call, time.min(LONGEST_WAIT)),
            Failure::Moved(to) => vec![Settle::Change(Change::Move(chat, to))],
            Failure::Closed(reason) => {
                tracing::info!(chat, reason, "a chat is closed to the bot and is set aside");
                aside(chat, call)
            }
            Failure::Refused(reason) if reason.to_lowercase().contains("chat not found") => {
                tracing::info!(chat, reason, "a chat is no more and is set aside");
                aside(chat, call)
            }
            Failure::Refused(reason) => {
                self.trouble.remove(&call.lane);
                refused(call, &reason)
            }
            Failure::Token(reason) => {
                self.notifier.refuse(reason);
                Vec::new()
            }
        }
    }

    fn retry(&mut self, lane: &Lane, reason: &str) {
        let (pace, clock) = (&self.notifier.settings.pace, self.clock());
        let trouble = self.trouble.entry(lane.clone()).or_default();
        trouble.failures += 1;
        let pause = backoff(trouble.failures, pace.retry, pace.longest_retry);
        trouble.until = clock + millis(pause);
        if trouble.failures == 1 {
            tracing::warn!(to = ?lane, reason, "an alert did not arrive; it is tried again");
        }
    }

    fn wait(&mut self, call: &Call, time: Duration) -> Vec<Settle> {
        let (clock, wall, time) = (self.clock(), now(), millis(time));
        match call.lane {
            Lane::Webhook(_) => {
                self.trouble.entry(call.lane.clone()).or_default().until = clock + time;
                Vec::new()
            }
            Lane::Chat(chat) => {
                tracing::debug!(chat, time, "Telegram says to wait");
                let mut settles = vec![Settle::Pause(chat, wall + time)];
                if self.limits.pause(chat, clock + time, clock) {
                    settles.push(Settle::Pause(0, wall + time));
                }
                settles
            }
        }
    }

    /// Removes what is of no more use, now and then, and tells metrics what there is.
    fn tidy(&mut self) -> Result<(), NotifyError> {
        let clock = self.clock();
        if self.tidied != NEVER && clock - self.tidied < TIDY {
            return Ok(());
        }
        self.tidied = clock;
        self.limits.tidy(clock);
        let (settings, now) = (&self.notifier.settings, now());
        let old = Old {
            links: now - self.rules.calm,
            keep: now - millis(settings.keep),
            calls: now - millis(settings.pace.minute),
            told: now - millis(settings.repeat),
        };
        let given_up = self.notifier.store.tidy(&old, now)?;
        if given_up > 0 {
            tracing::warn!(
                given_up,
                "alerts that could not be delivered for too long are given up"
            );
        }
        let totals = self.notifier.store.totals()?;
        metrics::gauge!("foreshock_alerts_waiting").set(totals.waiting as f64);
        metrics::gauge!("foreshock_subscribers").set(totals.chats as f64);
        Ok(())
    }
}

/// The links of a problem that wait.
#[derive(Default)]
struct Problem {
    records: Vec<Record>,
    seqs: Vec<i64>,
    found: Millis,
    another: bool,
}

fn count(links: i64) -> u64 {
    u64::try_from(links).unwrap_or(0)
}
