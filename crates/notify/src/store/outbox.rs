//! The outbox: links that wait, how far each receiver is, and the calls under way.

use rusqlite::{Connection, OptionalExtension, Row, params};
use sha2::{Digest as _, Sha256};

use super::people::{apply, count_active, counted};
use super::{Change, Millis, Store, add_to_fact};
use crate::record::Record;
use crate::{Enqueued, NotifyError};

/// Links that are removed at once, so that nobody waits long for the file.
const TIDY: i64 = 5_000;

/// A link that waits.
#[derive(Clone, Debug)]
pub(crate) struct Queued {
    /// Its place in the outbox.
    pub seq: i64,
    /// When it was put there.
    pub found: Millis,
    /// Its JSON.
    pub json: Vec<u8>,
}

/// What a call came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Settle {
    /// A receiver has so many links, up to this one.
    Delivered(i64, i64, u64),
    /// A receiver will not get so many links, up to this one.
    Failed(i64, i64, u64),
    /// A digest was sent: receiver, message, the last link it counts.
    DigestSent(i64, i32, i64),
    /// A digest was edited: receiver, the last link it counts, and of its file when it is the end.
    DigestEdited(i64, i64, Option<i64>),
    /// The digest is no more, its links still wait.
    DigestLost(i64),
    /// An answer was sent, or never will be.
    Replied(i64),
    /// Nothing may be sent to a chat before a time.
    Pause(i64, Millis),
    /// As an update would.
    Change(Change),
}

/// What there is, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Chats that are told.
    pub chats: u64,
    /// Webhooks that are told.
    pub webhooks: u64,
    /// Chats that blocked the bot or that it left.
    pub aside: u64,
    /// Links put into the outbox, ever.
    pub queued: u64,
    /// Links not put there, as they had been told already.
    pub repeats: u64,
    /// Deliveries made: a link for a receiver is one.
    pub sent: u64,
    /// Deliveries given up: refused by the other side, or too old.
    pub failed: u64,
    /// Deliveries that wait.
    pub waiting: u64,
    /// When the last link was put into the outbox, in milliseconds since 1970.
    pub last_found: Option<i64>,
    /// The problem of the last link.
    pub last_title: Option<String>,
}

impl Store {
    /// Puts links into the outbox in one transaction; says for each what became of it. `chats` and
    /// `webhooks` say which kinds of receivers this process knows of.
    pub fn enqueue(
        &self,
        links: &[(Record, &[u8])],
        repeat: Millis,
        now: Millis,
    ) -> Result<Vec<Enqueued>, NotifyError> {
        self.durably(|transaction| {
            let anyone = "SELECT EXISTS (SELECT 1 FROM receivers WHERE state = 'active')";
            if !transaction.query_row(anyone, [], |row| row.get(0))? {
                return Ok(vec![Enqueued::Nobody; links.len()]);
            }
            let note = "INSERT INTO told (id, at) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE \
                SET at = excluded.at WHERE told.at <= ?3";
            let mut note = transaction.prepare_cached(note)?;
            let add = "INSERT INTO links (id, found, problem, title, record) \
                VALUES (?1, ?2, ?3, ?4, ?5)";
            let mut add = transaction.prepare_cached(add)?;
            let mut done = Vec::with_capacity(links.len());
            for (record, json) in links {
                if note.execute(params![record.id, now, now - repeat])? == 0 {
                    add_to_fact(transaction, "repeats", 1)?;
                    done.push(Enqueued::Repeat);
                    continue;
                }
                let (problem, title) = (key(record), &record.problem.text);
                add.execute(params![record.id, now, problem, title, json])?;
                add_to_fact(transaction, "queued", 1)?;
                done.push(Enqueued::Queued);
            }
            Ok(done)
        })
    }

    /// The last link ever put into the outbox, and when.
    pub fn last(&self) -> Result<(i64, Millis), NotifyError> {
        self.look(|connection| {
            let found = "SELECT found FROM links ORDER BY seq DESC LIMIT 1";
            let found = connection.prepare_cached(found)?.query_row([], |row| row.get(0));
            Ok((last(connection)?, found.optional()?.unwrap_or(0)))
        })
    }

    /// The last link that was put into the outbox at a time or before.
    pub fn last_before(&self, time: Millis) -> Result<i64, NotifyError> {
        self.look(|connection| {
            let select = "SELECT min(seq) FROM links WHERE found > ?1";
            let after: Option<i64> =
                connection.prepare_cached(select)?.query_row([time], |row| row.get(0))?;
            after.map_or_else(|| last(connection), |seq| Ok(seq - 1))
        })
    }

