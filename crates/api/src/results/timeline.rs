//! `GET /jobs/{id}/timeline`: the events of links on lanes, and lines between them.
//!
//! What a picture can show is bounded, results are not. Where there is more, neighbours in time on
//! one lane are drawn as one: all instants are cut into bins of one width, the finest of the
//! widths 1, 2, 4, 8… milliseconds that leaves few enough. Bins lie where they lie whatever is
//! shown, so a picture that is zoomed into only gets finer.

use axum::extract::State as Extract;
use axum::response::Response;
use domain::Side;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::filter::NO_COMPONENT;
use super::{Filter, JobId, Looked, answer, json};
use crate::extract::{Path, Query};
use crate::openapi::{BadQuery, NotDone};
use crate::work::Finished;
use crate::{ApiError, Shared};

/// What a picture may hold.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    lanes: usize,
    events: usize,
    lines: usize,
    /// Events are not grouped to fewer than these for the sake of their lines.
    enough: usize,
}

const BOUNDS: Bounds = Bounds { lanes: 30, events: 1500, lines: 1500, enough: 400 };

/// The lane of what has none of its own.
const REST: &str = "…";

/// The longest text of an event, in characters.
const LONGEST_TEXT: usize = 200;

/// Which timeline is asked for.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// What lanes are made of.
    #[serde(default)]
    #[param(inline, required = false, example = "component")]
    by: By,
}

/// What lanes are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum By {
    #[default]
    File,
    Component,
}

/// A picture of links in time.
#[derive(Debug, Serialize, ToSchema)]
pub struct Timeline<'a> {
    by: By,
    /// The first instant, in milliseconds since 1970; null when there is nothing.
    from: Option<i64>,
    /// The last instant.
    to: Option<i64>,
    /// The names of the lanes, in their order; of more than 30 those with most events, and `…`
    /// for all others. `–` is the lane of events that name no component.
    lanes: Vec<&'a str>,
    /// How many links are as asked.
    total_links: usize,
    /// How many events they have.
    total_events: usize,
    /// How many of the links are drawn, each line counted with all it stands for.
    links_drawn: usize,
    /// Whether neighbours are drawn as one, or links are left out.
    grouped: bool,
    /// The events, by lane, side and time.
    events: Vec<Drawn<'a>>,
    /// The lines between them.
    links: Vec<Line>,
}

/// An event, or several of one side that are neighbours on one lane.
#[derive(Debug, Serialize, ToSchema)]
pub struct Drawn<'a> {
    #[schema(inline)]
    side: Side,
    /// Its lane, as an index into `lanes`.
    lane: usize,
    /// The instant of the first, in milliseconds since 1970.
    time: i64,
    /// The instant of the last.
    until: i64,
    /// How many they are.
    count: usize,
    /// The message of the first, at most 200 characters of it.
    text: String,
    /// The file of the first.
    file: &'a str,
    /// The number of its line.
    line: u64,
    /// The number of its first link.
    number: u32,
}

/// A link, or all links between the same two groups of events.
#[derive(Debug, Serialize, ToSchema)]
pub struct Line {
    /// Its anomaly, as an index into `events`.
    anomaly: u32,
    /// Its problem, as an index into `events`.
    problem: u32,
    /// How many links they are.
    count: usize,
    /// The number of the first of them.
    number: u32,
}

/// The links of a job in time, on lanes
///
/// At most 1,500 events and 1,500 lines between them: of more, neighbours on one lane are grouped
/// (`grouped` says so, `count` how many). A narrower `from` and `to` gives a finer picture. Of
/// lines that are still too many the most frequent are drawn, and of these the shortest in time.
#[utoipa::path(
    get,
    path = "/jobs/{id}/timeline",
    operation_id = "job_timeline",
    tag = "jobs",
    params(JobId, Wanted, Filter),
    responses((status = OK, description = "The picture", body = Timeline), NotDone, BadQuery)
)]
pub async fn timeline(
    Extract(state): Extract<Shared>,
    Path(JobId { id }): Path<JobId>,
    Query(wanted): Query<Wanted>,
    Query(filter): Query<Filter>,
) -> Result<Response, ApiError> {
    let filter = filter.checked()?;
    let make = move |finished: &Finished| {
        let looked = finished.looked_at();
        json(&draw(looked, &filter.matching(looked), wanted.by, BOUNDS))
    };
    answer(&state, &id, make).await
}

