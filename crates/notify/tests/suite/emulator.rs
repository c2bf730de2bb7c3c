//! Against `telegram-test-api`, an emulator of the Bot API that no one here wrote.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use testing::telegram::{Emulator, until};

use crate::harness::{Running, settings};

/// The links of the labelled incident, from the project's own logs.
fn incident() -> Vec<Value> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data");
    let mut rows = csv::Reader::from_path(data.join("expected_links.csv")).unwrap();
    let event = |file: &str, line: &str| {
        // One of them is cp1251.
        let text = fs::read(data.join("logs").join(file)).unwrap();
        let text = String::from_utf8_lossy(&text);
        let line: usize = line.parse().unwrap();
        let raw = text.lines().nth(line - 1).unwrap().to_owned();
        let (timestamp, rest) = raw.split_once(' ').unwrap();
        let (level, rest) = rest.split_once(' ').unwrap();
        let (component, message) = rest.split_once(": ").unwrap();
        json!({
            "timestamp": timestamp, "time": format!("{timestamp}Z"), "level": level,
            "component": component, "message": message, "file": file, "line": line, "raw": raw,
        })
    };
    let link = |(number, row): (usize, csv::StringRecord)| {
        let side = |id: &str, event: Value| {
            let id: u64 = id.parse().unwrap();
            json!({ "id": id, "text": event["message"], "exact": true, "score": 1.0,
                "runner_up": null, "event": event })
        };
        json!({
            "id": format!("{number:032x}"), "lag_seconds": 60.0, "cosine": null,
            "dictionary_row": number,
            "anomaly": side(&row[1], event(&row[3], &row[4])),
            "problem": side(&row[2], event(&row[5], &row[6])),
        })
    };
    rows.records().map(Result::unwrap).take(4).enumerate().map(link).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_subscribes_is_told_of_the_incident_and_leaves_with_restarts_between() {
    let Some(emulator) = Emulator::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let start = || Running::start(settings(folder.path(), Some(&emulator.url), 20));
    let running = start();
    emulator.says(42, "/start");
    let texts = emulator.wait(42, 1);
    assert!(texts[0].starts_with("Вы подписаны"), "{texts:?}");
    running.stop().await;

    let running = start();
    assert_eq!(running.notifier.summary().unwrap().totals.chats, 1, "still subscribed");
    let links = incident();
    for link in &links {
        running.notifier.enqueue(link.to_string().as_bytes()).unwrap();
    }
    let texts = emulator.wait(42, 2);
    let raw = |link: &Value| link["anomaly"]["event"]["message"].as_str().unwrap().to_owned();
    assert!(texts[1].contains("🔴") && texts[1].contains("db_server_log.txt:107"), "{}", texts[1]);
    assert!(links.iter().all(|link| texts[1].contains(&raw(link))), "{}", texts[1]);
    running.stop().await;

    let running = start();
    emulator.says(42, "/status");
    let texts = emulator.wait(42, 3);
    assert!(texts[2].contains("доставлено: 4"), "{}", texts[2]);
    emulator.says(42, "/stop");
    let texts = emulator.wait(42, 4);
    assert!(texts[3].starts_with("Вы отписаны"), "{texts:?}");
    running.tell([77]);
    until("nobody is told", || running.notifier.summary().unwrap().totals.chats == 0).await;
    running.stop().await;
    assert_eq!(emulator.texts(42).len(), 4);
}
