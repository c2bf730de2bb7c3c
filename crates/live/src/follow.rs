//! Links and dead letters, as they come, to whoever wants to know.

use bus::{Bus, Subscription, Topics};

use crate::positions::Positions;
use crate::stage;
use crate::stage::{StageError, keep_working};

/// Records that are taken at once.
const BATCH: usize = 256;

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
