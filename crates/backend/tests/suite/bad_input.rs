//! What nobody should send, and somebody does.

use serde_json::{Value, json};

use crate::common::{Suite, metric};

/// A log line that is as it should be.
fn line(time: &str, level: &str, message: &str, line: u64) -> Value {
    json!({
        "timestamp": time, "level": level, "component": "db", "message": message,
        "file": "app.log", "line": line, "raw": format!("{time} {level} db: {message}"),
    })
}

const ANOMALY: &str = "Replica apply queue growing";
const PROBLEM: &str = "Replica fell out of step with primary";

#[test]
fn what_cannot_be_used_goes_to_the_dead_letters_with_the_reason_and_the_stream_goes_on() {
    let suite = Suite::new();
    let backend = suite.backend("match,link");
    let good = line("2026-03-01T10:00:00", "WARNING", ANOMALY, 1);
    let with = |field: &str, value: Value| {
        let mut line = good.clone();
        line[field] = value;
        line.to_string().into_bytes()
    };
    let without = |field: &str| {
        let mut line = good.clone();
        line.as_object_mut().unwrap().remove(field);
        line.to_string().into_bytes()
    };
    let bad: [(Vec<u8>, &str); 16] = [
        (b"{\"timestamp\": \"2026-03".to_vec(), "EOF while parsing"),
        (b"".to_vec(), "EOF while parsing"),
        (with("level", json!("INFO"))[..100].to_vec(), "EOF while parsing"),
        (b"plain text".to_vec(), "expected value"),
        (b"[1, 2]".to_vec(), "not a log line in JSON"),
        (b"\xcf\xf0\xe8\xe2\xe5\xf2".to_vec(), "expected value"),
        (with("message", json!("x")).iter().map(|byte| byte | 0x80).collect(), "expected value"),
        (without("raw"), "missing field `raw`"),
        (without("timestamp"), "missing field `timestamp`"),
        (with("line", json!("seven")), "invalid type: string"),
        (with("line", json!(-1)), "invalid value: integer `-1`"),
        (with("message", json!(null)), "invalid type: null"),
        (with("timestamp", json!("yesterday")), "\"yesterday\" is no date and time"),
        (with("timestamp", json!("2026-02-30T10:00:00")), "is no date and time that exists"),
        (with("timestamp", json!("9999-12-31T23:59:59")), "is no date and time that exists"),
        (with("timestamp", json!("9999-06-30T10:00:00")), "ahead of its arrival"),
    ];
    for (payload, _) in &bad {
        suite.send("app", payload);
    }
    suite.send("app", good.to_string().as_bytes());
    suite.send("app", line("2026-03-01T10:30:00", "ERROR", PROBLEM, 2).to_string().as_bytes());

    let mut letters = suite.reader("dead-letter");
    letters.wait_for("the dead letters", |seen| seen.len() >= bad.len());
    let mut reasons: Vec<&str> =
        letters.seen.iter().map(|letter| letter["reason"].as_str().unwrap()).collect();
    for (payload, expected) in &bad {
        let found = reasons.iter().position(|reason| reason.contains(expected));
        let payload = String::from_utf8_lossy(payload);
        let found = found.unwrap_or_else(|| panic!("{payload}: no {expected:?} in {reasons:?}"));
        reasons.swap_remove(found);
    }
    assert!(letters.seen.iter().all(|letter| letter["stage"] == "match"));
    suite.reader("links").wait_for("the link behind them", |seen| seen.len() == 1);
    let dead = backend.metric("foreshock_dead_letters_total", "stage=\"match\"");
    assert_eq!(dead, bad.len() as f64);
}

