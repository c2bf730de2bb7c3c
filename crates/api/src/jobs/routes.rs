//! Jobs over HTTP.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{DefaultBodyLimit, Path, Request, State as Extract};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, stream};
use tokio::task::spawn_blocking;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::job::{Job, JobRecord};
use super::live;
use crate::answer::{self, Asked, Patience, XLSX};
use crate::extract::Query;
use crate::openapi::{BadFile, BadQuery, Conflict, NoRoom, NotFound, NotReady, TooLarge, TooSlow};
use crate::upload::{self, UploadForm};
use crate::{ApiError, Shared};

/// The pause between two events of progress.
const PAUSE: Duration = Duration::from_millis(200);

/// How often a stream on which nothing happens says that it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(start))
        .routes(routes!(job, remove))
        .routes(routes!(events))
        .routes(routes!(result))
        // Uploads are counted as they come, which tells the limit and the file.
        .layer(DefaultBodyLimit::disable())
}

/// Receives logs, and starts their analysis
///
/// The answer comes when the upload is complete. The job goes on though the client hangs up; its
/// result and what was uploaded are kept for a while, for whoever knows its id.
#[utoipa::path(
    post,
    path = "/jobs",
    operation_id = "start_job",
    tag = "jobs",
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses(
        (
            status = ACCEPTED,
            description = "It waits for its turn",
            body = JobRecord,
            headers(("Location", description = "Where it is: /jobs/{id}"))
        ),
        BadFile, TooLarge, BadQuery, TooSlow, NotReady, NoRoom
    )
)]
async fn start(Extract(state): Extract<Shared>, request: Request) -> Result<Response, ApiError> {
    state.jobs.check_room()?;
    let upload = upload::receive(request, &state.api.limits, &state.folder).await?;
    let ticket = state.queue.enter();
    let job = state.jobs.add(Job::new(ticket.number, &upload));
    let told = told(&state, &job);
    tokio::spawn(live(state, Arc::clone(&job), ticket, upload));
    let location = [(header::LOCATION, format!("/jobs/{}", job.id))];
    Ok((StatusCode::ACCEPTED, location, Json(told)).into_response())
}

fn told(state: &Shared, job: &Job) -> JobRecord {
    job.told(&state.queue, state.api.keep.time)
}

/// How a job is
#[utoipa::path(
    get,
    path = "/jobs/{id}",
    tag = "jobs",
    params(("id" = String, Path, description = "The id of the job", example = "5f0c7a3be91d42f8a6c1d20b9e8f7a31")),
    responses((status = OK, description = "How it is", body = JobRecord), NotFound)
)]
async fn job(
    Extract(state): Extract<Shared>,
    Path(id): Path<String>,
) -> Result<Json<JobRecord>, ApiError> {
    let job = state.jobs.get(&id)?;
    Ok(Json(told(&state, &job)))
}

/// Cancels a job, and removes its result and what was uploaded
#[utoipa::path(
    delete,
    path = "/jobs/{id}",
    operation_id = "remove_job",
    tag = "jobs",
    params(("id" = String, Path, description = "The id of the job", example = "5f0c7a3be91d42f8a6c1d20b9e8f7a31")),
    responses((status = NO_CONTENT, description = "It is gone"), NotFound)
)]
async fn remove(
    Extract(state): Extract<Shared>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    state.jobs.remove(&id)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Tells how a job goes on, until it has ended
///
/// Server-sent events: `event: job`, with the job as JSON in `data`, first as it is and then at
/// each change, at most five a second. The last one has a final status; then the stream ends.
#[utoipa::path(
    get,
    path = "/jobs/{id}/events",
    operation_id = "job_events",
    tag = "jobs",
    params(("id" = String, Path, description = "The id of the job", example = "5f0c7a3be91d42f8a6c1d20b9e8f7a31")),
    responses(
        (
            status = OK,
            description = "The events",
            content_type = "text/event-stream",
            body = crate::openapi::JobEvent,
            example = "event: job\ndata: {\"id\":\"9f86d081884c7d659a2feaa0c55ad015\",...}\n\n"
        ),
        NotFound
    )
)]
async fn events(
    Extract(state): Extract<Shared>,
    Path(id): Path<String>,
) -> Result<impl IntoResponse, ApiError> {
    let job = state.jobs.get(&id)?;
    // Proxies are not to collect events.
    let headers = [("x-accel-buffering", "no")];
    let alive = KeepAlive::new().interval(KEEP_ALIVE);
    Ok((headers, Sse::new(changes(state, job)).keep_alive(alive)))
}

fn changes(state: Shared, job: Arc<Job>) -> impl Stream<Item = Result<Event, Infallible>> {
    let first: (_, Option<JobRecord>) = ((state, job), None);
    stream::unfold(first, async |((state, job), last)| {
        if last.as_ref().is_some_and(|last| last.status.is_final()) {
            return None;
        }
        let mut now = told(&state, &job);
        while last.as_ref() == Some(&now) {
            wait(&job).await;
            now = told(&state, &job);
        }
        // At most so often, but the end at once.
        if last.is_some() && !now.status.is_final() {
            wait(&job).await;
            now = told(&state, &job);
        }
        let event = Event::default().event("job").json_data(&now);
        let event = event.unwrap_or_else(|_| Event::default().comment("cannot be told"));
        Some((Ok(event), ((state, job), Some(now))))
    })
}

/// Waits for the next event of progress, or for the end.
async fn wait(job: &Job) {
    tokio::select! {
        () = tokio::time::sleep(PAUSE) => {}
        () = job.ended.cancelled() => {}
    }
}

/// The links that a job found, as a file
#[utoipa::path(
    get,
    path = "/jobs/{id}/result",
    operation_id = "job_result",
    tag = "jobs",
    params(("id" = String, Path, description = "The id of the job", example = "5f0c7a3be91d42f8a6c1d20b9e8f7a31"), Asked),
    responses(
        (
            status = OK,
            description = "The file, as `POST /analyze-logs/` sends it",
            content(
                (String = "text/csv"),
                (upload::Content = XLSX),
                (answer::Report = "application/json")
            ),
            headers(("Content-Disposition", description = "The name of the file"))
        ),
        NotFound, Conflict, BadQuery, NoRoom
    )
)]
async fn result(
    Extract(state): Extract<Shared>,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let format = asked.format(&headers);
    state.jobs.finished(&id)?;
    // Dropped when the client goes away, as this whole function is.
    let patience = Patience::default();
    let _turn = state.jobs.writers.acquire().await.map_err(ApiError::internal)?;
    // It may have been removed meanwhile; while it is written, it is kept.
    let finished = state.jobs.finished(&id)?;
    let watch = patience.watch();
    let write = move || answer::write(&finished.analysis, format, finished.folder.path(), &watch);
    let file = spawn_blocking(write).await.map_err(ApiError::internal)??;
    answer::respond(file, format)
}
