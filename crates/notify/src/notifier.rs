//! The notifier as the binaries see it.
//!
//! Input: settings, links, the wish to stop. Output: people who know. See the crate's documentation for
//! what holds.

use std::future::Future;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use reqwest::Client;
use serde::Serialize;
use thiserror::Error;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::args;
use crate::limits::millis;
use crate::lock::Lock;
use crate::poller::Poller;
use crate::record::{Record, example};
use crate::sender::Sender;
use crate::settings::Settings;
use crate::store::{Millis, Store, Totals};
use crate::telegram::{self, Telegram};
use crate::webhook::Webhooks;

/// How long is waited after the database failed.
const DATABASE_PAUSE: Duration = Duration::from_secs(5);

/// Why something could not be done. Never contains a secret.
#[derive(Debug, Error)]
pub enum NotifyError {
    /// A setting makes no sense; says which.
    #[error("{0}")]
    Setting(String),
    /// The database refuses.
    #[error("the database of subscribers: {0}")]
    Database(#[from] rusqlite::Error),
    /// The file of a storm cannot be written.
    #[error("the file of a digest: {0}")]
    File(#[from] csv::Error),
}

/// What became of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enqueued {
    /// It is in the outbox for everyone who is to be told.
    Queued,
    /// It was told within [`Settings::repeat`].
    Repeat,
    /// There is nobody to tell.
    Nobody,
    /// It is no link.
    Unreadable,
}

/// What the bot does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "reason", rename_all = "lowercase")]
pub enum BotState {
    /// There is no token.
    Off,
    /// Another process on the same database sends, or this one has not begun.
    Standby,
    /// This process sends and polls.
    Running,
    /// Telegram does not accept the token.
    Refused(String),
}

/// What there is to say of the notifier.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The bot.
    pub bot: BotState,
    /// The name of the bot, once it is known.
    pub name: Option<String>,
    /// The outbox and its receivers.
    pub totals: Totals,
}

/// What became of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tested {
    /// Chats and webhooks it was for.
    pub receivers: u64,
    /// Those that had not got it when patience ended.
    pub waiting: u64,
}

/// Tells subscribers of links.
pub struct Notifier {
    pub(crate) settings: Settings,
    pub(crate) store: Store,
    pub(crate) telegram: Option<Telegram>,
    pub(crate) webhooks: Webhooks,
    /// Something was put into the database.
    pub(crate) wake: Notify,
    name: OnceLock<String>,
    refused: OnceLock<String>,
    running: AtomicBool,
}

impl Notifier {
    /// Opens the database, or makes it. Says once when the bot is off.
    ///
    /// # Errors
    /// When a setting makes no sense, or the database cannot be opened.
    pub fn open(settings: Settings) -> Result<Notifier, NotifyError> {
        let store = Store::open(&settings.db_path)?;
        let client: Client = telegram::client()?;
        let bot = settings.telegram.as_ref();
        let bot = bot.map(|bot| Telegram::new(bot, client.clone(), &settings.pace)).transpose()?;
        if bot.is_none() {
            tracing::info!("the Telegram bot is off: TELEGRAM_BOT_TOKEN is not set");
        }
        let webhooks = Webhooks::new(&settings, client);
        store.set_webhooks(&webhooks.endpoints(), false)?;
        Ok(Notifier {
            settings,
            store,
            telegram: bot,
            webhooks,
            wake: Notify::new(),
            name: OnceLock::new(),
            refused: OnceLock::new(),
            running: AtomicBool::new(false),
        })
    }

    /// Whether anyone can be told at all.
    pub fn is_on(&self) -> bool {
        self.telegram.is_some() || !self.settings.webhooks.is_empty()
    }

    /// Puts a link (the JSON of its record) into the outbox for everyone who is to be told. When this
    /// returns, the link is on the disk.
    ///
    /// # Errors
    /// When the database refuses: the link is not in it, try again.
    pub fn enqueue(&self, link: &[u8]) -> Result<Enqueued, NotifyError> {
        Ok(self.enqueue_all(&[link])?.first().copied().unwrap_or(Enqueued::Nobody))
    }

