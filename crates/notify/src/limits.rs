//! How fast Telegram lets a bot speak.
//!
//! Input: when calls begin and end. Output: when the next one may begin. Invariant: whoever counts
//! calls as they arrive never counts more than the limits allow, since a call is held against the
//! limits from its beginning until so long after its *end*, and it arrived between the two.

use std::collections::{HashMap, VecDeque};

use crate::settings::Pace;
use crate::store::Millis;

/// Times are read in whole milliseconds: one more is sure to be enough.
const ROUNDING: Millis = 1;

/// What the limits allow, given the calls so far.
pub(crate) struct Limits {
    per_second: usize,
    second: Millis,
    per_minute: usize,
    minute: Millis,
    in_flight: usize,
    ends: VecDeque<Millis>,
    until: Millis,
    chats: HashMap<i64, Chat>,
}

#[derive(Default)]
struct Chat {
    in_flight: usize,
    ends: VecDeque<Millis>,
    until: Millis,
}

impl Limits {
    /// No calls yet.
    pub fn new(pace: &Pace) -> Limits {
        Limits {
            per_second: pace.per_second.max(1),
            second: millis(pace.second) + ROUNDING,
            per_minute: pace.per_minute.max(1),
            minute: millis(pace.minute) + ROUNDING,
            in_flight: 0,
            ends: VecDeque::new(),
            until: 0,
            chats: HashMap::new(),
        }
    }

    /// When a call to a chat may begin: now, later, or not before another one has ended.
    pub fn free_at(&self, chat: i64, now: Millis) -> Option<Millis> {
        let free = self.any_free_at(now)?;
        let Some(chat) = self.chats.get(&chat) else { return Some(free) };
        if chat.in_flight > 0 {
            return None;
        }
        let after = |end: Option<&Millis>, span| end.map_or(now, |end| end + span);
        let spaced = after(chat.ends.back(), self.second);
        let nth = chat.ends.len().checked_sub(self.per_minute);
        let counted = after(nth.and_then(|nth| chat.ends.get(nth)), self.minute);
        Some(free.max(spaced).max(counted).max(chat.until))
    }

    /// When a call to anyone may begin.
    pub fn any_free_at(&self, now: Millis) -> Option<Millis> {
        let taken =
            self.in_flight + self.ends.iter().filter(|end| **end + self.second > now).count();
        if taken < self.per_second {
            return Some(now.max(self.until));
        }
        // As many must have ended for long enough as are too many.
        let first = self.ends.len() - (taken - self.in_flight);
        let end = self.ends.get(first + taken - self.per_second)?;
        Some((end + self.second).max(self.until))
    }

    /// A call to a chat begins.
    pub fn begin(&mut self, chat: i64) {
        self.in_flight += 1;
        self.chats.entry(chat).or_default().in_flight += 1;
    }

    /// A call to a chat has ended.
    pub fn end(&mut self, chat: i64, now: Millis) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let entry = self.chats.entry(chat).or_default();
        entry.in_flight = entry.in_flight.saturating_sub(1);
        self.note(chat, now);
    }

    /// A call to a chat ended at a time.
    pub fn note(&mut self, chat: i64, end: Millis) {
        self.ends.push_back(end);
        while self.ends.len() > self.per_second {
            self.ends.pop_front();
        }
        let ends = &mut self.chats.entry(chat).or_default().ends;
        ends.push_back(end);
        while ends.len() > self.per_minute {
            ends.pop_front();
        }
    }

    /// Nothing may be sent to a chat before a time. True when another one is waited for already, which
    /// says that it is the bot that is too fast: then nothing may be sent to anyone.
    pub fn pause(&mut self, chat: i64, until: Millis, now: Millis) -> bool {
        let others = self.chats.iter().any(|(other, it)| *other != chat && it.until > now);
        let entry = self.chats.entry(chat).or_default();
        entry.until = entry.until.max(until);
        if others {
            self.pause_all(until);
        }
        others
    }

    /// Nothing may be sent to anyone before a time.
    pub fn pause_all(&mut self, until: Millis) {
        self.until = self.until.max(until);
    }

    /// Forgets chats that nothing holds back.
    pub fn tidy(&mut self, now: Millis) {
        let minute = self.minute;
        self.chats.retain(|_, chat| {
            let recent = chat.ends.back().is_some_and(|end| end + minute > now);
            chat.in_flight > 0 || recent || chat.until > now
        });
    }
}

/// A time in milliseconds.
pub(crate) fn millis(time: std::time::Duration) -> Millis {
    Millis::try_from(time.as_millis()).unwrap_or(Millis::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_chat_is_spoken_to_once_a_second_and_twenty_times_a_minute() {
        let mut limits = Limits::new(&Pace::default());
        let (mut now, mut starts) = (0, Vec::new());
        while starts.len() < 60 {
            now = limits.free_at(1, now).unwrap();
            limits.begin(1);
            assert_eq!(limits.free_at(1, now), None);
            limits.end(1, now);
            starts.push(now);
        }
        assert!(starts.windows(2).all(|two| two[1] - two[0] >= 1_000));
        assert!(starts.windows(21).all(|some| some[20] - some[0] >= 60_000));
        assert!(now < 140_000, "{now}");
    }

    #[test]
    fn two_chats_that_must_be_waited_for_stop_everything() {
        let mut limits = Limits::new(&Pace::default());
        assert!(!limits.pause(1, 5_000, 0));
        assert_eq!((limits.free_at(1, 0), limits.free_at(2, 0)), (Some(5_000), Some(0)));
        assert!(limits.pause(2, 3_000, 0));
        assert_eq!((limits.free_at(1, 0), limits.free_at(3, 0)), (Some(5_000), Some(3_000)));
    }

    proptest! {
        /// Calls that take a while arrive at any time between their beginning and their end.
        #[test]
        fn whoever_counts_arrivals_never_counts_too_many(
            calls in prop::collection::vec((0i64..6, 0i64..1_500, 0.0f64..1.0), 1..300)
        ) {
            let pace = Pace { per_second: 5, per_minute: 7, ..Pace::default() };
            let mut limits = Limits::new(&pace);
            let mut running: Vec<(i64, i64)> = Vec::new();
            let mut arrivals: Vec<(i64, i64)> = Vec::new();
            let mut now = 0;
            for (chat, takes, arrives) in calls {
                loop {
                    running.sort_unstable();
                    let at = limits.free_at(chat, now);
                    match (running.first().copied(), at) {
                        (Some((end, other)), at) if at.is_none_or(|at| end <= at) => {
                            running.remove(0);
                            now = now.max(end);
                            limits.end(other, now);
                        }
                        (_, Some(at)) if at <= now => break,
                        (_, Some(at)) => now = at,
                        (_, None) => panic!("waits for nothing"),
                    }
                }
                limits.begin(chat);
                running.push((now + takes, chat));
                arrivals.push((now + (takes as f64 * arrives) as i64, chat));
            }
            arrivals.sort_unstable();
            for some in arrivals.windows(6) {
                prop_assert!(some[5].0 - some[0].0 >= 1_000);
            }
            for chat in 0..6 {
                let times: Vec<i64> =
                    arrivals.iter().filter(|call| call.1 == chat).map(|call| call.0).collect();
                prop_assert!(times.windows(2).all(|two| two[1] - two[0] >= 1_000));
                prop_assert!(times.windows(8).all(|some| some[7] - some[0] >= 60_000));
            }
        }
    }
}
