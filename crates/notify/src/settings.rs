//! What can be set: where the database is, who is told, how fast.
//!
//! Input: values from the environment. Output: settings that make sense, or one clear line.
//! Invariant: no secret can be printed, whatever prints the settings.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;

use crate::NotifyError;

/// The Bot API of Telegram itself.
pub const TELEGRAM_API_URL: &str = "https://api.telegram.org";

/// A value that must not be seen: it shows as `***` wherever it is printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The value itself; for those who need it, not for those who print.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether nothing is set, as an empty environment variable says.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Secret {
        Secret(value.trim().to_owned())
    }
}

impl From<&str> for Secret {
    fn from(value: &str) -> Secret {
        Secret::from(value.to_owned())
    }
}

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(value: &str) -> Result<Secret, Infallible> {
        Ok(Secret::from(value))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// Says in a line or two what the suite is doing, for `/status`.
pub type About = Arc<dyn Fn() -> String + Send + Sync>;

/// What can be set. Begin with [`Settings::new`].
#[derive(Clone)]
pub struct Settings {
    /// The database of subscribers and of what waits for them (`DB_PATH`).
    pub db_path: PathBuf,
    /// The bot; none when there is no token.
    pub telegram: Option<TelegramSettings>,
    /// The endpoints that are told, besides chats (`WEBHOOK_URLS`).
    pub webhooks: Vec<Url>,
    /// What webhooks are signed with (`WEBHOOK_SECRET`).
    pub webhook_secret: Option<Secret>,
    /// For how long the same link is not told again (`ALERT_REPEAT`).
    pub repeat: Duration,
    /// For how long what could not be delivered is kept (`ALERT_KEEP`).
    pub keep: Duration,
    /// Links within a minute, for one chat, beyond which they become one digest (`ALERT_STORM`).
    pub storm: u64,
    /// How fast, and how patient.
    pub pace: Pace,
    /// What runs, as `/status` says it.
    pub about: Option<About>,
}

/// The bot.
#[derive(Clone, Debug)]
pub struct TelegramSettings {
    /// What @BotFather gave (`TELEGRAM_BOT_TOKEN`).
    pub token: Secret,
    /// Where the Bot API is (`TELEGRAM_API_URL`).
    pub api_url: Url,
    /// What `/start` must carry, if anything (`TELEGRAM_INVITE_CODE`).
    pub invite_code: Option<Secret>,
}

impl TelegramSettings {
    /// The bot with this token at Telegram itself, open to everyone.
    ///
    /// # Errors
    /// When this can be no token.
    pub fn new(token: impl Into<Secret>) -> Result<TelegramSettings, NotifyError> {
        let token = token.into();
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b":_-".contains(&byte);
        if token.is_empty() || !token.reveal().bytes().all(fits) {
            return Err(NotifyError::Setting(
                "TELEGRAM_BOT_TOKEN: not a token; give what @BotFather gave, such as 123456:ABC-DEF"
                    .to_owned(),
            ));
        }
        Ok(TelegramSettings { token, api_url: api_url(TELEGRAM_API_URL)?, invite_code: None })
    }

    /// The same at another server of the Bot API.
    ///
    /// # Errors
    /// When this can be no address of one.
    pub fn at(mut self, url: &str) -> Result<TelegramSettings, NotifyError> {
        self.api_url = api_url(url)?;
        Ok(self)
    }

    /// The same, for those who know a code. Empty for none.
    #[must_use]
    pub fn invited_by(mut self, code: impl Into<Secret>) -> TelegramSettings {
        self.invite_code = Some(code.into()).filter(|code| !code.is_empty());
        self
    }
}

fn api_url(url: &str) -> Result<Url, NotifyError> {
    web_url(url).ok_or_else(|| {
        NotifyError::Setting(format!(
            "TELEGRAM_API_URL: give an address such as {TELEGRAM_API_URL}"
        ))
    })
}

/// Reads the addresses of webhooks, with commas or white space between.
///
/// # Errors
/// When one is no address; it is named by its place, as addresses of webhooks are secrets too.
pub fn webhook_urls(list: &str) -> Result<Vec<Url>, NotifyError> {
    let split = |character: char| character == ',' || character.is_whitespace();
    let urls = list.split(split).filter(|url| !url.is_empty());
    let read = |(place, url): (usize, &str)| {
        web_url(url).ok_or_else(|| {
            NotifyError::Setting(format!(
                "WEBHOOK_URLS: number {} is no http:// or https:// address",
                place + 1
            ))
        })
    };
    urls.enumerate().map(read).collect()
}

fn web_url(url: &str) -> Option<Url> {
    let url = Url::parse(url.trim()).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
}

impl Settings {
    /// Nobody is told; everything else is as it should be.
    pub fn new(db_path: impl Into<PathBuf>) -> Settings {
        Settings {
            db_path: db_path.into(),
            telegram: None,
            webhooks: Vec::new(),
            webhook_secret: None,
            repeat: Duration::from_secs(24 * 3600),
            keep: Duration::from_secs(7 * 24 * 3600),
            storm: 10,
            pace: Pace::default(),
            about: None,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        // The addresses of webhooks often carry the right to post.
        formatter
            .debug_struct("Settings")
            .field("db_path", &self.db_path)
            .field("telegram", &self.telegram)
            .field("webhooks", &self.webhooks.len())
            .field("webhook_secret", &self.webhook_secret)
            .field("repeat", &self.repeat)
            .field("keep", &self.keep)
            .field("storm", &self.storm)
            .field("pace", &self.pace)
            .finish_non_exhaustive()
    }
}

/// How fast and how patient: by default what Telegram allows.
#[derive(Clone, Debug)]
pub struct Pace {
    /// Calls of the bot within [`Pace::second`].
    pub per_second: usize,
    /// The time that holds for, and the least time between two calls to one chat.
    pub second: Duration,
    /// Calls to one chat within [`Pace::minute`].
    pub per_minute: usize,
    /// The time that holds for.
    pub minute: Duration,
    /// How long links of one problem are gathered for one message.
    pub gather: Duration,
    /// The time within which [`Settings::storm`] counts; a storm ends when none came for so long.
    pub calm: Duration,
    /// How often a digest is edited at most.
    pub edit: Duration,
    /// How long a storm goes on before its rows so far are sent.
    pub longest_storm: Duration,
    /// The first pause after a failure; it doubles.
    pub retry: Duration,
    /// The longest pause after a failure.
    pub longest_retry: Duration,
    /// How long a call may take.
    pub patience: Duration,
    /// How long the Bot API may wait for something to tell.
    pub poll: Duration,
    /// How long another poller with the same token is given way to, at first.
    pub give_way: Duration,
    /// How often one looks for what other processes put into the database.
    pub look: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            per_second: 30,
            second: Duration::from_secs(1),
            per_minute: 20,
            minute: Duration::from_secs(60),
            gather: Duration::from_secs(2),
            calm: Duration::from_secs(60),
            edit: Duration::from_secs(15),
            longest_storm: Duration::from_secs(30 * 60),
            retry: Duration::from_secs(1),
            longest_retry: Duration::from_secs(60),
            patience: Duration::from_secs(20),
            poll: Duration::from_secs(50),
            give_way: Duration::from_secs(30),
            look: Duration::from_millis(500),
        }
    }
}

