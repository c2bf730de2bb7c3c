//! The dictionary page: pairs to search, what the linter found, and a message to try.

use askama::Template;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde_json::json;

use crate::client::ApiError;
use crate::page::{Page, fault, html};
use crate::query::{encoded, pairs};
use crate::records::{DictionaryPage, Findings, Tried};
use crate::texts::{FINDINGS, PAIRS, ROWS, Texts};
use crate::visitor::Visitor;
use crate::{App, Frontend};

/// Rows on a page.
const ROWS_SHOWN: u64 = 50;

#[derive(Template)]
#[template(path = "dictionary.html")]
struct Shown {
    page: Page,
    t: &'static Texts,
    dictionary: DictionaryPage,
    q: String,
    number: u64,
    findings: Option<Findings>,
    message: String,
    tried: Option<Result<Tried, String>>,
}

impl Shown {
    fn pages(&self) -> u64 {
        self.dictionary.matching.div_ceil(ROWS_SHOWN).max(1)
    }

    fn address(&self, number: u64) -> String {
        let mut query = vec![("page", number.to_string())];
        if !self.q.is_empty() {
            query.push(("q", self.q.clone()));
        }
        format!("/dictionary?{}#pairs", encoded(&query))
    }

    fn severity(&self, severity: &str) -> String {
        let t = self.t;
        match severity {
            "error" => t.severity_error,
            "warning" => t.severity_warning,
            "note" => t.severity_note,
            other => other,
        }
        .to_owned()
    }

    fn side(&self, side: &str) -> &'static str {
        if side == "problem" { self.t.try_problem_side } else { self.t.try_anomaly_side }
    }

    fn reason(&self, reason: &str) -> &'static str {
        match reason {
            "exact" => self.t.try_exact,
            "near" => self.t.try_near,
            "no-meaning" => self.t.try_no_meaning,
            _ => self.t.try_far,
        }
    }

    /// The rows of a finding, the first few of them.
    fn rows(&self, rows: &[u64]) -> String {
        const FEW: usize = 8;
        let few: Vec<String> = rows.iter().take(FEW).map(u64::to_string).collect();
        let more = if rows.len() > FEW { ", …" } else { "" };
        let word = ROWS.form(self.page.lang, if rows.len() == 1 { 1 } else { 2 });
        format!("{word} {}{more}", few.join(", "))
    }
}

/// `GET /dictionary?q&page`
pub async fn show(State(app): App, uri: Uri, visitor: Visitor) -> Response {
    page(&app, &visitor, &uri, String::new(), None).await
}

/// `GET /dictionary/match?message`
pub async fn try_message(State(app): App, uri: Uri, visitor: Visitor) -> Response {
    let message = value(&uri, "message");
    if message.is_empty() {
        return page(&app, &visitor, &uri, message, None).await;
    }
    let tried = app.api.post(&["match"], &json!({ "message": message })).await;
    let tried = match tried {
        Ok(tried) => Ok(tried),
        Err(ApiError::Refused { status, detail })
            if status.is_client_error() && status != StatusCode::UNAUTHORIZED =>
        {
            Err(detail)
        }
        Err(error) => return fault(&visitor, &app, &error),
    };
    page(&app, &visitor, &uri, message, Some(tried)).await
}

async fn page(
    app: &Frontend,
    visitor: &Visitor,
    uri: &Uri,
    message: String,
    tried: Option<Result<Tried, String>>,
) -> Response {
    let q = value(uri, "q");
    let number = value(uri, "page").parse().unwrap_or(1).clamp(1, 1_000_000);
    let mut query = vec![
        ("offset", ((number - 1) * ROWS_SHOWN).to_string()),
        ("limit", ROWS_SHOWN.to_string()),
    ];
    if !q.is_empty() {
        query.push(("q", q.clone()));
    }
    let (dictionary, findings) = tokio::join!(
        app.api.get(&["dictionary"], &query),
        app.api.get::<Findings>(&["dictionary", "findings"], &[]),
    );
    let dictionary = match dictionary {
        Ok(dictionary) => dictionary,
        Err(error) => return fault(visitor, app, &error),
    };
    let page = Page::new(visitor, "dictionary", "content");
    let (t, findings) = (page.texts(), findings.ok());
    html(StatusCode::OK, &Shown { page, t, dictionary, q, number, findings, message, tried })
}

fn value(uri: &Uri, name: &str) -> String {
    let pairs = pairs(uri.query().unwrap_or_default());
    let value = pairs.into_iter().find(|(key, _)| key == name).map(|(_, value)| value);
    value.unwrap_or_default().trim().to_owned()
}
