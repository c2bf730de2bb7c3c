//! An analysis → the file that is sent, in the format asked for.
//!
//! The file has no name on the disk, so that it is gone when it was sent, or when nobody takes it.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use analysis::{Analysis, Progress};
use axum::body::Body;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use report::{Header, LinkRecord, ReportError};
use serde::{Deserialize, Serialize};
use tokio_util::io::ReaderStream;
use utoipa::{IntoParams, ToSchema};

use crate::ApiError;

/// Bytes that are read and sent at once.
const CHUNK: usize = 64 * 1024;

/// What the address says.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Asked {
    /// The format of the file; without it, the first in the header `Accept` that is known, or else
    /// CSV.
    format: Option<Format>,
}

impl Asked {
    /// By `?format=`, else by `Accept`; CSV where neither wants another.
    pub fn format(&self, headers: &HeaderMap) -> Format {
        let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
        self.format.unwrap_or_else(|| Format::accepted(accept.unwrap_or_default()))
    }
}

/// The format of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A table for programs and spreadsheets.
    Csv,
    /// The same table as a spreadsheet.
    Xlsx,
    /// Every link with all its evidence.
    Json,
}

/// The media type of XLSX.
pub const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

impl Format {
    fn accepted(accept: &str) -> Format {
        let kinds = accept.split(',').map(|kind| kind.split(';').next().unwrap_or("").trim());
        kinds
            .filter_map(|kind| match kind {
                "text/csv" => Some(Format::Csv),
                "application/json" => Some(Format::Json),
                XLSX => Some(Format::Xlsx),
                _ => None,
            })
            .next()
            .unwrap_or(Format::Csv)
    }

    fn file_name(self) -> &'static str {
        match self {
            Format::Csv => "correlation_results.csv",
            Format::Xlsx => "correlation_results.xlsx",
            Format::Json => "correlation_results.json",
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Format::Csv => "text/csv; charset=utf-8",
            Format::Xlsx => XLSX,
            Format::Json => "application/json",
        }
    }
}

/// The links, as JSON.
#[derive(Serialize, ToSchema)]
#[allow(dead_code, reason = "it is the documentation of what is written link by link")]
pub struct Report {
    #[serde(flatten)]
    header: Header,
    links: Vec<LinkRecord<'static>>,
}

/// Tells work that nobody waits for it any more, when it is dropped.
#[derive(Default)]
pub struct Patience(Arc<AtomicBool>);

impl Patience {
    /// Whether nobody waits, for who works.
    pub fn watch(&self) -> Watch {
        Watch(Arc::clone(&self.0))
    }
}

impl Drop for Patience {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Knows whether somebody waits.
#[derive(Clone)]
pub struct Watch(Arc<AtomicBool>);

impl Progress for Watch {
    fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A file that takes no more when nobody waits for it: a report may have billions of links.
struct Abandoned<'f> {
    file: &'f File,
    watch: &'f Watch,
}

impl Write for Abandoned<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self.watch.is_cancelled() {
            true => Err(std::io::Error::other("the client went away")),
            false => self.file.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl Seek for Abandoned<'_> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.file.seek(to)
    }
}

/// Writes a report to a file that has room on the disk of this folder.
pub fn write(
    analysis: &Analysis,
    format: Format,
    folder: &Path,
    watch: &Watch,
) -> Result<File, ApiError> {
    let write = || -> Result<File, ReportError> {
        let mut file = tempfile::tempfile_in(folder)?;
        let Analysis { linked, header, .. } = analysis;
        let mut out = BufWriter::new(Abandoned { file: &file, watch });
        match format {
            Format::Csv => report::write_csv(linked, &mut out)?,
            Format::Xlsx => report::write_xlsx(linked, &mut out)?,
            Format::Json => report::write_json(linked, header, &mut out)?,
        };
        out.flush()?;
        drop(out);
        file.rewind()?;
        Ok(file)
    };
    write().map_err(|error| match error {
        _ if watch.is_cancelled() => ApiError::Cancelled,
        ReportError::Io(error) => ApiError::storing(error),
        ReportError::Xlsx(error) => ApiError::internal(error),
    })
}

/// Sends a file.
pub fn respond(file: File, format: Format) -> Result<Response, ApiError> {
    let length = file.metadata().map_err(ApiError::internal)?.len();
    let disposition = format!("attachment; filename={}", format.file_name());
    let headers = [
        (header::CONTENT_TYPE, format.kind().to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
        (header::CONTENT_DISPOSITION, disposition),
    ];
    let stream = ReaderStream::with_capacity(tokio::fs::File::from_std(file), CHUNK);
    Ok((headers, Body::from_stream(stream)).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_format_that_is_known_is_taken_and_else_csv() {
        for (accept, format) in [
            ("", Format::Csv),
            ("*/*", Format::Csv),
            ("text/html, application/json;q=0.9, text/csv", Format::Json),
            ("text/csv,application/json", Format::Csv),
            (XLSX, Format::Xlsx),
        ] {
            assert_eq!(Format::accepted(accept), format, "{accept}");
        }
    }
}
