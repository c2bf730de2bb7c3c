//! The link stage: matches → links.
//!
//! A partition of matches has its windows, in memory. Links are published together with the
//! position behind the match that led to them; the position also says where the oldest match
//! stands that is still in a window, and whoever is assigned the partition next reads from there,
//! silently up to the position, to have the same windows again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::{Bus, Change, Consumer, Outgoing, Partition, Position, Record, Subscription, Topics};
use domain::Dictionary;
use jiff::SignedDuration;
use linking::{Added, Matched, Rule, Windows};
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use report::{Judge, LinkRecord};

use crate::Names;
use crate::stage::{self, LOOK, StageError, keep_working};
use crate::wire::{MatchRecord, dead_letter};

/// Matches that are taken at once.
const BATCH: usize = 512;

/// The bytes of links that are published at once, about.
const PUBLISH: usize = 4 * 1024 * 1024;

/// How often windows forget, and positions without links are committed.
const TIDY_EVERY: Duration = Duration::from_secs(1);

/// How many names of files are remembered, to share them.
const FILES: usize = 10_000;

/// How often late events are spoken of, at most.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// The link stage.
pub struct LinkStage<'a> {
    /// Where matches come from and links go to.
    pub bus: &'a dyn Bus,
    /// The known pairs.
    pub dictionary: &'a Dictionary,
    /// What judges: events matched by another model are refused.
    pub judge: Judge,
    /// When two events link.
    pub rule: Rule,
    /// How long after later ones an event still links.
    pub grace: SignedDuration,
    /// The names of topics and groups.
    pub names: &'a Names,
    /// Whether to end.
    pub stopped: &'a (dyn Fn() -> bool + Sync),
}

/// The name of this stage in dead letters and metrics.
const STAGE: &str = "link";

impl LinkStage<'_> {
    /// Works until it is to stop; begins anew after what passes by itself.
    ///
    /// # Errors
    /// When the bus refuses.
    pub fn run(&self) -> Result<(), StageError> {
        let topics = Topics::Named(vec![self.names.matches()]);
        let subscription = Subscription { group: self.names.group(STAGE), topics };
        keep_working(STAGE, self.stopped, || {
            let mut consumer = self.bus.consumer(&subscription)?;
            let mut work = Work::new(self);
            let mut polled = Vec::new();
            while !(self.stopped)() {
                let changes = consumer.poll(BATCH, LOOK, &mut |record| {
                    polled.push(Polled::read(&record, self));
                })?;
                for record in polled.drain(..) {
                    work.take(record, consumer.as_mut())?;
                }
                work.publish(consumer.as_mut())?;
                work.tidy(consumer.as_mut())?;
                changes.into_iter().for_each(|change| work.follow(change));
            }
            work.forget_all();
            Ok(())
        })
    }
}

/// A match as it was polled.
struct Polled {
    partition: i32,
    offset: i64,
    content: Result<Content, Vec<u8>>,
}

struct Content {
    problem: u64,
    arrived: i64,
    matched: Matched,
}

impl Polled {
    fn read(record: &Record, stage: &LinkStage) -> Polled {
        let content = Content::read(record.payload, stage)
            .map_err(|reason| dead_letter(STAGE, &reason, *record));
        Polled { partition: record.partition, offset: record.offset, content }
    }
}

impl Content {
    fn read(payload: &[u8], stage: &LinkStage) -> Result<Content, String> {
        let record = MatchRecord::read(payload)?;
        if record.model != stage.judge.model {
            return Err(format!(
                "matched by the model {:?}, where {:?} links",
                record.model, stage.judge.model
            ));
        }
        let (problem, arrived) = (record.problem, record.arrived);
        Ok(Content { problem, arrived, matched: record.into_matched(stage.dictionary)? })
    }
}

