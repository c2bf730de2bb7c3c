//! Language and theme: kept in a cookie, by a link that works without scripts.

use axum::extract::{Path, RawQuery};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::query::pairs;
use crate::texts::Lang;
use crate::visitor::{Theme, local};

/// `GET /language/{ru|en}?back=/…`
pub async fn language(Path(language): Path<String>, RawQuery(query): RawQuery) -> Response {
    match Lang::of(&language) {
        Some(lang) => keep("lang", lang.code(), query.as_deref()),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// `GET /theme/{light|dark|auto}?back=/…`
pub async fn theme(Path(theme): Path<String>, RawQuery(query): RawQuery) -> Response {
    match Theme::of(&theme) {
        Some(theme) => keep("theme", theme.name(), query.as_deref()),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Keeps a choice for a year, and goes back.
fn keep(name: &str, value: &str, query: Option<&str>) -> Response {
    let pairs = pairs(query.unwrap_or_default());
    let back = pairs.iter().find(|(name, _)| name == "back").map_or("/", |(_, back)| back);
    let cookie = format!("{name}={value}; Path=/; Max-Age=31536000; SameSite=Lax; HttpOnly");
    let to = HeaderValue::from_str(local(back)).unwrap_or(HeaderValue::from_static("/"));
    let mut response = StatusCode::SEE_OTHER.into_response();
    response.headers_mut().insert(header::LOCATION, to);
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}
