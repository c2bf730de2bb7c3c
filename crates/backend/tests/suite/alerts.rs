//! Subscribers and webhooks are told of links: by the real backend, over a real Kafka.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use testing::made_up::Random;
use testing::telegram::{Emulator, Fault, Server, TOKEN, until};
use testing::webhook::{Hook, SECRET};

use crate::common::{PATIENCE, Process, Suite, data, incident};

const ALL: &str = "match,link,alert,api";

/// A suite with the labelled incident if it is at hand, else with the example data; its links.
fn with_links() -> (Suite, BTreeSet<String>) {
    let mut suite = Suite::new();
    let suite = match incident(suite.folder.path()) {
        Some((logs, dictionary)) => {
            suite.dictionary = dictionary;
            suite.with_logs(logs)
        }
        None => suite.with_logs(data().join("logs")),
    };
    let expected = suite.expected();
    (suite, expected)
}

/// What the API says of alerts.
fn alerts(body: &str) -> Value {
    serde_json::from_str::<Value>(body).map(|status| status["alerts"].clone()).unwrap_or_default()
}

/// Waits until it says so.
fn wait_for_alerts(backend: &Process, enough: impl Fn(&Value) -> bool) -> Value {
    alerts(&backend.wait_for("/status", |_, body| enough(&alerts(body))))
}

/// Nothing that a backend says holds a secret; the name of a setting is none.
fn expect_no_secret(backend: &Process) {
    let mut all = backend.log();
    for path in ["/metrics", "/status", "/health", "/openapi.json"] {
        all += &backend.get(path).unwrap().1;
    }
    let all = all.replace("WEBHOOK_SECRET", "");
    assert!(all.contains("foreshock_alerts_sent_total"), "it was sent at all");
    let around = |at: usize| all.get(at.saturating_sub(200)..at + 50).unwrap_or("…").to_owned();
    assert_eq!(all.find("SECRET").map(around), None);
}

