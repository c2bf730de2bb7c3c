//! The windowed join: matched events → links.
//!
//! Events wait in one series for each dictionary text, sorted by time. For every pair of texts
//! the problems are looked up in the series of the anomaly, by binary search. So the work is
//! that of sorting the events and of telling the links, and links are told one by one: fifty
//! thousand errors beside fifty thousand warnings need no memory beyond the events.

use std::ops::Range;
use std::sync::Arc;

use domain::{Dictionary, Pair, Row, Side};
use jiff::SignedDuration;
use sha2::{Digest, Sha256};

use crate::{Matched, Thresholds, cosine};

/// When two events whose texts are a pair link.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// The largest distance in time between anomaly and problem, in either direction.
    pub window: SignedDuration,
    /// The least cosine of the two messages; `None` for no such condition.
    pub pair_threshold: Option<f32>,
}

impl Rule {
    /// The rule of a window and the thresholds of a model.
    pub fn new(window: SignedDuration, thresholds: Thresholds) -> Rule {
        Rule { window, pair_threshold: thresholds.pair }
    }

    /// Whether the messages of two events are near enough.
    pub(crate) fn near(&self, anomaly: &Matched, problem: &Matched) -> bool {
        match self.pair_threshold {
            None => true,
            Some(threshold) => pair_cosine(anomaly, problem).is_some_and(|it| it >= threshold),
        }
    }
}

fn pair_cosine(anomaly: &Matched, problem: &Matched) -> Option<f32> {
    Some(cosine(anomaly.vector.as_deref()?, problem.vector.as_deref()?))
}

/// An anomaly and the problem it belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Link<'a> {
    /// The first dictionary row that pairs the two texts: the ids and texts of the link.
    pub row: &'a Row,
    /// The anomaly event.
    pub anomaly: &'a Matched,
    /// The problem event.
    pub problem: &'a Matched,
}

impl Link<'_> {
    /// Problem time − anomaly time.
    pub fn lag(&self) -> SignedDuration {
        self.problem.event.time.duration_since(self.anomaly.event.time)
    }

    /// The cosine of the two messages; `None` when one of them normalises to nothing.
    pub fn cosine(&self) -> Option<f32> {
        pair_cosine(self.anomaly, self.problem)
    }

    /// The id of the link, 32 hexadecimal digits: the same events and texts give the same id, in
    /// whatever process, order or analysis they meet.
    pub fn id(&self) -> String {
        let mut hash = Sha256::new();
        for (matched, text) in
            [(self.anomaly, &self.row.anomaly), (self.problem, &self.row.problem)]
        {
            let event = &matched.event;
            for field in [event.file.as_bytes(), event.raw.as_bytes(), text.as_bytes()] {
                hash.update((field.len() as u64).to_le_bytes());
                hash.update(field);
            }
            hash.update(event.line.to_le_bytes());
        }
        hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The matched events of one text, sorted by time when it is asked.
type Series = Vec<Matched>;

/// Collects matched events.
pub struct Linker {
    dictionary: Arc<Dictionary>,
    rule: Rule,
    anomalies: Vec<Series>,
    problems: Vec<Series>,
}

impl Linker {
    /// A linker without events.
    pub fn new(dictionary: Arc<Dictionary>, rule: Rule) -> Linker {
        let empty = |side| vec![Series::new(); dictionary.texts(side).len()];
        let (anomalies, problems) = (empty(Side::Anomaly), empty(Side::Problem));
        Linker { dictionary, rule, anomalies, problems }
    }

    /// Adds one event; the order does not matter.
    pub fn add(&mut self, matched: Matched) {
        let series = match matched.side {
            Side::Anomaly => &mut self.anomalies,
            Side::Problem => &mut self.problems,
        };
        series[matched.found.text.index()].push(matched);
    }

    /// Joins what was added.
    pub fn finish(mut self) -> Linked {
        for series in self.anomalies.iter_mut().chain(&mut self.problems) {
            series.sort_by(|one, other| one.event.by_time(&other.event));
        }
        let Linker { dictionary, rule, anomalies, problems } = self;
        Linked { dictionary, rule, anomalies, problems }
    }
}

/// Where a link is among joined events. The events of one text are numbered by time, so two places
/// whose pairs share a text have one event of it where they have one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The pair of texts, as an index into [`Dictionary::pairs`].
    pub pair: u32,
    /// The anomaly among the events of its text.
    pub anomaly: u32,
    /// The problem among the events of its text.
    pub problem: u32,
}

/// Joined events, from which links are told as often as asked, always in one order: by pair in
/// the order of the dictionary, then by problem, then by anomaly, each by time, file and line.
pub struct Linked {
    dictionary: Arc<Dictionary>,
    rule: Rule,
    anomalies: Vec<Series>,
    problems: Vec<Series>,
}