/// What the stage remembers.
struct Work<'s> {
    stage: &'s LinkStage<'s>,
    topic: Arc<str>,
    partitions: HashMap<i32, Share<'s>>,
    /// Links and dead letters that are not published yet: topic, key and payload.
    outgoing: Vec<(Kind, u64, Vec<u8>)>,
    outgoing_bytes: usize,
    /// Arrival of the events that led to links, for the metric.
    arrivals: Vec<i64>,
    files: HashSet<Arc<str>>,
    tidied: Instant,
    late: Late,
    counters: Counters,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Link,
    DeadLetter,
}

/// One partition of matches.
struct Share<'s> {
    windows: Windows<'s>,
    /// Matches before this offset led to what they lead to already.
    from: i64,
    next: i64,
    rebuild: i64,
    /// Whether the position moved since it was last committed.
    moved: bool,
}

impl Share<'_> {
    fn position(&self, topic: &Arc<str>, number: i32) -> Position {
        let partition = Partition { topic: Arc::clone(topic), number };
        Position { partition, next: self.next, rebuild: self.rebuild.min(self.next) }
    }
}

impl<'s> Work<'s> {
    fn new(stage: &'s LinkStage<'s>) -> Work<'s> {
        Work {
            stage,
            topic: stage.names.matches().into(),
            partitions: HashMap::new(),
            outgoing: Vec::new(),
            outgoing_bytes: 0,
            arrivals: Vec::new(),
            files: HashSet::new(),
            tidied: Instant::now(),
            late: Late::default(),
            counters: Counters::new(),
        }
    }

    fn follow(&mut self, change: Change) {
        match change {
            Change::Assigned(position) => {
                let Position { partition, next, rebuild } = position;
                tracing::info!(stage = STAGE, partition = partition.number, next, rebuild, "takes");
                let windows =
                    Windows::new(self.stage.dictionary, self.stage.rule, self.stage.grace);
                let share = Share { windows, from: next, next, rebuild, moved: false };
                self.partitions.insert(partition.number, share);
            }
            Change::Revoked(partition) => {
                tracing::info!(stage = STAGE, partition = partition.number, "gives up");
                self.partitions.remove(&partition.number);
                self.counters.size(partition.number).set(0.0);
            }
        }
    }

    /// Adds a match to its window.
    fn take(&mut self, polled: Polled, consumer: &mut dyn Consumer) -> Result<(), StageError> {
        let Polled { partition, offset, content } = polled;
        let Some(share) = self.partitions.get_mut(&partition) else { return Ok(()) };
        let rebuilding = offset < share.from;
        share.next = share.next.max(offset + 1);
        share.moved |= !rebuilding;
        let Content { problem, arrived, mut matched } = match content {
            Ok(content) => content,
            Err(_) if rebuilding => return Ok(()),
            Err(letter) => {
                self.counters.dead.increment(1);
                self.outgoing_bytes += letter.len();
                self.outgoing.push((Kind::DeadLetter, 0, letter));
                return Ok(());
            }
        };
        intern(&mut self.files, &mut matched.event.file);
        let seen = Late::of(&matched);
        let (mut links, stage) = (0, self.stage);
        let added = share.windows.add(problem, matched, arrived, offset, |link| {
            if !rebuilding {
                let record = LinkRecord::new(link, stage.dictionary, &stage.judge);
                let json = serde_json::to_vec(&record).expect("texts and numbers are JSON");
                links += 1;
                self.outgoing_bytes += json.len();
                self.outgoing.push((Kind::Link, problem, json));
            }
        });
        if rebuilding {
            return Ok(());
        }
        if links > 0 {
            self.arrivals.push(arrived);
        }
        match added {
            Added::New => {}
            Added::Repeated => self.counters.repeated.increment(1),
            Added::Late => {
                self.counters.late.increment(1);
                self.late.note(seen, stage.grace);
            }
        }
        self.counters.links.increment(links);
        if self.outgoing_bytes > PUBLISH { self.publish(consumer) } else { Ok(()) }
    }

    /// Publishes links with the positions behind them.
    fn publish(&mut self, consumer: &mut dyn Consumer) -> Result<(), StageError> {
        if self.outgoing.is_empty() {
            return Ok(());
        }
        let positions = self.positions();
        let (links, dead) = (self.stage.names.links(), self.stage.names.dead_letters());
        let keys: Vec<String> = self.outgoing.iter().map(|(_, key, _)| key.to_string()).collect();
        let records: Vec<Outgoing> = self
            .outgoing
            .iter()
            .zip(&keys)
            .map(|((kind, _, payload), key)| match kind {
                Kind::Link => Outgoing { topic: &links, key: Some(key.as_bytes()), payload },
                Kind::DeadLetter => Outgoing { topic: &dead, key: None, payload },
            })
            .collect();
        consumer.publish(&records, &positions)?;
        let now = stage::now();
        for arrived in self.arrivals.drain(..) {
            self.counters.latency.record((now - arrived).max(0) as f64 / 1000.0);
        }
        self.outgoing.clear();
        self.outgoing_bytes = 0;
        Ok(())
    }

    /// The positions that moved.
    fn positions(&mut self) -> Vec<Position> {
        let Work { partitions, topic, .. } = self;
        let moved = partitions.iter_mut().filter(|(_, share)| share.moved);
        moved
            .map(|(number, share)| {
                share.moved = false;
                share.position(topic, *number)
            })
            .collect()
    }

    /// Now and then: forgets what nothing can link to any more, and commits.
    fn tidy(&mut self, consumer: &mut dyn Consumer) -> Result<(), StageError> {
        if self.tidied.elapsed() < TIDY_EVERY {
            return Ok(());
        }
        self.tidied = Instant::now();
        for (number, share) in &mut self.partitions {
            share.rebuild = share.windows.evict().unwrap_or(share.next);
            self.counters.size(*number).set(share.windows.len() as f64);
        }
        self.late.say();
        let positions = self.positions();
        Ok(consumer.commit(&positions)?)
    }

    fn forget_all(&mut self) {
        self.partitions.keys().for_each(|number| self.counters.size(*number).set(0.0));
    }
}