#[test]
fn the_incident_reaches_who_subscribed_before_a_restart_and_nobody_who_left() {
    let Some(emulator) = Emulator::start() else { return };
    let (suite, expected) = with_links();
    let start = || {
        let backend = suite.backend_with(
            ALL,
            &[
                ("TELEGRAM_BOT_TOKEN", TOKEN),
                ("TELEGRAM_API_URL", &emulator.url),
                ("LINKS_DB", "db/links.db"),
                // As chatty as it can be, of what talks to Telegram.
                ("LOG_LEVEL", "info,notify=trace,reqwest=trace,hyper_util=trace"),
            ],
        );
        backend.wait_until_ready();
        backend
    };
    let backend = start();
    emulator.says(42, "/start");
    let texts = emulator.wait(42, 1);
    assert!(texts[0].starts_with("Вы подписаны"), "{texts:?}");
    assert!(backend.stop(), "it ends well");

    let backend = start();
    let told = wait_for_alerts(&backend, |alerts| alerts["bot"] == "running");
    assert_eq!((&told["on"], &told["subscribers"]), (&true.into(), &1.into()), "still subscribed");
    assert!(suite.replay(&[]).wait());
    suite.expect_links_of_batch();
    let told = wait_for_alerts(&backend, |alerts| alerts["sent"] == expected.len());
    assert_eq!((&told["waiting"], &told["failed"]), (&0.into(), &0.into()));
    let texts = emulator.texts(42);
    let text = texts[1..].concat();
    assert_eq!(text.matches("⚠️").count(), expected.len(), "{texts:?}");
    let mut links = suite.reader("links");
    links.wait_for("the links", |seen| seen.len() == expected.len());
    for link in &links.seen {
        for side in ["problem", "anomaly"] {
            let event = &link[side]["event"];
            let place = format!("{}:{}", event["file"].as_str().unwrap(), event["line"]);
            assert!(text.contains(&place), "{place}: {texts:?}");
        }
    }
    let health = backend.get("/health").unwrap().1;
    assert!(health.contains(r#""name":"alerts","need":"optional","ok":true"#), "{health}");
    expect_no_secret(&backend);

    emulator.says(42, "/status");
    let texts = emulator.wait(42, texts.len() + 1);
    let status = texts.last().unwrap();
    assert!(status.contains("match, link, alert, api; all-MiniLM-L6-v2"), "{status}");
    emulator.says(42, "/stop");
    let texts = emulator.wait(42, texts.len() + 1);
    assert!(texts.last().unwrap().starts_with("Вы отписаны"), "{texts:?}");
    drop(backend);
    let backend = start();
    wait_for_alerts(&backend, |alerts| alerts["bot"] == "running" && alerts["subscribers"] == 0);
    suite.send_links([7]);
    backend.wait_for("/links", |_, body| body.contains("#000007"));
    assert_eq!(emulator.texts(42).len(), texts.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_get_the_links_of_the_stream_and_of_uploads_signed_and_once() {
    let (suite, expected) = tokio::task::spawn_blocking(with_links).await.unwrap();
    let hook = Hook::start(&[500, 0]).await;
    let settings = [("WEBHOOK_URLS", &*hook.url), ("WEBHOOK_SECRET", SECRET)];
    let backend = suite.backend_with(ALL, &settings);
    backend.wait_until_ready();
    assert!(suite.replay(&[]).wait());
    until("the links are there", || hook.accepted() >= expected.len()).await;

    let log = suite.folder.path().join("upload.log");
    let row = parse::dictionary::read(&suite.dictionary).unwrap().rows()[0].clone();
    let text = format!(
        "2026-03-09T10:00:00 WARNING db: {}\n2026-03-09T10:01:00 ERROR db: {}\n",
        row.anomaly, row.problem
    );
    fs::write(&log, text).unwrap();
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "-F"])
        .arg(format!("log_files=@{}", log.display()))
        .arg(format!("http://127.0.0.1:{}/analyze-logs/?format=json", backend.port))
        .output()
        .expect("curl runs");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let uploaded = answer["links"][0]["id"].as_str().unwrap().to_owned();
    until("that of the upload too", || hook.accepted() > expected.len()).await;

    // What is told again is not told again.
    assert!(suite.replay(&[]).wait());
    let output = Command::new(env!("CARGO_BIN_EXE_backend"))
        .arg("notify-test")
        .current_dir(suite.folder.path())
        .envs(settings)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("sent: 1 receiver has the example"), "{said}{errors}");
    expect_no_secret(&backend);
    assert_eq!(backend.log().matches("the Telegram bot is off").count(), 1);
    assert!(backend.stop(), "it ends well");

    let world = hook.world();
    assert_eq!(world.unsigned, 0);
    let accepted = world.answers.iter().filter(|answer| answer.1 == 200);
    let accepted: Vec<String> = accepted.map(|answer| answer.0.clone()).collect();
    assert_eq!(accepted.len(), expected.len() + 2, "each once");
    let stream: BTreeSet<String> = accepted[..expected.len()].iter().cloned().collect();
    assert_eq!(stream, expected);
    assert_eq!(accepted[expected.len()], uploaded);
    assert_eq!(world.bodies.last().unwrap()["link"]["test"], true);
    assert_eq!(world.answers.len(), accepted.len() + 2, "again only when it was not accepted");
}

#[test]
fn without_a_token_the_suite_runs_says_so_once_and_keeps_nothing() {
    let suite = Suite::new();
    fs::write(
        suite.logs().join("a.log"),
        "2026-03-01T10:00:00 WARNING db: Replica apply queue growing\n\
         2026-03-01T10:10:00 ERROR db: Replica fell out of step with primary\n",
    )
    .unwrap();
    let backend = suite.backend_with(ALL, &[("TELEGRAM_BOT_TOKEN", ""), ("WEBHOOK_URLS", "")]);
    backend.wait_until_ready();
    assert!(suite.replay(&[]).wait());
    let end = Instant::now() + PATIENCE;
    while !backend.log().contains("link: ERROR") {
        assert!(Instant::now() < end, "{}", backend.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(backend.log().matches("alerts are off").count(), 1, "{}", backend.log());
    let told = alerts(&backend.get("/status").unwrap().1);
    assert_eq!(
        (&told["on"], &told["bot"], &told["waiting"]),
        (&false.into(), &"off".into(), &0.into())
    );
    assert!(!suite.folder.path().join("data").exists(), "there is no outbox");
    let health = backend.get("/health").unwrap().1;
    assert!(!health.contains("alerts"), "{health}");

    let mut test = Command::new(env!("CARGO_BIN_EXE_backend"));
    let output = test.arg("notify-test").current_dir(suite.folder.path()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("alerts are off: set TELEGRAM_BOT_TOKEN"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_refused_stops_the_bot_with_a_reason_and_nothing_else() {
    let server = Server::start(1, |_, _, _| Fault::Works).await;
    let suite = Suite::new();
    let settings = [("TELEGRAM_BOT_TOKEN", "1:SECRETwrong"), ("TELEGRAM_API_URL", &server.url)];
    let backend = suite.backend_with("alert,api", &settings);
    let told = wait_for_alerts(&backend, |alerts| alerts["bot"] == "refused");
    assert!(told["reason"].as_str().unwrap().contains("Not Found"), "{told}");
    let health = backend.wait_for("/health", |_, body| {
        body.contains("Telegram does not accept TELEGRAM_BOT_TOKEN")
    });
    suite.send_links([0]);
    backend.wait_for("/links", |_, body| body.contains("#000000"));
    assert_eq!(backend.log().matches("the Telegram bot stops").count(), 1, "{}", backend.log());
    assert!(!format!("{health}{}", backend.log()).contains("SECRETwrong"));
    assert!(backend.stop(), "it ends well");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_backends_one_polls_each_link_is_told_once_and_the_other_takes_over() {
    let server = Server::start(1, |_, _, _| Fault::Works).await;
    let suite = Suite::new();
    let settings = [("TELEGRAM_BOT_TOKEN", TOKEN), ("TELEGRAM_API_URL", &*server.url)];
    let first = suite.backend_with("alert,api", &settings);
    wait_for_alerts(&first, |alerts| alerts["bot"] == "running");
    let second = suite.backend_with("alert,api", &settings);
    second.wait_until_ready();
    server.subscribe([5]).await;
    wait_for_alerts(&second, |alerts| alerts["bot"] == "standby" && alerts["subscribers"] == 1);
    // Partitions are shared, so both take links to the outbox; problems may swap places.
    let told = |count: usize| {
        let mut numbers = server.all_numbers(5);
        numbers.sort_unstable();
        numbers == (0..count).collect::<Vec<_>>()
    };
    suite.send_links(0..12);
    until("it has arrived", || server.all_numbers(5).len() >= 12).await;
    assert!(told(12), "{:?}", server.all_numbers(5));
    // The message in flight would come again.
    wait_for_alerts(&first, |alerts| alerts["waiting"] == 0);
    first.kill();
    suite.send_links(12..18);
    until("it has arrived", || server.all_numbers(5).len() >= 18).await;
    assert!(told(18), "{:?}", server.all_numbers(5));
    wait_for_alerts(&second, |alerts| alerts["bot"] == "running");
    assert_eq!(server.world().violations, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_survives_twenty_crashes_of_the_backend_in_a_bad_network() {
    const CHATS: i64 = 50;
    const LINKS: usize = 1_000;
    const CRASHES: usize = 20;
    let server = Server::start(1, |_, _, call| match call % 11 {
        2 => Fault::ServerError,
        4 => Fault::Reset,
        6 => Fault::TooMany(1),
        8 => Fault::Truncated,
        _ => Fault::Works,
    })
    .await;
    let suite = Suite::new();
    let start = || {
        suite.backend_with(
            "alert",
            &[
                ("TELEGRAM_BOT_TOKEN", TOKEN),
                ("TELEGRAM_API_URL", &server.url),
                ("PARTITIONS", "1"),
            ],
        )
    };
    let mut backend = start();
    server.subscribe(1..=CHATS).await;
    let mut chance = Random(12);
    let complete = || (1..=CHATS).all(|chat| server.all_numbers(chat).len() >= LINKS);
    for crash in 0..CRASHES {
        if crash % 4 == 0 {
            let part = LINKS * 4 / CRASHES;
            suite.send_links(crash / 4 * part..(crash / 4 + 1) * part);
        }
        if crash == CRASHES - 1 {
            until("the first file is sent", || server.files() > 0).await;
        } else {
            // At any point, from the middle of taking links over to the middle of sending.
            let calls = server.world().calls.len() + chance.below(20) as usize;
            until("it works", || server.world().calls.len() >= calls || server.files() > 0).await;
            tokio::time::sleep(Duration::from_millis(chance.below(200))).await;
        }
        server.world().kills.push(Instant::now());
        backend.kill();
        backend = start();
    }
    until("every chat has every link", complete).await;
    backend.wait_for("/metrics", |_, text| {
        text.contains("foreshock_alerts_waiting")
            && crate::common::metric(text, "foreshock_alerts_waiting", "") == 0.0
    });
    for chat in 1..=CHATS {
        let repeats = server.repeats(chat, LINKS);
        assert!(repeats <= CRASHES, "chat {chat}: {repeats} repeats");
    }
    assert_eq!(server.world().violations, [""; 0]);
}
