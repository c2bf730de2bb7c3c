//! The results of jobs as pages look at them: table, evidence, timeline, lags.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use api::Limits;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::common::{LOG, Served, example, forms, wait_until};

impl Served {
    /// The path of a job that is done.
    fn done(&self, parts: &[&str]) -> String {
        let (status, _, body) = self.curl("/jobs", parts);
        let job: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(status, 202, "{job}");
        let path = format!("/jobs/{}", job["id"].as_str().unwrap());
        wait_until("the job has ended", || {
            let status = self.json(&path)["status"].clone();
            assert_ne!(status, "failed");
            status == "done"
        });
        path
    }

    /// The reason for which a path is refused.
    fn reason(&self, path: &str, status: u16) -> String {
        let (code, headers, body) = self.curl(path, &[]);
        let body: Value = serde_json::from_slice(&body).expect("an error is JSON");
        assert_eq!(code, status, "{path}: {body}");
        assert!(headers.contains("content-type: application/json"), "{headers}");
        body["detail"].as_str().unwrap().to_owned()
    }
}

fn array(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap()
}

fn ids(page: &Value) -> Vec<&str> {
    array(&page["links"]).iter().map(|link| link["id"].as_str().unwrap()).collect()
}

/// Every line of the log with the numbers that are shown.
fn shown(context: &Value) -> Vec<(u64, &str)> {
    let first = context["first"].as_u64().unwrap();
    let lines = array(&context["lines"]).iter().map(|line| line.as_str().unwrap());
    (first..).zip(lines).collect()
}

#[test]
fn the_table_has_the_links_of_the_report_page_by_page() {
    let server = Served::new(Limits::default());
    let parts = example();
    let job = server.done(&forms(&parts));
    let report = server.json(&format!("{job}/result?format=json"));
    let page = server.json(&format!("{job}/links"));
    assert_eq!(
        (&page["total"], &page["matching"], &page["offset"]),
        (&json!(19), &json!(19), &json!(0))
    );
    assert_eq!((&page["limit"], &page["complete"]), (&json!(100), &json!(true)));
    for link in array(&page["links"]) {
        let mut link = link.clone();
        let number = link.as_object_mut().unwrap().remove("number").unwrap();
        let reported = &report["links"][number.as_u64().unwrap() as usize];
        assert_eq!(link, *reported, "a number is the place in the report");
    }
    let times: Vec<&str> = array(&page["links"])
        .iter()
        .map(|it| it["problem"]["event"]["time"].as_str().unwrap())
        .collect();
    assert!(times.is_sorted(), "by the problem's time");
    let pages: Vec<Value> = [0, 7, 14]
        .map(|offset| server.json(&format!("{job}/links?limit=7&offset={offset}")))
        .into();
    assert_eq!(pages.iter().flat_map(ids).collect::<Vec<_>>(), ids(&page));
    let last = array(&page["links"])[18]["number"].clone();
    let selected = server.json(&format!("{job}/links?limit=7&select={last}"));
    assert_eq!((&selected["offset"], ids(&selected)), (&json!(14), ids(&pages[2])));
    let reverse = server.json(&format!("{job}/links?sort=score&order=desc&limit=1000"));
    let scores = array(&reverse["links"]).iter().map(|link| {
        let score = |side: &str| link[side]["score"].as_f64().unwrap();
        score("anomaly").min(score("problem"))
    });
    assert!(scores.is_sorted_by(|one, other| one >= other));
}

