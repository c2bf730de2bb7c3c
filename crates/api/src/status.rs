//! `GET /status`: how the stream of logs is doing.

use std::sync::Arc;

use axum::Json;
use axum::extract::State as Extract;
use jiff::Timestamp;
use live::Overview;
use serde::Serialize;
use service::{Need, State as Answer};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::{ApiError, Shared};

pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(status))
}

/// How the stream of logs is doing.
#[derive(Serialize, ToSchema)]
struct Status {
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// The name of the model.
    #[schema(example = "all-MiniLM-L6-v2")]
    model: String,
    /// How long this process serves.
    uptime_seconds: u64,
    /// What was read of the logs by all processes, by topic.
    sources: Vec<Source>,
    /// How many lines all processes read now.
    lines_per_second: f64,
    /// How many links are kept in the history.
    links: u64,
    /// How many links were found in the last minute.
    links_per_minute: u64,
    /// How old the last line was when it was worked on; null before the first.
    lag_seconds: Option<f64>,
    /// What this process depends on.
    dependencies: Vec<StatusDependency>,
}

/// What was read of one topic of logs.
#[derive(Serialize, ToSchema)]
struct Source {
    #[schema(example = "logs.db_server_log")]
    topic: String,
    lines: u64,
    /// ERROR and WARNING lines among them.
    events: u64,
    /// The time that the last of these says.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_event: Option<Timestamp>,
    /// When the last line came.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_arrived: Option<Timestamp>,
}

/// Something that a process depends on.
#[derive(Serialize, ToSchema)]
struct StatusDependency {
    #[schema(example = "model")]
    name: &'static str,
    /// `required`: nothing works without it; `optional`: all does, with less comfort.
    #[schema(value_type = String, example = "required")]
    need: Need,
    /// Whether it works.
    ok: bool,
    /// Why it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// How the stream of logs is doing
#[utoipa::path(
    get,
    path = "/status",
    tag = "service",
    responses((status = OK, description = "Sources, speed, links, dependencies", body = Status))
)]
async fn status(Extract(state): Extract<Shared>) -> Result<Json<Status>, ApiError> {
    let api = &state.api;
    let history = Arc::clone(&api.history);
    let count = move || {
        let recent = history.found_since(live::now() - 60_000);
        (history.len(), recent)
    };
    let (links, recent) = tokio::task::spawn_blocking(count).await.map_err(ApiError::internal)?;
    let Overview { sources, lines_per_second, lag_seconds } = api.activities.overview();
    let source = |(topic, source): (String, live::Source)| {
        let live::Source { lines, events, last_event, last_arrived } = source;
        Source { topic, lines, events, last_event, last_arrived }
    };
    let dependency =
        |Answer { name, need, ok, reason }| StatusDependency { name, need, ok, reason };
    let dependencies = api.health.report().await.dependencies.into_iter().map(dependency);
    Ok(Json(Status {
        version: env!("CARGO_PKG_VERSION"),
        model: api.embedder.model().to_owned(),
        uptime_seconds: state.started.elapsed().as_secs(),
        sources: sources.into_iter().map(source).collect(),
        lines_per_second: (lines_per_second * 10.0).round() / 10.0,
        links,
        links_per_minute: recent.map_err(ApiError::internal)?,
        lag_seconds,
        dependencies: dependencies.collect(),
    }))
}
