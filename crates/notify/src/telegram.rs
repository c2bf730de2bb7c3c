//! Calls of the Bot API.
//!
//! Input: what is to be said, in teloxide's types. Output: an answer, or a [`Failure`] that says what
//! to do. Invariants: a call is one request, never repeated here; nothing that leaves this module
//! contains the token.
//!
//! The transport is ours, not that of teloxide's `Bot`: that one drops the error code of an answer,
//! sleeps ten seconds inside the call after a 5xx, takes a message that was sent for a failure when the
//! answer lacks a field, and prints its token as `Debug`. Limits that hold and messages that come once
//! need all four otherwise.

use std::time::Duration;

use reqwest::multipart::{Form, Part};
use reqwest::{Client, RequestBuilder, Response, Url, redirect};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use teloxide::payloads::{
    EditMessageText, EditMessageTextSetters, GetMe, GetUpdates, GetUpdatesSetters, SendMessage,
    SendMessageSetters, SetMyCommands, SetMyCommandsSetters,
};
use teloxide::requests::Payload;
use teloxide::types::{
    AllowedUpdate, BotCommand, ChatId, LinkPreviewOptions, MessageId, ParseMode, ThreadId, Update,
};

use crate::NotifyError;
use crate::settings::{Pace, Secret, TelegramSettings};
use crate::store::Place;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);

/// What is waited when Telegram says to wait and not for how long.
const SOME_TIME: Duration = Duration::from_secs(5);

/// Why a call failed, by what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Too fast: wait so long (429).
    Wait(Duration),
    /// It may work later: the network, a time-out, 5xx, half an answer.
    Later(String),
    /// The group has another number now.
    Moved(i64),
    /// The chat is closed to the bot (403).
    Closed(String),
    /// This will never be accepted (400).
    Refused(String),
    /// The token is not accepted (401, or 404 for one that never was).
    Token(String),
    /// Another process polls with the same token (409).
    Conflict(String),
}

/// The Bot API, for one bot. Not printable, since it holds the token.
pub(crate) struct Telegram {
    client: Client,
    base: Url,
    token: Secret,
    patience: Duration,
}

/// Any answer of the Bot API.
#[derive(Deserialize)]
struct Answer {
    ok: bool,
    result: Option<Box<RawValue>>,
    error_code: Option<u16>,
    description: Option<String>,
    parameters: Option<Parameters>,
}

#[derive(Deserialize)]
struct Parameters {
    retry_after: Option<u64>,
    migrate_to_chat_id: Option<i64>,
}

/// The number of a message that was sent. Only that matters, and servers differ in the rest: what was
/// accepted must not be sent again because its answer is odd.
fn number(sent: &Value) -> i32 {
    sent.get("message_id")
        .and_then(Value::as_i64)
        .and_then(|id| i32::try_from(id).ok())
        .unwrap_or(0)
}

#[derive(Deserialize)]
struct Me {
    username: String,
}

