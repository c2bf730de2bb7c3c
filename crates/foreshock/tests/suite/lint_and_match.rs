//! `foreshock lint` and `foreshock match`.

use serde_json::Value;

use crate::common::*;

/// Each check finds one fault; the rows are lines of the file.
const FAULTY: &str = "anomaly_id;anomaly;problem_id;problem\n\
    1;Disk space running low;1;Volume is full\n\
    2;Disk space is running very low;1;Volume is full\n\
    3;Fan stopped turning;2;Server too hot\n\
    3;Coolant pump leaking;2;Server too hot\n\
    4;Certificate about to expire;3;Customers cannot log in\n\
    5;Certificate about to expire;4;Mail is not delivered\n\
    6;Port 17 flapping;5;Uplink lost\n\
    7;Port 18 flapping;5;Uplink lost\n\
    8;1/0/1;5;Uplink lost\n\
    9;Backup job late;6;Restore impossible\n\
    9;Backup job late;6;Restore impossible\n\
    10;Clock drifting;7;Kerberos tickets rejected\n\
    10;Clock drifting;8;Transactions out of order\n\
    10;Clock drifting;9;Cluster split in halves\n";

/// Severity, check and rows of each finding.
fn findings(run: &Run) -> Vec<(String, String, Vec<u64>)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let json = run.json();
    let findings = json.as_array().unwrap().iter();
    findings
        .map(|it| {
            let rows = it["rows"].as_array().unwrap().iter().map(|row| row.as_u64().unwrap());
            assert!(!text(&it["found"]).is_empty() && !text(&it["consequence"]).is_empty());
            (text(&it["severity"]), text(&it["check"]), rows.collect())
        })
        .collect()
}

#[test]
fn the_linter_finds_each_fault_with_its_rows() {
    let place = Place::with_dictionary(FAULTY);
    let expected = [
        ("error", "one-id-two-texts", vec![4, 5]),
        ("warning", "one-text-two-ids", vec![6, 7]),
        ("warning", "same-normalised", vec![8, 9]),
        ("warning", "no-meaning", vec![10]),
        ("warning", "near-twins", vec![2, 3]),
        ("note", "repeated-pair", vec![11, 12]),
        ("note", "generic-anomaly", vec![13, 14, 15]),
    ]
    .map(|(severity, check, rows)| (severity.to_owned(), check.to_owned(), rows));
    let found = place.run("lint --json").ends(1);
    assert_eq!(findings(&found), expected);

    place.run("lint").ends(1).shows(&[
        "error [one-id-two-texts] anomaly id 3 stands for 2 texts",
        "\"Fan stopped turning\" (row 4), \"Coolant pump leaking\" (row 5)",
        "note [repeated-pair] \"Backup job late\" → \"Restore impossible\" stands in rows 11 and 12",
        "warning [near-twins] anomalies \"Disk space running low\" and",
        "14 rows, 10 anomalies, 9 problems: 1 error, 4 warnings, 2 notes",
    ]);
}

#[test]
fn without_a_model_the_linter_leaves_out_the_near_twins_only() {
    let place = Place::with_dictionary(FAULTY);
    let mut command = place.foreshock("lint --json --no-model");
    // Neither a model nor a way to fetch one.
    command.env("FORESHOCK_CACHE", place.path("empty")).env("PATH", "");
    let mut expected = findings(&place.run("lint --json"));
    expected.retain(|(_, check, _)| check != "near-twins");
    assert_eq!(findings(&run(&mut command).ends(1)), expected);
    assert!(!place.path("empty").exists());
}

#[test]
fn a_clean_dictionary_and_one_with_notes_only_end_with_0() {
    place_ends("", 0);
    place_ends("1;Replica apply queue growing;10;Replica fell out of step with primary\n", 0);
    place_ends("1;Replica lagging;10;Replica fell out of step with primary\n", 1);
}

fn place_ends(more: &str, code: i32) {
    let place = Place::with_dictionary(&(DICTIONARY.to_owned() + more));
    let found = place.run("lint --json").ends(code);
    assert_eq!(findings(&found).is_empty(), more.is_empty());
}

