//! Analyses that are started, watched and asked for their result later.
//!
//! Input: an upload, as `POST /analyze-logs/` takes it. Output: its progress, its result in every
//! format, and what the pages show of it. Jobs wait in the one queue of all analyses.
//!
//! Invariants: a job ends by itself, or because it is deleted, or with the process, never because
//! a client hangs up; what was uploaded is on the disk for as long as the job is kept, to show
//! lines of it again, and gone with it; jobs that have not ended are never removed to make room.

mod job;
mod routes;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::queue::Ticket;
use crate::upload::Upload;
use crate::work::{Finished, work};
use crate::{ApiError, Keep, Shared};

use self::job::Job;
pub use self::routes::routes;

/// The most jobs that may wait for their turn.
const WAITING: usize = 1000;

/// The part of the time that jobs are kept for which none is removed only because there are many:
/// a minute of an hour, so that who waits for a result gets it though many come at once.
const FRESH: u32 = 60;

/// Reports that are written at once.
const WRITERS: usize = 2;

/// The jobs that are known.
pub struct Jobs {
    keep: Keep,
    known: Mutex<HashMap<String, Arc<Job>>>,
    /// One for each report that may be written.
    writers: Semaphore,
}

impl Jobs {
    pub fn new(keep: Keep) -> Jobs {
        Jobs { keep, known: Mutex::default(), writers: Semaphore::new(WRITERS) }
    }

    /// The result of a job that is done; 404 when there is no such job, 409 when it is not done.
    pub fn finished(&self, id: &str) -> Result<Arc<Finished>, ApiError> {
        self.get(id)?.finished()
    }

    fn get(&self, id: &str) -> Result<Arc<Job>, ApiError> {
        self.lock().get(id).cloned().ok_or_else(|| no_such_job(id))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Job>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether another may wait, before anything is uploaded for it.
    fn check_room(&self) -> Result<(), ApiError> {
        let known = self.lock();
        let unfinished = known.values().filter(|job| job.end_time().is_none());
        let (count, bytes) =
            unfinished.fold((0, 0), |(count, bytes), job| (count + 1, bytes + job.bytes));
        match count >= WAITING || bytes > self.keep.bytes {
            true => Err(ApiError::Busy(format!(
                "{count} jobs of {bytes} bytes wait for their turn already; try again later"
            ))),
            false => Ok(()),
        }
    }

    fn add(&self, job: Job) -> Arc<Job> {
        let job = Arc::new(job);
        self.lock().insert(job.id.clone(), Arc::clone(&job));
        self.make_room();
        job
    }

    /// Cancels a job and removes what is kept of it.
    fn remove(&self, id: &str) -> Result<(), ApiError> {
        let job = self.lock().remove(id).ok_or_else(|| no_such_job(id))?;
        let phase = job.forget();
        // Memory and files may be large.
        spawn_blocking(move || drop(phase));
        Ok(())
    }

    /// Removes the oldest of those that have ended, until the others may be kept. The newest stays
    /// whatever its size, for it was just asked for.
    fn make_room(&self) {
        let mut ended: Vec<(Instant, String, u64)> = Vec::new();
        let mut bytes = 0;
        for job in self.lock().values() {
            bytes += job.bytes;
            if let Some(end) = job.end_time() {
                ended.push((end, job.id.clone(), job.bytes));
            }
        }
        ended.sort_unstable();
        ended.pop();
        let mut count = ended.len() + 1;
        for (end, id, size) in ended {
            let many = count > self.keep.jobs && end.elapsed() >= self.fresh();
            if many || bytes > self.keep.bytes {
                count -= 1;
                bytes -= size;
                // It may have been deleted meanwhile.
                let _ = self.remove(&id);
            }
        }
    }

    fn fresh(&self) -> Duration {
        self.keep.time / FRESH
    }
}

fn no_such_job(id: &str) -> ApiError {
    ApiError::NotFound(format!("{id}: no such job; results are kept for a while only"))
}

/// Runs a job, and keeps it for its time.
async fn live(state: Shared, job: Arc<Job>, ticket: Ticket, upload: Upload) {
    // When the process ends, this is dropped where it waits, and the analysis is to end too.
    let _end = Cancel(Arc::clone(&job));
    let result = tokio::select! {
        result = run(&state, &job, ticket, upload) => result,
        () = job.gone.cancelled() => return,
    };
    job.end(result);
    state.jobs.make_room();
    let fresh = state.jobs.fresh();
    for time in [fresh, state.jobs.keep.time.saturating_sub(fresh)] {
        tokio::select! {
            () = tokio::time::sleep(time) => state.jobs.make_room(),
            () = job.gone.cancelled() => return,
        }
    }
    // It may have been deleted meanwhile.
    let _ = state.jobs.remove(&job.id);
}

struct Cancel(Arc<Job>);

impl Drop for Cancel {
    fn drop(&mut self) {
        self.0.counters.cancel();
    }
}

async fn run(
    state: &Shared,
    job: &Arc<Job>,
    ticket: Ticket,
    upload: Upload,
) -> Result<Finished, ApiError> {
    let place = ticket.place().await?;
    job.start();
    let (state, job) = (Arc::clone(state), Arc::clone(job));
    let work = move || {
        // Taken until the analysis has ended, though it be cancelled.
        let _place = place;
        work(&state, upload, &job.counters)
    };
    spawn_blocking(work).await.map_err(ApiError::internal)?
}
