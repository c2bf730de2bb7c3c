//! The live join: matched events in the order in which they happen to come → links, at once.
//!
//! One [`Windows`] is the state of one partition of matches: a window for each problem, which
//! holds the events that later ones may still link to. Time is the time of events. What is late
//! is judged in the order of *arrival* at the log stream, which every event carries, and not in
//! the order of working on it: so a backlog that is read topic by topic, by any number of
//! processes, loses nothing, and the same events give the same links.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use domain::{Dictionary, Event, Side, TextId};
use jiff::{SignedDuration, Timestamp};

use crate::link::{Link, Rule};
use crate::matching::Matched;

/// How far the stages may be behind one another in what they read of the log stream, in seconds
/// of arrival: so long nothing is forgotten, however far time went on.
const SKEW: i64 = 600;

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is in its window now.
    New,
    /// It was there already, and is told of again.
    Repeated,
    /// It came so much later than others of its time that what it would link to may be gone.
    Late,
}

/// The windows of one partition of matches.
pub struct Windows<'d> {
    dictionary: &'d Dictionary,
    rule: Rule,
    grace: SignedDuration,
    clock: Clock,
    by_problem: HashMap<u64, Window>,
    /// The least offset of the events that are there.
    oldest: Option<i64>,
}

/// The events of one problem.
#[derive(Default)]
struct Window {
    anomalies: HashMap<TextId, Series>,
    problems: HashMap<TextId, Series>,
}

/// The events of one text, by time.
type Series = BTreeMap<Key, Kept>;

/// What tells an event from others, and orders them in time.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    time: Timestamp,
    file: Arc<str>,
    line: u64,
    /// Of the raw line: files are rotated, and begin with line 1 again.
    digest: u64,
}

struct Kept {
    matched: Matched,
    offset: i64,
}

impl Key {
    fn of(event: &Event) -> Key {
        let mut hasher = DefaultHasher::new();
        event.raw.hash(&mut hasher);
        let (time, file, line) = (event.time, Arc::clone(&event.file), event.line);
        Key { time, file, line, digest: hasher.finish() }
    }

    /// Before every event of an instant.
    fn start(time: Timestamp) -> Key {
        Key { time, file: Arc::from(""), line: 0, digest: 0 }
    }
}

impl<'d> Windows<'d> {
    /// No events yet. Events that come up to `grace` after later ones still link.
    pub fn new(dictionary: &'d Dictionary, rule: Rule, grace: SignedDuration) -> Windows<'d> {
        let (clock, by_problem) = (Clock::default(), HashMap::new());
        Windows { dictionary, rule, grace, clock, by_problem, oldest: None }
    }

    /// Adds an event to the window of `problem`, and tells its links with what is there.
    ///
    /// `arrived` is when the event reached the log stream, in milliseconds since 1970; `offset` is
    /// its place in the partition, for [`Windows::evict`].
    pub fn add(
        &mut self,
        problem: u64,
        matched: Matched,
        arrived: i64,
        offset: i64,
        mut on_link: impl FnMut(Link),
    ) -> Added {
        let time = matched.event.time;
        let second = arrived.div_euclid(1000);
        let (key, text) = (Key::of(&matched.event), matched.found.text);
        let window = self.by_problem.entry(problem).or_default();
        if window.side(matched.side).get(&text).is_some_and(|own| own.contains_key(&key)) {
            return Added::Repeated;
        }
        if self.clock.before(second).is_some_and(|seen| seen.duration_since(time) > self.grace) {
            return Added::Late;
        }
        self.clock.see(second, time);
        window.join(self.dictionary, self.rule, problem, &matched, &mut on_link);
        window.side(matched.side).entry(text).or_default().insert(key, Kept { matched, offset });
        self.oldest = Some(self.oldest.map_or(offset, |oldest| oldest.min(offset)));
        Added::New
    }

    /// Forgets what no event can link to any more. Returns the offset of the oldest event that
    /// is still there.
    pub fn evict(&mut self) -> Option<i64> {
        let horizon = self
            .clock
            .settled()
            .and_then(|seen| seen.checked_sub(self.rule.window).ok()?.checked_sub(self.grace).ok());
        if horizon.is_some_and(|horizon| self.forget_before(&Key::start(horizon))) {
            self.oldest = self.events().map(|kept| kept.offset).min();
        }
        self.oldest
    }

    /// Forgets events, and returns whether there were any.
    fn forget_before(&mut self, start: &Key) -> bool {
        let mut any = false;
        let mut forget = |events: &mut Series| {
            if events.first_key_value().is_some_and(|(key, _)| key < start) {
                *events = events.split_off(start);
                any = true;
            }
            !events.is_empty()
        };
        self.by_problem.retain(|_, window| {
            window.anomalies.retain(|_, events| forget(events));
            window.problems.retain(|_, events| forget(events));
            !(window.anomalies.is_empty() && window.problems.is_empty())
        });
        any
    }

    /// How many events are there.
    pub fn len(&self) -> usize {
        self.by_problem.values().flat_map(Window::series).map(BTreeMap::len).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn events(&self) -> impl Iterator<Item = &Kept> {
        self.by_problem.values().flat_map(Window::series).flat_map(BTreeMap::values)
    }
}

impl Window {
    fn series(&self) -> impl Iterator<Item = &Series> {
        self.anomalies.values().chain(self.problems.values())
    }

    fn side(&mut self, side: Side) -> &mut HashMap<TextId, Series> {
        match side {
            Side::Anomaly => &mut self.anomalies,
            Side::Problem => &mut self.problems,
        }
    }

    /// Tells the links of a new event with the events of the texts its text is paired with.
    fn join(
        &self,
        dictionary: &Dictionary,
        rule: Rule,
        problem: u64,
        new: &Matched,
        on_link: &mut impl FnMut(Link),
    ) {
        for pair in dictionary.pairs_of(new.side, new.found.text) {
            let others = match new.side {
                Side::Anomaly if dictionary.problem_id(pair.problem) != problem => continue,
                Side::Anomaly => self.problems.get(&pair.problem),
                Side::Problem => self.anomalies.get(&pair.anomaly),
            };
            let row = &dictionary.rows()[pair.row];
            for Kept { matched: other, .. } in
                others.into_iter().flat_map(|it| around(it, new, rule))
            {
                let (anomaly, problem) = match new.side {
                    Side::Anomaly => (new, other),
                    Side::Problem => (other, new),
                };
                if rule.near(anomaly, problem) {
                    on_link(Link { row, anomaly, problem });
                }
            }
        }
    }
}

/// The events at most a window away from `new`.
fn around<'s>(series: &'s Series, new: &Matched, rule: Rule) -> impl Iterator<Item = &'s Kept> {
    let time = new.event.time;
    let first = Key::start(time.checked_sub(rule.window).unwrap_or(Timestamp::MIN));
    let last = time.checked_add(rule.window).unwrap_or(Timestamp::MAX);
    series.range(first..).take_while(move |(key, _)| key.time <= last).map(|(_, kept)| kept)
}

