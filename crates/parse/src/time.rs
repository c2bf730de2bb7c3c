//! Timestamps of log lines.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

/// A timestamp as a log writes it: a date and time of day, with or without an offset from UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Date and time of day, to the nanosecond.
    pub local: DateTime,
    /// The offset from UTC, when written.
    pub offset: Option<Offset>,
}

impl Stamp {
    /// The instant. A stamp without offset is read in `zone`; `None` when it lies outside the
    /// years that can be told (−9999 to 9999).
    pub fn instant(&self, zone: &TimeZone) -> Option<Timestamp> {
        match self.offset {
            Some(offset) => offset.to_timestamp(self.local).ok(),
            None => zone.to_timestamp(self.local).ok(),
        }
    }
}

/// Reads timestamps in a zone, and remembers the day: the lines of a log mostly share it.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    zone: TimeZone,
    /// The last day read, as written, with the second of its midnight; kept in UTC only, where
    /// every day has 86,400 seconds.
    day: Option<([u8; 10], i64)>,
}

impl Clock {
    pub fn new(zone: TimeZone) -> Clock {
        Clock { zone, day: None }
    }

    /// The instant of a timestamp, and whether it is written with an offset.
    pub fn read(&mut self, bytes: &[u8]) -> Option<(Timestamp, bool)> {
        if let Some(instant) = self.same_day(bytes) {
            return Some((instant, false));
        }
        let stamp = parse_timestamp(bytes)?;
        let instant = stamp.instant(&self.zone)?;
        if stamp.offset.is_none() && self.zone == TimeZone::UTC {
            let midnight = instant.as_second() - instant.as_second().rem_euclid(86_400);
            self.day = bytes.first_chunk().map(|day| (*day, midnight));
        }
        Some((instant, stamp.offset.is_some()))
    }

    fn same_day(&self, bytes: &[u8]) -> Option<Timestamp> {
        let (day, midnight) = self.day.as_ref()?;
        let bytes: &[u8; 19] = bytes.try_into().ok()?;
        let [b'T' | b' ', h1, h2, b':', m1, m2, b':', s1, s2] = bytes[10..] else { return None };
        if bytes[..10] != *day {
            return None;
        }
        let (hour, minute, second) = (number(&[h1, h2])?, number(&[m1, m2])?, number(&[s1, s2])?);
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let second = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
        Timestamp::from_second(midnight + second).ok()
    }
}

/// Reads ISO 8601's extended form: `2025-10-06T07:42:23`, with a space for the `T`, without the
/// seconds, with a fraction (`.` or `,`; digits beyond nanoseconds are dropped), with `Z` or an
/// offset (`+03`, `+0300`, `+03:00`).
///
/// `None` when the bytes are anything else, or name no date and time that exists.
///
/// ```
/// let stamp = parse::parse_timestamp(b"2025-10-06T07:42:23.5+03:00").unwrap();
/// assert_eq!(stamp.local.to_string(), "2025-10-06T07:42:23.5");
/// assert!(parse::parse_timestamp(b"2025-02-30T07:42:23").is_none());
/// ```
pub fn parse_timestamp(bytes: &[u8]) -> Option<Stamp> {
    let (date, rest) = bytes.split_at_checked(10)?;
    if date[4] != b'-' || date[7] != b'-' {
        return None;
    }
    let (year, month, day) = (number(&date[..4])?, number(&date[5..7])?, number(&date[8..])?);
    let (&separator, rest) = rest.split_first()?;
    if !matches!(separator, b'T' | b't' | b' ') {
        return None;
    }
    let (clock, rest) = rest.split_at_checked(5)?;
    if clock[2] != b':' {
        return None;
    }
    let (hour, minute) = (number(&clock[..2])?, number(&clock[3..])?);
    let (second, rest) = match rest {
        [b':', tens, units, rest @ ..] => (number(&[*tens, *units])?, rest),
        _ => (0, rest),
    };
    // A leap second has no place of its own in POSIX time: it is read as the second before it.
    let second = if second == 60 { 59 } else { second };
    let (nanosecond, rest) = fraction(rest)?;
    let offset = offset(rest)?;
    let local = DateTime::new(
        year as i16,
        month as i8,
        day as i8,
        hour as i8,
        minute as i8,
        second as i8,
        nanosecond,
    );
    Some(Stamp { local: local.ok()?, offset })
}

/// A number of one to four digits and nothing else.
fn number(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0, |sum, digit| {
        digit.is_ascii_digit().then(|| sum * 10 + u16::from(digit - b'0'))
    })
}

/// The nanoseconds of a leading fraction, and what is behind it.
fn fraction(bytes: &[u8]) -> Option<(i32, &[u8])> {
    let [b'.' | b',', rest @ ..] = bytes else { return Some((0, bytes)) };
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = rest.split_at(length);
    if digits.is_empty() {
        return None;
    }
    let mut padded = [b'0'; 9];
    let kept = digits.len().min(9);
    padded[..kept].copy_from_slice(&digits[..kept]);
    let nanoseconds = padded.iter().fold(0, |sum, digit| sum * 10 + i32::from(digit - b'0'));
    Some((nanoseconds, rest))
}

