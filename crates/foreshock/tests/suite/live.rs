//! `foreshock live`: the streaming suite in one process.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{Place, data};

/// Error and warning of each link that was told, as `FILE:LINE`.
fn told(out: &str) -> Vec<(String, String)> {
    let place = |line: &str| {
        let mut words = line.split("  ").map(str::trim);
        words.find(|word| word.contains(".txt:") || word.contains(".log:")).unwrap().to_owned()
    };
    let lines: Vec<&str> = out.lines().collect();
    let links = lines.windows(2).filter(|pair| pair[0].starts_with("ERROR  "));
    links.map(|pair| (place(pair[0]), place(pair[1]))).collect()
}

#[test]
fn without_a_command_the_links_of_the_example_are_told_as_they_are_found() {
    let place = Place::new();
    let mut command = place.foreshock("");
    command.current_dir(data().join("..")).env("HTTP_PORT", "0").env("LOG_LEVEL", "error");
    let run = crate::common::run(&mut command).ok();
    let found = told(&run.out);

    let mut expected = csv::Reader::from_path(data().join("expected_links.csv")).unwrap();
    let headers = expected.headers().unwrap().clone();
    let column = |name: &str| headers.iter().position(|header| header == name).unwrap();
    let columns = ["problem_file", "problem_line", "anomaly_file", "anomaly_line"].map(column);
    let expected: BTreeSet<(String, String)> = expected
        .records()
        .map(|row| {
            let row = row.unwrap();
            let [file, line, other, other_line] = columns.map(|column| row[column].to_owned());
            (format!("{file}:{line}"), format!("{other}:{other_line}"))
        })
        .collect();
    assert_eq!(found.len(), expected.len(), "each once");
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
    assert!(run.out.contains("19 links (within 24h), model all-MiniLM-L6-v2"), "{}", run.out);
    assert!(run.out.contains("8,014 events, 46 lines passed over"), "{}", run.out);
}

#[test]
fn logs_that_are_replayed_again_tell_their_links_once() {
    let place = Place::new();
    let run = place.run("live --log-dir . --http-port 0 --loops 3").ok();
    let links = [("app.log:3", "app.log:1"), ("app.log:6", "app.log:4")];
    assert_eq!(told(&run.out), links.map(|(error, warning)| (error.into(), warning.into())));
    assert!(run.out.contains("\n2 links"), "{}", run.out);
    assert!(run.out.contains("\n15 events, 3 lines passed over"), "{}", run.out);
}

#[test]
fn the_window_and_the_threshold_hold() {
    let place = Place::new();
    let run = place.run("live --log-dir . --http-port 0 --window 35m").ok();
    assert_eq!(told(&run.out), [("app.log:6".to_owned(), "app.log:4".to_owned())]);
    place.write("app.log", crate::common::log_in_other_words());
    let run = place.run("live --log-dir . --http-port 0 --reference-threshold 0.99").ok();
    assert_eq!(told(&run.out).len(), 1, "the other words are too far");
}

#[test]
fn what_it_cannot_use_is_named() {
    let place = Place::new();
    place
        .run("live --http-port 0 --log-dir nowhere")
        .fails(2, &["nowhere", "--log-dir or LOG_DIR"]);
    place.run("live --http-port 0 --log-dir . -d none.csv").fails(2, &["none.csv"]);
    place.run("live --log-dir . --speed -1").fails(2, &["give a number of times"]);
    let taken = TcpListener::bind(("0.0.0.0", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    place
        .run(&format!("live --log-dir . --http-port {port}"))
        .fails(2, &["HTTP_PORT", &format!("port {port} cannot be listened on")]);
    place.write("app.log", "nothing of the kind\n");
    place.run("live --log-dir . --http-port 0").ends(3);
}

#[test]
fn a_replay_without_end_ends_well_when_it_is_asked_to() {
    let place = Place::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_foreshock"));
    command
        .args(["live", "--log-dir", ".", "--http-port", "0", "--loops", "0"])
        .env("FORESHOCK_CACHE", crate::common::cache())
        .current_dir(place.path(""))
        .stdout(Stdio::piped());
    let child = command.spawn().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let started = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "after {:?}: {}", started.elapsed(), output.status);
    let out = String::from_utf8(output.stdout).unwrap();
    assert_eq!(told(&out).len(), 2, "{out}");
}
