//! Links of analyses → the topic of links, as if the stream had found them.
//!
//! Input: the links of a batch analysis. Output: records as the link stage sends them, keyed by
//! problem id, from a thread of their own. Who found them waits for nothing: a bus that is away is
//! tried again until it is there, and meanwhile a bounded amount of links waits in memory; what
//! has no room is not published, and that is told.
//!
//! A record may be sent twice, after a failure or when logs are analysed again; the id of a link
//! is made of what it links, so that who reads knows it.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bus::{Bus, BusError, MAX_RECORD, Outgoing};
use linking::Linked;
use metrics::counter;
use report::{Judge, LinkRecord};

use crate::Names;
use crate::stage::{LOOK, keep_working};

/// The most links of one analysis that are published. A person who is alerted reads no more, and
/// one upload must not drown what the stream finds.
pub const MOST_LINKS: u64 = 10_000;

/// The most bytes of links that wait to be sent, of all analyses together.
const WAITING: usize = 64 * 1024 * 1024;

/// How long what waits is still sent when the process ends.
const LAST: Duration = Duration::from_secs(2);

/// The name of this in logs and metrics.
const STAGE: &str = "publish";

/// What became of the links of one analysis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Links that are sent.
    pub accepted: u64,
    /// Links that are larger than the bus takes.
    pub too_large: u64,
    /// Links beyond the most, or for which there was no room.
    pub left: u64,
}

/// Publishes links from a thread of its own, which ends when this is dropped.
pub struct Publisher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    topic: String,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Problem id and JSON, in the order of their coming.
    waiting: VecDeque<(u64, Vec<u8>)>,
    bytes: usize,
    /// When nothing more is sent.
    end: Option<Instant>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Publisher {
    /// A publisher to the topic of links of a suite.
    pub fn new(bus: Arc<dyn Bus>, names: &Names) -> Publisher {
        let topic = names.links();
        let shared = Arc::new(Shared { topic, state: Mutex::default(), changed: Condvar::new() });
        let sender = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name(STAGE.to_owned())
            .spawn(move || sender.work(bus.as_ref()))
            .inspect_err(|error| tracing::error!(%error, "links of uploads are not published"));
        Publisher { shared, thread: thread.ok() }
    }

    /// Takes the links of an analysis for sending, and returns at once.
    pub fn publish(&self, linked: &Linked, judge: &Judge, count: u64) -> Published {
        let mut published = Published::default();
        let (mut room, mut records) = (self.room(), Vec::new());
        for link in linked.links().take(MOST_LINKS as usize) {
            let key = link.row.problem_id;
            let record = LinkRecord::new(link, linked.dictionary(), judge);
            let json = serde_json::to_vec(&record).expect("texts and numbers are JSON");
            // The key is a number of 20 digits at most.
            if json.len() + 20 > MAX_RECORD {
                published.too_large += 1;
                continue;
            }
            let Some(rest) = room.checked_sub(json.len()) else { break };
            room = rest;
            records.push((key, json));
        }
        published.accepted = records.len() as u64;
        published.left = count - published.accepted - published.too_large;
        counter!("foreshock_upload_links_published_total").increment(published.accepted);
        counter!("foreshock_upload_links_not_published_total")
            .increment(published.left + published.too_large);
        self.shared.add(records);
        published
    }

    /// Bytes that may still wait.
    fn room(&self) -> usize {
        match self.thread {
            Some(_) => WAITING.saturating_sub(self.shared.lock().bytes),
            None => 0,
        }
    }
}

impl Drop for Publisher {
    /// Waits a moment for what was taken.
    fn drop(&mut self) {
        self.shared.lock().end = Some(Instant::now() + LAST);
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn add(&self, records: Vec<(u64, Vec<u8>)>) {
        let mut state = self.lock();
        state.bytes += records.iter().map(|(_, json)| json.len()).sum::<usize>();
        state.waiting.extend(records);
        drop(state);
        self.changed.notify_all();
    }

    fn work(&self, bus: &dyn Bus) {
        let is_over = || self.lock().end.is_some_and(|end| Instant::now() >= end);
        let send = || match self.send(bus, &is_over) {
            Err(BusError::Refused(reason)) => {
                // It would be refused again: what comes later may not be.
                let lost = self.forget_all();
                tracing::error!(reason, lost, "links of uploads are refused");
                Err(BusError::Unavailable(reason).into())
            }
            other => Ok(other?),
        };
        // What is temporary is tried again until the end, and nothing else is left.
        let _ = keep_working(STAGE, &is_over, send);
        let lost = self.forget_all();
        if lost > 0 {
            tracing::warn!(lost, "links of uploads were not published before the end");
        }
    }

    /// Sends what comes, until the end.
    fn send(&self, bus: &dyn Bus, is_over: &dyn Fn() -> bool) -> Result<(), BusError> {
        let mut producer = None;
        while self.wait() && !is_over() {
            let producer = match &mut producer {
                Some(producer) => producer,
                // Who publishes nothing keeps no connection.
                none => none.insert(bus.producer()?),
            };
            // A record is forgotten when the bus has it: so many were accepted in this turn.
            let mut sent = 0;
            while let Some((key, json)) = self.record(sent) {
                let key = key.to_string();
                let record =
                    Outgoing { topic: &self.topic, key: Some(key.as_bytes()), payload: &json };
                match producer.send(&record)? {
                    true => sent += 1,
                    false => break,
                }
            }
            while !producer.flush(LOOK)? {
                if is_over() {
                    return Ok(());
                }
            }
            self.forget(sent);
        }
        Ok(())
    }

    /// Waits until there is something to send. Returns `false` when there is nothing, and nothing
    /// more comes.
    fn wait(&self) -> bool {
        let mut state = self.lock();
        while state.waiting.is_empty() {
            if state.end.is_some() {
                return false;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        true
    }

    fn record(&self, place: usize) -> Option<(u64, Vec<u8>)> {
        self.lock().waiting.get(place).cloned()
    }

    fn forget_all(&self) -> usize {
        let count = self.lock().waiting.len();
        self.forget(count);
        count
    }

    fn forget(&self, count: usize) {
        let mut state = self.lock();
        let bytes: usize = state.waiting.drain(..count).map(|(_, json)| json.len()).sum();
        state.bytes -= bytes;
    }
}
