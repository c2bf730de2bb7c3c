//! How well messages were matched, against labels.
//!
//! A message is *right* when it was taken for the text its label names. Precision is the share of
//! right ones among those taken for some text, recall their share among those whose label names
//! a text. Intervals are percentiles of a bootstrap over the messages (Efron 1979), drawn from a
//! fixed seed, so that equal input gives equal figures.

use std::collections::BTreeMap;

use serde::Serialize;

/// Resamples of the bootstrap.
const RESAMPLES: usize = 1000;
/// The share of resamples left out at each end of an interval: 95 % lie within.
const TAIL: f64 = 0.025;
/// The width of a row of the calibration table.
const BIN: f32 = 0.1;

/// One labelled message and what it was taken for.
#[derive(Clone, Debug)]
pub struct Labelled {
    /// What the label says the message is, such as `anomaly`, `problem` or `none`.
    pub kind: String,
    /// How hard the label says it is.
    pub difficulty: String,
    /// Whether the label names a text.
    pub has_target: bool,
    /// Whether the nearest text is the one the label names.
    pub nearest_is_target: bool,
    /// The score of the nearest text; `None` when there is none.
    pub score: Option<f32>,
    /// Whether the message is the nearest text itself, which no threshold can refuse.
    pub exact: bool,
    /// Whether the message was taken for the nearest text.
    pub accepted: bool,
}

impl Labelled {
    fn accepted_at(&self, threshold: f32) -> bool {
        self.exact || self.score.is_some_and(|score| score >= threshold)
    }
}

/// A share with its 95 % interval; `None` when there is nothing to share.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Share {
    /// The share, from 0 to 1.
    pub value: f64,
    /// The ends of the interval.
    pub interval: [f64; 2],
}

/// The measures of a set of messages.
#[derive(Clone, Debug, Serialize)]
pub struct Measures {
    /// Messages.
    pub messages: usize,
    /// Messages whose label names a text.
    pub with_target: usize,
    /// Right ones among those taken for some text.
    pub precision: Option<Share>,
    /// Right ones among those whose label names a text.
    pub recall: Option<Share>,
    /// The harmonic mean of precision and recall.
    pub f1: Option<Share>,
    /// Those whose nearest text is the right one, accepted or not, among those whose label names
    /// a text.
    pub top1: Option<Share>,
    /// Those taken for some text among those whose label names none.
    pub decoys_matched: Option<Share>,
}

/// A row of the calibration table: messages by the score of their nearest text.
#[derive(Clone, Debug, Serialize)]
pub struct Bin {
    /// The least score of the row.
    pub from: f32,
    /// Messages.
    pub messages: usize,
    /// Those whose nearest text is the right one.
    pub right: usize,
}

/// A point of the curve over thresholds.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// The threshold.
    pub threshold: f32,
    /// Precision at it.
    pub precision: f64,
    /// Recall at it.
    pub recall: f64,
    /// F1 at it.
    pub f1: f64,
    /// The share of decoys matched at it.
    pub decoys_matched: f64,
}

/// Everything that is said of a set of labelled messages.
#[derive(Clone, Debug, Serialize)]
pub struct Evaluation {
    /// All messages.
    pub all: Measures,
    /// By the kind of their label.
    pub by_kind: BTreeMap<String, Measures>,
    /// By the difficulty of their label.
    pub by_difficulty: BTreeMap<String, Measures>,
    /// How often a score is right.
    pub calibration: Vec<Bin>,
    /// What other thresholds would give.
    pub curve: Vec<Point>,
    /// The point of the curve with the best F1.
    pub best: Option<Point>,
}

impl Evaluation {
    /// Measures labelled messages.
    pub fn new(messages: &[Labelled]) -> Evaluation {
        let curve: Vec<Point> = (0..=20).map(|step| point(messages, step as f32 * 0.05)).collect();
        let fine = (0..=100).map(|step| point(messages, step as f32 * 0.01));
        Evaluation {
            all: measures(messages.iter()),
            by_kind: grouped(messages, |message| &message.kind),
            by_difficulty: grouped(messages, |message| &message.difficulty),
            calibration: calibration(messages),
            curve,
            best: fine.max_by(|one, other| one.f1.total_cmp(&other.f1)),
        }
    }
}

fn grouped(messages: &[Labelled], by: fn(&Labelled) -> &str) -> BTreeMap<String, Measures> {
    let mut groups: BTreeMap<&str, Vec<&Labelled>> = BTreeMap::new();
    messages.iter().for_each(|message| groups.entry(by(message)).or_default().push(message));
    groups.into_iter().map(|(name, group)| (name.to_owned(), measures(group.into_iter()))).collect()
}

/// What the measures are made of.
#[derive(Clone, Copy, Default)]
struct Tally {
    accepted: f64,
    right: f64,
    with_target: f64,
    nearest_right: f64,
    decoys: f64,
    decoys_accepted: f64,
}

impl Tally {
    fn add(&mut self, message: &Labelled, accepted: bool) {
        let count = |condition: bool| f64::from(u8::from(condition));
        self.accepted += count(accepted);
        self.right += count(accepted && message.nearest_is_target);
        self.with_target += count(message.has_target);
        self.nearest_right += count(message.nearest_is_target);
        self.decoys += count(!message.has_target);
        self.decoys_accepted += count(!message.has_target && accepted);
    }

