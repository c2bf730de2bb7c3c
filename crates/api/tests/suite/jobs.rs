//! Analyses as jobs, and what is told of their links.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use api::{Access, Keep, Limits};
use live::Names;
use serde_json::Value;

use crate::common::{LOG, Served, data, example, forms, fresh_model, wait_until};

impl Served {
    /// Starts a job; its id.
    fn start(&self, arguments: &[&str]) -> String {
        let (status, headers, body) = self.curl("/jobs", arguments);
        let job: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(status, 202, "{job}");
        let id = job["id"].as_str().unwrap().to_owned();
        assert!(headers.contains(&format!("location: /jobs/{id}")), "{headers}");
        assert!(id.len() == 32 && id.bytes().all(|it| it.is_ascii_hexdigit()), "{id}");
        id
    }

    /// The events of a job to their end.
    fn events(&self, id: &str) -> Vec<Value> {
        let (status, headers, body) = self.curl(&format!("/jobs/{id}/events"), &["--no-buffer"]);
        assert!(status == 200 && headers.contains("text/event-stream"), "{headers}");
        let text = String::from_utf8(body).unwrap();
        // Comments say that it is there.
        let events = text.split("\n\n").filter(|event| !event.trim_start_matches(':').is_empty());
        events
            .map(|event| {
                let data = event.strip_prefix("event: job\ndata: ").expect(event);
                serde_json::from_str(data).unwrap()
            })
            .collect()
    }

    /// The state of a job when it has ended.
    fn end(&self, id: &str) -> Value {
        self.events(id).pop().unwrap()
    }

    fn status_of(&self, path: &str, arguments: &[&str]) -> (u16, String) {
        let (status, _, body) = self.curl(path, arguments);
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        (status, body["detail"].as_str().unwrap_or_default().to_owned())
    }

    /// So many links, as who follows all links is told of them.
    fn told(&self, count: usize) -> Vec<Value> {
        let (mut told, enough) = (Vec::new(), AtomicBool::new(false));
        let (topic, group) = (Names::new("logs", "foreshock").links(), "test".to_owned());
        let is_enough = || enough.load(Ordering::Relaxed);
        live::follow(&self.bus, topic, group, &is_enough, |link| {
            told.push(serde_json::from_slice::<Value>(link).unwrap());
            enough.store(told.len() >= count, Ordering::Relaxed);
        })
        .unwrap();
        told
    }

    /// A job that takes long: many distinct messages, for which the model is asked.
    fn start_long(&self) -> String {
        let line = |n: usize| {
            let word: String = format!("{n:06}").bytes().map(|it| (it + 49) as char).collect();
            format!("2025-10-06T07:42:23 ERROR db: {word} failed of {word}\n")
        };
        let log: String = (0..100_000).map(line).collect();
        let long = self.write("long.log", log);
        self.start(&["-F", &format!("log_files=@{long}")])
    }
}

