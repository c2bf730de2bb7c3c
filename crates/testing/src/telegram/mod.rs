//! Servers of Telegram's Bot API: [`Emulator`], which no one here wrote, and [`Server`], which misbehaves;
//! and what is told through them.

mod badly_behaved;
mod emulator;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

pub use badly_behaved::{Allowed, Fault, Message, Server, World};
pub use emulator::Emulator;

/// The token of every bot; it must be seen nowhere.
pub const TOKEN: &str = "123456:SECRETtokenSECRET";

/// When something that must happen has not, it will not. Machines differ, so this is long.
const DEADLINE: Duration = Duration::from_secs(600);

/// Waits until something is so.
///
/// # Panics
/// When it is not for very long.
pub async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < DEADLINE, "still not: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A link with a number, which its warning shows; three links share a problem.
pub fn link(number: usize) -> Value {
    let event = |level: &str, component: &str, message: String, file: &str, line: usize| {
        let stamp = "2025-10-06T07:42:23";
        json!({
            "timestamp": stamp, "time": format!("{stamp}Z"), "level": level, "component": component,
            "message": message, "file": file, "line": line,
            "raw": format!("{stamp} {level} {component}: {message}"),
        })
    };
    let problem = number / 3;
    json!({
        "id": format!("{number:032x}"), "lag_seconds": 2_820.0, "cosine": 0.91, "dictionary_row": 2,
        "anomaly": {
            "id": 4, "text": "Log volume is nearly full", "exact": false, "score": 0.9,
            "runner_up": null,
            "event": event("WARNING", "storage", format!("volume #{number:06} full"), "a.log", number),
        },
        "problem": {
            "id": problem, "text": format!("Problem {}", problem % 7), "exact": true, "score": 1.0,
            "runner_up": null,
            "event": event("ERROR", "database", format!("Problem {problem}"), "b.log", problem),
        },
        "judge": { "model": "m", "window_seconds": 86400.0 },
    })
}
