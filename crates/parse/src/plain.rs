//! The format `<ISO 8601 timestamp> <LEVEL> <component>: <message>`.
//!
//! Reading is in two steps, since most lines of a log are of no interest: [`classify`] looks at
//! the head of a line only, and the rest is read of the few that are ERROR or WARNING.

use std::sync::Arc;

use domain::{Event, Level};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::time::Clock;

/// One event, borrowed from the line it was read from.
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
    /// The word that names the level, as written.
    pub level_word: &'a str,
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

/// The length of [`PLAIN`]'s head.
const PLAIN_HEAD: usize = 25;

/// The shape of the heads that nine lines of ten have: `0` stands for any digit, `T` for itself or
/// a blank.
const PLAIN: &[u8; 20] = b"0000-00-00T00:00:00 ";

/// How many bytes at the start of `block` are the head of an INFO or DEBUG event in the most common
/// spelling, with no line end among them; 0 when they are not. What is not is left to
/// [`classify`], which says the same of every line.
///
/// Eight bytes are compared at a time (see Mycroft's test for a zero byte, 1987): a digit that is
/// xor-ed with `0` is at most 9, another character of the shape xor-ed with itself is 0, and what
/// is more carries into the highest bit of its byte when the difference to 0x80 is added.
#[inline(always)]
pub(crate) fn plainly_other(block: &[u8]) -> usize {
    let Some(head) = block.first_chunk::<{ PLAIN_HEAD + 1 }>() else { return 0 };
    let [first, second, third] = PLAIN_SHAPE;
    let misfit = first.misfit(head, 0) | second.misfit(head, 8) | third.misfit(head, 12);
    let is_info = head[20..25] == *b"INFO ";
    let is_debug = head[20..26] == *b"DEBUG ";
    let fits = misfit == 0 && matches!(head[10], b'T' | b' ') && (is_info || is_debug);
    if fits { PLAIN_HEAD } else { 0 }
}

/// Eight bytes of [`PLAIN`], as the operands of the comparison.
struct Shape {
    xor: u64,
    add: u64,
    /// The bytes that count.
    mask: u64,
}

const PLAIN_SHAPE: [Shape; 3] = [Shape::at(0), Shape::at(8), Shape::at(12)];

impl Shape {
    const fn at(start: usize) -> Shape {
        let (mut xor, mut add, mut mask) = ([0; 8], [0; 8], [0; 8]);
        let mut index = 0;
        while index < 8 {
            let byte = PLAIN[start + index];
            (xor[index], add[index], mask[index]) = match byte {
                b'0' => (b'0', 0x80 - 10, 0xff),
                b'T' => (0, 0, 0),
                _ => (byte, 0x80 - 1, 0xff),
            };
            index += 1;
        }
        Shape {
            xor: u64::from_le_bytes(xor),
            add: u64::from_le_bytes(add),
            mask: u64::from_le_bytes(mask),
        }
    }

    /// 0 when the eight bytes of `head` from `start` fit.
    #[inline(always)]
    fn misfit(&self, head: &[u8; PLAIN_HEAD + 1], start: usize) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&head[start..start + 8]);
        let differs = (u64::from_le_bytes(bytes) ^ self.xor) & self.mask;
        (differs.wrapping_add(self.add) | differs) & 0x8080_8080_8080_8080
    }
}

/// Looks at the head of a line: the shape of its timestamp and the level behind it.
///
/// Digits are not checked here: timestamps are read of the events that matter.
pub fn classify(line: &[u8]) -> Head {
    let Some(shape) = line.first_chunk::<{ SHORTEST + 1 }>() else { return not_an_event(line) };
    if shape[4] != b'-' || shape[7] != b'-' || shape[13] != b':' || !shape[0].is_ascii_digit() {
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
    let level_word = raw.get(timestamp..rest).unwrap_or("").trim_ascii_start();
    let timestamp = &raw[..timestamp];
    let event =
        LineEvent { time, timestamp, has_offset, level, level_word, component, message, raw, line };
    Some(event)
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
        assert_eq!((event.level, event.level_word), (Level::Error, "ERROR"));
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
        let event = event("2025-10-06 07:42:23\t  Err \t db:\t lost  ").unwrap();
        assert_eq!((event.component, event.message), ("db", "lost"));
        assert_eq!((event.level, event.level_word), (Level::Error, "Err"));
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

    #[test]
    fn what_is_plainly_other_is_so_to_the_careful_look_too() {
        let line = b"2025-10-06T07:42:23 INFO app: a message";
        assert_eq!(plainly_other(line), 25);
        assert_eq!(plainly_other(b"2025-10-06 07:42:23 DEBUG app: a message"), 25);
        for place in 0..PLAIN_HEAD {
            for byte in 0..=255 {
                let mut line = line.to_vec();
                line[place] = byte;
                let plain = plainly_other(&line) > 0;
                let head = &line[..PLAIN_HEAD];
                assert!(!plain || !head.contains(&b'\n'), "{byte:#x} at {place}");
                let careful = matches!(classify(&line), Head::Event { level: Level::Other, .. });
                assert!(!plain || careful, "{byte:#x} at {place}");
                let digit = PLAIN.get(place) == Some(&b'0');
                assert!(!digit || plain == byte.is_ascii_digit(), "{byte:#x} at {place}");
            }
        }
        for short in 0..=PLAIN_HEAD {
            assert_eq!(plainly_other(&line[..short]), 0);
        }
    }
}
