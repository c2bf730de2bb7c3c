//! From a line that is sent to the link it makes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bus::{Bus, NewTopic, Outgoing};
use jiff::{SignedDuration, Timestamp};
use live::{Names, Told};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message;
use serde::Deserialize;
use serde_json::json;

use crate::logs::{FILES, Lines};
use crate::print::{heading, quantile, sorted};
use crate::process::Suite;
use crate::tape::bus;

/// Lines a second.
const RATE: usize = 1_000;

/// Seconds before those that count: texts get into the caches, the broker gets warm, windows fill.
const WARM: usize = 20;

/// Seconds that count.
const COUNTED: usize = 30;

/// Of the ERROR and WARNING lines, one in so many says a text of the dictionary.
const KNOWN_OF: usize = 2;

/// The window, in seconds.
const WINDOW: i64 = 8;

/// How long the last links may take.
const REST: Duration = Duration::from_secs(2);

pub fn run() {
    heading(
        "latency at 1,000 lines a second (5 % ERROR and WARNING, half of which match), backend \
         with the\nroles match and link, vectors in its caches; a link counts from the later of \
         its two lines",
    );
    let suite = Suite::new();
    let (bus, names) = (bus(), Names::new(&suite.logs, &suite.name));
    let topics: Vec<String> = (0..FILES).map(|file| format!("{}.{file}", suite.logs)).collect();
    let retention = Duration::from_secs(24 * 60 * 60);
    let topic = |name| NewTopic { name, partitions: 1, retention };
    bus.create_topics(&topics.iter().map(|it| topic(it.as_str())).collect::<Vec<_>>()).unwrap();
    names.create(&bus, 6, SignedDuration::from_secs(WINDOW)).unwrap();
    let backend = suite.backend("match,link", &format!("{WINDOW}s"));
    let over = AtomicBool::new(false);
    let (sent, matches, links) = thread::scope(|scope| {
        let matches = scope.spawn(|| listen(&names.matches(), &over));
        let links = scope.spawn(|| listen(&names.links(), &over));
        let sent = send(&bus, &topics);
        thread::sleep(REST);
        over.store(true, Ordering::Relaxed);
        (sent, matches.join().unwrap(), links.join().unwrap())
    });
    drop(backend);
    tell(&sent, &matches, &links);
}

/// Sends the lines, and returns when each was sent.
fn send(bus: &dyn Bus, topics: &[String]) -> Vec<Instant> {
    let mut producer = bus.producer().unwrap();
    let (mut lines, mut sent) = (Lines::new(KNOWN_OF), Vec::new());
    let started = Instant::now();
    for number in 0..(WARM + COUNTED) * RATE {
        let due = Duration::from_secs(1) * number as u32 / RATE as u32;
        thread::sleep(due.saturating_sub(started.elapsed()));
        let (level, component, message) = lines.next();
        let timestamp = format!("{:.3}", Timestamp::now());
        let file = number % FILES;
        let record = json!({
            "timestamp": timestamp,
            "level": level,
            "component": component,
            "message": message,
            "file": format!("{file}.log"),
            "line": number,
            "raw": format!("{timestamp} {level} {component}: {message}"),
        });
        let payload = record.to_string().into_bytes();
        sent.push(Instant::now());
        let record = Outgoing { topic: &topics[file], key: Some(b"key"), payload: &payload };
        while !producer.send(&record).unwrap() {}
    }
    while !producer.flush(Duration::from_secs(1)).unwrap() {}
    sent
}

type Received = Vec<(Instant, Vec<u8>)>;

/// What comes in a topic, and when.
fn listen(topic: &str, over: &AtomicBool) -> Received {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", testing::kafka())
        .set("group.id", testing::unique("listener"))
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .set("fetch.min.bytes", "1")
        .create()
        .unwrap();
    consumer.subscribe(&[topic]).unwrap();
    let mut received = Vec::new();
    while !over.load(Ordering::Relaxed) {
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            let now = Instant::now();
            received.push((now, message.unwrap().payload().unwrap().to_vec()));
        }
    }
    received
}

/// What is looked at of a match.
#[derive(Deserialize)]
struct Match {
    event: Line,
}

#[derive(Deserialize)]
struct Line {
    line: usize,
}

fn tell(sent: &[Instant], matches: &Received, links: &Received) {
    let mut matched: HashMap<usize, Instant> = HashMap::new();
    for (received, json) in matches {
        let read: Match = serde_json::from_slice(json).unwrap();
        matched.entry(read.event.line).or_insert(*received);
    }
    let (mut whole, mut first, mut second) = (Vec::new(), Vec::new(), Vec::new());
    for (received, json) in links {
        let link: Told = serde_json::from_slice(json).unwrap();
        let later = link.anomaly.event.line.max(link.problem.event.line) as usize;
        if later < WARM * RATE {
            continue;
        }
        let match_received = matched[&later];
        let milliseconds =
            |from: Instant, to: Instant| to.saturating_duration_since(from).as_secs_f64() * 1000.0;
        whole.push(milliseconds(sent[later], *received));
        first.push(milliseconds(sent[later], match_received));
        second.push(milliseconds(match_received, *received));
    }
    println!("  {:<28} {:>7} {:>7} {:>7} {:>7}  ms", "", "p50", "p90", "p99", "max");
    for (name, values) in
        [("line → link", &whole), ("  line → match", &first), ("  match → link", &second)]
    {
        let values = sorted(values.iter().copied());
        let [p50, p90, p99, max] = [0.5, 0.9, 0.99, 1.0].map(|share| quantile(&values, share));
        println!("  {name:<28} {p50:>7.1} {p90:>7.1} {p99:>7.1} {max:>7.1}");
    }
    println!("  {} links in {COUNTED} s", whole.len());
}