    /// Precision, recall, F1, top-1, decoys matched; not a number where nothing is to be shared.
    fn shares(&self) -> [f64; 5] {
        if self.with_target == 0.0 {
            let decoys_matched = self.decoys_accepted / self.decoys;
            return [f64::NAN, f64::NAN, f64::NAN, f64::NAN, decoys_matched];
        }
        [
            self.right / self.accepted,
            self.right / self.with_target,
            2.0 * self.right / (self.accepted + self.with_target),
            self.nearest_right / self.with_target,
            self.decoys_accepted / self.decoys,
        ]
    }
}

fn measures<'a>(messages: impl Iterator<Item = &'a Labelled>) -> Measures {
    let messages: Vec<&Labelled> = messages.collect();
    let tally = |indices: &mut dyn Iterator<Item = usize>| {
        let mut tally = Tally::default();
        indices.for_each(|index| tally.add(messages[index], messages[index].accepted));
        tally
    };
    let all = tally(&mut (0..messages.len()));
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let resamples: Vec<[f64; 5]> = (0..RESAMPLES)
        .map(|_| {
            let draw = |_| random.below(messages.len());
            tally(&mut (0..messages.len()).map(draw)).shares()
        })
        .collect();
    let share = |place: usize| {
        let value = all.shares()[place];
        let mut drawn: Vec<f64> =
            resamples.iter().map(|shares| shares[place]).filter(|share| !share.is_nan()).collect();
        drawn.sort_by(f64::total_cmp);
        let cut = (drawn.len() as f64 * TAIL) as usize;
        let ends = [drawn.get(cut), drawn.get(drawn.len().saturating_sub(cut + 1))];
        let [Some(low), Some(high)] = ends else { return None };
        (!value.is_nan()).then_some(Share { value, interval: [*low, *high] })
    };
    Measures {
        messages: messages.len(),
        with_target: all.with_target as usize,
        precision: share(0),
        recall: share(1),
        f1: share(2),
        top1: share(3),
        decoys_matched: share(4),
    }
}

fn point(messages: &[Labelled], threshold: f32) -> Point {
    let mut tally = Tally::default();
    messages.iter().for_each(|message| tally.add(message, message.accepted_at(threshold)));
    let [precision, recall, f1, _, decoys_matched] =
        tally.shares().map(|share| if share.is_nan() { 0.0 } else { share });
    Point { threshold, precision, recall, f1, decoys_matched }
}

fn calibration(messages: &[Labelled]) -> Vec<Bin> {
    let mut bins: BTreeMap<i32, (usize, usize)> = BTreeMap::new();
    for message in messages.iter().filter(|message| !message.exact) {
        let Some(score) = message.score else { continue };
        let bin = bins.entry((score / BIN).floor() as i32).or_default();
        bin.0 += 1;
        bin.1 += usize::from(message.nearest_is_target);
    }
    let row = |(bin, (messages, right))| Bin { from: bin as f32 * BIN, messages, right };
    bins.into_iter().map(row).collect()
}

/// Marsaglia's xorshift: numbers for resampling, the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(target: bool, right: bool, score: f32, accepted: bool) -> Labelled {
        Labelled {
            kind: if target { "anomaly" } else { "none" }.to_owned(),
            difficulty: "easy".to_owned(),
            has_target: target,
            nearest_is_target: right,
            score: Some(score),
            exact: false,
            accepted,
        }
    }

    #[test]
    fn measures_are_what_their_names_say() {
        // Three accepted, two of them right; four with a target; one of two decoys accepted.
        let messages = [
            message(true, true, 0.9, true),
            message(true, true, 0.8, true),
            message(true, true, 0.3, false),
            message(true, false, 0.2, false),
            message(false, false, 0.7, true),
            message(false, false, 0.1, false),
        ];
        let all = Evaluation::new(&messages).all;
        let value = |share: Option<Share>| share.unwrap().value;
        assert_eq!(value(all.precision), 2.0 / 3.0);
        assert_eq!(value(all.recall), 0.5);
        assert_eq!(value(all.f1), 4.0 / 7.0);
        assert_eq!(value(all.top1), 0.75);
        assert_eq!(value(all.decoys_matched), 0.5);
        let interval = all.recall.unwrap().interval;
        assert!(interval[0] < 0.5 && 0.5 < interval[1], "{interval:?}");
    }

    #[test]
    fn the_curve_finds_the_threshold_that_parts_right_from_wrong() {
        let messages = [
            message(true, true, 0.62, false),
            message(true, true, 0.71, false),
            message(false, false, 0.55, false),
        ];
        let best = Evaluation::new(&messages).best.unwrap();
        assert!(best.threshold > 0.55 && best.threshold <= 0.62, "{best:?}");
        assert_eq!((best.precision, best.recall), (1.0, 1.0));
    }

    #[test]
    fn nothing_gives_no_shares() {
        let evaluation = Evaluation::new(&[]);
        assert_eq!(evaluation.all.precision, None);
        assert_eq!(evaluation.all.decoys_matched, None);
    }
}
