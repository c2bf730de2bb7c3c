//! A source and the number of a line → that line and its neighbours, as the scanner reads them.
//!
//! Invariants: lines are numbered and decoded as those of events are; memory does not grow with
//! the file or its lines; a plain file is passed over as fast as newlines can be counted.

use std::fs;
use std::io::{self, Cursor, Read};

use memchr::{memchr, memchr_iter};

use crate::{InputError, MAX_LINE, Source, text};

/// How much is read at once, as the scanner does.
const BLOCK: usize = 128 * 1024;

/// What stands at the end of a line that was cut.
const CUT: &str = "…";

/// Some lines of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Around {
    /// The number of the first, from 1.
    pub first: u64,
    /// The lines without their line ends; one longer than [`MAX_LINE`] is cut there, and ends
    /// with `…`.
    pub lines: Vec<String>,
}

/// Reads a line again, with up to `before` lines before and `after` lines behind it. `None` when
/// the source has no such line, or can be read only once.
///
/// # Errors
/// When the source cannot be read so far.
pub fn lines_around(
    source: &Source,
    line: u64,
    before: u64,
    after: u64,
) -> Result<Option<Around>, InputError> {
    let fail = |error| InputError::reading(&source.origin, source.is_packed(), error);
    if line == 0 || !fs::metadata(source.path()).map_err(fail)?.is_file() {
        return Ok(None);
    }
    let mut lines = Lines::new(source.read_again()?).map_err(fail)?;
    around(&mut lines, line, before, after).map_err(fail)
}

fn around<R: Read>(
    lines: &mut Lines<R>,
    line: u64,
    before: u64,
    after: u64,
) -> io::Result<Option<Around>> {
    let first = line.saturating_sub(before).max(1);
    let last = line.saturating_add(after);
    lines.pass(first - 1)?;
    let mut found = Around { first, lines: Vec::new() };
    for _ in first..=last {
        let Some(bytes) = lines.next()? else { break };
        found.lines.push(shown(&bytes));
    }
    let has_line = found.lines.len() as u64 > line - first;
    Ok(has_line.then_some(found))
}

/// A line as the scanner reads it, with a mark where it was cut.
fn shown(line: &[u8]) -> String {
    let kept = if line.len() > MAX_LINE { text::cut(line, MAX_LINE) } else { line };
    let is_cut = kept.len() < line.len();
    let kept = kept.strip_suffix(b"\r").unwrap_or(kept);
    let mut shown = text::decode(kept).0.into_owned();
    if is_cut {
        shown.push_str(CUT);
    }
    shown
}

/// Reads lines, or passes over them.
struct Lines<R> {
    reader: io::Chain<Cursor<Vec<u8>>, R>,
    /// The bytes read and not looked at yet are `buffer[start..filled]`.
    buffer: Vec<u8>,
    start: usize,
    filled: usize,
}

impl<R: Read> Lines<R> {
    /// Lines behind the byte order mark, if there is one.
    fn new(mut reader: R) -> io::Result<Lines<R>> {
        let mut head = Vec::new();
        reader.by_ref().take(3).read_to_end(&mut head)?;
        if head == b"\xef\xbb\xbf" {
            head.clear();
        }
        let reader = Cursor::new(head).chain(reader);
        Ok(Lines { reader, buffer: vec![0; BLOCK], start: 0, filled: 0 })
    }

