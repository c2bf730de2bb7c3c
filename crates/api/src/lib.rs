//! The REST API: logs uploaded, links sent back; links found, listed and told as they come.
//!
//! Input: multipart uploads, streamed to a folder of their own, never whole in memory. Output: the
//! report of the links, in the format asked for, at once or as a job with progress. The stages are
//! those of a batch analysis; they run on threads of their own, a bounded number of analyses at
//! once, the others wait in the order of their coming.
//!
//! Invariants: what a client uploaded is gone from the disk when it has its answer, or went away,
//! or its job expired; an analysis nobody waits for ends; every failure is JSON
//! `{"detail": "…"}` and names the thing.

mod access;
mod analyze;
mod answer;
mod dictionary;
mod error;
mod extract;
mod folder;
mod history;
mod incoming;
mod jobs;
mod links;
mod names;
mod openapi;
mod queue;
mod results;
mod settings;
mod status;
mod upload;
mod work;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use bus::Bus;
use domain::Dictionary;
use embed::Embedder;
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use linking::{Method, Thresholds};
use live::{Activities, Names, Publisher};
use notify::Notifier;
use service::{Health, Stop};
use utoipa_axum::router::OpenApiRouter;

use crate::folder::Folder;
use crate::jobs::Jobs;
use crate::queue::Queue;

pub use access::Access;
pub use error::ApiError;
pub use history::History;
pub use settings::ApiArgs;
pub use upload::Limits;

/// What the API works with.
pub struct Api {
    /// The dictionary that is used when none is uploaded.
    pub dictionary: Arc<Dictionary>,
    /// What that dictionary is called.
    pub dictionary_name: String,
    /// The model.
    pub embedder: Arc<dyn Embedder>,
    /// How messages are compared with the texts of the dictionary.
    pub method: Method,
    /// The thresholds of the model and the method.
    pub thresholds: Thresholds,
    /// The largest distance in time between an anomaly and its problem.
    pub window: SignedDuration,
    /// The zone of timestamps without offset.
    pub zone: TimeZone,
    /// What may be uploaded.
    pub limits: Limits,
    /// Where uploads are kept while they are worked on.
    pub folder: PathBuf,
    /// How many analyses run at once.
    pub at_once: usize,
    /// What is kept of jobs.
    pub keep: Keep,
    /// The links found so far.
    pub history: Arc<History>,
    /// Where links found in uploads are published, as those of the stream are.
    pub bus: Arc<dyn Bus>,
    /// The names of its topics.
    pub names: Names,
    /// What is read of the logs.
    pub activities: Arc<Activities>,
    /// Tells people of links, if this process does.
    pub notifier: Option<Arc<Notifier>>,
    /// What the service depends on.
    pub health: Arc<Health>,
    /// Who may use it.
    pub access: Access,
    /// The wish that everything ends: streams and jobs do.
    pub stop: Stop,
}

/// How long results of jobs are kept, with the uploads they are explained by.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// The most jobs; the oldest finished ones go first.
    pub jobs: usize,
    /// The most bytes of uploads.
    pub bytes: u64,
    /// The longest time after a job has ended.
    pub time: Duration,
}

impl Default for Keep {
    /// 50 jobs, 8 GiB, one hour.
    fn default() -> Keep {
        Keep { jobs: 50, bytes: 8 << 30, time: Duration::from_secs(3600) }
    }
}

/// What the handlers share.
struct State {
    api: Api,
    /// Analyses that run, and those that wait.
    queue: Queue,
    /// Where uploads are kept.
    folder: Folder,
    /// Tells the links of uploads to who follows all links.
    publisher: Publisher,
    jobs: Jobs,
    knowledge: dictionary::Knowledge,
    /// When it began to serve.
    started: Instant,
}

type Shared = Arc<State>;

/// The routes of the API.
pub fn routes(api: Api) -> Router {
    let queue = Queue::new(api.at_once);
    let folder = Folder::new(api.folder.clone());
    let publisher = Publisher::new(Arc::clone(&api.bus), &api.names);
    let jobs = Jobs::new(api.keep);
    let started = Instant::now();
    let (access, limits) = (api.access.clone(), api.limits);
    let state = Arc::new(State {
        api,
        queue,
        folder,
        publisher,
        jobs,
        knowledge: Default::default(),
        started,
    });
    let (router, mut document) = OpenApiRouter::with_openapi(openapi::document(&limits))
        .merge(analyze::routes())
        .merge(jobs::routes())
        .merge(results::routes())
        .merge(links::routes())
        .merge(dictionary::routes())
        .merge(status::routes())
        .with_state(state)
        .split_for_parts();
    openapi::complete(&mut document, &access);
    let router =
        router.fallback(error::no_such_path).method_not_allowed_fallback(error::no_such_method);
    access.guard(router).merge(openapi::routes(document))
}
