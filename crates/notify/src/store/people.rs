//! Who is told, what they asked for, and the answers that wait for them.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Millis, Store, add_to_fact, fact, outbox, set_fact};
use crate::NotifyError;

/// Wrong invite codes that a user may send…
const GUESSES: i64 = 5;
/// … within an hour.
const GUESSES_TIME: Millis = 3_600_000;

/// Answers that may wait for one place; whoever asks faster is not answered.
const REPLIES: i64 = 3;

/// Updates are forgotten by Telegram within a day, and their numbers may begin anew after a week.
const UPDATES_TIME: Millis = 24 * 3_600_000;

/// The language somebody is told in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    /// English.
    En,
    /// Russian.
    Ru,
}

impl Language {
    /// That of a Telegram client.
    pub fn of(code: Option<&str>) -> Language {
        match code.map(|code| code.split(['-', '_']).next().unwrap_or_default()) {
            Some(code) if code.eq_ignore_ascii_case("ru") => Language::Ru,
            _ => Language::En,
        }
    }

    fn code(self) -> &'static str {
        match self {
            Language::En => "en",
            Language::Ru => "ru",
        }
    }
}

/// A chat, or a topic of a supergroup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// The chat.
    pub chat: i64,
    /// The topic; 0 for none.
    pub topic: i64,
}

/// Where somebody is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum To {
    /// In Telegram.
    Chat(Place),
    /// At the webhook whose address has this digest.
    Webhook(String),
}

/// An active receiver.
#[derive(Clone, Debug)]
pub(crate) struct Receiver {
    /// Its number.
    pub id: i64,
    /// Where it is told.
    pub to: To,
    /// In which language.
    pub language: Language,
    /// Not before then.
    pub muted_until: Millis,
    /// Links behind this one are for it.
    pub joined: i64,
    /// Links up to this one are settled.
    pub position: i64,
    /// The digest of a storm that goes on.
    pub digest: Option<Digest>,
}

/// The digest of a storm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digest {
    /// Its message.
    pub message: i32,
    /// When it was sent.
    pub since: Millis,
    /// When it was last edited.
    pub edited: Millis,
    /// The last link it counts.
    pub upto: i64,
    /// The storm is over; the file goes up to this link.
    pub closing: Option<i64>,
}

/// An answer of the bot that waits.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    /// Its number.
    pub id: i64,
    /// For whom.
    pub place: Place,
    /// What it says.
    pub html: String,
}

/// What a command or an update changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Somebody is to be told from now on.
    Subscribe(Place, Language),
    /// Somebody is not, any more.
    Unsubscribe(Place),
    /// The bot cannot write to a chat any more: `blocked` or `left`.
    Aside(i64, &'static str),
    /// Nothing is told before a time.
    Mute(Place, Millis),
    /// A group has become a supergroup, with another number.
    Move(i64, i64),
    /// A user sent a wrong invite code.
    Guess(i64),
}

impl Store {
    /// Everyone who is to be told.
    pub fn receivers(&self) -> Result<Vec<Receiver>, NotifyError> {
        self.look(|connection| {
            let select = "SELECT id, kind, chat, topic, endpoint, language, muted_until, joined, \
                position, digest_message, digest_since, digest_edited, digest_upto, digest_closing \
                FROM receivers WHERE state = 'active' ORDER BY id";
            connection.prepare_cached(select)?.query_map([], receiver)?.collect()
        })
    }

    /// The active receiver at a place.
    pub fn receiver_at(&self, place: Place) -> Result<Option<Receiver>, NotifyError> {
        let everyone = self.receivers()?;
        Ok(everyone.into_iter().find(|receiver| receiver.to == To::Chat(place)))
    }

    /// Takes an update of Telegram as done, with all it changes and its answer.
    pub fn take_update(
        &self,
        update: i64,
        changes: &[Change],
        answer: Option<(Place, String)>,
        now: Millis,
    ) -> Result<(), NotifyError> {
        self.durably(|transaction| {
            for change in changes {
                apply(transaction, change, now)?;
            }
            if let Some((place, html)) = answer {
                let insert = "INSERT INTO replies (chat, topic, html) SELECT ?1, ?2, ?3 WHERE \
                    (SELECT count(*) FROM replies WHERE chat = ?1 AND topic = ?2) < ?4";
                transaction.execute(insert, params![place.chat, place.topic, html, REPLIES])?;
            }
            set_fact(transaction, "update", update)?;
            set_fact(transaction, "update_at", now)
        })
    }

    /// The last update that was taken, while Telegram still counts on from it.
    pub fn last_update(&self, now: Millis) -> Result<Option<i64>, NotifyError> {
        let fresh = self.fact("update_at")?.is_some_and(|at| (now - at).abs() < UPDATES_TIME);
        Ok(self.fact("update")?.filter(|_| fresh))
    }

    /// Whether a user has guessed too often.
    pub fn guessed_too_often(&self, user: i64, now: Millis) -> Result<bool, NotifyError> {
        self.look(|connection| {
            let select = "SELECT count FROM guesses WHERE user = ?1 AND since > ?2";
            let count: Option<i64> = connection
                .query_row(select, [user, now - GUESSES_TIME], |row| row.get(0))
                .optional()?;
            Ok(count.is_some_and(|count| count >= GUESSES))
        })
    }

