//! What is read of the logs: by one process, and by all together.
//!
//! Each process that matches counts what it reads, and tells it to a small topic every two seconds
//! when it changed. Counts are sums since its start, so that a report that comes twice, or never,
//! does no harm. Whoever wants to know follows the topic from its start and adds the processes up.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bus::{Bus, BusError, Outgoing, Producer};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::stage::{LOOK, StageError, keep_working, now, sleep};
use crate::{Names, follow};

/// How often a process tells what changed.
const EVERY: Duration = Duration::from_secs(2);

/// How often it tells what did not: the topic forgets, and its readers begin with what it has.
const AGAIN: Duration = Duration::from_secs(3600);

/// For how long what a process told of its speed holds, in milliseconds.
const CURRENT: i64 = 10_000;

/// Processes that are remembered one by one.
const PROCESSES: usize = 100;

/// How long a process that ends tries to tell its last.
const LAST_WORD: Duration = Duration::from_secs(1);

/// What was read of one topic of logs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// Records.
    pub lines: u64,
    /// ERROR and WARNING lines among them.
    pub events: u64,
    /// The time that the last of these says.
    pub last_event: Option<Timestamp>,
    /// When the last record was sent.
    pub last_arrived: Option<Timestamp>,
}

impl Source {
    fn add(&mut self, later: &Source) {
        self.lines += later.lines;
        self.events += later.events;
        if later.last_arrived >= self.last_arrived {
            self.last_event = later.last_event.or(self.last_event);
            self.last_arrived = later.last_arrived;
        } else {
            self.last_event = self.last_event.or(later.last_event);
        }
    }
}

/// What was read since it was added to an [`Activity`], without a lock. Records mostly come in runs
/// of one topic.
#[derive(Default)]
pub(crate) struct Tally {
    topics: Vec<Counted>,
    /// The topic of the last record.
    at: usize,
}

struct Counted {
    topic: String,
    lines: u64,
    events: u64,
    last_event: Option<Timestamp>,
    /// When the last record was sent, in milliseconds since 1970.
    sent: i64,
}

impl Tally {
    /// Counts a record.
    pub fn line(&mut self, topic: &str, sent: i64) {
        if self.topics.get(self.at).is_none_or(|counted| counted.topic != topic) {
            self.at = self.place(topic);
        }
        let counted = &mut self.topics[self.at];
        counted.lines += 1;
        counted.sent = sent;
    }

    fn place(&mut self, topic: &str) -> usize {
        self.topics.iter().position(|counted| counted.topic == topic).unwrap_or_else(|| {
            let topic = topic.to_owned();
            self.topics.push(Counted { topic, lines: 0, events: 0, last_event: None, sent: 0 });
            self.topics.len() - 1
        })
    }

    /// Counts the record that was counted last as an ERROR or WARNING event of this time.
    pub fn event(&mut self, time: Timestamp) {
        if let Some(counted) = self.topics.get_mut(self.at) {
            counted.events += 1;
            counted.last_event = Some(time);
        }
    }
}

/// What this process reads of the logs.
pub struct Activity {
    process: String,
    read: Mutex<Read>,
}

#[derive(Default)]
struct Read {
    sources: BTreeMap<String, Source>,
    lag_seconds: Option<f64>,
}

/// What a process tells of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Report {
    process: String,
    /// When it was told, in milliseconds since 1970.
    at: i64,
    lines_per_second: f64,
    lag_seconds: Option<f64>,
    sources: BTreeMap<String, Source>,
}

impl Default for Activity {
    fn default() -> Activity {
        Activity::new()
    }
}

impl Activity {
    /// Nothing yet.
    pub fn new() -> Activity {
        // Processes of one machine, and of several with the same numbers, must not be taken for
        // one another.
        let process = format!("{:x}-{:016x}", now(), RandomState::new().hash_one(0));
        Activity { process, read: Mutex::default() }
    }

    /// Adds what was counted, and begins the count anew.
    pub(crate) fn add(&self, tally: &mut Tally) {
        let new = || tally.topics.iter().filter(|counted| counted.lines > 0);
        let Some(sent) = new().map(|counted| counted.sent).max() else { return };
        let mut read = self.read();
        read.lag_seconds = Some((now() - sent).max(0) as f64 / 1000.0);
        for Counted { topic, lines, events, last_event, sent } in new() {
            let (lines, events, last_event) = (*lines, *events, *last_event);
            let last_arrived = Timestamp::from_millisecond(*sent).ok();
            let source = Source { lines, events, last_event, last_arrived };
            match read.sources.get_mut(topic) {
                Some(known) => known.add(&source),
                None => drop(read.sources.insert(topic.clone(), source)),
            }
        }
        for counted in &mut tally.topics {
            (counted.lines, counted.events, counted.last_event) = (0, 0, None);
        }
    }

