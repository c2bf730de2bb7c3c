//! A member of a group that notes all that happens to it, and checks what must always hold.

// Each crate of tests uses a part of it.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bus::{Bus, Change, Consumer, Outgoing, Partition, Position, Producer, Subscription, Topics};

/// How long anything may take on a slow machine before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(120);

const WAIT: Duration = Duration::from_millis(50);

#[derive(Clone, Debug)]
pub struct Got {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub key: Option<String>,
    pub text: String,
}

pub struct Member {
    pub consumer: Box<dyn Consumer>,
    /// How far it is in what is its own.
    pub owned: BTreeMap<Partition, Position>,
    pub changes: Vec<Change>,
    pub got: Vec<Got>,
}

impl Member {
    pub fn join(bus: &dyn Bus, group: &str, topics: Topics) -> Self {
        let subscription = Subscription { group: group.to_owned(), topics };
        let consumer = bus.consumer(&subscription).unwrap();
        Self { consumer, owned: BTreeMap::new(), changes: Vec::new(), got: Vec::new() }
    }

    pub fn reading(bus: &dyn Bus, group: &str, topic: &str) -> Self {
        Self::join(bus, group, Topics::Named(vec![topic.to_owned()]))
    }

    /// Polls once.
    pub fn poll(&mut self) {
        self.try_poll().unwrap();
    }

    pub fn try_poll(&mut self) -> Result<(), bus::BusError> {
        let Self { consumer, owned, got, .. } = self;
        let changes = consumer.poll(100, WAIT, &mut |record| {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let partition = partition(record.topic, record.partition);
            let position = owned.get_mut(&partition).expect("only what was assigned comes");
            position.next = position.next.max(record.offset + 1);
            assert!(record.sent > 1_700_000_000_000, "it is told when a record was sent");
            got.push(Got {
                topic: record.topic.to_owned(),
                partition: record.partition,
                offset: record.offset,
                key: record.key.map(text),
                text: text(record.payload),
            });
        })?;
        for change in changes {
            match &change {
                Change::Assigned(position) => {
                    assert!(position.rebuild <= position.next);
                    let before = owned.insert(position.partition.clone(), position.clone());
                    assert_eq!(before, None, "what is assigned was not this member's");
                }
                Change::Revoked(partition) => {
                    owned.remove(partition).expect("what is revoked was this member's");
                }
            }
            self.changes.push(change);
        }
        Ok(())
    }

    /// Polls until it is so.
    pub fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) -> &mut Self {
        let start = Instant::now();
        while !done(self) {
            assert!(start.elapsed() < PATIENCE, "waited for {what} in vain, got {:?}", self.got);
            self.poll();
        }
        self
    }

    pub fn until_got(&mut self, count: usize) -> &mut Self {
        self.until(&format!("{count} records"), |it| it.got.len() >= count);
        assert_eq!(self.got.len(), count, "no more than was sent");
        self
    }

    /// Polls for a while, for what shall not come.
    pub fn linger(&mut self) {
        for _ in 0..20 {
            self.poll();
        }
    }

    pub fn texts(&self) -> Vec<&str> {
        self.got.iter().map(|got| got.text.as_str()).collect()
    }

    /// Where it is.
    pub fn positions(&self) -> Vec<Position> {
        let up_to_date =
            |position: &Position| Position { rebuild: position.next, ..position.clone() };
        self.owned.values().map(up_to_date).collect()
    }

    pub fn commit(&mut self) {
        let positions = self.positions();
        self.consumer.commit(&positions).unwrap();
    }
}

pub fn partition(topic: &str, number: i32) -> Partition {
    Partition { topic: topic.into(), number }
}

pub fn make(bus: &dyn Bus, topic: &str, partitions: i32) {
    let retention = Duration::from_secs(3600);
    bus.create_topics(&[bus::NewTopic { name: topic, partitions, retention }]).unwrap();
}

pub fn record<'a>(topic: &'a str, text: &'a str) -> Outgoing<'a> {
    Outgoing { topic, key: None, payload: text.as_bytes() }
}

/// Sends records, waiting when there is no room.
pub fn put(producer: &mut dyn Producer, record: &Outgoing) {
    let start = Instant::now();
    while !producer.send(record).unwrap() {
        assert!(start.elapsed() < PATIENCE, "there is no room for {record:?}");
        producer.flush(Duration::from_millis(200)).unwrap();
    }
}

pub fn flush(producer: &mut dyn Producer) {
    let start = Instant::now();
    while !producer.flush(Duration::from_secs(1)).unwrap() {
        assert!(start.elapsed() < PATIENCE, "what was accepted is not sent");
    }
}

pub fn send<T: AsRef<str>>(bus: &dyn Bus, topic: &str, texts: &[T]) {
    let mut producer = bus.producer().unwrap();
    for text in texts {
        put(&mut *producer, &record(topic, text.as_ref()));
    }
    flush(&mut *producer);
}

pub fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}
