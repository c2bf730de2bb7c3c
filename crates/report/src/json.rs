//! Links with all their evidence, as JSON.

use std::io::Write;

use domain::{Dictionary, Event, Side};
use linking::{Link, Linked, Matched, Thresholds};
use parse::Counts;
use serde::Serialize;

use crate::ReportError;

/// What judged the links.
#[derive(Clone, Debug, Serialize)]
pub struct Judge {
    /// The name of the model.
    pub model: String,
    /// The thresholds applied.
    #[serde(flatten)]
    pub thresholds: Thresholds,
    /// The largest distance in time, in seconds.
    pub window_seconds: f64,
}

/// A file that was read.
#[derive(Clone, Debug, Serialize)]
pub struct File {
    /// Its name, as links show it.
    pub name: String,
    /// What was in it.
    #[serde(flatten)]
    pub counts: Counts,
}

/// What stands above the links.
#[derive(Clone, Debug, Serialize)]
pub struct Header {
    /// What judged the links.
    pub judge: Judge,
    /// The files, by name.
    pub files: Vec<File>,
    /// The sum of the files' counts.
    pub total: Counts,
    /// WARNING events that matched an anomaly.
    pub matched_anomalies: usize,
    /// ERROR events that matched a problem.
    pub matched_problems: usize,
    /// The number of links.
    pub link_count: u64,
    /// What a person should know of the input.
    pub notices: Vec<String>,
}

/// One link with its evidence.
#[derive(Clone, Debug, Serialize)]
pub struct LinkRecord<'a> {
    id: String,
    /// Problem time − anomaly time.
    lag_seconds: f64,
    /// The cosine of the two messages.
    cosine: Option<f32>,
    /// The row of the dictionary that pairs the two texts.
    dictionary_row: u64,
    anomaly: Found<'a>,
    problem: Found<'a>,
    judge: &'a Judge,
}

#[derive(Clone, Debug, Serialize)]
struct Found<'a> {
    id: u64,
    text: &'a str,
    exact: bool,
    score: f32,
    runner_up: Option<RunnerUp<'a>>,
    event: EventRecord<'a>,
}

#[derive(Clone, Debug, Serialize)]
struct RunnerUp<'a> {
    text: &'a str,
    score: f32,
}

#[derive(Clone, Debug, Serialize)]
struct EventRecord<'a> {
    timestamp: &'a str,
    /// The instant, in UTC.
    time: String,
    level: &'static str,
    component: &'a str,
    message: &'a str,
    file: &'a str,
    line: u64,
    raw: &'a str,
}

impl<'a> LinkRecord<'a> {
    /// The record of a link.
    pub fn new(link: Link<'a>, dictionary: &'a Dictionary, judge: &'a Judge) -> LinkRecord<'a> {
        let row = link.row;
        LinkRecord {
            id: link.id(),
            lag_seconds: link.lag().as_secs_f64(),
            cosine: link.cosine(),
            dictionary_row: row.line,
            anomaly: found(link.anomaly, row.anomaly_id, &row.anomaly, dictionary),
            problem: found(link.problem, row.problem_id, &row.problem, dictionary),
            judge,
        }
    }
}

fn found<'a>(
    matched: &'a Matched,
    id: u64,
    text: &'a str,
    dictionary: &'a Dictionary,
) -> Found<'a> {
    let side: Side = matched.side;
    let runner_up = matched.found.runner_up.map(|other| RunnerUp {
        text: &dictionary.text(side, other.text).text,
        score: other.score,
    });
    let (exact, score) = (matched.found.exact, matched.found.score);
    Found { id, text, exact, score, runner_up, event: event(&matched.event) }
}

fn event(event: &Event) -> EventRecord<'_> {
    EventRecord {
        timestamp: &event.timestamp,
        time: event.time.to_string(),
        level: event.level.as_str(),
        component: &event.component,
        message: &event.message,
        file: &event.file,
        line: event.line,
        raw: &event.raw,
    }
}

/// Writes the header and every link, one a line. Returns the number of links.
///
/// # Errors
/// When writing fails.
pub fn write_json(
    linked: &Linked,
    header: &Header,
    mut out: impl Write,
) -> Result<u64, ReportError> {
    // The header is an object; the links are written into it before its closing brace, so that
    // they need not be in memory together.
    let head = serde_json::to_string_pretty(header)?;
    let open = head.strip_suffix("\n}").unwrap_or(&head);
    write!(out, "{open},\n  \"links\": [")?;
    let mut count = 0;
    for link in linked.links() {
        out.write_all(if count == 0 { b"\n    " } else { b",\n    " })?;
        serde_json::to_writer(
            &mut out,
            &LinkRecord::new(link, linked.dictionary(), &header.judge),
        )?;
        count += 1;
    }
    out.write_all(if count == 0 { b"]\n}\n" } else { b"\n  ]\n}\n" })?;
    out.flush()?;
    Ok(count)
}
