//! The sample: logs and dictionary of the project, embedded, so that a newcomer sees a result.

use std::borrow::Cow;

use axum::extract::State;
use axum::response::Response;
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use rust_embed::RustEmbed;

use crate::App;
use crate::client::send;
use crate::upload::{accepted, refused};
use crate::visitor::Visitor;

#[derive(RustEmbed)]
#[folder = "../data/logs"]
struct Logs;

const DICTIONARY: &[u8] = include_bytes!("../../data/anomalies_problems.csv");

/// `POST /sample`
pub async fn analyze(State(app): App, visitor: Visitor) -> Response {
    match send(app.api.request(Method::POST, &["jobs"]).multipart(form())).await {
        Ok(answer) => accepted(&app, &visitor, answer).await,
        Err(error) => refused(&app, &visitor, error).await,
    }
}

fn form() -> Form {
    let dictionary = Part::bytes(DICTIONARY).file_name("anomalies_problems.csv");
    let mut form = Form::new().part("anomalies_file", dictionary);
    for name in Logs::iter() {
        if let Some(file) = Logs::get(&name) {
            let part = match file.data {
                Cow::Borrowed(bytes) => Part::bytes(bytes),
                Cow::Owned(bytes) => Part::bytes(bytes),
            };
            form = form.part("log_files", part.file_name(name.into_owned()));
        }
    }
    form
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_embedded() {
        assert_eq!(Logs::iter().filter(|name| name.ends_with("_log.txt")).count(), 9);
        assert!(DICTIONARY.starts_with("ID аномалии;".as_bytes()));
    }
}
