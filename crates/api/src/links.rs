//! `GET /links` and `GET /links/stream`: the links found so far, and those found from now on.
//!
//! A stream holds nothing but its place: it reads the database a page at a time, as fast as its
//! client takes it, and sleeps when it is at the end. So a slow client costs no memory, and one
//! that comes back goes on where it was.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State as Extract;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, stream};
use report::LinkRecord;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::watch;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::Query;
use crate::history::{HistoryError, Kept, Page, Position};
use crate::openapi::BadQuery;
use crate::results::Filter;
use crate::{ApiError, History, Shared};

/// The most links of a page.
const LONGEST_PAGE: usize = 1000;

/// How often a stream on which nothing happens says that it is there. Another process may have
/// added links, which nobody tells of here, so it looks for them as well.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The pause before a history that does not answer is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// When a client that lost its stream is to come back.
const COME_BACK: Duration = Duration::from_secs(2);

pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(links)).routes(routes!(follow))
}

/// Which page is asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// The most links of a page.
    #[serde(default = "hundred")]
    #[param(required = false, default = 100, minimum = 1, maximum = 1000)]
    limit: usize,
    /// What the page before told as `next`; the first page without.
    cursor: Option<String>,
}

fn hundred() -> usize {
    100
}

/// A page of the links found so far.
#[derive(Serialize, ToSchema)]
pub struct FoundLinks {
    /// The newest first.
    #[schema(value_type = Vec<LinkRecord<'static>>)]
    links: Vec<Box<RawValue>>,
    /// The `cursor` of the next page; null on the last one.
    next: Option<String>,
}

/// The links found so far, the newest first, page by page
///
/// In the stream of logs and in uploads, before the server's last start as well. Pages that are
/// asked for one after the other show each link once, whatever is found meanwhile.
#[utoipa::path(
    get,
    path = "/links",
    tag = "links",
    params(Wanted, Filter),
    responses((status = OK, description = "A page of the links", body = FoundLinks), BadQuery)
)]
async fn links(
    Extract(state): Extract<Shared>,
    Query(wanted): Query<Wanted>,
    Query(filter): Query<Filter>,
) -> Result<Json<FoundLinks>, ApiError> {
    let filter = filter.checked()?;
    let Wanted { limit, cursor } = wanted;
    if !(1..=LONGEST_PAGE).contains(&limit) {
        return Err(ApiError::BadRequest(format!("limit: must be from 1 to {LONGEST_PAGE}")));
    }
    let before = given(cursor).map(|cursor| position("cursor", &cursor)).transpose()?;
    let page = ask(&state, move |history| history.newest(&filter, before.as_ref(), limit)).await;
    let Page { links, more, position } = page.map_err(|error| match error {
        HistoryError::Gone => ApiError::BadRequest(format!("cursor: {error}")),
        HistoryError::Database(_) | HistoryError::Interrupted => ApiError::internal(error),
    })?;
    let links = links.into_iter().map(|link| link.record).collect();
    Ok(Json(FoundLinks { links, next: more.then(|| position.to_string()) }))
}

/// Where a stream begins.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Start {
    /// So many of the newest links first; none without.
    #[serde(default)]
    #[param(required = false, default = 0, minimum = 0, maximum = 1000)]
    recent: usize,
    /// The id of the last event that was received, from another stream; the header
    /// `Last-Event-ID` says the same. All links behind it are sent.
    last_event_id: Option<String>,
}