#[test]
fn all_views_choose_the_same_links() {
    let server = Served::new(Limits::default());
    let parts = example();
    let job = server.done(&forms(&parts));
    let all = server.json(&format!("{job}/links"));
    let first = &array(&all["links"])[0];
    let problem = &first["problem"];
    let file = problem["event"]["file"].as_str().unwrap();
    let time = problem["event"]["time"].as_str().unwrap();
    let word =
        problem["event"]["message"].as_str().unwrap().split(' ').next().unwrap().to_uppercase();
    for filter in [
        String::new(),
        format!("problem_id={}", problem["id"]),
        format!("anomaly_id={}", first["anomaly"]["id"]),
        format!("file={file}"),
        format!("component={}", problem["event"]["component"].as_str().unwrap()),
        format!("from={time}&to={time}"),
        "min_score=0.9".to_owned(),
        format!("q={word}&min_score=0.1"),
        "q=".to_owned(),
        "q=no-such-words".to_owned(),
    ] {
        let page = server.json(&format!("{job}/links?{filter}"));
        let matching = &page["matching"];
        assert_eq!(matching.as_u64().unwrap() as usize, array(&page["links"]).len());
        assert!(ids(&page).iter().all(|id| ids(&all).contains(id)), "{filter}");
        assert_eq!(filter == "q=no-such-words", *matching == 0, "{filter}");
        for by in ["file", "component"] {
            let picture = server.json(&format!("{job}/timeline?by={by}&{filter}"));
            assert_eq!((&picture["total_links"], &picture["links_drawn"]), (matching, matching));
            assert_eq!(picture["grouped"], false);
            assert_eq!(array(&picture["links"]).len() as u64, matching.as_u64().unwrap());
            let events = array(&picture["events"]);
            assert_eq!(picture["total_events"], events.len());
            for event in events {
                let number = event["number"].as_u64().unwrap();
                let link =
                    array(&all["links"]).iter().find(|link| link["number"] == number).unwrap();
                let side = event["side"].as_str().unwrap();
                assert_eq!(event["text"], link[side]["event"]["message"]);
                assert_eq!(event["file"], link[side]["event"]["file"]);
                let lane =
                    array(&picture["lanes"])[event["lane"].as_u64().unwrap() as usize].clone();
                assert_eq!(lane, link[side]["event"][by]);
            }
        }
        let lags = server.json(&format!("{job}/lags?{filter}"));
        let counts = array(&lags["bins"]).iter().map(|bin| bin["count"].as_u64().unwrap());
        assert_eq!((&lags["total"], counts.sum()), (matching, matching.as_u64().unwrap()));
    }
    let mut lags: Vec<f64> =
        array(&all["links"]).iter().map(|link| link["lag_seconds"].as_f64().unwrap()).collect();
    lags.sort_by(f64::total_cmp);
    assert_eq!(server.json(&format!("{job}/lags"))["median"], lags[9]);
}

#[test]
fn evidence_is_the_link_and_the_lines_around_both_its_events() {
    let server = Served::new(Limits::default());
    let lines: Vec<String> = (0..20).map(|line| format!("строка {line}\r\n")).collect();
    let text = format!("{}{LOG}{}", lines[..9].concat(), lines[9..].concat());
    let path = server.write("db.log", &text);
    let mut packed = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, text.as_bytes()).unwrap();
    let packed = server.write("web.log.gz", packed.finish().unwrap());
    let parts = [format!("log_files=@{path}"), format!("log_files=@{packed}")];
    let job = server.done(&forms(&parts));
    let lines: Vec<&str> = text.lines().collect();
    for number in 0..4 {
        let evidence = server.json(&format!("{job}/links/{number}"));
        assert_eq!(evidence["number"], number);
        for side in ["anomaly", "problem"] {
            let event = &evidence["link"][side]["event"];
            let context = &evidence[format!("{side}_context")];
            let own = if side == "anomaly" { 10 } else { 11 };
            assert_eq!((&context["line"], &event["line"]), (&json!(own), &json!(own)));
            let expected: Vec<(u64, &str)> =
                (own - 3..=own + 3).map(|line| (line, lines[line as usize - 1])).collect();
            assert_eq!(shown(context), expected);
            assert_eq!(lines[own as usize - 1], event["raw"]);
        }
    }
    let files: BTreeSet<String> = (0..4)
        .map(|number| server.json(&format!("{job}/links/{number}")))
        .map(|it| it["link"]["anomaly"]["event"]["file"].to_string())
        .collect();
    assert_eq!(files.len(), 2, "both files are looked at");
    // What was uploaded is lost: the link is told nevertheless.
    for folder in fs::read_dir(server.uploads.path()).unwrap() {
        for kept in fs::read_dir(folder.unwrap().path()).unwrap() {
            fs::remove_dir_all(kept.unwrap().path()).unwrap();
        }
    }
    let evidence = server.json(&format!("{job}/links/0"));
    assert!(evidence["anomaly_context"].is_null() && evidence["problem_context"].is_null());
    assert_eq!(evidence["link"]["problem"]["event"]["line"], 11);
}

