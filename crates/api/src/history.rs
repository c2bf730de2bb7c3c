//! The links found so far, in a database: kept as they are found, listed, followed.
//!
//! Input: the topic of links. Output: pages of links, and word that there are more. Each database
//! has a random id of its own, its instance, which names the group that reads the topic: a process
//! that starts again goes on where it was, and a database that was lost is filled from the topic.
//!
//! Invariants: a link is in the database once; it has a number that grows with each link and is
//! never given again; a position in the topic is committed when what came before it is on the
//! disk. A file that cannot be used is moved aside and told of, and is no reason for anything else
//! to end: where there can be no file, links are kept in memory.

mod database;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use bus::{Bus, BusError};
use live::{Names, StageError};
use rusqlite::Connection;
use serde_json::value::RawValue;
use tokio::sync::watch;

use self::database::{Database, Found};
use crate::results::Filter;

/// Links that are kept where there can be no file.
const KEPT_IN_MEMORY: u64 = 10_000;

/// How far before the last link that a reader was told of it is told anew, when the database is
/// another one meanwhile: links of several partitions are not told in the order of their time.
/// In milliseconds.
const TOLD_ANEW: i64 = 60_000;

/// The links found so far.
pub struct History {
    path: PathBuf,
    kept: u64,
    file: RwLock<File>,
    /// Counts the times that links were added.
    changes: watch::Sender<u64>,
    /// Why links could not be kept, the last time.
    trouble: Mutex<Option<String>>,
}

/// The database as it is now. Whoever asks it holds the lock around it for reading; it is replaced
/// when no connection to it is left.
struct File {
    instance: String,
    /// Where it is; in memory without.
    path: Option<PathBuf>,
    writer: Mutex<Database>,
    /// Idle connections.
    readers: Mutex<Vec<Connection>>,
    links: AtomicU64,
    kept: u64,
}

/// A link as it is kept.
pub struct Kept {
    /// Where it stands.
    pub position: Position,
    /// Its JSON.
    pub record: Box<RawValue>,
}

/// A place among the links found so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    instance: String,
    /// The number of the last link before it.
    seq: i64,
    /// When that was found, in milliseconds since 1970.
    found: i64,
}

/// Links, and the place behind them.
pub struct Page {
    /// The links.
    pub links: Vec<Kept>,
    /// Whether there may be more.
    pub more: bool,
    /// Where to go on.
    pub position: Position,
}

/// Why the history does not answer.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The database does not work.
    #[error("the database of links: {0}")]
    Database(#[from] rusqlite::Error),
    /// It panicked, which was told, or the process ends.
    #[error("interrupted")]
    Interrupted,
    /// The place is one of a database that is no more.
    #[error("of a list that is no more: begin anew, without it")]
    Gone,
}

impl History {
    /// Opens the database, or makes it, with the folders above it; of the links in it the newest
    /// `kept` are kept. Never fails: what goes wrong is told in the log and by
    /// [`History::check`].
    pub fn open(path: &Path, kept: u64) -> History {
        let (file, trouble) = File::open(path, kept);
        History {
            path: path.to_owned(),
            kept,
            file: RwLock::new(file),
            changes: watch::Sender::new(0),
            trouble: Mutex::new(trouble),
        }
    }

    /// Takes its place among those who read the links. Where what all of them have read is gone,
    /// it is to be taken before the first link is sent.
    ///
    /// # Errors
    /// When the bus refuses.
    pub fn join(&self, bus: &dyn Bus, names: &Names) -> Result<(), BusError> {
        let group = names.group(&format!("history-{}", self.instance()));
        live::join(bus, names.links(), group)
    }

    /// Keeps links as they are found, until `stopped`.
    ///
    /// # Errors
    /// When the bus refuses.
    pub fn follow(
        &self,
        bus: &dyn Bus,
        names: &Names,
        stopped: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), StageError> {
        while !stopped() {
            let instance = self.instance();
            // Another database has to be filled from the start.
            let ends = || stopped() || self.instance() != instance;
            let group = names.group(&format!("history-{instance}"));
            live::follow_kept(bus, names.links(), group, &ends, |links| self.keep(links))?;
        }
        Ok(())
    }

