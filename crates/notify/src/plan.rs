//! What a chat is sent next.
//!
//! Input: how far it is, what waits for it, the time. Output: one step. A storm is when more problems
//! than the settings allow were found within [`Rules::calm`] or still wait: then a digest is sent, kept
//! up to date, and closed with a file when it is calm again; the links wait until the file is there.
//! Invariant: every link is in a message or in a file, and steps keep their order.

use crate::limits::millis;
use crate::settings::Pace;
use crate::store::{Digest, Millis, Receiver};

/// The times that steps go by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// How long links of one problem are gathered.
    pub gather: Millis,
    /// A storm is over when nothing was found for so long.
    pub calm: Millis,
    /// A digest is edited no more often.
    pub edit: Millis,
    /// A storm is cut after so long.
    pub longest: Millis,
}

impl Rules {
    /// Those of the settings.
    pub fn new(pace: &Pace) -> Rules {
        Rules {
            gather: millis(pace.gather),
            calm: millis(pace.calm),
            edit: millis(pace.edit),
            longest: millis(pace.longest_storm),
        }
    }
}

/// What waits for a chat.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Waiting {
    /// The last link of the outbox.
    pub last: i64,
    /// When it was found.
    pub last_found: Millis,
    /// When the first link was found that waits.
    pub first_found: Millis,
    /// Whether a link of another problem waits behind the first problem's.
    pub another: bool,
    /// Whether this is a storm.
    pub storm: bool,
}

/// What to do for a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing, before a time.
    Rest(Millis),
    /// Send the message about the problem that waits first.
    Alert,
    /// Send a digest.
    OpenDigest,
    /// Bring the digest up to date.
    EditDigest(Digest),
    /// Say that the storm is over.
    EndDigest(Digest),
    /// Send the file of a storm, up to this link.
    SendFile(i64),
}

/// Never.
pub(crate) const NEVER: Millis = Millis::MAX;

/// The next step for a chat.
pub(crate) fn step(now: Millis, receiver: &Receiver, waiting: &Waiting, rules: &Rules) -> Step {
    if receiver.muted_until > now {
        return Step::Rest(receiver.muted_until);
    }
    match receiver.digest {
        Some(Digest { closing: Some(upto), .. }) => Step::SendFile(upto),
        Some(digest) => storm(now, digest, waiting, rules),
        None if waiting.last <= receiver.position => Step::Rest(NEVER),
        None if waiting.storm => Step::OpenDigest,
        None if waiting.another || waiting.first_found + rules.gather <= now => Step::Alert,
        None => Step::Rest(waiting.first_found + rules.gather),
    }
}

fn storm(now: Millis, digest: Digest, waiting: &Waiting, rules: &Rules) -> Step {
    let over = (waiting.last_found + rules.calm).min(digest.since + rules.longest);
    if over <= now {
        return Step::EndDigest(digest);
    }
    if digest.upto == waiting.last {
        return Step::Rest(over);
    }
    let edit = digest.edited + rules.edit;
    if edit <= now { Step::EditDigest(digest) } else { Step::Rest(edit.min(over)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Language, Place, To};

    const RULES: Rules = Rules { gather: 10, calm: 100, edit: 30, longest: 1_000 };

    fn receiver(position: i64, digest: Option<Digest>) -> Receiver {
        Receiver {
            id: 1,
            to: To::Chat(Place { chat: 1, topic: 0 }),
            language: Language::En,
            muted_until: 0,
            joined: 0,
            position,
            digest,
        }
    }

    fn waiting(last: i64, storm: bool) -> Waiting {
        Waiting { last, last_found: 1_000, first_found: 1_000, another: false, storm }
    }

    #[test]
    fn a_link_is_told_when_its_problem_was_gathered() {
        let receiver = receiver(4, None);
        let step = |now, waiting: Waiting| step(now, &receiver, &waiting, &RULES);
        assert_eq!(step(1_000, waiting(4, false)), Step::Rest(NEVER));
        assert_eq!(step(1_000, waiting(5, false)), Step::Rest(1_010));
        assert_eq!(step(1_010, waiting(5, false)), Step::Alert);
        assert_eq!(step(1_000, Waiting { another: true, ..waiting(6, false) }), Step::Alert);
    }

    #[test]
    fn nothing_is_told_while_it_is_muted() {
        let mut receiver = receiver(4, None);
        receiver.muted_until = 2_000;
        assert_eq!(step(1_999, &receiver, &waiting(9, true), &RULES), Step::Rest(2_000));
        assert_eq!(step(2_000, &receiver, &waiting(9, true), &RULES), Step::OpenDigest);
    }

    #[test]
    fn a_storm_is_one_digest_edited_now_and_then_ended_and_followed_by_a_file() {
        let digest = Digest { message: 7, since: 1_000, edited: 1_000, upto: 9, closing: None };
        let storming = receiver(4, Some(digest));
        let step = |now, last| super::step(now, &storming, &waiting(last, true), &RULES);
        assert_eq!(step(1_050, 9), Step::Rest(1_100));
        assert_eq!(step(1_010, 12), Step::Rest(1_030));
        assert_eq!(step(1_030, 12), Step::EditDigest(digest));
        assert_eq!(step(1_100, 12), Step::EndDigest(digest));
        let closing = receiver(4, Some(Digest { closing: Some(12), ..digest }));
        let last = super::step(1_100, &closing, &waiting(40, true), &RULES);
        assert_eq!(last, Step::SendFile(12));
    }

    #[test]
    fn a_storm_without_end_is_cut() {
        let digest = Digest { message: 7, since: 0, edited: 995, upto: 9, closing: None };
        let step = step(1_000, &receiver(4, Some(digest)), &waiting(12, true), &RULES);
        assert_eq!(step, Step::EndDigest(digest));
    }
}
