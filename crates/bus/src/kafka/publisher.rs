//! Sends records and positions in one transaction.

use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseProducer, Producer as _};
use rdkafka::topic_partition_list::TopicPartitionList;

use super::group::Group;
use super::producer::{Deliveries, drain, enqueue, sender};
use super::{KafkaSettings, client, judge, reason, refused};
use crate::{BusError, Outgoing};

/// How long a transaction is tried.
pub(super) const PUBLISH: Duration = Duration::from_secs(30);

/// How long an end without a commit is tried; the broker ends what is left open by itself.
const ABORT: Duration = Duration::from_secs(3);

/// How long to wait before trying again.
const PAUSE: Duration = Duration::from_millis(50);

/// A producer whose transactions carry positions of a consumer.
pub(super) struct Publisher {
    producer: BaseProducer<Deliveries>,
}

impl Publisher {
    pub(super) fn new(settings: &KafkaSettings, group: &str) -> Result<Self, BusError> {
        let mut config = client(settings);
        sender(&mut config)
            // Nobody takes over another's transaction: what guards against two owners of one
            // partition is the group's generation, which goes with the positions.
            .set("transactional.id", unique(group))
            // What a process leaves open when it dies hides all records behind it for so long.
            .set("transaction.timeout.ms", "10000")
            .set("message.timeout.ms", "10000")
            .set("linger.ms", "0")
            // The transaction before is often not quite over, which takes some milliseconds.
            .set("retry.backoff.ms", "1")
            .set("retry.backoff.max.ms", "100");
        let producer: BaseProducer<_> =
            config.create_with_context(Deliveries::default()).map_err(|error| refused(&error))?;
        let deadline = Instant::now() + PUBLISH;
        retried(deadline, |left| producer.init_transactions(left))
            .map_err(|error| judge(&error, "cannot begin to publish"))?;
        Ok(Self { producer })
    }

    /// Does it all or nothing. After an error this publisher is of no more use; was its last
    /// answer lost, the broker knows which of the two it was, and whoever reads the group's
    /// positions next waits for that.
    pub(super) fn publish(
        &self,
        records: &[Outgoing],
        positions: &TopicPartitionList,
        consumer: &BaseConsumer<Group>,
    ) -> Result<(), BusError> {
        let deadline = Instant::now() + PUBLISH;
        let done = self.transaction(records, positions, consumer, deadline);
        done.map_err(|error| {
            if let Err(error) =
                retried(Instant::now() + ABORT, |left| self.producer.abort_transaction(left))
            {
                tracing::debug!("Kafka: a transaction is left open: {}", reason(&error));
            }
            self.producer.context().failure().unwrap_or_else(|| judge(&error, "cannot publish"))
        })
    }

    fn transaction(
        &self,
        records: &[Outgoing],
        positions: &TopicPartitionList,
        consumer: &BaseConsumer<Group>,
        deadline: Instant,
    ) -> KafkaResult<()> {
        self.producer.begin_transaction()?;
        for record in records {
            self.enqueue(record, deadline)?;
        }
        // While the records are on their way the positions are, too.
        if positions.count() > 0 {
            let member = consumer.group_metadata().ok_or(KafkaError::Canceled)?;
            // A member that was thrown out has no generation, and no broker would refuse it.
            is_member(consumer)?;
            retried(deadline, |left| {
                self.producer.send_offsets_to_transaction(positions, &member, left)
            })?;
            is_member(consumer)?;
        }
        if !drain(&self.producer, deadline) {
            return Err(KafkaError::Flush(Code::OperationTimedOut));
        }
        retried(deadline, |left| self.producer.commit_transaction(left))
    }

    fn enqueue(&self, record: &Outgoing, deadline: Instant) -> KafkaResult<()> {
        loop {
            match enqueue(&self.producer, record) {
                Err(error)
                    if error.rdkafka_error_code() == Some(Code::QueueFull)
                        && Instant::now() < deadline =>
                {
                    self.producer.poll(Duration::from_millis(1));
                }
                result => return result,
            }
        }
    }
}

fn is_member(consumer: &BaseConsumer<Group>) -> KafkaResult<()> {
    match consumer.assignment_lost() {
        true => Err(KafkaError::Rebalance(Code::AssignmentLost)),
        false => Ok(()),
    }
}

/// Tries again what may succeed later, until the deadline.
fn retried(
    deadline: Instant,
    mut step: impl FnMut(Duration) -> KafkaResult<()>,
) -> KafkaResult<()> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now()).max(PAUSE);
        match step(left) {
            Err(KafkaError::Transaction(error))
                if error.is_retriable() && Instant::now() < deadline =>
            {
                thread::sleep(PAUSE);
            }
            result => return result,
        }
    }
}

/// A name that no other publisher has, in this process or another.
fn unique(group: &str) -> String {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let made = MADE.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!("{group}-{}-{now:x}-{made}", process::id())
}
