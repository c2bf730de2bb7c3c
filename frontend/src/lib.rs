//! The web pages: upload, progress, result with its timeline, live view, dictionary.
//!
//! Input: requests of browsers, and the answers of the API, which is asked over HTTP. Output: HTML
//! that works without scripts as far as upload → table → download, and files embedded in the
//! binary. Invariants: log text is data and never markup; uploads, downloads and streams are passed
//! on piece by piece; nothing is loaded from another server.

mod assets;
mod client;
mod dictionary;
mod evidence;
mod format;
mod live;
mod page;
mod preferences;
mod proxy;
mod query;
mod records;
mod result;
mod sample;
mod security;
mod table;
#[cfg(test)]
mod tests;
mod texts;
mod upload;
mod visitor;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use reqwest::Url;
use tower_http::compression::CompressionLayer;

use crate::client::Api;

/// What may be uploaded at once. The API decides; the pages tell it beforehand.
#[derive(Clone, Copy, Debug)]
pub struct UploadLimits {
    /// Bytes, packed as they are.
    pub bytes: u64,
    /// Files.
    pub files: u64,
}

/// The pages, and the API they ask.
#[derive(Clone, Debug)]
pub struct Frontend {
    api: Api,
    limits: UploadLimits,
}

impl Frontend {
    /// The pages of the API at `base`, which is told `token` if it wants one.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(base: Url, token: Option<String>, limits: UploadLimits) -> anyhow::Result<Frontend> {
        Ok(Frontend { api: Api::new(base, token)?, limits })
    }

    /// Whether the API answers; for health checks.
    ///
    /// # Errors
    /// Says why it does not.
    pub async fn api_answers(&self) -> Result<(), String> {
        self.api.is_alive().await
    }
}

/// What every handler is given.
type App = axum::extract::State<Arc<Frontend>>;

/// Every page, and every file they load.
pub fn routes(frontend: Frontend) -> Router {
    let results = Router::new()
        .route("/", get(result::show))
        .route("/table", get(table::fragment))
        .route("/links/{number}", get(evidence::show))
        .route("/timeline.json", get(proxy::timeline))
        .route("/lags.json", get(proxy::lags))
        .route("/events", get(proxy::job_events))
        .route("/cancel", post(result::cancel))
        .route("/download/{format}", get(proxy::download));
    Router::new()
        .route("/", get(upload::show))
        // The API limits what it takes, and nothing of it is held here.
        .route("/analyze", post(upload::analyze).layer(DefaultBodyLimit::disable()))
        .route("/sample", post(sample::analyze))
        .nest("/results/{id}", results)
        .route("/live", get(live::show))
        .route("/live/stream", get(proxy::live_stream))
        .route("/live/status.json", get(proxy::live_status))
        .route("/dictionary", get(dictionary::show))
        .route("/dictionary/match", get(dictionary::try_message))
        .route("/language/{language}", get(preferences::language))
        .route("/theme/{theme}", get(preferences::theme))
        .route("/static/{hash}/{name}", get(assets::serve))
        .route("/favicon.ico", get(assets::favicon))
        .fallback(page::missing)
        .layer(CompressionLayer::new())
        .layer(axum::middleware::from_fn(security::guard))
        .with_state(Arc::new(frontend))
}
