//! Generated log lines: 95 % INFO, 3 % WARNING, 2 % ERROR.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use domain::Dictionary;
use testing::made_up::{ORDINARY, Random};

/// Files, each with a topic of its own.
pub const FILES: usize = 10;

/// The example data of the repository.
pub fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data")
}

pub fn dictionary_path() -> PathBuf {
    data().join("anomalies_problems.csv")
}

pub fn dictionary() -> Dictionary {
    parse::dictionary::read(&dictionary_path()).unwrap()
}

/// The folder of models.
pub fn cache() -> PathBuf {
    match std::env::var_os("FORESHOCK_CACHE") {
        Some(folder) => folder.into(),
        None => dirs::cache_dir().unwrap().join("foreshock"),
    }
}

/// What lines say behind their timestamps.
pub struct Lines {
    dictionary: Dictionary,
    random: Random,
    /// Of so many ERROR and WARNING lines, one says a text of the dictionary.
    known_of: usize,
}

/// A level, a component and a message.
pub type Line = (&'static str, &'static str, String);

impl Lines {
    pub fn new(known_of: usize) -> Lines {
        Lines { dictionary: dictionary(), random: Random(0x9e37_79b9_7f4a_7c15), known_of }
    }

    pub fn next(&mut self) -> Line {
        let random = &mut self.random;
        let (number, kind) = (random.below(100_000), random.below(100));
        let known = random.below(self.known_of as u64) == 0;
        let row = random.one_of(self.dictionary.rows());
        let ordinary = ORDINARY[number as usize % ORDINARY.len()];
        match kind {
            0..95 => ("INFO", "app", format!("{} {number}", INFO[number as usize % INFO.len()])),
            95..98 if known => ("WARNING", "sys", row.anomaly.clone()),
            98.. if known => ("ERROR", "sys", row.problem.clone()),
            95..98 => ("WARNING", "app", format!("{ordinary} took {number} ms")),
            _ => ("ERROR", "app", format!("{ordinary}, order {number}")),
        }
    }
}

/// Writes log files of `lines` lines together.
pub fn write(folder: &Path, lines: usize, known_of: usize) {
    let mut source = Lines::new(known_of);
    for file in 0..FILES {
        let path = folder.join(format!("server_{file}.log"));
        let mut out = BufWriter::with_capacity(1 << 20, File::create(path).unwrap());
        for second in 0..lines / FILES {
            let (level, component, message) = source.next();
            writeln!(out, "{} {level} {component}: {message}", stamp(second)).unwrap();
        }
        out.flush().unwrap();
    }
}

fn stamp(second: usize) -> String {
    let (day, hour, minute) = (second / 86_400, second / 3600 % 24, second / 60 % 60);
    format!("2025-03-{:02}T{hour:02}:{minute:02}:{:02}", day % 28 + 1, second % 60)
}

const INFO: [&str; 6] = [
    "Request served in 31 ms, id",
    "Interface eth3 counters: rx 9182734 tx 8123, sample",
    "Checkpoint complete: wrote 20114 buffers in 1.2 s, number",
    "Job finished with code 0, previous ERROR cleared, run",
    "Token refreshed for session",
    "WARNING threshold of queue depth set by operator to",
];
