//! Multipart uploads → files in a folder of their own.
//!
//! Names come from strangers: only their last component is taken, without what could do harm.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::multipart::Field;
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::header;
use tempfile::TempDir;
use tokio::task::{JoinHandle, spawn_blocking};
use utoipa::ToSchema;

use crate::folder::Folder;
use crate::incoming::Incoming;
use crate::{ApiError, names};

/// The largest dictionary that is taken, in bytes.
const DICTIONARY: u64 = 64 << 20;

/// Bytes of a part that are not content, about.
const FRAME: u64 = 1024;

/// Bytes that are gathered before they are written.
const BLOCK: usize = 256 * 1024;

/// What may be uploaded at once.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of all files together, packed as they are.
    pub bytes: u64,
    /// Files.
    pub files: usize,
    /// What archives may unpack to.
    pub archives: parse::Limits,
    /// How long an upload may bring next to nothing.
    pub patience: Duration,
}

impl Default for Limits {
    /// 4 GiB in 1,000 files, and a minute.
    fn default() -> Limits {
        Limits {
            bytes: 4 << 30,
            files: 1000,
            archives: parse::Limits::default(),
            patience: Duration::from_secs(60),
        }
    }
}

/// The parts of an upload.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it is the documentation of what is read by hand")]
pub struct UploadForm {
    /// The dictionary, a .csv file; without it the server's own is used.
    #[schema(value_type = Content, required = false)]
    anomalies_file: Option<Content>,
    /// The logs: .txt, .log, .zip or .gz files.
    #[schema(min_items = 1)]
    log_files: Vec<Content>,
}

/// The content of a file.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[allow(dead_code, reason = "as above")]
pub struct Content(Vec<u8>);

/// What was uploaded. Gone from the disk when it is dropped.
pub struct Upload {
    /// The folder that holds everything.
    pub folder: TempDir,
    /// The dictionary, if one was sent.
    pub dictionary: Option<PathBuf>,
    /// The logs: one at least.
    pub logs: Vec<PathBuf>,
    /// Bytes of everything.
    pub bytes: u64,
    /// Bytes of the logs.
    pub log_bytes: u64,
}

/// Takes the parts `anomalies_file` (a .csv, at most one) and `log_files` (.txt, .log, .zip or
/// .gz, at least one) of an upload; other parts are passed over, and so are file fields of a form
/// that were left empty.
pub async fn receive(
    request: Request,
    limits: &Limits,
    parent: &Folder,
) -> Result<Upload, ApiError> {
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length: Option<u64> = length.and_then(|length| length.to_str().ok()?.parse().ok());
    let (request, incoming) = Incoming::watch(request, limits.patience);
    let most = limits.bytes.saturating_add(FRAME * (limits.files as u64 + 2));
    let received = match length.is_some_and(|length| length > most) {
        true => Err(too_large("the upload", limits.bytes)),
        false => read(request, &incoming, limits, parent).await,
    };
    received.map_err(|error| {
        let error = incoming.trouble().unwrap_or(error);
        incoming.linger();
        error
    })
}

async fn read(
    request: Request,
    incoming: &Incoming,
    limits: &Limits,
    parent: &Folder,
) -> Result<Upload, ApiError> {
    let mut multipart = Multipart::from_request(request, &()).await.map_err(|_| {
        ApiError::BadRequest(
            "not a form: send multipart/form-data with the logs as log_files".to_owned(),
        )
    })?;
    let mut receiver = Receiver {
        folder: parent.upload().map_err(ApiError::storing)?,
        names: HashSet::new(),
        dictionary: None,
        logs: Vec::new(),
        parts: 0,
        left: limits.bytes,
        log_bytes: 0,
        limits,
    };
    while let Some(field) = multipart.next_field().await? {
        incoming.is_content(true);
        receiver.take(field).await?;
        incoming.is_content(false);
    }
    receiver.finish()
}

struct Receiver<'l> {
    folder: TempDir,
    names: HashSet<String>,
    dictionary: Option<PathBuf>,
    logs: Vec<PathBuf>,
    parts: usize,
    /// Bytes that may still come.
    left: u64,
    log_bytes: u64,
    limits: &'l Limits,
}