fn draw<'a>(looked: Looked<'a>, links: &[u32], by: By, bounds: Bounds) -> Timeline<'a> {
    let (lanes, points) = lanes_and_points(looked, links, by, bounds.lanes);
    let mut place_of = vec![0; looked.index.events().len()];
    for (place, point) in points.iter().enumerate() {
        place_of[point.event as usize] = place;
    }
    let ends = links.iter().map(|link| looked.index.events_of(*link));
    let ends: Vec<[usize; 2]> =
        ends.map(|events| events.map(|event| place_of[event as usize])).collect();
    let groups = Groups::choose(&points, &ends, bounds);
    let mut lines = groups.lines(looked, links, &ends);
    let all_lines = lines.len();
    keep_the_weightiest(&mut lines, bounds.lines);
    let events = groups.drawn(looked, &points);
    Timeline {
        by,
        from: events.iter().map(|event| event.time).min(),
        to: events.iter().map(|event| event.until).max(),
        lanes,
        total_links: links.len(),
        total_events: points.len(),
        links_drawn: lines.iter().map(|weighed| weighed.line.count).sum(),
        grouped: events.len() < points.len() || lines.len() < all_lines,
        events,
        links: lines.into_iter().map(|weighed| weighed.line).collect(),
    }
}

/// An event on its lane.
#[derive(Clone, Copy, Debug)]
struct Point {
    lane: usize,
    side: Side,
    /// Milliseconds since 1970.
    time: i64,
    /// The event in the index.
    event: u32,
    /// The first of the links asked for that it is in.
    number: u32,
}

/// The lanes by name, and the events of links by lane, side and time.
fn lanes_and_points<'a>(
    looked: Looked<'a>,
    links: &[u32],
    by: By,
    most: usize,
) -> (Vec<&'a str>, Vec<Point>) {
    let index = looked.index;
    let names: Vec<&str> = match by {
        By::File => index.files().iter().map(|name| &**name).collect(),
        By::Component => index.components().iter().map(|name| &**name).collect(),
    };
    let mut first_links = vec![None; index.events().len()];
    for link in links {
        for event in index.events_of(*link) {
            first_links[event as usize].get_or_insert(*link);
        }
    }
    let mut counts = vec![0; names.len()];
    let mut points: Vec<Point> = (0..)
        .zip(first_links)
        .filter_map(|(event, number)| {
            let seen = &index.events()[event as usize];
            let (side, time) = (seen.side, seen.time.as_millisecond());
            let lane = match by {
                By::File => seen.file,
                By::Component => seen.component,
            };
            Some(Point { lane: lane as usize, side, time, event, number: number? })
        })
        .collect();
    points.iter().for_each(|point| counts[point.lane] += 1);
    let lanes = Lanes::new(&counts, most);
    points.iter_mut().for_each(|point| point.lane = lanes.of[point.lane]);
    points.sort_unstable_by_key(|point| (point.lane, point.side, point.time, point.event));
    let shown = |name: &usize| if names[*name].is_empty() { NO_COMPONENT } else { names[*name] };
    let rest = lanes.has_rest.then_some(REST);
    (lanes.names.iter().map(shown).chain(rest).collect(), points)
}

/// Which name has which lane.
struct Lanes {
    /// The names that have a lane of their own, in the order of names: lanes that keep their order
    /// are found again when one zooms.
    names: Vec<usize>,
    /// Whether the others share one behind these.
    has_rest: bool,
    /// The lane of each name.
    of: Vec<usize>,
}