#[test]
fn what_cannot_be_answered_is_refused_by_its_name() {
    let server = Served::new(Limits::default());
    let log = format!("log_files=@{}", server.write("app.log", LOG));
    let job = server.done(&["-F", &log]);
    for path in ["links", "links/0", "timeline", "lags"] {
        assert!(server.reason(&format!("/jobs/none/{path}"), 404).contains("no such job"));
    }
    assert_eq!(server.reason(&format!("{job}/links/1"), 404), "1: no such link; the result has 1");
    for (path, words) in [
        ("links?sort=colour", ["sort", "`colour`", "`problem_time`"]),
        ("links?order=up", ["order", "`up`", "`asc`"]),
        ("links?limit=0", ["limit", "from 1", "to 1000"]),
        ("links?limit=1001", ["limit", "from 1", "to 1000"]),
        ("links?limit=many", ["limit", "invalid", "digit"]),
        ("links?offset=-1", ["offset", "invalid", "digit"]),
        ("links?select=x", ["select", "invalid", "digit"]),
        ("links?sort=lag&sort=file", ["sort", "duplicate", "field"]),
        ("links?from=yesterday", ["from", "yesterday", "RFC 3339"]),
        ("timeline?to=2025-10-06T07:00:00+03:00", ["to", "no instant", "%2B"]),
        ("timeline?by=level", ["by", "`level`", "`component`"]),
        ("timeline?min_score=2", ["min_score", "from 0", "to 1"]),
        ("lags?bins=1", ["bins", "from 2", "to 500"]),
        ("lags?problem_id=x", ["problem_id", "invalid", "digit"]),
        ("links/first", ["number", "first", "u32"]),
    ] {
        let detail = server.reason(&format!("{job}/{path}"), 422);
        for word in words {
            assert!(detail.contains(word), "{path}: no {word:?} in {detail:?}");
        }
    }
}

/// Two files of warnings and errors that all link.
fn crowd(server: &Served, warnings: usize, errors: usize) -> Vec<String> {
    let lines = |count: usize, text: &str| -> String {
        let line = |n: usize| {
            format!("2025-10-06T{:02}:{:02}:{:02} {text}\n", n / 3600, n / 60 % 60, n % 60)
        };
        (0..count).map(line).collect()
    };
    let warnings = lines(warnings, "WARNING db: Replica apply queue growing");
    let errors = lines(errors, "ERROR db: Replica fell out of step with primary");
    let (warnings, errors) =
        (server.write("warnings.log", warnings), server.write("errors.log", errors));
    vec![format!("log_files=@{warnings}"), format!("log_files=@{errors}")]
}

