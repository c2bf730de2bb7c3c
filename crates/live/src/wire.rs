//! Records as JSON.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bus::Record;
use domain::{Dictionary, Event, Level, Side, Vector};
use jiff::Timestamp;
use linking::{Match, Matched, Scored};
use memchr::memchr2;
use serde::{Deserialize, Serialize};

/// The largest record of a log line that is looked at, in bytes. A line is cut at 64 KiB and its
/// message stands in it twice; a link holds two of them, and must fit into a record of 1 MiB, the
/// most a broker takes if it is not told otherwise.
const LARGEST: usize = 256 * 1024;

/// How much of a record a dead letter quotes, in bytes.
const QUOTED: usize = 64 * 1024;

/// A log line, borrowed from its record.
#[derive(Deserialize)]
pub struct LogLine<'a> {
    #[serde(borrow)]
    pub timestamp: Cow<'a, str>,
    #[serde(borrow)]
    pub level: Cow<'a, str>,
    #[serde(borrow)]
    pub component: Cow<'a, str>,
    #[serde(borrow)]
    pub message: Cow<'a, str>,
    #[serde(borrow)]
    pub file: Cow<'a, str>,
    pub line: u64,
    #[serde(borrow)]
    pub raw: Cow<'a, str>,
}

impl<'a> LogLine<'a> {
    /// Reads the payload of a record, or says why it cannot be.
    pub fn read(payload: &'a [u8]) -> Result<LogLine<'a>, String> {
        if payload.len() > LARGEST {
            return Err(format!("{} bytes, where {LARGEST} are the most", payload.len()));
        }
        LogLine::plain(payload)
            .map_or_else(|| serde_json::from_slice(payload), Ok)
            .map_err(|error| format!("not a log line in JSON: {error}"))
    }

    /// Reads a line as replay writes it, with its fields in this order, no blank between them and
    /// nothing escaped, a few times as fast as a parser of JSON does; `None` for every other.
    fn plain(payload: &'a [u8]) -> Option<LogLine<'a>> {
        let has_controls = payload.iter().fold(false, |any, byte| any | (*byte < b' '));
        let mut rest = std::str::from_utf8(payload).ok().filter(|_| !has_controls)?;
        let line = LogLine {
            timestamp: text(&mut rest, r#"{"timestamp":""#)?,
            level: text(&mut rest, r#"","level":""#)?,
            component: text(&mut rest, r#"","component":""#)?,
            message: text(&mut rest, r#"","message":""#)?,
            file: text(&mut rest, r#"","file":""#)?,
            line: number(&mut rest, r#"","line":"#)?,
            raw: text(&mut rest, r#","raw":""#)?,
        };
        (rest == "\"}").then_some(line)
    }

    /// The event, with texts of its own.
    pub fn into_event(self, time: Timestamp, level: Level) -> Event {
        Event {
            time,
            timestamp: self.timestamp.into(),
            level,
            component: self.component.into(),
            message: self.message.into(),
            file: self.file.into(),
            line: self.line,
            raw: self.raw.into(),
        }
    }
}

/// The text behind `before`, up to the next quotation mark; `None` where something is escaped.
fn text<'a>(rest: &mut &'a str, before: &str) -> Option<Cow<'a, str>> {
    let start = rest.strip_prefix(before)?;
    let end = memchr2(b'"', b'\\', start.as_bytes())?;
    let text;
    (text, *rest) = start.split_at(end);
    rest.starts_with('"').then_some(Cow::Borrowed(text))
}

/// The number behind `before`, in the digits that JSON allows.
fn number(rest: &mut &str, before: &str) -> Option<u64> {
    let start = rest.strip_prefix(before)?;
    let digits;
    (digits, *rest) = start.split_at(start.find(',')?);
    let is_json = digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0'));
    digits.parse().ok().filter(|_| is_json)
}

/// An event that matched a text, on its way to the window of one problem.
#[derive(Serialize, Deserialize)]
pub struct MatchRecord<'a> {
    /// The id of the problem whose window it goes to.
    pub problem: u64,
    /// When the log line was sent, in milliseconds since 1970.
    pub arrived: i64,
    /// The model that judged it.
    #[serde(borrow)]
    pub model: Cow<'a, str>,
    #[serde(borrow)]
    text: Cow<'a, str>,
    score: f32,
    exact: bool,
    #[serde(borrow)]
    runner_up: Option<RunnerUp<'a>>,
    /// The vector of the message's form: base64 of 32-bit floats, little-endian.
    #[serde(borrow)]
    vector: Option<Cow<'a, str>>,
    #[serde(borrow)]
    event: EventRecord<'a>,
}

#[derive(Serialize, Deserialize)]
struct RunnerUp<'a> {
    #[serde(borrow)]
    text: Cow<'a, str>,
    score: f32,
}

#[derive(Serialize, Deserialize)]
struct EventRecord<'a> {
    /// The instant.
    time: Timestamp,
    #[serde(borrow)]
    timestamp: Cow<'a, str>,
    #[serde(borrow)]
    level: Cow<'a, str>,
    #[serde(borrow)]
    component: Cow<'a, str>,
    #[serde(borrow)]
    message: Cow<'a, str>,
    #[serde(borrow)]
    file: Cow<'a, str>,
    line: u64,
    #[serde(borrow)]
    raw: Cow<'a, str>,
}

impl<'a> MatchRecord<'a> {
    /// The record of a matched event, for the first of the problems it goes to.
    pub fn new(
        matched: &'a Matched,
        arrived: i64,
        model: &'a str,
        dictionary: &'a Dictionary,
    ) -> MatchRecord<'a> {
        let text = |text| Cow::from(&*dictionary.text(matched.side, text).text);
        let Match { text: id, score, exact, runner_up } = matched.found;
        let event = &matched.event;
        MatchRecord {
            problem: 0,
            arrived,
            model: model.into(),
            text: text(id),
            score,
            exact,
            runner_up: runner_up.map(|it| RunnerUp { text: text(it.text), score: it.score }),
            vector: matched.vector.as_deref().map(|vector| encode(vector).into()),
            event: EventRecord {
                time: event.time,
                timestamp: (&*event.timestamp).into(),
                level: event.level.as_str().into(),
                component: (&*event.component).into(),
                message: (&*event.message).into(),
                file: (&*event.file).into(),
                line: event.line,
                raw: (&*event.raw).into(),
            },
        }
    }

    /// Reads the payload of a record, or says why it cannot be.
    pub fn read(payload: &'a [u8]) -> Result<MatchRecord<'a>, String> {
        serde_json::from_slice(payload).map_err(|error| format!("not a match in JSON: {error}"))
    }

    /// The matched event, or why it is none for this dictionary.
    pub fn into_matched(self, dictionary: &Dictionary) -> Result<Matched, String> {
        let EventRecord { time, timestamp, level, component, message, file, line, raw } =
            self.event;
        let level = Level::from_word(level.as_bytes());
        let (level, side) = level
            .and_then(|level| Some((level, Side::of(level)?)))
            .ok_or("the level is neither ERROR nor WARNING")?;
        let unknown = || format!("the dictionary has no {} {:?}", side.as_str(), self.text);
        let text = dictionary.exact(side, &self.text).ok_or_else(unknown)?;
        let runner_up = self.runner_up.and_then(|it| {
            Some(Scored { text: dictionary.exact(side, &it.text)?, score: it.score })
        });
        let vector = self.vector.map(|vector| decode(&vector)).transpose()?;
        let event = Event {
            time,
            timestamp: timestamp.into(),
            level,
            component: component.into(),
            message: message.into(),
            file: file.into(),
            line,
            raw: raw.into(),
        };
        let found = Match { text, score: self.score, exact: self.exact, runner_up };
        Ok(Matched { event, side, found, vector })
    }
}

fn encode(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
    BASE64.encode(bytes)
}

fn decode(text: &str) -> Result<Vector, String> {
    let bytes = BASE64.decode(text).map_err(|error| format!("the vector: {error}"))?;
    let (values, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(format!("the vector: {} bytes are no 32-bit floats", bytes.len()));
    }
    Ok(values.iter().map(|value| f32::from_le_bytes(*value)).collect::<Arc<[f32]>>())
}

/// A record that could not be used.
#[derive(Serialize)]
struct DeadLetter<'a> {
    /// The stage that could not.
    stage: &'a str,
    reason: &'a str,
    topic: &'a str,
    partition: i32,
    offset: i64,
    /// When it was sent, in milliseconds since 1970.
    sent: i64,
    /// How long it is.
    bytes: usize,
    /// Its beginning; what is no UTF-8 is shown as `�`.
    payload: Cow<'a, str>,
}

/// The dead letter of a record.
pub fn dead_letter(stage: &str, reason: &str, record: Record) -> Vec<u8> {
    let Record { topic, partition, offset, payload, sent, .. } = record;
    let quoted = &payload[..payload.len().min(QUOTED)];
    let letter = DeadLetter {
        stage,
        reason,
        topic,
        partition,
        offset,
        sent,
        bytes: payload.len(),
        payload: String::from_utf8_lossy(quoted),
    };
    serde_json::to_vec(&letter).expect("texts and numbers are JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{Row, TextId};

    #[test]
    fn a_match_comes_back_as_it_was_to_the_last_bit() {
        let row = Row {
            line: 2,
            anomaly_id: 1,
            anomaly: "Сбой \"канала\"".to_owned(),
            problem_id: 7,
            problem: "p".to_owned(),
        };
        let dictionary = Dictionary::new(vec![row]);
        let matched = Matched {
            event: Event {
                time: "2025-10-06T07:42:23.123456789Z".parse().unwrap(),
                timestamp: "2025-10-06T10:42:23.123456789+03:00".into(),
                level: Level::Warning,
                component: "net".into(),
                message: "канал\u{0007} \\ \"x\"".into(),
                file: "a.log".into(),
                line: 3,
                raw: "raw".into(),
            },
            side: Side::Anomaly,
            found: Match { text: TextId(0), score: 0.123457, exact: false, runner_up: None },
            vector: Some([0.1f32, -1e-30, f32::MIN_POSITIVE].into()),
        };
        let record = MatchRecord::new(&matched, 5, "m", &dictionary);
        let json = serde_json::to_vec(&record).unwrap();
        let record = MatchRecord::read(&json).unwrap();
        assert_eq!((record.arrived, &*record.model), (5, "m"));
        let back = record.into_matched(&dictionary).unwrap();
        assert_eq!(back.event, matched.event);
        assert_eq!((back.found, back.side), (matched.found, matched.side));
        assert_eq!(back.vector, matched.vector);
    }

    #[test]
    fn what_is_no_log_line_says_why() {
        let reason = |payload: &[u8]| LogLine::read(payload).err().unwrap();
        assert!(reason(b"{").contains("EOF"), "{}", reason(b"{"));
        assert!(reason(b"{\"timestamp\":\"x\"}").contains("missing field `level`"));
        assert!(reason(b"{\"timestamp\":1}").contains("invalid type: integer"));
        assert!(reason(b"\xff\xfe").contains("not a log line in JSON"));
        assert!(reason(&vec![b' '; LARGEST + 1]).contains("262145 bytes"));
    }

    #[test]
    fn a_line_as_replay_writes_it_is_read_without_a_parser_of_json() {
        let json = r#"{"timestamp":"t","level":"INFO","component":"c","message":"я m","file":"f","line":70,"raw":"r"}"#;
        let line = LogLine::plain(json.as_bytes()).unwrap();
        assert_eq!((&*line.level, &*line.message, line.line), ("INFO", "я m", 70));
        for end in 0..json.len() {
            assert!(LogLine::plain(&json.as_bytes()[..end]).is_none(), "cut at {end}");
        }
        for (from, to) in [("70", "070"), ("70", "-7"), ("70", "7.0"), ("70", ""), ("\"}", "\"} x")]
        {
            assert!(LogLine::plain(json.replace(from, to).as_bytes()).is_none(), "{to}");
        }
    }

    proptest::proptest! {
        #[test]
        fn both_ways_of_reading_a_line_read_the_same(
            message in r#"[a-zя"\\ ]{0,12}|\PC{0,8}|[\x00-\x7f]{0,8}"#, line: u64, spaced: bool,
        ) {
            let mut json = serde_json::json!({
                "timestamp": "t", "level": "WARN", "component": "", "message": message,
                "file": "f", "line": line, "raw": message,
            })
            .to_string();
            // In the order of replay, and in that of the alphabet.
            if !spaced {
                let text = serde_json::to_string(&message).unwrap();
                json = format!(
                    r#"{{"timestamp":"t","level":"WARN","component":"","message":{text},"file":"f","line":{line},"raw":{text}}}"#
                );
            }
            let read = LogLine::read(json.as_bytes()).unwrap();
            proptest::prop_assert_eq!((&*read.message, read.line), (&*message, line));
            if let Some(plain) = LogLine::plain(json.as_bytes()) {
                proptest::prop_assert_eq!((&*plain.raw, plain.line), (&*message, line));
            }
        }

        #[test]
        fn what_is_read_without_a_parser_of_json_is_json(bytes in r#"[ -~\x00-\x1f]{0,6}"#, place in 0usize..90) {
            let mut json = br#"{"timestamp":"t","level":"INFO","component":"c","message":"m","file":"f","line":70,"raw":"r"}"#.to_vec();
            let place = place.min(json.len());
            json.splice(place..place, bytes.bytes());
            if LogLine::plain(&json).is_some() {
                proptest::prop_assert!(serde_json::from_slice::<LogLine>(&json).is_ok());
            }
        }
    }

    #[test]
    fn a_dead_letter_quotes_any_bytes() {
        let payload = [0xff; QUOTED + 1];
        let record =
            Record { topic: "t", partition: 0, offset: 9, key: None, payload: &payload, sent: 1 };
        let letter: serde_json::Value =
            serde_json::from_slice(&dead_letter("match", "why", record)).unwrap();
        assert_eq!((&letter["reason"], &letter["offset"]), (&"why".into(), &9.into()));
        assert_eq!(letter["bytes"], QUOTED + 1);
    }
}
