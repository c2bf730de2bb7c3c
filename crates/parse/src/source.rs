//! Files of logs → the parts that can be scanned side by side.
//!
//! What a file is is told by its first bytes, not by its name: plain text (UTF-8, cp1251 or, with
//! a byte order mark, UTF-16), gzip, or zip, whose members named `.txt` and `.log` are one source
//! each. Nothing is ever written to disk, so a hostile name in an archive is only a name.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use encoding_rs::{Decoder, Encoding};
use flate2::read::{DeflateDecoder, MultiGzDecoder};
use jiff::tz::TimeZone;
use zip::{CompressionMethod, ZipArchive};

use crate::error::Refused;
use crate::{InputError, Scanner, names};

/// A part of a plain file that one core scans at a time, in bytes.
const PART: u64 = 16 * 1024 * 1024;

/// How much of a file is looked at to tell what it is, in bytes.
const SNIFF: usize = 64 * 1024;

/// Archives below this size unpacked are never refused for their ratio, in bytes: short logs of
/// one repeated line pack very well.
const RATIO_FREE: u64 = 64 * 1024 * 1024;

/// How much an archive may unpack to.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes that one archive may unpack to.
    pub unpacked: u64,
    /// How many times its own size an archive may unpack to.
    pub ratio: u64,
}

impl Default for Limits {
    /// 64 GiB, and 400 times the packed size (deflate reaches about 1,000 on nothing but zeros,
    /// logs 10 to 100).
    fn default() -> Self {
        Limits { unpacked: 64 << 30, ratio: 400 }
    }
}

/// One stream of log lines: a file, or a member of an archive.
#[derive(Clone, Debug)]
pub struct Source {
    /// The name shown to people: the shortest end of the path that no other source has.
    pub name: Arc<str>,
    /// Bytes on disk, packed as they are; 0 for a pipe.
    pub size: u64,
    path: PathBuf,
    kind: Kind,
    archive: Arc<Archive>,
}

#[derive(Clone, Debug)]
enum Kind {
    Plain,
    Utf16(&'static Encoding),
    Gzip,
    Zip { start: u64, size: u64, stored: bool, crc: u32 },
}

/// What an archive has unpacked to so far, over all its members.
#[derive(Debug)]
struct Archive {
    packed: u64,
    unpacked: AtomicU64,
    limits: Limits,
}

/// A part of a source that can be scanned on its own.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    start: u64,
    /// `None`: to the end of the stream.
    end: Option<u64>,
    /// Bytes on disk.
    pub size: u64,
}

/// The sources that a list of paths holds.
#[derive(Debug, Default)]
pub struct Opened {
    /// The sources, in the order of their names.
    pub sources: Vec<Source>,
    /// What a person should know of files that were passed over or read in an unexpected way.
    pub notices: Vec<String>,
    /// Paths that could not be opened.
    pub errors: Vec<InputError>,
}

impl Opened {
    /// Looks at every path. The result does not depend on their order.
    pub fn new(paths: &[PathBuf], limits: Limits) -> Opened {
        let mut opened = Opened::default();
        let mut found = Vec::new();
        let mut seen = HashSet::new();
        for path in paths {
            if !seen.insert(fs::canonicalize(path).unwrap_or_else(|_| path.clone())) {
                opened.notices.push(format!("{}: given twice, read once", path.display()));
                continue;
            }
            match open(path, limits, &mut opened.notices) {
                Ok(sources) => found.extend(sources),
                Err(error) => opened.errors.push(error),
            }
        }
        found.sort_by(|one, other| one.1.cmp(&other.1));
        let (sources, paths): (Vec<Source>, Vec<Vec<String>>) = found.into_iter().unzip();
        for (mut source, name) in sources.into_iter().zip(names::shorten(&paths)) {
            source.name = name.into();
            opened.sources.push(source);
        }
        opened.sources.sort_by(|one, other| one.name.cmp(&other.name));
        opened.notices.sort();
        opened.errors.sort_by_key(ToString::to_string);
        opened
    }
}

/// A source, with the path its name is cut from.
type Named = (Source, Vec<String>);