/// Links as they are found
///
/// Server-sent events: `event: link`, with a link as JSON in `data`. Who was disconnected goes on
/// without loss behind the `id` of the last event, as browsers do by themselves.
#[utoipa::path(
    get,
    path = "/links/stream",
    operation_id = "follow_links",
    tag = "links",
    params(
        Start,
        Filter,
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event")
    ),
    responses(
        (
            status = OK,
            description = "The events; the stream does not end",
            content_type = "text/event-stream",
            body = crate::openapi::LinkEvent,
            example = "id: 8f14e45fceea167a-19-1759736543000\nevent: link\ndata: {\"id\":...}\n\n"
        ),
        BadQuery
    )
)]
async fn follow(
    Extract(state): Extract<Shared>,
    Query(start): Query<Start>,
    Query(filter): Query<Filter>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, ApiError> {
    let filter = filter.checked()?;
    let Start { recent, last_event_id } = start;
    if recent > LONGEST_PAGE {
        return Err(ApiError::BadRequest(format!("recent: must be from 0 to {LONGEST_PAGE}")));
    }
    let header = headers.get("last-event-id").map(|id| String::from_utf8_lossy(id.as_bytes()));
    // What is added from here on is heard of.
    let changes = state.api.history.changes();
    let position = match given(header.map(Into::into)).or(given(last_event_id)) {
        Some(id) => position("Last-Event-ID", &id)?,
        None => {
            let filter = filter.clone();
            let start = ask(&state, move |history| history.recent(&filter, recent)).await;
            start.map_err(ApiError::internal)?
        }
    };
    let follower = Follower { state, filter, position, changes, page: Vec::new(), is_new: true };
    // Proxies are not to collect events.
    let headers = [("x-accel-buffering", "no")];
    let alive = KeepAlive::new().interval(KEEP_ALIVE);
    Ok((headers, Sse::new(events(follower)).keep_alive(alive)))
}

/// What was given; a field of a form that was left empty was not.
fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn position(name: &str, text: &str) -> Result<Position, ApiError> {
    text.parse().map_err(|why| ApiError::BadRequest(format!("{name}: {text:?} {why}")))
}

/// Asks the history, on a thread that may wait for the disk.
async fn ask<T: Send + 'static>(
    state: &Shared,
    question: impl FnOnce(&History) -> Result<T, HistoryError> + Send + 'static,
) -> Result<T, HistoryError> {
    let history = Arc::clone(&state.api.history);
    let answer = tokio::task::spawn_blocking(move || question(&history)).await;
    answer.unwrap_or(Err(HistoryError::Interrupted))
}

/// One who is told of links.
struct Follower {
    state: Shared,
    filter: Filter,
    /// Behind what was read of the history.
    position: Position,
    changes: watch::Receiver<u64>,
    /// What was read and not told yet, the next one last.
    page: Vec<Kept>,
    is_new: bool,
}

fn events(follower: Follower) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(follower, async |mut follower| {
        if std::mem::take(&mut follower.is_new) {
            // An id without data: who is cut off before the first link goes on from here.
            let event = Event::default().id(follower.position.to_string()).retry(COME_BACK);
            return Some((Ok(event), follower));
        }
        let link = follower.next().await?;
        let event = Event::default().id(link.position.to_string()).event("link");
        Some((Ok(event.data(link.record.get())), follower))
    })
}

impl Follower {
    /// The next link; `None` when everything ends.
    async fn next(&mut self) -> Option<Kept> {
        let stop = self.state.api.stop.clone();
        loop {
            if stop.is_stopped() {
                return None;
            }
            if let Some(link) = self.page.pop() {
                return Some(link);
            }
            // Before the history is asked, so that what comes meanwhile is not missed.
            self.changes.mark_unchanged();
            match self.read().await {
                Ok(true) => {}
                Ok(false) => tokio::select! {
                    () = stop.wait() => return None,
                    _ = tokio::time::timeout(KEEP_ALIVE, self.changes.changed()) => {}
                },
                Err(error) => {
                    tracing::warn!(%error, "a stream of links is asked for again in {PAUSE:?}");
                    tokio::select! {
                        () = stop.wait() => return None,
                        () = tokio::time::sleep(PAUSE) => {}
                    }
                }
            }
        }
    }

    /// Reads a page, and returns whether there may be more.
    async fn read(&mut self) -> Result<bool, HistoryError> {
        let (position, filter) = (self.position.clone(), self.filter.clone());
        let page = ask(&self.state, move |history| history.after(&position, &filter)).await?;
        self.position = page.position;
        self.page = page.links;
        self.page.reverse();
        Ok(page.more || !self.page.is_empty())
    }
}
