//! What went wrong, as HTTP tells it.

use analysis::AnalysisError;
use axum::Json;
use axum::extract::multipart::MultipartError;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use embed::EmbedError;
use parse::InputError;
use serde_json::json;
use thiserror::Error;

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
    /// The model does not answer for now.
    #[error("the model is not ready: {0}. Try again in a while")]
    NotReady(String),
    /// Nothing the client could do; the reason stands in the log.
    #[error("something is wrong with this server; its log says what")]
    Internal(String),
}

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            ApiError::BadFile(_) => StatusCode::BAD_REQUEST,
            ApiError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            ApiError::BadRequest(_) => StatusCode::UNPROCESSABLE_ENTITY,
            ApiError::NotReady(_) => StatusCode::SERVICE_UNAVAILABLE,
            ApiError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
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
        (self.status(), Json(json!({ "detail": self.to_string() }))).into_response()
    }
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
            AnalysisError::Cancelled => ApiError::internal(error),
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
