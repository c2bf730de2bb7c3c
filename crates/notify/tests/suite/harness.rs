//! What the tests share: links, a notifier that runs, waiting, and a log of everything.

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use notify::{Notifier, Pace, Settings, TelegramSettings};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The token of every bot here; it must be seen nowhere.
pub const TOKEN: &str = "123456:SECRETtokenSECRET";

/// When something that must happen has not, it will not. Machines differ, so this is long.
const DEADLINE: Duration = Duration::from_secs(240);

/// Everything that was logged.
pub static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct ToLog;

impl Write for ToLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Logs everything, as chatty as it can be, of libraries too.
pub fn log_everything() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
            .with_ansi(false)
            .with_writer(|| ToLog)
            .init();
    });
}

/// A link with a number, which its warning shows; three links share a problem.
pub fn link(number: usize) -> Value {
    let event = |level: &str, component: &str, message: String, file: &str, line: usize| {
        let stamp = "2025-10-06T07:42:23";
        json!({
            "timestamp": stamp, "time": format!("{stamp}Z"), "level": level, "component": component,
            "message": message, "file": file, "line": line,
            "raw": format!("{stamp} {level} {component}: {message}"),
        })
    };
    let problem = number / 3;
    json!({
        "id": format!("{number:032x}"), "lag_seconds": 2_820.0, "cosine": 0.91, "dictionary_row": 2,
        "anomaly": {
            "id": 4, "text": "Log volume is nearly full", "exact": false, "score": 0.9,
            "runner_up": null,
            "event": event("WARNING", "storage", format!("volume #{number:06} full"), "a.log", number),
        },
        "problem": {
            "id": problem, "text": format!("Problem {}", problem % 7), "exact": true, "score": 1.0,
            "runner_up": null,
            "event": event("ERROR", "database", format!("Problem {problem}"), "b.log", problem),
        },
        "judge": { "model": "m", "window_seconds": 86400.0 },
    })
}

/// Settings whose limits and pauses are so many times shorter.
pub fn settings(folder: &Path, api_url: Option<&str>, faster: u32) -> Settings {
    let mut settings = Settings::new(folder.join("db/subscribers.db"));
    settings.telegram = api_url.map(|url| TelegramSettings::new(TOKEN).unwrap().at(url).unwrap());
    let patience = Duration::from_secs(10);
    settings.pace =
        Pace { patience, poll: Duration::from_secs(1), ..Pace::default() }.faster(faster);
    settings
}

/// A notifier that runs.
pub struct Running {
    pub notifier: Arc<Notifier>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    pub fn start(settings: Settings) -> Running {
        log_everything();
        let notifier = Arc::new(Notifier::open(settings).unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let runs = Arc::clone(&notifier);
        let task = tokio::spawn(async move {
            runs.run(async {
                let _ = stopped.await;
            })
            .await;
        });
        Running { notifier, stop, task }
    }

    /// Puts links with these numbers into the outbox.
    pub fn tell(&self, numbers: impl IntoIterator<Item = usize>) {
        for number in numbers {
            self.notifier.enqueue(link(number).to_string().as_bytes()).unwrap();
        }
    }

    pub async fn stop(self) {
        let _ = self.stop.send(());
        self.task.await.unwrap();
    }
}

/// Waits until something is so.
pub async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !so() {
        assert!(began.elapsed() < DEADLINE, "still not: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