#[test]
fn a_job_is_accepted_watched_and_asked_for_the_result_that_the_answer_would_be() {
    let server = Served::new(Limits::default());
    let mut parts = example();
    parts.push(format!("anomalies_file=@{}", data().join("anomalies_problems.csv").display()));
    let parts = forms(&parts);
    let id = server.start(&parts);
    let events = server.events(&id);
    let job = events.last().unwrap();
    assert_eq!(job["status"], "done", "{job}");
    assert_eq!(*job, server.json(&format!("/jobs/{id}")), "the last event is how it is");
    assert_eq!(job["progress"]["bytes"], job["progress"]["bytes_total"]);
    assert_eq!(job["progress"]["texts"], job["progress"]["embedded"]);
    assert!(job["expires"].as_str() > job["created"].as_str() && job["error"].is_null());
    let summary = &job["summary"];
    assert_eq!((&summary["link_count"], &summary["published"]), (&19.into(), &19.into()));
    assert_eq!(summary["judge"]["model"], "all-MiniLM-L6-v2");
    assert_eq!(summary["dictionary"]["name"], "anomalies_problems.csv");
    assert_eq!(summary["dictionary"]["own"], true);
    assert!(summary["files"].as_array().unwrap().len() > 1 && summary["problem_count"] != 0);
    for format in ["csv", "xlsx", "json"] {
        let (status, headers, result) =
            server.curl(&format!("/jobs/{id}/result?format={format}"), &[]);
        let (_, direct, answer) = server.curl(&format!("/analyze-logs/?format={format}"), &parts);
        assert_eq!(status, 200);
        assert!(result == answer, "{format}: the same bytes");
        let disposition = format!("attachment; filename=correlation_results.{format}");
        assert!(headers.contains(&disposition) && direct.contains(&disposition), "{headers}");
    }
    let accept = server.curl(&format!("/jobs/{id}/result"), &["-H", "Accept: application/json"]);
    assert!(accept.1.contains("application/json"), "{}", accept.1);
    assert_eq!(server.status_of(&format!("/jobs/{id}/result?format=pdf"), &[]).0, 422);
    assert_eq!(server.kept(), 1, "its upload, and nothing of the others");
    assert_eq!(server.curl(&format!("/jobs/{id}"), &["-X", "DELETE"]).0, 204);
    assert_eq!(server.status_of(&format!("/jobs/{id}"), &[]).0, 404);
    assert_eq!(server.status_of(&format!("/jobs/{id}"), &["-X", "DELETE"]).0, 404);
    server.is_clean();
}

#[test]
fn a_job_that_fails_says_why_and_one_that_is_refused_is_none() {
    let server = Served::new(Limits::default());
    let broken = format!("log_files=@{}", server.write("c.gz", b"\x1f\x8bxx"));
    let id = server.start(&["-F", &broken]);
    let job = server.end(&id);
    assert_eq!((&job["status"], &job["error"]["status"]), (&"failed".into(), &400.into()));
    let detail = job["error"]["detail"].as_str().unwrap();
    assert!(detail.starts_with("c.gz: "), "{detail}");
    let (status, told) = server.status_of(&format!("/jobs/{id}/result"), &[]);
    assert!(status == 409 && told.contains(detail), "{status} {told}");
    let (status, detail) = server.status_of("/jobs", &["-F", "other=1"]);
    assert!(status == 422 && detail.contains("log_files: missing"), "{detail}");
    for path in ["", "/events", "/result"] {
        let (status, detail) = server.status_of(&format!("/jobs/0123{path}"), &[]);
        assert!(status == 404 && detail.contains("0123: no such job"), "{detail}");
    }
    server.curl(&format!("/jobs/{id}"), &["-X", "DELETE"]);
    server.is_clean();
}