/// How far the time of events had gone when, by seconds of arrival.
#[derive(Default)]
struct Clock {
    /// The latest time seen up to a second of arrival; both rise.
    steps: BTreeMap<i64, Timestamp>,
    /// The latest time of arrivals that lie further back than [`SKEW`].
    settled: Option<Timestamp>,
}

impl Clock {
    /// The latest time of events that arrived before this second.
    fn before(&self, second: i64) -> Option<Timestamp> {
        self.steps.range(..second).next_back().map(|(_, time)| *time).or(self.settled)
    }

    /// The latest time of events that arrived so long ago that nothing of then is still to come.
    fn settled(&self) -> Option<Timestamp> {
        self.settled
    }

    fn see(&mut self, second: i64, time: Timestamp) {
        let so_far = self.steps.range(..=second).next_back().map(|(_, time)| *time);
        if so_far.or(self.settled).is_some_and(|so_far| so_far >= time) {
            return;
        }
        self.steps.insert(second, time);
        while let Some((&next, &later)) = self.steps.range(second + 1..).next()
            && later <= time
        {
            self.steps.remove(&next);
        }
        self.settle();
    }

    /// Joins what lies further back than [`SKEW`] into one.
    fn settle(&mut self) {
        let Some((&newest, _)) = self.steps.last_key_value() else { return };
        while let Some((&second, &time)) = self.steps.first_key_value()
            && second < newest - SKEW
        {
            self.settled = Some(time);
            self.steps.remove(&second);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn what_had_been_seen_when_does_not_depend_on_the_order_of_seeing() {
        let seen = [(10, 100), (12, 90), (11, 300), (15, 310), (13, 305), (10, 120)];
        let mut orders = vec![seen.to_vec(), seen.iter().rev().copied().collect()];
        orders.push([3, 0, 5, 2, 4, 1].map(|index| seen[index]).to_vec());
        for order in orders {
            let mut clock = Clock::default();
            order.iter().for_each(|(second, time)| clock.see(*second, at(*time)));
            let before = |second| clock.before(second).map(Timestamp::as_second);
            assert_eq!(
                [10, 11, 12, 13, 14, 15, 16].map(before),
                [None, Some(120), Some(300), Some(300), Some(305), Some(305), Some(310)]
            );
        }
    }

    #[test]
    fn nothing_settles_before_its_arrival_is_long_past() {
        let mut clock = Clock::default();
        clock.see(0, at(1_000_000));
        clock.see(SKEW, at(1_000_001));
        assert_eq!(clock.settled(), None);
        clock.see(SKEW + 1, at(1_000_002));
        assert_eq!(clock.settled(), Some(at(1_000_000)));
        assert_eq!(clock.before(-5), Some(at(1_000_000)), "the best that is known");
    }
}
