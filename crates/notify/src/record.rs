//! What an alert needs of a link's JSON.

use serde::Deserialize;

/// A link as its JSON tells it. Fields that alerts do not show are passed over.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Record {
    /// Names the link; the same link has the same id in every process.
    pub id: String,
    /// Problem time − anomaly time.
    pub lag_seconds: f64,
    /// The cosine of the two messages, if there is one.
    pub cosine: Option<f32>,
    /// The warning.
    pub anomaly: Side,
    /// The error.
    pub problem: Side,
    /// Whether it is only an example.
    #[serde(default)]
    pub test: bool,
}

/// One side of a link.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Side {
    /// The id of the text in the dictionary.
    pub id: u64,
    /// The text of the dictionary.
    pub text: String,
    /// Whether the message is the text itself.
    pub exact: bool,
    /// The cosine of the message and the text.
    pub score: f32,
    /// The event.
    pub event: Event,
}

/// One line of a log.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Event {
    /// As the log wrote it.
    pub timestamp: String,
    /// The instant, in UTC.
    pub time: String,
    /// What wrote the line.
    pub component: String,
    /// What it says.
    pub message: String,
    /// The file.
    pub file: String,
    /// The line of the file, from 1.
    pub line: u64,
    /// The whole line.
    pub raw: String,
}

impl Record {
    /// Reads the JSON of a link.
    pub fn read(json: &[u8]) -> Result<Record, serde_json::Error> {
        serde_json::from_slice(json)
    }

    /// Names the problem event, so that links of one problem can be told together.
    pub fn problem_key(&self) -> String {
        let Side { id, event, .. } = &self.problem;
        format!("{id}\n{}\n{}\n{}", event.file, event.line, event.time)
    }
}

/// A link to show what alerts look like; `id` makes it one of its own.
pub(crate) fn example(id: &str, now: jiff::Timestamp) -> String {
    let event = |time: jiff::Timestamp, level, component, message: &str, file, line: u64| {
        let stamp = time.strftime("%Y-%m-%dT%H:%M:%S").to_string();
        let raw = format!("{stamp} {level} {component}: {message}");
        serde_json::json!({
            "timestamp": stamp, "time": time.to_string(), "level": level, "component": component,
            "message": message, "file": file, "line": line, "raw": raw,
        })
    };
    let lag = jiff::SignedDuration::from_mins(47);
    let warned = now.checked_sub(lag).unwrap_or(now);
    let (warning, error) = ("Log volume is nearly full", "Replica fell out of step with primary");
    serde_json::json!({
        "id": id, "lag_seconds": lag.as_secs_f64(), "cosine": 0.91, "dictionary_row": 0, "test": true,
        "anomaly": {
            "id": 0, "text": warning, "exact": true, "score": 1.0, "runner_up": null,
            "event": event(warned, "WARNING", "storage", warning, "storage_log.txt", 74),
        },
        "problem": {
            "id": 0, "text": error, "exact": true, "score": 1.0, "runner_up": null,
            "event": event(now, "ERROR", "database", error, "db_server_log.txt", 107),
        },
    })
    .to_string()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A link of a warning and an error; links of the same `problem` share it.
    pub(crate) fn record(id: &str, problem: &str) -> Record {
        let mut record = Record::read(example(id, jiff::Timestamp::UNIX_EPOCH).as_bytes()).unwrap();
        record.test = false;
        record.problem.event.message = problem.to_owned();
        record.problem.event.file = format!("{problem}.log");
        record
    }

    #[test]
    fn the_example_is_a_link_as_any_other() {
        let now: jiff::Timestamp = "2025-10-06T07:42:23Z".parse().unwrap();
        let record = Record::read(example("x", now).as_bytes()).unwrap();
        assert!(record.test);
        assert_eq!(record.problem.event.time, "2025-10-06T07:42:23Z");
        assert_eq!(record.anomaly.event.timestamp, "2025-10-06T06:55:23");
    }
}
