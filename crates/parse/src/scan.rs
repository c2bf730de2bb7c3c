//! A stream of bytes → its ERROR and WARNING events, or all of its events, in blocks, in memory
//! that does not grow.
//!
//! Invariants: a line belongs to the part of the file in which it starts, so the parts of a file
//! can be scanned side by side and each line is seen once; a line is looked at whole, or cut at
//! [`MAX_LINE`] and counted; line numbers count from the start of the part.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use domain::Level;
use jiff::tz::TimeZone;
use memchr::{memchr, memchr_iter, memrchr};

use crate::plain::{self, Head, LineEvent};
use crate::text::{self, Decoded};
use crate::time::Clock;
use crate::{Counts, InputError};

/// The longest line that is looked at, in bytes; the rest of a longer one is passed over.
pub const MAX_LINE: usize = 64 * 1024;

/// How much is read at once: small enough to stay in a core's cache.
const BLOCK: usize = 128 * 1024;

/// How much is read at once behind the end of a part, to finish its last line.
const TAIL: usize = 4 * 1024;

/// Reads one part of a source, block by block.
pub struct Scanner {
    reader: Box<dyn Read + Send>,
    name: String,
    packed: bool,
    /// Bytes until the end of the part; lines that start behind it belong to the next.
    left: u64,
    /// The bytes read and not looked at yet are `buffer[..filled]`.
    buffer: Vec<u8>,
    filled: usize,
    /// Whether bytes are dropped up to the next newline.
    skipping: bool,
    /// Whether a byte order mark may still come.
    at_start: bool,
    /// Whether events of every level are told.
    telling_all: bool,
    clock: Clock,
    counts: Counts,
    /// Bytes on disk that were read, packed as they are.
    taken: Arc<AtomicU64>,
    done: bool,
}

impl Scanner {
    /// A scanner of all of `reader`.
    pub(crate) fn new(
        reader: Box<dyn Read + Send>,
        name: String,
        packed: bool,
        zone: TimeZone,
    ) -> Scanner {
        Scanner {
            reader,
            name,
            packed,
            left: u64::MAX,
            buffer: Vec::new(),
            filled: 0,
            skipping: false,
            at_start: true,
            telling_all: false,
            clock: Clock::new(zone),
            counts: Counts::default(),
            taken: Arc::default(),
            done: false,
        }
    }

    /// Makes `taken` the count of bytes on disk that were read.
    pub(crate) fn counting(mut self, taken: Arc<AtomicU64>) -> Scanner {
        self.taken = taken;
        self
    }

    /// Makes the scanner one of a part behind the start of the file, whose line is open when the
    /// part begins within a line: that line belongs to the part before.
    pub(crate) fn behind_the_start(mut self, line_is_open: bool) -> Scanner {
        self.at_start = false;
        self.skipping = line_is_open;
        self
    }

    /// Ends the scanner with the last line that starts in the next `length` bytes.
    pub(crate) fn ending_after(mut self, length: u64) -> Scanner {
        self.left = length;
        self
    }

    /// Makes the scanner tell events of every level, where it tells ERROR and WARNING only.
    pub fn telling_all(mut self) -> Scanner {
        self.telling_all = true;
        self
    }

    /// What was read so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Bytes on disk that were read so far, packed as they are; somewhat more than the part has,
    /// when its last line ends in the next.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Whether everything was read.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Reads and scans one block.
    ///
    /// # Errors
    /// When reading fails; what was scanned before stays counted, and the scanner is done.
    pub fn step(&mut self, on_event: &mut impl FnMut(&LineEvent)) -> Result<(), InputError> {
        self.try_step(on_event).map_err(|error| {
            self.done = true;
            InputError::reading(&self.name, self.packed, error)
        })
    }

    fn try_step(&mut self, on_event: &mut impl FnMut(&LineEvent)) -> io::Result<()> {
        let inside = self.left > 0;
        let wanted = if inside { self.left.min(BLOCK as u64) as usize } else { TAIL };
        let before = self.filled;
        let read = self.fill(wanted);
        let end_of_file = matches!(read, Ok(count) if count < wanted);
        self.left = self.left.saturating_sub((self.filled - before) as u64);
        if inside {
            self.counts.bytes += (self.filled - before) as u64;
        }
        // Whole lines that came before a failure count.
        self.scan_block(inside, end_of_file, on_event);
        read.map(drop)
    }

