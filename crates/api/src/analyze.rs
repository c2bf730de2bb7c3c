//! `POST /analyze-logs/`.

use std::fs::File;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request, State as Extract};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::post;
use tokio::task::spawn_blocking;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::answer::{self, Asked, Format, Patience, Watch, XLSX};
use crate::extract::Query;
use crate::openapi::{BadFile, BadQuery, NoRoom, NotReady, TooLarge, TooSlow};
use crate::queue::Place;
use crate::upload::{self, Upload, UploadForm};
use crate::work::work;
use crate::{ApiError, Shared};

pub fn routes() -> OpenApiRouter<Shared> {
    // With and without the last slash, as the clients of the original and people write it.
    OpenApiRouter::new()
        .routes(routes!(analyze_logs))
        .route("/analyze-logs", post(analyze_logs))
        // Uploads are counted as they come, which tells the limit and the file.
        .layer(DefaultBodyLimit::disable())
}

/// Receives logs, and sends the links in them back
///
/// The answer comes when the analysis is done; many at once wait for each other, in the order of
/// their coming. What was uploaded is not kept.
#[utoipa::path(
    post,
    path = "/analyze-logs/",
    tag = "analysis",
    params(Asked),
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses(
        (
            status = OK,
            description = "The links, as a file",
            content(
                (String = "text/csv"),
                (upload::Content = XLSX),
                (answer::Report = "application/json")
            ),
            headers(("Content-Disposition", description = "The name of the file"))
        ),
        BadFile, TooLarge, BadQuery, TooSlow, NotReady, NoRoom
    )
)]
pub async fn analyze_logs(
    Extract(state): Extract<Shared>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, ApiError> {
    let format = asked.format(&headers);
    let upload = upload::receive(request, &state.api.limits, &state.folder).await?;
    // Dropped when the client goes away, as this whole function is.
    let patience = Patience::default();
    let place = state.queue.enter().place().await?;
    let (shared, watch) = (Arc::clone(&state), patience.watch());
    let report = move || report(&shared, place, upload, format, &watch);
    let file = spawn_blocking(report).await.map_err(ApiError::internal)??;
    answer::respond(file, format)
}

/// Analyses and writes the report. The place is taken until then, though the client be gone.
fn report(
    state: &Shared,
    _place: Place,
    upload: Upload,
    format: Format,
    watch: &Watch,
) -> Result<File, ApiError> {
    let finished = work(state, upload, watch)?;
    answer::write(&finished.analysis, format, finished.folder.path(), watch)
}
