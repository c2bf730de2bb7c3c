//! Vectors on disk, between runs: one SQLite file.
//!
//! The file is never trusted: each vector carries a checksum over its key and its bytes, and a
//! vector that does not fit is a miss. It is never fatal: a file that is damaged is deleted and
//! made anew, and where there can be none, everything is a miss.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::Vector;
use rusqlite::{Connection, OptionalExtension, Row, params};
use sha2::{Digest, Sha256};

use crate::{Origin, VectorCache, meter, value};

/// What metrics call this.
const TIER: &str = "disk";

/// Vectors kept; beyond this the oldest go. 384 dimensions take 1.6 KB each.
const MAX_VECTORS: i64 = 200_000;

/// How long another process that writes is waited for.
const BUSY: Duration = Duration::from_secs(5);

/// A file of vectors.
pub struct Store {
    path: PathBuf,
    file: Mutex<File>,
}

/// The file as it is now.
#[derive(Default)]
struct File {
    connection: Option<Connection>,
    trouble: Option<String>,
}

impl Store {
    /// Opens the file, or makes it. Never fails: [`Store::trouble`] says what went wrong.
    pub fn open(path: &Path) -> Store {
        let mut file = File::default();
        match connect(path) {
            Ok(connection) => file.connection = Some(connection),
            Err(error) => file.rebuild(path, &error),
        }
        Store { path: path.to_owned(), file: Mutex::new(file) }
    }

    /// What went wrong with the file so far, for a person to read.
    pub fn trouble(&self) -> Option<String> {
        self.file().trouble.clone()
    }

    fn file(&self) -> MutexGuard<'_, File> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `work` gives, unless there is no file or it fails.
    fn try_with<T>(&self, work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Option<T> {
        let mut file = self.file();
        match work(file.connection.as_mut()?) {
            Ok(done) => Some(done),
            Err(error) => {
                file.rebuild(&self.path, &error);
                None
            }
        }
    }
}

impl VectorCache for Store {
    fn tier(&self) -> &'static str {
        TIER
    }

    fn get(&self, origin: Origin<'_>, texts: &[&str]) -> Vec<Option<Vector>> {
        let found = self.try_with(|connection| read(connection, origin.fingerprint, texts));
        found.unwrap_or_else(|| vec![None; texts.len()])
    }

    fn put(&self, origin: Origin<'_>, texts: &[&str], vectors: &[Vector]) {
        let vectors = texts.iter().copied().zip(vectors);
        self.try_with(|connection| write(connection, origin.fingerprint, vectors));
    }
}

impl File {
    /// Deletes a damaged file and makes it anew; gives up where that does not help.
    fn rebuild(&mut self, path: &Path, error: &rusqlite::Error) {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase, SchemaChanged, Unknown};
        meter::cache_failed(TIER);
        self.connection = None;
        let damaged = matches!(
            error.sqlite_error_code(),
            Some(DatabaseCorrupt | NotADatabase | SchemaChanged | Unknown)
        );
        if damaged {
            for end in ["", "-wal", "-shm", "-journal"] {
                let _ = fs::remove_file(format!("{}{end}", path.display()));
            }
            self.connection = connect(path).ok();
        }
        let path = path.display();
        self.trouble = Some(match &self.connection {
            Some(_) => format!("{path}: was damaged ({error}), made anew"),
            None => format!("{path}: cannot be used ({error}); vectors are not kept"),
        });
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    if let Some(folder) = path.parent() {
        // If this fails, opening says so.
        let _ = fs::create_dir_all(folder);
    }
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    // A vector that a power cut loses is computed again: no need to wait for the disk.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS vectors \
         (age INTEGER PRIMARY KEY, key BLOB UNIQUE NOT NULL, vector BLOB NOT NULL, sum BLOB NOT NULL)",
    )?;
    // A table of the same name and other columns is no table of ours.
    connection.prepare("SELECT age, key, vector, sum FROM vectors LIMIT 1")?;
    Ok(connection)
}

fn read(
    connection: &mut Connection,
    model: &str,
    texts: &[&str],
) -> rusqlite::Result<Vec<Option<Vector>>> {
    // One transaction, so that the file is locked once.
    let transaction = connection.transaction()?;
    let mut select =
        transaction.prepare_cached("SELECT vector, sum FROM vectors WHERE key = ?1")?;
    let read_one = |text: &&str| {
        let key = key(model, text);
        // What is no blob is damaged, and so is an empty one.
        let vector = |row: &Row| {
            let (vector, sum) = (row.get_ref(0)?, row.get_ref(1)?);
            Ok(decode(
                &key,
                vector.as_blob().unwrap_or_default(),
                sum.as_blob().unwrap_or_default(),
            ))
        };
        Ok(select.query_row([&key], vector).optional()?.flatten())
    };
    texts.iter().map(read_one).collect()
}

