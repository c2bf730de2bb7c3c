//! A member of a group.
//!
//! **Partitions.** One that is assigned is read from the offset its group rebuilds from, which
//! goes with the committed offset as its metadata. One that is revoked is told first and given up
//! with the next poll, so that what was polled of it can still be committed or published.
//!
//! **Positions** are sent once a second, and before a partition goes.

mod assignment;
mod commits;

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::topic_partition_list::TopicPartitionList;

use crate::kafka::committer::Committer;
use crate::kafka::group::{Commit, Event, Group};
use crate::kafka::positions::{add, list, subscribed};
use crate::kafka::publisher::{PUBLISH, Publisher};
use crate::kafka::{KafkaSettings, client, judge, refused};
use crate::{
    BusError, Change, Consumer, Outgoing, Partition, Position, Record, Subscription, deadline,
};

/// How long to wait for records before looking after positions.
const LOOK: Duration = Duration::from_secs(1);

/// How long a question about positions waits for its answer before other things are done.
const ASK: Duration = Duration::from_secs(2);

/// How long a consumer that is dropped waits for its last commit.
const DROP: Duration = Duration::from_secs(3);

/// How long to wait before asking again.
const PAUSE: Duration = Duration::from_millis(20);

/// How long the group waits for a member that is told to give something up and does not poll.
const PATIENCE: Duration = Duration::from_secs(10);

pub(in crate::kafka) struct KafkaConsumer {
    settings: KafkaSettings,
    group: String,
    consumer: Arc<BaseConsumer<Group>>,
    /// `Some` until the consumer is dropped.
    committer: Option<Committer>,
    publisher: Option<Publisher>,
    /// What the next poll tells.
    changes: Vec<Change>,
    leaving: Leaving,
    /// What was taken away since the last poll began: others may work on it already.
    taken: Vec<Partition>,
    /// Is nothing to be received?
    held: bool,
    /// What was received nevertheless.
    kept: Vec<OwnedMessage>,
    /// When positions were sent last.
    sent: Instant,
}

/// Partitions to be given up.
#[derive(Default)]
struct Leaving {
    partitions: Vec<Partition>,
    since: Option<Instant>,
}

impl KafkaConsumer {
    pub(in crate::kafka) fn new(
        settings: &KafkaSettings,
        max_poll_interval: Duration,
        subscription: &Subscription,
    ) -> Result<Self, BusError> {
        let group = &subscription.group;
        let mut config = client(settings);
        config
            .set("group.id", group)
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", "10000")
            .set("heartbeat.interval.ms", "1000")
            .set("max.poll.interval.ms", max_poll_interval.as_millis().to_string())
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("isolation.level", "read_committed")
            // New topics are found by it.
            .set("topic.metadata.refresh.interval.ms", "1000")
            .set("statistics.interval.ms", "5000")
            // A record is handed over as soon as it is there; what is waiting comes in one go.
            .set("fetch.min.bytes", "1")
            .set("fetch.wait.max.ms", "50")
            .set("fetch.queue.backoff.ms", "20")
            .set("fetch.error.backoff.ms", "100")
            .set("fetch.max.bytes", "16777216")
            .set("queued.max.messages.kbytes", "32768");
        let consumer: BaseConsumer<Group> =
            config.create_with_context(Group::new(group)).map_err(|error| refused(&error))?;
        let topics = subscribed(&subscription.topics);
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(|error| refused(&error))?;
        let consumer = Arc::new(consumer);
        let committer = Committer::new(&consumer);
        let committer = committer.map_err(|error| BusError::Unavailable(error.to_string()))?;
        Ok(Self {
            settings: settings.clone(),
            group: group.clone(),
            consumer,
            committer: Some(committer),
            publisher: None,
            changes: Vec::new(),
            leaving: Leaving::default(),
            taken: Vec::new(),
            held: false,
            kept: Vec::new(),
            sent: Instant::now(),
        })
    }

    fn context(&self) -> &Group {
        self.consumer.context()
    }

    /// Receives until the limit, the deadline, or a change.
    fn receive(
        &mut self,
        limit: usize,
        deadline: Instant,
        each: &mut dyn FnMut(Record),
    ) -> Result<(), BusError> {
        let waiting = self.context().events();
        let mut handed = self.hand_over_kept(limit, each);
        while handed < limit {
            let wait = match handed {
                0 => deadline.saturating_duration_since(Instant::now()).min(LOOK),
                _ => Duration::ZERO,
            };
            match self.consumer.poll(wait) {
                Some(Ok(message)) => {
                    each(record(&message));
                    handed += 1;
                }
                Some(Err(error)) => self.check(&error)?,
                // Changes come with nothing.
                None if self.context().events() > waiting => break,
                None if handed > 0 || Instant::now() >= deadline => break,
                None => self.commit_when_due(),
            }
        }
        Ok(())
    }

    fn hand_over_kept(&mut self, limit: usize, each: &mut dyn FnMut(Record)) -> usize {
        let count = limit.min(self.kept.len());
        for message in self.kept.drain(..count) {
            each(record(&message));
        }
        count
    }

    /// # Errors
    /// When librdkafka does not mend it by itself.
    fn check(&self, error: &KafkaError) -> Result<(), BusError> {
        let judged = judge(error, "cannot receive");
        match (error, &judged) {
            (KafkaError::MessageConsumptionFatal(_), _) | (_, BusError::Refused(_)) => Err(judged),
            // It is in the log already.
            _ => Ok(()),
        }
    }

