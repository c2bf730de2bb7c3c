//! Resident memory over minutes.

use std::thread;
use std::time::{Duration, Instant};

use crate::print::{heading, median};
use crate::process::Suite;

/// The pause between two loops, in seconds.
const PAUSE: &str = "0.2";

const SAMPLE: Duration = Duration::from_secs(5);

/// A line for so many samples.
const TELL: usize = 6;

pub fn run() {
    let minutes = std::env::var("MEMORY_MINUTES").ok().and_then(|it| it.parse().ok());
    let minutes: u32 = minutes.unwrap_or(10);
    heading(&format!(
        "resident memory over {minutes} minutes of data/logs, replayed again and again at SPEED=0, \
         with {PAUSE} s between"
    ));
    let suite = Suite::new();
    let backend = suite.backend("match,link,alert,api", "24h");
    let replay = suite.replay(PAUSE);
    let mut samples = Vec::new();
    let started = Instant::now();
    println!("  {:>7}  {:>10}  {:>10}  {:>12}  {:>12}", "", "backend", "replay", "sent", "read");
    for count in 1..=(60 * minutes as usize / SAMPLE.as_secs() as usize) {
        thread::sleep((SAMPLE * count as u32).saturating_sub(started.elapsed()));
        let (ours, theirs) = (backend.resident(), replay.resident());
        samples.push((ours, theirs));
        if count % TELL == 0 {
            println!(
                "  {:>5} s  {ours:>7} kB  {theirs:>7} kB  {:>12}  {:>12}",
                started.elapsed().as_secs(),
                replay.metric("foreshock_replayed_events_total"),
                backend.metric("foreshock_events_read_total"),
            );
        }
    }
    let third = (samples.len() / 3).max(1);
    let (first, last) = (&samples[..third], &samples[samples.len() - third..]);
    let told = |name: &str, of: fn(&(f64, f64)) -> f64| {
        let [first, last] = [first, last].map(|part| median(part.iter().map(of)));
        println!(
            "  {name}: median {first} kB in the first third, {last} kB in the last ({:+.1} %)",
            (last / first - 1.0) * 100.0
        );
    };
    told("backend", |sample| sample.0);
    told("replay", |sample| sample.1);
}
