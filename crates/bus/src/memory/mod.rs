//! Queues in the process.
//!
//! Everything is behind one lock, held for moments only: a record is copied before it is taken and
//! shared from then on, a batch is handed over after it is released. A thread that waits sleeps on
//! a condition of its own, so that a record wakes the members that read it and no others.

mod queue;
mod state;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use self::queue::{Batch, Stored};
use self::state::State;
use crate::{
    Bus, BusError, Change, Consumer, NewTopic, Outgoing, Position, Producer, Record, Subscription,
    deadline,
};

/// How long [`Consumer::publish`] waits for room.
const PUBLISH: Duration = Duration::from_secs(30);

/// Topics in the memory of this process, gone with it. Clones are the same bus.
///
/// A sender waits while a partition holds 8,192 records or 8 MiB that some group, or nobody yet,
/// is through with. Records stay for as long as a group needs them to rebuild what it remembers.
#[derive(Clone, Default)]
pub struct Memory {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Told when a group is through with records, if a sender waits for that.
    room: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code of others runs under the lock, and what is changed under it is whole at any
        // point where it could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn commit(&self, state: &mut State, member: u64, positions: &[Position]) {
        state.commit(member, positions);
        if state.senders_waiting > 0 {
            self.room.notify_all();
        }
    }

    /// Waits until there is much room in the queue, and returns whether there is.
    fn wait_for_room<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        queue: usize,
        deadline: Instant,
    ) -> (MutexGuard<'a, State>, bool) {
        while !state.has_much_room(queue) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return (state, false);
            }
            state.senders_waiting += 1;
            state = wait_on(&self.room, state, left);
            state.senders_waiting -= 1;
        }
        (state, true)
    }
}

fn wait_on<'a>(
    condition: &Condvar,
    state: MutexGuard<'a, State>,
    wait: Duration,
) -> MutexGuard<'a, State> {
    condition.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0
}

impl Memory {
    /// A bus without topics.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether everything that was sent was read, and every group is through with it, so that
    /// nothing more comes of it.
    pub fn is_drained(&self) -> bool {
        self.shared.lock().is_drained()
    }
}

impl Bus for Memory {
    fn producer(&self) -> Result<Box<dyn Producer>, BusError> {
        Ok(Box::new(MemoryProducer { shared: Arc::clone(&self.shared), full: None }))
    }

    fn consumer(&self, subscription: &Subscription) -> Result<Box<dyn Consumer>, BusError> {
        let wake = Arc::new(Condvar::new());
        let member = self.shared.lock().join(subscription, Arc::clone(&wake));
        let shared = Arc::clone(&self.shared);
        Ok(Box::new(MemoryConsumer { shared, member, wake, batch: Batch::default() }))
    }

    fn create_topics(&self, topics: &[NewTopic]) -> Result<(), BusError> {
        let mut state = self.shared.lock();
        for topic in topics {
            state.create(topic.name, topic.partitions.max(1));
        }
        Ok(())
    }

    fn check(&self) -> Result<(), BusError> {
        Ok(())
    }
}

struct MemoryProducer {
    shared: Arc<Shared>,
    /// The queue that had no room for the last record.
    full: Option<usize>,
}

impl Producer for MemoryProducer {
    fn send(&mut self, record: &Outgoing) -> Result<bool, BusError> {
        record.check_size()?;
        let stored = Stored::new(record);
        let mut state = self.shared.lock();
        let queue = state.queue_for(record);
        if state.has_room(queue) {
            state.push(queue, stored);
            return Ok(true);
        }
        self.full = Some(queue);
        Ok(false)
    }

    /// All that was accepted is kept already: what remains to wait for is room for the next.
    fn flush(&mut self, wait: Duration) -> Result<bool, BusError> {
        if let Some(queue) = self.full.take() {
            let _ = self.shared.wait_for_room(self.shared.lock(), queue, deadline(wait));
        }
        Ok(true)
    }
}

struct MemoryConsumer {
    shared: Arc<Shared>,
    member: u64,
    wake: Arc<Condvar>,
    batch: Batch,
}

impl MemoryConsumer {
    /// Fills the batch, or returns what changed.
    fn wait(&mut self, limit: usize, wait: Duration) -> Vec<Change> {
        let deadline = deadline(wait);
        let mut state = self.shared.lock();
        state.give_up(self.member);
        loop {
            let changes = state.tell(self.member);
            if !changes.is_empty() {
                return changes;
            }
            state.take(self.member, limit, &mut self.batch);
            let left = deadline.saturating_duration_since(Instant::now());
            if !self.batch.is_empty() || left.is_zero() {
                return changes;
            }
            state.set_waiting(self.member, true);
            state = wait_on(&self.wake, state, left);
            state.set_waiting(self.member, false);
        }
    }
}

impl Consumer for MemoryConsumer {
    fn poll(
        &mut self,
        limit: usize,
        wait: Duration,
        each: &mut dyn FnMut(Record),
    ) -> Result<Vec<Change>, BusError> {
        let changes = self.wait(limit, wait);
        self.batch.hand_over(each);
        Ok(changes)
    }

    fn hold(&mut self) -> Result<(), BusError> {
        Ok(())
    }

    fn commit(&mut self, positions: &[Position]) -> Result<(), BusError> {
        self.shared.commit(&mut self.shared.lock(), self.member, positions);
        Ok(())
    }

    fn publish(&mut self, records: &[Outgoing], positions: &[Position]) -> Result<(), BusError> {
        records.iter().try_for_each(Outgoing::check_size)?;
        let stored: Vec<_> = records.iter().map(Stored::new).collect();
        let deadline = deadline(PUBLISH);
        let mut state = self.shared.lock();
        let queues: Vec<_> = records.iter().map(|record| state.queue_for(record)).collect();
        while let Some(&full) = queues.iter().find(|&&queue| !state.has_room(queue)) {
            let (locked, room) = self.shared.wait_for_room(state, full, deadline);
            if !room {
                let topic = state::topic_of(&locked, full);
                return Err(BusError::Unavailable(format!("{topic} is full and nobody reads it")));
            }
            state = locked;
        }
        for (queue, stored) in queues.into_iter().zip(stored) {
            state.push(queue, stored);
        }
        self.shared.commit(&mut state, self.member, positions);
        Ok(())
    }
}

impl Drop for MemoryConsumer {
    fn drop(&mut self) {
        self.shared.lock().leave(self.member);
    }
}
