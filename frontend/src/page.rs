//! What all pages share: language, theme, texts, addresses, ways to write numbers; and the page
//! that says what went wrong.

use askama::Template;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use serde_json::json;

use crate::client::ApiError;
use crate::format::{self, Moment};
use crate::query::encoded;
use crate::texts::{Lang, Noun, Texts, script_texts};
use crate::visitor::{Theme, Visitor};
use crate::{App, assets};

/// A whole number, however deep templates have it behind references.
pub trait Whole {
    fn get(&self) -> u64;
}

impl Whole for u64 {
    fn get(&self) -> u64 {
        *self
    }
}

impl<T: Whole> Whole for &T {
    fn get(&self) -> u64 {
        (**self).get()
    }
}

/// A number with decimals, however deep templates have it behind references.
pub trait Real {
    fn get(&self) -> f64;
}

impl Real for f64 {
    fn get(&self) -> f64 {
        *self
    }
}

impl<T: Real> Real for &T {
    fn get(&self) -> f64 {
        (**self).get()
    }
}

/// The frame of a page.
pub struct Page {
    pub lang: Lang,
    pub theme: Theme,
    /// The id of its main part, which scripts know it by.
    pub main: &'static str,
    /// Which entry of the menu it belongs to.
    pub nav: &'static str,
    back: String,
}

impl Page {
    /// The frame for a visitor.
    pub fn new(visitor: &Visitor, nav: &'static str, main: &'static str) -> Page {
        let back = encoded(&[("back", visitor.here.clone())]);
        Page { lang: visitor.lang, theme: visitor.theme, main, nav, back }
    }

    /// The frame of an answer to a form: one cannot come back to it by its address.
    pub fn of_form(visitor: &Visitor, nav: &'static str, main: &'static str) -> Page {
        Page { back: "back=/".to_owned(), ..Page::new(visitor, nav, main) }
    }

    pub fn texts(&self) -> &'static Texts {
        self.lang.texts()
    }

    pub fn asset(&self, name: &str) -> String {
        assets::address(name)
    }

    pub fn language_address(&self, code: &str) -> String {
        format!("/language/{code}?{}", self.back)
    }

    pub fn theme_address(&self, name: &str) -> String {
        format!("/theme/{name}?{}", self.back)
    }

    pub fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    /// The texts for scripts. `<` is written so that no text can end the element it stands in.
    pub fn script_texts(&self) -> String {
        let texts: serde_json::Map<String, serde_json::Value> = script_texts(self.lang)
            .into_iter()
            .map(|(key, text)| (key.to_owned(), text.into()))
            .collect();
        serde_json::Value::Object(texts).to_string().replace('<', "\\u003c")
    }

    pub fn number(&self, value: impl Whole) -> String {
        format::number(self.lang, value.get())
    }

    pub fn count(&self, value: impl Whole, noun: Noun) -> String {
        format::count(self.lang, value.get(), noun)
    }

    pub fn bytes(&self, value: impl Whole) -> String {
        format::bytes(self.lang, value.get())
    }

    pub fn score(&self, value: impl Real) -> String {
        format::score(self.lang, value.get())
    }

    pub fn threshold(&self, value: impl Real) -> String {
        format::threshold(self.lang, value.get())
    }

    pub fn decimal(&self, value: impl Real) -> String {
        format::decimal(self.lang, value.get(), 1)
    }

    pub fn span(&self, seconds: impl Real) -> String {
        format::span(self.lang, seconds.get())
    }

    pub fn window(&self, seconds: impl Real) -> String {
        format::window(self.lang, seconds.get())
    }

    pub fn lag(&self, seconds: impl Real) -> String {
        format::lag(self.lang, seconds.get())
    }

    pub fn moment(&self, instant: &str) -> Moment {
        format::moment(self.lang, instant)
    }

    /// A place on the bar of a score, from 0 to 100.
    pub fn bar(&self, score: impl Real) -> String {
        format!("{:.1}", score.get().clamp(0.0, 1.0) * 100.0)
    }
}

/// Answers with a page.
pub fn html(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(page) => (status, Html(page)).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[derive(Template)]
#[template(path = "fault.html")]
struct Fault {
    page: Page,
    t: &'static Texts,
    title: &'static str,
    what_to_do: String,
    detail: String,
    reload: bool,
}

/// A page that says what went wrong and what to do; for scripts the same as JSON.
pub fn fault(visitor: &Visitor, app: &crate::Frontend, error: &ApiError) -> Response {
    let t = visitor.lang.texts();
    let away = || format!("{} {}", t.away_do, app.api.address());
    let (title, what_to_do, detail) = match error {
        ApiError::Away(cause) => (t.away_title, away(), cause.clone()),
        ApiError::Odd(_) => (t.away_title, away(), error.to_string()),
        ApiError::Refused { status, detail } => match *status {
            StatusCode::NOT_FOUND => (t.expired_title, t.expired_do.to_owned(), String::new()),
            StatusCode::UNAUTHORIZED => (t.token_title, t.token_do.to_owned(), detail.clone()),
            StatusCode::SERVICE_UNAVAILABLE => {
                (t.starting_title, t.starting_do.to_owned(), detail.clone())
            }
            _ => (t.refused_title, t.refused_do.to_owned(), detail.clone()),
        },
    };
    let status = error.status();
    if status.is_server_error() {
        tracing::warn!(%error, "the API did not do as asked");
    }
    if visitor.wants_json {
        return json_fault(status, title, &what_to_do, &detail);
    }
    let page = Page::new(visitor, "", "content");
    let reload = status.is_server_error();
    html(status, &Fault { page, t, title, what_to_do, detail, reload })
}

/// For scripts: what the API said, or what to do when it said nothing.
fn json_fault(status: StatusCode, title: &str, what_to_do: &str, detail: &str) -> Response {
    let detail = match status {
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::NOT_FOUND => {
            format!("{title}. {what_to_do}")
        }
        _ => detail.to_owned(),
    };
    (status, Json(json!({ "detail": detail }))).into_response()
}

/// Every address that is no page.
pub async fn missing(State(_): App, visitor: Visitor) -> Response {
    let t = visitor.lang.texts();
    let page = Page::new(&visitor, "", "content");
    let (what_to_do, detail) = (t.missing_do.to_owned(), String::new());
    let fault = Fault { page, t, title: t.missing_title, what_to_do, detail, reload: false };
    html(StatusCode::NOT_FOUND, &fault)
}
