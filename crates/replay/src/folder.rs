//! A folder of logs → one stream of its events, in the order of their time.
//!
//! A first pass tells which files are in order as they lie. Those are merged as they are read;
//! the events of all others go through sorted runs on disk. What is learned of a file is kept for
//! the next loop, unless the file has changed.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use parse::{InputError, Limits, Opened, Scanner, Source};
use tracing::{info, warn};

use crate::Stopped;
use crate::block::FileName;
use crate::merge::{FileStream, Merge, Stream};
use crate::spill::{Sorted, Sorter};

/// How many files are merged as they lie; more are sorted on disk. It keeps memory and the number
/// of open files within bounds.
const OPEN_FILES: usize = 256;

/// A folder whose logs are replayed, loop by loop.
pub struct Folder {
    path: PathBuf,
    zone: TimeZone,
    /// The memory of a sorted run, in bytes.
    run: usize,
    known: HashMap<Arc<str>, Known>,
    sorted: Option<SortedFiles>,
    /// What was said of files that cannot be read or are odd: once is enough.
    said: HashSet<String>,
}

/// What is known of a file.
#[derive(Clone)]
struct Known {
    version: Version,
    /// Whether its events lie in the order of their time.
    in_order: bool,
    /// Lines that are no events, when all was read.
    skipped: u64,
}

/// One state of a file. It is taken before the file is read, so that what is written meanwhile
/// makes another.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Version {
    name: Arc<str>,
    size: u64,
    modified: Option<SystemTime>,
}

/// The events of the files that are not in order.
struct SortedFiles {
    /// All files of the loop: the runs know a file by its place among them.
    names: Vec<Arc<str>>,
    versions: Vec<Version>,
    runs: Sorted,
    skipped: u64,
}

/// What a loop replays.
pub struct Logs {
    /// The names of the files, in their order.
    pub names: Vec<Arc<str>>,
    /// The events.
    pub events: Merge,
    /// Lines that are no events.
    pub skipped: u64,
}

impl Folder {
    /// The folder at `path`; timestamps without offset are read in `zone`.
    pub fn new(path: &Path, zone: &TimeZone, run: usize) -> Folder {
        Folder {
            path: path.to_owned(),
            zone: zone.clone(),
            run,
            known: HashMap::new(),
            sorted: None,
            said: HashSet::new(),
        }
    }

    /// Looks at the folder as it is now; `None` when it holds no log, or when stopped.
    ///
    /// # Errors
    /// When there is no room to sort.
    pub fn open(&mut self, stopped: Stopped) -> io::Result<Option<Logs>> {
        let sources = self.sources();
        self.known.retain(|name, _| sources.iter().any(|source| source.name == *name));
        let known: Vec<Known> =
            sources.iter().map(|source| self.look_through(source, stopped)).collect();
        let names: Vec<Arc<str>> = sources.iter().map(|source| Arc::clone(&source.name)).collect();
        let (mut streams, mut skipped) = (Vec::new(), 0);
        let mut to_sort = Vec::new();
        for (index, (source, known)) in sources.iter().zip(known).enumerate() {
            let file = FileName::new(index as u32, &source.name);
            if known.in_order && streams.len() < OPEN_FILES {
                let scanner = self.scanner(source);
                streams.extend(scanner.map(|scanner| FileStream::new(scanner, file).into()));
                skipped += known.skipped;
            } else {
                to_sort.push((source, file, known.version));
            }
        }
        self.sort(&names, to_sort, stopped)?;
        if names.is_empty() || stopped() {
            return Ok(None);
        }
        if let Some(sorted) = &self.sorted {
            streams.extend(sorted.runs.streams().map(Stream::from));
            skipped += sorted.skipped;
        }
        Ok(Some(Logs { names, events: Merge::new(streams)?, skipped }))
    }

    /// The logs in the folder, in the order of their names.
    fn sources(&mut self) -> Vec<Source> {
        let paths = log_files(&self.path).unwrap_or_else(|error| {
            self.say_once(format!("{}: cannot be read: {error}", self.path.display()));
            Vec::new()
        });
        let Opened { sources, notices, errors } = Opened::new(&paths, Limits::default());
        notices.into_iter().for_each(|notice| self.say_once(notice));
        errors.into_iter().for_each(|error| self.left_out(&error));
        sources
    }

