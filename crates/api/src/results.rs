//! The result of a job as pages look at it: a table, the evidence of a link, a timeline, lags.
//!
//! Input: a finished analysis and what the address asks for. Output: JSON that is small whatever
//! the result: a page of links, at most some thousand points and lines, a histogram.
//!
//! Invariants: all four look at the same links, the first [`LOOKED_AT`] of a result, and choose
//! among them by the same [`Filter`]; links are made of their places for the page that is shown
//! only; the work is done off the asynchronous threads.

mod evidence;
mod filter;
mod index;
mod lags;
#[cfg(test)]
mod made;
mod table;
mod timeline;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::work::Finished;
use crate::{ApiError, Shared};

pub use filter::{Filter, NO_COMPONENT, folded};
pub use index::{Index, LOOKED_AT, Looked};

pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(table::links))
        .routes(routes!(evidence::link))
        .routes(routes!(timeline::timeline))
        .routes(routes!(lags::lags))
}

/// Whose result is asked for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct JobId {
    /// The id of the job.
    #[param(example = "5f0c7a3be91d42f8a6c1d20b9e8f7a31")]
    id: String,
}

/// Makes an answer of the result of a job, on a thread that may work.
async fn answer(
    state: &Shared,
    job: &str,
    make: impl FnOnce(&Finished) -> Result<Vec<u8>, ApiError> + Send + 'static,
) -> Result<Response, ApiError> {
    let finished = state.jobs.finished(job)?;
    let made = tokio::task::spawn_blocking(move || make(&finished)).await;
    let bytes = made.map_err(ApiError::internal)??;
    Ok(([(header::CONTENT_TYPE, "application/json")], bytes).into_response())
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(value).map_err(ApiError::internal)
}

/// What a number from the address must be.
fn check<T: PartialOrd + std::fmt::Display>(
    name: &str,
    value: T,
    least: T,
    most: T,
) -> Result<T, ApiError> {
    match least <= value && value <= most {
        true => Ok(value),
        false => Err(ApiError::BadRequest(format!("{name}: must be from {least} to {most}"))),
    }
}