#[test]
fn jobs_are_cancelled_while_they_run_and_while_they_wait() {
    let server = Served::with(|api| {
        api.at_once = 1;
        // Without the vectors of earlier runs, so that it takes its time.
        api.embedder = fresh_model();
    });
    let running = server.start_long();
    let first = server.start_long();
    let log = format!("log_files=@{}", server.write("app.log", LOG));
    let second = server.start(&["-F", &log]);
    wait_until("the first runs", || {
        let job = server.json(&format!("/jobs/{running}"));
        job["status"] == "running" && job["progress"]["texts"] != 0
    });
    let job = server.json(&format!("/jobs/{second}"));
    assert_eq!((&job["status"], &job["progress"]["ahead"]), (&"queued".into(), &1.into()), "{job}");
    let (status, detail) = server.status_of(&format!("/jobs/{second}/result"), &[]);
    assert!(status == 409 && detail.contains("waits for its turn"), "{detail}");
    let watch = |id: &str| {
        let address = format!("{}/jobs/{id}/events", server.address);
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--no-buffer", &address]).stdout(std::process::Stdio::piped());
        curl.spawn().unwrap()
    };
    let watchers = [watch(&running), watch(&running), watch(&first)];
    std::thread::sleep(Duration::from_millis(300));
    for id in [&first, &running] {
        assert_eq!(server.curl(&format!("/jobs/{id}"), &["-X", "DELETE"]).0, 204);
    }
    for watcher in watchers {
        let told = String::from_utf8(watcher.wait_with_output().unwrap().stdout).unwrap();
        let last = told.trim_end().rsplit("\n\n").next().unwrap();
        assert!(last.contains(r#""status":"cancelled""#), "{last}");
    }
    assert_eq!(server.end(&second)["status"], "done", "the next one has its turn");
    assert_eq!(server.kept(), 1);
    server.curl(&format!("/jobs/{second}"), &["-X", "DELETE"]);
    server.is_clean();
}

#[test]
fn a_job_goes_on_when_its_client_hangs_up() {
    let server = Served::new(Limits::default());
    let log = "2025-10-06T07:00:00 WARNING db: Replica apply queue growing\n";
    let body = format!(
        "--x\r\nContent-Disposition: form-data; name=\"log_files\"; filename=\"a.log\"\r\n\r\n\
         {log}\r\n--x--\r\n"
    );
    let mut stream = server.connect();
    write!(
        stream,
        "POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().contains("202"));
    let location = lines.find_map(|line| line.strip_prefix("location: ").map(str::to_owned));
    drop(lines);
    let location = location.unwrap();
    wait_until("it is done", || server.json(&location)["status"] == "done");
}

#[test]
fn jobs_are_removed_when_their_time_is_over() {
    let keep = Keep { time: Duration::from_millis(500), ..Keep::default() };
    let server = Served::with(|api| api.keep = keep);
    let log = format!("log_files=@{}", server.write("app.log", LOG));
    let id = server.start(&["-F", &log]);
    wait_until("it is removed", || server.status_of(&format!("/jobs/{id}"), &[]).0 == 404);
    server.is_clean();
}

#[test]
fn the_oldest_jobs_go_when_there_are_too_many_or_they_are_too_large() {
    for keep in [
        // The time in which none goes for the number is a sixtieth.
        Keep { jobs: 2, time: Duration::from_secs(60), ..Keep::default() },
        Keep { bytes: 2 * LOG.len() as u64, ..Keep::default() },
    ] {
        let server = Served::with(|api| api.keep = keep);
        let log = format!("log_files=@{}", server.write("app.log", LOG));
        let ids: Vec<String> = (0..4)
            .map(|_| {
                let id = server.start(&["-F", &log]);
                server.end(&id);
                id
            })
            .collect();
        wait_until("two are kept", || server.kept() == 2);
        let found = ids.iter().map(|id| server.status_of(&format!("/jobs/{id}/result"), &[]).0);
        assert_eq!(found.collect::<Vec<_>>(), [404, 404, 200, 200], "the oldest go");
    }
}

#[test]
fn the_newest_job_is_kept_whatever_its_size() {
    let keep = Keep { jobs: 0, bytes: 1, time: Duration::from_secs(60) };
    let server = Served::with(|api| api.keep = keep);
    let log = format!("log_files=@{}", server.write("app.log", LOG));
    let id = server.start(&["-F", &log]);
    assert_eq!(server.end(&id)["status"], "done");
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(server.status_of(&format!("/jobs/{id}/result"), &[]).0, 200);
}

#[test]
fn links_of_uploads_are_told_to_who_follows_all_links() {
    let server = Served::new(Limits::default());
    let parts = example();
    let (_, _, json) = server.curl("/analyze-logs/?format=json", &forms(&parts));
    let report: Value = serde_json::from_slice(&json).unwrap();
    let id = server.start(&forms(&parts));
    server.end(&id);
    let found: Vec<&Value> = report["links"].as_array().unwrap().iter().collect();
    let told = server.told(2 * found.len());
    let (first, second) = told.split_at(found.len());
    assert_eq!(first.iter().collect::<Vec<_>>(), found, "of the answer, each once");
    assert_eq!(second.iter().collect::<Vec<_>>(), found, "of the job, by the same ids");
}

#[test]
fn no_more_links_of_one_upload_are_told_than_anyone_reads() {
    let server = Served::new(Limits::default());
    let second =
        |n: usize| format!("2025-10-06T{:02}:{:02}:{:02}", 7 + n / 3600, n / 60 % 60, n % 60);
    let log: String = (0..110)
        .map(|n| {
            let time = second(n);
            format!(
                "{time} WARNING db: Replica apply queue growing\n\
                 {time} ERROR db: Replica fell out of step with primary\n"
            )
        })
        .collect();
    let log = format!("log_files=@{}", server.write("app.log", log));
    let id = server.start(&["-F", &log]);
    let summary = &server.end(&id)["summary"];
    assert_eq!((&summary["link_count"], &summary["published"]), (&12_100.into(), &10_000.into()));
    let notice = summary["notices"][0].as_str().unwrap();
    assert!(notice.contains("10000 of 12100 links are told"), "{notice}");
    let told = server.told(10_000);
    let ids: HashSet<&str> = told.iter().map(|link| link["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 10_000, "more than the bus holds while nobody reads, each once");
}

#[test]
fn what_a_killed_process_left_is_removed_and_what_another_has_is_not() {
    let server = Served::new(Limits::default());
    let log = format!("log_files=@{}", server.write("app.log", LOG));
    let id = server.start(&["-F", &log]);
    server.end(&id);
    let left = server.uploads.path().join("foreshock-uploads-left/upload-1");
    std::fs::create_dir_all(&left).unwrap();
    let second = Served::with(|api| api.folder = server.uploads.path().to_owned());
    assert!(!left.parent().unwrap().exists());
    assert_eq!(server.status_of(&format!("/jobs/{id}/result"), &[]).0, 200);
    assert_eq!(server.kept(), 1);
    drop(second);
}

#[test]
fn a_server_that_ends_leaves_nothing_though_it_analyses() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::with(|api| {
        api.folder = folder.path().to_owned();
        api.embedder = fresh_model();
    });
    let id = server.start_long();
    wait_until("it runs", || server.json(&format!("/jobs/{id}"))["status"] == "running");
    drop(server);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn with_a_token_nobody_comes_in_without_it() {
    let token = Some("geheim".to_owned());
    let server = Served::with(|api| api.access = Access { token, origins: Vec::new() });
    let log = format!("log_files=@{}", server.write("app.log", LOG));
    for path in ["/analyze-logs/", "/jobs", "/jobs/0123", "/nowhere"] {
        let (status, headers, body) = server.curl(path, &[]);
        assert_eq!(status, 401, "{path}");
        assert!(headers.contains("www-authenticate: bearer"), "{headers}");
        assert!(String::from_utf8(body).unwrap().contains("a bearer token is needed"));
    }
    let wrong = ["-H", "Authorization: Bearer gehei", "-F", &log];
    assert_eq!(server.curl("/analyze-logs/", &wrong).0, 401);
    let right = ["-H", "Authorization: Bearer geheim", "-F", &log];
    assert_eq!(server.curl("/analyze-logs/", &right).0, 200);
    assert_eq!(server.curl("/openapi.json", &[]).0, 200, "the description is open");
    server.is_clean();
}

#[test]
fn pages_of_other_origins_are_let_in_only_when_told() {
    let asks = |server: &Served| {
        let (status, headers, _) = server.curl(
            "/jobs",
            &[
                "-X",
                "OPTIONS",
                "-H",
                "Origin: https://ops.example",
                "-H",
                "Access-Control-Request-Method: POST",
                "-H",
                "Access-Control-Request-Headers: authorization",
            ],
        );
        (status, headers)
    };
    let (status, headers) = asks(&Served::new(Limits::default()));
    assert!(status == 405 && !headers.contains("access-control"), "{headers}");
    assert!(headers.contains("allow: post"), "{headers}");
    for (origins, told) in [
        ("https://ops.example", Some("access-control-allow-origin: https://ops.example")),
        ("*", Some("access-control-allow-origin: *")),
        ("https://other.example", None),
    ] {
        let (token, origins) = (Some("x".to_owned()), vec![origins.to_owned()]);
        let server = Served::with(|api| api.access = Access { token, origins });
        let (status, headers) = asks(&server);
        assert_eq!(status, 200, "a browser asks without the token");
        match told {
            Some(told) => {
                assert!(headers.contains(told), "{headers}");
                assert!(headers.contains("authorization"), "{headers}");
            }
            None => assert!(!headers.contains("allow-origin"), "{headers}"),
        }
    }
}
