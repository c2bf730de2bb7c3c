//! Answers of the API that are passed on as they come: files, streams of events, JSON for scripts.
//!
//! When the browser goes away the API's answer is dropped, and with it the connection.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use reqwest::{Method, RequestBuilder};

use crate::client::{ApiError, send};
use crate::page::fault;
use crate::query::{Query, pairs};
use crate::visitor::Visitor;
use crate::{App, Frontend};

/// What of the API's headers browsers get.
const PASSED_ON: [HeaderName; 3] =
    [header::CONTENT_TYPE, header::CONTENT_DISPOSITION, header::CONTENT_LENGTH];

/// The question of `/live/stream`.
const STREAM: [&str; 9] =
    ["recent", "last_event_id", "q", "problem_id", "anomaly_id", "file", "min_score", "from", "to"];

/// `GET /results/{id}/timeline.json`
pub async fn timeline(
    State(app): App,
    Path(id): Path<String>,
    query: Query,
    visitor: Visitor,
) -> Response {
    let request = app.api.request(Method::GET, &["jobs", &id, "timeline"]).query(&query.for_api());
    pass_json(&app, request, visitor).await
}

/// `GET /results/{id}/lags.json`
pub async fn lags(
    State(app): App,
    Path(id): Path<String>,
    query: Query,
    visitor: Visitor,
) -> Response {
    let request = app.api.request(Method::GET, &["jobs", &id, "lags"]).query(&query.for_api());
    pass_json(&app, request, visitor).await
}

/// `GET /results/{id}/events`
pub async fn job_events(State(app): App, Path(id): Path<String>, visitor: Visitor) -> Response {
    pass_events(&app, app.api.request(Method::GET, &["jobs", &id, "events"]), visitor).await
}

/// `GET /results/{id}/download/{format}`
pub async fn download(
    State(app): App,
    Path((id, format)): Path<(String, String)>,
    visitor: Visitor,
) -> Response {
    if !["csv", "xlsx", "json"].contains(&&*format) {
        return crate::page::missing(State(app), visitor).await;
    }
    let request = app.api.request(Method::GET, &["jobs", &id, "result"]);
    match pass(request.query(&[("format", &format)])).await {
        Ok(response) => response,
        Err(error) => fault(&visitor, &app, &error),
    }
}

/// `GET /live/stream`
pub async fn live_stream(
    State(app): App,
    headers: HeaderMap,
    uri: axum::http::Uri,
    visitor: Visitor,
) -> Response {
    let asked: Vec<(String, String)> = pairs(uri.query().unwrap_or_default())
        .into_iter()
        .filter(|(name, _)| STREAM.contains(&&**name))
        .collect();
    let mut request = app.api.request(Method::GET, &["links", "stream"]).query(&asked);
    let last = HeaderName::from_static("last-event-id");
    if let Some(id) = headers.get(&last) {
        request = request.header(last, id);
    }
    pass_events(&app, request, visitor).await
}

/// `GET /live/status.json`
pub async fn live_status(State(app): App, visitor: Visitor) -> Response {
    pass_json(&app, app.api.request(Method::GET, &["status"]), visitor).await
}

async fn pass_json(app: &Frontend, request: RequestBuilder, visitor: Visitor) -> Response {
    let visitor = Visitor { wants_json: true, ..visitor };
    pass(request).await.unwrap_or_else(|error| fault(&visitor, app, &error))
}

async fn pass_events(app: &Frontend, request: RequestBuilder, visitor: Visitor) -> Response {
    let visitor = Visitor { wants_json: true, ..visitor };
    match pass(request.header(header::ACCEPT, "text/event-stream")).await {
        Ok(mut response) => {
            // Proxies on the way are not to collect events before they pass them on.
            let no = HeaderValue::from_static("no");
            response.headers_mut().insert(HeaderName::from_static("x-accel-buffering"), no);
            response
        }
        Err(error) => fault(&visitor, app, &error),
    }
}

async fn pass(request: RequestBuilder) -> Result<Response, ApiError> {
    let answer = send(request).await?;
    let headers: HeaderMap = PASSED_ON
        .into_iter()
        .filter_map(|name| answer.headers().get(&name).cloned().map(|value| (name, value)))
        .collect();
    Ok((StatusCode::OK, headers, Body::from_stream(answer.bytes_stream())).into_response())
}