    /// Tells whether a file is in order as it lies, at the first look at this version of it.
    fn look_through(&mut self, source: &Source, stopped: Stopped) -> Known {
        let mut known = Known { version: Version::of(source), in_order: true, skipped: 0 };
        if let Some(before) = self.known.get(&source.name)
            && before.version == known.version
        {
            return before.clone();
        }
        // What cannot be read is warned of when it is to be sent.
        let Ok(scanner) = source.scan(source.whole(), &self.zone) else { return known };
        let mut scanner = scanner.telling_all();
        let mut last = Timestamp::MIN;
        while !scanner.is_done() && known.in_order {
            if stopped() {
                return known;
            }
            let _ = scanner.step(&mut |event| {
                known.in_order &= last <= event.time;
                last = event.time;
            });
        }
        known.skipped = scanner.counts().skipped();
        self.known.insert(Arc::clone(&source.name), known.clone());
        known
    }

    /// Sorts the events of these files, unless that was done before.
    fn sort(
        &mut self,
        names: &[Arc<str>],
        files: Vec<(&Source, FileName, Version)>,
        stopped: Stopped,
    ) -> io::Result<()> {
        let versions: Vec<Version> = files.iter().map(|(.., version)| version.clone()).collect();
        let same = |sorted: &SortedFiles| sorted.names == *names && sorted.versions == versions;
        if files.is_empty() || self.sorted.as_ref().is_some_and(same) {
            self.sorted = self.sorted.take().filter(|_| !files.is_empty());
            return Ok(());
        }
        // The room on disk is free again before more is taken.
        self.sorted = None;
        info!(files = files.len(), "sorting files whose lines are not in the order of their time");
        let mut sorter = Sorter::new(self.run)?;
        let mut skipped = 0;
        for (source, file, _) in files {
            let Some(mut scanner) = self.scanner(source) else { continue };
            while !scanner.is_done() {
                if stopped() {
                    return Ok(());
                }
                if let Err(error) = scanner.step(&mut |event| sorter.push(event, &file)) {
                    warn!("{error}. The rest of it is left out; the others go on");
                }
                sorter.relieve()?;
            }
            skipped += scanner.counts().skipped();
        }
        let runs = sorter.finish()?;
        self.sorted = Some(SortedFiles { names: names.to_vec(), versions, runs, skipped });
        Ok(())
    }

    /// Opens a file; one that cannot be opened is warned of.
    fn scanner(&mut self, source: &Source) -> Option<Scanner> {
        match source.scan(source.whole(), &self.zone) {
            Ok(scanner) => Some(scanner.telling_all()),
            Err(error) => {
                self.left_out(&error);
                None
            }
        }
    }

    fn left_out(&mut self, error: &InputError) {
        self.say_once(format!("{error}. It is left out; the others go on"));
    }

    fn say_once(&mut self, what: String) {
        if !self.said.contains(&what) {
            warn!("{what}");
            self.said.insert(what);
        }
    }
}

impl Version {
    fn of(source: &Source) -> Version {
        let metadata = source.path().metadata().ok();
        Version {
            name: Arc::clone(&source.name),
            size: metadata.as_ref().map_or(source.size, |metadata| metadata.len()),
            modified: metadata.and_then(|metadata| metadata.modified().ok()),
        }
    }
}

/// The files of a folder that are logs by their names.
fn log_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in folder.read_dir()? {
        let path = entry?.path();
        // What cannot be looked at is said to be so when it is opened. What is no file, such as a
        // pipe, would be waited for.
        let is_file = path.metadata().map_or(true, |metadata| metadata.is_file());
        if is_file && is_log(&path) {
            files.push(path);
        }
    }
    Ok(files)
}

fn is_log(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_ascii_lowercase());
    let is_log = ending.is_some_and(|ending| ending == "txt" || ending == "log");
    // Editors and macOS put shadows of files beside them.
    is_log && !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_told_by_their_endings() {
        for (name, expected) in [
            ("a.txt", true),
            ("a.LOG", true),
            ("a b.Txt", true),
            ("a.log.gz", false),
            ("log", false),
            (".a.log", false),
            ("._a.txt", false),
        ] {
            assert_eq!(is_log(Path::new(name)), expected, "{name}");
        }
    }
}