/// A client for calls out of the suite: no redirects, one kind of TLS.
pub(crate) fn client() -> Result<Client, NotifyError> {
    Client::builder()
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .http1_only()
        .user_agent(concat!("foreshock/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| NotifyError::Setting(format!("HTTP client: {}", reason(error))))
}

/// What went wrong with a request, without its address.
pub(crate) fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut told = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(deeper) = cause {
        told = format!("{told}: {deeper}");
        cause = deeper.source();
    }
    told
}

impl Telegram {
    /// The bot with these settings.
    pub fn new(
        settings: &TelegramSettings,
        client: Client,
        pace: &Pace,
    ) -> Result<Telegram, NotifyError> {
        let mut base = settings.api_url.clone();
        let bot = format!("bot{}", settings.token.reveal());
        let no_base = |()| NotifyError::Setting("TELEGRAM_API_URL: cannot be built on".to_owned());
        base.path_segments_mut().map_err(no_base)?.pop_if_empty().push(&bot);
        Ok(Telegram { client, base, token: settings.token.clone(), patience: pace.patience })
    }

    /// The name of the bot.
    pub async fn name(&self) -> Result<String, Failure> {
        let me: Me = self.call(&GetMe::new(), self.patience).await?;
        Ok(me.username)
    }

    /// Tells Telegram which commands to offer to whom.
    pub async fn offer(&self, commands: Vec<BotCommand>, language: &str) -> Result<(), Failure> {
        let payload = SetMyCommands::new(commands).language_code(language);
        self.call::<_, Value>(&payload, self.patience).await.map(drop)
    }

    /// What happened since an update; Telegram waits so long for something to happen.
    pub async fn updates(
        &self,
        offset: Option<i64>,
        wait: Duration,
    ) -> Result<Vec<Update>, Failure> {
        let mut payload = GetUpdates::new()
            .timeout(u32::try_from(wait.as_secs()).unwrap_or(50))
            .allowed_updates([AllowedUpdate::Message, AllowedUpdate::MyChatMember]);
        payload.offset = offset.and_then(|offset| i32::try_from(offset).ok());
        self.call(&payload, wait + self.patience).await
    }

    /// Sends a message; gives its number.
    pub async fn send(&self, place: Place, html: &str) -> Result<i32, Failure> {
        let mut payload = SendMessage::new(ChatId(place.chat), html)
            .parse_mode(ParseMode::Html)
            .link_preview_options(no_preview());
        payload.message_thread_id = thread(place);
        Ok(number(&self.call(&payload, self.patience).await?))
    }

    /// Replaces the text of a message.
    pub async fn edit(&self, place: Place, message: i32, html: &str) -> Result<i32, Failure> {
        let payload = EditMessageText::new(ChatId(place.chat), MessageId(message), html)
            .parse_mode(ParseMode::Html)
            .link_preview_options(no_preview());
        self.call::<_, Value>(&payload, self.patience).await?;
        Ok(message)
    }

    /// Sends a file; gives the number of its message.
    pub async fn file(
        &self,
        place: Place,
        name: &str,
        content: Vec<u8>,
        caption: &str,
    ) -> Result<i32, Failure> {
        let part = Part::bytes(content).file_name(name.to_owned()).mime_str("text/csv");
        let part = part.map_err(|error| Failure::Refused(self.hide(&reason(error))))?;
        let mut form = Form::new()
            .text("chat_id", place.chat.to_string())
            .text("caption", caption.to_owned())
            .text("parse_mode", "HTML")
            .part("document", part);
        if let Some(thread) = thread(place) {
            form = form.text("message_thread_id", thread.0.0.to_string());
        }
        let request = self.request("SendDocument", self.patience * 3).multipart(form);
        Ok(number(&self.ask(request).await?))
    }

    async fn call<P, R>(&self, payload: &P, patience: Duration) -> Result<R, Failure>
    where
        P: Payload + Serialize,
        R: DeserializeOwned,
    {
        self.ask(self.request(P::NAME, patience).json(payload)).await
    }

    fn request(&self, method: &str, patience: Duration) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.push(&camel(method));
        }
        self.client.post(url).timeout(patience)
    }

    async fn ask<R: DeserializeOwned>(&self, request: RequestBuilder) -> Result<R, Failure> {
        let later = |error| Failure::Later(self.hide(&reason(error)));
        let response = request.send().await.map_err(later)?;
        let (status, after) = (response.status().as_u16(), retry_after(&response));
        let body = response.bytes().await.map_err(later)?;
        let Ok(answer) = serde_json::from_slice::<Answer>(&body) else {
            return Err(self.failure(
                status,
                format!("HTTP {status}, no answer of a Bot API"),
                after,
            ));
        };
        if answer.ok {
            // As text, since teloxide reads the names of an update's fields where they lie.
            let result =
                serde_json::from_str(answer.result.as_deref().map_or("null", RawValue::get));
            return result.map_err(|error| Failure::Later(self.hide(&error.to_string())));
        }
        let code = answer.error_code.unwrap_or(status);
        let parameters = answer.parameters.as_ref();
        if let Some(chat) = parameters.and_then(|it| it.migrate_to_chat_id) {
            return Err(Failure::Moved(chat));
        }
        let after = parameters.and_then(|it| it.retry_after).map(Duration::from_secs).or(after);
        let description = answer.description.unwrap_or_else(|| format!("error {code}"));
        Err(self.failure(code, description, after))
    }

    fn failure(&self, code: u16, reason: String, after: Option<Duration>) -> Failure {
        let reason = self.hide(&crate::text::plain(&reason, 300));
        match code {
            429 => Failure::Wait(after.unwrap_or(SOME_TIME)),
            401 | 404 => Failure::Token(reason),
            403 => Failure::Closed(reason),
            409 => Failure::Conflict(reason),
            400 | 402 | 405..=499 => Failure::Refused(reason),
            _ => Failure::Later(reason),
        }
    }

    /// The same text without the token.
    fn hide(&self, text: &str) -> String {
        let token = self.token.reveal();
        let key = token.rsplit(':').next().unwrap_or(token);
        text.replace(token, "***").replace(key, "***")
    }
}

/// Methods are written as in Telegram's documentation; teloxide's names begin with a capital.
fn camel(method: &str) -> String {
    let mut letters = method.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_ascii_lowercase().to_string() + letters.as_str())
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get("retry-after")?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn thread(place: Place) -> Option<ThreadId> {
    i32::try_from(place.topic)
        .ok()
        .filter(|topic| *topic != 0)
        .map(|topic| ThreadId(MessageId(topic)))
}

/// Addresses in a log are not to be visited by Telegram.
fn no_preview() -> LinkPreviewOptions {
    LinkPreviewOptions {
        is_disabled: true,
        url: None,
        prefer_small_media: false,
        prefer_large_media: false,
        show_above_text: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn telegram() -> Telegram {
        let settings = TelegramSettings::new("123:SECRET").unwrap();
        let settings = settings.at("http://127.0.0.1:1/api/").unwrap();
        Telegram::new(&settings, client().unwrap(), &Pace::default()).unwrap()
    }

    #[test]
    fn failures_are_told_apart_by_what_to_do() {
        let failure = |code| telegram().failure(code, "why".to_owned(), None);
        let why = || "why".to_owned();
        assert_eq!(failure(429), Failure::Wait(SOME_TIME));
        assert_eq!(failure(401), Failure::Token(why()));
        assert_eq!(failure(403), Failure::Closed(why()));
        assert_eq!(failure(400), Failure::Refused(why()));
        for code in [200, 302, 500, 502, 504] {
            assert_eq!(failure(code), Failure::Later(why()), "{code}");
        }
    }

    #[tokio::test]
    async fn an_error_never_contains_the_token() {
        let telegram = telegram();
        let request = telegram.request("GetMe", Duration::from_secs(1));
        let built = request.try_clone().unwrap().build().unwrap();
        assert_eq!(built.url().as_str(), "http://127.0.0.1:1/api/bot123:SECRET/getMe");
        let raw = request.send().await.unwrap_err();
        assert!(format!("{raw} {raw:?}").contains("SECRET"), "the danger is real");
        let failure = telegram.name().await.unwrap_err();
        assert!(matches!(failure, Failure::Later(_)), "{failure:?}");
        assert!(!format!("{failure:?}").contains("SECRET"), "{failure:?}");
        let told = telegram.failure(500, "at /bot123:SECRET/x and SECRET".to_owned(), None);
        assert_eq!(told, Failure::Later("at /bot***/x and ***".to_owned()));
    }
}
