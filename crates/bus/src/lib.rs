//! Records between the stages.
//!
//! The seam is [`Bus`], with its two implementations side by side: [`Memory`], queues in the
//! process, and `Kafka` (feature `kafka`). A stage is a loop on a thread of its own: poll, work,
//! send, commit. One suite of tests holds both to the same contract.
//!
//! The contract: records of one partition come in the order in which they were sent; records of
//! one key go to one partition; a record comes again until a position behind it is committed, and
//! never after that to the same group; what [`Consumer::publish`] sends is seen together with the
//! positions it commits, or not at all; a sender waits when the bus is full or away, and nothing
//! that was accepted is lost.

#[cfg(feature = "kafka")]
mod kafka;
mod memory;

use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;

#[cfg(feature = "kafka")]
pub use kafka::{Kafka, KafkaSettings};
pub use memory::Memory;

/// The largest record that can be sent, key and payload together, in bytes. A broker permits a
/// little more than this by default, for its own framing.
pub const MAX_RECORD: usize = 1_000_000;

/// Where records are sent to and come from.
pub trait Bus: Send + Sync {
    /// A sender.
    ///
    /// # Errors
    /// When the settings cannot be right; a bus that is away for now is no error.
    fn producer(&self) -> Result<Box<dyn Producer>, BusError>;

    /// A new member of a group, which shares the partitions of its topics among its members.
    ///
    /// # Errors
    /// As [`Bus::producer`].
    fn consumer(&self, subscription: &Subscription) -> Result<Box<dyn Consumer>, BusError>;

    /// Makes the topics that are not there yet.
    ///
    /// # Errors
    /// [`BusError::Unavailable`] when the bus is away, [`BusError::Refused`] when it does not
    /// permit it.
    fn create_topics(&self, topics: &[NewTopic]) -> Result<(), BusError>;

    /// Asks whether the bus is there, and waits a few seconds at most for the answer.
    ///
    /// # Errors
    /// [`BusError::Unavailable`], with the reason.
    fn check(&self) -> Result<(), BusError>;
}

/// Sends records, in order.
pub trait Producer: Send {
    /// Accepts a record for sending. Returns `false` when too many wait to be sent: call
    /// [`Producer::flush`], and send it again.
    ///
    /// # Errors
    /// [`BusError::Refused`] when the record can never be sent, as one that is too large;
    /// [`BusError::Unavailable`] when this producer cannot go on, and all it accepted is in doubt.
    fn send(&mut self, record: &Outgoing) -> Result<bool, BusError>;

    /// Waits until all that was accepted is kept by the bus. Returns `false` when it was not after
    /// `wait`: call it again.
    ///
    /// # Errors
    /// As [`Producer::send`], of the records sent before.
    fn flush(&mut self, wait: Duration) -> Result<bool, BusError>;
}

/// Receives records as a member of a group. Dropping it leaves the group.
pub trait Consumer: Send {
    /// Hands up to `limit` records to `each`: waits for the first of them for up to `wait`, and
    /// for no other. Returns what changed in the share of this member; records handed over in the
    /// same call came before the change.
    ///
    /// Of a partition that was assigned, records come from [`Position::rebuild`] on.
    ///
    /// # Errors
    /// [`BusError::Unavailable`] when this consumer cannot go on; a broker that is away for now is
    /// waited for.
    fn poll(
        &mut self,
        limit: usize,
        wait: Duration,
        each: &mut dyn FnMut(Record),
    ) -> Result<Vec<Change>, BusError>;

    /// Stays a member without receiving anything: to be called every second by who is busy for
    /// longer. What changes meanwhile is returned by the next [`Consumer::poll`].
    ///
    /// # Errors
    /// As [`Consumer::poll`].
    fn hold(&mut self) -> Result<(), BusError>;

    /// Makes the group go on from these positions, should this member be gone. It is kept within
    /// a second, and when the consumer is dropped. Positions of partitions that were revoked
    /// meanwhile are passed over.
    ///
    /// # Errors
    /// As [`Consumer::poll`].
    fn commit(&mut self, positions: &[Position]) -> Result<(), BusError>;

    /// Sends records and commits positions, both or neither, and waits until that is done: for
    /// half a minute at most. Positions of partitions that a poll told to be revoked, and that
    /// another poll gave up, are passed over.
    ///
    /// # Errors
    /// When it is neither, or when a partition was lost without a poll having told so: the
    /// consumer cannot go on and must be made anew, and what was polled since the last commit
    /// will come again.
    fn publish(&mut self, records: &[Outgoing], positions: &[Position]) -> Result<(), BusError>;
}

/// A record as it is received.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition of the topic, from 0.
    pub partition: i32,
    /// The place in the partition; the next record has a greater one.
    pub offset: i64,
    /// What the partition was chosen by.
    pub key: Option<&'a [u8]>,
    /// The content.
    pub payload: &'a [u8],
    /// When it was sent, in milliseconds since 1970.
    pub sent: i64,
}

/// A record to send.
#[derive(Clone, Debug)]
pub struct Outgoing<'a> {
    /// The topic.
    pub topic: &'a str,
    /// What the partition is chosen by; any partition without.
    pub key: Option<&'a [u8]>,
    /// The content.
    pub payload: &'a [u8],
}

/// What a consumer wants.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// The name of the group. A new group begins with the oldest records there are.
    pub group: String,
    /// The topics.
    pub topics: Topics,
}

/// Topics by their names.
#[derive(Clone, Debug)]
pub enum Topics {
    /// These.
    Named(Vec<String>),
    /// Those whose names begin so, found within seconds when they appear.
    WithPrefix(String),
}

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition {
    /// The topic.
    pub topic: Arc<str>,
    /// Its number, from 0.
    pub number: i32,
}

/// How far a group is in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The partition.
    pub partition: Partition,
    /// The offset of the first record that was not worked on.
    pub next: i64,
    /// The offset of the first record that is still needed to rebuild what the stage remembers; at
    /// most `next`.
    pub rebuild: i64,
}

/// A change in a member's share of the partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The partition is now this member's, from this position on.
    Assigned(Position),
    /// The partition goes to another member with the next poll, and nothing more comes of it.
    /// Until then what was polled of it can be committed or published, if it was not lost.
    Revoked(Partition),
}

/// A topic to be made.
#[derive(Clone, Debug)]
pub struct NewTopic<'a> {
    /// The name.
    pub name: &'a str,
    /// The number of partitions.
    pub partitions: i32,
    /// How long records are kept.
    pub retention: Duration,
}

/// Why the bus does not do what it should.
#[derive(Debug, Error)]
pub enum BusError {
    /// It is away, or lost its state: try again later, from a new producer or consumer.
    #[error("{0}")]
    Unavailable(String),
    /// It never will: the settings are wrong, or it is not permitted.
    #[error("{0}")]
    Refused(String),
}

impl Outgoing<'_> {
    /// Bytes of the key and the payload.
    fn size(&self) -> usize {
        self.key.map_or(0, <[u8]>::len) + self.payload.len()
    }

    /// # Errors
    /// [`BusError::Refused`] when no bus takes a record of this size.
    fn check_size(&self) -> Result<(), BusError> {
        let (topic, size) = (self.topic, self.size());
        if size <= MAX_RECORD {
            return Ok(());
        }
        Err(BusError::Refused(format!(
            "a record of {size} bytes for {topic} is too large, {MAX_RECORD} are permitted"
        )))
    }
}

/// When to stop waiting: a day hence at most, which no clock overflows on.
fn deadline(wait: Duration) -> Instant {
    Instant::now() + wait.min(Duration::from_secs(24 * 60 * 60))
}
