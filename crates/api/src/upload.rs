//! Multipart uploads → files in a folder of their own.
//!
//! Names come from strangers: only their last component is taken, without what could do harm.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use axum::extract::Multipart;
use axum::extract::multipart::Field;
use tempfile::TempDir;
use tokio::fs::{self, File};
use tokio::io::AsyncWriteExt;

use crate::ApiError;

/// The longest name that a file keeps, in bytes; file systems take 255.
const LONGEST_NAME: usize = 120;

/// What may be uploaded at once.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of all files together, packed as they are.
    pub bytes: u64,
    /// Files.
    pub files: usize,
    /// What archives may unpack to.
    pub archives: parse::Limits,
}

impl Default for Limits {
    /// 4 GiB in 1,000 files.
    fn default() -> Limits {
        Limits { bytes: 4 << 30, files: 1000, archives: parse::Limits::default() }
    }
}

/// What was uploaded. Gone from the disk when it is dropped.
pub struct Upload {
    /// The folder that holds everything.
    pub folder: TempDir,
    /// The dictionary, if one was sent.
    pub dictionary: Option<PathBuf>,
    /// The logs: one at least.
    pub logs: Vec<PathBuf>,
}

/// Takes the parts `anomalies_file` (a .csv, at most one) and `log_files` (.txt, .log, .zip or
/// .gz, at least one) of an upload; other parts are passed over.
pub async fn receive(
    mut multipart: Multipart,
    limits: &Limits,
    parent: &Path,
) -> Result<Upload, ApiError> {
    let folder = tempfile::Builder::new().prefix("foreshock-").tempdir_in(parent);
    let mut upload = Receiver {
        folder: folder.map_err(ApiError::internal)?,
        names: HashSet::new(),
        dictionary: None,
        logs: Vec::new(),
        parts: 0,
        left: limits.bytes,
        limits,
    };
    while let Some(field) = multipart.next_field().await? {
        upload.take(field).await?;
    }
    let Receiver { folder, dictionary, logs, .. } = upload;
    if logs.is_empty() {
        return Err(ApiError::BadRequest(
            "log_files: missing. Send one or more .txt, .log, .zip or .gz under this name"
                .to_owned(),
        ));
    }
    Ok(Upload { folder, dictionary, logs })
}

struct Receiver<'l> {
    folder: TempDir,
    names: HashSet<String>,
    dictionary: Option<PathBuf>,
    logs: Vec<PathBuf>,
    parts: usize,
    /// Bytes that may still come.
    left: u64,
    limits: &'l Limits,
}

impl Receiver<'_> {
    async fn take(&mut self, field: Field<'_>) -> Result<(), ApiError> {
        self.parts += 1;
        if self.parts > self.limits.files {
            return Err(ApiError::TooLarge(format!(
                "more than {} parts: pack the logs into a .zip",
                self.limits.files
            )));
        }
        let part = field.name().unwrap_or_default().to_owned();
        match part.as_str() {
            "anomalies_file" => {
                if self.dictionary.is_some() {
                    let text = "anomalies_file: sent twice; one dictionary is used at a time";
                    return Err(ApiError::BadRequest(text.to_owned()));
                }
                self.dictionary = Some(self.keep(field, &part, &["csv"]).await?);
            }
            "log_files" => {
                let log = self.keep(field, &part, &["txt", "log", "zip", "gz"]).await?;
                self.logs.push(log);
            }
            _ => {}
        }
        Ok(())
    }

    /// Writes a file to the folder.
    async fn keep(
        &mut self,
        mut field: Field<'_>,
        part: &str,
        endings: &[&str],
    ) -> Result<PathBuf, ApiError> {
        let Some(given) = field.file_name() else {
            return Err(ApiError::BadRequest(format!("{part}: a part without a file name")));
        };
        let name = safe_name(given);
        let ending = Path::new(&name).extension().map(|ending| ending.to_ascii_lowercase());
        if !ending.is_some_and(|ending| endings.iter().any(|it| ending == *it)) {
            return Err(ApiError::BadFile(format!(
                "{part}: {name:?} does not end in .{}",
                endings.join(", .")
            )));
        }
        let path = self.place(&name).await.map_err(ApiError::internal)?;
        let mut file = File::create(&path).await.map_err(ApiError::internal)?;
        while let Some(chunk) = field.chunk().await? {
            self.left = self.left.checked_sub(chunk.len() as u64).ok_or_else(|| {
                let limit = self.limits.bytes;
                ApiError::TooLarge(format!(
                    "{name}: more than {limit} bytes in all. Pack the logs, or send them in parts"
                ))
            })?;
            file.write_all(&chunk).await.map_err(ApiError::internal)?;
        }
        file.flush().await.map_err(ApiError::internal)?;
        Ok(path)
    }

    /// A place of its own for a file of this name.
    async fn place(&mut self, name: &str) -> std::io::Result<PathBuf> {
        let mut folder = self.folder.path().to_owned();
        if !self.names.insert(name.to_lowercase()) {
            folder.push(self.parts.to_string());
            fs::create_dir(&folder).await?;
        }
        Ok(folder.join(name))
    }
}

/// The last component of a name, short and harmless.
fn safe_name(given: &str) -> String {
    let last = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let kept: String = last.chars().filter(|character| !character.is_control()).collect();
    let kept = kept.trim().trim_start_matches('.');
    if kept.len() <= LONGEST_NAME {
        return kept.to_owned();
    }
    // The ending says what it is.
    let ending = kept.rsplit_once('.').map_or("", |(_, ending)| ending);
    let ending = if ending.len() <= 8 { ending } else { "" };
    let mut end = LONGEST_NAME - ending.len() - 1;
    while !kept.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}.{ending}", &kept[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_its_last_component_and_never_a_path() {
        for (given, safe) in [
            ("app.log", "app.log"),
            ("../../etc/passwd", "passwd"),
            ("C:\\logs\\app.log", "app.log"),
            ("..", ""),
            ("a\0b\n.log", "ab.log"),
            (".hidden.log", "hidden.log"),
            ("Журнал.txt", "Журнал.txt"),
            ("", ""),
        ] {
            assert_eq!(safe_name(given), safe, "{given:?}");
        }
    }

    #[test]
    fn a_long_name_is_cut_and_keeps_its_ending() {
        let safe = safe_name(&format!("{}.log", "я".repeat(40_000)));
        assert!(safe.len() <= LONGEST_NAME && safe.ends_with("я.log"), "{safe}");
        assert!(safe_name(&"x".repeat(70_000)).len() <= LONGEST_NAME);
    }
}
