//! Asking the API: JSON that pages show, and bodies that are passed on as they come.
//!
//! Invariant: nothing the size of an upload, a download or a stream is ever held here.

use std::time::Duration;

use axum::http::StatusCode;
use reqwest::{Client, Method, RequestBuilder, Response, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// How long an answer may take that is no stream.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why the API did not do as asked.
#[derive(Debug, Error)]
pub enum ApiError {
    /// It could not be reached, or broke off.
    #[error("{0}")]
    Away(String),
    /// It answered with an error.
    #[error("{detail}")]
    Refused {
        /// Its status.
        status: StatusCode,
        /// Its words.
        detail: String,
    },
    /// It answered with something else than agreed.
    #[error("the API's answer makes no sense: {0}")]
    Odd(String),
}

impl ApiError {
    /// The status that says this to a browser.
    pub fn status(&self) -> StatusCode {
        match self {
            ApiError::Away(_) => StatusCode::SERVICE_UNAVAILABLE,
            // A visitor has no token to give: that the API wants another one is our fault.
            ApiError::Refused { status: StatusCode::UNAUTHORIZED, .. } | ApiError::Odd(_) => {
                StatusCode::BAD_GATEWAY
            }
            ApiError::Refused { status, .. } => *status,
        }
    }
}

/// The API, as the pages see it.
#[derive(Clone, Debug)]
pub struct Api {
    base: Url,
    token: Option<String>,
    client: Client,
}

impl Api {
    /// The API at an address.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn new(base: Url, token: Option<String>) -> anyhow::Result<Api> {
        // Proxies of the environment are for the world outside, where the API is not.
        let client = Client::builder().no_proxy().connect_timeout(CONNECT).build()?;
        Ok(Api { base, token: token.filter(|token| !token.is_empty()), client })
    }

    /// Where it is, for people.
    pub fn address(&self) -> String {
        let port = self.base.port().map_or(String::new(), |port| format!(":{port}"));
        format!("{}{port}", self.base.host_str().unwrap_or_default())
    }

    /// A request; the path's segments are taken literally, whatever is in them.
    pub fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let request = self.client.request(method, url);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Gets JSON.
    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<T, ApiError> {
        let request = self.request(Method::GET, path).query(query).timeout(PATIENCE);
        read(send(request).await?).await
    }

    /// Posts JSON, and gets some.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &serde_json::Value,
    ) -> Result<T, ApiError> {
        let request = self.request(Method::POST, path).json(body).timeout(PATIENCE);
        read(send(request).await?).await
    }

    /// Deletes.
    pub async fn delete(&self, path: &[&str]) -> Result<(), ApiError> {
        send(self.request(Method::DELETE, path).timeout(PATIENCE)).await.map(|_| ())
    }

    /// Whether it is there at all; for health checks.
    pub async fn is_alive(&self) -> Result<(), String> {
        let asked = send(self.request(Method::GET, &["health"]).timeout(CONNECT)).await;
        asked.map(|_| ()).map_err(|error| format!("{}: {error}", self.address()))
    }
}

/// Sends a request; an answer of any status but 2xx is an error.
pub async fn send(request: RequestBuilder) -> Result<Response, ApiError> {
    let response = request.send().await.map_err(away)?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let text = response.text().await.unwrap_or_default();
    Err(ApiError::Refused { status, detail: detail(&text, status) })
}

/// Reads the JSON of an answer.
pub async fn read<T: DeserializeOwned>(response: Response) -> Result<T, ApiError> {
    let bytes = response.bytes().await.map_err(away)?;
    serde_json::from_slice(&bytes).map_err(|error| ApiError::Odd(error.to_string()))
}

/// The words of an error; those of another server between us and the API are not shown.
fn detail(text: &str, status: StatusCode) -> String {
    #[derive(Deserialize)]
    struct Detail {
        detail: String,
    }
    let detail = serde_json::from_str::<Detail>(text).map(|it| it.detail);
    detail.unwrap_or_else(|_| format!("the API answers {status}"))
}

/// The last cause says most.
fn away(error: reqwest::Error) -> ApiError {
    let mut cause: &dyn std::error::Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let late = if error.is_timeout() { "no answer in time" } else { "" };
    ApiError::Away(if late.is_empty() { cause.to_string() } else { late.to_owned() })
}
