//! What a call comes to.
//!
//! Input: a call and its end. Output: what the database is to note of it, all at once. Invariant: a link
//! is settled only by the other side, as delivered or as refused for ever.

use crate::store::{Change, Place, Settle};

/// Those that are sent to one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Lane {
    /// A chat of Telegram, with all its topics.
    Chat(i64),
    /// A webhook.
    Webhook(String),
}

/// A call in flight.
pub(crate) struct Call {
    /// To whom.
    pub lane: Lane,
    /// Its number in the database.
    pub number: Option<i64>,
    /// Where.
    pub place: Place,
    /// For which receiver; 0 for an answer.
    pub receiver: i64,
    /// About what.
    pub what: What,
}

/// What a call is about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum What {
    /// An answer of the bot.
    Reply(i64),
    /// Links up to this one, so many.
    Links(i64, u64),
    /// A digest that counts links up to this one, so many.
    Open(i64, u64),
    /// The same, edited; and the last link of its file when it is over.
    Edit(i64, Option<i64>),
}

/// What to note when the other side accepted a call and gave a message this number.
pub(crate) fn accepted(call: &Call, message: i32) -> Vec<Settle> {
    vec![match call.what {
        What::Reply(reply) => Settle::Replied(reply),
        What::Links(upto, links) => Settle::Delivered(call.receiver, upto, links),
        What::Open(upto, _) => Settle::DigestSent(call.receiver, message, upto),
        What::Edit(upto, closing) => Settle::DigestEdited(call.receiver, upto, closing),
    }]
}

/// What to note when it will never accept it.
pub(crate) fn refused(call: &Call, reason: &str) -> Vec<Settle> {
    let lower = reason.to_lowercase();
    let mut settles = vec![match call.what {
        What::Edit(upto, closing) if lower.contains("message is not modified") => {
            return vec![Settle::DigestEdited(call.receiver, upto, closing)];
        }
        What::Reply(reply) => Settle::Replied(reply),
        What::Links(upto, links) | What::Open(upto, links) => {
            Settle::Failed(call.receiver, upto, links)
        }
        What::Edit(..) => Settle::DigestLost(call.receiver),
    }];
    tracing::warn!(to = ?call.lane, reason, "a message was refused and is given up");
    if lower.contains("message thread not found") {
        settles.push(Settle::Change(Change::Unsubscribe(call.place)));
    }
    settles
}

/// What to note when it does not want to hear of us any more.
pub(crate) fn aside(chat: i64, call: &Call) -> Vec<Settle> {
    let state = if chat > 0 { "blocked" } else { "left" };
    let mut settles = vec![Settle::Change(Change::Aside(chat, state))];
    if let What::Reply(reply) = call.what {
        settles.push(Settle::Replied(reply));
    }
    settles
}

/// Tells metrics.
pub(crate) fn meter(lane: &Lane, settle: &Settle) {
    let to = match lane {
        Lane::Chat(_) => "telegram",
        Lane::Webhook(_) => "webhook",
    };
    match settle {
        Settle::Delivered(_, _, links) => {
            metrics::counter!("foreshock_alerts_sent_total", "to" => to).increment(*links);
        }
        Settle::Failed(_, _, links) => {
            metrics::counter!("foreshock_alerts_failed_total", "to" => to).increment(*links);
        }
        _ => {}
    }
}
