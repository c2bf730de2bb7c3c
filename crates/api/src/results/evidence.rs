//! `GET /jobs/{id}/links/{number}`: one link with the lines around its events.

use axum::extract::State as Extract;
use axum::response::Response;
use domain::Event;
use report::LinkRecord;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{LOOKED_AT, answer, json};
use crate::extract::Path;
use crate::openapi::{BadQuery, NotDone};
use crate::work::Finished;
use crate::{ApiError, Shared};

/// How many lines stand before and behind that of an event.
const AROUND: u64 = 3;

/// Which link is asked for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct Wanted {
    /// The id of the job.
    #[param(example = "5f0c7a3be91d42f8a6c1d20b9e8f7a31")]
    id: String,
    /// The place of the link in the result's own order, from 0, as `/jobs/{id}/links` tells it.
    #[param(minimum = 0, maximum = 4_294_967_295_u32, example = 0)]
    number: u32,
}

/// A link and what stands around its events.
#[derive(Serialize, ToSchema)]
pub struct Evidence<'a> {
    /// The link's place in the result's own order, from 0.
    number: u32,
    /// The link.
    link: LinkRecord<'a>,
    /// The lines around the anomaly; null when the log cannot be read any more.
    anomaly_context: Option<Context>,
    /// The lines around the problem; null when the log cannot be read any more.
    problem_context: Option<Context>,
}

/// Lines of a log, up to three before and three behind that of an event.
#[derive(Serialize, ToSchema)]
pub struct Context {
    /// The number of the first line, from 1.
    first: u64,
    /// The lines as they are written; one that is too long is cut, and ends with `…`.
    lines: Vec<String>,
    /// The number of the event's own line.
    line: u64,
}

/// A link of a job, with the lines around its two events
///
/// The logs are read again for this, so it takes as long as reading them to that place.
#[utoipa::path(
    get,
    path = "/jobs/{id}/links/{number}",
    operation_id = "job_link",
    tag = "jobs",
    params(Wanted),
    responses((status = OK, description = "The link and its evidence", body = Evidence), NotDone, BadQuery)
)]
pub async fn link(
    Extract(state): Extract<Shared>,
    Path(Wanted { id, number }): Path<Wanted>,
) -> Result<Response, ApiError> {
    answer(&state, &id, move |finished| json(&evidence(finished, number)?)).await
}

fn evidence(finished: &Finished, number: u32) -> Result<Evidence<'_>, ApiError> {
    let looked = finished.looked_at();
    let header = &finished.analysis.header;
    if number as usize >= looked.index.len() {
        return Err(ApiError::NotFound(match u64::from(number) < header.link_count {
            true => format!("{number}: only the first {LOOKED_AT} links of a result are told"),
            false => format!("{number}: no such link; the result has {}", header.link_count),
        }));
    }
    let link = looked.link(number);
    // Both at once: a packed log is unpacked up to each of them.
    let (anomaly_context, problem_context) = std::thread::scope(|threads| {
        let anomaly = threads.spawn(|| context(finished, &link.anomaly.event));
        let problem = context(finished, &link.problem.event);
        (anomaly.join().unwrap_or_default(), problem)
    });
    let link = LinkRecord::new(link, looked.linked.dictionary(), &header.judge);
    Ok(Evidence { number, link, anomaly_context, problem_context })
}

fn context(finished: &Finished, event: &Event) -> Option<Context> {
    let source = finished.sources.iter().find(|source| source.name == event.file)?;
    match parse::lines_around(source, event.line, AROUND, AROUND) {
        Ok(around) => {
            let parse::Around { first, lines } = around?;
            Some(Context { first, lines, line: event.line })
        }
        Err(error) => {
            tracing::warn!(%error, "a log cannot be read again");
            None
        }
    }
}
