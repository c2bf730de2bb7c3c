//! One job, from its upload to its removal.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use analysis::Progress;
use jiff::{SignedDuration, Timestamp};
use report::Header;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use crate::queue::Queue;
use crate::work::Finished;
use crate::{ApiError, upload::Upload};

/// An analysis that is watched.
pub struct Job {
    /// 32 hexadecimal digits that nobody can guess.
    pub id: String,
    /// Its number in the queue: the later, the larger.
    pub number: u64,
    /// Bytes of its upload.
    pub bytes: u64,
    /// How far it is.
    pub counters: Counters,
    /// Tells that nobody wants it any more.
    pub gone: CancellationToken,
    /// Tells that it has ended, in whatever way.
    pub ended: CancellationToken,
    created: Timestamp,
    phase: Mutex<Phase>,
}

/// Where a job is in its life.
pub enum Phase {
    Queued,
    Running,
    Done { finished: Arc<Finished>, at: End },
    Failed { status: u16, detail: String, at: End },
    Cancelled { at: End },
}

/// When a job ended, by both clocks.
#[derive(Clone, Copy)]
pub struct End {
    pub time: Timestamp,
    pub instant: Instant,
}

impl End {
    fn now() -> End {
        End { time: Timestamp::now(), instant: Instant::now() }
    }
}

/// Counts how far an analysis is.
#[derive(Default)]
pub struct Counters {
    bytes: AtomicU64,
    bytes_total: u64,
    texts: AtomicUsize,
    embedded: AtomicUsize,
    cancelled: AtomicBool,
}

