//! What must hold of links, over generated events and dictionaries.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::{Dictionary, Event, Level, Row, Side, TextId, Vector};
use jiff::{SignedDuration, Timestamp};
use linking::{Added, Linked, Linker, Match, Matched, Rule, Windows, cosine};
use proptest::prelude::*;

const ANOMALIES: u32 = 4;
const PROBLEMS: u32 = 3;

/// A small world: rows of a dictionary, and events that are matched already.
#[derive(Clone, Debug)]
struct World {
    dictionary: Dictionary,
    events: Vec<Matched>,
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (0..ANOMALIES, 0..PROBLEMS, 0..3u64).prop_map(|(anomaly, problem, spread)| Row {
        line: 0,
        // One text may stand under several ids.
        anomaly_id: u64::from(anomaly) * 10 + spread,
        anomaly: format!("anomaly {anomaly}"),
        problem_id: u64::from(problem),
        problem: format!("problem {problem}"),
    });
    prop::collection::vec(row, 1..14).prop_map(|mut rows| {
        rows.iter_mut().enumerate().for_each(|(index, row)| row.line = index as u64 + 2);
        rows
    })
}

fn event(side: Side, text: TextId, seconds: i64, angle: u8, place: u64) -> Matched {
    let angle = f32::from(angle).to_radians();
    let vector: Vector = [angle.cos(), angle.sin()].into();
    let file: Arc<str> = format!("{}.log", place % 3).into();
    let event = Event {
        time: Timestamp::from_second(seconds).unwrap(),
        timestamp: seconds.to_string().into(),
        level: if side == Side::Problem { Level::Error } else { Level::Warning },
        component: "c".into(),
        message: "m".into(),
        file,
        line: place,
        raw: format!("{seconds} {side:?} {}", text.0).into(),
    };
    let found = Match { text, score: 1.0, exact: true, runner_up: None };
    Matched { event, side, found, vector: Some(vector) }
}

fn world() -> impl Strategy<Value = World> {
    let events = prop::collection::vec((any::<bool>(), 0..4u32, 0..200i64, 0..90u8), 0..60);
    (rows(), events).prop_map(|(rows, events)| {
        let dictionary = Dictionary::new(rows);
        let events = events.into_iter().enumerate().map(|(place, (error, text, time, angle))| {
            let side = if error { Side::Problem } else { Side::Anomaly };
            let count = dictionary.texts(side).len() as u32;
            event(side, TextId(text % count), time, angle, place as u64)
        });
        World { events: events.collect(), dictionary }
    })
}

fn rule(window: i64, pair_threshold: Option<f32>) -> Rule {
    Rule { window: SignedDuration::from_secs(window), pair_threshold }
}

fn linked(world: &World, rule: Rule) -> Linked {
    let mut linker = Linker::new(Arc::new(world.dictionary.clone()), rule);
    world.events.iter().cloned().for_each(|event| linker.add(event));
    linker.finish()
}

/// Everything a link says, comparable.
type Told = (String, u64, u64, u64, u64, i128);

fn told(linked: &Linked) -> Vec<Told> {
    let tell = |link: linking::Link| {
        let lag = link.lag().as_nanos();
        let (anomaly, problem) = (link.anomaly.event.line, link.problem.event.line);
        (link.id(), link.row.line, link.row.anomaly_id, anomaly, problem, lag)
    };
    linked.links().map(tell).collect()
}

/// The contract's words, taken literally: every error beside every warning.
fn naive(world: &World, rule: Rule) -> BTreeSet<(u64, u64, u64)> {
    let mut links = BTreeSet::new();
    for anomaly in world.events.iter().filter(|event| event.side == Side::Anomaly) {
        for problem in world.events.iter().filter(|event| event.side == Side::Problem) {
            let texts = |row: &&Row| {
                row.anomaly == world.dictionary.text(Side::Anomaly, anomaly.found.text).text
                    && row.problem == world.dictionary.text(Side::Problem, problem.found.text).text
            };
            let Some(row) = world.dictionary.rows().iter().find(texts) else { continue };
            let seconds = problem.event.time.as_second().abs_diff(anomaly.event.time.as_second());
            let near = rule.pair_threshold.is_none_or(|threshold| {
                let (one, other) = (anomaly.vector.as_ref(), problem.vector.as_ref());
                cosine(one.unwrap(), other.unwrap()) >= threshold
            });
            if seconds as i64 <= rule.window.as_secs() && near {
                links.insert((row.line, anomaly.event.line, problem.event.line));
            }
        }
    }
    links
}