#[test]
fn the_example_dictionary_is_clean() {
    let place = Place::new();
    let path = data().join("anomalies_problems.csv");
    let found = run(place.foreshock("lint --json --dictionary").arg(path)).ok();
    assert_eq!(findings(&found), []);
}

/// Side, reason, nearest text and whether it matched, for each line of the output.
fn told(run: &Run) -> Vec<(Value, String, Value, bool)> {
    let lines = run.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .map(|it| {
            let reason = it["reason"].as_str().unwrap().to_owned();
            (it["side"].clone(), reason, it["text"].clone(), it["matched"].as_bool().unwrap())
        })
        .collect()
}

#[test]
fn match_tells_what_a_message_is_taken_for_and_why() {
    let place = Place::new();
    let (anomaly, problem) =
        ("Replica apply queue growing", "Replica fell out of step with primary");
    for (line, side, reason, text, matched) in [
        ("REPLICA APPLY QUEUE GROWING ", Some("anomaly"), "exact", Some(anomaly), true),
        ("replica db-3: apply queue growing, 48211", Some("anomaly"), "near", Some(anomaly), true),
        ("banana bread with butter", Some("anomaly"), "too-far", None, false),
        (
            "2025-10-06T07:42:23 ERROR db: replica 3 fell out of step with primary 1",
            Some("problem"),
            "near",
            Some(problem),
            true,
        ),
        (
            "2025-10-06T07:42:23 WARN db: Replica apply queue growing",
            Some("anomaly"),
            "exact",
            Some(anomaly),
            true,
        ),
        ("2025-10-06T07:42:23 INFO db: Replica apply queue growing", None, "level", None, false),
    ] {
        let found = told(&run(place.foreshock("match --json").write_stdin(line)).ok());
        let verdict = found.iter().find(|it| it.0 == side.map_or(Value::Null, Value::from));
        let verdict = verdict.unwrap_or_else(|| panic!("{line}: {found:?}"));
        assert_eq!((&verdict.1[..], verdict.3), (reason, matched), "{line}");
        if text.is_some() {
            assert_eq!(verdict.2, Value::from(text), "{line}");
        }
        // A line with a level is judged by it alone, a bare message as both.
        assert_eq!(found.len(), if line.starts_with("2025") { 1 } else { 2 }, "{line}");
    }
}

#[test]
fn match_says_it_in_words() {
    let place = Place::new();
    for (message, words) in [
        ("Replica apply queue growing", "anomaly: is this text"),
        ("replica db-3: apply queue growing", "anomaly: nearest text, reaches 0.42"),
        ("banana bread with butter", "anomaly: no match, nearest text under 0.42"),
        ("42 !!", "nothing is left, so only an exact text could match"),
        ("2025-10-06T07:42:23 INFO db: x", "no match: its level is neither WARNING nor ERROR"),
        ("ring \u{7} and move \u{1b}[2J", "ring \u{fffd} and move \u{fffd}[2J"),
    ] {
        run(place.foreshock("match --matcher cosine").arg(message)).ok().shows(&[words]);
    }
}

#[test]
fn match_judges_by_the_side_and_the_threshold_asked_for() {
    let place = Place::new();
    let message = "apply queue of the replica keeps getting longer";
    let sides = |arguments| {
        let mut command = place.foreshock(&format!("match --json {arguments}"));
        told(&run(command.write_stdin(message)).ok())
    };
    let found = sides("--as problem");
    assert_eq!((found.len(), &found[0].0), (1, &Value::from("problem")));
    let found = sides("--as anomaly --reference-threshold 1");
    assert_eq!((&found[0].1[..], found[0].3), ("too-far", false));
}

/// The log-odds of a probability.
fn log_odds(probability: f64) -> f64 {
    (probability / (1.0 - probability)).ln()
}

