//! What is told of a replay while it runs.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};
use tracing::info;

/// How often it is told how far the replay is.
const TELL: Duration = Duration::from_secs(10);

/// How often the metrics are told the time of the log.
const GAUGE: Duration = Duration::from_millis(500);

/// How far the replay is.
pub struct Progress {
    loops: Counter,
    skipped: Counter,
    time_gauge: Gauge,
    /// The number of the loop, from 1.
    number: u64,
    files: usize,
    /// Events that were sent before the loop.
    before: u64,
    start: Instant,
    told: Instant,
    told_events: u64,
    gauged: Instant,
}

impl Progress {
    /// A replay that begins.
    pub fn new() -> Progress {
        describe_counter!("foreshock_replayed_events_total", "Events sent, by topic");
        describe_counter!("foreshock_replay_loops_total", "Loops that came to their end");
        describe_counter!("foreshock_replay_skipped_lines_total", "Lines that are no events");
        describe_counter!("foreshock_replay_refused_total", "Events that the bus refused");
        describe_gauge!(
            "foreshock_replay_time_seconds",
            "Time of the event sent last, in seconds since 1970"
        );
        counter!("foreshock_replay_refused_total").increment(0);
        let now = Instant::now();
        Progress {
            loops: counter!("foreshock_replay_loops_total"),
            skipped: counter!("foreshock_replay_skipped_lines_total"),
            time_gauge: gauge!("foreshock_replay_time_seconds"),
            number: 0,
            files: 0,
            before: 0,
            start: now,
            told: now,
            told_events: 0,
            gauged: now,
        }
    }

    /// A loop begins, after `sent` events of others.
    pub fn begin_loop(&mut self, files: usize, skipped: u64, sent: u64) {
        self.number += 1;
        self.skipped.increment(skipped);
        (self.files, self.before, self.told_events) = (files, sent, sent);
        self.start = Instant::now();
        self.told = self.start;
        info!(number = self.number, files, skipped, "loop begins");
    }

    /// Tells how far the replay is, when it is time for that.
    pub fn tell(&mut self, sent: u64, time: Timestamp) {
        let now = Instant::now();
        if now - self.gauged >= GAUGE {
            self.gauged = now;
            self.time_gauge.set(time.as_duration().as_secs_f64());
        }
        let since = now - self.told;
        if since >= TELL {
            let rate = ((sent - self.told_events) as f64 / since.as_secs_f64()).round();
            let events = sent - self.before;
            info!(number = self.number, events, files = self.files, rate, %time, "replaying");
            (self.told, self.told_events) = (now, sent);
        }
    }

    /// A loop came to its end, at `time`.
    pub fn end_loop(&mut self, sent: u64, time: Option<Timestamp>) {
        self.loops.increment(1);
        if let Some(time) = time {
            self.time_gauge.set(time.as_duration().as_secs_f64());
        }
        let events = sent - self.before;
        let rate = (events as f64 / self.start.elapsed().as_secs_f64()).round();
        info!(number = self.number, events, files = self.files, rate, "loop ends");
    }
}