    /// Links behind one, at most so many.
    pub fn behind(&self, seq: i64, most: usize) -> Result<Vec<Queued>, NotifyError> {
        self.look(|connection| {
            let select =
                "SELECT seq, found, record FROM links WHERE seq > ?1 ORDER BY seq LIMIT ?2";
            let read =
                |row: &Row| Ok(Queued { seq: row.get(0)?, found: row.get(1)?, json: row.get(2)? });
            connection.prepare_cached(select)?.query_map(params![seq, most], read)?.collect()
        })
    }

    /// How many problems there are behind a link; counting ends at `most`.
    pub fn problems_behind(&self, seq: i64, most: u64) -> Result<u64, NotifyError> {
        self.look(|connection| {
            let select = "SELECT count(*) FROM \
                (SELECT DISTINCT problem FROM links WHERE seq > ?1 LIMIT ?2)";
            connection.prepare_cached(select)?.query_row(params![seq, most], |row| row.get(0))
        })
    }

    /// The problems named most often between two links, with their number of links.
    pub fn most_frequent(
        &self,
        behind: i64,
        upto: i64,
        most: usize,
    ) -> Result<Vec<(String, u64)>, NotifyError> {
        self.look(|connection| {
            let select = "SELECT title, count(*) FROM links WHERE seq > ?1 AND seq <= ?2 \
                GROUP BY title ORDER BY 2 DESC, 1 LIMIT ?3";
            let read = |row: &Row| Ok((row.get(0)?, row.get(1)?));
            connection
                .prepare_cached(select)?
                .query_map(params![behind, upto, most], read)?
                .collect()
        })
    }

    /// Notes that a call to a chat begins. Until it is settled it counts as one that may have come
    /// through.
    pub fn begin_call(&self, chat: i64) -> Result<i64, NotifyError> {
        self.quickly(|transaction| {
            transaction.prepare_cached("INSERT INTO calls (chat) VALUES (?1)")?.execute([chat])?;
            Ok(transaction.last_insert_rowid())
        })
    }

    /// Notes what a call came to, all at once.
    pub fn settle(
        &self,
        call: Option<i64>,
        settles: &[Settle],
        now: Millis,
    ) -> Result<(), NotifyError> {
        self.quickly(|transaction| {
            if let Some(call) = call {
                let end = "UPDATE calls SET ended = ?2 WHERE id = ?1";
                transaction.prepare_cached(end)?.execute([call, now])?;
            }
            settles.iter().try_for_each(|what| settle(transaction, what, now))
        })
    }

