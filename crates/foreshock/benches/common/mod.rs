//! What the benchmarks share: made-up logs, and figures of times.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::Dictionary;
use testing::made_up::{ORDINARY, Random};

/// The files that logs are made of.
const FILES: u64 = 10;

pub fn heading(text: &str) {
    println!("\n{text}");
}

pub fn time<T>(work: impl FnOnce() -> T) -> Duration {
    let started = Instant::now();
    let result = work();
    let took = started.elapsed();
    drop(result);
    took
}

pub fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times[times.len() / 2]
}

pub fn dictionary() -> Arc<Dictionary> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/anomalies_problems.csv");
    Arc::new(parse::dictionary::read(&path).unwrap())
}

pub fn cache() -> PathBuf {
    match std::env::var_os("FORESHOCK_CACHE") {
        Some(folder) => folder.into(),
        None => dirs::cache_dir().unwrap().join("foreshock"),
    }
}

pub fn stamp(second: u64) -> String {
    let (day, hour, minute) = (second / 86_400, second / 3600 % 24, second / 60 % 60);
    format!("2026-03-{:02}T{hour:02}:{minute:02}:{:02}", day % 28 + 1, second % 60)
}

/// Ten files of `lines` lines together: 95 % INFO, 3 % WARNING, 2 % ERROR; one in a thousand of
/// the latter says a text of the dictionary.
pub fn generate(folder: &Path, lines: u64) -> Vec<PathBuf> {
    let dictionary = dictionary();
    let paths: Vec<PathBuf> = (0..FILES).map(|file| folder.join(format!("{file}.log"))).collect();
    for (file, path) in paths.iter().enumerate() {
        let mut random = Random(0x9e37_79b9_7f4a_7c15 + file as u64);
        let mut out = BufWriter::with_capacity(1 << 20, File::create(path).unwrap());
        for line in 0..lines / FILES {
            let (number, kind) = (random.below(100_000), random.below(100));
            let stamp = stamp(line);
            let known = random.below(1000) == 0;
            let row = random.one_of(dictionary.rows());
            match kind {
                0..95 => writeln!(out, "{stamp} INFO {}", INFO[number as usize % INFO.len()]),
                95..98 if known => writeln!(out, "{stamp} WARNING sys: {}", row.anomaly),
                98.. if known => writeln!(out, "{stamp} ERROR sys: {}", row.problem),
                95..98 => writeln!(
                    out,
                    "{stamp} WARNING app: {} took {number} ms",
                    ORDINARY[number as usize % ORDINARY.len()]
                ),
                _ => writeln!(
                    out,
                    "{stamp} ERROR app: {}, order {number}",
                    ORDINARY[number as usize % ORDINARY.len()]
                ),
            }
            .unwrap();
        }
        out.flush().unwrap();
    }
    paths
}

const INFO: [&str; 6] = [
    "app: Request 48213 served in 31 ms",
    "network: Interface eth3 counters: rx 9182734 tx 8123",
    "database: Checkpoint complete: wrote 20114 buffers in 1.2 s",
    "scheduler: Job 8812 finished with code 0, previous ERROR cleared",
    "auth: Token refreshed for session 99182",
    "monitor: WARNING threshold of queue depth set to 5000 by operator",
];
