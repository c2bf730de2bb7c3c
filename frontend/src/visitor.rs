//! Who looks: language, theme, the page they are on, and whether a script asks.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, OriginalUri};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};

use crate::texts::Lang;

/// Light, dark, or as the system is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    Light,
    Dark,
    Auto,
}

impl Theme {
    /// Its name, in cookies and in pages.
    pub fn name(self) -> &'static str {
        match self {
            Theme::Light => "light",
            Theme::Dark => "dark",
            Theme::Auto => "auto",
        }
    }

    /// The theme of a name.
    pub fn of(name: &str) -> Option<Theme> {
        [Theme::Light, Theme::Dark, Theme::Auto].into_iter().find(|theme| theme.name() == name)
    }
}

/// The visitor, as far as a request tells.
#[derive(Clone, Debug)]
pub struct Visitor {
    pub lang: Lang,
    pub theme: Theme,
    /// The path and query of this request.
    pub here: String,
    /// Whether JSON is wanted and no page.
    pub wants_json: bool,
}

impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Visitor, Infallible> {
        let headers = &parts.headers;
        let chosen = cookie(headers, "lang").and_then(Lang::of);
        // Nested routes see the rest of the path only.
        let uri = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |uri| &uri.0);
        let here = uri.path_and_query().map_or("/", |it| it.as_str());
        let accept = text(headers, header::ACCEPT);
        Ok(Visitor {
            lang: chosen.unwrap_or_else(|| preferred(text(headers, header::ACCEPT_LANGUAGE))),
            theme: cookie(headers, "theme").and_then(Theme::of).unwrap_or(Theme::Auto),
            here: here.to_owned(),
            wants_json: accept.contains("application/json") && !accept.contains("text/html"),
        })
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let pairs = text(headers, header::COOKIE).split(';').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(key, value)| (key.trim(), value.trim()))
        .find(|(key, _)| *key == name)
        .map(|it| it.1)
}

/// The language of ours that a browser likes best; English when it names none.
fn preferred(accepted: &str) -> Lang {
    let mut best = (0.0, Lang::En);
    for choice in accepted.split(',') {
        let (tag, weight) = choice.split_once(';').unwrap_or((choice, "q=1"));
        let weight: f32 =
            weight.trim().strip_prefix("q=").and_then(|it| it.parse().ok()).unwrap_or(0.0);
        let primary = tag.trim().split('-').next().unwrap_or_default().to_ascii_lowercase();
        if let Some(lang) = Lang::of(&primary)
            && weight > best.0
        {
            best = (weight, lang);
        }
    }
    best.1
}

/// Where to go back to: a path on this server, whatever was asked for.
pub fn local(back: &str) -> &str {
    let plain = back.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if plain && back.starts_with('/') && !back.starts_with("//") { back } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_is_the_one_a_browser_likes_best() {
        assert_eq!(preferred("ru-RU,ru;q=0.9,en;q=0.8"), Lang::Ru);
        assert_eq!(preferred("en;q=0.5, RU;q=0.6"), Lang::Ru);
        assert_eq!(preferred("de, en;q=0.7, ru;q=0.3"), Lang::En);
        assert_eq!(preferred("de, fr"), Lang::En);
        assert_eq!(preferred(""), Lang::En);
        assert_eq!(preferred("rust"), Lang::En);
    }

    #[test]
    fn one_goes_back_to_this_server_alone() {
        assert_eq!(local("/results/1?q=a%20b"), "/results/1?q=a%20b");
        for evil in ["//evil.example", "https://evil.example", "/\\evil.example", "", "/a\r\nb"] {
            assert_eq!(local(evil), "/", "{evil:?}");
        }
    }
}