impl Linked {
    /// The dictionary that pairs the texts.
    pub fn dictionary(&self) -> &Dictionary {
        &self.dictionary
    }

    /// Every link.
    pub fn links(&self) -> impl Iterator<Item = Link<'_>> {
        self.joined().flat_map(|joined| self.links_of(joined))
    }

    /// Where every link is, in the order of [`Linked::links`]: little to keep of it, from which
    /// [`Linked::link`] makes it again.
    pub fn places(&self) -> impl Iterator<Item = Place> {
        self.dictionary.pairs().iter().enumerate().flat_map(move |(number, pair)| {
            let anomalies = &self.anomalies[pair.anomaly.index()];
            let problems = self.problems[pair.problem.index()].iter().enumerate();
            problems.filter(|_| !anomalies.is_empty()).flat_map(move |(at, problem)| {
                range_within(anomalies, problem, self.rule.window)
                    .filter(move |anomaly| self.rule.near(&anomalies[*anomaly], problem))
                    .map(move |anomaly| Place {
                        pair: number as u32,
                        anomaly: anomaly as u32,
                        problem: at as u32,
                    })
            })
        })
    }

    /// The link at a place.
    ///
    /// # Panics
    /// When the place is another result's.
    pub fn link(&self, place: Place) -> Link<'_> {
        let pair = self.dictionary.pairs()[place.pair as usize];
        Link {
            row: &self.dictionary.rows()[pair.row],
            anomaly: &self.anomalies[pair.anomaly.index()][place.anomaly as usize],
            problem: &self.problems[pair.problem.index()][place.problem as usize],
        }
    }

    /// One link for each pair of texts and problem event: the one whose anomaly comes first. The
    /// reports that have one row for each problem event are made of these.
    pub fn first_links(&self) -> impl Iterator<Item = Link<'_>> {
        self.joined().filter_map(|joined| self.links_of(joined).next())
    }

    /// The problem events that have links, by time.
    pub fn problems(&self) -> Vec<&Matched> {
        let mut problems: Vec<&Matched> = self
            .problems
            .iter()
            .flatten()
            .filter(|problem| self.links_to(problem).next().is_some())
            .collect();
        problems.sort_by(|one, other| one.event.by_time(&other.event));
        problems
    }

    /// The links of one problem event, in the order of the dictionary.
    pub fn links_to<'a>(&'a self, problem: &'a Matched) -> impl Iterator<Item = Link<'a>> {
        let text = problem.found.text;
        let pairs = self.dictionary.pairs_of(Side::Problem, text);
        pairs.flat_map(move |pair| {
            let anomalies = &self.anomalies[pair.anomaly.index()];
            self.links_of((*pair, problem, within(anomalies, problem, self.rule.window)))
        })
    }

    /// How many links there are, without telling them where that can be.
    pub fn count(&self) -> u64 {
        match self.rule.pair_threshold {
            None => self.joined().map(|(_, _, anomalies)| anomalies.len() as u64).sum(),
            Some(_) => self.links().count() as u64,
        }
    }

    /// How many events of a side matched a text.
    pub fn matched(&self, side: Side) -> usize {
        let series = match side {
            Side::Anomaly => &self.anomalies,
            Side::Problem => &self.problems,
        };
        series.iter().map(Vec::len).sum()
    }

    /// Every problem event beside every pair its text is in, with the anomalies in its window.
    fn joined(&self) -> impl Iterator<Item = (Pair, &Matched, &[Matched])> {
        self.dictionary.pairs().iter().flat_map(|pair| {
            let anomalies = &self.anomalies[pair.anomaly.index()];
            let problems = &self.problems[pair.problem.index()];
            problems
                .iter()
                .filter(|_| !anomalies.is_empty())
                .map(|problem| (*pair, problem, within(anomalies, problem, self.rule.window)))
        })
    }

    fn links_of<'a>(
        &'a self,
        (pair, problem, anomalies): (Pair, &'a Matched, &'a [Matched]),
    ) -> impl Iterator<Item = Link<'a>> {
        let row = &self.dictionary.rows()[pair.row];
        anomalies
            .iter()
            .filter(|anomaly| self.rule.near(anomaly, problem))
            .map(move |anomaly| Link { row, anomaly, problem })
    }
}

/// The events of a sorted series that are at most `window` away from `event`.
fn within<'a>(series: &'a [Matched], event: &Matched, window: SignedDuration) -> &'a [Matched] {
    &series[range_within(series, event, window)]
}

/// The places of those events in the series.
fn range_within(series: &[Matched], event: &Matched, window: SignedDuration) -> Range<usize> {
    let lag = |other: &Matched| event.event.time.duration_since(other.event.time);
    let start = series.partition_point(|other| lag(other) > window);
    let length = series[start..].partition_point(|other| lag(other) >= -window);
    start..start + length
}