    /// Whether links are kept.
    ///
    /// # Errors
    /// Says why not.
    pub fn check(&self) -> Result<(), String> {
        self.trouble().clone().map_or(Ok(()), Err)
    }

    /// How many links are kept.
    pub fn len(&self) -> u64 {
        self.file().links.load(Ordering::Relaxed)
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many links were found since this moment, in milliseconds since 1970.
    pub(crate) fn found_since(&self, moment: i64) -> Result<u64, HistoryError> {
        self.read(|connection, _| database::found_since(connection, moment))
    }

    /// Tells of changes: a value that is another one after links were added.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The newest links, those before `before` if it is given, the newest first.
    pub(crate) fn newest(
        &self,
        filter: &Filter,
        before: Option<&Position>,
        limit: usize,
    ) -> Result<Page, HistoryError> {
        self.read(|connection, instance| {
            if before.is_some_and(|position| position.instance != instance) {
                return Ok(Err(HistoryError::Gone));
            }
            let before = before.map_or(i64::MAX, |position| position.seq);
            let mut found = database::before(connection, filter, before, limit + 1)?;
            let more = found.len() > limit;
            found.truncate(limit);
            let last = found.last().map_or((before, 0), |found| (found.seq, found.found));
            Ok(Ok(page(instance, found, more, last)))
        })?
    }

    /// The links behind `position`, in the order in which they were found: some at a time.
    pub(crate) fn after(&self, position: &Position, filter: &Filter) -> Result<Page, HistoryError> {
        self.read(|connection, instance| {
            // One state of the database for all that is asked.
            let connection = connection.unchecked_transaction()?;
            let seq = match position.instance == instance {
                true => position.seq,
                false => database::before_moment(&connection, position.found - TOLD_ANEW)?,
            };
            let end = database::end(&connection)?;
            let (found, more) = database::after(&connection, filter, seq)?;
            let last = match found.last() {
                Some(found) if more => (found.seq, found.found),
                // What is not as asked is passed over for good.
                Some(found) => (end.max(found.seq), found.found),
                None => (end.max(seq), position.found),
            };
            Ok(page(instance, found, more, last))
        })
    }

    /// The place behind all links but the newest `count` that are as asked.
    pub(crate) fn recent(&self, filter: &Filter, count: usize) -> Result<Position, HistoryError> {
        self.read(|connection, instance| {
            let first = match count {
                0 => None,
                _ => database::nth_newest(connection, filter, count)?,
            };
            let (seq, found) = match (first, count) {
                (Some((seq, found)), _) => (seq - 1, found),
                (None, 0) => database::last(connection)?.unwrap_or((0, live::now())),
                // There are fewer.
                (None, _) => (0, live::now()),
            };
            Ok(Position { instance: instance.to_owned(), seq, found })
        })
    }

    /// Puts links of the bus into the database; those that are there are passed over.
    fn keep(&self, records: &[(Vec<u8>, i64)]) -> Result<(), String> {
        let links: Vec<_> = records
            .iter()
            .filter_map(|(payload, sent)| {
                let link = database::Link::read(payload, *sent);
                link.inspect_err(|error| tracing::warn!(%error, "a link that cannot be read")).ok()
            })
            .collect();
        if links.is_empty() {
            return Ok(());
        }
        let file = self.file();
        let added = lock(&file.writer).add(&links, file.kept);
        let instance = file.instance.clone();
        match added {
            Ok((added, count)) => {
                file.links.store(count, Ordering::Relaxed);
                drop(file);
                if added > 0 {
                    self.changes.send_modify(|changes| *changes += 1);
                }
                if self.path_is_used() {
                    *self.trouble() = None;
                }
                Ok(())
            }
            Err(error) => {
                drop(file);
                let reason = format!("links are not kept: {}: {error}", self.path.display());
                *self.trouble() = Some(reason.clone());
                self.mend(&error, &instance);
                Err(reason)
            }
        }
    }

    /// What `ask` finds in the database of this instance.
    fn read<T>(
        &self,
        ask: impl Fn(&Connection, &str) -> rusqlite::Result<T>,
    ) -> Result<T, HistoryError> {
        let file = self.file();
        let answer = file.read(|connection| ask(connection, &file.instance));
        let instance = file.instance.clone();
        drop(file);
        answer.map_err(|error| {
            self.mend(&error, &instance);
            error.into()
        })
    }

    /// Moves a database aside that turned out to be damaged, and begins another.
    fn mend(&self, error: &rusqlite::Error, instance: &str) {
        if !database::is_damage(error) {
            return;
        }
        let mut file = self.file.write().unwrap_or_else(PoisonError::into_inner);
        if file.instance != instance {
            return;
        }
        // No connection may be left: the last one to go would take the new file's log with it.
        *file = File::in_memory();
        move_aside(&self.path, "damaged", error);
        let (new, trouble) = File::open(&self.path, self.kept);
        *file = new;
        drop(file);
        *self.trouble() = trouble;
    }

    fn path_is_used(&self) -> bool {
        self.file().path.is_some()
    }

    fn instance(&self) -> String {
        self.file().instance.clone()
    }

    fn file(&self) -> std::sync::RwLockReadGuard<'_, File> {
        self.file.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn trouble(&self) -> MutexGuard<'_, Option<String>> {
        lock(&self.trouble)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn page(instance: &str, found: Vec<Found>, more: bool, (seq, moment): (i64, i64)) -> Page {
    let at = |seq, found| Position { instance: instance.to_owned(), seq, found };
    let links = found
        .into_iter()
        .map(|Found { seq, found, record }| Kept { position: at(seq, found), record })
        .collect();
    Page { links, more, position: at(seq, moment) }
}

impl File {
    /// The database at `path`, or one in memory and why.
    fn open(path: &Path, kept: u64) -> (File, Option<String>) {
        let mut opened = Database::open(path);
        if let Err(error) = &opened
            && let Some(what) = error.unfit()
        {
            move_aside(path, what, error);
            opened = Database::open(path);
        }
        match opened {
            Ok(database) => (File::new(database, Some(path.to_owned()), kept), None),
            Err(error) => {
                let reason = format!(
                    "{}: {error}; links are kept in memory, and gone with the process",
                    path.display()
                );
                tracing::error!("{reason}");
                (File::in_memory(), Some(reason))
            }
        }
    }

    fn in_memory() -> File {
        File::new(Database::in_memory(), None, KEPT_IN_MEMORY)
    }

    fn new(database: Database, path: Option<PathBuf>, kept: u64) -> File {
        File {
            instance: database.instance().to_owned(),
            path,
            links: AtomicU64::new(database.count()),
            writer: Mutex::new(database),
            readers: Mutex::default(),
            kept,
        }
    }

    fn read<T>(&self, ask: impl Fn(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let Some(path) = &self.path else { return ask(lock(&self.writer).connection()) };
        let idle = lock(&self.readers).pop();
        let connection = idle.map_or_else(|| database::connect(path), Ok)?;
        let answer = ask(&connection)?;
        lock(&self.readers).push(connection);
        Ok(answer)
    }
}

/// Gives a file that cannot be used another name.
fn move_aside(path: &Path, what: &str, error: &impl fmt::Display) {
    let aside = format!("{}.{what}-{}", path.display(), live::now());
    for end in ["", "-wal", "-shm"] {
        let from = format!("{}{end}", path.display());
        if let Err(error) = std::fs::rename(&from, format!("{aside}{end}"))
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::error!("{from}: cannot be moved aside: {error}");
        }
    }
    let path = path.display();
    tracing::error!("{path}: {error}; moved to {aside}, and the links are read from the bus anew");
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "{}-{}-{}", self.instance, self.seq, self.found)
    }
}

impl FromStr for Position {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Position, &'static str> {
        let parts: Vec<&str> = text.split('-').collect();
        let number = |text: &str| text.parse().ok().filter(|number: &i64| *number >= 0);
        match parts[..] {
            [instance, seq, found] if database::is_instance(instance) => {
                let seq_and_found = number(seq).zip(number(found));
                let (seq, found) = seq_and_found.ok_or("is none that was given out here")?;
                Ok(Position { instance: instance.to_owned(), seq, found })
            }
            _ => Err("is none that was given out here"),
        }
    }
}
