//! Links, as they are found, to whoever wants to know.

use bus::{Bus, Subscription, Topics};

use crate::positions::Positions;
use crate::stage::{StageError, keep_working};
use crate::{Names, stage};

/// Links that are taken at once.
const BATCH: usize = 256;

/// Hands every link, in JSON as reports have it, to `each`, which a group with this name is to be
/// told of: each link once, and again only when `each` or the process was interrupted.
///
/// # Errors
/// When the bus refuses.
pub fn follow(
    bus: &dyn Bus,
    names: &Names,
    group: &str,
    stopped: &(dyn Fn() -> bool + Sync),
    each: impl FnMut(&[u8]),
) -> Result<(), StageError> {
    follow_topic(bus, names.links(), names.group(group), stopped, each)
}

/// [`follow`] for dead letters.
///
/// # Errors
/// When the bus refuses.
pub fn follow_dead_letters(
    bus: &dyn Bus,
    names: &Names,
    group: &str,
    stopped: &(dyn Fn() -> bool + Sync),
    each: impl FnMut(&[u8]),
) -> Result<(), StageError> {
    follow_topic(bus, names.dead_letters(), names.group(group), stopped, each)
}

fn follow_topic(
    bus: &dyn Bus,
    topic: String,
    group: String,
    stopped: &(dyn Fn() -> bool + Sync),
    mut each: impl FnMut(&[u8]),
) -> Result<(), StageError> {
    let subscription = Subscription { group, topics: Topics::Named(vec![topic]) };
    keep_working("follow", stopped, || {
        let mut consumer = bus.consumer(&subscription)?;
        while !stopped() {
            let mut positions = Positions::default();
            consumer.poll(BATCH, stage::LOOK, &mut |record| {
                each(record.payload);
                positions.note(&record);
            })?;
            consumer.commit(&positions.take())?;
        }
        Ok(())
    })
}