/// The problems to whose windows an event is sent.
fn problems(dictionary: &Dictionary, matched: &Matched) -> BTreeSet<u64> {
    let pairs = dictionary.pairs_of(matched.side, matched.found.text);
    pairs.map(|pair| dictionary.problem_id(pair.problem)).collect()
}

/// The ids of the links that events give one by one, each with the second of its arrival; what
/// can be forgotten is forgotten after each.
fn live(
    dictionary: &Dictionary,
    rule: Rule,
    grace: i64,
    events: &[(Matched, i64)],
) -> (Vec<String>, usize) {
    let mut windows = Windows::new(dictionary, rule, SignedDuration::from_secs(grace));
    let (mut found, mut late) = (Vec::new(), 0);
    for (event, second) in events {
        for problem in problems(dictionary, event) {
            let added =
                windows.add(problem, event.clone(), second * 1000, 0, |link| found.push(link.id()));
            late += usize::from(added == Added::Late);
        }
        windows.evict();
    }
    (found, late)
}

fn ids(linked: &Linked) -> Vec<String> {
    let mut ids: Vec<String> = linked.links().map(|link| link.id()).collect();
    ids.sort();
    ids
}

proptest! {
    #[test]
    fn links_are_found_again_at_their_places_in_their_order(
        world in world(), window in 0..120i64, threshold in prop::option::of(0.0..1.0f32),
    ) {
        let linked = linked(&world, rule(window, threshold));
        let again: Vec<String> = linked.places().map(|place| linked.link(place).id()).collect();
        prop_assert_eq!(again, linked.links().map(|link| link.id()).collect::<Vec<_>>());
    }

    #[test]
    fn windows_find_what_the_batch_finds_in_any_order_of_working_and_with_repeats(
        world in world(), shuffled in Just(()).prop_perturb(|_, rng| rng),
        window in 0..120i64, threshold in prop::option::of(0.0..1.0f32),
    ) {
        let rule = rule(window, threshold);
        // They arrive in the order of their time, and are worked on in any other.
        let mut events: Vec<(Matched, i64)> =
            world.events.iter().map(|event| (event.clone(), event.event.time.as_second())).collect();
        events.extend(events.clone().into_iter().step_by(3));
        let mut random = shuffled;
        for index in (1..events.len()).rev() {
            events.swap(index, random.random_range(0..=index));
        }
        let (mut found, late) = live(&world.dictionary, rule, 0, &events);
        found.sort();
        prop_assert_eq!(found, ids(&linked(&world, rule)));
        prop_assert_eq!(late, 0);
    }

    #[test]
    fn windows_forget_nothing_that_an_event_within_the_grace_links_to(
        world in world(), delays in prop::collection::vec(0..=30i64, 60), window in 0..60i64,
    ) {
        let rule = rule(window, None);
        // A second of the events is an hour of arrival, so that much is forgotten on the way.
        let mut events: Vec<(Matched, i64)> = world.events.iter().zip(&delays)
            .map(|(event, delay)| (event.clone(), (event.event.time.as_second() + delay) * 3600))
            .collect();
        events.sort_by_key(|(_, arrival)| *arrival);
        let (mut found, late) = live(&world.dictionary, rule, 30, &events);
        found.sort();
        prop_assert_eq!(found, ids(&linked(&world, rule)));
        prop_assert_eq!(late, 0);
    }

    #[test]
    fn links_are_those_of_all_pairs_looked_at_one_by_one(
        world in world(), window in 0..120i64, threshold in prop::option::of(0.0..1.0f32),
    ) {
        let rule = rule(window, threshold);
        let linked = linked(&world, rule);
        let found = told(&linked);
        let as_set: BTreeSet<_> = found.iter().map(|it| (it.1, it.3, it.4)).collect();
        prop_assert_eq!(as_set.len(), found.len(), "no link twice");
        prop_assert_eq!(as_set, naive(&world, rule));
        prop_assert_eq!(linked.count(), found.len() as u64);
        let ids: BTreeSet<_> = found.iter().map(|it| &it.0).collect();
        prop_assert_eq!(ids.len(), found.len(), "every link has an id of its own");
    }

    #[test]
    fn any_order_of_events_gives_the_same_links_in_the_same_order(
        world in world(), shuffled in Just(()).prop_perturb(|_, rng| rng), window in 0..120i64,
    ) {
        let mut other = world.clone();
        let mut random = shuffled;
        for index in (1..other.events.len()).rev() {
            other.events.swap(index, random.random_range(0..=index));
        }
        let rule = rule(window, None);
        prop_assert_eq!(told(&linked(&world, rule)), told(&linked(&other, rule)));
    }

    #[test]
    fn a_wider_window_or_a_lower_threshold_never_loses_a_link(
        world in world(), window in 0..100i64, wider in 0..100i64,
        threshold in 0.0..1.0f32, lower in 0.0..1.0f32,
    ) {
        let ids = |rule| told(&linked(&world, rule)).into_iter().map(|it| it.0).collect();
        let narrow: BTreeSet<String> = ids(rule(window, Some(threshold)));
        let wide = ids(rule(window + wider, Some(threshold - lower)));
        prop_assert!(narrow.is_subset(&wide));
        prop_assert!(narrow.is_subset(&ids(rule(window, None))));
    }

    #[test]
    fn turning_time_around_keeps_every_link_and_turns_its_lag(
        world in world(), window in 0..120i64,
    ) {
        let mut turned = world.clone();
        for event in &mut turned.events {
            event.event.time = Timestamp::from_second(-event.event.time.as_second()).unwrap();
        }
        let rule = rule(window, None);
        let told = |world: &World, sign: i128| -> BTreeSet<_> {
            let found = told(&linked(world, rule)).into_iter();
            found.map(|it| (it.1, it.3, it.4, sign * it.5)).collect()
        };
        prop_assert_eq!(told(&world, 1), told(&turned, -1));
    }

    #[test]
    fn there_is_one_first_link_for_each_pair_of_texts_and_problem_event(
        world in world(), window in 0..120i64,
    ) {
        let linked = linked(&world, rule(window, None));
        let all: BTreeSet<_> = told(&linked).into_iter().map(|it| (it.1, it.4)).collect();
        let first: Vec<_> =
            linked.first_links().map(|it| (it.row.line, it.problem.event.line)).collect();
        prop_assert_eq!(first.len(), all.len());
        prop_assert_eq!(first.into_iter().collect::<BTreeSet<_>>(), all);
    }
}

