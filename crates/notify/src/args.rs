//! The settings as binaries take them: environment variables, or arguments of the same meaning.
//!
//! Input: the command line and the environment. Output: a [`Notifier`], or none when nobody is to be told;
//! the outcome of a test. Invariant: what is wrong is told in one line, which repeats no secret.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, value_parser};
use jiff::SignedDuration;
use reqwest::Url;
use service::args::Window;

use crate::notifier::{BotState, Notifier, NotifyError, Tested};
use crate::settings::{About, Secret, Settings, TELEGRAM_API_URL, TelegramSettings, webhook_urls};

/// The shortest time that [`NotifyArgs::alert_repeat`] and [`NotifyArgs::alert_keep`] may be.
const SHORTEST: SignedDuration = SignedDuration::from_mins(1);

/// How often a test looks whether the token was refused.
const LOOK: Duration = Duration::from_millis(200);

/// Who is told of links, and how.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Alerts")]
pub struct NotifyArgs {
    /// What @BotFather gave for the bot that alerts; without it there is no bot
    #[arg(long, env = "TELEGRAM_BOT_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    #[arg(default_value = "", hide_default_value = true)]
    pub telegram_bot_token: Secret,

    /// Where the Bot API is, if it is a server of your own
    #[arg(long, env = "TELEGRAM_API_URL", default_value = TELEGRAM_API_URL, value_name = "URL")]
    pub telegram_api_url: String,

    /// What must follow /start to subscribe; everyone may without it
    #[arg(long, env = "TELEGRAM_INVITE_CODE", hide_env_values = true, value_name = "CODE")]
    #[arg(default_value = "", hide_default_value = true)]
    pub telegram_invite_code: Secret,

    /// The database of subscribers and of the alerts that wait for them
    #[arg(long, env = "DB_PATH", default_value = "data/db/subscribers.db", value_name = "FILE")]
    pub db_path: PathBuf,

    /// For how long the same link is not told again
    #[arg(long, env = "ALERT_REPEAT", default_value = "24h", value_name = "TIME")]
    pub alert_repeat: Window,

    /// For how long an alert that cannot be delivered is kept
    #[arg(long, env = "ALERT_KEEP", default_value = "7d", value_name = "TIME")]
    pub alert_keep: Window,

    /// Problems within a minute beyond which a chat gets one digest; 0 for never
    #[arg(long, env = "ALERT_STORM", default_value_t = 10, value_name = "N")]
    #[arg(value_parser = value_parser!(u64).range(..=1_000_000))]
    pub alert_storm: u64,

    /// Addresses that are told of each link by POST, with commas between
    #[arg(long, env = "WEBHOOK_URLS", hide_env_values = true, value_name = "URLS")]
    #[arg(default_value = "", hide_default_value = true)]
    pub webhook_urls: Secret,

    /// The key that those requests are signed with; they are not without it
    #[arg(long, env = "WEBHOOK_SECRET", hide_env_values = true, value_name = "KEY")]
    #[arg(default_value = "", hide_default_value = true)]
    pub webhook_secret: Secret,
}

/// What a test of that is made with.
#[derive(Args, Clone, Debug)]
pub struct TestArgs {
    /// How long is waited for the example to arrive everywhere
    #[arg(long, default_value = "60s", value_name = "TIME")]
    pub wait: Window,

    /// Whom it is for.
    #[command(flatten)]
    pub notify: NotifyArgs,
}

impl NotifyArgs {
    /// The notifier; none, which is told, when there is neither a token nor a webhook. `about` is what
    /// the bot says is running.
    ///
    /// # Errors
    /// When a setting makes no sense, or the database cannot be opened.
    pub fn notifier(&self, about: About) -> Result<Option<Notifier>, NotifyError> {
        let settings = self.settings(about)?;
        if settings.telegram.is_none() && settings.webhooks.is_empty() {
            tracing::info!("alerts are off: neither TELEGRAM_BOT_TOKEN nor WEBHOOK_URLS is set");
            return Ok(None);
        }
        Notifier::open(settings).map(Some)
    }

