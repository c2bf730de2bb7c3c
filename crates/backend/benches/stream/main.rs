//! `make bench-stream`: what the live path costs, each figure beside what it is to be measured by.
//!
//! * `replay`: replay at SPEED=0 beside a bare rdkafka producer of the same records;
//! * `match`: the match stage beside a bare rdkafka consumer of the same topics;
//! * `latency`: from a line that is sent to the link it makes, at 1,000 lines a second;
//! * `texts`: texts a second through Triton beside the model in this process;
//! * `memory`: resident memory over minutes, as many as MEMORY_MINUTES says, else ten.
//!
//! `make bench-stream ONLY=latency` runs one of them. Kafka, Redis and Triton are real, and run from
//! the project's own scripts unless `FORESHOCK_TEST_KAFKA` and the like name others.

mod consume;
mod latency;
mod logs;
mod memory;
mod print;
mod process;
mod produce;
mod tape;
mod texts;

use std::fs;
use std::thread;

/// A section: its word, and what runs it.
type Section = (&'static str, fn());

const SECTIONS: [Section; 5] = [
    ("replay", produce::run),
    ("match", consume::run),
    ("latency", latency::run),
    ("texts", texts::run),
    ("memory", memory::run),
];

fn main() {
    // What begins with dashes is cargo's.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with('-')).collect();
    if let Some(unknown) = wanted.iter().find(|it| SECTIONS.iter().all(|(name, _)| name != it)) {
        let names = SECTIONS.map(|(name, _)| name).join(", ");
        eprintln!("error: there is no section {unknown:?}, only {names}");
        std::process::exit(2);
    }
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!(
        "{cores} cores, shared with Kafka (one broker on loopback, services/kafka.sh), and with \
         Redis and\nTriton where they are used; medians of {} rounds, run in turn; load before: {}",
        print::ROUNDS,
        load.split(' ').next().unwrap_or("unknown")
    );
    for (name, run) in SECTIONS {
        if wanted.is_empty() || wanted.iter().any(|it| it == name) {
            run();
        }
    }
}