#[test]
fn a_record_of_ten_megabytes_is_a_dead_letter_that_quotes_its_beginning() {
    let suite = Suite::new();
    let _backend = suite.backend("match,link");
    let huge = line("2026-03-01T10:00:00", "WARNING", &"x".repeat(5 << 20), 1).to_string();
    assert!(huge.len() > 10 << 20, "the message stands in it twice");
    // Our own producer refuses so large a record; a foreign client may not.
    kcat(&suite, "app", huge.as_bytes());
    suite.send("app", line("2026-03-01T10:00:00", "WARNING", ANOMALY, 2).to_string().as_bytes());
    suite.send("app", line("2026-03-01T10:30:00", "ERROR", PROBLEM, 3).to_string().as_bytes());
    let mut letters = suite.reader("dead-letter");
    letters.wait_for("the dead letter", |seen| !seen.is_empty());
    let letter = &letters.seen[0];
    assert!(letter["reason"].as_str().unwrap().contains("bytes"), "{}", letter["reason"]);
    assert_eq!(letter["bytes"], huge.len());
    assert!(letter["payload"].as_str().unwrap().len() <= 64 << 10);
    suite.reader("links").wait_for("the link behind it", |seen| seen.len() == 1);
}

/// Sends one record with a client that is not ours.
fn kcat(suite: &Suite, log: &str, payload: &[u8]) {
    let path = suite.folder.path().join("payload");
    std::fs::write(&path, payload).unwrap();
    let topic = format!("{}-logs.{log}", suite.name);
    // A topic takes records of the broker's size, which for tests is large.
    let output = std::process::Command::new("kcat")
        .args(["-b", &suite.kafka, "-P", "-t", &topic, "-X", "message.max.bytes=20000000"])
        .arg(&path)
        .output()
        .expect("kcat runs (services/install.sh)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn an_event_a_year_late_is_counted_and_not_linked() {
    let suite = Suite::new();
    let backend = suite.backend("match,link");
    let send = |time: &str, level: &str, message: &str, number| {
        suite.send("app", line(time, level, message, number).to_string().as_bytes());
    };
    send("2026-03-01T10:00:00", "WARNING", ANOMALY, 1);
    // What is late is judged by the second of arrival.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    send("2025-03-01T10:00:00", "WARNING", ANOMALY, 2);
    send("2025-03-01T10:30:00", "ERROR", PROBLEM, 3);
    send("2026-03-01T09:30:00", "ERROR", PROBLEM, 4);
    backend.wait_for("/metrics", |_, text| metric(text, "foreshock_events_late_total", "") == 2.0);
    let mut links = suite.reader("links");
    links.wait_for("the link of the events in time", |seen| !seen.is_empty());
    links.read_for(std::time::Duration::from_secs(2));
    assert_eq!(links.seen.len(), 1, "half an hour late is within the grace");
    assert_eq!(links.seen[0]["problem"]["event"]["line"], 4);
    let log = backend.log();
    assert!(log.contains("late events") && log.contains("came more than 1h after"), "{log}");
}

#[test]
fn a_level_that_is_none_is_counted_and_levels_in_other_words_are_known() {
    let suite = Suite::new();
    let backend = suite.backend("match,link");
    suite.send("app", line("2026-03-01T10:00:00", "SUCCESS", ANOMALY, 1).to_string().as_bytes());
    suite.send("app", line("2026-03-01T10:00:00", "info", ANOMALY, 2).to_string().as_bytes());
    suite.send("app", line("2026-03-01T10:00:00", "warn", ANOMALY, 3).to_string().as_bytes());
    suite.send("app", line("2026-03-01T10:00:00", "FATAL", PROBLEM, 4).to_string().as_bytes());
    suite.reader("links").wait_for("the link", |seen| seen.len() == 1);
    assert_eq!(backend.metric("foreshock_events_skipped_total", "level is unknown"), 1.0);
    assert_eq!(backend.metric("foreshock_events_skipped_total", "neither"), 1.0);
}

#[test]
fn a_match_that_is_none_goes_to_the_dead_letters_of_the_link_stage() {
    let suite = Suite::new();
    let backend = suite.backend("match,link");
    backend.wait_until_ready();
    let topic = format!("{}.matches", suite.name);
    let bus = suite.bus();
    let mut producer = bus::Bus::producer(&bus).unwrap();
    for payload in [&b"{}"[..], b"\xff", b"{\"problem\":1}"] {
        producer.send(&bus::Outgoing { topic: &topic, key: Some(b"1"), payload }).unwrap();
    }
    let mut letters = suite.reader("dead-letter");
    letters.wait_for("the dead letters", |seen| seen.len() >= 3);
    assert!(letters.seen.iter().all(|letter| letter["stage"] == "link"));
}
