//! A result at its address: how far the analysis is, its fault, or what it found.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::client::ApiError;
use crate::page::{Page, fault, html};
use crate::query::Query;
use crate::records::{Job, Progress, Status, Summary};
use crate::table::Table;
use crate::texts::{ANALYSES, FILES, LINKS, NOTICES, PAIRS, Texts};
use crate::visitor::Visitor;
use crate::{App, Frontend};

#[derive(Template)]
#[template(path = "progress.html")]
struct Waiting {
    page: Page,
    t: &'static Texts,
    base: String,
    queued: bool,
    progress: Progress,
}

impl Waiting {
    /// How far reading is, of 100.
    fn percent(&self) -> u64 {
        let Progress { bytes, bytes_total, .. } = self.progress;
        (bytes * 100).checked_div(bytes_total).unwrap_or(0).min(100)
    }

    fn ahead(&self) -> String {
        let told = self.page.count(self.progress.ahead, ANALYSES);
        self.page.lang.pick(format!("{told} ahead"), format!("впереди {told}"))
    }
}

#[derive(Template)]
#[template(path = "ended.html")]
struct Ended {
    page: Page,
    t: &'static Texts,
    title: &'static str,
    what_to_do: &'static str,
    detail: String,
    failed: bool,
}

#[derive(Template)]
#[template(path = "result.html")]
struct Found {
    page: Page,
    t: &'static Texts,
    base: String,
    query: Query,
    expires: String,
    summary: Summary,
    table: Result<Table, String>,
}

impl Found {
    fn title(&self) -> String {
        match self.summary.link_count {
            0 => self.t.result_none.to_owned(),
            count => {
                let links = self.page.count(count, LINKS);
                self.page.lang.pick(format!("{links} found"), format!("Найдено: {links}"))
            }
        }
    }

    fn is_limit(&self, limit: &str) -> bool {
        let now = self.query.get("limit");
        limit == if now.is_empty() { "100" } else { now }
    }

    fn notices(&self) -> String {
        self.page.count(self.summary.notices.len() as u64, NOTICES)
    }
}

/// `GET /results/{id}`
pub async fn show(
    State(app): App,
    Path(id): Path<String>,
    query: Query,
    visitor: Visitor,
) -> Response {
    let job: Job = match app.api.get(&["jobs", &id], &[]).await {
        Ok(job) => job,
        Err(error) => return fault(&visitor, &app, &error),
    };
    match (job.status, job.summary) {
        (Status::Queued | Status::Running, _) => {
            waiting(&visitor, &job.id, job.status, job.progress)
        }
        (Status::Done, Some(summary)) => {
            found(&app, &visitor, &job.id, query, job.expires, summary).await
        }
        (Status::Cancelled, _) => ended(&visitor, Status::Cancelled, String::new()),
        (status, _) => {
            let detail = job.error.map(|error| error.detail).unwrap_or_default();
            ended(&visitor, status, detail)
        }
    }
}

fn waiting(visitor: &Visitor, id: &str, status: Status, progress: Progress) -> Response {
    let page = Page::new(visitor, "upload", "job");
    let (t, queued) = (page.texts(), status == Status::Queued);
    html(StatusCode::OK, &Waiting { page, t, base: format!("/results/{id}"), queued, progress })
}

fn ended(visitor: &Visitor, status: Status, detail: String) -> Response {
    let page = Page::new(visitor, "upload", "content");
    let t = page.texts();
    let failed = status != Status::Cancelled;
    let (title, what_to_do) = match status {
        Status::Cancelled => (t.cancelled_title, t.cancelled_do),
        _ => (t.failed_title, t.failed_do),
    };
    html(StatusCode::OK, &Ended { page, t, title, what_to_do, detail, failed })
}

async fn found(
    app: &Frontend,
    visitor: &Visitor,
    id: &str,
    query: Query,
    expires: String,
    summary: Summary,
) -> Response {
    let table = match Table::load(app, visitor, id, &query).await {
        Ok(table) => Ok(table),
        // A filter that makes no sense is said beside the filter.
        Err(ApiError::Refused {
            status: StatusCode::UNPROCESSABLE_ENTITY | StatusCode::BAD_REQUEST,
            detail,
        }) => Err(detail),
        Err(error) => return fault(visitor, app, &error),
    };
    let status = if table.is_ok() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let page = Page::new(visitor, "upload", "content");
    let (t, base) = (page.texts(), format!("/results/{id}"));
    html(status, &Found { page, t, base, query, expires, summary, table })
}

/// `POST /results/{id}/cancel`
pub async fn cancel(State(app): App, Path(id): Path<String>, visitor: Visitor) -> Response {
    match app.api.delete(&["jobs", &id]).await {
        Ok(()) if visitor.wants_json => StatusCode::NO_CONTENT.into_response(),
        Ok(()) => (StatusCode::SEE_OTHER, [(header::LOCATION, "/")]).into_response(),
        Err(error) => fault(&visitor, &app, &error),
    }
}
