//! The backend as a service: settings, health, metrics.

use std::process::Command;

use crate::common::{Suite, free_port};

fn backend(arguments: &[&str], settings: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_backend"));
    command.args(arguments).envs(settings.iter().copied()).current_dir(folder.path());
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_bad_setting_is_refused_with_its_name() {
    for (name, value, expected) in [
        ("ROLES", "match,cook", "invalid value 'cook' for '--roles"),
        ("HTTP_PORT", "99999", "invalid value '99999' for '--http-port"),
        ("FORESHOCK_MODEL_PROFILE", "gpt", "must be one of: all-MiniLM-L6-v2, codebert"),
        ("WINDOW", "soon", "give a time such as 24h"),
        ("GRACE", "-1h", "must not be negative"),
        ("LOG_TZ", "Mars/Olympus", "give a zone such as Europe/Moscow"),
        ("PARTITIONS", "0", "0 is not in 1..=1000"),
        ("REFERENCE_THRESHOLD", "2", "give a number from -1 to 1"),
        ("ANOMALIES_CSV_PATH", "/nowhere/pairs.csv", "/nowhere/pairs.csv"),
        ("TRITON_URL", "a b", "is no address"),
        ("LOG_LEVEL", "loud,,=", "LOG_LEVEL"),
        ("API_TOKEN", "two words", "visible ASCII"),
        ("CORS_ORIGINS", "*", "the origin of a page"),
        ("UPLOAD_BYTES", "4G", "invalid digit"),
        ("UPLOAD_FILES", "0", "0 is not in 1..=1000000"),
        ("UNPACKED_RATIO", "0", "0 is not in 1.."),
        ("ANALYSES", "0", "0 is not in 1..=1000"),
        ("JOBS_KEPT", "many", "invalid digit"),
        ("JOB_TTL", "-1h", "must not be negative"),
        ("LINKS_KEPT", "0", "0 is not in 1.."),
        ("TELEGRAM_BOT_TOKEN", "two words", "TELEGRAM_BOT_TOKEN: not a token"),
        ("WEBHOOK_URLS", "ftp://a", "WEBHOOK_URLS: number 1 is no http://"),
        ("ALERT_REPEAT", "0s", "ALERT_REPEAT: must be a minute at least"),
        ("ALERT_KEEP", "soon", "give a time such as"),
        ("ALERT_STORM", "many", "invalid digit"),
    ] {
        let dictionary = crate::common::data().join("anomalies_problems.csv");
        let dictionary = ("ANOMALIES_CSV_PATH", dictionary.to_str().unwrap());
        let (code, _, errors) = backend(&[], &[dictionary, (name, value)]);
        assert!(matches!(code, Some(1 | 2)), "{name}={value}: {code:?} {errors}");
        assert!(errors.contains(expected), "{name}={value}: {errors}");
    }
}

#[test]
fn help_lists_every_setting_with_its_variable() {
    let (code, help, _) = backend(&["--help"], &[]);
    assert_eq!(code, Some(0));
    for variable in [
        "ROLES",
        "HTTP_PORT",
        "KAFKA_BOOTSTRAP",
        "TOPIC_PREFIX",
        "SUITE",
        "PARTITIONS",
        "REDIS_HOST",
        "REDIS_PORT",
        "TRITON_URL",
        "TRITON_MODEL",
        "FORESHOCK_MODEL_PROFILE",
        "WINDOW",
        "GRACE",
        "MAX_AHEAD",
        "LOG_TZ",
        "ANOMALIES_CSV_PATH",
        "REFERENCE_THRESHOLD",
        "PAIR_THRESHOLD",
        "LOG_LEVEL",
        "LOG_FORMAT",
        "API_TOKEN",
        "CORS_ORIGINS",
        "UPLOAD_BYTES",
        "UPLOAD_FILES",
        "UNPACKED_BYTES",
        "UNPACKED_RATIO",
        "ANALYSES",
        "JOBS_KEPT",
        "JOB_TTL",
        "JOBS_BYTES",
        "LINKS_DB",
        "LINKS_KEPT",
        "DB_PATH",
        "TELEGRAM_BOT_TOKEN",
        "TELEGRAM_API_URL",
        "TELEGRAM_INVITE_CODE",
        "ALERT_REPEAT",
        "ALERT_KEEP",
        "ALERT_STORM",
        "WEBHOOK_URLS",
        "WEBHOOK_SECRET",
    ] {
        let named = [format!("[env: {variable}="), format!("[env: {variable}]")];
        assert!(named.iter().any(|it| help.contains(it)), "{variable}");
    }
}

#[test]
fn health_tells_the_truth_about_a_model_of_other_dimensions() {
    let mut suite = Suite::new();
    suite.name = testing::unique("wrong");
    let port = free_port();
    let log = suite.folder.path().join("log");
    let mut command = Command::new(env!("CARGO_BIN_EXE_backend"));
    command
        .env("KAFKA_BOOTSTRAP", &suite.kafka)
        .env("SUITE", &suite.name)
        .env("ANOMALIES_CSV_PATH", &suite.dictionary)
        .env("TRITON_URL", &suite.triton)
        .env("REDIS_HOST", "")
        .env("HTTP_PORT", port.to_string())
        .env("FORESHOCK_MODEL_PROFILE", "codebert")
        .current_dir(suite.folder.path())
        .stderr(std::fs::File::create(&log).unwrap());
    let status = command.status().unwrap();
    let log = std::fs::read_to_string(log).unwrap();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("has 384 dimensions, the profile codebert expects 768"), "{log}");
}