fn open(path: &Path, limits: Limits, notices: &mut Vec<String>) -> Result<Vec<Named>, InputError> {
    let name = path.display().to_string();
    let fail = |error| InputError::reading(&name, false, error);
    let metadata = fs::metadata(path).map_err(fail)?;
    if metadata.is_dir() {
        return Err(InputError::Folder { name });
    }
    let archive = Archive { packed: metadata.len(), unpacked: AtomicU64::new(0), limits };
    let source = |kind, size, archive| Source {
        name: Arc::from(""),
        size,
        path: path.to_owned(),
        kind,
        archive,
    };
    let components = components(path);
    if !metadata.is_file() {
        // A pipe can be read only once, so it is taken for text.
        return Ok(vec![(source(Kind::Plain, 0, Arc::new(archive)), components)]);
    }
    if metadata.len() == 0 {
        notices.push(format!("{name}: is empty"));
    }
    let mut head = Vec::new();
    File::open(path).map_err(fail)?.take(SNIFF as u64).read_to_end(&mut head).map_err(fail)?;
    if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
        return members(path, &name, Arc::new(archive), notices);
    }
    let kind = sniff(&name, &head)?;
    let mut shown = components;
    if matches!(kind, Kind::Gzip) {
        unzipped_name(&mut shown);
    }
    Ok(vec![(source(kind, metadata.len(), Arc::new(archive)), shown)])
}

/// The components of a path that can tell it from others.
fn components(path: &Path) -> Vec<String> {
    path.components()
        .filter(|component| !matches!(component, Component::CurDir | Component::RootDir))
        .map(|component| component.as_os_str().to_string_lossy().into_owned())
        .collect()
}

/// `app.log.gz` holds `app.log`.
fn unzipped_name(path: &mut [String]) {
    if let Some(name) = path.last_mut()
        && let Some(stem) = name.strip_suffix(".gz")
        && !stem.is_empty()
    {
        *name = stem.to_owned();
    }
}

