//! The live page: the newest links and the state of the stream, as they are when it is loaded.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use crate::App;
use crate::client::ApiError;
use crate::page::{Page, fault, html};
use crate::records::{Link, Live, RecentLinks};
use crate::table::cut;
use crate::texts::Texts;
use crate::visitor::Visitor;

#[derive(Template)]
#[template(path = "live.html")]
struct LivePage {
    page: Page,
    t: &'static Texts,
    links: Option<Vec<Link>>,
    live: Live,
}

impl LivePage {
    fn cut(&self, text: &str) -> String {
        cut(text)
    }
}

/// `GET /live`
pub async fn show(State(app): App, visitor: Visitor) -> Response {
    let limit = [("limit", "50".to_owned())];
    let (recent, live) = tokio::join!(
        app.api.get::<RecentLinks>(&["links"], &limit),
        app.api.get::<Live>(&["status"], &[]),
    );
    if let (Err(away @ ApiError::Away(_)), _) | (_, Err(away @ ApiError::Away(_))) =
        (&recent, &live)
    {
        return fault(&visitor, &app, away);
    }
    let page = Page::new(&visitor, "live", "live");
    let (t, links) = (page.texts(), recent.map(|recent| recent.links).ok());
    html(StatusCode::OK, &LivePage { page, t, links, live: live.unwrap_or_default() })
}
