//! Listens to Telegram.
//!
//! Input: updates, by long poll. Output: what the bot makes of them, in the database. Invariants: an
//! update is done in one transaction with the note that it was, so a crash neither loses a command nor
//! obeys it twice; another poller with the same token is given way to.

use std::time::{Duration, Instant};

use teloxide::types::BotCommand;
use tokio_util::sync::CancellationToken;

use crate::bot::{Bot, COMMANDS};
use crate::notifier::{Notifier, backoff, now};
use crate::store::Language;
use crate::telegram::{Failure, Telegram};
use crate::{NotifyError, alert};

/// The longest time another poller is given way to.
const LONGEST_WAY: Duration = Duration::from_secs(600);

/// A server that answers sooner than this, with nothing, does not wait for anything to happen.
const AT_ONCE: Duration = Duration::from_millis(200);

/// The loop.
pub(crate) struct Poller<'a> {
    notifier: &'a Notifier,
    telegram: &'a Telegram,
    /// Failures in a row.
    failures: u32,
    /// Times in a row that another poller was given way to.
    ways: u32,
}

impl<'a> Poller<'a> {
    /// A loop that has not begun.
    pub fn new(notifier: &'a Notifier, telegram: &'a Telegram) -> Poller<'a> {
        Poller { notifier, telegram, failures: 0, ways: 0 }
    }

    /// Listens until it is time to stop, or the token is refused.
    pub async fn run(mut self, stopped: &CancellationToken) {
        let Some(name) = self.insist(stopped, || self.telegram.name()).await else { return };
        tracing::info!(bot = name, "the Telegram bot listens: t.me/{name}");
        self.notifier.called(&name);
        tokio::select! {
            () = self.offer_commands() => {}
            () = stopped.cancelled() => return,
        }
        let bot = Bot::new(self.notifier, name);
        while !stopped.is_cancelled() && !self.notifier.is_refused() {
            let pause = tokio::select! {
                pause = self.poll(&bot) => pause,
                () = stopped.cancelled() => return,
            };
            self.notifier.pause(pause, stopped).await;
        }
    }

    /// What a call gives, tried until it gives something; none when it is time to end.
    async fn insist<T, F>(&self, stopped: &CancellationToken, call: impl Fn() -> F) -> Option<T>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let pace = &self.notifier.settings.pace;
        for failures in 1.. {
            let result = tokio::select! {
                result = call() => result,
                () = stopped.cancelled() => return None,
            };
            let reason = match result {
                Ok(done) => return Some(done),
                Err(Failure::Token(reason)) => {
                    self.notifier.refuse(reason);
                    return None;
                }
                Err(failure) => format!("{failure:?}"),
            };
            if failures == 1 {
                tracing::warn!(reason, "Telegram cannot be reached; the bot tries again");
            }
            let pause = backoff(failures, pace.retry, pace.longest_retry);
            if self.notifier.pause(pause, stopped).await {
                return None;
            }
        }
        None
    }

    /// The menu of the bot. Without it everything works as well.
    async fn offer_commands(&self) {
        for (language, code) in [(Language::En, ""), (Language::Ru, "ru")] {
            let command = |(name, en, ru)| BotCommand::new(name, alert::say(language, en, ru));
            let commands = COMMANDS.into_iter().map(command).collect();
            if let Err(failure) = self.telegram.offer(commands, code).await {
                tracing::debug!(?failure, "the menu of the bot could not be set");
            }
        }
    }

    /// Waits for updates and does what they say; gives the pause before the next time.
    async fn poll(&mut self, bot: &Bot<'_>) -> Duration {
        let offset = match self.notifier.store.last_update(now()) {
            Ok(last) => last.map(|last| last + 1),
            Err(error) => return self.failed(&error.to_string()),
        };
        let began = Instant::now();
        match self.telegram.updates(offset, self.notifier.settings.pace.poll).await {
            Ok(updates) => {
                self.recovered();
                let done: Result<(), NotifyError> =
                    updates.iter().try_for_each(|update| bot.take(update, now()));
                if !updates.is_empty() {
                    self.notifier.wake.notify_one();
                }
                match done {
                    Ok(()) if updates.is_empty() && began.elapsed() < AT_ONCE => AT_ONCE,
                    Ok(()) => Duration::ZERO,
                    Err(error) => self.failed(&error.to_string()),
                }
            }
            Err(Failure::Conflict(reason)) => self.give_way(&reason),
            Err(Failure::Wait(time)) => time,
            Err(Failure::Token(reason)) => {
                self.notifier.refuse(reason);
                Duration::ZERO
            }
            Err(failure) => self.failed(&format!("{failure:?}")),
        }
    }

    fn recovered(&mut self) {
        if self.failures + self.ways > 0 {
            tracing::info!("the Telegram bot listens again");
        }
        (self.failures, self.ways) = (0, 0);
    }

    fn failed(&mut self, reason: &str) -> Duration {
        self.failures += 1;
        if self.failures == 1 {
            tracing::warn!(reason, "Telegram cannot be asked for commands; the bot tries again");
        }
        let pace = &self.notifier.settings.pace;
        backoff(self.failures, pace.retry, pace.longest_retry)
    }

    /// Another process listens with the same token, and one must yield.
    fn give_way(&mut self, reason: &str) -> Duration {
        self.ways += 1;
        if self.ways == 1 {
            tracing::warn!(
                reason,
                "another process listens with this bot's token; this one yields and tries again \
                 now and then. Alerts are sent all the same"
            );
        }
        backoff(self.ways, self.notifier.settings.pace.give_way, LONGEST_WAY)
    }
}
