//! What the bot makes of an update.
//!
//! Input: an update of Telegram. Output: what changes, and an answer, both in one transaction. Texts are
//! Russian for those whose Telegram is, English for the rest. Invariants: an invite code is compared in
//! constant time and cannot be guessed at will; who may not subscribe learns nothing of the suite.

use jiff::{SignedDuration, Span, SpanRelativeTo};
use sha2::{Digest, Sha256};
use teloxide::types::{ChatMemberUpdated, Message, Update, UpdateKind};
use teloxide::utils::command::parse_command;

use crate::NotifyError;
use crate::alert::{clock, say, span};
use crate::notifier::Notifier;
use crate::settings::Secret;
use crate::store::{Change, Language, Millis, Place};
use crate::text::html;

/// The commands, in both languages.
pub(crate) const COMMANDS: [(&str, &str, &str); 6] = [
    ("start", "tell me of new links", "сообщать о новых связях"),
    ("stop", "tell me no more", "больше не сообщать"),
    ("status", "what runs, and what waits", "что работает и что ждёт"),
    ("mute", "be silent for a while: /mute 2h", "помолчать: /mute 2h"),
    ("unmute", "be silent no more", "больше не молчать"),
    ("help", "what this is", "что это такое"),
];

/// How long `/mute` without a time is.
const MUTE: SignedDuration = SignedDuration::from_hours(1);

/// The longest `/mute`: what waits must be kept.
const LONGEST_MUTE: SignedDuration = SignedDuration::from_hours(3 * 24);

/// The bot.
pub(crate) struct Bot<'a> {
    notifier: &'a Notifier,
    name: String,
}

/// A command, and where it came from.
struct Asked<'a> {
    place: Place,
    user: i64,
    language: Language,
    /// What stands behind the command.
    argument: &'a str,
    now: Millis,
}

/// What an update leads to.
#[derive(Default)]
struct Outcome {
    changes: Vec<Change>,
    answer: Option<String>,
}

