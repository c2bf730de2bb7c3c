//! Sends positions from a thread of its own.
//!
//! librdkafka tells nobody what became of a commit that was not waited for, and a commit that is
//! waited for can take as long as a broker is away. So one is waited for here, and one at a time:
//! a late one could undo a newer.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::TopicPartitionList;

use super::group::Group;

pub(super) struct Committer {
    lists: Sender<TopicPartitionList>,
    results: Receiver<KafkaResult<()>>,
    thread: JoinHandle<()>,
    busy: bool,
}

impl Committer {
    pub(super) fn new(consumer: &Arc<BaseConsumer<Group>>) -> std::io::Result<Self> {
        let (lists, received) = mpsc::channel::<TopicPartitionList>();
        let (answers, results) = mpsc::channel();
        let consumer = Arc::clone(consumer);
        let thread = thread::Builder::new().name("commit".to_owned()).spawn(move || {
            for list in received {
                let result = consumer.commit(&list, CommitMode::Sync);
                if answers.send(result).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self { lists, results, thread, busy: false })
    }

    /// Is an answer due?
    pub(super) fn is_busy(&self) -> bool {
        self.busy
    }

    pub(super) fn send(&mut self, list: TopicPartitionList) {
        debug_assert!(!self.busy, "one at a time");
        self.busy = self.lists.send(list).is_ok();
    }

    /// The answer, when it has come or comes within `wait`, once.
    pub(super) fn result(&mut self, wait: Duration) -> Option<KafkaResult<()>> {
        if !self.busy {
            return None;
        }
        let result = self.results.recv_timeout(wait).ok()?;
        self.busy = false;
        Some(result)
    }

    /// Ends the thread. One that waits for a broker that is away is left to itself: the consumer
    /// ends with it, as soon as librdkafka gives up.
    pub(super) fn end(self) {
        let Self { lists, results, thread, busy } = self;
        drop((lists, results));
        if !busy {
            let _ = thread.join();
        }
    }
}
