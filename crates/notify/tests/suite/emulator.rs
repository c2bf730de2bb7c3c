//! Against `telegram-test-api`, an emulator of the Bot API that no one here wrote.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Running, TOKEN, settings, until};

/// The emulator, until it is dropped.
struct Emulator {
    child: Child,
    url: String,
    client: reqwest::Client,
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Installs the emulator once, outside the sources; none without npm.
fn install() -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/telegram-test-api");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("telegram-test-api");
    fs::create_dir_all(&folder).unwrap();
    for file in ["package.json", "package-lock.json", "serve.js"] {
        fs::copy(source.join(file), folder.join(file)).unwrap();
    }
    if !folder.join("node_modules/telegram-test-api").exists() {
        let npm = Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"])
            .current_dir(&folder)
            .output();
        match npm {
            Ok(output) if output.status.success() => {}
            Ok(output) => {
                println!("skipped: npm: {}", String::from_utf8_lossy(&output.stderr));
                return None;
            }
            Err(error) => {
                println!("skipped: npm is not here: {error}");
                return None;
            }
        }
    }
    Some(folder)
}

impl Emulator {
    fn start() -> Option<Emulator> {
        let folder = install()?;
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut child = Command::new("node")
            .arg("serve.js")
            .arg(port.to_string())
            .current_dir(folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "ready");
        let url = format!("http://127.0.0.1:{port}");
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Some(Emulator { child, url, client })
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let url = format!("{}/{path}", self.url);
        self.client.post(url).json(&body).send().await.unwrap().json().await.unwrap()
    }

    async fn says(&self, chat: i64, text: &str) {
        let person = json!({
            "id": chat, "first_name": "Anna", "username": "anna", "is_bot": false,
            "language_code": "ru",
        });
        let body = json!({
            "botToken": TOKEN, "date": 1, "from": person, "text": text,
            "chat": { "id": chat, "first_name": "Anna", "username": "anna", "type": "private" },
            "entities": [{ "offset": 0, "length": text.len(), "type": "bot_command" }],
        });
        assert_eq!(self.post("sendCommand", body).await["ok"], true);
    }

    /// What the bot has sent to a chat so far.
    async fn texts(&self, chat: i64) -> Vec<String> {
        let history = self.post("getUpdatesHistory", json!({ "token": TOKEN })).await;
        let sent = history["result"].as_array().unwrap().iter().map(|update| &update["message"]);
        sent.filter(|message| message["chat_id"] == chat)
            .map(|message| message["text"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Waits until a chat has so many messages.
    async fn wait(&self, chat: i64, count: usize) -> Vec<String> {
        for _ in 0..1_200 {
            let texts = self.texts(chat).await;
            if texts.len() >= count {
                return texts;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("only {:?}", self.texts(chat).await);
    }
}

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
    emulator.says(42, "/start").await;
    let texts = emulator.wait(42, 1).await;
    assert!(texts[0].starts_with("Вы подписаны"), "{texts:?}");
    running.stop().await;

    let running = start();
    assert_eq!(running.notifier.summary().unwrap().totals.chats, 1, "still subscribed");
    let links = incident();
    for link in &links {
        running.notifier.enqueue(link.to_string().as_bytes()).unwrap();
    }
    let texts = emulator.wait(42, 2).await;
    let raw = |link: &Value| link["anomaly"]["event"]["message"].as_str().unwrap().to_owned();
    assert!(texts[1].contains("🔴") && texts[1].contains("db_server_log.txt:107"), "{}", texts[1]);
    assert!(links.iter().all(|link| texts[1].contains(&raw(link))), "{}", texts[1]);
    running.stop().await;

    let running = start();
    emulator.says(42, "/status").await;
    let texts = emulator.wait(42, 3).await;
    assert!(texts[2].contains("доставлено: 4"), "{}", texts[2]);
    emulator.says(42, "/stop").await;
    let texts = emulator.wait(42, 4).await;
    assert!(texts[3].starts_with("Вы отписаны"), "{texts:?}");
    running.tell([77]);
    until("nobody is told", || running.notifier.summary().unwrap().totals.chats == 0).await;
    running.stop().await;
    assert_eq!(emulator.texts(42).await.len(), 4);
}
