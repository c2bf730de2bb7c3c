//! `GET /status`: how the stream of logs is doing.

use std::sync::Arc;

use axum::Json;
use axum::extract::State as Extract;
use jiff::Timestamp;
use linking::{Method, Thresholds};
use live::Overview;
use notify::{BotState, Notifier, NotifyError, Summary, Totals};
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
    /// How messages are compared with the texts of the dictionary.
    matcher: Method,
    #[serde(flatten)]
    thresholds: Thresholds,
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
    /// Who is told of links, and how that goes.
    alerts: Alerts,
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

/// Who is told of links by this process, and how that goes.
#[derive(Default, Serialize, ToSchema)]
struct Alerts {
    /// Whether anybody is: there is a bot or a webhook, and this process has the role `alert`.
    on: bool,
    /// `off`: there is none; `running`; `standby`: another process sends; `refused`: Telegram does not
    /// accept the token.
    #[schema(pattern = "^(off|running|standby|refused)$", example = "running")]
    bot: &'static str,
    /// Why it is refused.
    reason: Option<String>,
    /// The name of the bot, once it is known.
    #[schema(example = "foreshock_bot")]
    name: Option<String>,
    /// Chats that are told.
    subscribers: u64,
    /// Webhooks that are told.
    webhooks: u64,
    /// Deliveries that wait: a link for a chat or a webhook is one.
    waiting: u64,
    /// Deliveries made.
    sent: u64,
    /// Deliveries given up: refused by the other side, or too old.
    failed: u64,
    /// When the last link was handed over to be told.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_link: Option<Timestamp>,
}

impl Alerts {
    fn of(notifier: Option<&Notifier>) -> Result<Alerts, NotifyError> {
        let Some(notifier) = notifier.filter(|notifier| notifier.is_on()) else {
            return Ok(Alerts { bot: "off", ..Alerts::default() });
        };
        let Summary { bot, name, totals } = notifier.summary()?;
        let (bot, reason) = match bot {
            BotState::Off => ("off", None),
            BotState::Running => ("running", None),
            BotState::Standby => ("standby", None),
            BotState::Refused(reason) => ("refused", Some(reason)),
        };
        let Totals { chats, webhooks, waiting, sent, failed, last_found, .. } = totals;
        let last_link = last_found.and_then(|time| Timestamp::from_millisecond(time).ok());
        let subscribers = chats;
        let on = true;
        Ok(Alerts {
            on,
            bot,
            reason,
            name,
            subscribers,
            webhooks,
            waiting,
            sent,
            failed,
            last_link,
        })
    }
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
    responses((status = OK, description = "Sources, speed, links, alerts, dependencies", body = Status))
)]
async fn status(Extract(state): Extract<Shared>) -> Result<Json<Status>, ApiError> {
    let api = &state.api;
    let history = Arc::clone(&api.history);
    let notifier = api.notifier.clone();
    let count = move || {
        let recent = history.found_since(live::now() - 60_000);
        (history.len(), recent, Alerts::of(notifier.as_deref()))
    };
    let (links, recent, alerts) =
        tokio::task::spawn_blocking(count).await.map_err(ApiError::internal)?;
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
        matcher: api.method,
        thresholds: api.thresholds,
        uptime_seconds: state.started.elapsed().as_secs(),
        sources: sources.into_iter().map(source).collect(),
        lines_per_second: (lines_per_second * 10.0).round() / 10.0,
        links,
        links_per_minute: recent.map_err(ApiError::internal)?,
        lag_seconds,
        alerts: alerts.map_err(ApiError::internal)?,
        dependencies: dependencies.collect(),
    }))
}