/// Tells what a file is by its first bytes.
fn sniff(name: &str, head: &[u8]) -> Result<Kind, InputError> {
    let packing =
        |method, command| Err(InputError::Packing { name: name.to_owned(), method, command });
    match head {
        [0x1f, 0x8b, ..] => return Ok(Kind::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => return packing("zstd", "zstd -d"),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => return packing("xz", "xz -d"),
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => return packing("bzip2", "bzip2 -d"),
        [b'7', b'z', 0xbc, 0xaf, ..] => return packing("7-Zip", "7z x"),
        [b'R', b'a', b'r', b'!', ..] => return packing("RAR", "unrar x"),
        [0xff, 0xfe, ..] => return Ok(Kind::Utf16(encoding_rs::UTF_16LE)),
        [0xfe, 0xff, ..] => return Ok(Kind::Utf16(encoding_rs::UTF_16BE)),
        _ => {}
    }
    match binary(head) {
        Some(reason) => Err(InputError::Binary { name: name.to_owned(), reason }),
        None => Ok(Kind::Plain),
    }
}

/// Why bytes are not text, if they are not. NUL alone does not count: a log that was cut while it
/// was written to begins with a hole of them.
fn binary(head: &[u8]) -> Option<String> {
    if head.starts_with(b"\x7fELF") || head.starts_with(b"MZ") && head.contains(&0) {
        return Some("it is a program".to_owned());
    }
    let is_control = |byte: &u8| matches!(byte, 0x01..=0x08 | 0x0e..=0x1a | 0x1c..=0x1f | 0x7f);
    let controls = head.iter().filter(|byte| is_control(byte)).count();
    let text = head.iter().filter(|byte| **byte != 0).count();
    // Random bytes hold 11 % of these, text hardly any.
    (controls * 50 > text).then(|| {
        format!(
            "{controls} of its first {} bytes are control \
        characters",
            head.len()
        )
    })
}

/// The members of a zip that are logs.
fn members(
    path: &Path,
    archive_name: &str,
    archive: Arc<Archive>,
    notices: &mut Vec<String>,
) -> Result<Vec<Named>, InputError> {
    let damaged = |error: zip::result::ZipError| InputError::Damaged {
        name: archive_name.to_owned(),
        reason: error.to_string(),
    };
    let file = File::open(path).map_err(|error| InputError::reading(archive_name, true, error))?;
    let mut zip = ZipArchive::new(BufReader::new(file)).map_err(damaged)?;
    let mut sources = Vec::new();
    for index in 0..zip.len() {
        let member = zip.by_index_raw(index).map_err(damaged)?;
        let written = String::from_utf8_lossy(member.name_raw()).into_owned();
        if member.is_dir() {
            continue;
        }
        if !is_log(&written) {
            notices.push(format!("{archive_name}: {written:?} passed over: not .txt or .log"));
            continue;
        }
        if member.encrypted() {
            return Err(InputError::Encrypted { name: format!("{archive_name}: {written}") });
        }
        let stored = match member.compression() {
            CompressionMethod::Stored => true,
            CompressionMethod::Deflated => false,
            _ => {
                return Err(InputError::Packing {
                    name: format!("{archive_name}: {written}"),
                    method: "a method other than deflate",
                    command: "unzip",
                });
            }
        };
        let (inside, hostile) = member_components(&written);
        if hostile {
            let name = inside.last().map_or("", String::as_str);
            notices.push(format!(
                "{archive_name}: {written:?} names a place outside the archive; nothing is \
                 written there, and it is read as {name}"
            ));
        }
        let size = member.compressed_size();
        let start = member.data_start().ok_or_else(|| InputError::Damaged {
            name: archive_name.to_owned(),
            reason: format!("no data for {written}"),
        })?;
        let kind = Kind::Zip { start, size, stored, crc: member.crc32() };
        let source = Source {
            name: Arc::from(""),
            size,
            path: path.to_owned(),
            kind,
            archive: Arc::clone(&archive),
        };
        let mut shown = components(path);
        shown.extend(inside);
        sources.push((source, shown));
    }
    if sources.is_empty() {
        return Err(InputError::NoLogs { name: archive_name.to_owned() });
    }
    Ok(sources)
}

fn is_log(name: &str) -> bool {
    let base = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let extension = Path::new(base).extension().map(|extension| extension.to_ascii_lowercase());
    let is_text = extension.is_some_and(|extension| extension == "txt" || extension == "log");
    // macOS puts a shadow of every file beside it.
    is_text && !base.starts_with("._")
}

/// The components of a member's name that mean something, and whether it pointed elsewhere.
fn member_components(name: &str) -> (Vec<String>, bool) {
    let absolute = name.starts_with(['/', '\\']) || name.as_bytes().get(1) == Some(&b':');
    let parts = name.split(['/', '\\']);
    let upward = parts.clone().any(|part| part == "..");
    let kept = parts.filter(|part| !matches!(*part, "" | "." | "..")).map(str::to_owned);
    (kept.collect(), absolute || upward)
}

impl Source {
    /// The parts that can be scanned side by side, in the order of the file.
    pub fn parts(&self) -> Vec<Part> {
        if self.size == 0 || !matches!(self.kind, Kind::Plain) {
            return vec![Part { start: 0, end: None, size: self.size }];
        }
        let part = |start| {
            let end = self.size.min(start + PART);
            Part { start, end: Some(end), size: end - start }
        };
        (0..self.size).step_by(PART as usize).map(part).collect()
    }

    /// Opens a part for scanning; timestamps without offset are read in `zone`.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn scan(&self, part: Part, zone: &TimeZone) -> Result<Scanner, InputError> {
        let fail = |error| InputError::reading(&self.name, false, error);
        let taken = Arc::default();
        let file = File::open(&self.path).map_err(fail)?;
        let mut file = Counted { file, taken: Arc::clone(&taken) };
        let scanner = |packed, reader: Box<dyn Read + Send>| {
            Scanner::new(reader, self.name.to_string(), packed, zone.clone())
        };
        let scanner = match self.kind {
            Kind::Plain => {
                let line_is_open = seek_to_part(&mut file, part).map_err(fail)?;
                let mut scanner = scanner(false, Box::new(file));
                if part.start > 0 {
                    scanner = scanner.behind_the_start(line_is_open);
                }
                match part.end {
                    Some(end) if end < self.size => scanner.ending_after(end - part.start),
                    // The last part goes on to the end, should the file have grown.
                    _ => scanner,
                }
            }
            Kind::Utf16(encoding) => scanner(false, Box::new(Transcoder::new(file, encoding))),
            Kind::Gzip => scanner(true, self.guard(MultiGzDecoder::new(BufReader::new(file)))),
            Kind::Zip { start, size, stored, crc } => {
                file.file.seek(SeekFrom::Start(start)).map_err(fail)?;
                let data = BufReader::new(file).take(size);
                let reader = match stored {
                    true => self.guard(Checked::new(data, crc)),
                    false => self.guard(Checked::new(DeflateDecoder::new(data), crc)),
                };
                scanner(true, reader)
            }
        };
        Ok(scanner.counting(taken))
    }

    fn guard(&self, reader: impl Read + Send + 'static) -> Box<dyn Read + Send> {
        Box::new(Guard { reader, archive: Arc::clone(&self.archive) })
    }
}

