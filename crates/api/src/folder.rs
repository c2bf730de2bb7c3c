//! The folder of this process in which uploads are kept.
//!
//! Several processes may share the folder above. Each makes one of its own in it and locks that
//! for as long as it lives; the lock is the system's, and goes with the process however it ends.
//! So a folder whose lock can be had was left by a process that was killed, and who starts next
//! removes it with what strangers uploaded into it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tempfile::{Builder, TempDir};

/// What the names of such folders begin with.
const PREFIX: &str = "foreshock-uploads-";

/// How often another folder is made when a process that starts takes the new one for a left one.
const TRIES: usize = 10;

/// The folder of this process. Dropping it removes it.
pub struct Folder {
    parent: PathBuf,
    own: Mutex<Option<Own>>,
}

struct Own {
    folder: TempDir,
    /// Locked, where the file system can.
    _lock: File,
}

impl Folder {
    /// Removes what dead processes left in `parent`, and will make a folder in it.
    pub fn new(parent: PathBuf) -> Folder {
        if let Err(error) = remove_left(&parent) {
            tracing::warn!(%error, folder = %parent.display(), "uploads cannot be kept here");
        }
        Folder { parent, own: Mutex::default() }
    }

    /// A new folder for one upload.
    pub fn upload(&self) -> io::Result<TempDir> {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        // Who tidies up temporary folders may have removed it.
        let kept = own.take().filter(|own| own.folder.path().is_dir());
        let kept = match kept {
            Some(kept) => kept,
            None => Own::new(&self.parent)?,
        };
        let upload = Builder::new().prefix("upload-").tempdir_in(kept.folder.path());
        *own = Some(kept);
        upload
    }
}

impl Own {
    fn new(parent: &Path) -> io::Result<Own> {
        for _ in 0..TRIES {
            let folder = Builder::new().prefix(PREFIX).tempdir_in(parent)?;
            let lock = File::open(folder.path())?;
            match lock.try_lock() {
                // Where there are no locks, nobody takes this one for a left one either.
                Ok(()) | Err(fs::TryLockError::Error(_)) if folder.path().is_dir() => {
                    return Ok(Own { folder, _lock: lock });
                }
                _ => {}
            }
        }
        Err(io::Error::other("no folder could be locked"))
    }
}

/// Removes the folders of processes that are gone.
fn remove_left(parent: &Path) -> io::Result<()> {
    for entry in fs::read_dir(parent)?.flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && entry.file_type().is_ok_and(|kind| kind.is_dir());
        let Some(lock) = is_ours.then(|| File::open(entry.path()).ok()).flatten() else {
            continue;
        };
        // Held until it is removed, so that two who start at once are not in each other's way.
        if lock.try_lock().is_ok() {
            match fs::remove_dir_all(entry.path()) {
                Ok(()) => tracing::info!(
                    folder = %entry.path().display(),
                    "removed uploads that a process left which was killed"
                ),
                Err(error) => tracing::warn!(%error, "uploads that were left stay"),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_dead_left_goes_and_what_the_living_have_stays() {
        let parent = tempfile::tempdir().unwrap();
        let left = parent.path().join(format!("{PREFIX}left"));
        fs::create_dir_all(left.join("upload-1")).unwrap();
        fs::write(left.join("upload-1/app.log"), "x").unwrap();
        let other = parent.path().join("other");
        fs::create_dir(&other).unwrap();
        let living = Folder::new(parent.path().to_owned());
        assert!(!left.exists() && other.exists());
        let upload = living.upload().unwrap();
        let second = Folder::new(parent.path().to_owned());
        assert!(upload.path().exists(), "it is locked");
        drop((upload, living, second));
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1, "only the other");
    }

    #[test]
    fn a_folder_that_was_tidied_away_is_made_anew() {
        let parent = tempfile::tempdir().unwrap();
        let folder = Folder::new(parent.path().to_owned());
        let own = folder.upload().unwrap().path().parent().unwrap().to_owned();
        fs::remove_dir_all(own).unwrap();
        assert!(folder.upload().unwrap().path().is_dir());
    }
}
