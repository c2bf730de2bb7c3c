//! A folder to work in, and the binary run in it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use assert_cmd::Command;
use assert_cmd::cargo::cargo_bin_cmd;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use tempfile::TempDir;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// Two pairs. Most logs of these tests say their texts exactly, so that they test one thing each.
pub const DICTIONARY: &str = "anomaly_id;anomaly;problem_id;problem\n\
    1;Replica apply queue growing;10;Replica fell out of step with primary\n\
    2;Недоступен резервный канал;20;Отказ внешней сети\n";

/// Two links, from line 1 to 3 and from line 4 to 6.
pub const LOG: &str = "2025-10-06T07:00:00 WARNING db: Replica apply queue growing\n\
    2025-10-06T07:10:00 INFO db: checkpoint complete\n\
    2025-10-06T07:42:23 ERROR db: Replica fell out of step with primary\n\
    2025-10-06T08:00:00 WARN net: Недоступен резервный канал\n\
    Traceback (most recent call last):\n\
    2025-10-06T08:30:00 CRITICAL net: Отказ внешней сети\n";

/// [`LOG`] with its first text in other words, so that it takes the model to know it.
pub fn log_in_other_words() -> String {
    LOG.replacen(
        "Replica apply queue growing",
        "apply queue of the replica keeps getting longer",
        1,
    )
}

/// The links of [`LOG`] in a file `app.log`.
pub fn links_of_log() -> Vec<Link> {
    links(&[(1, "app.log", 1, 10, "app.log", 3), (2, "app.log", 4, 20, "app.log", 6)])
}

/// Anomaly id, file and line, problem id, file and line.
pub type Link = (u64, String, u64, u64, String, u64);

pub fn links(links: &[(u64, &str, u64, u64, &str, u64)]) -> Vec<Link> {
    links
        .iter()
        .map(|link| (link.0, link.1.into(), link.2, link.3, link.4.into(), link.5))
        .collect()
}

/// Where the model is, fetched once for all tests.
pub fn cache() -> &'static Path {
    static CACHE: OnceLock<PathBuf> = OnceLock::new();
    CACHE.get_or_init(|| {
        let own = || PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cache");
        let cache = std::env::var_os("FORESHOCK_CACHE").map_or_else(own, PathBuf::from);
        // The binary runs in folders of its own.
        let cache = std::path::absolute(cache).unwrap();
        let output = command(&cache).arg("model").output().expect("the binary runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        cache
    })
}

/// The folder of the default model.
pub fn model() -> PathBuf {
    cache().join("models").join(embed::DEFAULT_MODEL)
}

/// The example data of the repository.
pub fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data")
}

pub fn logs_of_data() -> Vec<PathBuf> {
    let files = fs::read_dir(data().join("logs")).expect("data/logs is there");
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

fn command(cache: &Path) -> Command {
    let mut command = cargo_bin_cmd!("foreshock");
    for variable in [
        "ANOMALIES_CSV_PATH",
        "LOG_TZ",
        "LOG_DIR",
        "FORESHOCK_MODEL",
        "LINKS_DB",
        "DB_PATH",
        "TELEGRAM_BOT_TOKEN",
        "WEBHOOK_URLS",
    ] {
        command.env_remove(variable);
    }
    command.env("FORESHOCK_CACHE", cache).env("HTTP_PORT", "0").env("FRONTEND_PORT", "0");
    command
}

/// A folder with [`DICTIONARY`] where the binary looks for it and [`LOG`] as `app.log`.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Place {
        let place = Place::with_dictionary(DICTIONARY);
        place.write("app.log", LOG);
        place
    }

    pub fn with_dictionary(dictionary: &str) -> Place {
        let place = Place(tempfile::tempdir().expect("a folder can be made"));
        place.write("data/anomalies_problems.csv", dictionary);
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).unwrap()
    }

    /// Every file and folder.
    pub fn tree(&self) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        let mut open = vec![self.0.path().to_owned()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
                open.extend(Some(entry.path()).filter(|path| path.is_dir() && !path.is_symlink()));
                found.insert(entry.path());
            }
        }
        found
    }

    /// The binary, to be run here with arguments that hold no blank.
    pub fn foreshock(&self, arguments: &str) -> Command {
        let mut command = command(cache());
        command.current_dir(self.0.path()).args(arguments.split_whitespace());
        command
    }

    pub fn run(&self, arguments: &str) -> Run {
        run(&mut self.foreshock(arguments))
    }

    /// `analyze FILES --json` that succeeds.
    pub fn analyze(&self, files: &str) -> Run {
        self.run(&format!("analyze --json {files}")).ok()
    }

    /// Asserts that `analyze FILES` ends with `code` and says all of `words`.
    pub fn refuses(&self, files: &str, code: i32, words: &[&str]) {
        self.run(&format!("analyze {files}")).fails(code, words);
    }
}

/// How a run ended.
pub struct Run {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

pub fn run(command: &mut Command) -> Run {
    let output = command.output().expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
    // Progress is told when a run takes long, which is no result.
    let is_progress = |line: &&str| line.starts_with("read ") && line.contains(", embedded ");
    let err = text(output.stderr);
    let err = err.split_inclusive('\n').filter(|line| !is_progress(line)).collect();
    let run = Run { code: output.status.code(), out: text(output.stdout), err };
    assert!(!run.err.contains("panicked"), "{}", run.err);
    run
}

pub fn run_with(
    mut command: Command,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> Run {
    run(command.args(arguments))
}

impl Run {
    pub fn ok(self) -> Run {
        assert_eq!(self.code, Some(0), "{}", self.err);
        self
    }

    pub fn ends(self, code: i32) -> Run {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        self
    }

    /// Asserts that all of `words` stand in the messages.
    pub fn says(self, words: &[&str]) -> Run {
        for words in words {
            assert!(self.err.contains(words), "no {words:?} in: {}", self.err);
        }
        self
    }

    /// Asserts that all of `words` stand in the output.
    pub fn shows(self, words: &[&str]) -> Run {
        for words in words {
            assert!(self.out.contains(words), "no {words:?} in: {}", self.out);
        }
        self
    }

    pub fn fails(self, code: i32, words: &[&str]) -> Run {
        self.ends(code).says(words)
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }

    /// The links of `--json`, sorted.
    pub fn links(&self) -> Vec<Link> {
        links_in(&self.json())
    }
}

pub fn links_in(json: &Value) -> Vec<Link> {
    let side = |link: &Value, side: &str| {
        let Value::Object(found) = &link[side] else { panic!("no {side} in {link}") };
        let event = &found["event"];
        let file = event["file"].as_str().unwrap().to_owned();
        (found["id"].as_u64().unwrap(), file, event["line"].as_u64().unwrap())
    };
    let links = json["links"].as_array().expect("links is an array").iter();
    let mut links: Vec<Link> = links
        .map(|link| {
            let (anomaly, problem) = (side(link, "anomaly"), side(link, "problem"));
            (anomaly.0, anomaly.1, anomaly.2, problem.0, problem.1, problem.2)
        })
        .collect();
    links.sort();
    links
}

pub fn gz(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes.as_ref()).unwrap();
    encoder.finish().unwrap()
}

pub fn zip<'a>(members: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// Lines that pack badly and are no anomaly and no problem.
pub fn noise(lines: u64) -> String {
    let mut state = 1u64;
    (0..lines)
        .map(|line| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            format!("2025-10-06T09:00:{:02} INFO app: request {state:x} served\n", line % 60)
        })
        .collect()
}
