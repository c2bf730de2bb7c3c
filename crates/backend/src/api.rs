//! Recent links over HTTP.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Json, Router};
use bus::Bus;
use live::{Names, StageError};
use serde::Deserialize;
use serde_json::value::RawValue;

/// How many links are remembered.
const REMEMBERED: usize = 10_000;

/// The most recent links, newest first.
#[derive(Clone, Default)]
pub struct Recent(Arc<Mutex<VecDeque<Arc<RawValue>>>>);

#[derive(Deserialize)]
struct Page {
    limit: Option<usize>,
}

impl Recent {
    /// `GET /links?limit=N`: at most N links, 100 without, newest first, each with its evidence.
    pub fn routes(&self) -> Router {
        Router::new().route("/links", get(links)).with_state(self.clone())
    }

    /// Remembers links as they are found, and those found before as far back as the bus keeps
    /// them.
    pub fn follow(
        &self,
        bus: &dyn Bus,
        names: &Names,
        stopped: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), StageError> {
        // Every process is told of every link: it is a group of its own.
        let group = names.group(&format!("api-{}-{:x}", std::process::id(), live::now()));
        live::follow(bus, names.links(), group, stopped, |link| {
            if let Ok(link) = serde_json::from_slice::<Box<RawValue>>(link) {
                let mut links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                links.push_front(link.into());
                links.truncate(REMEMBERED);
            }
        })
    }
}

async fn links(State(recent): State<Recent>, Query(page): Query<Page>) -> Json<Vec<Arc<RawValue>>> {
    let links = recent.0.lock().unwrap_or_else(PoisonError::into_inner);
    Json(links.iter().take(page.limit.unwrap_or(100)).cloned().collect())
}
