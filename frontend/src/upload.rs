//! The upload page, and uploads, which go on to the API while they come.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::Json;
use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream, StreamExt};
use reqwest::{Method, Response as Answer};
use serde_json::json;
use tokio::sync::Mutex;

use crate::client::{ApiError, read, send};
use crate::page::{Page, fault, html};
use crate::records::{DictionaryPage, Job};
use crate::texts::{FILES, PAIRS, Texts};
use crate::visitor::Visitor;
use crate::{App, Frontend, UploadLimits};

/// How long the rest of an upload is still taken after the API has refused it: browsers read the
/// answer only once they have sent everything.
const DRAIN: Duration = Duration::from_secs(20);

#[derive(Template)]
#[template(path = "upload.html")]
struct Upload {
    page: Page,
    t: &'static Texts,
    limits: UploadLimits,
    dictionary: Option<DictionaryPage>,
    error: Option<String>,
}

/// `GET /`
pub async fn show(State(app): App, visitor: Visitor) -> Response {
    upload_page(&app, &visitor, StatusCode::OK, None).await
}

async fn upload_page(
    app: &Frontend,
    visitor: &Visitor,
    status: StatusCode,
    error: Option<String>,
) -> Response {
    let asked = app.api.get(&["dictionary"], &[("limit", "1".to_owned())]).await;
    let dictionary = match asked {
        Ok(dictionary) => Some(dictionary),
        // Without the API nothing can be done here, which is better known before a long upload.
        Err(away @ ApiError::Away(_)) if error.is_none() => return fault(visitor, app, &away),
        Err(error) => {
            tracing::warn!(%error, "the server's dictionary cannot be told");
            None
        }
    };
    let page = match &error {
        None => Page::new(visitor, "upload", "content"),
        Some(_) => Page::of_form(visitor, "upload", "content"),
    };
    html(status, &Upload { page, t: visitor.lang.texts(), limits: app.limits, dictionary, error })
}

/// `POST /analyze`
pub async fn analyze(
    State(app): App,
    visitor: Visitor,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let body = Arc::new(Mutex::new(body.into_data_stream()));
    let passed_on = reqwest::Body::wrap_stream(pieces(Arc::clone(&body)));
    let mut request = app.api.request(Method::POST, &["jobs"]).body(passed_on);
    for name in [header::CONTENT_TYPE, header::CONTENT_LENGTH] {
        if let Some(value) = headers.get(&name) {
            request = request.header(name, value);
        }
    }
    match send(request).await {
        Ok(answer) => accepted(&app, &visitor, answer).await,
        Err(error) => {
            let _ = tokio::time::timeout(DRAIN, drain(body)).await;
            refused(&app, &visitor, error).await
        }
    }
}

/// The pieces of a body, as they come. The body stays ours, for what the API does not take.
fn pieces(
    body: Arc<Mutex<BodyDataStream>>,
) -> impl Stream<Item = Result<Bytes, axum::Error>> + Send + 'static {
    stream::unfold(body, |body| async {
        let piece = body.lock().await.next().await;
        piece.map(|piece| (piece, body))
    })
}

async fn drain(body: Arc<Mutex<BodyDataStream>>) {
    let mut body = body.lock().await;
    while let Some(Ok(_)) = body.next().await {}
}

/// The API took it: on to the result.
pub async fn accepted(app: &Frontend, visitor: &Visitor, answer: Answer) -> Response {
    let job: Job = match read(answer).await {
        Ok(job) => job,
        Err(error) => return fault(visitor, app, &error),
    };
    let url = format!("/results/{}", job.id);
    let location = [(header::LOCATION, url.clone())];
    if visitor.wants_json {
        return (StatusCode::ACCEPTED, Json(json!({ "id": job.id, "url": url }))).into_response();
    }
    (StatusCode::SEE_OTHER, location).into_response()
}

/// The API refused it: the page again, with what it said.
pub async fn refused(app: &Frontend, visitor: &Visitor, error: ApiError) -> Response {
    match &error {
        ApiError::Refused { status, detail } if status.is_client_error() && !visitor.wants_json => {
            upload_page(app, visitor, *status, Some(detail.clone())).await
        }
        _ => fault(visitor, app, &error),
    }
}
