//! Links with all their evidence, as JSON.

use std::io::Write;

use domain::{Dictionary, Event, Side};
use linking::{Link, Linked, Matched, Method, Thresholds};
use parse::Counts;
use serde::Serialize;

use crate::ReportError;

/// What judged the links.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Judge {
    /// The name of the model.
    #[cfg_attr(feature = "openapi", schema(example = "all-MiniLM-L6-v2"))]
    pub model: String,
    /// How messages were compared with the texts of the dictionary.
    pub matcher: Method,
    /// The thresholds applied.
    #[serde(flatten)]
    pub thresholds: Thresholds,
    /// The largest distance in time, in seconds.
    #[cfg_attr(feature = "openapi", schema(example = 86400.0))]
    pub window_seconds: f64,
}

/// A file that was read.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = LogFile))]
pub struct File {
    /// Its name, as links show it.
    pub name: String,
    /// What was in it.
    #[serde(flatten)]
    pub counts: Counts,
}

/// What stands above the links.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = ReportHeader))]
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = Link))]
pub struct LinkRecord<'a> {
    /// 32 hexadecimal digits; the same events and texts give the same.
    #[cfg_attr(
        feature = "openapi",
        schema(pattern = "^[0-9a-f]{32}$", example = "5f0c7a3be91d42f8a6c1d20b9e8f7a31")
    )]
    id: String,
    /// Problem time − anomaly time: negative when the anomaly came after the problem.
    #[cfg_attr(feature = "openapi", schema(example = 2543.0))]
    lag_seconds: f64,
    /// The cosine of the two messages; null when one of them has no words.
    cosine: Option<f32>,
    /// The row of the dictionary that pairs the two texts.
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    dictionary_row: u64,
    /// What came before, most often: a WARNING event and the text it matched.
    anomaly: Found<'a>,
    /// What broke: an ERROR event and the text it matched.
    problem: Found<'a>,
    /// What judged them.
    judge: &'a Judge,
}

/// An event, and the text of the dictionary that it says.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = MatchedEvent))]
struct Found<'a> {
    /// The id of the text in the dictionary.
    id: u64,
    /// The text.
    #[cfg_attr(feature = "openapi", schema(example = "Replica fell out of step with primary"))]
    text: &'a str,
    /// Whether the message is the text itself.
    exact: bool,
    /// The score of the text: the confidence that the message says it, or their cosine, by the
    /// matcher; 1 for the text itself.
    #[cfg_attr(feature = "openapi", schema(minimum = -1, maximum = 1, example = 0.93))]
    score: f32,
    /// The text that came second; null when the side has no other.
    runner_up: Option<RunnerUp<'a>>,
    /// The event.
    event: EventRecord<'a>,
}

/// The next text after the one that was matched.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
struct RunnerUp<'a> {
    /// The text.
    text: &'a str,
    /// Its score.
    #[cfg_attr(feature = "openapi", schema(minimum = -1, maximum = 1, example = 0.71))]
    score: f32,
}

/// One line of a log, parsed.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Event))]
struct EventRecord<'a> {
    /// The timestamp as written.
    #[cfg_attr(feature = "openapi", schema(example = "2025-10-06T07:42:23"))]
    timestamp: &'a str,
    /// The instant, in UTC.
    #[cfg_attr(
        feature = "openapi",
        schema(format = DateTime, example = "2025-10-06T07:42:23Z")
    )]
    time: String,
    /// `ERROR` or `WARNING`.
    #[cfg_attr(feature = "openapi", schema(example = "ERROR"))]
    level: &'static str,
    /// What wrote the line; empty when it names none.
    #[cfg_attr(feature = "openapi", schema(example = "database"))]
    component: &'a str,
    /// What it says.
    #[cfg_attr(feature = "openapi", schema(example = "Replica fell out of step with primary"))]
    message: &'a str,
    /// The name of the file.
    #[cfg_attr(feature = "openapi", schema(example = "db_server_log.txt"))]
    file: &'a str,
    /// The number of the line, from 1.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, example = 107))]
    line: u64,
    /// The whole line.
    #[cfg_attr(
        feature = "openapi",
        schema(
            example = "2025-10-06T07:42:23 ERROR database: Replica fell out of step with primary"
        )
    )]
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