impl Progress for Counters {
    fn read(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn texts(&self, count: usize) {
        self.texts.fetch_add(count, Ordering::Relaxed);
    }

    fn embedded(&self, count: usize) {
        self.embedded.fetch_add(count, Ordering::Relaxed);
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

impl Counters {
    /// Ends the analysis soon.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

impl Job {
    /// A job that waits for its turn.
    pub fn new(number: u64, upload: &Upload) -> Job {
        Job {
            id: format!("{:032x}", rand::random::<u128>()),
            number,
            bytes: upload.bytes,
            counters: Counters { bytes_total: upload.log_bytes, ..Counters::default() },
            gone: CancellationToken::new(),
            ended: CancellationToken::new(),
            created: Timestamp::now(),
            phase: Mutex::new(Phase::Queued),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its turn came.
    pub fn start(&self) {
        *self.lock() = Phase::Running;
    }

    /// It ended.
    pub fn end(&self, result: Result<Finished, ApiError>) {
        let at = End::now();
        *self.lock() = match result {
            Ok(finished) => Phase::Done { finished: Arc::new(finished), at },
            Err(ApiError::Cancelled) => Phase::Cancelled { at },
            Err(error) => {
                if let ApiError::Internal(reason) = &error {
                    tracing::error!(reason, job = self.id, "a job failed");
                }
                Phase::Failed { status: error.status().as_u16(), detail: error.to_string(), at }
            }
        };
        self.ended.cancel();
    }

    /// When it ended, if it has.
    pub fn end_time(&self) -> Option<Instant> {
        self.lock().end().map(|end| end.instant)
    }

    /// Cancels it, and gives back what is kept of it.
    pub fn forget(&self) -> Phase {
        self.counters.cancel();
        self.gone.cancel();
        let phase = std::mem::replace(&mut *self.lock(), Phase::Cancelled { at: End::now() });
        self.ended.cancel();
        phase
    }

    /// The result of a job that is done.
    pub fn finished(&self) -> Result<Arc<Finished>, ApiError> {
        let conflict = |text: String| Err(ApiError::Conflict(format!("{}: {text}", self.id)));
        match &*self.lock() {
            Phase::Done { finished, .. } => Ok(Arc::clone(finished)),
            Phase::Queued => conflict("the analysis waits for its turn".to_owned()),
            Phase::Running => conflict("the analysis is still running".to_owned()),
            Phase::Failed { detail, .. } => conflict(format!("the analysis failed: {detail}")),
            Phase::Cancelled { .. } => conflict("the analysis was cancelled".to_owned()),
        }
    }

    /// What is told of it.
    pub fn told(&self, queue: &Queue, kept: Duration) -> JobRecord {
        let phase = self.lock();
        let from = phase.end().map_or(self.created, |end| end.time);
        let kept = SignedDuration::try_from(kept).unwrap_or(SignedDuration::MAX);
        let (error, summary) = match &*phase {
            Phase::Failed { status, detail, .. } => {
                (Some(Failure { status: *status, detail: detail.clone() }), None)
            }
            Phase::Done { finished, .. } => (None, Some(Summary::of(finished))),
            _ => (None, None),
        };
        JobRecord {
            id: self.id.clone(),
            status: phase.status(),
            created: self.created,
            expires: from.saturating_add(kept).unwrap_or(Timestamp::MAX),
            progress: self.progress(&phase, queue),
            error,
            summary,
        }
    }

    fn progress(&self, phase: &Phase, queue: &Queue) -> ProgressRecord {
        let Counters { bytes, bytes_total, texts, embedded, .. } = &self.counters;
        let bytes = match phase {
            // What stands between the members of an archive is not read.
            Phase::Done { .. } => *bytes_total,
            _ => bytes.load(Ordering::Relaxed).min(*bytes_total),
        };
        let ahead = match phase {
            Phase::Queued => queue.ahead(self.number),
            _ => 0,
        };
        ProgressRecord {
            bytes,
            bytes_total: *bytes_total,
            texts: texts.load(Ordering::Relaxed),
            embedded: embedded.load(Ordering::Relaxed),
            ahead,
        }
    }
}

impl Phase {
    fn status(&self) -> Status {
        match self {
            Phase::Queued => Status::Queued,
            Phase::Running => Status::Running,
            Phase::Done { .. } => Status::Done,
            Phase::Failed { .. } => Status::Failed,
            Phase::Cancelled { .. } => Status::Cancelled,
        }
    }

    fn end(&self) -> Option<End> {
        match self {
            Phase::Queued | Phase::Running => None,
            Phase::Done { at, .. } | Phase::Failed { at, .. } | Phase::Cancelled { at } => {
                Some(*at)
            }
        }
    }
}

/// A job.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Job)]
pub struct JobRecord {
    /// 32 hexadecimal digits: who knows them may see and cancel the job.
    #[schema(pattern = "^[0-9a-f]{32}$", example = "9f86d081884c7d659a2feaa0c55ad015")]
    pub id: String,
    pub status: Status,
    /// When its upload was complete.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
    /// When it is removed, with its result and what was uploaded, if room is not needed before.
    /// The time is counted anew from the end of the analysis.
    #[schema(value_type = String, format = DateTime)]
    pub expires: Timestamp,
    pub progress: ProgressRecord,
    /// Why it failed.
    #[schema(required = true)]
    pub error: Option<Failure>,
    /// What was found, once it is done.
    #[schema(required = true)]
    pub summary: Option<Summary>,
}

/// Where a job is; the last three are for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = JobStatus)]
pub enum Status {
    Queued,
    Running,
    Done,
    Failed,
    Cancelled,
}

impl Status {
    /// Whether it stays so.
    pub fn is_final(self) -> bool {
        !matches!(self, Status::Queued | Status::Running)
    }
}

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = JobProgress)]
pub struct ProgressRecord {
    /// Bytes of the logs that were read, packed as they are.
    bytes: u64,
    bytes_total: u64,
    /// Distinct messages and texts that need a vector of the model, as far as they are known.
    texts: usize,
    /// Those that have one.
    embedded: usize,
    /// Analyses that wait for their turn before this one.
    ahead: usize,
}

/// Why a job failed, as `POST /analyze-logs/` would have answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = JobFailure)]
pub struct Failure {
    /// The status of HTTP.
    #[schema(example = 400)]
    status: u16,
    detail: String,
}

/// What an analysis found.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = JobSummary)]
pub struct Summary {
    #[serde(flatten)]
    header: Header,
    /// Problem events that have links.
    problem_count: usize,
    /// How long the analysis took, without the upload and the queue.
    seconds: f64,
    dictionary: UsedDictionary,
    /// Links that were told to alerts and to the live view.
    published: u64,
}

// A finished analysis does not change: whatever else is equal, it is the same.
impl PartialEq for Summary {
    fn eq(&self, other: &Summary) -> bool {
        self.seconds == other.seconds && self.header.link_count == other.header.link_count
    }
}

/// The dictionary an analysis went by.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct UsedDictionary {
    /// What it is called.
    #[schema(example = "pairs.csv")]
    name: String,
    /// Distinct pairs in it.
    pairs: usize,
    /// Whether it was uploaded.
    own: bool,
}

impl Summary {
    fn of(finished: &Finished) -> Summary {
        Summary {
            header: finished.analysis.header.clone(),
            problem_count: finished.problem_count,
            seconds: finished.took.as_secs_f64(),
            dictionary: UsedDictionary {
                name: finished.dictionary_name.clone(),
                pairs: finished.analysis.linked.dictionary().pairs().len(),
                own: finished.own_dictionary,
            },
            published: finished.published,
        }
    }
}
