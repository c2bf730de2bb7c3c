//! What went wrong, as HTTP tells it.

use std::io;

use analysis::AnalysisError;
use axum::Json;
use axum::extract::multipart::MultipartError;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use embed::EmbedError;
use parse::InputError;
use thiserror::Error;

use crate::openapi;

/// A failure, with what the client is told of it.
#[derive(Debug, Error)]
pub enum ApiError {
    /// A file that cannot be used.
    #[error("{0}")]
    BadFile(String),
    /// More than the limits allow.
    #[error("{0}")]
    TooLarge(String),
    /// A part is missing, or not as it should be.
    #[error("{0}")]
    BadRequest(String),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// Not in the state it is in.
    #[error("{0}")]
    Conflict(String),
    /// Without the right token.
    #[error("{0}")]
    Unauthorized(String),
    /// Sent so slowly that it is not waited for.
    #[error("{0}")]
    TooSlow(String),
    /// There is no room for more on the disk.
    #[error("this server has no room for the upload: {0}. Try again later, or ask who runs it")]
    NoSpace(String),
    /// Too many are before it.
    #[error("{0}")]
    Busy(String),
    /// The analysis was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The model does not answer for now.
    #[error("the model is not ready: {0}. Try again in a while")]
    NotReady(String),
    /// Nothing the client could do; the reason stands in the log.
    #[error("something is wrong with this server; its log says what")]
    Internal(String),
}

impl ApiError {
    /// The status it is told with.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            ApiError::BadFile(_) => StatusCode::BAD_REQUEST,
            ApiError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            ApiError::BadRequest(_) => StatusCode::UNPROCESSABLE_ENTITY,
            ApiError::NotFound(_) => StatusCode::NOT_FOUND,
            ApiError::Conflict(_) => StatusCode::CONFLICT,
            ApiError::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            ApiError::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            ApiError::NoSpace(_) => StatusCode::INSUFFICIENT_STORAGE,
            ApiError::Cancelled => StatusCode::CONFLICT,
            ApiError::NotReady(_) | ApiError::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
            ApiError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// A failure of writing to the disk of this server.
    pub(crate) fn storing(error: io::Error) -> ApiError {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                tracing::error!(%error, "the disk is full");
                ApiError::NoSpace("its disk is full".to_owned())
            }
            _ => ApiError::internal(error),
        }
    }

    /// A failure that is this server's own.
    pub(crate) fn internal(error: impl std::fmt::Display) -> ApiError {
        ApiError::Internal(error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if let ApiError::Internal(reason) = &self {
            tracing::error!(reason, "a request failed");
        }
        let mut response = refusal(self.status(), self.to_string());
        if let ApiError::Unauthorized(_) = self {
            let bearer = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
        }
        response
    }
}

fn refusal(status: StatusCode, detail: String) -> Response {
    (status, Json(openapi::Error { detail })).into_response()
}

/// Answers what is asked of no path of the API.
pub(crate) async fn no_such_path(uri: Uri) -> Response {
    ApiError::NotFound(format!("{}: nothing is here; see /docs", uri.path())).into_response()
}

/// Answers what a path cannot be asked; the header `Allow` says what it can.
pub(crate) async fn no_such_method(method: Method) -> Response {
    refusal(StatusCode::METHOD_NOT_ALLOWED, format!("{method}: cannot be asked here; see /docs"))
}

impl From<MultipartError> for ApiError {
    fn from(error: MultipartError) -> ApiError {
        ApiError::BadFile(format!("the upload cannot be read: {}", error.body_text()))
    }
}

impl From<InputError> for ApiError {
    fn from(error: InputError) -> ApiError {
        match error {
            InputError::Bomb { .. } => ApiError::TooLarge(error.to_string()),
            _ => ApiError::BadFile(error.to_string()),
        }
    }
}

impl From<EmbedError> for ApiError {
    fn from(error: EmbedError) -> ApiError {
        match error.is_temporary() {
            true => ApiError::NotReady(error.to_string()),
            false => ApiError::internal(error),
        }
    }
}

impl From<AnalysisError> for ApiError {
    fn from(error: AnalysisError) -> ApiError {
        match error {
            AnalysisError::Embed(error) => error.into(),
            AnalysisError::Cancelled => ApiError::Cancelled,
            AnalysisError::Input(errors) => {
                let details: Vec<String> = errors.iter().map(ToString::to_string).collect();
                let details = details.join("\n");
                match errors.iter().any(|error| matches!(error, InputError::Bomb { .. })) {
                    true => ApiError::TooLarge(details),
                    false => ApiError::BadFile(details),
                }
            }
        }
    }
}

impl ApiError {
    /// Without the folder in which uploads are kept, which is nobody's business: files are called
    /// what the client calls them.
    pub(crate) fn without(self, folder: &std::path::Path) -> ApiError {
        let folder = format!("{}/", folder.display());
        let clean = |text: String| text.replace(&folder, "");
        match self {
            ApiError::BadFile(text) => ApiError::BadFile(clean(text)),
            ApiError::TooLarge(text) => ApiError::TooLarge(clean(text)),
            ApiError::BadRequest(text) => ApiError::BadRequest(clean(text)),
            other => other,
        }
    }
}