fn write<'a>(
    connection: &mut Connection,
    model: &str,
    vectors: impl Iterator<Item = (&'a str, &'a Vector)>,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    {
        let mut insert = transaction.prepare_cached(
            "INSERT OR REPLACE INTO vectors (key, vector, sum) VALUES (?1, ?2, ?3)",
        )?;
        for (text, vector) in vectors {
            let key = key(model, text);
            let bytes = value::to_bytes(vector);
            insert.execute(params![&key[..], bytes, sum(&key, &bytes)])?;
        }
        transaction.execute(
            "DELETE FROM vectors WHERE age <= (SELECT max(age) FROM vectors) - ?1",
            [MAX_VECTORS],
        )?;
    }
    transaction.commit()
}

/// The digest of the cache key `embedding:<model>:<normalised message>`.
fn key(model: &str, text: &str) -> Vec<u8> {
    Sha256::digest(format!("embedding:{model}:{text}"))[..16].to_vec()
}

fn sum(key: &[u8], bytes: &[u8]) -> Vec<u8> {
    Sha256::new().chain_update(key).chain_update(bytes).finalize()[..8].to_vec()
}

fn decode(key: &[u8], bytes: &[u8], checksum: &[u8]) -> Option<Vector> {
    if sum(key, bytes) != checksum {
        return None;
    }
    value::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: Origin<'_> = Origin { model: "m", fingerprint: "m@1" };

    fn vector(values: &[f32]) -> Vector {
        values.into()
    }

    fn filled(path: &Path) -> Store {
        let store = Store::open(path);
        store.put(ORIGIN, &["one", "two"], &[vector(&[1.0, 2.0]), vector(&[3.0, 4.0])]);
        store
    }

    #[test]
    fn what_was_put_is_there_for_the_next_process_and_for_no_other_model() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/vectors.db");
        drop(filled(&path));
        let store = Store::open(&path);
        let found = store.get(ORIGIN, &["two", "three", "one"]);
        assert_eq!(found, [Some(vector(&[3.0, 4.0])), None, Some(vector(&[1.0, 2.0]))]);
        let other = Origin { model: "m", fingerprint: "m@2" };
        assert_eq!(store.get(other, &["one"]), [None]);
        assert_eq!(store.trouble(), None);
    }

    #[test]
    fn a_file_that_is_no_database_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vectors.db");
        fs::write(&path, b"this is no database, whatever its name says").unwrap();
        let store = filled(&path);
        assert!(store.trouble().unwrap().contains("made anew"), "{:?}", store.trouble());
        assert!(store.get(ORIGIN, &["one"])[0].is_some());
    }

    #[test]
    fn a_vector_whose_bytes_changed_is_a_miss() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vectors.db");
        let store = filled(&path);
        store
            .file()
            .connection
            .as_ref()
            .unwrap()
            .execute("UPDATE vectors SET vector = ?1", [vec![0u8; 8]])
            .unwrap();
        assert_eq!(store.get(ORIGIN, &["one", "two"]), [None, None]);
    }

    #[test]
    fn a_value_of_another_type_is_a_miss() {
        let folder = tempfile::tempdir().unwrap();
        let store = filled(&folder.path().join("vectors.db"));
        store
            .file()
            .connection
            .as_ref()
            .unwrap()
            .execute("UPDATE vectors SET vector = 'text', sum = 7", [])
            .unwrap();
        assert_eq!(store.get(ORIGIN, &["one"]), [None]);
        assert_eq!(store.trouble(), None);
    }

    #[test]
    fn any_damage_to_the_file_gives_the_right_vector_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vectors.db");
        drop(filled(&path));
        let whole = fs::read(&path).unwrap();
        for start in (0..whole.len()).step_by(211) {
            let mut damaged = whole.clone();
            let end = (start + 97).min(damaged.len());
            damaged[start..end].fill(0xa5);
            fs::write(&path, &damaged).unwrap();
            let store = Store::open(&path);
            for found in store.get(ORIGIN, &["one"]).into_iter().flatten() {
                assert_eq!(found, vector(&[1.0, 2.0]), "damage at {start}");
            }
            store.put(ORIGIN, &["six"], &[vector(&[6.0])]);
            drop(store);
            let _ = fs::remove_file(format!("{}-wal", path.display()));
            let _ = fs::remove_file(format!("{}-shm", path.display()));
        }
    }

    #[test]
    fn where_no_file_can_be_everything_is_a_miss() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), b"").unwrap();
        let store = filled(&folder.path().join("file/vectors.db"));
        assert_eq!(store.get(ORIGIN, &["one"]), [None]);
        assert!(store.trouble().unwrap().contains("not kept"));
    }
}
