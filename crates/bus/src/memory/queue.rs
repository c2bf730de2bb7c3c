//! One partition: its records, and how far each group is in them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::{Outgoing, Partition, Position, Record};

/// Records that a group is not through with, above which senders wait.
const RECORDS: i64 = 8_192;

/// Bytes that a group is not through with, above which senders wait.
const BYTES: u64 = 8 * 1024 * 1024;

/// A record that is kept. Clones share its bytes.
#[derive(Clone)]
pub(super) struct Stored {
    key: Option<Arc<[u8]>>,
    payload: Arc<[u8]>,
    sent: i64,
    /// Bytes that were ever sent to the partition before this record.
    before: u64,
}

impl Stored {
    pub(super) fn new(record: &Outgoing) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            key: record.key.map(Arc::from),
            payload: Arc::from(record.payload),
            sent: since.as_millis() as i64,
            before: 0,
        }
    }

    fn size(&self) -> u64 {
        (self.key.as_ref().map_or(0, |key| key.len()) + self.payload.len()) as u64
    }
}

/// How far a group is in a partition, and which member reads it.
pub(super) struct Cursor {
    pub(super) group: Arc<str>,
    /// Who reads it.
    pub(super) owner: Option<u64>,
    /// Who shall read it as soon as the owner gave it up.
    pub(super) heir: Option<u64>,
    /// Was the owner asked to give it up?
    pub(super) asked: bool,
    /// The offset of the record that the owner gets next.
    read: i64,
    pub(super) next: i64,
    rebuild: i64,
}

impl Cursor {
    pub(super) fn commit(&mut self, position: &Position) {
        self.next = position.next;
        self.rebuild = position.rebuild.min(position.next);
    }
}

pub(super) struct Queue {
    pub(super) partition: Partition,
    pub(super) cursors: Vec<Cursor>,
    records: VecDeque<Stored>,
    /// The offset of the first record that is kept.
    first: i64,
    /// Bytes that were ever sent.
    bytes: u64,
}

impl Queue {
    pub(super) fn new(partition: Partition) -> Self {
        Self { partition, cursors: Vec::new(), records: VecDeque::new(), first: 0, bytes: 0 }
    }

    fn end(&self) -> i64 {
        self.first + self.records.len() as i64
    }

    pub(super) fn push(&mut self, mut record: Stored) {
        record.before = self.bytes;
        self.bytes += record.size();
        self.records.push_back(record);
    }

    /// Is the group that is furthest behind close enough? What is kept only to rebuild from does
    /// not count, else a group that needs old records would stop its own senders.
    ///
    /// `part` 2 is asked by a sender that waits, so that it has room for a while afterwards.
    pub(super) fn has_room(&self, part: u32) -> bool {
        let next = self.cursors.iter().map(|cursor| cursor.next).min().unwrap_or(0);
        let next = next.clamp(self.first, self.end());
        let Some(oldest) = self.records.get((next - self.first) as usize) else { return true };
        self.end() - next < RECORDS / i64::from(part)
            && self.bytes - oldest.before < BYTES / u64::from(part)
    }

    /// Is some group, and every one that reads it, through with everything?
    pub(super) fn is_drained(&self) -> bool {
        let is_unread = self.cursors.is_empty() && self.end() > 0;
        !is_unread && self.cursors.iter().all(|cursor| cursor.next >= self.end())
    }

    /// The place of the group's cursor; a new group starts with the oldest record.
    pub(super) fn cursor(&mut self, group: &Arc<str>) -> usize {
        if let Some(at) = self.cursors.iter().position(|cursor| cursor.group == *group) {
            return at;
        }
        let (first, group) = (self.first, Arc::clone(group));
        let (owner, heir, asked) = (None, None, false);
        let cursor = Cursor { group, owner, heir, asked, read: first, next: first, rebuild: first };
        self.cursors.push(cursor);
        self.cursors.len() - 1
    }

    /// Makes the group begin again where it must, and tells where that is.
    pub(super) fn rewind(&mut self, cursor: usize) -> Position {
        let cursor = &mut self.cursors[cursor];
        cursor.rebuild = cursor.rebuild.max(self.first);
        cursor.next = cursor.next.max(cursor.rebuild);
        cursor.read = cursor.rebuild;
        let partition = self.partition.clone();
        Position { partition, next: cursor.next, rebuild: cursor.rebuild }
    }

    /// Adds what the owner did not get yet to the batch, up to the limit.
    pub(super) fn take(&mut self, owner: u64, limit: usize, batch: &mut Batch) {
        let end = self.end();
        let mine = |cursor: &&mut Cursor| cursor.owner == Some(owner);
        let Some(cursor) = self.cursors.iter_mut().find(mine) else { return };
        let count = limit.min((end - cursor.read).max(0) as usize);
        if count == 0 {
            return;
        }
        let from = (cursor.read - self.first) as usize;
        batch.runs.push(Run { partition: self.partition.clone(), first: cursor.read, count });
        batch.records.extend(self.records.range(from..from + count).cloned());
        cursor.read += count as i64;
    }

    /// Forgets what no group needs any more.
    pub(super) fn trim(&mut self) {
        let Some(needed) = self.cursors.iter().map(|cursor| cursor.rebuild).min() else { return };
        let done = (needed.min(self.end()) - self.first).max(0);
        self.records.drain(..done as usize);
        self.first += done;
    }
}

/// Records on their way to the caller, outside of the lock.
#[derive(Default)]
pub(super) struct Batch {
    runs: Vec<Run>,
    records: Vec<Stored>,
}

/// Records of one partition, one behind the other.
struct Run {
    partition: Partition,
    first: i64,
    count: usize,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn hand_over(&mut self, each: &mut dyn FnMut(Record)) {
        let mut records = self.records.drain(..);
        for run in self.runs.drain(..) {
            for (offset, stored) in (run.first..).zip(records.by_ref().take(run.count)) {
                each(Record {
                    topic: &run.partition.topic,
                    partition: run.partition.number,
                    offset,
                    key: stored.key.as_deref(),
                    payload: &stored.payload,
                    sent: stored.sent,
                });
            }
        }
    }
}