impl Receiver<'_> {
    fn finish(self) -> Result<Upload, ApiError> {
        let Receiver { folder, dictionary, logs, left, log_bytes, limits, .. } = self;
        if logs.is_empty() {
            return Err(ApiError::BadRequest(
                "log_files: missing. Send one or more .txt, .log, .zip or .gz under this name"
                    .to_owned(),
            ));
        }
        Ok(Upload { folder, dictionary, logs, bytes: limits.bytes - left, log_bytes })
    }

    async fn take(&mut self, mut field: Field<'_>) -> Result<(), ApiError> {
        self.parts += 1;
        if self.parts > self.limits.files {
            return Err(ApiError::TooLarge(format!(
                "more than {} parts: pack the logs into a .zip",
                self.limits.files
            )));
        }
        match field.name() {
            Some("anomalies_file") => {
                let Some(path) = self.keep(field, "anomalies_file", &["csv"]).await? else {
                    return Ok(());
                };
                if self.dictionary.replace(path).is_some() {
                    let text = "anomalies_file: sent twice; one dictionary is used at a time";
                    return Err(ApiError::BadRequest(text.to_owned()));
                }
            }
            Some("log_files") => {
                let before = self.left;
                let log = self.keep(field, "log_files", &["txt", "log", "zip", "gz"]).await?;
                self.logs.extend(log);
                self.log_bytes += before - self.left;
            }
            Some(_) => while self.next(&mut field, "the upload").await?.is_some() {},
            None => return Err(ApiError::BadRequest("a part without a name".to_owned())),
        }
        Ok(())
    }

    /// The next bytes of a part, counted.
    async fn next(&mut self, field: &mut Field<'_>, name: &str) -> Result<Option<Bytes>, ApiError> {
        let chunk = field.chunk().await?;
        let size = chunk.as_ref().map_or(0, Bytes::len) as u64;
        let left = self.left.checked_sub(size);
        self.left = left.ok_or_else(|| too_large(name, self.limits.bytes))?;
        Ok(chunk)
    }

    /// Writes a file to the folder; `None` for a field without a file.
    async fn keep(
        &mut self,
        mut field: Field<'_>,
        part: &str,
        endings: &[&str],
    ) -> Result<Option<PathBuf>, ApiError> {
        let given = names::given(field.headers(), field.file_name()).filter(|it| !it.is_empty());
        let Some(given) = given else {
            // So is sent what was left empty in a form of a page.
            while let Some(chunk) = self.next(&mut field, part).await? {
                if !chunk.is_empty() {
                    let text = format!("{part}: a part without a file name");
                    return Err(ApiError::BadRequest(text));
                }
            }
            return Ok(None);
        };
        let name = names::safe(&given);
        let ending = Path::new(&name).extension().map(|ending| ending.to_ascii_lowercase());
        if !ending.is_some_and(|ending| endings.iter().any(|it| ending == *it)) {
            return Err(ApiError::BadFile(format!(
                "{part}: {name:?} does not end in .{}",
                endings.join(", .")
            )));
        }
        let path = self.place(&name);
        let mut file = Writer::new(File::create_new(&path).map_err(ApiError::storing)?);
        let least = match part {
            "anomalies_file" => self.left.saturating_sub(DICTIONARY),
            _ => 0,
        };
        while let Some(chunk) = self.next(&mut field, &name).await? {
            if self.left < least {
                let text = format!("{name}: a dictionary has at most {DICTIONARY} bytes");
                return Err(ApiError::TooLarge(text));
            }
            file.write(chunk).await.map_err(ApiError::storing)?;
        }
        file.finish().await.map_err(ApiError::storing)?;
        Ok(Some(path))
    }

    /// A place of its own for a file of this name. Files of one name are told apart by a number,
    /// never by the name of a folder, which would be another at each upload.
    fn place(&mut self, name: &str) -> PathBuf {
        let (stem, ending) = name.rsplit_once('.').unwrap_or((name, ""));
        let mut own = name.to_owned();
        let mut count = 1;
        while !self.names.insert(own.to_lowercase()) {
            count += 1;
            own = format!("{stem} ({count}).{ending}");
        }
        self.folder.path().join(own)
    }
}

fn too_large(name: &str, limit: u64) -> ApiError {
    ApiError::TooLarge(format!(
        "{name}: more than {limit} bytes in all. Pack the logs, or send them in parts"
    ))
}

/// A file that is written in blocks, off the asynchronous threads, while the next block comes. A
/// client that sends slowly holds no thread.
struct Writer {
    /// Where it is written to, while nothing is being written.
    file: Option<File>,
    writing: Option<JoinHandle<io::Result<File>>>,
    gathered: Vec<Bytes>,
    size: usize,
}

impl Writer {
    fn new(file: File) -> Writer {
        Writer { file: Some(file), writing: None, gathered: Vec::new(), size: 0 }
    }

    async fn write(&mut self, chunk: Bytes) -> io::Result<()> {
        self.size += chunk.len();
        self.gathered.push(chunk);
        if self.size >= BLOCK { self.start().await } else { Ok(()) }
    }

    /// Writes what was gathered, once what was before it is written.
    async fn start(&mut self) -> io::Result<()> {
        let mut file = self.written().await?;
        let block = std::mem::take(&mut self.gathered);
        self.size = 0;
        self.writing = Some(spawn_blocking(move || {
            block.iter().try_for_each(|chunk| file.write_all(chunk))?;
            Ok(file)
        }));
        Ok(())
    }

    async fn written(&mut self) -> io::Result<File> {
        match (self.file.take(), self.writing.take()) {
            (Some(file), _) => Ok(file),
            (None, Some(writing)) => writing.await.map_err(io::Error::other)?,
            (None, None) => Err(io::Error::other("writing failed before")),
        }
    }

    async fn finish(mut self) -> io::Result<()> {
        self.start().await?;
        self.written().await.map(drop)
    }
}