    fn read(&self) -> MutexGuard<'_, Read> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells what this process reads until `stopped`, and then once more.
    ///
    /// # Errors
    /// When the bus refuses.
    pub fn publish(
        &self,
        bus: &dyn Bus,
        names: &Names,
        stopped: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), StageError> {
        keep_working("activity", stopped, || {
            let mut producer = bus.producer()?;
            let (mut told, mut since): (Option<Report>, _) = (None, Instant::now());
            loop {
                sleep(EVERY, stopped);
                let ends = stopped();
                let report = self.report(told.as_ref(), since.elapsed());
                let is_new = told.as_ref().is_none_or(|told| told.is_outdone_by(&report));
                if is_new && send(&report, producer.as_mut(), names, stopped)? {
                    told = Some(report);
                    since = Instant::now();
                } else if !is_new {
                    since = Instant::now();
                }
                if ends {
                    return Ok(());
                }
            }
        })
    }

    fn report(&self, told: Option<&Report>, since: Duration) -> Report {
        let read = self.read();
        let (sources, lag_seconds) = (read.sources.clone(), read.lag_seconds);
        drop(read);
        let lines = |sources: &BTreeMap<String, Source>| -> u64 {
            sources.values().map(|source| source.lines).sum()
        };
        let new = lines(&sources) - told.map_or(0, |told| lines(&told.sources));
        let lines_per_second = new as f64 / since.as_secs_f64().max(0.001);
        let lines_per_second = (lines_per_second * 10.0).round() / 10.0;
        Report { process: self.process.clone(), at: now(), lines_per_second, lag_seconds, sources }
    }
}

/// Sends a report. Returns `false` when the bus has no room: the next one says as much.
fn send(
    report: &Report,
    producer: &mut dyn Producer,
    names: &Names,
    stopped: &(dyn Fn() -> bool + Sync),
) -> Result<bool, BusError> {
    let payload = serde_json::to_vec(report).expect("texts and numbers are JSON");
    let (topic, key) = (names.activity(), Some(report.process.as_bytes()));
    if !producer.send(&Outgoing { topic: &topic, key, payload: &payload })? {
        producer.flush(LOOK)?;
        return Ok(false);
    }
    while !producer.flush(LAST_WORD)? && !stopped() {}
    Ok(true)
}

impl Report {
    /// Whether the next report says anything new.
    fn is_outdone_by(&self, next: &Report) -> bool {
        self.lines_per_second != next.lines_per_second
            || self.sources != next.sources
            || next.at - self.at > AGAIN.as_millis() as i64
    }
}

/// What all processes together read of the logs.
#[derive(Default)]
pub struct Activities {
    all: Mutex<All>,
}

#[derive(Default)]
struct All {
    /// The last report of each process.
    processes: BTreeMap<String, Report>,
    /// What those read that are remembered no more.
    others: BTreeMap<String, Source>,
}

/// What all processes together read, at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overview {
    /// What was read of each topic of logs.
    pub sources: BTreeMap<String, Source>,
    /// What is read now.
    pub lines_per_second: f64,
    /// How old the last line was when it was worked on.
    pub lag_seconds: Option<f64>,
}

impl Activities {
    /// Listens to what processes tell, until `stopped`.
    ///
    /// # Errors
    /// When the bus refuses.
    pub fn follow(
        &self,
        bus: &dyn Bus,
        names: &Names,
        stopped: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), StageError> {
        // Everyone who listens is told of everything: each is a group of its own, from the start.
        let group = format!("activity-{:x}-{:016x}", now(), RandomState::new().hash_one(0));
        follow(bus, names.activity(), names.group(&group), stopped, |report| {
            match serde_json::from_slice(report) {
                Ok(report) => self.take(report),
                Err(error) => tracing::debug!(%error, "a report of activity that cannot be read"),
            }
        })
    }