/// Lets the events of one file share its name.
fn intern(files: &mut HashSet<Arc<str>>, file: &mut Arc<str>) {
    if let Some(known) = files.get(file) {
        *file = Arc::clone(known);
        return;
    }
    if files.len() >= FILES {
        files.clear();
    }
    files.insert(Arc::clone(file));
}

/// Late events that were not spoken of yet.
#[derive(Default)]
struct Late {
    count: usize,
    last: String,
    said: Option<Instant>,
}

impl Late {
    fn of(matched: &Matched) -> String {
        let event = &matched.event;
        format!("{}:{} of {}", event.file, event.line, event.timestamp)
    }

    fn note(&mut self, event: String, grace: SignedDuration) {
        self.count += 1;
        self.last = format!("{event} came more than {grace:#} after later ones");
    }

    fn say(&mut self) {
        if self.count == 0 || self.said.is_some_and(|said| said.elapsed() < SAY_EVERY) {
            return;
        }
        let Late { count, last, .. } = std::mem::take(self);
        tracing::warn!(stage = STAGE, count, last, "late events, not linked");
        self.said = Some(Instant::now());
    }
}

struct Counters {
    links: Counter,
    repeated: Counter,
    late: Counter,
    dead: Counter,
    latency: Histogram,
}

impl Counters {
    fn new() -> Counters {
        Counters {
            links: counter!("foreshock_links_total"),
            repeated: counter!("foreshock_events_repeated_total"),
            late: counter!("foreshock_events_late_total"),
            dead: counter!("foreshock_dead_letters_total", "stage" => STAGE),
            latency: histogram!("foreshock_link_latency_seconds"),
        }
    }

    fn size(&self, partition: i32) -> Gauge {
        gauge!("foreshock_window_events", "partition" => partition.to_string())
    }
}
