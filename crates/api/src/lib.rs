//! The REST API: logs uploaded, links sent back.
//!
//! Input: multipart uploads, streamed to a folder of their own, never whole in memory. Output: the
//! report of the links, in the format asked for. The stages are those of a batch analysis; they
//! run on threads of their own, a bounded number of analyses at once, the others wait in the
//! order of their coming.
//!
//! Invariants: what a client uploaded is gone from the disk when it has its answer, or went away;
//! an analysis nobody waits for ends; every failure is JSON `{"detail": "…"}` and names the thing.

mod analyze;
mod error;
mod upload;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::post;
use domain::Dictionary;
use embed::Embedder;
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use linking::Thresholds;
use tokio::sync::Semaphore;

pub use error::ApiError;
pub use upload::Limits;

/// What the API works with.
pub struct Api {
    /// The dictionary that is used when none is uploaded.
    pub dictionary: Arc<Dictionary>,
    /// The model.
    pub embedder: Arc<dyn Embedder>,
    /// The thresholds of the model.
    pub thresholds: Thresholds,
    /// The largest distance in time between an anomaly and its problem.
    pub window: SignedDuration,
    /// The zone of timestamps without offset.
    pub zone: TimeZone,
    /// What may be uploaded.
    pub limits: Limits,
    /// Where uploads are kept while they are worked on.
    pub folder: PathBuf,
    /// How many analyses run at once.
    pub at_once: usize,
}

/// The routes of the API.
pub fn routes(api: Api) -> Router {
    let places = Semaphore::new(api.at_once);
    let state = Arc::new(analyze::State { api, places });
    // With and without the last slash, as the clients of the original and people write it.
    Router::new()
        .route("/analyze-logs/", post(analyze::analyze_logs))
        .route("/analyze-logs", post(analyze::analyze_logs))
        // Uploads are counted as they come, which tells the limit and the file.
        .layer(DefaultBodyLimit::disable())
        .with_state(state)
}