impl<'a> Bot<'a> {
    /// The bot of this name.
    pub fn new(notifier: &'a Notifier, name: String) -> Bot<'a> {
        Bot { notifier, name }
    }

    /// Does what an update says, and notes that it is done.
    pub fn take(&self, update: &Update, now: Millis) -> Result<(), NotifyError> {
        let (outcome, place) = match &update.kind {
            UpdateKind::Message(message) => (self.message(message, now)?, place(message)),
            UpdateKind::MyChatMember(member) => (left(member), Place { chat: 0, topic: 0 }),
            UpdateKind::Error(_) => {
                tracing::debug!(update = update.id.0, "an update that is not understood");
                Default::default()
            }
            _ => Default::default(),
        };
        let answer = outcome.answer.map(|html| (place, html));
        self.notifier.store.take_update(update.id.0.into(), &outcome.changes, answer, now)
    }

    fn message(&self, message: &Message, now: Millis) -> Result<Outcome, NotifyError> {
        if let Some(to) = message.migrate_to_chat_id() {
            let changes = vec![Change::Move(message.chat.id.0, to.0)];
            return Ok(Outcome { changes, answer: None });
        }
        let Some(user) = &message.from else { return Ok(Outcome::default()) };
        let private = message.chat.is_private();
        let language = Language::of(user.language_code.as_deref());
        let text = message.text().unwrap_or_default();
        let command = parse_command(text, &self.name);
        let Some((command, arguments)) = command else {
            // In a group people talk to each other.
            let unasked = !private || message.text().is_none();
            let answer = (!unasked).then(|| unknown(language));
            return Ok(Outcome { changes: Vec::new(), answer });
        };
        let asked = Asked {
            place: place(message),
            user: i64::try_from(user.id.0).unwrap_or(i64::MAX),
            language,
            argument: &arguments.join(" "),
            now,
        };
        match command.to_lowercase().as_str() {
            "start" => self.start(&asked),
            "stop" => self.stop(&asked),
            "status" => self.status(&asked),
            "mute" => self.mute(&asked),
            "unmute" => self.unmute(&asked),
            "help" => Ok(self.help(&asked)),
            _ if private => Ok(Outcome { changes: Vec::new(), answer: Some(unknown(language)) }),
            // It may be meant for another bot of the group.
            _ => Ok(Outcome::default()),
        }
    }

    fn start(&self, asked: &Asked) -> Result<Outcome, NotifyError> {
        let Asked { place, user, language, argument, now } = *asked;
        let store = &self.notifier.store;
        let subscribed = store.receiver_at(place)?.is_some();
        let code =
            self.notifier.settings.telegram.as_ref().and_then(|bot| bot.invite_code.as_ref());
        if let Some(code) = code.filter(|_| !subscribed) {
            if store.guessed_too_often(user, now)? {
                return Ok(answer(say(
                    language,
                    "Too many wrong codes. Try again in an hour.",
                    "Слишком много неверных кодов. Попробуйте через час.",
                )));
            }
            if argument.is_empty() {
                return Ok(answer(say(
                    language,
                    "An invite code is needed: <code>/start CODE</code>. Ask whoever runs this bot.",
                    "Нужен код приглашения: <code>/start КОД</code>. Его знает тот, кто запустил бота.",
                )));
            }
            if !is_same(code, argument) {
                let text = say(language, "This code is not right.", "Код не подходит.");
                return Ok(Outcome { changes: vec![Change::Guess(user)], ..answer(text) });
            }
        }
        let text = match subscribed {
            true => say(
                language,
                "You are subscribed already. /help says what can be done.",
                "Вы уже подписаны. /help подскажет, что можно сделать.",
            ),
            false => say(
                language,
                "You are subscribed: each new link of a warning and an error is told here, many at \
                 once as one digest.\n/stop ends it, /mute 2h is silence for a while, /help says more.",
                "Вы подписаны: о каждой новой связи предупреждения и ошибки придёт сообщение, если их \
                 много сразу — одна сводка.\n/stop — отписаться, /mute 2h — помолчать, /help — подробнее.",
            ),
        };
        Ok(Outcome { changes: vec![Change::Subscribe(place, language)], ..answer(text) })
    }

    fn stop(&self, asked: &Asked) -> Result<Outcome, NotifyError> {
        if self.notifier.store.receiver_at(asked.place)?.is_none() {
            return Ok(answer(not_subscribed(asked.language)));
        }
        let text = say(
            asked.language,
            "You are not subscribed any more. /start begins again.",
            "Вы отписаны. /start — подписаться снова.",
        );
        Ok(Outcome { changes: vec![Change::Unsubscribe(asked.place)], ..answer(text) })
    }

    fn mute(&self, asked: &Asked) -> Result<Outcome, NotifyError> {
        if self.notifier.store.receiver_at(asked.place)?.is_none() {
            return Ok(answer(not_subscribed(asked.language)));
        }
        let Some(time) = mute_time(asked.argument) else {
            return Ok(answer(say(
                asked.language,
                "Say how long, three days at most: <code>/mute 2h</code>, <code>/mute 30m</code>.",
                "Напишите, на сколько, не больше трёх дней: <code>/mute 2h</code>, <code>/mute 30m</code>.",
            )));
        };
        let until = asked.now + i64::try_from(time.as_millis()).unwrap_or(0);
        let text = say(
            asked.language,
            "Silence for {}, until {}. What is found meanwhile comes afterwards. /unmute ends it.",
            "Тишина на {}, до {}. Найденное за это время придёт потом. /unmute — раньше.",
        );
        let text = text.replacen("{}", &span(time, asked.language), 1);
        let text = text.replacen("{}", &clock(until), 1);
        Ok(Outcome { changes: vec![Change::Mute(asked.place, until)], ..answer(&text) })
    }

    fn unmute(&self, asked: &Asked) -> Result<Outcome, NotifyError> {
        if self.notifier.store.receiver_at(asked.place)?.is_none() {
            return Ok(answer(not_subscribed(asked.language)));
        }
        let text = say(asked.language, "Alerts are on.", "Оповещения включены.");
        Ok(Outcome { changes: vec![Change::Mute(asked.place, 0)], ..answer(text) })
    }

    fn status(&self, asked: &Asked) -> Result<Outcome, NotifyError> {
        let Asked { place, language, now, .. } = *asked;
        let settings = &self.notifier.settings;
        let receiver = self.notifier.store.receiver_at(place)?;
        let closed = settings.telegram.as_ref().is_some_and(|bot| bot.invite_code.is_some());
        let Some(receiver) = receiver else {
            if closed {
                return Ok(answer(not_subscribed(language)));
            }
            let state = self.state(language)?;
            return Ok(answer(&format!("{state}\n{}", not_subscribed(language))));
        };
        let (last, _) = self.notifier.store.last()?;
        let waiting = say(language, "Waiting for this chat", "Ждёт этот чат");
        let mut text =
            format!("{}\n{waiting}: {}", self.state(language)?, last - receiver.position);
        if receiver.muted_until > now {
            let muted = say(language, "Silence until", "Тишина до");
            text = format!("{text}\n{muted} {}", clock(receiver.muted_until));
        }
        Ok(answer(&text))
    }

    /// What runs, the last link, and counts.
    fn state(&self, language: Language) -> Result<String, NotifyError> {
        let totals = self.notifier.store.totals()?;
        let about = self.notifier.settings.about.as_ref().map(|about| about());
        let about = about.unwrap_or_else(|| "Foreshock".to_owned());
        let last = match (&totals.last_title, totals.last_found) {
            (Some(title), Some(found)) => format!("{} ({})", html(title, 300), clock(found)),
            _ => say(language, "none yet", "пока нет").to_owned(),
        };
        let text = say(
            language,
            "✅ {}\nLast link: {}\nLinks: {}, delivered: {}, refused: {}, waiting: {}\nSubscribers: {}",
            "✅ {}\nПоследняя связь: {}\nСвязей: {}, доставлено: {}, отвергнуто: {}, ждёт: {}\nПодписчиков: {}",
        );
        let values = [
            html(&about, 1_000),
            last,
            totals.queued.to_string(),
            totals.sent.to_string(),
            totals.failed.to_string(),
            totals.waiting.to_string(),
            totals.chats.to_string(),
        ];
        // Piece by piece, as a value may hold braces itself.
        let pieces = text.split("{}").zip(values.iter().map(String::as_str).chain([""]));
        Ok(pieces.flat_map(|(text, value)| [text, value]).collect())
    }

    fn help(&self, asked: &Asked) -> Outcome {
        let intro = say(
            asked.language,
            "Foreshock finds the warnings that come before the errors, and tells you of each pair.",
            "Foreshock находит предупреждения, после которых приходят ошибки, и сообщает о каждой паре.",
        );
        let mut text = format!("{intro}\n");
        for (name, en, ru) in COMMANDS {
            text.push_str(&format!("\n/{name} — {}", say(asked.language, en, ru)));
        }
        answer(&text)
    }
}

fn answer(html: &str) -> Outcome {
    Outcome { changes: Vec::new(), answer: Some(html.to_owned()) }
}

fn not_subscribed(language: Language) -> &'static str {
    say(
        language,
        "You are not subscribed. /start subscribes.",
        "Вы не подписаны. /start — подписаться.",
    )
}

