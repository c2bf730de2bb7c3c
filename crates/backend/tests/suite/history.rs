//! What the API knows of the stream: the links found so far, and what is read of the logs.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::common::{Process, Suite, data, links};

/// All links of the history.
fn history(backend: &Process, count: usize) -> Vec<String> {
    links(&backend.wait_for("/links?limit=1000", |_, page| links(page).len() == count))
}

#[test]
fn the_history_goes_on_after_a_crash_and_comes_back_from_the_topic_when_it_is_lost() {
    let suite = Suite::new().with_logs(data().join("logs"));
    let database = [("LINKS_DB", "db/links.db")];
    let backend = suite.backend_with("match,link,api", &database);
    backend.wait_until_ready();
    assert!(suite.replay(&[]).wait());
    let expected: BTreeSet<String> = suite.expected();
    let before = history(&backend, expected.len());
    assert_eq!(before.iter().cloned().collect::<BTreeSet<_>>(), expected);
    backend.kill();

    // What is found while it is away comes in front.
    let worker = suite.backend("match,link");
    let line = |time: &str, level: &str, message: &str, line: u64| {
        serde_json::json!({
            "timestamp": time, "level": level, "component": "db", "message": message,
            "file": "new.log", "line": line, "raw": "raw",
        })
        .to_string()
    };
    let send = |text: String| suite.send("new", text.as_bytes());
    send(line("2026-03-06T10:00:00", "WARNING", "Replica apply queue growing", 1));
    send(line("2026-03-06T10:30:00", "ERROR", "Replica fell out of step with primary", 2));
    suite.reader("links").wait_for("the new link", |seen| seen.len() == expected.len() + 1);
    let backend = suite.backend_with("api", &database);
    let after = history(&backend, expected.len() + 1);
    assert_eq!(after[1..], before, "the same, in the same order");
    assert!(!expected.contains(&after[0]));
    assert!(backend.stop(), "it ends well");

    fs::remove_dir_all(suite.folder.path().join("db")).unwrap();
    let backend = suite.backend_with("api", &database);
    let anew = history(&backend, after.len());
    assert_eq!(anew.iter().collect::<BTreeSet<_>>(), after.iter().collect());
    drop(worker);
}

#[test]
fn the_status_adds_up_what_workers_read_and_they_may_die() {
    let suite = Suite::new().with_logs(data().join("logs"));
    let api = suite.backend("api");
    let workers = [suite.backend("match,link"), suite.backend("match,link")];
    workers.iter().for_each(Process::wait_until_ready);
    assert!(suite.replay(&[]).wait());
    let status = |body: &str| serde_json::from_str::<Value>(body).unwrap();
    let lines = |status: &Value| -> u64 {
        let sources = status["sources"].as_array().unwrap().iter();
        sources.map(|source| source["lines"].as_u64().unwrap()).sum()
    };
    let body = api.wait_for("/status", |_, body| lines(&status(body)) >= 8014);
    let told = status(&body);
    assert_eq!((lines(&told), told["sources"].as_array().unwrap().len()), (8014, 9));
    let source = &told["sources"][0];
    assert!(source["topic"].as_str().unwrap().ends_with("-logs.app_server_log"), "{source}");
    assert_eq!((&source["lines"], &source["events"]), (&1145.into(), &48.into()));
    assert!(source["last_event"].is_string() && source["last_arrived"].is_string(), "{source}");
    assert_eq!(told["model"], "all-MiniLM-L6-v2");
    let names: Vec<&str> = told["dependencies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["kafka", "triton", "redis", "history"]);
    workers.into_iter().for_each(Process::kill);
    api.wait_for("/status", |_, body| {
        let told = status(body);
        lines(&told) == 8014 && told["lines_per_second"] == 0.0
    });
    // Who serves the API from now on knows as much.
    let other = suite.backend("api");
    other.wait_for("/status", |_, body| lines(&status(body)) == 8014);
}
