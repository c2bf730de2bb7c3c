//! Which process sends and polls.
//!
//! Input: the path of the database. Output: a lock that at most one process holds. Invariant: the
//! system gives it back when its holder ends, in whatever way, so there is nothing to expire.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use crate::NotifyError;

/// Held by the process that sends, until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "closing it gives the lock back")] File);

impl Lock {
    /// Takes the lock, unless another process has it.
    pub fn try_take(database: &Path) -> Result<Option<Lock>, NotifyError> {
        let path = beside(database);
        let refused = |error: std::io::Error| {
            NotifyError::Setting(format!("DB_PATH: {}: {error}", path.display()))
        };
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(refused)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(refused(error)),
        }
    }
}

/// SQLite's own locks are on the database itself.
fn beside(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".sender");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("x.db");
        let first = Lock::try_take(&database).unwrap();
        assert!(first.is_some());
        assert!(Lock::try_take(&database).unwrap().is_none());
        drop(first);
        assert!(Lock::try_take(&database).unwrap().is_some());
    }
}