#[test]
fn the_healthcheck_command_asks_the_service() {
    let suite = Suite::new();
    let port = free_port().to_string();
    let (code, _, errors) = backend(&["healthcheck", "--http-port", &port], &[]);
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains("not ready: port"), "{errors}");
    let backend_process = suite.backend("match,link");
    backend_process.wait_until_ready();
    let port = backend_process.port.to_string();
    let (code, _, errors) = backend(&["healthcheck", "--http-port", &port], &[]);
    assert_eq!(code, Some(0), "{errors}");
}

#[test]
fn metrics_are_there_by_name() {
    let suite = Suite::new();
    std::fs::write(
        suite.logs().join("a.log"),
        "2026-03-01T10:00:00 WARNING db: apply queue of the replica keeps growing\n\
         2026-03-01T10:10:00 ERROR db: Replica fell out of step with primary\n\
         2026-03-01T10:10:01 INFO db: fine\n",
    )
    .unwrap();
    let backend = suite.backend("match,link");
    backend.wait_until_ready();
    assert!(suite.replay(&[]).wait());
    suite.reader("links").wait_for("the link", |seen| !seen.is_empty());
    let (_, metrics) = backend.get("/metrics").unwrap();
    for name in [
        "foreshock_events_read_total",
        "foreshock_events_skipped_total",
        "foreshock_events_matched_total",
        "foreshock_links_total",
        "foreshock_events_late_total",
        "foreshock_dead_letters_total",
        "foreshock_cache_hits_total",
        "foreshock_cache_misses_total",
        "foreshock_model_seconds",
        "foreshock_link_latency_seconds",
        "foreshock_behind_seconds",
        "process_resident_memory_bytes",
    ] {
        assert!(metrics.contains(name), "{name} in\n{metrics}");
    }
    backend.wait_for("/metrics", |_, text| {
        text.contains("foreshock_window_events") && text.contains("foreshock_consumer_lag")
    });
    let (status, health) = backend.get("/health").unwrap();
    assert_eq!(status, 200);
    assert!(health.contains(r#""name":"kafka","need":"required","ok":true"#), "{health}");
}

#[test]
fn logs_can_be_uploaded_and_their_links_are_sent_back() {
    let suite = Suite::new();
    let backend = suite.backend("api");
    backend.wait_until_ready();
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--fail"]);
    for log in std::fs::read_dir(crate::common::data().join("logs")).unwrap() {
        command.arg("-F").arg(format!("log_files=@{}", log.unwrap().path().display()));
    }
    command.arg(format!("http://127.0.0.1:{}/analyze-logs/", backend.port));
    let output = command.output().expect("curl runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let csv = output.stdout.strip_prefix(b"\xef\xbb\xbf").expect("a byte order mark");
    let expected = crate::common::data().join("expected_links.csv");
    let expected = csv::Reader::from_path(expected).unwrap().into_records().count();
    assert_eq!(csv::Reader::from_reader(csv).into_records().count(), expected);
}

#[test]
fn an_upload_while_the_model_is_away_is_answered_so() {
    let mut suite = Suite::new();
    suite.triton = format!("127.0.0.1:{}", free_port());
    let backend = suite.backend("api");
    let health = backend.wait_for("/health", |status, _| status == 200);
    assert!(health.contains(r#""name":"triton","need":"required","ok":false"#), "{health}");
    let log = crate::common::data().join("logs/db_server_log.txt");
    let output = Command::new("curl")
        .args(["--silent", "--write-out", "%{http_code}", "-F"])
        .arg(format!("log_files=@{}", log.display()))
        .arg(format!("http://127.0.0.1:{}/analyze-logs/", backend.port))
        .output()
        .expect("curl runs");
    let answer = String::from_utf8(output.stdout).unwrap();
    assert!(answer.ends_with("503"), "{answer}");
    assert!(answer.contains("the model is not ready: Triton at 127.0.0.1"), "{answer}");
}
