//! Packed logs: the members of a zip, and the limits and checks of unpacking.
//!
//! Nothing is ever written to disk, so a hostile name in an archive is only a name.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use zip::{CompressionMethod, ZipArchive};

use crate::error::Refused;
use crate::open::{Named, components};
use crate::sniff::Kind;
use crate::{InputError, Source};

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

/// What an archive has unpacked to so far, over all its members.
#[derive(Debug)]
pub(crate) struct Archive {
    packed: u64,
    unpacked: AtomicU64,
    limits: Limits,
}

impl Archive {
    /// An archive of `packed` bytes, of which nothing was unpacked yet.
    pub fn new(packed: u64, limits: Limits) -> Arc<Archive> {
        Arc::new(Archive { packed, unpacked: AtomicU64::new(0), limits })
    }

    /// The same archive, of which nothing was unpacked yet.
    pub fn anew(&self) -> Arc<Archive> {
        Archive::new(self.packed, self.limits)
    }

    /// Stops a reader of unpacked bytes when the archive unpacks to too much.
    pub fn guard(self: &Arc<Self>, reader: impl Read + Send + 'static) -> Box<dyn Read + Send> {
        Box::new(Guard { reader, archive: Arc::clone(self) })
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
pub(crate) struct Checked<R> {
    reader: R,
    sum: flate2::Crc,
    expected: u32,
}

impl<R: Read> Checked<R> {
    pub fn new(reader: R, expected: u32) -> Self {
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

/// The members of a zip that are logs.
pub(crate) fn members(
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
            origin: format!("{archive_name}: {written}"),
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
}
