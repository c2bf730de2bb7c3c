//! Links on their way from the bus to a history.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use api::History;
use bus::{Bus, Memory, Outgoing};
use live::Names;
use serde_json::{Value, json};

use crate::common::Served;

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A history that is told of what is published. It is closed when this is dropped.
pub struct Feed {
    pub bus: Memory,
    pub history: Arc<History>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

pub fn names() -> Names {
    Names::new("logs", "foreshock")
}

impl Feed {
    pub fn new(bus: &Memory, path: &Path, kept: u64) -> Feed {
        let history = Arc::new(History::open(path, kept));
        let stop = Arc::new(AtomicBool::new(false));
        let (follower, stopped) = (Arc::clone(&history), Arc::clone(&stop));
        let from = bus.clone();
        let follow = move || {
            let stopped = || stopped.load(Ordering::Relaxed);
            follower.follow(&from, &names(), &stopped).unwrap();
        };
        let thread = Some(thread::spawn(follow));
        Feed { bus: bus.clone(), history, stop, thread }
    }

    pub fn publish(&self, links: impl IntoIterator<Item = Value>) {
        publish(&self.bus, links);
    }

    pub fn wait_for(&self, links: u64) {
        let end = Instant::now() + PATIENCE;
        while self.history.len() != links {
            assert!(Instant::now() < end, "{} links of {links}", self.history.len());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// A server of this history.
    pub fn serve(&self) -> Served {
        let (history, bus) = (Arc::clone(&self.history), Arc::new(self.bus.clone()));
        Served::with(|api| {
            api.history = history;
            api.bus = bus;
        })
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

pub fn publish(bus: &Memory, links: impl IntoIterator<Item = Value>) {
    let (topic, mut producer) = (names().links(), bus.producer().unwrap());
    for link in links {
        let payload = link.to_string();
        let record = Outgoing { topic: &topic, key: None, payload: payload.as_bytes() };
        while !producer.send(&record).unwrap() {
            producer.flush(Duration::from_secs(1)).unwrap();
        }
    }
}

/// A link of this number. Its problem comes so many seconds after midnight, its problem's id is
/// its number modulo ten.
pub fn link(number: u64) -> Value {
    let time = |seconds: u64| {
        let midnight: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        (midnight + jiff::SignedDuration::from_secs(seconds as i64)).to_string()
    };
    let side = |id: u64, text: &str, score: f64, file: &str, component: &str| {
        json!({
            "id": id, "text": text, "exact": false, "score": score, "runner_up": null,
            "event": {
                "timestamp": time(number), "time": time(number), "level": "ERROR",
                "component": component, "message": format!("{text} number {number}"),
                "file": file, "line": number + 1, "raw": format!("raw {number}"),
            },
        })
    };
    json!({
        "id": format!("{number:032x}"), "lag_seconds": 0.0, "cosine": null, "dictionary_row": 2,
        "anomaly": side(number % 3, "Очередь растёт", 0.93, "a.log", "net"),
        "problem": side(number % 10, "Replica \"x\" fell out", 0.61, "b.log", ""),
        "judge": { "model": "m", "reference": 0.42, "pair": null, "window_seconds": 1.0 },
    })
}

/// The number of a link.
pub fn number(link: &Value) -> u64 {
    u64::from_str_radix(link["id"].as_str().unwrap(), 16).unwrap()
}

/// The numbers of links.
pub fn numbers(links: &Value) -> Vec<u64> {
    links.as_array().unwrap().iter().map(number).collect()
}
