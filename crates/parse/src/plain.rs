//! The format `<ISO 8601 timestamp> <LEVEL> <component>: <message>`.
//!
//! Reading is in two steps, since most lines of a log are of no interest: [`classify`] looks at
//! the head of a line only, and the rest is read of the few that are ERROR or WARNING.

use std::sync::Arc;

use domain::{Event, Level};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::time::Clock;

/// One ERROR or WARNING event, borrowed from the line it was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineEvent<'a> {
    /// The instant.
    pub time: Timestamp,
    /// The timestamp as written.
    pub timestamp: &'a str,
    /// Whether the timestamp is written with an offset from UTC.
    pub has_offset: bool,
    /// The severity.
    pub level: Level,
    /// What wrote the line; empty when it names none.
    pub component: &'a str,
    /// What it says, trimmed.
    pub message: &'a str,
    /// The line without its line end.
    pub raw: &'a str,
    /// The number of the line, from 1, in the part of the file that was read.
    pub line: u64,
}

impl LineEvent<'_> {
    /// The event with texts of its own, as a line of `file`.
    pub fn to_event(&self, file: &Arc<str>) -> Event {
        Event {
            time: self.time,
            timestamp: self.timestamp.into(),
            level: self.level,
            component: self.component.into(),
            message: self.message.into(),
            file: Arc::clone(file),
            line: self.line,
            raw: self.raw.into(),
        }
    }
}

/// What the head of a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// An event, by the shape of its timestamp and the word behind it.
    Event {
        /// The level.
        level: Level,
        /// The length of the timestamp, in bytes.
        timestamp: usize,
        /// Where the text behind the level begins, in bytes.
        rest: usize,
    },
    /// Nothing but white space.
    Blank,
    /// It does not begin with a timestamp.
    NoTimestamp,
    /// A timestamp without a level word behind it.
    NoLevel,
}

/// The shortest timestamp: `2025-10-06T07:42`.
const SHORTEST: usize = 16;
/// The longest that is looked at: nanoseconds, an offset and some room.
const LONGEST: usize = 48;

/// Whether a line is an event of no interest, for the most common spelling of such; the others
/// are left to [`classify`], which says the same of every line.
#[inline(always)]
pub(crate) fn is_plainly_other(line: &[u8]) -> bool {
    let Some(head) = line.first_chunk::<26>() else { return false };
    let level = &head[19..26];
    has_shape(head) && (level.starts_with(b" INFO ") || level == b" DEBUG ")
}

#[inline(always)]
fn has_shape(head: &[u8]) -> bool {
    head[4] == b'-' && head[7] == b'-' && head[13] == b':' && head[0].is_ascii_digit()
}

/// Looks at the head of a line: the shape of its timestamp and the level behind it.
///
/// Digits are not checked here: timestamps are read of the events that matter.
pub fn classify(line: &[u8]) -> Head {
    let Some(shape) = line.first_chunk::<{ SHORTEST + 1 }>() else { return not_an_event(line) };
    if !has_shape(shape) {
        return not_an_event(line);
    }
    let timestamp = match line.get(19) {
        Some(b' ' | b'\t') => 19,
        _ => match word_end(line, SHORTEST, LONGEST) {
            Some(end) => end,
            None => return Head::NoLevel,
        },
    };
    let mut start = timestamp + 1;
    while let Some(b' ' | b'\t') = line.get(start) {
        start += 1;
    }
    let end = word_end(line, start, start + 16).unwrap_or(line.len());
    match Level::from_word(&line[start.min(end)..end]) {
        Some(level) => Head::Event { level, timestamp, rest: end },
        None => Head::NoLevel,
    }
}

/// The first blank or tab at or behind `from` and before `to`.
#[inline]
fn word_end(line: &[u8], from: usize, to: usize) -> Option<usize> {
    let window = line.get(from..to.min(line.len()))?;
    window.iter().position(|byte| matches!(byte, b' ' | b'\t')).map(|at| from + at)
}

#[cold]
fn not_an_event(line: &[u8]) -> Head {
    if line.trim_ascii().is_empty() { Head::Blank } else { Head::NoTimestamp }
}

/// Reads one line; `None` when it is no event, or its timestamp no date and time that exists.
/// Timestamps without offset are read in `zone`.
pub fn parse_line<'a>(raw: &'a str, zone: &TimeZone) -> Option<LineEvent<'a>> {
    match classify(raw.as_bytes()) {
        Head::Event { level, timestamp, rest } => {
            parse(raw, level, timestamp, rest, 1, &mut Clock::new(zone.clone()))
        }
        Head::Blank | Head::NoTimestamp | Head::NoLevel => None,
    }
}

