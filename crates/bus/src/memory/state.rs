//! Topics, groups and their members.
//!
//! A partition moves from one member to another in three steps, so that the two never hold it at
//! once: its owner is asked to give it up, is told so by a poll, and gives it up with the poll
//! after that, before which it can still commit what it did.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Condvar};

use super::queue::{Batch, Queue, Stored};
use crate::{Change, Outgoing, Partition, Position, Subscription, Topics};

#[derive(Default)]
pub(super) struct State {
    /// Every partition of every topic.
    queues: Vec<Queue>,
    topics: HashMap<Arc<str>, Topic>,
    /// By their numbers, in the order in which they joined.
    members: BTreeMap<u64, Member>,
    /// How many ever joined.
    joined: u64,
    /// Senders that wait for room.
    pub(super) senders_waiting: usize,
}

struct Topic {
    /// The places of its partitions among the queues.
    queues: Vec<usize>,
    /// Where the next record without a key goes.
    turn: usize,
}

struct Member {
    group: Arc<str>,
    topics: Topics,
    wake: Arc<Condvar>,
    waiting: bool,
    owned: Vec<usize>,
    /// Which of the owned comes first in the next batch.
    turn: usize,
    /// What the next poll tells.
    changes: Vec<Change>,
    /// What the last poll told to be another's.
    told: Vec<usize>,
}

impl Member {
    fn wants(&self, topic: &str) -> bool {
        match &self.topics {
            Topics::Named(names) => names.iter().any(|name| name == topic),
            Topics::WithPrefix(prefix) => topic.starts_with(prefix.as_str()),
        }
    }

    fn wake(&mut self) {
        if std::mem::take(&mut self.waiting) {
            self.wake.notify_one();
        }
    }

    fn change(&mut self, change: Change) {
        self.changes.push(change);
        self.wake();
    }
}

impl State {
    /// Makes a topic, if it is not there yet.
    pub(super) fn create(&mut self, name: &str, partitions: i32) {
        if self.topics.contains_key(name) {
            return;
        }
        let name: Arc<str> = Arc::from(name);
        let queues = (self.queues.len()..).take(partitions as usize).collect();
        for number in 0..partitions {
            self.queues.push(Queue::new(Partition { topic: Arc::clone(&name), number }));
        }
        self.topics.insert(Arc::clone(&name), Topic { queues, turn: 0 });
        let readers = self.members.values().filter(|member| member.wants(&name));
        let mut groups: Vec<_> = readers.map(|member| Arc::clone(&member.group)).collect();
        groups.sort();
        groups.dedup();
        groups.iter().for_each(|group| self.share_out(group));
    }

    /// Where a record goes. A topic that is not there is made.
    pub(super) fn queue_for(&mut self, record: &Outgoing) -> usize {
        if !self.topics.contains_key(record.topic) {
            self.create(record.topic, 1);
        }
        let topic = self.topics.get_mut(record.topic).expect("made above");
        let at = match record.key {
            _ if topic.queues.len() == 1 => 0,
            Some(key) => hash(key) as usize,
            None => {
                topic.turn = topic.turn.wrapping_add(1);
                topic.turn
            }
        };
        topic.queues[at % topic.queues.len()]
    }

    pub(super) fn is_drained(&self) -> bool {
        self.queues.iter().all(Queue::is_drained)
    }

    pub(super) fn has_room(&self, queue: usize) -> bool {
        self.queues[queue].has_room(1)
    }

    /// Is there room for many?
    pub(super) fn has_much_room(&self, queue: usize) -> bool {
        self.queues[queue].has_room(2)
    }

    pub(super) fn push(&mut self, queue: usize, record: Stored) {
        self.queues[queue].push(record);
        for owner in self.queues[queue].cursors.iter().filter_map(|cursor| cursor.owner) {
            self.members.get_mut(&owner).expect("owners are members").wake();
        }
    }

    pub(super) fn join(&mut self, subscription: &Subscription, wake: Arc<Condvar>) -> u64 {
        self.joined += 1;
        let group: Arc<str> = Arc::from(subscription.group.as_str());
        let member = Member {
            group: Arc::clone(&group),
            topics: subscription.topics.clone(),
            wake,
            waiting: false,
            owned: Vec::new(),
            turn: 0,
            changes: Vec::new(),
            told: Vec::new(),
        };
        self.members.insert(self.joined, member);
        self.share_out(&group);
        self.joined
    }

    pub(super) fn leave(&mut self, member: u64) {
        let Some(gone) = self.members.remove(&member) else { return };
        for queue in gone.owned {
            self.cursor(queue, &gone.group).owner = None;
        }
        self.share_out(&gone.group);
    }

    /// What changed since the last poll of the member.
    pub(super) fn tell(&mut self, member: u64) -> Vec<Change> {
        let member = self.members.get_mut(&member).expect("a consumer is a member");
        let changes = std::mem::take(&mut member.changes);
        for change in &changes {
            if let Change::Revoked(partition) = change {
                let same = |&queue: &usize| self.queues[queue].partition == *partition;
                member.told.extend(member.owned.iter().copied().find(same));
            }
        }
        changes
    }

    /// Passes on what the member was told to be another's.
    pub(super) fn give_up(&mut self, member: u64) {
        let this = self.members.get_mut(&member).expect("a consumer is a member");
        if this.told.is_empty() {
            return;
        }
        let (told, group) = (std::mem::take(&mut this.told), Arc::clone(&this.group));
        this.owned.retain(|queue| !told.contains(queue));
        for queue in told {
            self.cursor(queue, &group).owner = None;
            self.pass_on(queue, &group);
        }
    }

