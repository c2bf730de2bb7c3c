//! Made-up results for tests: a dictionary of four pairs, and events that matched it.

use std::sync::Arc;

use domain::{Dictionary, Event, Level, Row, Side, TextId};
use jiff::{SignedDuration, Timestamp};
use linking::{Linked, Linker, Match, Matched, Method, Rule, Thresholds};
use parse::Counts;
use proptest::prelude::*;
use report::{Header, Judge};
use testing::made_up::Random;

use super::{Index, Looked};

/// A result and its index.
pub struct Made {
    pub linked: Linked,
    pub header: Header,
    pub index: Index,
}

impl Made {
    pub fn looked(&self) -> Looked<'_> {
        Looked { linked: &self.linked, index: &self.index }
    }

    /// All links, by number.
    pub fn all(&self) -> Vec<u32> {
        (0..self.index.len() as u32).collect()
    }
}

/// One event.
#[derive(Clone, Debug)]
pub struct Told {
    pub is_problem: bool,
    /// Its text: 0 or 1.
    pub text: u32,
    /// Milliseconds after 2025-10-06T00:00:00Z.
    pub time: i64,
    pub file: u8,
    pub component: u8,
    pub score: f32,
    pub message: &'static str,
}

pub const MESSAGES: [&str; 4] = ["Disk SLOW", "Сбой Диска", "replica 1/0/1 lag", "ошибка ПИТАНИЯ"];

pub const COMPONENTS: [&str; 5] = ["", "db", "Web", "sw-1", "память"];

pub fn events(most: usize) -> impl Strategy<Value = Vec<Told>> {
    let event = (
        any::<bool>(),
        0..2u32,
        prop_oneof![0..5_000i64, 0..90_000_000i64],
        0..40u8,
        0..40u8,
        0..=10u8,
        prop::sample::select(&MESSAGES[..]),
    );
    let event = event.prop_map(|(is_problem, text, time, file, component, score, message)| {
        let score = f32::from(score) / 10.0;
        Told { is_problem, text, time, file, component, score, message }
    });
    prop::collection::vec(event, 0..most)
}

/// Events in some files that make so many links and some more, all of one pair, two anomalies to
/// each problem.
pub fn many(links: usize) -> Vec<Told> {
    let mut random = Random(88_172_645_463_325_252);
    let mut event = |is_problem, time| Told {
        is_problem,
        text: 0,
        time,
        file: random.below(10) as u8,
        component: random.below(7) as u8,
        score: random.below(1000) as f32 / 1000.0,
        message: MESSAGES[random.below(4) as usize],
    };
    // Far enough apart for no problem to reach the anomalies of another.
    let group = |number: usize| (number as i64) * 2 * HOUR.as_millis() as i64;
    let mut events = Vec::new();
    for number in 0..links.div_ceil(2) {
        let time = group(number);
        events.extend([
            event(false, time),
            event(false, time + 1_700_000),
            event(true, time + 2_000_000),
        ]);
    }
    events
}

const HOUR: SignedDuration = SignedDuration::from_hours(1);

pub fn dictionary() -> Dictionary {
    let row = |(index, (anomaly, problem)): (usize, (u64, u64))| Row {
        line: index as u64 + 2,
        anomaly_id: 10 + anomaly,
        anomaly: ["Latency grows", "Журнал отстаёт"][anomaly as usize].to_owned(),
        problem_id: 20 + problem,
        problem: ["Реплика потеряна", "Array DEAD"][problem as usize].to_owned(),
    };
    let pairs = [(0, 0), (1, 0), (0, 1), (1, 1)];
    Dictionary::new(pairs.into_iter().enumerate().map(row).collect())
}

/// The result of events, an hour apart at most, of whose links the first `most` are looked at.
pub fn made(events: &[Told], most: usize) -> Made {
    let rule = Rule { window: HOUR, pair_threshold: None };
    let mut linker = Linker::new(Arc::new(dictionary()), rule);
    for (place, told) in events.iter().enumerate() {
        linker.add(matched(told, place as u64 + 1));
    }
    let linked = linker.finish();
    let header = Header {
        judge: Judge {
            model: "made up".to_owned(),
            matcher: Method::Cosine,
            thresholds: Thresholds { reference: 0.0, pair: None },
            window_seconds: 3600.0,
        },
        files: Vec::new(),
        total: Counts::default(),
        matched_anomalies: linked.matched(Side::Anomaly),
        matched_problems: linked.matched(Side::Problem),
        link_count: linked.count(),
        notices: Vec::new(),
    };
    let index = Index::new(&linked, most);
    Made { linked, header, index }
}

fn matched(told: &Told, line: u64) -> Matched {
    let start: Timestamp = "2025-10-06T00:00:00Z".parse().unwrap();
    let time = start + SignedDuration::from_millis(told.time);
    let side = if told.is_problem { Side::Problem } else { Side::Anomaly };
    let component = match COMPONENTS.get(told.component as usize) {
        Some(component) => (*component).to_owned(),
        None => format!("c{}", told.component),
    };
    let event = Event {
        time,
        timestamp: time.to_string().into(),
        level: if told.is_problem { Level::Error } else { Level::Warning },
        component: component.into(),
        message: told.message.into(),
        file: format!("Файл{}.log", told.file).into(),
        line,
        raw: format!("{time} {}", told.message).into(),
    };
    let found = Match { text: TextId(told.text), score: told.score, exact: false, runner_up: None };
    Matched { event, side, found, vector: None }
}