fn unknown(language: Language) -> String {
    say(
        language,
        "I do not understand this, sorry. /help says what I can do.",
        "Простите, этого я не понимаю. /help подскажет, что я умею.",
    )
    .to_owned()
}

/// Somebody blocked the bot, or took it out of a group.
fn left(member: &ChatMemberUpdated) -> Outcome {
    if member.new_chat_member.is_present() {
        return Outcome::default();
    }
    let state = if member.chat.is_private() { "blocked" } else { "left" };
    Outcome { changes: vec![Change::Aside(member.chat.id.0, state)], answer: None }
}

/// The chat of a message, and its topic when it has one.
fn place(message: &Message) -> Place {
    let topic = message.thread_id.filter(|_| message.is_topic_message);
    Place { chat: message.chat.id.0, topic: topic.map_or(0, |thread| thread.0.0.into()) }
}

/// Whether a code is the right one, in a time that does not tell how nearly.
fn is_same(code: &Secret, guess: &str) -> bool {
    let digest = |text: &str| Sha256::digest(text);
    let (right, guessed) = (digest(code.reveal()), digest(guess.trim()));
    let difference = right.iter().zip(guessed).fold(0, |so_far, (a, b)| so_far | (a ^ b));
    std::hint::black_box(difference) == 0
}

