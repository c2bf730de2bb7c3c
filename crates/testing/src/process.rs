//! A service as a child process: started, signalled, and never left behind.

use std::fs::{self, File};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A first start may install the service.
const START: Duration = Duration::from_secs(900);
/// Kafka hands over, Triton unloads its model.
const STOP: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// What a service is: its script, and how to see that it answers.
pub struct Kind {
    /// The word for it in messages.
    pub name: &'static str,
    /// The script that runs it in the foreground, from the root of the workspace.
    pub script: &'static str,
    /// The environment variables that tell the script its ports.
    pub ports: &'static [&'static str],
    /// The one that tells it a folder of its own, if it keeps data.
    pub data: Option<&'static str>,
    /// Variables of this process that the script must not see.
    pub without: &'static [&'static str],
    /// Does it answer, at these ports and having written this log?
    pub answers: fn(&[u16], &str) -> bool,
}

/// A service with its ports and its data, which outlive a stop.
pub struct Service {
    kind: &'static Kind,
    ports: Vec<u16>,
    folder: TempDir,
    running: Option<Running>,
}

struct Running {
    child: Child,
    watcher: Child,
}

impl Service {
    /// Starts one with ports and data of its own, and waits until it answers.
    pub fn start(kind: &'static Kind) -> Self {
        let folder = tempfile::Builder::new().prefix("foreshock-test-").tempdir();
        let folder = folder
            .unwrap_or_else(|error| panic!("cannot make a folder for {}: {error}", kind.name));
        let mut service = Self { kind, ports: Vec::new(), folder, running: None };
        for attempt in 1.. {
            service.ports = kind.ports.iter().map(|_| free_port()).collect();
            match service.try_start() {
                Ok(()) => break,
                // Someone took a port between our look and the service's.
                Err(log) if attempt < 3 && log.contains("in use") => {}
                Err(log) => panic!("{log}"),
            }
        }
        service
    }

    /// Starts it where it was, with the data it had.
    pub fn start_again(&mut self) {
        self.kill();
        self.try_start().unwrap_or_else(|log| panic!("{log}"));
    }

    /// Asks it to end (SIGTERM), and waits until it has.
    pub fn stop(&mut self) {
        let Some(mut running) = self.running.take() else { return };
        // A paused one would hear it only later.
        running.signal("TERM");
        running.signal("CONT");
        running.wait(STOP);
        running.end();
    }

    /// Ends it at once (SIGKILL), as a crash does.
    pub fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            running.end();
        }
    }

    /// Stops its clock (SIGSTOP): connections stay open, nothing answers.
    pub fn pause(&self) {
        self.running.as_ref().expect("a service that runs").signal("STOP");
    }

    /// Lets it go on after [`Service::pause`].
    pub fn resume(&self) {
        self.running.as_ref().expect("a service that runs").signal("CONT");
    }

    /// Its ports, in the order of its kind.
    pub fn ports(&self) -> &[u16] {
        &self.ports
    }

    fn try_start(&mut self) -> Result<(), String> {
        let log = self.folder.path().join("log");
        self.running = Some(Running::spawn(self.kind, &self.ports, self.folder.path(), &log));
        let began = Instant::now();
        loop {
            let written = fs::read(&log).unwrap_or_default();
            let written = String::from_utf8_lossy(&written);
            let ended = self.running.as_mut().and_then(Running::ended);
            if ended.is_none() && (self.kind.answers)(&self.ports, &written) {
                return Ok(());
            }
            if ended.is_some() || began.elapsed() > START {
                self.kill();
                let why = ended.map_or_else(
                    || format!("does not answer after {} s", START.as_secs()),
                    |status| format!("ended with {status}"),
                );
                let (script, tail) = (self.kind.script, last_lines(&written, 25));
                return Err(format!(
                    "{script} {why}. services/install.sh installs what tests need. It wrote:\n{tail}"
                ));
            }
            sleep(POLL);
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Running {
    fn spawn(kind: &Kind, ports: &[u16], folder: &Path, log: &Path) -> Self {
        let file = File::create(log)
            .unwrap_or_else(|error| panic!("cannot write {}: {error}", log.display()));
        let same = file.try_clone().expect("a second handle of a file");
        let mut command = Command::new(workspace().join(kind.script));
        command.stdin(Stdio::null()).stdout(file).stderr(same);
        for (name, port) in kind.ports.iter().zip(ports) {
            command.env(name, port.to_string());
        }
        if let Some(name) = kind.data {
            command.env(name, folder.join("data"));
        }
        for name in kind.without {
            command.env_remove(name);
        }
        // A process group of its own: signals reach its children too, and Ctrl-C only us.
        let child = command.process_group(0).spawn();
        let child = child.unwrap_or_else(|error| panic!("cannot run {}: {error}", kind.script));
        let watcher = watch(&child, folder);
        Self { child, watcher }
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the state of a child")
    }

    fn wait(&mut self, patience: Duration) {
        let began = Instant::now();
        while self.ended().is_none() && began.elapsed() < patience {
            sleep(POLL);
        }
    }

    fn signal(&self, signal: &str) {
        let group = format!("-{}", self.child.id());
        // Fails when there is nothing left to signal, which is no fault.
        let _ = shell(r#"kill -s "$1" -- "$2""#, &[signal, &group]).status();
    }

    /// Ends the service and its children, then tells the watcher that nothing is left to watch.
    fn end(mut self) {
        self.signal("KILL");
        if let Some(mut pipe) = self.watcher.stdin.take() {
            let _ = pipe.write_all(b"done\n");
        }
        let _ = self.child.wait();
        let _ = self.watcher.wait();
    }
}

/// Starts the one who cleans up after us. Its pipe is closed by the kernel however this process ends,
/// by SIGKILL or with its statics never dropped.
fn watch(child: &Child, folder: &Path) -> Child {
    const SCRIPT: &str = r#"read -r _ && exit
        kill -s KILL -- "-$1"
        for _ in 1 2 3 4 5 6 7 8 9 10; do rm -rf -- "$2" && exit; sleep 0.2; done"#;
    let folder = folder.to_str().expect("a temporary folder in UTF-8");
    let mut command = shell(SCRIPT, &[&child.id().to_string(), folder]);
    command.stdin(Stdio::piped()).process_group(0).spawn().expect("sh")
}

fn shell(script: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A port that nobody listens on. Not one the kernel gives to clients: while a service is down, a client
/// that keeps trying would in the end be given that very port, and be connected with itself.
pub fn free_port() -> u16 {
    const FIRST: u32 = 15_000;
    const COUNT: u32 = 15_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Other test processes look for ports as well: each begins elsewhere.
    let begin = std::process::id().wrapping_mul(7919);
    for _ in 0..COUNT {
        let turn = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(FIRST + turn % COUNT).expect("a port");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port from {FIRST} to {}", FIRST + COUNT);
}

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
