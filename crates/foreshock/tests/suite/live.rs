//! `foreshock live`: the streaming suite in one process.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use testing::telegram::{Emulator, TOKEN};

use crate::common::{Place, data};

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

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
    command.current_dir(data().join("..")).env("LOG_LEVEL", "error").env("ONCE", "1");
    command.env("LINKS_DB", place.path("links.db"));
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
    assert!(
        run.out.contains("19 links (within 24h), model all-MiniLM-L6-v2, matcher evidence"),
        "{}",
        run.out
    );
    assert!(run.out.contains("8,014 events, 46 lines passed over"), "{}", run.out);
}

#[test]
fn logs_that_are_replayed_again_tell_their_links_once() {
    let place = Place::new();
    let run = place.run("live --log-dir . --once --loops 3").ok();
    let links = [("app.log:3", "app.log:1"), ("app.log:6", "app.log:4")];
    assert_eq!(told(&run.out), links.map(|(error, warning)| (error.into(), warning.into())));
    assert!(run.out.contains("\n2 links"), "{}", run.out);
    assert!(run.out.contains("\n15 events, 3 lines passed over"), "{}", run.out);
}

#[test]
fn the_window_and_the_threshold_hold() {
    let place = Place::new();
    let run = place.run("live --log-dir . --once --window 35m").ok();
    assert_eq!(told(&run.out), [("app.log:6".to_owned(), "app.log:4".to_owned())]);
    place.write("app.log", crate::common::log_in_other_words());
    let run = place.run("live --log-dir . --once --matcher cosine --reference-threshold 0.99").ok();
    assert_eq!(told(&run.out).len(), 1, "the other words are too far");
}