#[test]
fn an_event_behind_the_grace_is_late_and_old_ones_are_forgotten() {
    let row = Row {
        line: 2,
        anomaly_id: 1,
        anomaly: "a".to_owned(),
        problem_id: 7,
        problem: "p".to_owned(),
    };
    let dictionary = Dictionary::new(vec![row]);
    let mut windows = Windows::new(&dictionary, rule(100, None), SignedDuration::from_secs(50));
    let mut add = |side, time: i64, arrival: i64, offset| {
        let event = event(side, TextId(0), time, 0, time as u64);
        let mut links = 0;
        let added = windows.add(7, event, arrival * 1000, offset, |_| links += 1);
        (added, links, windows.evict())
    };
    assert_eq!(add(Side::Anomaly, 1000, 1, 1), (Added::New, 0, Some(1)));
    assert_eq!(add(Side::Anomaly, 1000, 1, 2), (Added::Repeated, 0, Some(1)));
    assert_eq!(add(Side::Problem, 1100, 2, 3), (Added::New, 1, Some(1)));
    // As much behind as the grace allows, and a second more.
    assert_eq!(add(Side::Anomaly, 1050, 3, 4), (Added::New, 1, Some(1)));
    assert_eq!(add(Side::Anomaly, 1049, 3, 5), (Added::Late, 0, Some(1)));
    assert_eq!(add(Side::Anomaly, 1300, 10_000, 6), (Added::New, 0, Some(1)));
    // 1300 − 100 − 50 is the least that is kept, once its arrival is long past.
    assert_eq!(add(Side::Anomaly, 1301, 20_000, 7), (Added::New, 0, Some(6)));
}