    /// Does the same with many links in one transaction, which is faster.
    ///
    /// # Errors
    /// When the database refuses: none of the links is in it, try again.
    pub fn enqueue_all(&self, links: &[&[u8]]) -> Result<Vec<Enqueued>, NotifyError> {
        if !self.is_on() {
            return Ok(vec![Enqueued::Nobody; links.len()]);
        }
        let mut readable = Vec::with_capacity(links.len());
        let mut became = Vec::with_capacity(links.len());
        for link in links {
            match Record::read(link) {
                Ok(record) => {
                    readable.push((record, *link));
                    became.push(None);
                }
                Err(error) => {
                    tracing::warn!(%error, "a link that cannot be read is told to nobody");
                    became.push(Some(Enqueued::Unreadable));
                }
            }
        }
        let mut done =
            self.store.enqueue(&readable, millis(self.settings.repeat), now())?.into_iter();
        self.wake.notify_one();
        let fill = |it: Option<Enqueued>| it.or_else(|| done.next()).unwrap_or(Enqueued::Nobody);
        Ok(became.into_iter().map(fill).collect())
    }

    /// Does the same with records of a bus, each with when it was sent: what is to be done before a
    /// position behind them is committed.
    ///
    /// # Errors
    /// Says why none of them is in the outbox.
    pub fn keep(&self, records: &[(Vec<u8>, i64)]) -> Result<(), String> {
        if records.is_empty() {
            return Ok(());
        }
        let links: Vec<&[u8]> = records.iter().map(|(link, _)| &**link).collect();
        self.enqueue_all(&links).map(drop).map_err(|error| error.to_string())
    }

    /// Sends what waits and answers the commands of the bot, until `stop` is ready; then lets calls in
    /// flight end. While another process on the same database does that, waits for it to end. The
    /// database is used on the thread that polls this, for milliseconds: give it a thread of its own
    /// (`Runtime::block_on`) where that matters.
    pub async fn run(&self, stop: impl Future<Output = ()>) {
        let stopped = CancellationToken::new();
        let wait = async {
            stop.await;
            stopped.cancel();
        };
        tokio::join!(wait, self.work(&stopped));
    }

    async fn work(&self, stopped: &CancellationToken) {
        if !self.is_on() {
            return;
        }
        let Some(_lock) = self.take_lock(stopped).await else { return };
        self.running.store(true, Ordering::Relaxed);
        let poller = async {
            if let Some(telegram) = &self.telegram {
                Poller::new(self, telegram).run(stopped).await;
            }
        };
        tokio::join!(self.deliver(stopped, true), poller);
        self.running.store(false, Ordering::Relaxed);
    }

    /// The lock of who sends; none when it is time to stop.
    async fn take_lock(&self, stopped: &CancellationToken) -> Option<Lock> {
        let mut told = false;
        loop {
            match Lock::try_take(&self.settings.db_path) {
                Ok(Some(lock)) => return Some(lock),
                Ok(None) if told => {}
                Ok(None) => {
                    tracing::info!(
                        "another process on this database sends alerts; this one stands by"
                    );
                    told = true;
                }
                Err(error) => tracing::warn!(%error, "alerts wait"),
            }
            if self.pause(self.settings.pace.look * 2, stopped).await {
                return None;
            }
        }
    }

    /// Sends until it is time to stop; goes on after the database failed.
    async fn deliver(&self, stopped: &CancellationToken, only: bool) {
        while !stopped.is_cancelled() {
            let ended = match Sender::new(self, only) {
                Ok(mut sender) => sender.run(stopped).await,
                Err(error) => Err(error),
            };
            if let Err(error) = ended {
                tracing::warn!(%error, "alerts wait");
                self.pause(DATABASE_PAUSE, stopped).await;
            }
        }
    }

    /// Waits; true when it is time to stop.
    pub(crate) async fn pause(&self, time: Duration, stopped: &CancellationToken) -> bool {
        tokio::time::timeout(time, stopped.cancelled()).await.is_ok()
    }