impl Pace {
    /// Every limit and pause so many times shorter, for tests; a call's patience stays.
    #[must_use]
    pub fn faster(self, times: u32) -> Pace {
        Pace {
            second: self.second / times,
            minute: self.minute / times,
            gather: self.gather / times,
            calm: self.calm / times,
            edit: self.edit / times,
            longest_storm: self.longest_storm / times,
            retry: self.retry / times,
            longest_retry: self.longest_retry / times,
            give_way: self.give_way / times,
            look: self.look / times,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_prints_settings_prints_a_secret() {
        let mut settings = Settings::new("x.db");
        let bot = TelegramSettings::new("123:SECRET").unwrap().invited_by("SECRET");
        settings.telegram = Some(bot);
        settings.webhooks = webhook_urls("https://example.org/SECRET").unwrap();
        settings.webhook_secret = Some(Secret::from("SECRET"));
        let told = format!("{settings:?} {settings:#?} {}", Secret::from("SECRET"));
        assert!(!told.contains("SECRET"), "{told}");
    }

    #[test]
    fn what_makes_no_sense_is_refused_without_repeating_it() {
        for wrong in ["", "12 34", "123:ABC/../x", "токен"] {
            let error = TelegramSettings::new(wrong).unwrap_err().to_string();
            assert!(error.starts_with("TELEGRAM_BOT_TOKEN"), "{error}");
            assert!(wrong.is_empty() || !error.contains(wrong), "{error}");
        }
        let bot = || TelegramSettings::new("1:a").unwrap();
        assert!(bot().at("api.telegram.org").is_err());
        assert!(bot().at("http://localhost:8081/telegram/").is_ok());
        assert!(bot().invited_by("").invite_code.is_none());
        let error = webhook_urls("https://a.example/x, ftp://b.example/SECRET").unwrap_err();
        assert_eq!(error.to_string(), "WEBHOOK_URLS: number 2 is no http:// or https:// address");
        assert_eq!(webhook_urls(" ").unwrap(), []);
    }
}
