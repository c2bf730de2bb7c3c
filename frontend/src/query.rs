//! The filter, order and place of the table: what stands behind `?` of a result's address.
//!
//! The names are the API's own, so that an address is a question to the API; others are dropped.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use reqwest::Url;

/// The names that are passed on.
const NAMES: [&str; 15] = [
    "sort",
    "order",
    "q",
    "problem_id",
    "anomaly_id",
    "file",
    "component",
    "from",
    "to",
    "min_score",
    "offset",
    "limit",
    "select",
    "by",
    "bins",
];

/// Those that choose links, and not their order or place.
const FILTERS: [&str; 8] =
    ["q", "problem_id", "anomaly_id", "file", "component", "from", "to", "min_score"];

/// What was asked for, without empty values, in the order of [`NAMES`].
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(&'static str, String)>);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Query, Infallible> {
        Ok(Query::read(parts.uri.query().unwrap_or_default()))
    }
}

impl Query {
    /// Reads what stands behind `?`.
    pub fn read(query: &str) -> Query {
        let mut given = Query::default();
        for (name, value) in pairs(query) {
            if let Some(known) = NAMES.iter().find(|known| **known == name) {
                given.set(known, value.trim());
            }
        }
        given
    }

    fn set(&mut self, name: &'static str, value: &str) {
        self.0.retain(|(known, _)| *known != name);
        if !value.is_empty() {
            self.0.push((name, value.to_owned()));
            let place = |name: &str| NAMES.iter().position(|it| *it == name);
            self.0.sort_by_key(|(name, _)| place(name));
        }
    }

    /// A value, or nothing.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }

    /// The query with some values other than they are; an empty one goes.
    pub fn with(&self, changes: &[(&'static str, &str)]) -> Query {
        let mut changed = self.clone();
        for (name, value) in changes {
            changed.set(name, value);
        }
        changed
    }

    /// Whether links are chosen at all.
    pub fn filters(&self) -> bool {
        self.0.iter().any(|(name, _)| FILTERS.contains(name))
    }

    /// Whether anything but the text is chosen by.
    pub fn filters_more(&self) -> bool {
        self.0.iter().any(|(name, _)| *name != "q" && FILTERS.contains(name))
    }

    /// What the API is asked: times of forms have no zone there, and mean UTC.
    pub fn for_api(&self) -> Vec<(&'static str, String)> {
        let instant = |(name, value): &(&'static str, String)| match (*name, in_utc(value)) {
            ("from" | "to", Some(instant)) => (*name, instant),
            _ => (*name, value.clone()),
        };
        self.0.iter().map(instant).collect()
    }

    /// A time as a form field shows it: in UTC, without zone.
    pub fn form_time(&self, name: &str) -> String {
        let value = self.get(name);
        let Ok(instant) = value.parse::<jiff::Timestamp>() else { return value.to_owned() };
        instant.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%S").to_string()
    }

    /// `?…`, or nothing.
    pub fn address(&self) -> String {
        if self.0.is_empty() { String::new() } else { format!("?{}", encoded(&self.0)) }
    }
}

/// The instant of a time without zone; nothing for one that has a zone.
fn in_utc(value: &str) -> Option<String> {
    if value.parse::<jiff::Timestamp>().is_ok() {
        return None;
    }
    let civil: DateTime = value.parse().ok()?;
    Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp().to_string())
}

/// The pairs of a query, decoded.
pub fn pairs(query: &str) -> Vec<(String, String)> {
    let url = Url::parse(&format!("http://here/?{query}"));
    url.map(|url| url.query_pairs().into_owned().collect()).unwrap_or_default()
}

/// Pairs as a query, encoded.
pub fn encoded(pairs: &[(&'static str, String)]) -> String {
    let url = Url::parse_with_params("http://here/", pairs);
    url.ok().and_then(|url| url.query().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_names_that_have_a_value_are_passed_on() {
        let query = Query::read("x=1&q=%3Cb%3E+a&sort=lag&from=&offset=100");
        assert_eq!(query.address(), "?sort=lag&q=%3Cb%3E+a&offset=100");
        assert_eq!(
            query.with(&[("q", ""), ("order", "desc")]).address(),
            "?sort=lag&order=desc&offset=100"
        );
        assert_eq!(Query::read("&&=&%").address(), "");
    }

    #[test]
    fn times_of_forms_are_utc_for_the_api_and_back_in_the_form() {
        let query = Query::read("from=2026-03-04T13:05&to=2026-03-04T16:05:00%2B03:00");
        let asked = query.for_api();
        assert_eq!(asked[0], ("from", "2026-03-04T13:05:00Z".to_owned()));
        assert_eq!(asked[1], ("to", "2026-03-04T16:05:00+03:00".to_owned()));
        assert_eq!(query.form_time("from"), "2026-03-04T13:05");
        assert_eq!(query.form_time("to"), "2026-03-04T13:05:00");
    }
}
