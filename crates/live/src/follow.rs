//! Links and dead letters, as they come, to whoever wants to know.

use bus::{Bus, BusError, Record, Subscription, Topics};

use crate::positions::Positions;
use crate::stage;
use crate::stage::{StageError, keep_working};

/// Records that are taken at once.
const BATCH: usize = 256;

/// Takes a group's place among those who read a topic. Where what all of them have read is gone, as in
/// one process, it is to be taken before the first record is sent.
///
/// # Errors
/// When the bus refuses.
pub fn join(bus: &dyn Bus, topic: String, group: String) -> Result<(), BusError> {
    bus.consumer(&Subscription { group, topics: Topics::Named(vec![topic]) }).map(drop)
}

/// Hands every record of a topic of the suite (its links, or its dead letters; in JSON) to `each`,
/// which a group with this name is to be told of: each once, and again only when `each` or the
/// process was interrupted.
///
/// # Errors
/// When the bus refuses.
pub fn follow(
    bus: &dyn Bus,
    topic: String,
    group: String,
    stopped: &(dyn Fn() -> bool + Sync),
    mut each: impl FnMut(&[u8]),
) -> Result<(), StageError> {
    follow_kept(bus, topic, group, stopped, |records| {
        records.iter().for_each(|(payload, _)| each(payload));
        Ok(())
    })
}

/// As [`follow`], a batch at a time, each record with when it was sent (milliseconds since 1970).
/// A batch counts as done when `keep` says so, and comes again, perhaps divided otherwise, when it
/// says why not: `keep` is to pass over what it has.
///
/// # Errors
/// When the bus refuses.
pub fn follow_kept(
    bus: &dyn Bus,
    topic: String,
    group: String,
    stopped: &(dyn Fn() -> bool + Sync),
    mut keep: impl FnMut(&[(Vec<u8>, i64)]) -> Result<(), String>,
) -> Result<(), StageError> {
    let subscription = Subscription { group, topics: Topics::Named(vec![topic]) };
    keep_working("follow", stopped, || {
        let mut consumer = bus.consumer(&subscription)?;
        let mut batch = Vec::new();
        while !stopped() {
            let mut positions = Positions::default();
            consumer.poll(BATCH, stage::LOOK, &mut |record: Record| {
                batch.push((record.payload.to_vec(), record.sent));
                positions.note(&record);
            })?;
            keep(&batch).map_err(StageError::Keep)?;
            batch.clear();
            consumer.commit(&positions.take())?;
        }
        Ok(())
    })
}
