//! A link in one line, as people are told of it.

use std::fmt;

use jiff::SignedDuration;
use serde::Deserialize;

/// What a line tells of a link, read from its JSON.
#[derive(Debug, Deserialize)]
pub struct Told {
    /// The id of the link.
    pub id: String,
    lag_seconds: f64,
    /// The warning.
    pub anomaly: Found,
    /// The error.
    pub problem: Found,
}

/// One side of a link.
#[derive(Debug, Deserialize)]
pub struct Found {
    /// The event.
    pub event: Event,
}

/// An event, as its line says.
#[derive(Debug, Deserialize)]
pub struct Event {
    /// The timestamp as the log wrote it.
    pub timestamp: String,
    /// The file.
    pub file: String,
    /// The line of the file, from 1.
    pub line: u64,
    /// What it says.
    pub message: String,
}

impl Told {
    /// Problem time − anomaly time.
    pub fn lag(&self) -> SignedDuration {
        SignedDuration::try_from_secs_f64(self.lag_seconds).unwrap_or_default()
    }
}

impl fmt::Display for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let Event { timestamp, file, line, message } = self;
        let message: String = message.chars().map(printable).collect();
        write!(formatter, "{message:?} ({timestamp} {file}:{line})")
    }
}

/// What a terminal may be given of a log.
fn printable(character: char) -> char {
    if character.is_control() { '\u{fffd}' } else { character }
}

impl fmt::Display for Told {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let lag = SignedDuration::from_secs(self.lag().as_secs());
        let side = if lag.is_negative() { "after" } else { "before" };
        let (warning, error) = (&self.anomaly.event, &self.problem.event);
        write!(formatter, "ERROR {error} ← {:#} {side}: WARNING {warning}", lag.abs())
    }
}