    fn settings(&self, about: About) -> Result<Settings, NotifyError> {
        let mut settings = Settings::new(&self.db_path);
        if !self.telegram_bot_token.is_empty() {
            let bot = TelegramSettings::new(self.telegram_bot_token.clone())?;
            let bot = bot.at(self.api_url())?;
            settings.telegram = Some(bot.invited_by(self.telegram_invite_code.clone()));
        }
        settings.webhooks = webhook_urls(self.webhook_urls.reveal())?;
        settings.webhook_secret =
            Some(self.webhook_secret.clone()).filter(|secret| !secret.is_empty());
        settings.repeat = at_least_a_minute("ALERT_REPEAT", self.alert_repeat)?;
        settings.keep = at_least_a_minute("ALERT_KEEP", self.alert_keep)?;
        settings.storm = self.alert_storm;
        settings.about = Some(about);
        Ok(settings)
    }

    /// An empty variable is as good as none.
    fn api_url(&self) -> &str {
        match self.telegram_api_url.trim() {
            "" => TELEGRAM_API_URL,
            url => url,
        }
    }

    /// The settings in force, for the log, without the secret ones.
    pub fn told(&self) -> String {
        let hidden = |secret: &Secret| if secret.is_empty() { "none" } else { "(hidden)" };
        let mut told = format!("DB_PATH={}", self.db_path.display());
        for (name, secret) in [
            ("TELEGRAM_BOT_TOKEN", &self.telegram_bot_token),
            ("TELEGRAM_INVITE_CODE", &self.telegram_invite_code),
            ("WEBHOOK_URLS", &self.webhook_urls),
            ("WEBHOOK_SECRET", &self.webhook_secret),
        ] {
            let _ = write!(told, " {name}={}", hidden(secret));
        }
        let _ = write!(
            told,
            " TELEGRAM_API_URL={} ALERT_REPEAT={:#} ALERT_KEEP={:#} ALERT_STORM={}",
            without_login(self.api_url()),
            self.alert_repeat.0,
            self.alert_keep.0,
            self.alert_storm
        );
        told
    }
}

impl TestArgs {
    /// Sends an example to all subscribers and webhooks; says to how many it went.
    ///
    /// # Errors
    /// When nobody can be told, or somebody was not, in words that help.
    pub fn run(&self) -> Result<String, NotifyError> {
        let missing = |words: &str| NotifyError::Setting(words.to_owned());
        let about: About = std::sync::Arc::new(|| "notify-test".to_owned());
        let notifier = self.notify.notifier(about)?.ok_or_else(|| {
            missing(
                "alerts are off: set TELEGRAM_BOT_TOKEN (what @BotFather gave) or WEBHOOK_URLS, as \
                 the suite has them",
            )
        })?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| missing(&format!("starting threads: {error}")))?;
        let Tested { receivers, waiting } = runtime.block_on(async {
            tokio::select! {
                tested = notifier.test(self.wait.0.unsigned_abs()) => tested,
                reason = refusal(&notifier) => Err(missing(&reason)),
            }
        })?;
        let database = self.notify.db_path.display();
        if receivers == 0 {
            return Err(NotifyError::Setting(format!(
                "nobody has subscribed yet in {database}: say /start to the bot, then try again"
            )));
        }
        if waiting > 0 {
            return Err(NotifyError::Setting(format!(
                "{waiting} of {receivers} did not get it within {:#}; it waits for them in \
                 {database}. The log of the backend says why, or LOG_LEVEL=debug here",
                self.wait.0
            )));
        }
        let all = if receivers == 1 { "receiver has" } else { "receivers have" };
        Ok(format!("sent: {receivers} {all} the example"))
    }
}

/// Waits until Telegram refuses the token, and says so.
async fn refusal(notifier: &Notifier) -> String {
    loop {
        tokio::time::sleep(LOOK).await;
        if let Ok(BotState::Refused(reason)) = notifier.summary().map(|summary| summary.bot) {
            return refused(&reason);
        }
    }
}