    /// Adds up to `limit` records to the batch, each time from another partition on.
    pub(super) fn take(&mut self, member: u64, limit: usize, batch: &mut Batch) {
        let this = self.members.get_mut(&member).expect("a consumer is a member");
        let count = this.owned.len();
        this.turn = this.turn.wrapping_add(1);
        for at in 0..count {
            let queue = this.owned[this.turn.wrapping_add(at) % count];
            self.queues[queue].take(member, limit - batch.len(), batch);
            if batch.len() >= limit {
                return;
            }
        }
    }

    pub(super) fn set_waiting(&mut self, member: u64, waiting: bool) {
        self.members.get_mut(&member).expect("a consumer is a member").waiting = waiting;
    }

    /// Keeps the positions of partitions that are the member's.
    pub(super) fn commit(&mut self, member: u64, positions: &[Position]) {
        for position in positions {
            let Some(topic) = self.topics.get(&position.partition.topic) else { continue };
            let Some(&queue) = topic.queues.get(position.partition.number as usize) else {
                continue;
            };
            let queue = &mut self.queues[queue];
            if let Some(cursor) =
                queue.cursors.iter_mut().find(|cursor| cursor.owner == Some(member))
            {
                cursor.commit(position);
                queue.trim();
            }
        }
    }

    fn cursor(&mut self, queue: usize, group: &Arc<str>) -> &mut super::queue::Cursor {
        let queue = &mut self.queues[queue];
        let at = queue.cursor(group);
        &mut queue.cursors[at]
    }

    /// Shares the partitions of a group among its members, leaving in place what can stay.
    fn share_out(&mut self, group: &Arc<str>) {
        let ids: Vec<u64> = self
            .members
            .iter()
            .filter(|(_, member)| member.group == *group)
            .map(|(&id, _)| id)
            .collect();
        let wanted: Vec<usize> = (0..self.queues.len())
            .filter(|&queue| ids.iter().any(|&id| self.is_wanted(queue, id)))
            .collect();
        let mut shares = Shares::new(&ids, wanted.len());
        let mut homeless = Vec::new();
        for &queue in &wanted {
            let owner = self.cursor(queue, group).owner;
            match owner.filter(|&owner| shares.keep(owner)) {
                Some(owner) => self.cursor(queue, group).heir = Some(owner),
                None => homeless.push(queue),
            }
        }
        for queue in homeless {
            let heir = shares.least(|id| self.is_wanted(queue, id));
            self.cursor(queue, group).heir = heir;
        }
        for queue in wanted {
            self.pass_on(queue, group);
        }
    }

    fn is_wanted(&self, queue: usize, member: u64) -> bool {
        self.members[&member].wants(&self.queues[queue].partition.topic)
    }

    /// Gives a partition to its heir, or asks its owner for it.
    fn pass_on(&mut self, queue: usize, group: &Arc<str>) {
        let at = self.queues[queue].cursor(group);
        let cursor = &mut self.queues[queue].cursors[at];
        match (cursor.owner, cursor.heir) {
            (None, Some(heir)) => {
                (cursor.owner, cursor.asked) = (Some(heir), false);
                let position = self.queues[queue].rewind(at);
                let heir = self.members.get_mut(&heir).expect("heirs are members");
                heir.owned.push(queue);
                heir.change(Change::Assigned(position));
            }
            (Some(owner), heir) if heir != Some(owner) && !cursor.asked => {
                cursor.asked = true;
                let partition = self.queues[queue].partition.clone();
                let owner = self.members.get_mut(&owner).expect("owners are members");
                owner.change(Change::Revoked(partition));
            }
            _ => {}
        }
    }
}

/// How many partitions each member of a group has; they differ by one at most.
struct Shares {
    counts: BTreeMap<u64, usize>,
    each: usize,
    /// Members that may have one more.
    more: usize,
}

impl Shares {
    fn new(members: &[u64], partitions: usize) -> Self {
        let counts: BTreeMap<_, _> = members.iter().map(|&member| (member, 0)).collect();
        let among = counts.len().max(1);
        Self { counts, each: partitions / among, more: partitions % among }
    }

    /// Counts one more for its present owner, unless that would be too many.
    fn keep(&mut self, owner: u64) -> bool {
        let Some(count) = self.counts.get_mut(&owner) else { return false };
        if *count == self.each && self.more > 0 {
            self.more -= 1;
        } else if *count >= self.each {
            return false;
        }
        *count += 1;
        true
    }

    /// Counts one more for the member that has the fewest, of those that want it.
    fn least(&mut self, wants: impl Fn(u64) -> bool) -> Option<u64> {
        let of = self.counts.iter_mut().filter(|(member, _)| wants(**member));
        let (&member, count) = of.min_by_key(|(_, count)| **count)?;
        *count += 1;
        Some(member)
    }
}

/// The topic of a queue, for messages.
pub(super) fn topic_of(state: &State, queue: usize) -> Arc<str> {
    Arc::clone(&state.queues[queue].partition.topic)
}

/// FNV-1a: the same in every process and version.
fn hash(key: &[u8]) -> u64 {
    let step = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    key.iter().fold(0xcbf2_9ce4_8422_2325, step)
}