    fn take(&self, report: Report) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let All { processes, others } = &mut *all;
        processes.insert(report.process.clone(), report);
        if processes.len() <= PROCESSES {
            return;
        }
        let oldest = processes.values().min_by_key(|report| report.at);
        let oldest = oldest.map(|report| report.process.clone());
        if let Some(gone) = oldest.and_then(|process| processes.remove(&process)) {
            add_all(others, &gone.sources);
        }
    }

    /// What is known now.
    pub fn overview(&self) -> Overview {
        self.overview_at(now())
    }

    fn overview_at(&self, now: i64) -> Overview {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let mut overview = Overview { sources: all.others.clone(), ..Overview::default() };
        for report in all.processes.values() {
            add_all(&mut overview.sources, &report.sources);
            if now - report.at <= CURRENT {
                overview.lines_per_second += report.lines_per_second;
            }
        }
        // The slowest of those at work, or whoever told last.
        let current = all.processes.values().filter(|report| now - report.at <= CURRENT);
        let slowest = current.filter_map(|report| report.lag_seconds).reduce(f64::max);
        let latest = || all.processes.values().max_by_key(|report| report.at)?.lag_seconds;
        overview.lag_seconds = slowest.or_else(latest);
        overview
    }
}

fn add_all(sum: &mut BTreeMap<String, Source>, sources: &BTreeMap<String, Source>) {
    for (topic, source) in sources {
        sum.entry(topic.clone()).or_default().add(source);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bus::Memory;

    fn time(text: &str) -> Option<Timestamp> {
        Some(text.parse().unwrap())
    }

    fn report(process: &str, at: i64, lines: u64, arrived: &str) -> Report {
        let source =
            Source { lines, events: 1, last_event: time(arrived), last_arrived: time(arrived) };
        let sources = BTreeMap::from([("logs.a".to_owned(), source)]);
        let process = process.to_owned();
        Report { process, at, lines_per_second: 5.0, lag_seconds: Some(at as f64), sources }
    }

    #[test]
    fn processes_add_up_and_a_dead_one_counts_with_what_it_did_and_no_longer_with_its_speed() {
        let activities = Activities::default();
        activities.take(report("one", 1_000, 10, "2026-01-01T00:00:09Z"));
        activities.take(report("two", 2_000, 20, "2026-01-01T00:00:05Z"));
        activities.take(report("two", 2_500, 30, "2026-01-01T00:00:06Z"));
        let now = activities.overview_at(3_000);
        assert_eq!((now.lines_per_second, now.lag_seconds), (10.0, Some(2_500.0)));
        let source = &now.sources["logs.a"];
        assert_eq!((source.lines, source.events), (40, 2));
        assert_eq!(source.last_arrived, time("2026-01-01T00:00:09Z"));
        let later = activities.overview_at(2_000 + CURRENT);
        assert_eq!((later.lines_per_second, later.sources["logs.a"].lines), (5.0, 40));
        let long_after = activities.overview_at(1_000_000);
        assert_eq!((long_after.lines_per_second, long_after.lag_seconds), (0.0, Some(2_500.0)));
    }

    #[test]
    fn of_many_processes_the_oldest_are_added_up() {
        let activities = Activities::default();
        for number in 0..3 * PROCESSES {
            let process = format!("process {number}");
            activities.take(report(&process, number as i64, 1, "2026-01-01T00:00:00Z"));
        }
        assert_eq!(activities.all.lock().unwrap().processes.len(), PROCESSES);
        assert_eq!(activities.overview().sources["logs.a"].lines, 3 * PROCESSES as u64);
    }

    #[test]
    fn what_is_counted_is_told_over_the_bus() {
        let (bus, names, activity) = (Memory::new(), Names::new("logs", "t"), Activity::new());
        let mut tally = Tally::default();
        for (topic, sent) in [("logs.a", 1_000), ("logs.a", 2_000), ("logs.b", 3_000)] {
            tally.line(topic, sent);
        }
        tally.event("2026-01-01T00:00:00Z".parse().unwrap());
        activity.add(&mut tally);
        tally.line("logs.a", 4_000);
        activity.add(&mut tally);
        activity.add(&mut tally);
        activity.publish(&bus, &names, &|| true).unwrap();
        let activities = Activities::default();
        let is_told = || !activities.overview().sources.is_empty();
        activities.follow(&bus, &names, &is_told).unwrap();
        let overview = activities.overview();
        let [a, b] = ["logs.a", "logs.b"].map(|topic| &overview.sources[topic]);
        assert_eq!((a.lines, a.events, a.last_event), (3, 0, None));
        assert_eq!((b.lines, b.events, b.last_event), (1, 1, time("2026-01-01T00:00:00Z")));
        assert_eq!(b.last_arrived, time("1970-01-01T00:00:03Z"));
        assert_eq!(a.last_arrived, time("1970-01-01T00:00:04Z"));
    }
}
