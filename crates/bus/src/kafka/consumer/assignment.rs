//! What becomes of partitions that come and go.

use std::mem;
use std::time::Instant;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::{ASK, KafkaConsumer, Leaving};
use crate::kafka::group::{Commit, Event, Owned};
use crate::kafka::positions::{list, rebuild_of, within};
use crate::{Change, Partition, Position};

impl KafkaConsumer {
    /// Carries out what the poll heard of.
    pub(super) fn settle(&mut self) {
        while let Some(event) = self.context().next_event() {
            match event {
                Event::Assigned(partitions) => match self.start(&partitions) {
                    Ok(positions) => {
                        self.changes.extend(positions.into_iter().map(Change::Assigned))
                    }
                    Err(error) => {
                        self.context().log().error(&error, "reading positions");
                        self.context().put_back(Event::Assigned(partitions));
                        return;
                    }
                },
                Event::Revoked { partitions, lost } => {
                    if lost {
                        self.let_go(&partitions, lost);
                        self.taken.extend(partitions.iter().cloned());
                    } else {
                        self.leaving.partitions.extend(partitions.iter().cloned());
                        self.leaving.since = Some(Instant::now());
                    }
                    self.changes.extend(partitions.into_iter().map(Change::Revoked));
                }
            }
        }
    }

    /// Begins to read partitions from where they are to be rebuilt.
    fn start(&self, partitions: &[Partition]) -> KafkaResult<Vec<Position>> {
        let positions = self.positions(partitions)?;
        let mut list = TopicPartitionList::with_capacity(positions.len());
        for Position { partition, rebuild, .. } in &positions {
            let offset = Offset::Offset(*rebuild);
            list.add_partition_offset(&partition.topic, partition.number, offset)?;
        }
        self.consumer.incremental_assign(&list)?;
        // librdkafka remembers that a partition was paused before it was lost.
        let paused = match self.held {
            true => self.consumer.pause(&list),
            false => self.consumer.resume(&list),
        };
        if let Err(error) = paused {
            self.context().log().error(&error, "pausing");
        }
        let mut owned = self.context().owned();
        for position in &positions {
            let this = Owned { position: position.clone(), commit: Commit::Kept };
            owned.insert(position.partition.clone(), this);
        }
        Ok(positions)
    }

    /// Asks how far the group is.
    fn positions(&self, partitions: &[Partition]) -> KafkaResult<Vec<Position>> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let committed = self.consumer.committed_offsets(list(partitions), ASK)?;
        let mut positions = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let element = committed.find_partition(&partition.topic, partition.number);
            let element = element.ok_or(KafkaError::OffsetFetch(Code::UnknownPartition))?;
            element.error()?;
            let kept = self.kept(partition)?;
            let committed = match element.offset() {
                Offset::Offset(next) => Some((next, rebuild_of(element.metadata(), next))),
                _ => None,
            };
            let (next, rebuild) = within(committed, kept);
            positions.push(Position { partition: partition.clone(), next, rebuild });
        }
        Ok(positions)
    }

    /// The offsets that the broker keeps, as the first and the one behind the last.
    fn kept(&self, partition: &Partition) -> KafkaResult<(i64, i64)> {
        match self.consumer.fetch_watermarks(&partition.topic, partition.number, ASK) {
            // Deleted meanwhile: librdkafka takes it back as soon as it was accepted.
            Err(KafkaError::MetadataFetch(
                Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition,
            )) => Ok((0, i64::MAX)),
            kept => kept,
        }
    }

    /// Stops reading partitions, and sends what their positions are if they are still this
    /// member's.
    pub(super) fn let_go(&mut self, partitions: &[Partition], lost: bool) {
        if partitions.is_empty() {
            return;
        }
        if !lost {
            // It has the older positions.
            let _ = self.await_commit(Instant::now() + ASK);
            let due = self.due(|it| partitions.contains(&it.partition));
            if let Err(error) = self.commit_now(&due, Instant::now() + ASK) {
                tracing::warn!("Kafka: positions of what is given up are not kept: {error}");
            }
        }
        if let Err(error) = self.consumer.incremental_unassign(&list(partitions)) {
            self.context().log().error(&error, "giving up partitions");
        }
        for partition in partitions {
            self.context().forget(partition);
        }
        self.kept.retain(|message| {
            !partitions
                .iter()
                .any(|it| it.number == message.partition() && *it.topic == *message.topic())
        });
    }

    pub(super) fn give_up(&mut self) {
        let Leaving { partitions, .. } = mem::take(&mut self.leaving);
        self.let_go(&partitions, false);
    }
}