    /// Appends up to `wanted` bytes to the buffer, fewer only at the end of the file.
    fn fill(&mut self, wanted: usize) -> io::Result<usize> {
        if self.buffer.len() < self.filled + wanted {
            self.buffer.resize((MAX_LINE + BLOCK + TAIL).min(self.filled + wanted), 0);
        }
        let start = self.filled;
        while self.filled < start + wanted {
            match self.reader.read(&mut self.buffer[self.filled..start + wanted]) {
                Ok(0) => break,
                Ok(count) => self.filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.filled - start)
    }

    fn scan_block(
        &mut self,
        inside: bool,
        end_of_file: bool,
        on_event: &mut impl FnMut(&LineEvent),
    ) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut start = 0;
        if self.at_start && buffer[..self.filled].starts_with(b"\xef\xbb\xbf") {
            start = 3;
        }
        self.at_start = false;
        if self.skipping {
            match memchr(b'\n', &buffer[..self.filled]) {
                Some(newline) => {
                    start = newline + 1;
                    self.skipping = false;
                }
                None => start = self.filled,
            }
        }
        let block = &buffer[start..self.filled];
        // Behind the end of the part only the line that began before it is still wanted.
        let newline = if inside { memrchr(b'\n', block) } else { memchr(b'\n', block) };
        if let Some(newline) = newline {
            match self.telling_all {
                true => self.scan_every_line(&block[..=newline], on_event),
                false => self.scan_lines(&block[..=newline], on_event),
            }
            start += newline + 1;
        }
        let ends_here = end_of_file || (!inside && newline.is_some());
        let rest = if !inside && newline.is_some() { &[] } else { &buffer[start..self.filled] };
        if end_of_file && !rest.is_empty() && !self.skipping {
            self.scan_line(rest, on_event);
            start = self.filled;
        } else if rest.len() > MAX_LINE {
            self.scan_line(rest, on_event);
            self.skipping = true;
            start = self.filled;
        }
        buffer.copy_within(start..self.filled, 0);
        self.filled -= start;
        self.buffer = buffer;
        let line_is_open = self.filled > 0;
        self.done = ends_here || (self.left == 0 && (self.skipping || !line_is_open));
        if self.done {
            self.buffer = Vec::new();
        }
    }

    /// Scans whole lines, the last newline included, when every event is told.
    fn scan_every_line(&mut self, block: &[u8], on_event: &mut impl FnMut(&LineEvent)) {
        let mut start = 0;
        for newline in memchr_iter(b'\n', block) {
            self.scan_line(&block[start..newline], on_event);
            start = newline + 1;
        }
    }

    /// Scans whole lines, the last newline included, when only ERROR and WARNING are told.
    fn scan_lines(&mut self, block: &[u8], on_event: &mut impl FnMut(&LineEvent)) {
        // Counted apart, as nine lines of ten do nothing else.
        let mut plainly_other = 0;
        let mut start = 0;
        while start < block.len() {
            let rest = &block[start..];
            let head = plain::plainly_other(rest);
            let Some(length) = memchr(b'\n', &rest[head..]).map(|at| head + at) else { break };
            start += length + 1;
            if head > 0 && length <= MAX_LINE {
                plainly_other += 1;
            } else {
                self.counts.lines += plainly_other;
                self.counts.others += plainly_other;
                plainly_other = 0;
                self.scan_line(&rest[..length], on_event);
            }
        }
        self.counts.lines += plainly_other;
        self.counts.others += plainly_other;
    }