/// The offset that is all of `bytes`: `Some(None)` when there is none, `None` when it is no offset.
fn offset(bytes: &[u8]) -> Option<Option<Offset>> {
    let (sign, digits) = match bytes {
        [] => return Some(None),
        [b'Z' | b'z'] => return Some(Some(Offset::UTC)),
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match digits {
        [_, _] => (digits, &b"00"[..]),
        [_, _, _, _] => digits.split_at(2),
        [_, _, b':', _, _] => (&digits[..2], &digits[3..]),
        _ => return None,
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    if minutes > 59 {
        return None;
    }
    let seconds = i32::from(hours) * 3600 + i32::from(minutes) * 60;
    Some(Some(Offset::from_seconds(sign * seconds).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> Option<String> {
        parse_timestamp(text.as_bytes())?.instant(&TimeZone::UTC).map(|time| time.to_string())
    }

    #[test]
    fn the_same_instant_in_many_spellings() {
        for text in [
            "2025-10-06T07:42:23",
            "2025-10-06 07:42:23",
            "2025-10-06T07:42:23Z",
            "2025-10-06T10:42:23+03:00",
            "2025-10-06T10:42:23+0300",
            "2025-10-06T10:42:23+03",
            "2025-10-06T02:12:23-05:30",
            "2025-10-06T07:42:23.000",
        ] {
            assert_eq!(utc(text).as_deref(), Some("2025-10-06T07:42:23Z"), "{text}");
        }
    }

    #[test]
    fn fractions_are_kept_to_the_nanosecond() {
        let expected = Some("2025-10-06T07:42:23.123456789Z");
        assert_eq!(utc("2025-10-06T07:42:23.123456789").as_deref(), expected);
        assert_eq!(utc("2025-10-06T07:42:23,12345678999").as_deref(), expected);
        assert_eq!(utc("2025-10-06T07:42:23.5").as_deref(), Some("2025-10-06T07:42:23.5Z"));
    }

    #[test]
    fn seconds_may_be_missing_and_may_leap() {
        assert_eq!(utc("2025-10-06T07:42").as_deref(), Some("2025-10-06T07:42:00Z"));
        assert_eq!(utc("2016-12-31T23:59:60Z").as_deref(), Some("2016-12-31T23:59:59Z"));
    }

    #[test]
    fn a_clock_that_knows_the_day_reads_as_one_that_does_not() {
        let mut clock = Clock::new(TimeZone::UTC);
        for day in ["2025-10-06", "1969-12-31", "2024-02-29"] {
            for clock_time in [
                "T23:59:59",
                " 00:00:00",
                "T24:00:00",
                "T07:60:00",
                "T07:42:60",
                "T0x:42:23",
                "T07:42:23.5",
                "T07:42:23Z",
                "T07:42",
                "t07:42:23",
            ] {
                let text = format!("{day}{clock_time}");
                let known = clock.read(text.as_bytes()).map(|(instant, _)| instant.to_string());
                assert_eq!(known, utc(&text), "{text}");
            }
        }
    }

    #[test]
    fn what_is_no_timestamp_is_none() {
        for text in [
            "",
            "2025-10-06",
            "2025-10-06T",
            "2025-13-06T07:42:23",
            "2025-02-29T07:42:23",
            "2025-10-06T24:00:00",
            "2025-10-06T07:42:61",
            "2025-10-06T07:42:23.",
            "2025-10-06T07:42:23+3",
            "2025-10-06T07:42:23+03:0x",
            "2025-10-06T07:42:23+99:00",
            "2025-10-06T07:42:23 ",
            "20251006T074223",
            "2025/10/06T07:42:23",
            "２０２５-10-06T07:42:23",
        ] {
            assert_eq!(utc(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_zone_reads_what_has_no_offset() {
        let zone = TimeZone::fixed(Offset::from_hours(3).unwrap());
        let read = |text: &str| {
            parse_timestamp(text.as_bytes()).unwrap().instant(&zone).unwrap().to_string()
        };
        assert_eq!(read("2025-10-06T07:42:23"), "2025-10-06T04:42:23Z");
        assert_eq!(read("2025-10-06T07:42:23Z"), "2025-10-06T07:42:23Z");
    }

    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_text_reads_as_jiff_reads_it_or_not_at_all(
            text in r"[0-9]{4}-[0-1][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-6][0-9](:[0-6][0-9]([.,][0-9]{1,12})?)?(Z|[+-][0-9]{2}(:?[0-9]{2})?)?",
        ) {
            let ours = utc(&text);
            let theirs = text.parse::<Timestamp>().ok().or_else(|| {
                let local: DateTime = text.parse().ok()?;
                Offset::UTC.to_timestamp(local).ok()
            });
            // jiff refuses more than nine digits, where ours drops the rest.
            if let Some(theirs) = theirs {
                prop_assert_eq!(ours, Some(theirs.to_string()), "{}", text);
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            parse_timestamp(&bytes);
        }
    }
}
