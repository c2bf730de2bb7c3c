//! What librdkafka tells a member of a group while it polls.
//!
//! Partitions come and go in callbacks, from within a poll. They are only written down there: what
//! to do about them asks the broker questions, and the member's caller is told in between. Until
//! it is done librdkafka waits, and so does the rest of the group.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::KafkaError;
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;

use super::log::Log;
use crate::{Partition, Position};

/// A change that waits to be carried out.
pub(super) enum Event {
    Assigned(Vec<Partition>),
    /// To be given up; `lost` says that others may have them already.
    Revoked {
        partitions: Vec<Partition>,
        lost: bool,
    },
}

/// A partition that is this member's.
pub(super) struct Owned {
    /// The newest position the caller gave.
    pub(super) position: Position,
    pub(super) commit: Commit,
}

/// What became of the newest position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Commit {
    Kept,
    Sent,
    Due,
}

/// What callbacks and the consumer share.
pub(super) struct Group {
    name: String,
    log: Log,
    events: Mutex<VecDeque<Event>>,
    owned: Mutex<HashMap<Partition, Owned>>,
    /// Nobody is told any more: partitions go at once.
    leaving: AtomicBool,
}

impl Group {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            log: Log::default(),
            events: Mutex::default(),
            owned: Mutex::default(),
            leaving: AtomicBool::new(false),
        }
    }

    pub(super) fn owned(&self) -> MutexGuard<'_, HashMap<Partition, Owned>> {
        lock(&self.owned)
    }

    pub(super) fn log(&self) -> &Log {
        &self.log
    }

    pub(super) fn next_event(&self) -> Option<Event> {
        lock(&self.events).pop_front()
    }

    /// Takes an event again that could not be carried out.
    pub(super) fn put_back(&self, event: Event) {
        lock(&self.events).push_front(event);
    }

    /// How many events wait.
    pub(super) fn events(&self) -> usize {
        lock(&self.events).len()
    }

    pub(super) fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// Removes a partition, and its gauge's value with it.
    pub(super) fn forget(&self, partition: &Partition) {
        if self.owned().remove(partition).is_some() {
            self.set_lag(&partition.topic, partition.number, 0);
        }
    }

    fn set_lag(&self, topic: &str, partition: i32, lag: i64) {
        metrics::gauge!(
            "foreshock_consumer_lag",
            "group" => self.name.clone(),
            "topic" => topic.to_owned(),
            "partition" => partition.to_string(),
        )
        .set(lag as f64);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A list of librdkafka's as ours. Theirs keep the consumer alive for as long as they live, so
/// that it could never be closed; none outlives the function it is used in.
fn partitions(list: &TopicPartitionList) -> Vec<Partition> {
    let list = list.elements();
    list.iter().map(|it| Partition { topic: it.topic().into(), number: it.partition() }).collect()
}

impl ClientContext for Group {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.log.line(level, facility, text);
    }

    fn error(&self, error: KafkaError, text: &str) {
        self.log.error(&error, text);
    }

    /// The lag is what was not worked on yet. librdkafka's own knows nothing of positions that
    /// were committed with a transaction.
    fn stats(&self, statistics: Statistics) {
        for (partition, owned) in self.owned().iter() {
            let topic = statistics.topics.get(&*partition.topic);
            let Some(known) = topic.and_then(|it| it.partitions.get(&partition.number)) else {
                continue;
            };
            // Negative: nothing was fetched yet.
            if known.ls_offset >= 0 {
                let lag = (known.ls_offset - owned.position.next).max(0);
                self.set_lag(&partition.topic, partition.number, lag);
            }
        }
    }
}

impl ConsumerContext for Group {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let assigned = what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.leaving.load(Ordering::Relaxed) {
            return leave(consumer, assigned, list);
        }
        let partitions = partitions(list);
        lock(&self.events).push_back(match assigned {
            true => Event::Assigned(partitions),
            false => Event::Revoked { partitions, lost: consumer.assignment_lost() },
        });
    }
}

/// Answers a consumer that is being closed.
fn leave(consumer: &BaseConsumer<Group>, assigned: bool, list: &TopicPartitionList) {
    let result = match (assigned, consumer.rebalance_protocol()) {
        (true, RebalanceProtocol::Cooperative) => consumer.incremental_assign(list),
        (false, RebalanceProtocol::Cooperative) => consumer.incremental_unassign(list),
        (true, _) => consumer.assign(list),
        (false, _) => consumer.unassign(),
    };
    if let Err(error) = result {
        tracing::debug!("Kafka: leaving a group: {error}");
    }
}
