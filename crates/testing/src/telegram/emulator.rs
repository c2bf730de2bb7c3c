//! `telegram-test-api` from npm, an emulator of the Bot API that no one here wrote.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{DEADLINE, TOKEN};
use crate::{connect, process};

/// The emulator, until it is dropped.
pub struct Emulator {
    child: Child,
    port: u16,
    /// Where the Bot API is.
    pub url: String,
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Installs the emulator once, outside the sources; none without npm, which is told.
fn install() -> Option<PathBuf> {
    let source = process::workspace().join("crates/testing/telegram-test-api");
    // target/release/deps/suite-0123 → target/tmp
    let binary = std::env::current_exe().expect("the path of this test");
    let target = binary.ancestors().nth(3).expect("the folder of what was built");
    let folder = target.join("tmp/telegram-test-api");
    fs::create_dir_all(&folder).expect("a folder for the emulator");
    // Others may be installing it.
    let lock = File::create(folder.join("lock")).expect("a file in the folder of the emulator");
    lock.lock().expect("a lock");
    for file in ["package.json", "package-lock.json", "serve.js"] {
        fs::copy(source.join(file), folder.join(file)).expect("the files of the emulator");
    }
    if folder.join("node_modules/telegram-test-api").exists() {
        return Some(folder);
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(&folder);
    let missing = match npm.output() {
        Ok(output) if output.status.success() => return Some(folder),
        Ok(output) => format!("npm: {}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => format!("npm is not here: {error}"),
    };
    // Past the macros, whose words the runner keeps back when a test passes.
    let _ = writeln!(io::stderr(), "skipped: {missing}");
    None
}

impl Emulator {
    /// Starts one; none, which is told, where it cannot be installed.
    pub fn start() -> Option<Emulator> {
        let folder = install()?;
        let port = process::free_port();
        let mut node = Command::new("node");
        node.arg("serve.js").arg(port.to_string()).current_dir(folder).stdout(Stdio::piped());
        let mut child = node.spawn().expect("node runs");
        let mut line = String::new();
        let out = child.stdout.take().expect("its output");
        BufReader::new(out).read_line(&mut line).expect("a line of it");
        assert_eq!(line.trim(), "ready");
        Some(Emulator { child, port, url: format!("http://127.0.0.1:{port}") })
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let answer = || -> io::Result<String> {
            let mut stream = connect(self.port)?;
            let body = body.to_string();
            // 1.0: the answer ends with the connection.
            write!(
                stream,
                "POST /{path} HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            )?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        let answer = answer().expect("the emulator answers");
        let (_, body) = answer.split_once("\r\n\r\n").expect("an answer in HTTP");
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }

    /// Anna, who speaks Russian, says something in her chat with this number.
    pub fn says(&self, chat: i64, text: &str) {
        let person = json!({
            "id": chat, "first_name": "Anna", "username": "anna", "is_bot": false,
            "language_code": "ru",
        });
        let body = json!({
            "botToken": TOKEN, "date": 1, "from": person, "text": text,
            "chat": { "id": chat, "first_name": "Anna", "username": "anna", "type": "private" },
            "entities": [{ "offset": 0, "length": text.len(), "type": "bot_command" }],
        });
        assert_eq!(self.post("sendCommand", &body)["ok"], true);
    }

    /// What the bot has sent to a chat so far.
    pub fn texts(&self, chat: i64) -> Vec<String> {
        let history = self.post("getUpdatesHistory", &json!({ "token": TOKEN }));
        let sent = history["result"].as_array().expect("a list").iter();
        let sent = sent.map(|update| &update["message"]);
        sent.filter(|message| message["chat_id"] == chat)
            .map(|message| message["text"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// Waits until a chat has so many messages.
    pub fn wait(&self, chat: i64, count: usize) -> Vec<String> {
        let began = Instant::now();
        loop {
            let texts = self.texts(chat);
            if texts.len() >= count {
                return texts;
            }
            assert!(began.elapsed() < DEADLINE, "only {texts:?}");
            sleep(Duration::from_millis(50));
        }
    }
}