#[test]
fn a_confidence_is_explained_by_pieces_that_add_up_to_it() {
    let place = Place::new();
    let line = "2025-10-06T07:42:23 WARN db: replica 12: apply queue keeps growing";
    let mut command = place.foreshock("match --json --explain --matcher evidence");
    let told: Value = serde_json::from_str(&run(command.write_stdin(line)).ok().out).unwrap();
    assert_eq!((&told["matcher"], &told["component"]), (&"evidence".into(), &"db".into()));
    assert_eq!(told["normalised"], "replica 10: apply queue keeps growing");
    let explain = &told["explain"];
    assert_eq!((&explain["text"], &explain["confidence"]), (&told["text"], &told["score"]));
    let pieces = explain["pieces"].as_array().unwrap();
    let weights: f64 = pieces.iter().map(|piece| piece["weight"].as_f64().unwrap()).sum();
    let sum = explain["base"].as_f64().unwrap() + weights;
    let confidence = explain["confidence"].as_f64().unwrap();
    assert!((1.0 / (1.0 + (-sum).exp()) - confidence).abs() < 1e-4, "{explain}");
    let change = &explain["change"];
    let (threshold, over) =
        (change["threshold"].as_f64().unwrap(), change["log_odds"].as_f64().unwrap());
    assert!((over - (sum - log_odds(threshold))).abs() < 1e-3, "{explain}");
    assert!(explain["runner_up"]["confidence"].as_f64().unwrap() <= confidence, "{explain}");
    let mut command = place.foreshock("match --matcher evidence --explain");
    run(command.write_stdin(line)).ok().shows(&[
        "why, in log-odds:",
        "before any evidence",
        "cosine of the message and the text",
        "over the runner-up",
        "log-odds over the threshold",
    ]);
}

#[test]
fn a_cosine_is_explained_by_itself() {
    let place = Place::new();
    let message = "replica db-3: apply queue growing";
    let explain = |arguments: &str| {
        let mut command = place.foreshock(&format!("match --matcher cosine {arguments}"));
        run(command.arg(message)).ok()
    };
    let told = explain("--json --explain --as anomaly").out;
    let told: Value = serde_json::from_str(&told).unwrap();
    let pieces = told["explain"]["pieces"].as_array().unwrap();
    assert_eq!((pieces.len(), &pieces[0]["value"]), (1, &told["score"]));
    assert_eq!(told["explain"]["base"], 0.0);
    explain("--explain").shows(&["why, in cosine:", "over the threshold 0.42", "to 0.420"]);
    assert!(!explain("--json").out.contains("explain"), "nobody asked");
    let itself = run(place.foreshock("match --explain").arg("Replica apply queue growing")).ok();
    itself.shows(&["nothing would change it"]);
}

#[test]
fn match_takes_the_component_of_bare_messages() {
    let place = Place::new();
    let told = |arguments: &str| -> Value {
        let mut command = place.foreshock(&format!("match --json --as anomaly {arguments}"));
        serde_json::from_str(&run(command.write_stdin("queue keeps growing")).ok().out).unwrap()
    };
    let (bare, database) = (told(""), told("--component database"));
    assert_eq!((&bare["component"], &database["component"]), (&"".into(), &"database".into()));
    let by_cosine = ["", "--component database"]
        .map(|component| told(&format!("--matcher cosine {component}"))["score"].clone());
    assert_eq!(by_cosine[0], by_cosine[1], "a cosine is of the message alone");
}

#[test]
fn match_reads_any_number_of_lines_in_any_encoding_and_none_at_all() {
    let place = Place::new();
    let lines = "Replica apply queue growing\r\n\r\nНедоступен резервный канал\r\n".repeat(5000);
    let lines = encoding_rs::WINDOWS_1251.encode(&lines).0.into_owned();
    let found = run(place.foreshock("match --json --as anomaly").write_stdin(lines)).ok();
    let found = told(&found);
    assert_eq!(found.len(), 10_000);
    assert!(found.iter().all(|it| it.1 == "exact"));
    for nothing in ["", "\n", " \n\n"] {
        let found = run(place.foreshock("match").write_stdin(nothing)).ok();
        assert_eq!((&found.out[..], &found.err[..]), ("", ""));
    }
}

#[test]
fn blank_lines_between_messages_do_not_end_the_input() {
    let place = Place::new();
    let lines = "\n".repeat(10_000) + "Replica apply queue growing\n";
    let found = run(place.foreshock("match --json --as anomaly").write_stdin(lines)).ok();
    assert_eq!(told(&found).len(), 1);
}
