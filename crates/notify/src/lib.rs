//! Tells people of links: a Telegram bot and webhooks, behind an outbox that survives crashes.
//!
//! ```text
//! links ─ enqueue ─► outbox (SQLite) ─ sender ─► Telegram: chats, groups, topics
//!                        ▲                  ╰──► webhooks
//!   Telegram ─ poller ─ bot: /start, /stop, /mute …
//! ```
//!
//! Input: links, as the JSON of a report's `LinkRecord`. Output: messages and requests.
//!
//! Invariants:
//! - [`Notifier::enqueue`] returns when the link is on the disk for everyone who is to be told of it:
//!   the caller commits its own position after that.
//! - Every link reaches every active receiver, in order. Each delivery is settled after the other side
//!   accepted it, so a crash repeats at most the message in flight for each receiver.
//! - One process of those that share the database sends and polls: the one that holds the lock of the
//!   file beside it, which the system gives back however the process ends. The others only enqueue.
//! - Telegram's limits hold for whoever counts arriving calls, across crashes too.
//! - No secret is in a log, an error, `Debug` output or a metric.
//!
//! ```no_run
//! # async fn example() -> Result<(), notify::NotifyError> {
//! let mut settings = notify::Settings::new("data/db/subscribers.db");
//! settings.telegram = Some(notify::TelegramSettings::new("123456:ABC-DEF")?);
//! let notifier = notify::Notifier::open(settings)?;
//! # let link = b"";
//! notifier.enqueue(link)?; // the JSON of a link
//! notifier.run(async { let _ = tokio::signal::ctrl_c().await; }).await;
//! # Ok(())
//! # }
//! ```

mod alert;
mod args;
mod bot;
mod limits;
mod lock;
mod notifier;
mod outcome;
mod plan;
mod poller;
mod record;
mod sender;
mod settings;
mod store;
mod telegram;
mod text;
mod webhook;

pub use args::{NotifyArgs, TestArgs};
pub use notifier::{BotState, Enqueued, Notifier, NotifyError, Summary, Tested};
pub use settings::{
    About, Pace, Secret, Settings, TELEGRAM_API_URL, TelegramSettings, webhook_urls,
};
pub use store::Totals;
pub use webhook::{DELIVERY_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, sign};