#[test]
fn what_it_cannot_use_is_named() {
    let place = Place::new();
    place.run("live --log-dir nowhere").fails(2, &["nowhere", "--log-dir or LOG_DIR"]);
    place.run("live --http-port 0 --log-dir . -d none.csv").fails(2, &["none.csv"]);
    place.run("live --log-dir . --speed -1").fails(2, &["give a number of times"]);
    let taken = TcpListener::bind(("0.0.0.0", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    place
        .run(&format!("live --log-dir . --http-port {port}"))
        .fails(2, &["HTTP_PORT", &format!("port {port} cannot be listened on")]);
    place
        .run(&format!("live --log-dir . --frontend-port {port}"))
        .fails(2, &["FRONTEND_PORT", &format!("port {port} cannot be listened on")]);
    place.run("live --log-dir . --api-token ключ").fails(2, &["--api-token", "visible ASCII"]);
    let bot = "live --log-dir . --telegram-bot-token";
    place.run(&format!("{bot} токен")).fails(2, &["TELEGRAM_BOT_TOKEN: not a token"]);
    place
        .run(&format!("{bot} 1:a --telegram-api-url localhost"))
        .fails(2, &["TELEGRAM_API_URL: give an address"]);
    place.run(&format!("{bot} 1:a --db-path app.log/x.db")).fails(2, &["DB_PATH: app.log"]);
    place.write("app.log", "nothing of the kind\n");
    place.run("live --log-dir . --once").ends(3);
}

/// The suite in one process, which stays. Killed when it is dropped.
struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
    api: String,
    pages: String,
}

impl Running {
    fn start(arguments: &[&str], folder: &Path, database: &Path) -> Running {
        let mut child = Command::new(env!("CARGO_BIN_EXE_foreshock"))
            .args(arguments)
            .env("FORESHOCK_CACHE", crate::common::cache())
            .env("LINKS_DB", database)
            .envs([("HTTP_PORT", "0"), ("FRONTEND_PORT", "0")])
            .current_dir(folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut address = |before: &str, after: &str| {
            let mut line = String::new();
            out.read_line(&mut line).unwrap();
            let address =
                line.strip_prefix(before).and_then(|rest| rest.trim().strip_suffix(after));
            address.unwrap_or_else(|| panic!("{line:?}")).to_owned()
        };
        let api = address("API ", "/docs");
        let pages = address("pages ", "");
        Running { child, out, api, pages }
    }

    fn json(&self, path: &str) -> Value {
        let output = curl(&format!("{}{path}", self.api)).output().unwrap();
        assert!(output.status.success(), "{path}: {}", output.status);
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Waits until so many links are in the history.
    fn wait_for_links(&self, count: usize) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let page = self.json("/links?limit=1000");
            if page["links"].as_array().unwrap().len() == count {
                return page;
            }
            assert!(Instant::now() < end, "{page}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Asks it to end; what it said until then.
    fn stop(&mut self) -> String {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let mut out = String::new();
        self.out.read_to_string(&mut out).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
        out
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn curl(address: &str) -> Command {
    let mut command = Command::new("curl");
    command.args(["--silent", "--fail", "--max-time", "60", address]);
    command
}

#[test]
fn the_api_and_the_pages_are_served_until_it_is_asked_to_end() {
    let place = Place::new();
    let root = data().join("..");
    let database = place.path("db/links.db");
    let mut running = Running::start(&[], &root, &database);
    let first = running.wait_for_links(19);
    let pages = curl(&format!("{}/live", running.pages)).output().unwrap();
    assert!(pages.status.success(), "{}", pages.status);
    let ready = running.json("/ready");
    assert_eq!(
        (&ready["ready"], &ready["dependencies"][0]["name"]),
        (&true.into(), &"model".into())
    );
    let end = Instant::now() + PATIENCE;
    let sum = loop {
        let status = running.json("/status");
        let sources = status["sources"].as_array().unwrap();
        let sum: u64 = sources.iter().map(|source| source["lines"].as_u64().unwrap()).sum();
        if sum >= 8014 {
            assert_eq!((sources.len(), &status["links"]), (9, &19.into()));
            assert!(sources.iter().all(|source| source["last_event"].is_string()), "{status}");
            break sum;
        }
        assert!(Instant::now() < end, "{status}");
        thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(sum, 8014);

    // A stream that is open does not keep it, nor does an upload that is at work.
    let mut streams: Vec<Child> = ["/links/stream?recent=5", "/links/stream"]
        .iter()
        .map(|path| {
            let mut stream = curl(&format!("{}{path}", running.api));
            stream.stdout(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    thread::sleep(Duration::from_millis(500));
    let told_links = told(&running.stop());
    assert_eq!(told_links.len(), 19);
    for stream in &mut streams {
        assert!(stream.wait().unwrap().success(), "streams are ended, not cut");
    }

    // The next process has the links from the start, and finds none of them a second time.
    let mut running = Running::start(&["live", "--speed", "3600"], &root, &database);
    let again = running.wait_for_links(19);
    assert_eq!(again, first);
    running.stop();
}

#[test]
fn the_api_wants_its_token_and_the_pages_know_it() {
    let place = Place::new();
    let arguments = ["live", "--log-dir", ".", "--api-token", "s3cret"];
    let mut running = Running::start(&arguments, &place.path(""), &place.path("links.db"));
    let refused = curl(&format!("{}/links", running.api)).output().unwrap();
    assert_eq!(refused.status.code(), Some(22), "401");
    let mut with_token = curl(&format!("{}/links", running.api));
    assert!(
        with_token.args(["-H", "Authorization: Bearer s3cret"]).output().unwrap().status.success()
    );
    let page = curl(&format!("{}/dictionary", running.pages)).output().unwrap();
    let page = String::from_utf8(page.stdout).unwrap();
    assert!(page.contains("Replica apply queue growing"), "{page}");
    running.stop();
}

#[test]
fn who_subscribed_is_told_of_each_link_once_and_of_a_test() {
    let Some(emulator) = Emulator::start() else { return };
    let place = Place::new();
    place.write("none/app.log", "2025-10-06T07:00:00 INFO db: nothing of the kind\n");
    let arguments = |logs| {
        ["live", "--log-dir", logs, "--telegram-bot-token", TOKEN].into_iter().chain([
            "--telegram-api-url",
            &emulator.url,
            "--telegram-invite-code",
            "come in",
        ])
    };
    let start = |logs| {
        let arguments: Vec<&str> = arguments(logs).collect();
        Running::start(&arguments, &place.path(""), &place.path("links.db"))
    };
    let mut running = start("none");
    emulator.says(42, "/start come in");
    assert!(emulator.wait(42, 1)[0].starts_with("Вы подписаны"));
    running.stop();

    let mut running = start(".");
    let texts = emulator.wait(42, 3);
    let all = texts.concat();
    for line in [1, 3, 4, 6] {
        assert!(all.contains(&format!("app.log:{line}")), "{line}: {texts:?}");
    }
    let end = Instant::now() + PATIENCE;
    loop {
        let alerts = &running.json("/status")["alerts"];
        if alerts["sent"] == 2 {
            assert_eq!((&alerts["bot"], &alerts["waiting"]), (&"running".into(), &0.into()));
            break;
        }
        assert!(Instant::now() < end, "{alerts}");
        thread::sleep(Duration::from_millis(50));
    }
    running.wait_for_links(2);
    running.stop();

    // The same links are found again, and told no more.
    let mut running = start(".");
    let test = || {
        let mut command = place.foreshock("notify-test");
        command.env("TELEGRAM_BOT_TOKEN", TOKEN).env("TELEGRAM_API_URL", &emulator.url);
        crate::common::run(&mut command)
    };
    test().ok().shows(&["sent: 1 receiver has the example"]);
    running.stop();
    let texts = emulator.wait(42, 4);
    assert!(texts[3].contains("🧪") && texts.len() == 4, "{texts:?}");
    // Nor does it need the suite to run.
    test().ok();
    assert_eq!(emulator.wait(42, 5).len(), 5);
}

#[test]
fn a_test_says_what_is_missing() {
    let place = Place::new();
    place.run("notify-test").fails(2, &["alerts are off: set TELEGRAM_BOT_TOKEN", "WEBHOOK_URLS"]);
    assert!(!place.path("data/db").exists());
    let words = ["nobody has subscribed yet in data/db/subscribers.db", "/start"];
    place.run("notify-test --telegram-bot-token 1:a").fails(2, &words);
    place
        .run("notify-test --wait 2s --webhook-urls http://127.0.0.1:9/x")
        .fails(2, &["1 of 1 did not get it within 2s", "LOG_LEVEL"]);
    place.run("notify-test --help").ok().shows(&["--webhook-urls", "[env: DB_PATH=]"]);
}

#[test]
fn a_running_analysis_does_not_keep_it() {
    let place = Place::new();
    let arguments = ["live", "--log-dir", "."];
    let mut running = Running::start(&arguments, &place.path(""), &place.path("links.db"));
    // New words on every line, so that the model has much to do.
    let words = |number: u64| {
        let letters = |number: u64| char::from(b'a' + (number % 26) as u8);
        let word = [number, number / 26, number / 676].map(letters);
        let word: String = word.iter().collect();
        format!("2025-10-06T07:00:00 ERROR db: {word}quark of the {word}flux is {word}down\n")
    };
    let log = place.write("upload/large.log", (0..17_000).map(words).collect::<String>());
    let mut client = curl(&format!("{}/analyze-logs/", running.api));
    client.args(["-F", &format!("log_files=@{}", log.display())]);
    let mut client = client.stdout(Stdio::null()).spawn().unwrap();
    thread::sleep(Duration::from_secs(1));
    assert!(client.try_wait().unwrap().is_none(), "the analysis is at work");
    running.stop();
    let _ = client.wait();
}

#[test]
fn a_replay_without_end_ends_well_when_it_is_asked_to() {
    let place = Place::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_foreshock"));
    command
        .args(["live", "--log-dir", ".", "--http-port", "0", "--frontend-port", "0"])
        .args(["--loops", "0"])
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
