//! The live path: log lines in, links out, as they come.
//!
//! ```text
//! logs.* ─ match ─→ foreshock.matches ─ link ─→ foreshock.links ─→ whoever follows
//!            ╰──────── dead letters ──────╯
//! ```
//!
//! Each stage is a loop on a thread of its own over a [`bus::Bus`]: Kafka between processes,
//! queues within one. The match stage remembers nothing that matters. The link stage remembers the
//! windows of the partitions that are its own; matches are keyed by problem id, so that everything
//! that may link comes to one window.
//!
//! Invariants: a record counts as done only when what it led to is kept by the bus; links are
//! published together with the position behind what they were made of, so that no crash doubles
//! or loses one; where a partition goes, its windows are rebuilt from the oldest match that may
//! still link; the same events give the same links as a batch analysis.

mod activity;
mod follow;
mod links;
mod matches;
mod positions;
mod publish;
mod stage;
mod told;
mod wire;

use std::time::Duration;

use bus::{Bus, BusError, NewTopic};
use jiff::SignedDuration;

pub use activity::{Activities, Activity, Overview, Source};
pub use follow::{follow, follow_kept, join};
pub use links::LinkStage;
pub use matches::MatchStage;
pub use publish::{MOST_LINKS, Published, Publisher};
pub use stage::{StageError, now};
pub use told::{Event, Found, Told};

/// How long matches are kept at least: to rebuild windows after a longer outage, and to look into.
const MATCHES_KEPT: Duration = Duration::from_secs(7 * 86_400);

/// How long links and dead letters are kept.
const LINKS_KEPT: Duration = Duration::from_secs(30 * 86_400);

/// How long what processes tell of themselves is kept.
const ACTIVITY_KEPT: Duration = Duration::from_secs(86_400);

/// The names of topics and groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    logs: String,
    own: String,
}

impl Names {
    /// Log lines come from the topics `logs.*`; what the suite makes of them goes to topics
    /// `own.*`. Suites with different names live on one broker without meeting.
    pub fn new(logs: &str, own: &str) -> Names {
        Names { logs: logs.to_owned(), own: own.to_owned() }
    }

    /// What the names of topics of log lines begin with.
    pub fn logs(&self) -> String {
        format!("{}.", self.logs)
    }

    /// The topic of events that matched a text, keyed by problem id.
    pub fn matches(&self) -> String {
        format!("{}.matches", self.own)
    }

    /// The topic of links, keyed by problem id.
    pub fn links(&self) -> String {
        format!("{}.links", self.own)
    }

    /// The topic of records that could not be used, each with the reason.
    pub fn dead_letters(&self) -> String {
        format!("{}.dead-letter", self.own)
    }

    /// The topic of what processes tell of themselves.
    pub fn activity(&self) -> String {
        format!("{}.activity", self.own)
    }

    /// The consumer group of a stage.
    pub fn group(&self, stage: &str) -> String {
        format!("{}-{stage}", self.own)
    }

    /// Makes the topics of the suite, where they are not there yet. Matches are kept for twice the
    /// window at least, since windows are rebuilt of them.
    ///
    /// # Errors
    /// As [`Bus::create_topics`].
    pub fn create(
        &self,
        bus: &dyn Bus,
        partitions: i32,
        window: SignedDuration,
    ) -> Result<(), BusError> {
        let kept = MATCHES_KEPT.max(window.unsigned_abs().saturating_mul(2));
        let (matches, links, dead) = (self.matches(), self.links(), self.dead_letters());
        let activity = self.activity();
        bus.create_topics(&[
            NewTopic { name: &matches, partitions, retention: kept },
            NewTopic { name: &links, partitions, retention: LINKS_KEPT },
            NewTopic { name: &dead, partitions: 1, retention: LINKS_KEPT },
            NewTopic { name: &activity, partitions: 1, retention: ACTIVITY_KEPT },
        ])
    }
}
