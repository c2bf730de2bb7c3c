//! What the API answers, as far as pages show it.
//!
//! What a page can do without has a default, so that an API a version apart still shows.

use serde::Deserialize;

/// An analysis: waiting, at work, or at its end.
#[derive(Clone, Debug, Deserialize)]
pub struct Job {
    pub id: String,
    pub status: Status,
    #[serde(default)]
    pub expires: String,
    #[serde(default)]
    pub progress: Progress,
    pub error: Option<JobError>,
    pub summary: Option<Summary>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Queued,
    Running,
    Done,
    Failed,
    Cancelled,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Progress {
    pub bytes: u64,
    pub bytes_total: u64,
    pub texts: u64,
    pub embedded: u64,
    pub ahead: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub struct JobError {
    pub detail: String,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Summary {
    pub judge: Judge,
    #[serde(default)]
    pub files: Vec<File>,
    #[serde(default)]
    pub total: Counts,
    #[serde(default)]
    pub matched_anomalies: u64,
    #[serde(default)]
    pub matched_problems: u64,
    #[serde(default)]
    pub link_count: u64,
    #[serde(default)]
    pub problem_count: u64,
    #[serde(default)]
    pub notices: Vec<String>,
    #[serde(default)]
    pub seconds: f64,
    pub dictionary: Option<UsedDictionary>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Judge {
    pub model: String,
    #[serde(default)]
    pub matcher: String,
    pub reference: f64,
    pub pair: Option<f64>,
    pub window_seconds: f64,
}

#[derive(Clone, Debug, Deserialize)]
pub struct File {
    pub name: String,
    #[serde(flatten)]
    pub counts: Counts,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Counts {
    pub bytes: u64,
    pub lines: u64,
    pub errors: u64,
    pub warnings: u64,
    pub others: u64,
    pub blank: u64,
    pub no_timestamp: u64,
    pub no_level: u64,
    pub bad_timestamp: u64,
}

impl Counts {
    pub fn events(&self) -> u64 {
        self.errors + self.warnings + self.others
    }

    /// Lines that are not events.
    pub fn skipped(&self) -> u64 {
        self.blank + self.no_timestamp + self.no_level + self.bad_timestamp
    }
}

#[derive(Clone, Debug, Deserialize)]
pub struct UsedDictionary {
    pub name: String,
    #[serde(default)]
    pub pairs: u64,
    #[serde(default)]
    pub own: bool,
}

/// A page of links.
#[derive(Clone, Debug, Deserialize)]
pub struct Links {
    pub total: u64,
    pub matching: u64,
    pub offset: u64,
    pub limit: u64,
    #[serde(default = "yes")]
    pub complete: bool,
    pub links: Vec<NumberedLink>,
}

fn yes() -> bool {
    true
}

/// A link and its place in the result.
#[derive(Clone, Debug, Deserialize)]
pub struct NumberedLink {
    pub number: u64,
    #[serde(flatten)]
    pub link: Link,
}

/// An anomaly, a problem, and why they belong together.
#[derive(Clone, Debug, Deserialize)]
pub struct Link {
    pub id: String,
    pub lag_seconds: f64,
    pub cosine: Option<f64>,
    #[serde(default)]
    pub dictionary_row: u64,
    pub anomaly: Found,
    pub problem: Found,
    pub judge: Judge,
}

/// An event and the dictionary text it was taken for.
#[derive(Clone, Debug, Deserialize)]
pub struct Found {
    pub id: u64,
    pub text: String,
    pub exact: bool,
    pub score: f64,
    pub runner_up: Option<Scored>,
    pub event: Event,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Scored {
    pub text: String,
    pub score: f64,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Event {
    pub timestamp: String,
    pub time: String,
    pub component: String,
    pub message: String,
    pub file: String,
    pub line: u64,
    pub raw: String,
}

/// A link with the lines around its events.
#[derive(Clone, Debug, Deserialize)]
pub struct Evidence {
    pub number: u64,
    pub link: Link,
    pub anomaly_context: Option<Context>,
    pub problem_context: Option<Context>,
}

/// Lines of a file, one of which is the event's.
#[derive(Clone, Debug, Deserialize)]
pub struct Context {
    pub first: u64,
    pub lines: Vec<String>,
    pub line: u64,
}

/// The newest links of the stream.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct RecentLinks {
    pub links: Vec<Link>,
}

/// How the stream is doing.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
#[derive(Default)]
pub struct Live {
    pub model: String,
    pub sources: Vec<Source>,
    pub lines_per_second: f64,
    pub links: u64,
    pub links_per_minute: f64,
    pub lag_seconds: Option<f64>,
    pub dependencies: Vec<Dependency>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Source {
    pub topic: String,
    pub lines: u64,
    pub events: u64,
    pub last_event: Option<String>,
    pub last_arrived: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Dependency {
    pub name: String,
    pub need: String,
    pub ok: bool,
    pub reason: Option<String>,
}

/// A page of the server's dictionary.
#[derive(Clone, Debug, Deserialize)]
pub struct DictionaryPage {
    pub name: String,
    pub pairs: u64,
    pub matching: u64,
    #[serde(default)]
    pub rows: Vec<Row>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Row {
    pub row: u64,
    pub anomaly_id: u64,
    pub anomaly: String,
    pub problem_id: u64,
    pub problem: String,
}

/// What the linter says.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Findings {
    pub findings: Vec<Finding>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Finding {
    pub check: String,
    pub severity: String,
    #[serde(default)]
    pub rows: Vec<u64>,
    pub found: String,
    #[serde(default)]
    pub consequence: String,
}

/// What a message would match.
#[derive(Clone, Debug, Deserialize)]
pub struct Tried {
    #[serde(default)]
    pub normalised: String,
    #[serde(default)]
    pub matcher: String,
    pub threshold: f64,
    pub verdicts: Vec<Verdict>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Verdict {
    pub side: String,
    pub matched: bool,
    pub reason: String,
    #[serde(default)]
    pub nearest: Vec<Near>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Near {
    pub text: String,
    pub score: f64,
    #[serde(default)]
    pub pairs: Vec<Paired>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Paired {
    pub id: u64,
    pub text: String,
}
