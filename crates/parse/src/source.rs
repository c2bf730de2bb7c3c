//! One stream of log lines, and the parts of it that can be scanned side by side.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::{DeflateDecoder, MultiGzDecoder};
use jiff::tz::TimeZone;

use crate::archive::{Archive, Checked};
use crate::sniff::{Kind, SNIFF, sniff};
use crate::transcode::Transcoder;
use crate::{InputError, Scanner};

/// A part of a plain file that one core scans at a time, in bytes.
const PART: u64 = 16 * 1024 * 1024;

/// One stream of log lines: a file, or a member of an archive.
#[derive(Clone, Debug)]
pub struct Source {
    /// The name shown to people: the shortest end of the path that no other source has.
    pub name: Arc<str>,
    /// Bytes on disk, packed as they are; 0 for a pipe.
    pub size: u64,
    /// What errors call it: the path as given, with the member of an archive.
    pub(crate) origin: String,
    pub(crate) path: PathBuf,
    pub(crate) kind: Kind,
    pub(crate) archive: Arc<Archive>,
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

impl Source {
    /// The file it is read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The parts that can be scanned side by side, in the order of the file.
    pub fn parts(&self) -> Vec<Part> {
        if self.size == 0 || !matches!(self.kind, Kind::Plain) {
            return vec![self.whole()];
        }
        let part = |start| {
            let end = self.size.min(start + PART);
            Part { start, end: Some(end), size: end - start }
        };
        (0..self.size).step_by(PART as usize).map(part).collect()
    }

    /// All of it as one part, for who reads it in one go.
    pub fn whole(&self) -> Part {
        Part { start: 0, end: None, size: self.size }
    }

    /// Opens a part for scanning; timestamps without offset are read in `zone`.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn scan(&self, part: Part, zone: &TimeZone) -> Result<Scanner, InputError> {
        let fail = |error| InputError::reading(&self.origin, false, error);
        let taken = Arc::default();
        let file = File::open(&self.path).map_err(fail)?;
        let mut file = Counted { file, taken: Arc::clone(&taken) };
        let scanner = |reader: Box<dyn Read + Send>| {
            Scanner::new(reader, self.origin.clone(), self.is_packed(), zone.clone())
        };
        let scanner = match self.kind {
            Kind::Plain => {
                let line_is_open = seek_to_part(&mut file, part).map_err(fail)?;
                let mut scanner = scanner(Box::new(file));
                if part.start > 0 {
                    scanner = scanner.behind_the_start(line_is_open);
                }
                match part.end {
                    Some(end) if end < self.size => scanner.ending_after(end - part.start),
                    // The last part goes on to the end, should the file have grown.
                    _ => scanner,
                }
            }
            _ => scanner(self.text(file)?),
        };
        Ok(scanner.counting(taken))
    }

    /// Opens all of it to be read once more. What an archive unpacks to is counted anew, so that
    /// what was let through once is let through again.
    pub(crate) fn read_again(&self) -> Result<Box<dyn Read + Send>, InputError> {
        let fail = |error| InputError::reading(&self.origin, false, error);
        let file = File::open(&self.path).map_err(fail)?;
        let again = Source { archive: self.archive.anew(), ..self.clone() };
        again.text(Counted { file, taken: Arc::default() })
    }

    pub(crate) fn is_packed(&self) -> bool {
        matches!(self.kind, Kind::Gzip | Kind::Zip { .. })
    }

    /// The text in a file that was just opened, in UTF-8 or cp1251.
    fn text(&self, mut file: Counted) -> Result<Box<dyn Read + Send>, InputError> {
        match self.kind {
            Kind::Plain => Ok(Box::new(file)),
            Kind::Utf16(encoding) => Ok(Box::new(Transcoder::new(file, encoding))),
            Kind::Gzip => self.unpacked(MultiGzDecoder::new(BufReader::new(file))),
            Kind::Zip { start, size, stored, crc } => {
                let fail = |error| InputError::reading(&self.origin, false, error);
                file.file.seek(SeekFrom::Start(start)).map_err(fail)?;
                let data = BufReader::new(file).take(size);
                match stored {
                    true => self.unpacked(Checked::new(data, crc)),
                    false => self.unpacked(Checked::new(DeflateDecoder::new(data), crc)),
                }
            }
        }
    }

    /// Text from what an archive unpacks to, which is told by its first bytes as a file is.
    fn unpacked(
        &self,
        reader: impl Read + Send + 'static,
    ) -> Result<Box<dyn Read + Send>, InputError> {
        let mut reader = self.archive.guard(reader);
        let mut head = Vec::new();
        let failure = reader.by_ref().take(SNIFF as u64).read_to_end(&mut head).err();
        let kind = sniff(&self.origin, &head)?;
        // What came before a failure is read first, as from any stream.
        let whole = io::Cursor::new(head).chain(Failure(failure)).chain(reader);
        match kind {
            Kind::Plain => Ok(Box::new(whole)),
            Kind::Utf16(encoding) => Ok(Box::new(Transcoder::new(whole, encoding))),
            Kind::Gzip | Kind::Zip { .. } => Err(InputError::Packing {
                name: self.origin.clone(),
                method: "gzip inside an archive",
                command: "gzip -d",
            }),
        }
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

/// Nothing to read but an error, once.
struct Failure(Option<io::Error>);

impl Read for Failure {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
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
