//! Webhooks: a link as signed JSON, by POST.
//!
//! Input: a link that waits. Output: a request, signed when there is a secret, and what became of it.
//! Invariant: the address, which often carries the right to post, appears in no log and no error.
//!
//! The body is `{"type": "link", "id", "found", "text", "link": {…}}`; `text` is what Slack and
//! Mattermost show. `X-Foreshock-Signature` is `v1=` and the hexadecimal HMAC-SHA256, keyed by the
//! secret, over `X-Foreshock-Timestamp` (seconds since 1970), a full stop, and the body.

use std::collections::HashMap;
use std::fmt::Write;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use reqwest::{Client, Url, header};
use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::alert;
use crate::record::Record;
use crate::settings::{Secret, Settings};
use crate::store::{Language, Queued};
use crate::telegram::{Failure, reason};

/// The time of signing, in seconds since 1970.
pub const TIMESTAMP_HEADER: &str = "x-foreshock-timestamp";
/// The signature.
pub const SIGNATURE_HEADER: &str = "x-foreshock-signature";
/// The id of the link, to tell a repetition by.
pub const DELIVERY_HEADER: &str = "x-foreshock-delivery";

/// The signature of a body at a time: `v1=` and hexadecimal digits.
pub fn sign(secret: &Secret, timestamp: &str, body: &[u8]) -> String {
    // A key of any length will do for HMAC, so this cannot fail.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes()) else {
        return String::new();
    };
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    hex("v1=", &mac.finalize().into_bytes())
}

/// Names a webhook without telling its address.
pub(crate) fn endpoint(url: &Url) -> String {
    hex("", &Sha256::digest(url.as_str())[..8])
}

fn hex(before: &str, bytes: &[u8]) -> String {
    bytes.iter().fold(before.to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The body of a request.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    found: String,
    text: String,
    link: &'a RawValue,
}

/// The webhooks that are set.
pub(crate) struct Webhooks {
    client: Client,
    urls: HashMap<String, Url>,
    secret: Option<Secret>,
    patience: Duration,
}

impl Webhooks {
    /// Those of the settings.
    pub fn new(settings: &Settings, client: Client) -> Webhooks {
        let urls = settings.webhooks.iter().map(|url| (endpoint(url), url.clone())).collect();
        let secret = settings.webhook_secret.clone().filter(|secret| !secret.is_empty());
        Webhooks { client, urls, secret, patience: settings.pace.patience }
    }

    /// Their names.
    pub fn endpoints(&self) -> Vec<String> {
        self.urls.keys().cloned().collect()
    }

    /// Whether this one is set.
    pub fn has(&self, endpoint: &str) -> bool {
        self.urls.contains_key(endpoint)
    }

    /// Posts a link.
    pub async fn post(
        &self,
        endpoint: &str,
        link: &Queued,
        record: &Record,
        now: Timestamp,
    ) -> Result<i32, Failure> {
        let unset = || Failure::Refused("the webhook is not set any more".to_owned());
        let url = self.urls.get(endpoint).ok_or_else(unset)?.clone();
        let unreadable = |error: serde_json::Error| Failure::Refused(error.to_string());
        let body = body(link, record).map_err(unreadable)?;
        let timestamp = now.as_second().to_string();
        let mut request = self
            .client
            .post(url)
            .timeout(self.patience)
            .header(header::CONTENT_TYPE, "application/json")
            .header(DELIVERY_HEADER, printable(&record.id))
            .header(TIMESTAMP_HEADER, &timestamp);
        if let Some(secret) = &self.secret {
            request = request.header(SIGNATURE_HEADER, sign(secret, &timestamp, &body));
        }
        let response = request.body(body).send().await;
        let response = response.map_err(|error| Failure::Later(reason(error)))?;
        let wait = response.headers().get(header::RETRY_AFTER);
        let wait =
            wait.and_then(|it| it.to_str().ok()?.trim().parse().ok()).map(Duration::from_secs);
        let status = response.status().as_u16();
        match (status, wait) {
            (200..=299, _) => Ok(0),
            (429 | 503, Some(wait)) => Err(Failure::Wait(wait)),
            // What this very body is refused for will not be better another time.
            (400 | 413 | 422, _) => Err(Failure::Refused(format!("HTTP {status}"))),
            _ => Err(Failure::Later(format!("HTTP {status}"))),
        }
    }
}

fn body(link: &Queued, record: &Record) -> serde_json::Result<Vec<u8>> {
    let found = Timestamp::from_millisecond(link.found).unwrap_or_default().to_string();
    let text = alert::line(record, Language::En);
    let json = serde_json::from_slice(&link.json)?;
    serde_json::to_vec(&Body { kind: "link", id: &record.id, found, text, link: json })
}

/// What a header may carry.
fn printable(id: &str) -> String {
    id.chars().filter(char::is_ascii_graphic).take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::example;

    #[test]
    fn the_signature_is_the_one_that_others_compute() {
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac key
        let signature = sign(&Secret::from("key"), "1700000000", br#"{"a":1}"#);
        assert_eq!(signature.len(), 3 + 64);
        assert_eq!(signature, EXPECTED);
        assert_ne!(sign(&Secret::from("key"), "1700000001", br#"{"a":1}"#), signature);
        assert_ne!(sign(&Secret::from("yek"), "1700000000", br#"{"a":1}"#), signature);
    }

    const EXPECTED: &str = "v1=a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03";

    #[test]
    fn the_body_carries_the_link_as_it_is() {
        let json = example("abc", Timestamp::UNIX_EPOCH);
        let record = Record::read(json.as_bytes()).unwrap();
        let link = Queued { seq: 1, found: 1_000, json: json.clone().into_bytes() };
        let body = String::from_utf8(body(&link, &record).unwrap()).unwrap();
        assert!(body.starts_with(r#"{"type":"link","id":"abc","found":"1970-01-01T00:00:01Z","#));
        assert!(body.contains(&json), "{body}");
    }
}
