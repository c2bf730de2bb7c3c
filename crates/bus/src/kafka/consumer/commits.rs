//! How positions get to the group.

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::TopicPartitionList;

use super::{KafkaConsumer, PAUSE};
use crate::kafka::committer::Committer;
use crate::kafka::group::{Commit, Owned};
use crate::kafka::positions::add;
use crate::kafka::{judge, judge_code};
use crate::{BusError, Position};

/// How often positions are sent.
const COMMIT: Duration = Duration::from_secs(1);

impl KafkaConsumer {
    /// Positions that were not sent yet, as a list to send.
    pub(super) fn due(&self, wanted: impl Fn(&Position) -> bool) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for owned in self.context().owned().values_mut() {
            if owned.commit == Commit::Due && wanted(&owned.position) {
                owned.commit = Commit::Sent;
                add(&mut list, &owned.position);
            }
        }
        list
    }

    /// Makes the newest positions known to the group, once a second.
    pub(super) fn commit_when_due(&mut self) {
        self.hear_commit(Duration::ZERO);
        if !self.is_committing() && self.sent.elapsed() >= COMMIT {
            self.send_positions();
        }
    }

    fn is_committing(&self) -> bool {
        self.committer.as_ref().is_some_and(Committer::is_busy)
    }

    pub(super) fn send_positions(&mut self) {
        let due = self.due(|_| true);
        if let Some(committer) = &mut self.committer
            && due.count() > 0
        {
            self.sent = Instant::now();
            committer.send(due);
        }
    }

    /// Notes the answer to the last commit, if it comes within `wait`.
    fn hear_commit(&mut self, wait: Duration) {
        match self.committer.as_mut().and_then(|committer| committer.result(wait)) {
            Some(Ok(())) => self.mark_sent(Commit::Kept),
            Some(Err(error)) => self.commit_failed(&error),
            None => {}
        }
    }

    fn commit_failed(&mut self, error: &KafkaError) {
        self.context().log().error(error, "sending positions");
        self.mark_sent(Commit::Due);
    }

    fn mark_sent(&self, commit: Commit) {
        for owned in self.context().owned().values_mut() {
            if owned.commit == Commit::Sent {
                owned.commit = commit;
            }
        }
    }

    /// Waits for the answer to the last commit. A new one must not be overtaken by it.
    pub(super) fn await_commit(&mut self, deadline: Instant) -> Result<(), BusError> {
        // It mostly comes within milliseconds.
        self.hear_commit(PAUSE);
        while self.is_committing() {
            if Instant::now() >= deadline {
                return Err(BusError::Unavailable("Kafka does not answer a commit".to_owned()));
            }
            self.pause()?;
            self.serve(Duration::ZERO)?;
            self.hear_commit(PAUSE);
        }
        Ok(())
    }

    /// Commits, and waits until that is done.
    pub(super) fn commit_now(
        &self,
        positions: &TopicPartitionList,
        deadline: Instant,
    ) -> Result<(), BusError> {
        while positions.count() > 0 {
            match self.consumer.commit(positions, CommitMode::Sync) {
                Ok(()) => break,
                Err(error) if Instant::now() >= deadline => {
                    return Err(judge(&error, "cannot commit"));
                }
                Err(KafkaError::ConsumerCommit(
                    code @ (Code::IllegalGeneration
                    | Code::UnknownMemberId
                    | Code::FencedInstanceId),
                )) => return Err(judge_code(code, "cannot commit")),
                Err(error) => {
                    self.context().log().error(&error, "sending positions");
                    thread::sleep(PAUSE);
                }
            }
        }
        Ok(())
    }

    /// Sends what was not sent, and waits for the answer. It is sent again while the group
    /// changes, when Kafka takes no positions.
    pub(super) fn commit_last(&mut self, deadline: Instant) -> Result<(), BusError> {
        self.await_commit(deadline)?;
        self.send_positions();
        while self.is_committing() {
            self.await_commit(deadline)?;
            self.serve(PAUSE)?;
            self.send_positions();
        }
        Ok(())
    }

    /// Notes positions as the newest.
    pub(super) fn note(&self, positions: &[Position], commit: Commit) {
        let mut owned = self.context().owned();
        for position in positions {
            if let Some(owned) = owned.get_mut(&position.partition) {
                *owned = Owned { position: position.clone(), commit };
            }
        }
    }
}