impl Lanes {
    /// Lanes for names with so many events each.
    fn new(counts: &[usize], most: usize) -> Lanes {
        let mut names: Vec<usize> = (0..counts.len()).filter(|name| counts[*name] > 0).collect();
        let has_rest = names.len() > most;
        if has_rest {
            names.sort_by_key(|name| std::cmp::Reverse(counts[*name]));
            names.truncate(most - 1);
            names.sort_unstable();
        }
        let lane = |name| names.binary_search(&name).unwrap_or(names.len());
        Lanes { of: (0..counts.len()).map(lane).collect(), names, has_rest }
    }
}

/// How far neighbours are drawn as one.
struct Groups {
    /// The group of each point.
    of: Vec<u32>,
}

impl Groups {
    /// The finest groups that a picture may hold.
    fn choose(points: &[Point], ends: &[[usize; 2]], bounds: Bounds) -> Groups {
        let at = |level| Groups::new(points, level);
        let mut level = first_level(|level| at(level).count() <= bounds.events);
        if at(level).count_lines(ends) > bounds.lines {
            let for_lines = first_level(|level| at(level).count_lines(ends) <= bounds.lines);
            let too_coarse = first_level(|level| at(level).count() < bounds.enough);
            level = level.max(for_lines.min(too_coarse.saturating_sub(1)));
        }
        at(level)
    }

    /// Groups of one level: on level 0 each point is its own, on each next the points of one lane
    /// and side in a bin of twice the width, 1 ms at first.
    fn new(points: &[Point], level: u32) -> Groups {
        let bin = |point: &Point| (point.lane, point.side, point.time >> (level.max(1) - 1));
        let mut group = 0;
        let starts = points.windows(2).map(|two| level == 0 || bin(&two[0]) != bin(&two[1]));
        let first = (!points.is_empty()).then_some(0);
        let rest = starts.map(|starts| {
            group += u32::from(starts);
            group
        });
        Groups { of: first.into_iter().chain(rest).collect() }
    }

    fn count(&self) -> usize {
        self.of.last().map_or(0, |last| *last as usize + 1)
    }

    fn ends(&self, ends: &[usize; 2]) -> [u32; 2] {
        ends.map(|point| self.of[point])
    }

    fn count_lines(&self, ends: &[[usize; 2]]) -> usize {
        let mut lines: Vec<[u32; 2]> = ends.iter().map(|ends| self.ends(ends)).collect();
        lines.sort_unstable();
        lines.dedup();
        lines.len()
    }

    /// The lines between groups, by anomaly and problem.
    fn lines(&self, looked: Looked, links: &[u32], ends: &[[usize; 2]]) -> Vec<Weighed> {
        let line = |(number, ends): (&u32, _)| (self.ends(ends), *number);
        let mut all: Vec<([u32; 2], u32)> = links.iter().zip(ends).map(line).collect();
        all.sort_unstable();
        let of_two = all.chunk_by(|(one, _), (other, _)| one == other);
        of_two
            .map(|links| {
                let ([anomaly, problem], number) = links[0];
                let lags = links.iter().map(|(_, link)| looked.index.lag(*link).as_nanos().abs());
                let line = Line { anomaly, problem, count: links.len(), number };
                Weighed { line, lag: lags.min().unwrap_or_default() }
            })
            .collect()
    }

    /// What is drawn for each group.
    fn drawn<'a>(&self, looked: Looked<'a>, points: &[Point]) -> Vec<Drawn<'a>> {
        let mut drawn: Vec<Drawn> = Vec::with_capacity(self.count());
        for (point, group) in points.iter().zip(&self.of) {
            match drawn.get_mut(*group as usize) {
                Some(drawn) => {
                    drawn.until = point.time;
                    drawn.count += 1;
                }
                None => drawn.push(Drawn::new(looked, point)),
            }
        }
        drawn
    }
}