    /// Receives nothing from now on, but what is on its way already.
    fn pause(&mut self) -> Result<(), BusError> {
        if !self.held {
            self.held = true;
            let all = self.all();
            self.consumer.pause(&all).map_err(|error| judge(&error, "cannot pause"))?;
        }
        Ok(())
    }

    fn resume(&mut self) -> Result<(), BusError> {
        if self.held {
            self.held = false;
            let all = self.all();
            self.consumer.resume(&all).map_err(|error| judge(&error, "cannot go on"))?;
        }
        Ok(())
    }

    fn all(&self) -> TopicPartitionList {
        let owned: Vec<_> = self.context().owned().keys().cloned().collect();
        list(&owned)
    }

    /// Lets librdkafka work while paused, and keeps what it gives nevertheless.
    fn serve(&mut self, wait: Duration) -> Result<(), BusError> {
        let mut wait = wait;
        loop {
            match self.consumer.poll(wait) {
                Some(Ok(message)) => self.kept.push(message.detach()),
                Some(Err(error)) => self.check(&error)?,
                None => return Ok(()),
            }
            wait = Duration::ZERO;
        }
    }

    /// What of the positions can be committed. One that went with an earlier poll is passed over.
    ///
    /// # Errors
    /// When a partition was taken away and the caller may not know: its records are another's.
    fn still_owned(&self, positions: &[Position]) -> Result<TopicPartitionList, BusError> {
        let mut list = TopicPartitionList::with_capacity(positions.len());
        for position in positions {
            if self.taken.contains(&position.partition) {
                let Partition { topic, number } = &position.partition;
                let text = format!("partition {number} of {topic} was lost meanwhile");
                return Err(BusError::Unavailable(text));
            }
            if self.context().owned().contains_key(&position.partition) {
                add(&mut list, position);
            }
        }
        Ok(list)
    }

    fn try_publish(
        &mut self,
        records: &[Outgoing],
        positions: &TopicPartitionList,
    ) -> Result<(), BusError> {
        let publisher = match self.publisher.take() {
            Some(publisher) => publisher,
            None => Publisher::new(&self.settings, &self.group)?,
        };
        publisher.publish(records, positions, &self.consumer)?;
        self.publisher = Some(publisher);
        Ok(())
    }
}

impl Consumer for KafkaConsumer {
    fn poll(
        &mut self,
        limit: usize,
        wait: Duration,
        each: &mut dyn FnMut(Record),
    ) -> Result<Vec<Change>, BusError> {
        self.give_up();
        self.taken.clear();
        self.resume()?;
        self.commit_when_due();
        self.settle();
        // What happened before is told before anything else is received.
        if self.changes.is_empty() {
            let waiting = self.context().events();
            self.receive(limit, deadline(wait), each)?;
            if self.context().events() > waiting {
                self.settle();
            }
        }
        Ok(mem::take(&mut self.changes))
    }

    fn hold(&mut self) -> Result<(), BusError> {
        self.pause()?;
        self.commit_when_due();
        self.serve(Duration::ZERO)?;
        self.settle();
        if self.leaving.since.is_some_and(|since| since.elapsed() >= PATIENCE) {
            self.taken.extend(self.leaving.partitions.iter().cloned());
            self.give_up();
        }
        Ok(())
    }

    fn commit(&mut self, positions: &[Position]) -> Result<(), BusError> {
        self.note(positions, Commit::Due);
        self.commit_when_due();
        Ok(())
    }

    fn publish(&mut self, records: &[Outgoing], positions: &[Position]) -> Result<(), BusError> {
        records.iter().try_for_each(Outgoing::check_size)?;
        let deadline = Instant::now() + PUBLISH;
        self.await_commit(deadline)?;
        let list = self.still_owned(positions)?;
        match records.is_empty() {
            true => self.commit_now(&list, deadline)?,
            false => self.try_publish(records, &list)?,
        }
        self.note(positions, Commit::Kept);
        Ok(())
    }
}

impl Drop for KafkaConsumer {
    fn drop(&mut self) {
        let deadline = Instant::now() + DROP;
        if let Err(error) = self.commit_last(deadline) {
            tracing::warn!("Kafka: the last positions of {} were not kept: {error}", self.group);
        }
        self.context().leave();
        // librdkafka waits for an answer to each of these before it closes.
        let leaving = mem::take(&mut self.leaving.partitions);
        self.let_go(&leaving, true);
        while let Some(event) = self.context().next_event() {
            match event {
                Event::Assigned(_) => {
                    let _ = self.consumer.incremental_assign(&TopicPartitionList::new());
                }
                Event::Revoked { partitions, .. } => self.let_go(&partitions, true),
            }
        }
        // The last of the consumer is to be dropped here, if it can be.
        if let Some(committer) = self.committer.take() {
            committer.end();
        }
    }
}

fn record<M: Message>(message: &M) -> Record<'_> {
    Record {
        topic: message.topic(),
        partition: message.partition(),
        offset: message.offset(),
        key: message.key(),
        payload: message.payload().unwrap_or_default(),
        sent: message.timestamp().to_millis().unwrap_or(0),
    }
}
