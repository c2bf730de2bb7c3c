//! The table of links: sorted, filtered, a page of it at a time; a fragment that scripts replace.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use crate::client::ApiError;
use crate::page::{Page, fault, html};
use crate::query::Query;
use crate::records::Links;
use crate::texts::Texts;
use crate::visitor::Visitor;
use crate::{App, Frontend};

/// The most of a message that a row shows; the evidence shows all of it.
const SHOWN: usize = 240;

#[derive(Template)]
#[template(path = "table.html")]
pub struct Table {
    page: Page,
    t: &'static Texts,
    base: String,
    query: Query,
    selected: String,
    columns: Vec<Column>,
    pager: Vec<PagerLink>,
    links: Links,
}

/// A column that the table can be sorted by.
struct Column {
    sort: &'static str,
    title: &'static str,
    /// The order that a click asks for.
    order: &'static str,
    /// `ascending`, `descending` or `none`.
    sorted: &'static str,
    address: String,
}

/// A step to another page; without an address where there is none.
struct PagerLink {
    name: &'static str,
    title: &'static str,
    sign: &'static str,
    address: Option<String>,
}

impl Table {
    /// The links that a query asks for.
    pub async fn load(
        app: &Frontend,
        visitor: &Visitor,
        id: &str,
        query: &Query,
    ) -> Result<Table, ApiError> {
        let links: Links = app.api.get(&["jobs", id, "links"], &query.for_api()).await?;
        let page = Page::new(visitor, "upload", "content");
        let t = page.texts();
        let base = format!("/results/{id}");
        let selected = query.get("select").to_owned();
        // The answer says where the selected link was found.
        let query = query.with(&[("select", "")]);
        let query = match links.offset {
            0 => query.with(&[("offset", "")]),
            offset => query.with(&[("offset", &offset.to_string())]),
        };
        let columns = columns(t, &base, &query);
        let pager = pager(t, &base, &query, &links);
        Ok(Table { page, t, base, query, selected, columns, pager, links })
    }

    /// The links on this page: the first and the last, counted from 1.
    fn shown(&self) -> (u64, u64) {
        let first = self.links.offset;
        (first + 1, first + self.links.links.len() as u64)
    }

    fn is_selected(&self, number: &u64) -> bool {
        self.selected == number.to_string()
    }

    fn evidence(&self, number: &u64) -> String {
        format!("{}/links/{number}{}", self.base, self.query.address())
    }

    fn least<'s>(&self, one: &'s f64, other: &'s f64) -> &'s f64 {
        if one < other { one } else { other }
    }

    /// An instant as scripts count, for the timeline.
    fn millis(&self, instant: &str) -> i64 {
        instant.parse::<jiff::Timestamp>().map_or(0, |time| time.as_millisecond())
    }

    fn cut(&self, text: &str) -> String {
        cut(text)
    }

    fn filtered(&self) -> bool {
        self.query.filters()
    }
}

/// The beginning of a long text.
pub fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{} …", &text[..end]),
        None => text.to_owned(),
    }
}

fn columns(t: &'static Texts, base: &str, query: &Query) -> Vec<Column> {
    let now = match query.get("sort") {
        "" => "problem_time",
        sort => sort,
    };
    let descending = query.get("order") == "desc";
    let titles = [
        ("problem_time", t.col_time),
        ("problem", t.problem),
        ("file", t.col_where),
        ("lag", t.col_lag),
        ("anomaly", t.anomaly),
        ("anomaly_time", t.col_anomaly_time),
        ("score", t.col_score),
    ];
    let column = |(sort, title): (&'static str, &'static str)| {
        let (sorted, order) = match (sort == now, descending) {
            (true, false) => ("ascending", "desc"),
            (true, true) => ("descending", "asc"),
            // The best scores are wanted first.
            (false, _) if sort == "score" => ("none", "desc"),
            (false, _) => ("none", "asc"),
        };
        let query = query.with(&[("sort", sort), ("order", order), ("offset", "")]);
        let address = format!("{base}{}#links", query.address());
        Column { sort, title, order, sorted, address }
    };
    titles.into_iter().map(column).collect()
}

fn pager(t: &'static Texts, base: &str, query: &Query, links: &Links) -> Vec<PagerLink> {
    let limit = links.limit.max(1);
    let last = links.matching.saturating_sub(1) / limit * limit;
    let (now, next) = (links.offset, links.offset + limit);
    let link = |name, title, sign, offset: u64, there: bool| {
        let query = query.with(&[("offset", &offset.to_string())]);
        let address = there.then(|| format!("{base}{}#links", query.address()));
        PagerLink { name, title, sign, address }
    };
    vec![
        link("first", t.first, "«", 0, now > 0),
        link("previous", t.previous, "‹", now.saturating_sub(limit), now > 0),
        link("next", t.next, "›", next, next < links.matching),
        link("last", t.last, "»", last, next < links.matching),
    ]
}

/// `GET /results/{id}/table`
pub async fn fragment(
    State(app): App,
    Path(id): Path<String>,
    query: Query,
    visitor: Visitor,
) -> Response {
    match Table::load(&app, &visitor, &id, &query).await {
        Ok(table) => html(StatusCode::OK, &table),
        Err(error) => fault(&Visitor { wants_json: true, ..visitor }, &app, &error),
    }
}