impl<'a> Drawn<'a> {
    fn new(looked: Looked<'a>, point: &Point) -> Drawn<'a> {
        let seen = &looked.index.events()[point.event as usize];
        let event = &looked.event(seen).event;
        let Point { lane, side, time, number, .. } = *point;
        let (text, file, line) = (shortened(&event.message), &*event.file, event.line);
        Drawn { side, lane, time, until: time, count: 1, text, file, line, number }
    }
}

/// A line, and what tells how much it matters.
struct Weighed {
    line: Line,
    /// The shortest lag, in nanoseconds.
    lag: i128,
}

/// Keeps so many lines, in the order they have: those of most links, then of the shortest lag.
fn keep_the_weightiest(lines: &mut Vec<Weighed>, most: usize) {
    if lines.len() > most {
        lines.sort_unstable_by_key(|Weighed { line, lag }| {
            (std::cmp::Reverse(line.count), *lag, line.number)
        });
        lines.truncate(most);
        lines.sort_unstable_by_key(|Weighed { line, .. }| (line.anomaly, line.problem));
    }
}

/// The first level from which on `holds`, by bisection: what holds of coarse groups holds of
/// coarser ones. The last level where none does.
fn first_level(holds: impl Fn(u32) -> bool) -> u32 {
    // Bins of 2^49 ms: before 1970, or after.
    const LAST: u32 = 50;
    let (mut low, mut high) = (0, LAST);
    while low < high {
        let middle = (low + high) / 2;
        if holds(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST_TEXT) {
        Some(_) => text.chars().take(LONGEST_TEXT - 1).chain(['…']).collect(),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::made::{Made, Told, events, made, many};
    use super::*;

    /// What must hold of any picture of all links.
    fn holds(made: &Made, by: By, bounds: Bounds) {
        let links = made.all();
        let picture = draw(made.looked(), &links, by, bounds);
        assert!(picture.lanes.len() <= bounds.lanes, "{}", picture.lanes.len());
        assert!(picture.events.len() <= bounds.events.max(4 * picture.lanes.len()));
        assert!(picture.links.len() <= bounds.lines);
        assert_eq!(picture.total_links, links.len());
        assert_eq!(picture.total_events, made.index.events().len());
        let events: usize = picture.events.iter().map(|event| event.count).sum();
        assert_eq!(events, picture.total_events, "each event once, however many links it has");
        let drawn: usize = picture.links.iter().map(|line| line.count).sum();
        assert_eq!(drawn, picture.links_drawn);
        assert!(drawn <= links.len());
        assert!(picture.grouped || (drawn == links.len() && events == picture.events.len()));
        for event in &picture.events {
            assert!(event.lane < picture.lanes.len() && event.time <= event.until);
            assert!((event.number as usize) < links.len());
            assert!(picture.from.unwrap() <= event.time && event.until <= picture.to.unwrap());
        }
        let ordered = picture.events.windows(2).all(|two| {
            let key = |event: &Drawn| (event.lane, event.side, event.time);
            key(&two[0]) <= key(&two[1])
        });
        assert!(ordered, "by lane, side and time");
        let mut pairs = BTreeSet::new();
        for line in &picture.links {
            let (anomaly, problem) =
                (&picture.events[line.anomaly as usize], &picture.events[line.problem as usize]);
            assert_eq!((anomaly.side, problem.side), (Side::Anomaly, Side::Problem));
            assert!(pairs.insert((line.anomaly, line.problem)), "one line between two groups");
            // The link that a line is called by lies between its groups.
            let link = made.looked().link(line.number);
            let within = |drawn: &Drawn, event: &domain::Event| {
                let time = event.time.as_millisecond();
                drawn.time <= time && time <= drawn.until
            };
            assert!(within(anomaly, &link.anomaly.event) && within(problem, &link.problem.event));
        }
    }

    proptest! {
        #[test]
        fn counts_add_up_and_bounds_hold_however_it_is_grouped(
            events in events(80), by_file in any::<bool>(), lanes in 1..40usize,
            most_events in 1..100usize, lines in 1..200usize, enough in 0..60usize,
        ) {
            let made = made(&events, usize::MAX);
            let by = if by_file { By::File } else { By::Component };
            holds(&made, by, Bounds { lanes, events: most_events, lines, enough });
            holds(&made, by, BOUNDS);
        }

        #[test]
        fn coarser_groups_are_made_of_finer_ones(events in events(80)) {
            let made = made(&events, usize::MAX);
            let (_, points) = lanes_and_points(made.looked(), &made.all(), By::File, 30);
            let mut before = points.len();
            for level in 0..=50 {
                let groups = Groups::new(&points, level);
                prop_assert!(groups.count() <= before);
                before = groups.count();
            }
        }
    }

    #[test]
    fn three_links_are_drawn_as_they_are() {
        let told = |is_problem, time, file| Told {
            is_problem,
            text: 0,
            time,
            file,
            component: 0,
            score: 1.0,
            message: "Сбой Диска",
        };
        let events = [told(false, 0, 2), told(false, 7, 2), told(false, 7, 2), told(true, 9, 1)];
        let made = made(&events, usize::MAX);
        let picture = draw(made.looked(), &made.all(), By::File, BOUNDS);
        assert_eq!(picture.lanes, ["Файл1.log", "Файл2.log"], "by name");
        assert!(!picture.grouped && picture.events.iter().all(|event| event.count == 1));
        assert_eq!(picture.events.len(), 4);
        let lines: Vec<(u32, u32)> =
            picture.links.iter().map(|line| (line.anomaly, line.problem)).collect();
        assert_eq!(lines, [(1, 0), (2, 0), (3, 0)]);
        assert_eq!(picture.to.unwrap() - picture.from.unwrap(), 9);
        let picture = draw(made.looked(), &made.all(), By::Component, BOUNDS);
        assert_eq!(picture.lanes, [NO_COMPONENT]);
        let nothing = draw(made.looked(), &[], By::File, BOUNDS);
        assert_eq!((nothing.from, nothing.to, nothing.events.len()), (None, None, 0));
        assert!(nothing.lanes.is_empty() && !nothing.grouped);
    }

    #[test]
    fn lanes_with_fewer_events_share_the_last() {
        let lanes = Lanes::new(&[5, 0, 1, 9, 1, 7], 3);
        assert_eq!((lanes.names, lanes.has_rest), (vec![3, 5], true));
        assert_eq!(lanes.of, [2, 2, 2, 0, 2, 1]);
        let lanes = Lanes::new(&[5, 0, 1], 2);
        assert_eq!((lanes.names, lanes.has_rest), (vec![0, 2], false));
    }

    #[test]
    fn a_long_text_is_cut_where_it_can_be_seen() {
        assert_eq!(shortened(&"я".repeat(200)), "я".repeat(200));
        assert_eq!(shortened(&"я".repeat(201)), "я".repeat(199) + "…");
    }

    /// Prints how long it takes: `cargo test --release -p api large_results -- --nocapture`.
    #[test]
    fn bounds_hold_of_large_results() {
        let crowd = |anomalies: i64, problems: i64| {
            let mut events = many(0);
            let sides = [(false, anomalies), (true, problems)];
            for (is_problem, count) in sides {
                events.extend((0..count).map(|number| Told {
                    is_problem,
                    text: 0,
                    time: number * 1500,
                    file: (number % 40) as u8,
                    component: (number % 3) as u8,
                    score: 1.0,
                    message: "Disk SLOW",
                }));
            }
            events
        };
        for (name, events) in [
            ("50,000 links", many(50_000)),
            ("300,000 links, all looked at", many(300_000)),
            ("100 anomalies beside 100 problems", crowd(100, 100)),
            ("600 beside 600", crowd(600, 600)),
        ] {
            let made = made(&events, usize::MAX);
            for by in [By::File, By::Component] {
                holds(&made, by, BOUNDS);
                let start = std::time::Instant::now();
                let picture = draw(made.looked(), &made.all(), by, BOUNDS);
                let took = start.elapsed();
                println!(
                    "{name}: {} links by {by:?} in {took:?}: {} of {} events, {} lines, {} bytes",
                    made.index.len(),
                    picture.events.len(),
                    picture.total_events,
                    picture.links.len(),
                    json(&picture).unwrap().len(),
                );
            }
        }
    }
}
