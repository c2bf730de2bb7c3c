//! The match stage beside a bare consumer.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bus::{
    Bus, BusError, Change, Consumer, Kafka, NewTopic, Outgoing, Position, Producer, Record,
    Subscription,
};
use embed::{Cached, Embedder, Memory, OnnxModel, Store};
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use linking::Profile;
use live::{Activity, MatchStage, Names};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use replay::Settings;

use crate::logs;
use crate::print::{ROUNDS, heading, ratio, row};
use crate::tape::{Tape, bus};

const EVENTS: usize = 2_000_000;

/// Of the ERROR and WARNING lines, one in so many says a text of the dictionary.
const KNOWN_OF: usize = 10;

/// Of the topic of matches.
const PARTITIONS: i32 = 6;

pub fn run() {
    heading(
        "the match stage, vectors at hand, beside a bare rdkafka consumer that counts bytes\n(10 \
         topics, read_committed; from the first record to the last)",
    );
    let prefix = testing::unique("logs");
    let tape = fill(&prefix);
    let stored = Cached::new(Store::open(&logs::cache().join("vectors.db")), model());
    let embedder = Cached::new(Memory::default(), stored);
    let stage = || stage(&prefix, tape.len(), &embedder);
    let bare = || bare(&prefix, tape.len());
    // The broker gets warm, and so does the cache.
    let (_, matches) = stage();
    bare();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(stage().0);
        theirs.push(bare());
    }
    row("match stage", &ours, tape.len(), tape.bytes(), "messages");
    row("bare consumer", &theirs, tape.len(), tape.bytes(), "messages");
    ratio(&ours, &theirs);
    println!("  {} ERROR and WARNING lines, {matches} matches", tape.len() / 20);
}

fn model() -> OnnxModel {
    embed::fetch_default(&logs::cache(), &|notice| println!("{notice}")).unwrap()
}

/// Fills topics with records, each once.
fn fill(prefix: &str) -> Tape {
    let folder = tempfile::tempdir().unwrap();
    logs::write(folder.path(), EVENTS, KNOWN_OF);
    let tape = Tape::of(&Settings {
        folder: folder.path().to_owned(),
        topic_prefix: prefix.to_owned(),
        speed: 0.0,
        loops: 1,
        ..Settings::default()
    });
    tape.create_topics(&bus());
    tape.send_bare();
    tape
}

/// From the first record to the moment at which all were worked on, and the number of matches.
fn stage(prefix: &str, records: usize, embedder: &dyn Embedder) -> (Duration, i64) {
    let (bus, dictionary) = (bus(), logs::dictionary());
    let names = Names::new(prefix, &testing::unique("match"));
    names.create(&bus, PARTITIONS, SignedDuration::from_hours(24)).unwrap();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let watched = Watched { bus, records, seen: Arc::clone(&seen) };
    let stage = MatchStage {
        bus: &watched,
        embedder,
        dictionary: &dictionary,
        method: Profile::MINILM.method,
        thresholds: Profile::MINILM.thresholds(Profile::MINILM.method).unwrap(),
        zone: TimeZone::UTC,
        max_ahead: SignedDuration::from_hours(24),
        activity: &Activity::new(),
        names: &names,
        stopped: &|| seen.lock().unwrap().took.is_some(),
    };
    stage.run().unwrap();
    let took = seen.lock().unwrap().took.unwrap();
    (took, count(&names.matches()))
}

/// Records of a topic.
fn count(topic: &str) -> i64 {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", testing::kafka()).create().unwrap();
    let ends = (0..PARTITIONS).map(|partition| {
        consumer.fetch_watermarks(topic, partition, Duration::from_secs(10)).unwrap().1
    });
    ends.sum()
}

/// The same records with rdkafka and nothing else, with the settings of the bus.
fn bare(prefix: &str, records: usize) -> Duration {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", testing::kafka())
        .set("group.id", testing::unique("bare"))
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .set("fetch.min.bytes", "1")
        .set("fetch.wait.max.ms", "50")
        .set("fetch.queue.backoff.ms", "20")
        .set("fetch.max.bytes", "16777216")
        .set("queued.max.messages.kbytes", "32768")
        .create()
        .unwrap();
    consumer.subscribe(&[&format!("^{prefix}\\..*")]).unwrap();
    let (mut count, mut bytes, mut started) = (0, 0, Instant::now());
    while count < records {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        if count == 0 {
            started = Instant::now();
        }
        bytes += message.unwrap().payload_len();
        count += 1;
    }
    let took = started.elapsed();
    assert!(bytes > records);
    took
}

/// A bus that sees when the first record comes, and when all were worked on.
struct Watched {
    bus: Kafka,
    records: usize,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    started: Option<Instant>,
    records: usize,
    took: Option<Duration>,
}

struct Watching {
    consumer: Box<dyn Consumer>,
    records: usize,
    seen: Arc<Mutex<Seen>>,
}

impl Watching {
    /// The stage comes for more, or to commit: it has worked on what it was given.
    fn look(&self) {
        let mut seen = self.seen.lock().unwrap();
        if seen.records >= self.records && seen.took.is_none() {
            seen.took = seen.started.map(|started| started.elapsed());
        }
    }
}

impl Bus for Watched {
    fn producer(&self) -> Result<Box<dyn Producer>, BusError> {
        self.bus.producer()
    }

    fn consumer(&self, subscription: &Subscription) -> Result<Box<dyn Consumer>, BusError> {
        let consumer = self.bus.consumer(subscription)?;
        let seen = Arc::clone(&self.seen);
        Ok(Box::new(Watching { consumer, records: self.records, seen }))
    }

    fn create_topics(&self, topics: &[NewTopic]) -> Result<(), BusError> {
        self.bus.create_topics(topics)
    }

    fn check(&self) -> Result<(), BusError> {
        self.bus.check()
    }
}

impl Consumer for Watching {
    fn poll(
        &mut self,
        limit: usize,
        wait: Duration,
        each: &mut dyn FnMut(Record),
    ) -> Result<Vec<Change>, BusError> {
        self.look();
        let (mut count, mut started) = (0, None);
        let changes = self.consumer.poll(limit, wait, &mut |record| {
            if count == 0 {
                started = Some(Instant::now());
            }
            count += 1;
            each(record);
        });
        let mut seen = self.seen.lock().unwrap();
        seen.started = seen.started.or(started);
        seen.records += count;
        changes
    }

    fn hold(&mut self) -> Result<(), BusError> {
        self.consumer.hold()
    }

    fn commit(&mut self, positions: &[Position]) -> Result<(), BusError> {
        self.look();
        self.consumer.commit(positions)
    }

    fn publish(&mut self, records: &[Outgoing], positions: &[Position]) -> Result<(), BusError> {
        self.consumer.publish(records, positions)
    }
}