    /// Answers that wait, in their order, the first of each place.
    pub fn replies(&self) -> Result<Vec<Reply>, NotifyError> {
        self.look(|connection| {
            let select =
                "SELECT min(id), chat, topic, html FROM replies GROUP BY chat, topic ORDER BY 1";
            let read = |row: &Row| {
                let place = Place { chat: row.get(1)?, topic: row.get(2)? };
                Ok(Reply { id: row.get(0)?, place, html: row.get(3)? })
            };
            connection.prepare_cached(select)?.query_map([], read)?.collect()
        })
    }

    /// Makes these webhooks (digests of their addresses) the ones that are told; those that are no
    /// longer set are not.
    pub fn set_webhooks(&self, endpoints: &[String], only: bool) -> Result<(), NotifyError> {
        self.durably(|transaction| {
            if only {
                let list = serde_json::to_string(endpoints).unwrap_or_default();
                let remove = "UPDATE receivers SET state = 'removed' WHERE kind = 'webhook' \
                    AND endpoint NOT IN (SELECT value FROM json_each(?1))";
                transaction.execute(remove, [list])?;
            }
            let last = outbox::last(transaction)?;
            for endpoint in endpoints {
                let add = "INSERT INTO receivers (kind, endpoint, state, joined, position) \
                    VALUES ('webhook', ?1, 'active', ?2, ?2) ON CONFLICT DO UPDATE SET \
                    state = 'active', joined = excluded.joined, position = excluded.position \
                    WHERE state <> 'active'";
                transaction.execute(add, params![endpoint, last])?;
            }
            Ok(())
        })
    }
}

pub(super) fn apply(connection: &Connection, change: &Change, now: Millis) -> rusqlite::Result<()> {
    match change {
        Change::Subscribe(Place { chat, topic }, language) => {
            let last = outbox::last(connection)?;
            // Who is subscribed already only changes the language.
            let add = "INSERT INTO receivers (kind, chat, topic, language, state, joined, position) \
                VALUES ('chat', ?1, ?2, ?3, 'active', ?4, ?4) \
                ON CONFLICT DO UPDATE SET language = excluded.language";
            connection.execute(add, params![chat, topic, language.code(), last])?;
            let again = "UPDATE receivers SET state = 'active', muted_until = 0, joined = ?3, \
                position = ?3, digest_message = NULL, digest_closing = NULL \
                WHERE kind = 'chat' AND chat = ?1 AND topic = ?2 AND state <> 'active'";
            connection.execute(again, params![chat, topic, last])?;
        }
        Change::Unsubscribe(Place { chat, topic }) => {
            let stop = "UPDATE receivers SET state = 'stopped' \
                WHERE kind = 'chat' AND chat = ?1 AND topic = ?2 AND state = 'active'";
            connection.execute(stop, params![chat, topic])?;
        }
        Change::Aside(chat, state) => {
            let aside = "UPDATE receivers SET state = ?2 \
                WHERE kind = 'chat' AND chat = ?1 AND state = 'active'";
            connection.execute(aside, params![chat, state])?;
            connection.execute("DELETE FROM replies WHERE chat = ?1", [chat])?;
        }
        Change::Mute(Place { chat, topic }, until) => {
            let mute = "UPDATE receivers SET muted_until = ?3 \
                WHERE kind = 'chat' AND chat = ?1 AND topic = ?2 AND state = 'active'";
            connection.execute(mute, params![chat, topic, until])?;
        }
        Change::Move(from, to) => {
            // Where the new number is known already, the old one is of no more use.
            connection.execute(
                "UPDATE OR IGNORE receivers SET chat = ?2 WHERE chat = ?1 AND kind = 'chat'",
                [from, to],
            )?;
            connection.execute(
                "UPDATE receivers SET state = 'left' WHERE chat = ?1 AND kind = 'chat'",
                [from],
            )?;
            connection.execute("UPDATE replies SET chat = ?2 WHERE chat = ?1", [from, to])?;
        }
        Change::Guess(user) => {
            let forget = "DELETE FROM guesses WHERE since <= ?1";
            connection.execute(forget, [now - GUESSES_TIME])?;
            let count = "INSERT INTO guesses (user, since, count) VALUES (?1, ?2, 1) \
                ON CONFLICT DO UPDATE SET count = count + 1";
            connection.execute(count, [*user, now])?;
            add_to_fact(connection, "guesses", 1)?;
        }
    }
    Ok(())
}

fn receiver(row: &Row) -> rusqlite::Result<Receiver> {
    let kind: String = row.get(1)?;
    let to = match kind.as_str() {
        "webhook" => To::Webhook(row.get(4)?),
        _ => To::Chat(Place { chat: row.get(2)?, topic: row.get(3)? }),
    };
    let message: Option<i32> = row.get(9)?;
    let digest = match message {
        None => None,
        Some(message) => Some(Digest {
            message,
            since: row.get(10)?,
            edited: row.get(11)?,
            upto: row.get(12)?,
            closing: row.get(13)?,
        }),
    };
    let language: String = row.get(5)?;
    Ok(Receiver {
        id: row.get(0)?,
        to,
        language: Language::of(Some(&language)),
        muted_until: row.get(6)?,
        joined: row.get(7)?,
        position: row.get(8)?,
        digest,
    })
}