/// Goes to the start of a part. Returns whether it lies within a line.
fn seek_to_part(file: &mut Counted, part: Part) -> io::Result<bool> {
    let mut before = [b'\n'];
    if part.start > 0 {
        file.file.seek(SeekFrom::Start(part.start - 1))?;
        file.file.read_exact(&mut before)?;
    }
    Ok(before != *b"\n")
}

/// Counts what is read from disk.
struct Counted {
    file: File,
    taken: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.taken.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Stops an archive that unpacks to too much.
struct Guard<R> {
    reader: R,
    archive: Arc<Archive>,
}

impl<R: Read> Read for Guard<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        let Archive { packed, unpacked, limits } = &*self.archive;
        let unpacked = unpacked.fetch_add(count as u64, Ordering::Relaxed) + count as u64;
        let refuse = |limit| Err(io::Error::other(Refused { packed: *packed, unpacked, limit }));
        if unpacked > limits.unpacked {
            return refuse(format!("{} bytes", limits.unpacked));
        }
        if unpacked > RATIO_FREE && unpacked / (*packed).max(1) >= limits.ratio {
            return refuse(format!("{} times its size", limits.ratio));
        }
        Ok(count)
    }
}

/// Checks the sum of what was read, at its end.
struct Checked<R> {
    reader: R,
    sum: flate2::Crc,
    expected: u32,
}

impl<R: Read> Checked<R> {
    fn new(reader: R, expected: u32) -> Self {
        Checked { reader, sum: flate2::Crc::new(), expected }
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.sum.update(&buffer[..count]);
        if count == 0 && !buffer.is_empty() && self.sum.sum() != self.expected {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its checksum is wrong"));
        }
        Ok(count)
    }
}

/// UTF-16 → UTF-8.
struct Transcoder {
    file: BufReader<Counted>,
    decoder: Decoder,
    input: Vec<u8>,
    ready: Vec<u8>,
    taken: usize,
    ended: bool,
}

impl Transcoder {
    fn new(file: Counted, encoding: &'static Encoding) -> Transcoder {
        Transcoder {
            file: BufReader::new(file),
            decoder: encoding.new_decoder_with_bom_removal(),
            input: vec![0; SNIFF],
            ready: Vec::new(),
            taken: 0,
            ended: false,
        }
    }

    fn refill(&mut self) -> io::Result<()> {
        let count = self.file.read(&mut self.input)?;
        self.ended = count == 0;
        let room = self.decoder.max_utf8_buffer_length(count).unwrap_or(4 * SNIFF);
        self.ready.resize(room, 0);
        let (_, _, written, _) =
            self.decoder.decode_to_utf8(&self.input[..count], &mut self.ready, self.ended);
        self.ready.truncate(written);
        self.taken = 0;
        Ok(())
    }
}

impl Read for Transcoder {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.ready.len() && !self.ended {
            self.refill()?;
        }
        let count = (&self.ready[self.taken..]).read(buffer)?;
        self.taken += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_climb_out_of_an_archive_are_cut_to_what_is_inside() {
        for (name, kept, hostile) in [
            ("logs/app.log", vec!["logs", "app.log"], false),
            ("../../etc/app.log", vec!["etc", "app.log"], true),
            ("/etc/app.log", vec!["etc", "app.log"], true),
            ("C:\\logs\\app.log", vec!["C:", "logs", "app.log"], true),
        ] {
            let kept = kept.into_iter().map(str::to_owned).collect();
            assert_eq!(member_components(name), (kept, hostile), "{name}");
        }
    }

    #[test]
    fn text_is_text_even_with_colours_holes_and_russian() {
        for head in [
            "2025-10-06T07:42:23 ERROR db: \u{1b}[31mСбой\u{1b}[0m\r\n".as_bytes(),
            &[0; 4096],
            b"",
        ] {
            assert!(binary(head).is_none());
        }
    }

    #[test]
    fn programs_and_noise_are_binary() {
        let noise: Vec<u8> =
            (0..4096u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for head in [&b"\x7fELF\x02\x01"[..], b"MZ\x90\0", &noise, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"]
        {
            assert!(binary(head).is_some(), "{head:?}");
        }
    }
}
