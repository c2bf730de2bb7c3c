//! The binaries of the suite, as processes of their own.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::logs;

/// How long a process may take to be ready.
const READY: Duration = Duration::from_secs(180);

/// The names of one suite's topics, and where its processes write what they log.
pub struct Suite {
    /// What the names of topics of log lines begin with.
    pub logs: String,
    /// What the names of its own topics begin with.
    pub name: String,
    folder: TempDir,
}

impl Suite {
    pub fn new() -> Suite {
        let name = testing::unique("suite");
        Suite { logs: format!("{name}-logs"), name, folder: tempfile::tempdir().unwrap() }
    }

    /// A backend, when it is ready.
    pub fn backend(&self, roles: &str, window: &str) -> Process {
        let (host, port) = testing::redis();
        let mut command = Command::new(env!("CARGO_BIN_EXE_backend"));
        command
            .env("ROLES", roles)
            .env("SUITE", &self.name)
            .env("ANOMALIES_CSV_PATH", logs::dictionary_path())
            .env("FORESHOCK_MODEL_PROFILE", "all-MiniLM-L6-v2")
            .env("TRITON_URL", testing::triton())
            .env("REDIS_HOST", host)
            .env("REDIS_PORT", port.to_string())
            .env("WINDOW", window)
            .current_dir(self.folder.path());
        self.start(command, "backend")
    }

    /// A replay of the example data, without end.
    pub fn replay(&self, pause: &str) -> Process {
        // Beside the binary of this package, in the folder that all share.
        let binary = Path::new(env!("CARGO_BIN_EXE_backend")).with_file_name("replay");
        assert!(binary.is_file(), "no {}: cargo build --release -p replay", binary.display());
        let mut command = Command::new(binary);
        command.env("LOG_DIR", logs::data().join("logs"));
        command.envs([("SPEED", "0"), ("LOOPS", "0"), ("LOOP_PAUSE", pause)]);
        self.start(command, "replay")
    }

    fn start(&self, mut command: Command, name: &str) -> Process {
        let log = self.folder.path().join(name);
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        command
            .env("KAFKA_BOOTSTRAP", testing::kafka())
            .env("TOPIC_PREFIX", &self.logs)
            .env("HTTP_PORT", port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap());
        let process = Process { child: command.spawn().unwrap(), port, log };
        process.wait_until_ready();
        process
    }
}

/// A process, killed when it is dropped.
pub struct Process {
    child: Child,
    port: u16,
    log: PathBuf,
}

impl Process {
    fn wait_until_ready(&self) {
        let started = Instant::now();
        while !self.get("/ready").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            let log = || fs::read_to_string(&self.log).unwrap_or_default();
            assert!(started.elapsed() < READY, "is not ready:\n{}", log());
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn get(&self, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// The sum of a metric over its labels.
    pub fn metric(&self, name: &str) -> f64 {
        let answer = self.get("/metrics").unwrap();
        let of_name =
            |line: &&str| line.strip_prefix(name).is_some_and(|it| it.starts_with([' ', '{']));
        let value = |line: &str| line.rsplit_once(' ')?.1.parse::<f64>().ok();
        answer.lines().filter(of_name).filter_map(value).sum()
    }

    /// Resident memory, in kilobytes.
    pub fn resident(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