    /// Calls of a time and later: chat and end. Those that a crash cut off count as ended now.
    pub fn calls_since(
        &self,
        since: Millis,
        now: Millis,
    ) -> Result<Vec<(i64, Millis)>, NotifyError> {
        self.quickly(|transaction| {
            transaction.execute("UPDATE calls SET ended = ?1 WHERE ended IS NULL", [now])?;
            let select = "SELECT chat, ended FROM calls WHERE ended >= ?1 ORDER BY ended";
            let mut select = transaction.prepare(select)?;
            select.query_map([since], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        })
    }

    /// Chats that nothing may be sent to yet, and until when.
    pub fn pauses(&self, now: Millis) -> Result<Vec<(i64, Millis)>, NotifyError> {
        self.look(|connection| {
            let mut select =
                connection.prepare_cached("SELECT chat, until FROM pauses WHERE until > ?1")?;
            select.query_map([now], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        })
    }

    /// Removes what is of no more use: links that all are behind (and that no storm counts), calls
    /// before `calls`, repeats before `told`. Gives up on links from before `keep`.
    pub fn tidy(&self, old: &Old, now: Millis) -> Result<u64, NotifyError> {
        self.quickly(|transaction| {
            let given_up = give_up(transaction, old.keep)?;
            let settled = "DELETE FROM links WHERE seq IN (SELECT seq FROM links WHERE found < ?1 \
                AND seq < (SELECT max(seq) FROM links) AND seq <= coalesce((SELECT min(position) \
                FROM receivers WHERE state = 'active'), ?2) ORDER BY seq LIMIT ?3)";
            transaction.execute(settled, params![old.links, i64::MAX, TIDY])?;
            transaction.execute("DELETE FROM calls WHERE ended < ?1", [old.calls])?;
            transaction.execute("DELETE FROM told WHERE at < ?1", [old.told])?;
            transaction.execute("DELETE FROM pauses WHERE until < ?1", [now])?;
            Ok(given_up)
        })
    }

    /// What there is, in numbers.
    pub fn totals(&self) -> Result<Totals, NotifyError> {
        self.look(|connection| {
            let (chats, webhooks, aside) = count_active(connection)?;
            let waiting = "SELECT coalesce(sum(?1 - position), 0) FROM receivers \
                WHERE state = 'active'";
            let waiting = connection
                .prepare_cached(waiting)?
                .query_row([last(connection)?], |row| row.get(0))?;
            let last = "SELECT found, title FROM links ORDER BY seq DESC LIMIT 1";
            let last: Option<(i64, String)> = connection
                .prepare_cached(last)?
                .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let (last_found, last_title) = last.unzip();
            let counted = |name| counted(connection, name);
            Ok(Totals {
                chats,
                webhooks,
                aside,
                queued: counted("queued")?,
                repeats: counted("repeats")?,
                sent: counted("sent")?,
                failed: counted("failed")?,
                waiting,
                last_found,
                last_title,
            })
        })
    }

    /// How many receivers have not got a link yet.
    pub fn receivers_behind(&self, seq: i64) -> Result<u64, NotifyError> {
        self.look(|connection| {
            let select = "SELECT count(*) FROM receivers WHERE state = 'active' AND position < ?1";
            connection.prepare_cached(select)?.query_row([seq], |row| row.get(0))
        })
    }
}

/// Before which times things are of no more use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Old {
    /// Links that are settled.
    pub links: Millis,
    /// Links that are not.
    pub keep: Millis,
    /// Calls.
    pub calls: Millis,
    /// Links that were told.
    pub told: Millis,
}

/// The last link ever put into the outbox.
pub(super) fn last(connection: &Connection) -> rusqlite::Result<i64> {
    let select = "SELECT seq FROM sqlite_sequence WHERE name = 'links'";
    let last = connection.prepare_cached(select)?.query_row([], |row| row.get(0)).optional()?;
    Ok(last.unwrap_or(0))
}

/// Passes over links from before a time, for those who still wait for them.
fn give_up(connection: &Connection, before: Millis) -> rusqlite::Result<u64> {
    let newest = "SELECT max(seq) FROM links WHERE found < ?1";
    let newest: Option<i64> =
        connection.prepare_cached(newest)?.query_row([before], |row| row.get(0))?;
    let Some(newest) = newest else { return Ok(0) };
    let count = "SELECT coalesce(sum(?1 - position), 0) FROM receivers \
        WHERE state = 'active' AND position < ?1";
    let count: i64 = connection.query_row(count, [newest], |row| row.get(0))?;
    if count > 0 {
        connection.execute(
            "UPDATE receivers SET position = ?1 WHERE state = 'active' AND position < ?1",
            [newest],
        )?;
        add_to_fact(connection, "failed", count)?;
    }
    Ok(u64::try_from(count).unwrap_or(0))
}

fn settle(connection: &Connection, what: &Settle, now: Millis) -> rusqlite::Result<()> {
    // A position never goes back: somebody may have left and come again meanwhile.
    let advance = "UPDATE receivers SET position = max(position, ?2), \
        digest_message = iif(digest_closing IS NULL, digest_message, NULL), digest_closing = NULL \
        WHERE id = ?1";
    match what {
        Settle::Delivered(receiver, upto, links) => {
            connection.prepare_cached(advance)?.execute([receiver, upto])?;
            add_to_fact(connection, "sent", i64::try_from(*links).unwrap_or(i64::MAX))?;
        }
        Settle::Failed(receiver, upto, links) => {
            connection.prepare_cached(advance)?.execute([receiver, upto])?;
            add_to_fact(connection, "failed", i64::try_from(*links).unwrap_or(i64::MAX))?;
        }
        Settle::DigestSent(receiver, message, upto) => {
            let set = "UPDATE receivers SET digest_message = ?2, digest_upto = ?3, \
                digest_since = ?4, digest_edited = ?4, digest_closing = NULL WHERE id = ?1";
            connection.prepare_cached(set)?.execute(params![receiver, message, upto, now])?;
        }
        Settle::DigestEdited(receiver, upto, closing) => {
            let set = "UPDATE receivers SET digest_upto = ?2, digest_edited = ?3, \
                digest_closing = ?4 WHERE id = ?1 AND digest_message IS NOT NULL";
            connection.prepare_cached(set)?.execute(params![receiver, upto, now, closing])?;
        }
        Settle::DigestLost(receiver) => {
            let lost = "UPDATE receivers SET digest_message = NULL, digest_closing = NULL \
                WHERE id = ?1";
            connection.execute(lost, [receiver])?;
        }
        Settle::Replied(reply) => {
            connection.execute("DELETE FROM replies WHERE id = ?1", [reply])?;
        }
        Settle::Pause(chat, until) => {
            let pause = "INSERT OR REPLACE INTO pauses (chat, until) VALUES (?1, ?2)";
            connection.execute(pause, [chat, until])?;
        }
        Settle::Change(change) => apply(connection, change, now)?,
    }
    Ok(())
}

/// A number for the problem event of a link.
fn key(record: &Record) -> i64 {
    let digest = Sha256::digest(record.problem_key());
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    i64::from_le_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::super::tests::fresh;
    use super::super::{Language, Place};
    use super::*;
    use crate::record::tests::record;

    const PLACE: Place = Place { chat: 5, topic: 0 };

    fn subscribed() -> (tempfile::TempDir, Store) {
        let (folder, store) = fresh();
        let subscribe = [Change::Subscribe(PLACE, Language::En)];
        store.take_update(1, &subscribe, None, 0).unwrap();
        (folder, store)
    }

    fn put(store: &Store, id: &str, now: Millis) -> Enqueued {
        let link: (Record, &[u8]) = (record(id, "disk"), b"{}");
        store.enqueue(&[link], 1_000, now).unwrap()[0]
    }

    #[test]
    fn nothing_is_kept_for_nobody() {
        let (_folder, store) = fresh();
        assert_eq!(put(&store, "a", 0), Enqueued::Nobody);
        assert_eq!(store.totals().unwrap(), Totals::default());
    }

    #[test]
    fn a_repeat_is_told_again_only_after_its_time() {
        let (_folder, store) = subscribed();
        assert_eq!(put(&store, "a", 0), Enqueued::Queued);
        assert_eq!(put(&store, "a", 999), Enqueued::Repeat);
        assert_eq!(put(&store, "b", 999), Enqueued::Queued);
        assert_eq!(put(&store, "a", 1_000), Enqueued::Queued);
        assert_eq!(put(&store, "a", 1_999), Enqueued::Repeat);
        let totals = store.totals().unwrap();
        assert_eq!((totals.queued, totals.repeats, totals.waiting), (3, 2, 3));
    }

    #[test]
    fn a_position_goes_forward_only_and_links_behind_all_are_removed() {
        let (_folder, store) = subscribed();
        for (number, id) in ["a", "b", "c"].iter().enumerate() {
            put(&store, id, number as i64);
        }
        let receiver = store.receivers().unwrap()[0].id;
        store.settle(None, &[Settle::Delivered(receiver, 2, 2)], 0).unwrap();
        store.settle(None, &[Settle::Delivered(receiver, 1, 1)], 0).unwrap();
        assert_eq!(store.receivers().unwrap()[0].position, 2);
        let old = Old { links: 100, keep: -1, calls: 0, told: 0 };
        assert_eq!(store.tidy(&old, 0).unwrap(), 0);
        let left: Vec<i64> = store.behind(0, 9).unwrap().iter().map(|link| link.seq).collect();
        assert_eq!(left, [3]);
        assert_eq!(store.totals().unwrap().waiting, 1);
    }

    #[test]
    fn what_is_too_old_is_given_up_and_counted() {
        let (_folder, store) = subscribed();
        put(&store, "a", 0);
        put(&store, "b", 50);
        let old = Old { links: 100, keep: 10, calls: 0, told: 0 };
        assert_eq!(store.tidy(&old, 0).unwrap(), 1);
        let totals = store.totals().unwrap();
        assert_eq!((totals.failed, totals.waiting), (1, 1));
    }

    #[test]
    fn who_comes_later_is_told_only_what_is_found_later() {
        let (_folder, store) = subscribed();
        put(&store, "a", 0);
        let later = Place { chat: 6, topic: 0 };
        let subscribe = [Change::Subscribe(later, Language::En)];
        store.take_update(2, &subscribe, None, 0).unwrap();
        assert_eq!(store.receiver_at(later).unwrap().unwrap().position, 1);
    }

    #[test]
    fn a_call_that_a_crash_cut_off_counts_as_just_ended() {
        let (_folder, store) = fresh();
        let one = store.begin_call(5).unwrap();
        store.begin_call(6).unwrap();
        store.settle(Some(one), &[], 100).unwrap();
        assert_eq!(store.calls_since(0, 900).unwrap(), [(5, 100), (6, 900)]);
        assert_eq!(store.calls_since(101, 950).unwrap(), [(6, 900)]);
    }
}