/// Prints how long answers take: `cargo test --release -p api fifty -- --nocapture`.
#[test]
fn fifty_thousand_links_are_looked_at_as_a_whole() {
    let server = Served::new(Limits::default());
    let parts = crowd(&server, 500, 100);
    let job = server.done(&forms(&parts));
    let asked = |path: &str| {
        let start = Instant::now();
        let answer = server.json(&format!("{job}/{path}"));
        println!("{path}: {:?} with curl", start.elapsed());
        answer
    };
    let page = asked("links");
    assert_eq!((&page["total"], &page["matching"]), (&json!(50_000), &json!(50_000)));
    assert_eq!(page["complete"], true);
    let page = asked("links?sort=lag&order=asc&limit=1");
    assert_eq!(page["links"][0]["lag_seconds"], -499.0);
    let page = asked("links?sort=lag&order=desc&limit=1000");
    assert_eq!(
        (array(&page["links"]).len(), &page["links"][0]["lag_seconds"]),
        (1000, &json!(99.0))
    );
    let selected = asked("links?sort=file&select=49999");
    assert!(array(&selected["links"]).iter().any(|link| link["number"] == 49_999));
    assert_eq!(asked("links?q=STEP&from=2025-10-06T00:01:00Z")["matching"], 20_000);
    let picture = asked("timeline");
    assert_eq!((&picture["total_links"], &picture["total_events"]), (&json!(50_000), &json!(600)));
    assert!(picture["grouped"] == true && array(&picture["links"]).len() <= 1500);
    let narrow = asked("timeline?to=2025-10-06T00:00:01Z");
    assert_eq!((&narrow["grouped"], &narrow["links_drawn"]), (&json!(false), &json!(1000)));
    let lags = asked("lags");
    assert_eq!((&lags["total"], &lags["median"]), (&json!(50_000), &json!(-200.0)));
    let evidence = asked("links/49999");
    assert_eq!(evidence["anomaly_context"]["first"], 497);
}

#[test]
fn more_links_than_are_looked_at_are_said_to_be_more() {
    let server = Served::new(Limits::default());
    let parts = crowd(&server, 400, 300);
    let job = server.done(&forms(&parts));
    let page = server.json(&format!("{job}/links?offset=99999"));
    assert_eq!((&page["total"], &page["matching"]), (&json!(120_000), &json!(100_000)));
    assert_eq!((&page["complete"], array(&page["links"]).len()), (&json!(false), 1));
    assert!(server.json(&format!("{job}/links/99999"))["link"].is_object());
    let reason = server.reason(&format!("{job}/links/100000"), 404);
    assert_eq!(reason, "100000: only the first 100000 links of a result are told");
    assert_eq!(server.json(&format!("{job}/timeline"))["total_links"], 100_000);
}

#[test]
fn the_labelled_incident_shows_its_three_links() {
    let Some(folder) = std::env::var_os("FORESHOCK_TEST_DATA") else {
        eprintln!("skipped: FORESHOCK_TEST_DATA names no folder with make_case.py");
        return;
    };
    let server = Served::new(Limits::default());
    let script = Path::new(&folder).join("make_case.py");
    let made = Command::new("python3").arg(script).arg(server.folder.path()).status().unwrap();
    assert!(made.success());
    let case = server.folder.path().join("case2");
    let mut parts: Vec<String> = fs::read_dir(&case)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .map(|path| format!("log_files=@{}", path.display()))
        .collect();
    assert_eq!(parts.len(), 10);
    parts.push(format!("anomalies_file=@{}", case.join("anomalies_problems.csv").display()));
    let job = server.done(&forms(&parts));
    let page = server.json(&format!("{job}/links"));
    assert_eq!((&page["total"], &page["complete"]), (&json!(3), &json!(true)));
    let anomalies: BTreeSet<u64> =
        array(&page["links"]).iter().map(|link| link["anomaly"]["id"].as_u64().unwrap()).collect();
    assert_eq!(anomalies, BTreeSet::from([267, 271, 274]));
    let picture = server.json(&format!("{job}/timeline"));
    let lanes =
        ["backup_server_log.txt", "router_log.txt", "storage_system_log.txt", "web_server_log.txt"];
    assert_eq!(picture["lanes"], json!(lanes));
    assert_eq!((array(&picture["events"]).len(), array(&picture["links"]).len()), (4, 3));
    for number in 0..3 {
        let evidence = server.json(&format!("{job}/links/{number}"));
        let context = &evidence["problem_context"];
        let lines = shown(context);
        assert_eq!((lines.len(), lines[3].0), (7, 27_744));
        assert!(lines[3].1.ends_with("ERROR database: Index corruption on table"));
        let log = fs::read_to_string(case.join("web_server_log.txt")).unwrap();
        let expected: Vec<&str> = log.lines().skip(27_740).take(7).collect();
        assert_eq!(lines.iter().map(|(_, line)| *line).collect::<Vec<_>>(), expected);
    }
}