/// Counts by state, for people who watch.
pub(super) fn count_active(connection: &Connection) -> rusqlite::Result<(u64, u64, u64)> {
    let count = |filter: &str| {
        let select = format!("SELECT count(*) FROM receivers WHERE {filter}");
        connection.prepare_cached(&select)?.query_row([], |row| row.get(0))
    };
    Ok((
        count("kind = 'chat' AND state = 'active'")?,
        count("kind = 'webhook' AND state = 'active'")?,
        count("kind = 'chat' AND state IN ('blocked', 'left')")?,
    ))
}

/// A counter; 0 when nothing was counted yet.
pub(super) fn counted(connection: &Connection, name: &str) -> rusqlite::Result<u64> {
    Ok(fact(connection, name)?.and_then(|value| u64::try_from(value).ok()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::super::tests::fresh;
    use super::*;

    const PLACE: Place = Place { chat: 5, topic: 0 };

    fn take(store: &Store, changes: &[Change]) {
        store.take_update(1, changes, None, 1_000).unwrap();
    }

    fn active(store: &Store) -> Vec<To> {
        store.receivers().unwrap().into_iter().map(|receiver| receiver.to).collect()
    }

    #[test]
    fn subscribers_come_go_and_are_set_aside() {
        let (_folder, store) = fresh();
        let topic = Place { chat: -100, topic: 3 };
        take(
            &store,
            &[Change::Subscribe(PLACE, Language::Ru), Change::Subscribe(topic, Language::En)],
        );
        assert_eq!(active(&store), [To::Chat(PLACE), To::Chat(topic)]);
        assert_eq!(store.receiver_at(PLACE).unwrap().unwrap().language, Language::Ru);
        take(&store, &[Change::Unsubscribe(PLACE), Change::Aside(-100, "left")]);
        assert_eq!(active(&store), []);
        take(&store, &[Change::Subscribe(PLACE, Language::En)]);
        assert_eq!(store.receiver_at(PLACE).unwrap().unwrap().language, Language::En);
    }

    #[test]
    fn a_group_that_moves_keeps_its_subscription_even_when_both_numbers_are_known() {
        let (_folder, store) = fresh();
        take(&store, &[Change::Subscribe(PLACE, Language::En), Change::Move(5, -1005)]);
        assert_eq!(active(&store), [To::Chat(Place { chat: -1005, topic: 0 })]);
        take(&store, &[Change::Subscribe(PLACE, Language::En), Change::Move(5, -1005)]);
        assert_eq!(active(&store), [To::Chat(Place { chat: -1005, topic: 0 })]);
    }

    #[test]
    fn guesses_are_limited_for_each_user_and_for_an_hour() {
        let (_folder, store) = fresh();
        for _ in 0..GUESSES {
            assert!(!store.guessed_too_often(9, 1_000).unwrap());
            take(&store, &[Change::Guess(9)]);
        }
        assert!(store.guessed_too_often(9, 1_000).unwrap());
        assert!(!store.guessed_too_often(8, 1_000).unwrap());
        assert!(!store.guessed_too_often(9, 1_000 + GUESSES_TIME).unwrap());
    }

    #[test]
    fn who_asks_too_fast_is_not_answered_more_often() {
        let (_folder, store) = fresh();
        for update in 0..10 {
            store.take_update(update, &[], Some((PLACE, update.to_string())), 0).unwrap();
        }
        let waiting: i64 = store
            .look(|it| it.query_row("SELECT count(*) FROM replies", [], |row| row.get(0)))
            .unwrap();
        assert_eq!(waiting, REPLIES);
        let first = store.replies().unwrap();
        assert_eq!((first.len(), first[0].html.as_str()), (1, "0"));
    }

    #[test]
    fn updates_are_counted_on_from_for_a_day() {
        let (_folder, store) = fresh();
        assert_eq!(store.last_update(0).unwrap(), None);
        store.take_update(41, &[], None, 1_000).unwrap();
        assert_eq!(store.last_update(2_000).unwrap(), Some(41));
        assert_eq!(store.last_update(1_000 + UPDATES_TIME).unwrap(), None);
    }

    #[test]
    fn webhooks_that_are_no_longer_set_are_not_told_and_a_helper_process_removes_none() {
        let (_folder, store) = fresh();
        let (one, two) = ("one".to_owned(), "two".to_owned());
        store.set_webhooks(&[one.clone(), two.clone()], true).unwrap();
        store.set_webhooks(&[], false).unwrap();
        assert_eq!(active(&store).len(), 2);
        store.set_webhooks(std::slice::from_ref(&two), true).unwrap();
        assert_eq!(active(&store), [To::Webhook(two)]);
    }
}
