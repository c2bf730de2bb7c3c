//! Log files to the bus, in the order of their time.
//!
//! Input: the `.txt` and `.log` files of a folder. Output: a record for each event of any level,
//! on a topic for each file, at the pace at which the events happened or at another. One thread
//! does it, in memory that grows with the number of files and not with their size.
//!
//! Invariants: the events of a loop are sent in the order of `domain::Event::by_time`, those of
//! one file always in that order, a random delay or not; every event is sent at least once in a
//! loop, and once unless a producer is lost with records in doubt.

mod block;
mod folder;
mod merge;
mod pace;
mod play;
mod progress;
mod sender;
mod spill;
mod topics;
mod unconfirmed;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bus::BusError;
use jiff::tz::TimeZone;
use thiserror::Error;

pub use play::run;
pub use topics::{LONGEST_PREFIX, is_allowed};

/// What is replayed, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder with the logs; folders in it are passed over.
    pub folder: PathBuf,
    /// What the names of topics begin with: at most [`LONGEST_PREFIX`] characters, each of which
    /// [`is_allowed`].
    pub topic_prefix: String,
    /// How many times as fast as it happened; 0: as fast as possible.
    pub speed: f64,
    /// The longest random delay of an event; without effect at the speed 0.
    pub jitter: Duration,
    /// How many times everything is replayed; 0: without end.
    pub loops: u64,
    /// The pause between two loops.
    pub loop_pause: Duration,
    /// The timestamps that events are sent with.
    pub timestamps: Timestamps,
    /// The zone of timestamps without offset.
    pub zone: TimeZone,
    /// The memory, in bytes, that sorting a file may take; files in order take none.
    pub sorting: usize,
}

/// The timestamps that events are sent with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timestamps {
    /// Those of the log.
    Original,
    /// The moment at which an event is due, before its random delay, in UTC; each later than the
    /// one before. It stands in the line as well.
    Now,
}

impl Default for Settings {
    /// The logs of `data/logs`, as they happened, without end.
    fn default() -> Settings {
        Settings {
            folder: PathBuf::from("data/logs"),
            topic_prefix: "logs".to_owned(),
            speed: 1.0,
            jitter: Duration::ZERO,
            loops: 0,
            loop_pause: Duration::from_secs(1),
            timestamps: Timestamps::Original,
            zone: TimeZone::UTC,
            sorting: 64 << 20,
        }
    }
}

/// What was replayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Loops that came to their end.
    pub loops: u64,
    /// Events that the bus took.
    pub events: u64,
    /// Lines that are no events.
    pub skipped: u64,
    /// Events that the bus refused.
    pub refused: u64,
}

/// Why a replay ended before its time.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// The bus will never take anything.
    #[error("{0}")]
    Bus(#[from] BusError),
    /// Files that are not in the order of their time could not be sorted.
    #[error("sorting, in the folder for temporary files (TMPDIR): {0}")]
    Sorting(#[from] io::Error),
}

/// Asks whether the replay should end. It is asked several times a second, and oftener.
pub(crate) type Stopped<'a> = &'a (dyn Fn() -> bool + Sync);

/// Sleeps, and no longer than until `stopped`.
pub(crate) fn sleep(time: Duration, stopped: Stopped) {
    const LOOK: Duration = Duration::from_millis(100);
    let start = std::time::Instant::now();
    while !stopped() {
        let left = time.saturating_sub(start.elapsed());
        if left.is_zero() {
            return;
        }
        std::thread::sleep(left.min(LOOK));
    }
}