    /// Sends one example alert to everyone, and waits until it has arrived, so long at most. Where no
    /// process is running that sends, this one does meanwhile.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn test(&self, patience: Duration) -> Result<Tested, NotifyError> {
        let id = format!("test-{:016x}", rand::random::<u64>());
        let json = example(&id, Timestamp::now());
        let receivers = self.store.receivers()?.len() as u64;
        if self.enqueue(json.as_bytes())? != Enqueued::Queued {
            return Ok(Tested { receivers: 0, waiting: 0 });
        }
        let (seq, _) = self.store.last()?;
        let stopped = CancellationToken::new();
        let watch = async {
            let waited = tokio::time::timeout(patience, self.arrived(seq)).await;
            stopped.cancel();
            waited.unwrap_or(Ok(()))
        };
        let deliver = async {
            if let Some(_lock) = self.take_lock(&stopped).await {
                self.deliver(&stopped, false).await;
            }
        };
        let (watched, ()) = tokio::join!(watch, deliver);
        watched?;
        Ok(Tested { receivers, waiting: self.store.receivers_behind(seq)? })
    }

    async fn arrived(&self, seq: i64) -> Result<(), NotifyError> {
        while self.store.receivers_behind(seq)? > 0 {
            tokio::time::sleep(self.settings.pace.look).await;
        }
        Ok(())
    }

    /// What there is to say.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn summary(&self) -> Result<Summary, NotifyError> {
        let bot = match (&self.telegram, self.refused.get()) {
            (None, _) => BotState::Off,
            (_, Some(reason)) => BotState::Refused(reason.clone()),
            _ if self.running.load(Ordering::Relaxed) => BotState::Running,
            _ => BotState::Standby,
        };
        Ok(Summary { bot, name: self.name.get().cloned(), totals: self.store.totals()? })
    }

    /// Whether those who are to be told can be.
    ///
    /// # Errors
    /// Says why not.
    pub fn check(&self) -> Result<(), String> {
        match self.summary().map(|summary| summary.bot) {
            Ok(BotState::Refused(reason)) => Err(args::refused(&reason)),
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The bot ends: Telegram does not accept its token. Everything else goes on.
    pub(crate) fn refuse(&self, reason: String) {
        if self.refused.set(reason.clone()).is_ok() {
            tracing::error!(
                reason,
                "the Telegram bot stops: its token is not accepted; alerts wait in the outbox. \
                 Set the right TELEGRAM_BOT_TOKEN and start again"
            );
        }
    }

    /// Whether Telegram does not accept the token.
    pub(crate) fn is_refused(&self) -> bool {
        self.refused.get().is_some()
    }

    /// The bot is called so.
    pub(crate) fn called(&self, name: &str) {
        let _ = self.name.set(name.to_owned());
    }
}

/// The time of the wall clock.
pub(crate) fn now() -> Millis {
    Timestamp::now().as_millisecond()
}

/// A pause after so many failures: it doubles, and differs by chance, so that many do not come at once.
pub(crate) fn backoff(failures: u32, first: Duration, longest: Duration) -> Duration {
    let doubled = first.saturating_mul(2u32.saturating_pow(failures.saturating_sub(1).min(20)));
    doubled.min(longest).mul_f64(rand::random_range(0.5..1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_token_and_webhooks_nothing_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let notifier = Notifier::open(Settings::new(folder.path().join("x.db"))).unwrap();
        let link = example("a", Timestamp::UNIX_EPOCH);
        assert_eq!(notifier.enqueue(link.as_bytes()).unwrap(), Enqueued::Nobody);
        let summary = notifier.summary().unwrap();
        assert_eq!((summary.bot, summary.totals), (BotState::Off, Totals::default()));
    }

    #[test]
    fn what_is_no_link_is_told_apart_from_those_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::new(folder.path().join("x.db"));
        settings.webhooks = crate::webhook_urls("http://127.0.0.1:1/x").unwrap();
        let notifier = Notifier::open(settings).unwrap();
        let link = example("a", Timestamp::UNIX_EPOCH);
        let became =
            notifier.enqueue_all(&[b"{", link.as_bytes(), b"[]", link.as_bytes()]).unwrap();
        use Enqueued::{Queued, Repeat, Unreadable};
        assert_eq!(became, [Unreadable, Queued, Unreadable, Repeat]);
    }

    #[test]
    fn pauses_double_and_end_somewhere() {
        let (first, longest) = (Duration::from_secs(1), Duration::from_secs(60));
        for (failures, most) in [(1, 1), (2, 2), (3, 4), (7, 60), (1_000, 60)] {
            let pause = backoff(failures, first, longest).as_secs_f64();
            let most = f64::from(most);
            assert!((most / 2.0..=most).contains(&pause), "{failures}: {pause}");
        }
    }
}