/// Reads the rest of a line whose head is an event; `None` when its timestamp is no date and time
/// that exists.
///
/// The component is the first word behind the level, when it ends with a colon.
pub(crate) fn parse<'a>(
    raw: &'a str,
    level: Level,
    timestamp: usize,
    rest: usize,
    line: u64,
    clock: &mut Clock,
) -> Option<LineEvent<'a>> {
    let (time, has_offset) = clock.read(&raw.as_bytes()[..timestamp])?;
    let (component, message) = split_component(raw.get(rest..).unwrap_or("").trim_ascii());
    let timestamp = &raw[..timestamp];
    Some(LineEvent { time, timestamp, has_offset, level, component, message, raw, line })
}

fn split_component(text: &str) -> (&str, &str) {
    let is_blank = |byte: u8| byte.is_ascii_whitespace();
    let (word, rest) = text.split_at(text.bytes().position(is_blank).unwrap_or(text.len()));
    match word.strip_suffix(':') {
        Some(component) if !component.is_empty() => (component, rest.trim_ascii()),
        _ => ("", text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(raw: &str) -> Option<LineEvent<'_>> {
        parse_line(raw, &TimeZone::UTC)
    }

    fn level(raw: &str) -> Option<Level> {
        match classify(raw.as_bytes()) {
            Head::Event { level, .. } => Some(level),
            _ => None,
        }
    }

    #[test]
    fn the_line_of_the_contract() {
        let event = event("2025-10-06T07:42:23 ERROR database: Index corruption on table").unwrap();
        assert_eq!(event.timestamp, "2025-10-06T07:42:23");
        assert_eq!(event.level, Level::Error);
        assert_eq!(event.component, "database");
        assert_eq!(event.message, "Index corruption on table");
        assert!(!event.has_offset);
    }

    #[test]
    fn the_timestamp_may_be_long_and_short() {
        for stamp in ["2025-10-06T07:42", "2025-10-06T07:42:23.123456789+03:00"] {
            let raw = format!("{stamp} WARN net: eth0: link down");
            let event = event(&raw).unwrap();
            assert_eq!((event.timestamp, event.level), (stamp, Level::Warning));
            assert_eq!((event.component, event.message), ("net", "eth0: link down"));
        }
    }

    #[test]
    fn several_blanks_and_tabs_separate_as_one() {
        let event = event("2025-10-06 07:42:23\t  ERROR \t db:\t lost  ").unwrap();
        assert_eq!((event.component, event.message), ("db", "lost"));
    }

    #[test]
    fn a_line_without_component_is_all_message() {
        for message in ["Index corruption on table", "table a: index: broken", ": odd", "a:b c"] {
            let raw = format!("2025-10-06T07:42:23 ERROR {message}");
            let event = event(&raw).unwrap();
            assert_eq!((event.component, event.message), ("", message));
        }
    }

    #[test]
    fn an_empty_message_is_still_an_event() {
        for raw in ["2025-10-06T07:42:23 ERROR", "2025-10-06T07:42:23 ERROR db:"] {
            assert_eq!(event(raw).unwrap().message, "");
        }
    }

    #[test]
    fn a_level_is_a_word_of_its_own_behind_the_timestamp() {
        assert_eq!(
            level("2025-10-06T07:42:23 INFO app: previous ERROR cleared"),
            Some(Level::Other)
        );
        assert_eq!(level("2025-10-06T07:42:23 INFO"), Some(Level::Other));
        assert_eq!(level("2025-10-06T07:42:23 INFORMATIVE ERROR"), None);
        assert_eq!(level("2025-10-06T07:42:23 app: ERROR"), None);
        assert_eq!(level("2025-10-06T07:42:23"), None);
        assert_eq!(level("2025-10-06T07:42:23  "), None);
    }

    #[test]
    fn lines_that_are_no_events_say_why() {
        assert_eq!(classify(b""), Head::Blank);
        assert_eq!(classify(b" \t "), Head::Blank);
        assert_eq!(classify(b"    at java.lang.Thread.run(Thread.java:750)"), Head::NoTimestamp);
        assert_eq!(classify(b"ERROR no time"), Head::NoTimestamp);
        assert_eq!(classify(b"2025-10-06T07:42:23 hello world"), Head::NoLevel);
    }

    #[test]
    fn a_date_that_does_not_exist_is_no_event() {
        assert_eq!(event("2025-02-30T07:42:23 ERROR db: lost"), None);
        assert_eq!(event("2025-1x-30T07:42:23 ERROR db: lost"), None);
    }
}