    /// Scans one line of any kind, and counts it.
    #[inline(never)]
    fn scan_line(&mut self, line: &[u8], on_event: &mut impl FnMut(&LineEvent)) {
        self.counts.lines += 1;
        let mut line = line;
        if line.len() > MAX_LINE {
            line = text::cut(line, MAX_LINE);
            self.counts.cut += 1;
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match plain::classify(line) {
            Head::Event { level: Level::Other, .. } if !self.telling_all => {
                self.counts.others += 1;
            }
            Head::Event { level, timestamp, rest } => {
                self.scan_event(line, level, timestamp, rest, on_event);
            }
            Head::Blank => self.counts.blank += 1,
            Head::NoTimestamp => self.counts.no_timestamp += 1,
            Head::NoLevel => self.counts.no_level += 1,
        }
    }

    fn scan_event(
        &mut self,
        line: &[u8],
        level: Level,
        timestamp: usize,
        rest: usize,
        on_event: &mut impl FnMut(&LineEvent),
    ) {
        let (raw, how) = text::decode(line);
        let number = self.counts.lines;
        let Some(event) = plain::parse(&raw, level, timestamp, rest, number, &mut self.clock)
        else {
            self.counts.bad_timestamp += 1;
            return;
        };
        match level {
            Level::Error => self.counts.errors += 1,
            Level::Warning => self.counts.warnings += 1,
            Level::Other => self.counts.others += 1,
        }
        match how {
            Decoded::Utf8 => {}
            Decoded::Cp1251 => self.counts.cp1251 += 1,
            Decoded::Repaired => self.counts.repaired += 1,
        }
        self.counts.with_offset += u64::from(event.has_offset && level != Level::Other);
        on_event(&event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its bytes a few at a time, as a slow pipe does.
    struct Dribble(Vec<u8>, usize);

    impl Read for Dribble {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0.drain(..count);
            Ok(count)
        }
    }

    fn scan(mut scanner: Scanner) -> (Counts, Vec<(u64, String)>) {
        let mut events = Vec::new();
        while !scanner.is_done() {
            scanner.step(&mut |event| events.push((event.line, event.raw.to_owned()))).unwrap();
        }
        (scanner.counts(), events)
    }

    fn scanner(reader: impl Read + Send + 'static) -> Scanner {
        Scanner::new(Box::new(reader), "x".into(), false, TimeZone::UTC)
    }

    fn whole(bytes: &[u8]) -> (Counts, Vec<(u64, String)>) {
        scan(scanner(io::Cursor::new(bytes.to_vec())))
    }

    /// Scans in parts of `size` bytes, numbering lines over all of them.
    fn in_parts(bytes: &[u8], size: usize) -> (Counts, Vec<(u64, String)>) {
        let (mut counts, mut events) = (Counts::default(), Vec::new());
        for start in (0..bytes.len()).step_by(size) {
            let mut part = scanner(io::Cursor::new(bytes[start..].to_vec()));
            if start > 0 {
                part = part.behind_the_start(bytes[start - 1] != b'\n');
            }
            let (part, found) = scan(part.ending_after(size as u64));
            events.extend(found.into_iter().map(|(line, raw)| (line + counts.lines, raw)));
            counts += part;
        }
        (counts, events)
    }

    const LOG: &str = "\u{feff}2025-10-06T07:42:23 ERROR db: one\r\n\
        2025-10-06T07:42:24 INFO db: ERROR in words\n\
        \n   \t\n\
        Traceback (most recent call last):\n\
        2025-10-06T07:42:25 WARN db: two\0\n\
        2025-10-06 07:42 hello\n\
        2025-13-06T07:42:25 ERROR db: no such month\n\
        2025-10-06T07:42:26+03:00 FATAL db: three";

    #[test]
    fn every_line_is_counted_once_by_its_kind() {
        let (counts, events) = whole(LOG.as_bytes());
        let expected = Counts {
            bytes: LOG.len() as u64,
            lines: 9,
            errors: 2,
            warnings: 1,
            others: 1,
            blank: 2,
            no_timestamp: 1,
            no_level: 1,
            bad_timestamp: 1,
            repaired: 1,
            with_offset: 1,
            ..Counts::default()
        };
        assert_eq!(counts, expected);
        assert_eq!(counts.lines, counts.events() + counts.skipped());
        assert!(counts.mixed_offsets());
        assert_eq!(events.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 6, 9]);
        assert_eq!(events[0].1, "2025-10-06T07:42:23 ERROR db: one");
    }

    #[test]
    fn events_of_every_level_are_told_when_asked_for() {
        let mut scanner = scanner(io::Cursor::new(LOG.as_bytes())).telling_all();
        let mut told = Vec::new();
        while !scanner.is_done() {
            scanner
                .step(&mut |event| told.push((event.line, event.level_word.to_owned())))
                .unwrap();
        }
        let expected = [(1, "ERROR"), (2, "INFO"), (6, "WARN"), (9, "FATAL")];
        assert_eq!(told, expected.map(|(line, word)| (line, word.to_owned())));
        assert_eq!(scanner.counts(), whole(LOG.as_bytes()).0);
    }

    #[test]
    fn parts_of_any_size_give_what_the_whole_gives() {
        let expected = whole(LOG.as_bytes());
        // A part holds more than the byte order mark.
        for size in 4..=LOG.len() {
            assert_eq!(in_parts(LOG.as_bytes(), size), expected, "parts of {size}");
        }
    }

    #[test]
    fn a_slow_reader_gives_the_same() {
        let slow = scanner(Dribble(LOG.as_bytes().to_vec(), 3));
        assert_eq!(scan(slow), whole(LOG.as_bytes()));
    }

    #[test]
    fn a_line_longer_than_the_limit_is_cut_and_counted_wherever_the_parts_fall() {
        let head = "2025-10-06T07:42:23 ERROR db: ";
        let mut log = String::new();
        for length in [MAX_LINE, MAX_LINE + 1, 3 * BLOCK, MAX_LINE - 1] {
            log += head;
            log += &"x".repeat(length - head.len());
            log += "\n";
        }
        log += &"я".repeat(MAX_LINE);
        let (counts, events) = whole(log.as_bytes());
        let lengths: Vec<usize> = events.iter().map(|(_, raw)| raw.len()).collect();
        assert_eq!(lengths, [MAX_LINE, MAX_LINE, MAX_LINE, MAX_LINE - 1]);
        assert_eq!((counts.lines, counts.cut, counts.no_timestamp), (5, 3, 1));
        for size in [777, TAIL, MAX_LINE, BLOCK, 400_000] {
            let parts = in_parts(log.as_bytes(), size);
            assert!(parts == (counts, events.clone()), "parts of {size}: {:?}", parts.0);
        }
    }

    #[test]
    fn nothing_gives_nothing() {
        assert_eq!(whole(b""), (Counts::default(), Vec::new()));
        assert_eq!(whole(b"\n").0.blank, 1);
        assert_eq!(whole(b"\xef\xbb\xbf").0.lines, 0);
    }

    use proptest::prelude::*;

    /// Bytes that look like logs here and there.
    fn noise() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            Just(b"\n".to_vec()),
            Just(b"\r\n".to_vec()),
            Just(b"2025-10-06T07:42:23 ERROR db: lost\n".to_vec()),
            Just(b"2025-10-06T07:42:23.5Z WARN \xd1\xe1\xee\xe9".to_vec()),
            Just(b"2025-10-06 07:42 INFO ".to_vec()),
            Just(b"2025-10-06T07:42:23 DEBUG x\n".to_vec()),
            Just(b"2025-10-06T07:42:23 INFO x\0\n".to_vec()),
        ];
        prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn any_bytes_are_counted_line_by_line_and_parts_change_nothing(
            bytes in noise(), size in 4usize..200,
        ) {
            let (counts, events) = whole(&bytes);
            let newlines = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
            let open = bytes.last().is_some_and(|byte| *byte != b'\n') && bytes != b"\xef\xbb\xbf";
            prop_assert_eq!(counts.lines, newlines + u64::from(open));
            prop_assert_eq!(counts.lines, counts.events() + counts.skipped());
            prop_assert_eq!(counts.bytes, bytes.len() as u64);
            prop_assert_eq!(events.len() as u64, counts.errors + counts.warnings);
            prop_assert_eq!(in_parts(&bytes, size), (counts, events.clone()));
            let (all, told) = scan(scanner(io::Cursor::new(bytes)).telling_all());
            prop_assert_eq!(told.len() as u64, all.events());
            prop_assert_eq!((all.lines, all.errors, all.warnings),
                (counts.lines, counts.errors, counts.warnings));
            prop_assert!(events.iter().all(|event| told.contains(event)));
        }
    }
}