    /// The bytes at hand; none at the end only.
    fn block(&mut self) -> io::Result<&[u8]> {
        while self.start == self.filled {
            match self.reader.read(&mut self.buffer) {
                Ok(0) => return Ok(&[]),
                Ok(count) => (self.start, self.filled) = (0, count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(&self.buffer[self.start..self.filled])
    }

    /// Passes over so many lines.
    fn pass(&mut self, count: u64) -> io::Result<()> {
        let mut left = count;
        while left > 0 {
            let block = self.block()?;
            if block.is_empty() {
                return Ok(());
            }
            let newlines = memchr_iter(b'\n', block).count() as u64;
            if newlines < left {
                left -= newlines;
                self.start = self.filled;
            } else {
                let last = memchr_iter(b'\n', block).nth(left as usize - 1);
                self.start += last.map_or(0, |newline| newline + 1);
                left = 0;
            }
        }
        Ok(())
    }

    /// The next line without its newline, of a long one little more than is shown.
    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line: Option<Vec<u8>> = None;
        loop {
            let block = self.block()?;
            if block.is_empty() {
                return Ok(line);
            }
            let newline = memchr(b'\n', block);
            let piece = &block[..newline.unwrap_or(block.len())];
            let line_so_far = line.get_or_insert_default();
            let room = MAX_LINE + 1 - line_so_far.len();
            line_so_far.extend_from_slice(&piece[..piece.len().min(room)]);
            self.start += piece.len() + usize::from(newline.is_some());
            if newline.is_some() {
                return Ok(line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::path::{Path, PathBuf};

    use encoding_rs::WINDOWS_1251;
    use flate2::write::GzEncoder;
    use jiff::tz::TimeZone;
    use proptest::prelude::*;
    use zip::write::SimpleFileOptions;

    use super::*;
    use crate::{Limits, Opened};

    /// A file in a folder that is gone with the test.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Place {
            let folder = std::env::temp_dir().join(format!("lines-{name}-{}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            Place(folder)
        }

        fn write(&self, name: &str, bytes: &[u8]) -> Source {
            let path = self.0.join(name);
            fs::write(&path, bytes).unwrap();
            opened(&path)
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn opened(path: &Path) -> Source {
        let opened = Opened::new(&[path.to_owned()], Limits::default());
        assert!(opened.errors.is_empty(), "{:?}", opened.errors);
        opened.sources.into_iter().next().unwrap()
    }

    /// Five lines with Russian in them, ended as asked.
    fn log(end: &str) -> String {
        (1..=5).map(|line| format!("2025-10-06T07:42:2{line} ERROR бд: Сбой {line}{end}")).collect()
    }

    /// Every line with any number of neighbours is what splitting the text gives.
    fn holds(source: &Source, text: &str) {
        let lines: Vec<&str> = text.lines().collect();
        let count = lines.len() as u64;
        for line in 1..=count {
            for (before, after) in [(0, 0), (1, 0), (0, 1), (3, 3), (9, 9)] {
                let first = line.saturating_sub(before).max(1);
                let last = (line + after).min(count);
                let expected = lines[first as usize - 1..last as usize].iter();
                let expected =
                    Around { first, lines: expected.map(|line| (*line).to_owned()).collect() };
                let found = lines_around(source, line, before, after).unwrap();
                assert_eq!(found, Some(expected), "{line} -{before} +{after}");
            }
        }
        for missing in [0, count + 1, count + 2, u64::MAX] {
            assert_eq!(lines_around(source, missing, 3, 3).unwrap(), None, "{missing}");
        }
    }

    #[test]
    fn plain_lines_are_found_with_any_line_end_and_without_the_last() {
        let place = Place::new("plain");
        for (name, text) in [
            ("lf.log", log("\n")),
            ("crlf.log", log("\r\n")),
            ("open.log", log("\n").trim_end().to_owned()),
            ("blank.log", format!("\n\n{}\n\n", log("\n"))),
            ("one.log", "only".to_owned()),
        ] {
            holds(&place.write(name, text.as_bytes()), &text);
        }
        let text = log("\n");
        holds(&place.write("bom.log", format!("\u{feff}{text}").as_bytes()), &text);
        assert_eq!(lines_around(&place.write("none.log", b""), 1, 3, 3).unwrap(), None);
    }

    #[test]
    fn encodings_are_read_as_the_scanner_reads_them() {
        let place = Place::new("encodings");
        let text = log("\r\n");
        holds(&place.write("cp1251.log", &WINDOWS_1251.encode(&text).0), &text);
        let utf16 = |bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            format!("\u{feff}{text}").encode_utf16().flat_map(bytes).collect()
        };
        holds(&place.write("utf16le.log", &utf16(u16::to_le_bytes)), &text);
        holds(&place.write("utf16be.log", &utf16(u16::to_be_bytes)), &text);
    }

    #[test]
    fn packed_logs_are_read_again_however_often() {
        let place = Place::new("packed");
        let text = log("\n");
        let mut gz = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(text.as_bytes()).unwrap();
        holds(&place.write("app.log.gz", &gz.finish().unwrap()), &text);
        let path = place.0.join("logs.zip");
        let mut zip = zip::ZipWriter::new(File::create(&path).unwrap());
        for (name, text) in [("a.log", "другой\n"), ("b.log", &text)] {
            zip.start_file(name, SimpleFileOptions::default()).unwrap();
            zip.write_all(text.as_bytes()).unwrap();
        }
        zip.finish().unwrap();
        // What may be unpacked was unpacked before: it is counted anew.
        let limits = Limits { unpacked: text.len() as u64 + 20, ..Limits::default() };
        let opened = Opened::new(&[path], limits);
        let member = opened.sources.iter().find(|source| source.name.ends_with("b.log")).unwrap();
        holds(member, &text);
    }

    #[test]
    fn a_long_line_is_cut_where_it_can_be_seen() {
        let place = Place::new("long");
        let long = "я".repeat(MAX_LINE);
        let exact = "x".repeat(MAX_LINE);
        let source =
            place.write("long.log", format!("{long}\n{exact}\r\n{exact}y\nend").as_bytes());
        let found = lines_around(&source, 2, 1, 9).unwrap().unwrap().lines;
        assert_eq!(found[0], format!("{}…", "я".repeat(MAX_LINE / 2)));
        // As the scanner counts: the carriage return makes the line longer than is looked at.
        assert_eq!(found[1], format!("{exact}…"));
        assert_eq!(found[2], format!("{exact}…"));
        assert_eq!(found[3], "end");
    }

    #[test]
    fn what_is_gone_is_an_error() {
        let place = Place::new("gone");
        let source = place.write("app.log", b"one\n");
        fs::remove_file(source.path()).unwrap();
        let error = lines_around(&source, 1, 3, 3).unwrap_err();
        assert!(matches!(error, InputError::NotFound { .. }), "{error}");
    }

    /// Bytes that are lines here and there.
    fn noise() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..20),
            Just(b"\n".to_vec()),
            Just(b"\r\n".to_vec()),
            Just(b"2025-10-06T07:42:23 ERROR db: lost\n".to_vec()),
            Just(b"2025-10-06T07:42:23 WARN \xd1\xe1\xee\xe9\r\n".to_vec()),
            (60_000usize..140_000).prop_map(|length| vec![b'x'; length]),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_line_of_every_event_is_the_line_the_scanner_read(bytes in noise()) {
            let place = Place::new("noise");
            let path = place.0.join("noise.log");
            fs::write(&path, &bytes).unwrap();
            let opened = Opened::new(&[path], Limits::default());
            // Noise that is not text is not read at all.
            prop_assume!(opened.errors.is_empty());
            let source = &opened.sources[0];
            let mut scanner = source.scan(source.whole(), &TimeZone::UTC).unwrap().telling_all();
            let mut events = Vec::new();
            while !scanner.is_done() {
                scanner.step(&mut |event| events.push((event.line, event.raw.to_owned()))).unwrap();
            }
            for (line, raw) in events {
                let found = lines_around(source, line, 1, 0).unwrap().unwrap();
                let own = &found.lines[(line - found.first) as usize];
                prop_assert_eq!(own.strip_suffix(CUT).unwrap_or(own), raw);
            }
            prop_assert!(lines_around(source, scanner.counts().lines + 1, 0, 0).unwrap().is_none());
            let last = scanner.counts().lines;
            if last > 0 {
                prop_assert!(lines_around(source, last, 0, 0).unwrap().is_some());
            }
        }
    }
}
