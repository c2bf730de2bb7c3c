//! When events are due: at the speed wished for, with a random delay, and under a new timestamp.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

/// How many events may wait for the end of their random delay.
const HELD: usize = 100_000;

/// When events are due, as time since the start of the loop.
pub struct Pace {
    speed: f64,
    start: Instant,
    started: Timestamp,
    /// The time of the first event.
    first: Option<Timestamp>,
}

impl Pace {
    /// A pace that starts now. At the speed 0 everything is due at once.
    pub fn new(speed: f64) -> Pace {
        Pace { speed, start: Instant::now(), started: Timestamp::now(), first: None }
    }

    /// When an event is due; the first one is at once.
    pub fn due(&mut self, time: Timestamp) -> Duration {
        let first = *self.first.get_or_insert(time);
        if self.speed == 0.0 {
            return Duration::ZERO;
        }
        let behind = time.duration_since(first).as_secs_f64().max(0.0);
        Duration::try_from_secs_f64(behind / self.speed).unwrap_or(Duration::MAX)
    }

    /// How long it is until something is due.
    pub fn left(&self, due: Duration) -> Duration {
        if due.is_zero() { Duration::ZERO } else { due.saturating_sub(self.start.elapsed()) }
    }

    /// The time of day at which something is due.
    pub fn clock(&self, due: Duration) -> Timestamp {
        if self.speed == 0.0 {
            return Timestamp::now();
        }
        let due = SignedDuration::try_from(due).unwrap_or(SignedDuration::MAX);
        self.started.checked_add(due).unwrap_or(Timestamp::MAX)
    }
}

/// Gives out new timestamps, each later than the one before, in UTC and to the nanosecond.
pub struct NewStamps {
    last: Timestamp,
    text: String,
    /// The second that `text` tells.
    second: Option<i64>,
}

impl NewStamps {
    /// None given out yet.
    pub fn new() -> NewStamps {
        NewStamps { last: Timestamp::MIN, text: String::new(), second: None }
    }

    /// A timestamp of `time`, or of the first nanosecond that was not given out.
    pub fn give(&mut self, time: Timestamp) -> (Timestamp, &str) {
        let next = self.last.checked_add(SignedDuration::from_nanos(1)).unwrap_or(self.last);
        let time = time.max(next);
        self.last = time;
        if self.second != Some(time.as_second()) {
            self.second = Some(time.as_second());
            self.text = format!("{time:.9}");
        } else {
            // The nine digits before the `Z`.
            let digits = self.text.len() - 10;
            self.text.truncate(digits);
            push_digits(&mut self.text, time.subsec_nanosecond());
            self.text.push('Z');
        }
        (time, &self.text)
    }
}

fn push_digits(text: &mut String, nanosecond: i32) {
    let mut digits = [b'0'; 9];
    let mut rest = nanosecond;
    for digit in digits.iter_mut().rev() {
        *digit += (rest % 10) as u8;
        rest /= 10;
    }
    text.extend(digits.map(char::from));
}

/// An event that waits for the end of its random delay. The order of fields is the order of
/// events.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub struct Held {
    /// When it is due.
    pub due: Duration,
    /// Tells events that are due together apart, in the order in which they came.
    number: u64,
    /// Its file.
    pub file: u32,
    /// Its time.
    pub time: Timestamp,
    /// Its record.
    pub record: Box<[u8]>,
}

/// Delays events at random, and keeps the order within each file.
pub struct Jitter {
    longest: Duration,
    waiting: BinaryHeap<Reverse<Held>>,
    /// When the last event of each file is due.
    last: Vec<Duration>,
    count: u64,
}

impl Jitter {
    /// Delays up to `longest`, for events of this many files.
    pub fn new(longest: Duration, files: usize) -> Jitter {
        Jitter { longest, waiting: BinaryHeap::new(), last: vec![Duration::ZERO; files], count: 0 }
    }

    /// Takes an event that would be due at `due`.
    pub fn hold(&mut self, due: Duration, file: u32, time: Timestamp, record: &[u8]) {
        let delay = rand::random_range(Duration::ZERO..=self.longest);
        let last = &mut self.last[file as usize];
        *last = due.saturating_add(delay).max(*last);
        self.count += 1;
        let held = Held { due: *last, number: self.count, file, time, record: record.into() };
        self.waiting.push(Reverse(held));
    }

    /// The first event to go before all that would be due at `due` or later.
    pub fn next_before(&mut self, due: Duration) -> Option<Held> {
        let Reverse(first) = self.waiting.peek()?;
        let goes = first.due <= due || self.waiting.len() >= HELD;
        if goes { self.waiting.pop().map(|Reverse(held)| held) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn what_happened_apart_is_due_apart_divided_by_the_speed() {
        for (speed, due) in [(1.0, 90.0), (2.0, 45.0), (0.5, 180.0), (0.0, 0.0)] {
            let mut pace = Pace::new(speed);
            assert_eq!(pace.due(at(1_000)), Duration::ZERO);
            assert_eq!(pace.due(at(1_090)).as_secs_f64(), due, "{speed}");
            // Late, as in a file that changed while it was read.
            assert_eq!(pace.due(at(900)), Duration::ZERO);
        }
        let mut slow = Pace::new(f64::MIN_POSITIVE);
        slow.due(at(0));
        assert_eq!(slow.due(at(1_000)), Duration::MAX);
        assert_eq!(slow.clock(Duration::MAX), Timestamp::MAX);
    }

    #[test]
    fn new_timestamps_are_valid_and_strictly_ordered() {
        let mut stamps = NewStamps::new();
        let mut last = Timestamp::MIN;
        let second = SignedDuration::from_nanos(999_999_998);
        for time in [at(5), at(5), at(4), at(5) + second, at(5), at(5), at(60), at(-60)] {
            let (time, text) = stamps.give(time);
            assert!(time > last);
            let read = parse::parse_timestamp(text.as_bytes()).unwrap();
            assert_eq!(read.instant(&jiff::tz::TimeZone::UTC), Some(time), "{text}");
            last = time;
        }
    }

    #[test]
    fn jitter_keeps_the_order_within_a_file_and_goes_no_further_than_told() {
        let longest = Duration::from_millis(50);
        let mut jitter = Jitter::new(longest, 2);
        let mut told: Vec<Vec<(Duration, i64)>> = vec![Vec::new(); 2];
        let mut last = Duration::ZERO;
        let mut take = |jitter: &mut Jitter, due| {
            while let Some(held) = jitter.next_before(due) {
                assert!(held.due >= last);
                last = held.due;
                told[held.file as usize].push((held.due, held.time.as_second()));
            }
        };
        for number in 0..1_000 {
            let due = Duration::from_millis(number as u64);
            take(&mut jitter, due);
            jitter.hold(due, (number % 2) as u32, at(number), b"{}");
        }
        take(&mut jitter, Duration::MAX);
        for (file, told) in told.iter().enumerate() {
            assert_eq!(told.len(), 500);
            for (place, (due, number)) in told.iter().enumerate() {
                assert_eq!(*number, (2 * place + file) as i64);
                let undelayed = Duration::from_millis(*number as u64);
                assert!(*due >= undelayed && *due <= undelayed + longest);
            }
        }
    }
}
