//! A result → what sorting and choosing need to know of its links, a few bytes for each.
//!
//! Invariants: links stand in their own order and so do events, by the first link they are in;
//! names and texts are numbered in their order, so that comparing numbers is comparing them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use domain::{Side, TextId};
use jiff::{SignedDuration, Timestamp};
use linking::{Link, Linked, Matched, Place};

use crate::work::Finished;

/// The most links of a result that are looked at: events that are frequent on both sides make
/// links by the hundred million, which no page can sort while somebody waits, nor anybody read.
/// Files of the result hold all of them.
pub const LOOKED_AT: usize = 100_000;

/// What is known of the links of a result.
pub struct Index {
    links: Vec<Entry>,
    /// Every event that has links.
    events: Vec<Seen>,
    /// The names of their files, sorted.
    files: Vec<Arc<str>>,
    /// Their components, sorted.
    components: Vec<Box<str>>,
}

/// A link: where it is, and its events as indices into the index's.
#[derive(Clone, Copy, Debug)]
struct Entry {
    place: Place,
    anomaly: u32,
    problem: u32,
}

/// What is known of an event.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub side: Side,
    pub time: Timestamp,
    /// The cosine of its message and its text.
    pub score: f32,
    /// Its file, as an index into [`Index::files`].
    pub file: u32,
    /// Its component, as an index into [`Index::components`].
    pub component: u32,
    /// Its text, as a number that grows in the order of texts.
    pub text: u32,
    /// The first link it is in.
    link: u32,
}

/// A result and its index: what all that is shown is made of.
#[derive(Clone, Copy)]
pub struct Looked<'a> {
    pub linked: &'a Linked,
    pub index: &'a Index,
}

impl Finished {
    /// The result as pages look at it; the first call blocks for a moment.
    pub fn looked_at(&self) -> Looked<'_> {
        let linked = &self.analysis.linked;
        Looked { linked, index: self.index.get_or_init(|| Index::new(linked, LOOKED_AT)) }
    }
}

impl Index {
    /// Looks at the first `most` links.
    pub fn new(linked: &Linked, most: usize) -> Index {
        let mut numbering = Numbering { linked, numbers: HashMap::new(), firsts: Vec::new() };
        let mut links = Vec::new();
        for place in linked.places().take(most) {
            let link = links.len() as u32;
            let anomaly = numbering.number(Side::Anomaly, place, link);
            let problem = numbering.number(Side::Problem, place, link);
            links.push(Entry { place, anomaly, problem });
        }
        let first = |(side, link): (Side, u32)| {
            (side, link, event_of(linked.link(links[link as usize].place), side))
        };
        let events: Vec<(Side, u32, &Matched)> = numbering.firsts.into_iter().map(first).collect();
        let text = |matched: &Matched| {
            linked.dictionary().text(matched.side, matched.found.text).text.as_str()
        };
        let files = Names::new(events.iter().map(|(_, _, matched)| &*matched.event.file));
        let components = Names::new(events.iter().map(|(_, _, matched)| &*matched.event.component));
        let texts = Names::new(events.iter().map(|(_, _, matched)| text(matched)));
        let seen = events.iter().map(|(side, link, matched)| Seen {
            side: *side,
            time: matched.event.time,
            score: matched.found.score,
            file: files.number(&matched.event.file),
            component: components.number(&matched.event.component),
            text: texts.number(text(matched)),
            link: *link,
        });
        Index {
            events: seen.collect(),
            links,
            files: files.0.iter().map(|name| Arc::from(*name)).collect(),
            components: components.0.iter().map(|name| Box::from(*name)).collect(),
        }
    }

    /// How many links are looked at.
    pub fn len(&self) -> usize {
        self.links.len()
    }

    /// The events that have links, by their first.
    pub fn events(&self) -> &[Seen] {
        &self.events
    }

    pub fn files(&self) -> &[Arc<str>] {
        &self.files
    }

    pub fn components(&self) -> &[Box<str>] {
        &self.components
    }

    /// The events of a link, the anomaly first, as indices into [`Index::events`].
    pub fn events_of(&self, link: u32) -> [u32; 2] {
        let Entry { anomaly, problem, .. } = self.links[link as usize];
        [anomaly, problem]
    }

    /// What is known of the events of a link, the anomaly first.
    pub fn seen(&self, link: u32) -> [&Seen; 2] {
        self.events_of(link).map(|event| &self.events[event as usize])
    }

    /// Problem time − anomaly time.
    pub fn lag(&self, link: u32) -> SignedDuration {
        let [anomaly, problem] = self.seen(link);
        problem.time.duration_since(anomaly.time)
    }
}

impl<'a> Looked<'a> {
    /// A link by its number.
    pub fn link(self, number: u32) -> Link<'a> {
        self.linked.link(self.index.links[number as usize].place)
    }

    /// The event that is known so.
    pub fn event(self, seen: &Seen) -> &'a Matched {
        event_of(self.link(seen.link), seen.side)
    }
}

fn event_of(link: Link<'_>, side: Side) -> &Matched {
    match side {
        Side::Anomaly => link.anomaly,
        Side::Problem => link.problem,
    }
}

/// Gives each event one number, however many links it has.
struct Numbering<'a> {
    linked: &'a Linked,
    numbers: HashMap<(Side, TextId, u32), u32>,
    /// The side of each event, and its first link.
    firsts: Vec<(Side, u32)>,
}

impl Numbering<'_> {
    fn number(&mut self, side: Side, place: Place, link: u32) -> u32 {
        let pair = self.linked.dictionary().pairs()[place.pair as usize];
        let key = match side {
            Side::Anomaly => (side, pair.anomaly, place.anomaly),
            Side::Problem => (side, pair.problem, place.problem),
        };
        *self.numbers.entry(key).or_insert_with(|| {
            self.firsts.push((side, link));
            self.firsts.len() as u32 - 1
        })
    }
}

/// Distinct names in their order.
struct Names<'a>(Vec<&'a str>);

impl<'a> Names<'a> {
    fn new(names: impl Iterator<Item = &'a str>) -> Names<'a> {
        Names(names.collect::<BTreeSet<_>>().into_iter().collect())
    }

    /// The place of one of them.
    fn number(&self, name: &str) -> u32 {
        self.0.partition_point(|other| *other < name) as u32
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::made::{events, made};
    use super::*;

    proptest! {
        #[test]
        fn links_and_their_events_are_found_again(events in events(60), most in 0..300usize) {
            let made = made(&events, most);
            let looked = made.looked();
            let links: Vec<Link> = made.linked.links().take(most).collect();
            prop_assert_eq!(made.index.len(), links.len());
            let mut lines = std::collections::HashSet::new();
            for (number, link) in links.iter().enumerate() {
                let number = number as u32;
                let again = looked.link(number);
                prop_assert!(std::ptr::eq(again.anomaly, link.anomaly));
                prop_assert!(std::ptr::eq(again.problem, link.problem));
                prop_assert_eq!(again.row, link.row);
                prop_assert_eq!(made.index.lag(number), link.lag());
                for (seen, event) in made.index.seen(number).into_iter().zip([link.anomaly, link.problem]) {
                    prop_assert!(std::ptr::eq(looked.event(seen), event));
                    prop_assert_eq!(&*made.index.files()[seen.file as usize], &*event.event.file);
                    let component = &made.index.components()[seen.component as usize];
                    prop_assert_eq!(component, &event.event.component);
                    lines.insert(event.event.line);
                }
            }
            prop_assert_eq!(made.index.events().len(), lines.len(), "each event once");
        }
    }
}
