//! `POST /analyze-logs/`.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use analysis::{Analysis, Progress, Settings};
use axum::body::Body;
use axum::extract::{Multipart, Query, State as Extract};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use domain::Dictionary;
use parse::Opened;
use serde::Deserialize;
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio_util::io::ReaderStream;

use crate::upload::{self, Upload};
use crate::{Api, ApiError};

/// What the handlers share.
pub struct State {
    pub api: Api,
    /// One for each analysis that may run.
    pub places: Semaphore,
}

/// What the address says.
#[derive(Deserialize)]
pub struct Asked {
    format: Option<String>,
}

/// The format of an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Format {
    Csv,
    Xlsx,
    Json,
}

const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

impl Format {
    /// By `?format=`, else by `Accept`; CSV where neither wants another.
    fn of(asked: Option<&str>, headers: &HeaderMap) -> Result<Format, ApiError> {
        let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
        match asked {
            Some("csv") => Ok(Format::Csv),
            Some("xlsx") => Ok(Format::Xlsx),
            Some("json") => Ok(Format::Json),
            Some(other) => {
                let text = format!("format: {other:?} is none of csv, xlsx, json");
                Err(ApiError::BadRequest(text))
            }
            None => Ok(Format::accepted(accept.unwrap_or_default())),
        }
    }

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

/// Receives logs, and sends the links in them back.
pub async fn analyze_logs(
    Extract(state): Extract<Arc<State>>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
    multipart: Multipart,
) -> Result<Response, ApiError> {
    let format = Format::of(asked.format.as_deref(), &headers)?;
    let upload = upload::receive(multipart, &state.api.limits, &state.api.folder).await?;
    let _place = state.places.acquire().await.map_err(ApiError::internal)?;
    // Dropped when the client goes away, as this whole function is.
    let patience = Patience::default();
    let cancelled = Arc::clone(&patience.0);
    let shared = Arc::clone(&state);
    let work = move || work(&shared.api, upload, format, cancelled);
    let done = tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)??;
    respond(done, format).await
}

/// Tells an analysis that nobody waits for it any more, when it is dropped.
#[derive(Default)]
struct Patience(Arc<AtomicBool>);

impl Drop for Patience {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Lets an analysis end before its time.
struct Cancellable(Arc<AtomicBool>);

impl Progress for Cancellable {
    fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A file that takes no more when nobody waits for it: a report may have billions of links.
struct Abandoned {
    file: File,
    cancelled: Arc<AtomicBool>,
}

impl Write for Abandoned {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self.cancelled.load(Ordering::Relaxed) {
            true => Err(std::io::Error::other("the client went away")),
            false => self.file.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl Seek for Abandoned {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.file.seek(to)
    }
}

/// A report on disk, and the folder it is gone with.
struct Report {
    _folder: TempDir,
    path: PathBuf,
}

fn work(
    api: &Api,
    upload: Upload,
    format: Format,
    cancelled: Arc<AtomicBool>,
) -> Result<Report, ApiError> {
    let Upload { folder, dictionary, logs } = upload;
    let result = report_of(api, folder.path(), dictionary, &logs, format, cancelled);
    match result {
        Ok(path) => Ok(Report { _folder: folder, path }),
        Err(error) => Err(error.without(folder.path())),
    }
}

fn report_of(
    api: &Api,
    folder: &Path,
    dictionary: Option<PathBuf>,
    logs: &[PathBuf],
    format: Format,
    cancelled: Arc<AtomicBool>,
) -> Result<PathBuf, ApiError> {
    let dictionary: Arc<Dictionary> = match dictionary {
        Some(path) => {
            let read = parse::dictionary::read(&path);
            Arc::new(read.map_err(|error| ApiError::BadFile(error.to_string()))?)
        }
        None => Arc::clone(&api.dictionary),
    };
    let settings = Settings {
        thresholds: api.thresholds,
        window: api.window,
        zone: api.zone.clone(),
        keep_going: false,
    };
    let opened = Opened::new(logs, api.limits.archives);
    let progress = Cancellable(Arc::clone(&cancelled));
    let analysis =
        analysis::analyze(opened, &dictionary, api.embedder.as_ref(), &settings, &progress)?;
    if analysis.header.total.events() == 0 {
        return Err(ApiError::BadFile(
            "no event in the logs. A line looks like \
             `2025-10-06T07:42:23 ERROR database: Index corruption on table`"
                .to_owned(),
        ));
    }
    metrics::counter!("foreshock_analyses_total").increment(1);
    let path = folder.join(format!("result-{}", format.file_name()));
    write(&path, format, &analysis, cancelled).map_err(ApiError::internal)?;
    Ok(path)
}

fn write(
    path: &Path,
    format: Format,
    analysis: &Analysis,
    cancelled: Arc<AtomicBool>,
) -> Result<(), report::ReportError> {
    let Analysis { linked, header, .. } = analysis;
    let mut out = BufWriter::new(Abandoned { file: File::create(path)?, cancelled });
    match format {
        Format::Csv => report::write_csv(linked, &mut out)?,
        Format::Xlsx => report::write_xlsx(linked, &mut out)?,
        Format::Json => report::write_json(linked, header, &mut out)?,
    };
    Ok(out.flush()?)
}

/// Sends a report, which stays on disk for as long as it is being sent.
async fn respond(report: Report, format: Format) -> Result<Response, ApiError> {
    let file = tokio::fs::File::open(&report.path).await.map_err(ApiError::internal)?;
    let length = file.metadata().await.map_err(ApiError::internal)?.len();
    let disposition = format!("attachment; filename={}", format.file_name());
    let headers = [
        (header::CONTENT_TYPE, format.kind().to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
        (header::CONTENT_DISPOSITION, disposition),
    ];
    // An open file can be read though its folder is gone.
    drop(report);
    Ok((headers, Body::from_stream(ReaderStream::new(file))).into_response())
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