/// How long somebody wants silence, as people write it, in Latin or Cyrillic letters.
fn mute_time(text: &str) -> Option<SignedDuration> {
    if text.trim().is_empty() {
        return Some(MUTE);
    }
    let text = text.trim().to_lowercase();
    let latin =
        [("мин", "m"), ("час", "h"), ("дн", "d"), ("ч", "h"), ("м", "m"), ("д", "d"), ("с", "s")];
    let latin = latin.into_iter().fold(text, |text, (from, to)| text.replace(from, to));
    // Endings, as in «2 часа».
    let ascii: String = latin.chars().filter(char::is_ascii).collect();
    let span: Span = ascii.parse().ok()?;
    let time = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    (time > SignedDuration::ZERO && time <= LONGEST_MUTE).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Settings, TelegramSettings};
    use serde_json::{Value, json};

    const NOW: Millis = 1_760_000_000_000;

    struct Chat {
        _folder: tempfile::TempDir,
        notifier: Notifier,
        update: u32,
    }

    impl Chat {
        fn new(code: &str) -> Chat {
            let folder = tempfile::tempdir().unwrap();
            let mut settings = Settings::new(folder.path().join("x.db"));
            let bot = TelegramSettings::new("1:x").unwrap().invited_by(code);
            settings.telegram = Some(bot);
            settings.about = Some(std::sync::Arc::new(|| "4 roles {} <run>".to_owned()));
            let notifier = Notifier::open(settings).unwrap();
            Chat { _folder: folder, notifier, update: 0 }
        }

        fn take(&mut self, what: Value, now: Millis) -> Option<String> {
            self.update += 1;
            let mut update = json!({ "update_id": self.update });
            update.as_object_mut().unwrap().extend(what.as_object().unwrap().clone());
            // From text, as teloxide reads the names of fields where they lie.
            let update: Update = serde_json::from_str(&update.to_string()).unwrap();
            assert!(!matches!(update.kind, UpdateKind::Error(_)), "{update:?}");
            Bot::new(&self.notifier, "TheBot".to_owned()).take(&update, now).unwrap();
            let reply = self.notifier.store.replies().unwrap().pop()?;
            let done = [crate::store::Settle::Replied(reply.id)];
            self.notifier.store.settle(None, &done, now).unwrap();
            crate::text::tests::seen(&reply.html);
            Some(reply.html)
        }

        /// Says something in a private chat; gives the answer.
        fn say(&mut self, text: &str) -> String {
            self.message(text, 7, json!({ "type": "private" }), "en").unwrap_or_default()
        }

        fn message(&mut self, text: &str, chat: i64, about: Value, code: &str) -> Option<String> {
            self.take(message(text, chat, about, code), NOW)
        }

        fn subscribed(&self, chat: i64, topic: i64) -> bool {
            self.notifier.store.receiver_at(Place { chat, topic }).unwrap().is_some()
        }
    }

    fn message(text: &str, chat: i64, about: Value, code: &str) -> Value {
        let mut about = about;
        about["id"] = chat.into();
        about["first_name"] = "N".into();
        about["title"] = "G".into();
        json!({ "message": {
            "message_id": 1, "date": 1, "chat": about, "text": text,
            "from": { "id": 7, "is_bot": false, "first_name": "N", "language_code": code },
        }})
    }

    #[test]
    fn who_starts_is_subscribed_until_they_stop() {
        let mut chat = Chat::new("");
        assert!(chat.say("/start").starts_with("You are subscribed:"));
        assert!(chat.subscribed(7, 0));
        assert!(chat.say("/start").starts_with("You are subscribed already"));
        assert!(chat.say("/stop").starts_with("You are not subscribed any more"));
        assert!(!chat.subscribed(7, 0));
        assert!(chat.say("/stop").starts_with("You are not subscribed."));
        assert!(chat.say("/mute").starts_with("You are not subscribed."));
    }

    #[test]
    fn the_language_is_that_of_the_user() {
        let mut chat = Chat::new("");
        let private = || json!({ "type": "private" });
        let answer = chat.message("/start", 7, private(), "ru-RU").unwrap();
        assert!(answer.starts_with("Вы подписаны"), "{answer}");
        assert!(chat.message("/help", 7, private(), "ru").unwrap().contains("предупреждения"));
        assert!(chat.message("/help", 7, private(), "de").unwrap().contains("warnings"));
        let receiver = chat.notifier.store.receiver_at(Place { chat: 7, topic: 0 }).unwrap();
        assert_eq!(receiver.unwrap().language, Language::Ru);
    }

    #[test]
    fn an_invite_code_is_needed_where_it_is_set_and_cannot_be_guessed_at_will() {
        let mut chat = Chat::new("s3cret");
        assert!(chat.say("/start").contains("invite code"));
        assert!(!chat.say("/status").contains("Links"), "strangers learn nothing");
        for _ in 0..5 {
            assert_eq!(chat.say("/start guess"), "This code is not right.");
        }
        assert!(chat.say("/start s3cret").starts_with("Too many"));
        assert!(!chat.subscribed(7, 0));
        let later = NOW + 3_600_001;
        let about = json!({ "type": "private" });
        let answer = chat.take(message("/start s3cret", 7, about, "en"), later).unwrap();
        assert!(answer.starts_with("You are subscribed:"), "{answer}");
        assert!(chat.say("/start").starts_with("You are subscribed already"), "no code again");
    }

    #[test]
    fn groups_and_topics_subscribe_for_themselves() {
        let mut chat = Chat::new("");
        let group = || json!({ "type": "supergroup", "is_forum": true });
        assert!(chat.message("/start@OtherBot", -100, group(), "en").is_none());
        assert!(chat.message("good morning", -100, group(), "en").is_none());
        assert!(chat.message("/roll", -100, group(), "en").is_none());
        assert!(chat.message("/start@thebot", -100, group(), "en").is_some());
        let mut topic = message("/start", -100, group(), "en");
        topic["message"]["message_thread_id"] = 5.into();
        topic["message"]["is_topic_message"] = true.into();
        chat.take(topic.clone(), NOW);
        assert!(chat.subscribed(-100, 0) && chat.subscribed(-100, 5));
        // A reply in a group without topics has a thread as well.
        topic["message"]["message_thread_id"] = 6.into();
        topic["message"]["is_topic_message"] = false.into();
        chat.take(topic, NOW);
        assert!(!chat.subscribed(-100, 6));
    }

    #[test]
    fn who_blocks_the_bot_or_takes_it_out_is_set_aside_and_a_group_may_move() {
        let mut chat = Chat::new("");
        chat.say("/start");
        let user = json!({ "id": 1, "is_bot": true, "first_name": "B" });
        let member = |status: &str| json!({ "user": user, "status": status, "until_date": 0 });
        chat.take(
            json!({ "my_chat_member": {
                "chat": { "id": 7, "type": "private", "first_name": "N" }, "date": 1, "from": user,
                "old_chat_member": member("member"), "new_chat_member": member("kicked"),
            }}),
            NOW,
        );
        assert!(!chat.subscribed(7, 0));
        let group = || json!({ "type": "group" });
        chat.message("/start", -5, group(), "en");
        let mut moves = message("", -5, group(), "en");
        moves["message"].as_object_mut().unwrap().remove("text");
        moves["message"]["migrate_to_chat_id"] = (-1005).into();
        chat.take(moves, NOW);
        assert!(!chat.subscribed(-5, 0) && chat.subscribed(-1005, 0));
    }

    #[test]
    fn the_status_tells_what_runs_and_what_waits() {
        let mut chat = Chat::new("");
        chat.say("/start");
        let link = crate::record::example("a", jiff::Timestamp::UNIX_EPOCH);
        chat.notifier.enqueue(link.as_bytes()).unwrap();
        chat.say("/mute 2h");
        let status = chat.say("/status");
        for part in
            ["4 roles {} &lt;run&gt;", "Replica fell out", "waiting: 1", "Silence until 2025"]
        {
            assert!(status.contains(part), "{part}: {status}");
        }
        chat.say("/unmute");
        assert!(!chat.say("/status").contains("Silence"));
    }

    #[test]
    fn what_is_not_understood_is_answered_kindly_in_private() {
        let mut chat = Chat::new("");
        for text in ["hello?", "/strat", "/", "🙂", "/start@OtherBot"] {
            assert!(chat.say(text).starts_with("I do not understand"), "{text}");
        }
        chat.say("/start");
        assert!(chat.say("/mute soon").starts_with("Say how long"));
    }

    #[test]
    fn silence_is_asked_for_as_people_write() {
        let minutes = |text: &str| mute_time(text).map(|time| time.as_mins());
        let all = ["", "2h", "30m", "1d", "1h 30m", "2ч", "2 часа", "30 мин", "90 минут", "1 день"];
        let expected = [60, 120, 30, 1_440, 90, 120, 120, 30, 90, 1_440];
        assert_eq!(all.map(minutes), expected.map(Some));
        for wrong in ["soon", "-2h", "0s", "400d", "2", "1y"] {
            assert_eq!(minutes(wrong), None, "{wrong}");
        }
    }
}