/// That Telegram refuses the token.
pub(crate) fn refused(reason: &str) -> String {
    format!("Telegram does not accept TELEGRAM_BOT_TOKEN: {reason}")
}

fn at_least_a_minute(name: &str, time: Window) -> Result<Duration, NotifyError> {
    let short = || NotifyError::Setting(format!("{name}: must be a minute at least, such as 24h"));
    let long_enough = Some(time.0).filter(|time| *time >= SHORTEST);
    Ok(long_enough.ok_or_else(short)?.unsigned_abs())
}

/// An address as it may be told.
fn without_login(url: &str) -> String {
    let Ok(mut url) = Url::parse(url) else { return "(no address)".to_owned() };
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        notify: NotifyArgs,
    }

    fn args(arguments: &[&str]) -> NotifyArgs {
        Cli::try_parse_from([&["x"], arguments].concat()).unwrap().notify
    }

    fn settings(arguments: &[&str]) -> Result<Settings, String> {
        let about: About = std::sync::Arc::new(String::new);
        args(arguments).settings(about).map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_those_of_the_settings_and_empty_is_none() {
        let empty = ["--telegram-bot-token", "", "--telegram-api-url", "", "--webhook-urls", " "];
        for arguments in [&[][..], &empty] {
            let (found, expected) = (settings(arguments).unwrap(), Settings::new("x"));
            assert!(found.telegram.is_none() && found.webhooks.is_empty());
            assert_eq!(
                (found.repeat, found.keep, found.storm),
                (expected.repeat, expected.keep, expected.storm)
            );
        }
        let bot = settings(&["--telegram-bot-token", "1:a", "--telegram-api-url", ""]).unwrap();
        assert_eq!(bot.telegram.unwrap().api_url.as_str(), "https://api.telegram.org/");
    }

    #[test]
    fn without_a_receiver_there_is_no_database() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db/x.db");
        let args = args(&["--db-path", path.to_str().unwrap()]);
        assert!(args.notifier(std::sync::Arc::new(String::new)).unwrap().is_none());
        assert!(!path.parent().unwrap().exists());
        let test = TestArgs { wait: "1s".parse().unwrap(), notify: args };
        let error = test.run().unwrap_err().to_string();
        assert!(error.starts_with("alerts are off: set TELEGRAM_BOT_TOKEN"), "{error}");
    }

    #[test]
    fn what_is_told_holds_no_secret() {
        let args = args(&[
            "--telegram-bot-token=1:SECRET",
            "--telegram-invite-code=SECRET",
            "--telegram-api-url=http://SECRET:SECRET@localhost:8081",
            "--webhook-urls=http://a.example/SECRET",
            "--webhook-secret=SECRET",
        ]);
        // The names of variables have a SECRET too.
        let told = args.told().replace("WEBHOOK_SECRET=", "");
        assert!(!told.contains("SECRET"), "{told}");
        for part in ["TELEGRAM_BOT_TOKEN=(hidden)", "WEBHOOK_URLS=(hidden)", "ALERT_REPEAT=24h"] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_its_name() {
        let bot = "--telegram-bot-token=1:a";
        for (arguments, words) in [
            (&["--telegram-bot-token=two words"][..], "TELEGRAM_BOT_TOKEN: not a token"),
            (&[bot, "--telegram-api-url=localhost"], "TELEGRAM_API_URL: give an address"),
            (&["--webhook-urls=ftp://SECRET"], "WEBHOOK_URLS: number 1 is no http://"),
            (&["--alert-repeat=0s"], "ALERT_REPEAT: must be a minute at least"),
            (&["--alert-keep=59s"], "ALERT_KEEP: must be a minute at least"),
        ] {
            let error = settings(arguments).unwrap_err();
            assert!(error.starts_with(words) && !error.contains("SECRET"), "{error}");
        }
    }
}
