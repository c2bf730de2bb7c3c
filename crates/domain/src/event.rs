//! One parsed log line.

use std::cmp::Ordering;
use std::sync::Arc;

use jiff::Timestamp;

use crate::Level;

/// One parsed log line: the unit that is matched and linked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The instant of the event. A timestamp without offset was read in the zone the reader was
    /// told (UTC by default).
    pub time: Timestamp,
    /// The timestamp as the log wrote it.
    pub timestamp: Box<str>,
    /// The severity.
    pub level: Level,
    /// What wrote the line; empty when the line names no component.
    pub component: Box<str>,
    /// What it says: the text that is matched with the dictionary.
    pub message: Box<str>,
    /// The name of the file, as shown to people; unique within one analysis.
    pub file: Arc<str>,
    /// The number of the line in its file, from 1.
    pub line: u64,
    /// The whole line, without its line end.
    pub raw: Box<str>,
}

impl Event {
    /// The order of events in time; events of one instant are ordered by file and line, so that
    /// the order never depends on the order of reading.
    pub fn by_time(&self, other: &Event) -> Ordering {
        self.time
            .cmp(&other.time)
            .then_with(|| self.file.cmp(&other.file))
            .then_with(|| self.line.cmp(&other.line))
    }
}
