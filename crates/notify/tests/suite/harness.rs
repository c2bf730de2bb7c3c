//! What the tests share: links, a notifier that runs, waiting, and a log of everything.

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use notify::{Notifier, Pace, Settings, TelegramSettings};
use testing::telegram::{TOKEN, link};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

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
