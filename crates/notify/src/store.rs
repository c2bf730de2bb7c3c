//! The database: subscribers, the outbox, and what else must outlive a crash. One SQLite file.
//!
//! Input: links and commands. Output: who is to be told what. The outbox is a log that all receivers
//! share; each has a position in it, and everything up to the position is settled. So order is a matter
//! of course, and a crash repeats at most what was in flight. Invariants: what changes together is one
//! transaction; a link is kept until every active receiver is behind it; times are milliseconds since
//! 1970 and come from the caller.

mod outbox;
mod people;

use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use crate::NotifyError;

pub use outbox::Totals;
pub(crate) use outbox::{Old, Queued, Settle};
pub(crate) use people::{Change, Digest, Language, Place, Receiver, To};

/// Milliseconds since 1970.
pub(crate) type Millis = i64;

/// How long another process that writes is waited for.
const BUSY: Duration = Duration::from_secs(10);

/// One step for each version of the schema; a file of an older version goes through the rest.
const MIGRATIONS: [&str; 1] = [include_str!("store/schema.sql")];

/// The database.
pub(crate) struct Store {
    /// Waits for the disk: what it accepted survives a power cut.
    durable: Mutex<Connection>,
    /// Does not wait for the disk: what a power cut takes back is done again.
    quick: Mutex<Connection>,
}

impl Store {
    /// Opens the file, or makes it and its folder.
    pub fn open(path: &Path) -> Result<Store, NotifyError> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(|error| {
                NotifyError::Setting(format!("DB_PATH: {}: {error}", folder.display()))
            })?;
        }
        let named = |error: rusqlite::Error| {
            NotifyError::Setting(format!("DB_PATH: {}: {error}", path.display()))
        };
        let mut durable = connect(path, "FULL").map_err(named)?;
        migrate(&mut durable, path)?;
        let quick = connect(path, "NORMAL").map_err(named)?;
        Ok(Store { durable: Mutex::new(durable), quick: Mutex::new(quick) })
    }

    /// Does `work` in one transaction that the disk has when this returns.
    fn durably<T>(
        &self,
        work: impl FnOnce(&Transaction) -> rusqlite::Result<T>,
    ) -> Result<T, NotifyError> {
        transact(&mut hold(&self.durable), work)
    }

    /// Does `work` in one transaction.
    fn quickly<T>(
        &self,
        work: impl FnOnce(&Transaction) -> rusqlite::Result<T>,
    ) -> Result<T, NotifyError> {
        transact(&mut hold(&self.quick), work)
    }

    /// Looks, without a change.
    fn look<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, NotifyError> {
        Ok(work(&hold(&self.quick))?)
    }

    /// A number that was noted.
    pub fn fact(&self, name: &str) -> Result<Option<i64>, NotifyError> {
        self.look(|connection| fact(connection, name))
    }
}

fn fact(connection: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT value FROM facts WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()
}

fn set_fact(connection: &Connection, name: &str, value: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO facts (name, value) VALUES (?1, ?2)")?
        .execute((name, value))?;
    Ok(())
}

fn add_to_fact(connection: &Connection, name: &str, more: i64) -> rusqlite::Result<()> {
    let add = "INSERT INTO facts (name, value) VALUES (?1, ?2) \
               ON CONFLICT (name) DO UPDATE SET value = value + excluded.value";
    connection.prepare_cached(add)?.execute((name, more))?;
    Ok(())
}

fn hold(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

fn transact<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Transaction) -> rusqlite::Result<T>,
) -> Result<T, NotifyError> {
    // Immediate: a transaction that begins by reading could not be waited for when it writes.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = work(&transaction)?;
    transaction.commit()?;
    Ok(done)
}

fn connect(path: &Path, synchronous: &str) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", synchronous)?;
    Ok(connection)
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), NotifyError> {
    let too_new = transact(connection, |transaction| {
        let version: usize =
            transaction.query_row("PRAGMA user_version", [], |row| row.get::<_, u32>(0))? as usize;
        for step in MIGRATIONS.iter().skip(version) {
            transaction.execute_batch(step)?;
        }
        if version < MIGRATIONS.len() {
            transaction.pragma_update(None, "user_version", MIGRATIONS.len() as u32)?;
        }
        Ok((version > MIGRATIONS.len()).then_some(version))
    })?;
    match too_new {
        None => Ok(()),
        Some(version) => Err(NotifyError::Setting(format!(
            "DB_PATH: {}: version {version} is of a newer Foreshock; this one knows {}",
            path.display(),
            MIGRATIONS.len()
        ))),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A database in a folder of its own.
    pub(crate) fn fresh() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("db/subscribers.db")).unwrap();
        (folder, store)
    }

    #[test]
    fn the_file_and_its_folder_are_made_and_opened_again() {
        let (folder, store) = fresh();
        store.durably(|it| set_fact(it, "x", 7)).unwrap();
        drop(store);
        let store = Store::open(&folder.path().join("db/subscribers.db")).unwrap();
        assert_eq!(store.fact("x").unwrap(), Some(7));
        let mode: String =
            store.look(|it| it.query_row("PRAGMA journal_mode", [], |row| row.get(0))).unwrap();
        assert_eq!(mode, "wal");
    }

    #[test]
    fn a_file_of_a_newer_version_and_a_file_that_is_no_database_are_refused_and_kept() {
        let (folder, store) = fresh();
        store.durably(|it| it.pragma_update(None, "user_version", 99)).unwrap();
        drop(store);
        let path = folder.path().join("db/subscribers.db");
        let error = Store::open(&path).err().unwrap().to_string();
        assert!(error.starts_with("DB_PATH: ") && error.contains("newer"), "{error}");
        let other = folder.path().join("notes.txt");
        fs::write(&other, "this is no database, whatever one says of it").unwrap();
        let error = Store::open(&other).err().unwrap().to_string();
        assert!(error.starts_with("DB_PATH: "), "{error}");
        assert!(fs::read_to_string(&other).unwrap().starts_with("this is no"));
    }
}
