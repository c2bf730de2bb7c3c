//! Health: what a service depends on, asked when somebody wants to know.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::Mutex;

/// How long an answer is good for, so that askers cannot wear a dependency out.
const FRESH: Duration = Duration::from_secs(1);

/// How long a dependency may take to answer.
const PATIENCE: Duration = Duration::from_secs(4);

/// Whether a service can do its work without a dependency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    /// It cannot.
    Required,
    /// It can, more slowly.
    Optional,
}

/// Asks a dependency whether it works; blocks for a while at most.
pub type Check = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// The dependencies of a service.
#[derive(Default)]
pub struct Health {
    parts: Vec<Part>,
    last: Mutex<Option<(Instant, Report)>>,
}

#[derive(Clone)]
struct Part {
    name: &'static str,
    need: Need,
    check: Arc<Check>,
}

/// What the dependencies said.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whether every required one works.
    pub ready: bool,
    /// Each dependency, in the order in which they were added.
    pub dependencies: Vec<State>,
}

/// What a dependency said.
#[derive(Clone, Debug, Serialize)]
pub struct State {
    /// What it is called.
    pub name: &'static str,
    /// Whether work can be done without it.
    pub need: Need,
    /// Whether it works.
    pub ok: bool,
    /// Why it does not work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Health {
    /// A service that depends on nothing.
    pub fn new() -> Health {
        Health::default()
    }

    /// Adds a dependency.
    #[must_use]
    pub fn with(mut self, name: &'static str, need: Need, check: Check) -> Health {
        self.parts.push(Part { name, need, check: Arc::new(check) });
        self
    }

    /// Asks every dependency, all at once; answers of the last second are not asked for again.
    pub async fn report(&self) -> Report {
        let mut last = self.last.lock().await;
        if let Some((when, report)) = &*last
            && when.elapsed() < FRESH
        {
            return report.clone();
        }
        let asked: Vec<_> =
            self.parts.iter().cloned().map(|part| tokio::spawn(ask(part))).collect();
        let mut dependencies = Vec::new();
        for state in asked {
            dependencies.extend(state.await);
        }
        let ready = dependencies.len() == self.parts.len()
            && dependencies.iter().all(|state| state.ok || state.need == Need::Optional);
        let report = Report { ready, dependencies };
        *last = Some((Instant::now(), report.clone()));
        report
    }
}

async fn ask(part: Part) -> State {
    let Part { name, need, check } = part;
    let answer = tokio::time::timeout(PATIENCE, tokio::task::spawn_blocking(move || check())).await;
    let reason = match answer {
        Ok(Ok(Ok(()))) => None,
        Ok(Ok(Err(reason))) => Some(reason),
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!("no answer in {} s", PATIENCE.as_secs())),
    };
    State { name, need, ok: reason.is_none(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_is_required_makes_a_service_unready() {
        let fails = || -> Check { Box::new(|| Err("gone".to_owned())) };
        let health = Health::new().with("cache", Need::Optional, fails());
        assert!(health.report().await.ready);
        let health = health.with("broker", Need::Required, fails());
        *health.last.lock().await = None;
        let report = health.report().await;
        assert!(!report.ready);
        assert_eq!(report.dependencies[1].reason.as_deref(), Some("gone"));
    }

    #[tokio::test]
    async fn a_check_that_panics_is_a_dependency_that_fails() {
        let health = Health::new().with("odd", Need::Required, Box::new(|| panic!("odd")));
        assert!(!health.report().await.ready);
    }
}
