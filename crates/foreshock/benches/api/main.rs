//! `make bench-api`: what an analysis costs over HTTP, beside the same without it.
//!
//! * a gigabyte of logs uploaded, beside `foreshock analyze` on the same files and beside an upload
//!   that nobody looks at; and the memory it takes;
//! * two hundred small analyses at once, beside the same one after the other;
//! * a page of fifty thousand links.
//!
//! The server is the real binary, in a process of its own; clients are curl, and sockets for small
//! requests.

#[path = "../common/mod.rs"]
mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::{cache, generate, heading, median, time};
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_foreshock");
const ROUNDS: usize = 5;

/// About a gigabyte.
const LINES: u64 = 13_500_000;

/// Small analyses at once.
const CLIENTS: usize = 200;

/// Links of the large page.
const LINKS: usize = 50_000;

fn main() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bench-api");
    fs::create_dir_all(&folder).unwrap();
    println!("{} cores; medians of {ROUNDS} rounds, run in turn", rayon::current_num_threads());
    let server = Server::start();
    a_gigabyte(&server, &folder);
    many_at_once(&server);
    a_large_page(&server, &folder);
    let _ = fs::remove_dir_all(&folder);
}

// ── a gigabyte ──────────────────────────────────────────────────────────────────────────────────

fn a_gigabyte(server: &Server, folder: &Path) {
    heading("a gigabyte of logs, ten files, vectors at hand: uploaded, analysed, the CSV read");
    let logs = generate(folder, LINES);
    let bytes: u64 = logs.iter().map(|path| path.metadata().unwrap().len()).sum();
    let sink = sink();
    let out = folder.join("out.csv");
    // The first run embeds what no run before did, and loads the model.
    server.upload(&logs[..1]);
    analyze(&logs, &out);
    let before = server.memory("VmRSS");
    server.forget_peak();
    let (mut ours, mut bare, mut alone) = (Vec::new(), Vec::new(), Vec::new());
    let (mut after, mut peak) = (Vec::new(), 0);
    for _ in 0..ROUNDS {
        ours.push(time(|| server.upload(&logs)));
        // The answer to a new job comes with the last byte.
        let job = server.start_job(&logs);
        after.push(time(|| server.result(&job)));
        curl(&["-X", "DELETE"], &server.at(&format!("/jobs/{job}")));
        peak = peak.max(server.memory("VmHWM"));
        bare.push(time(|| post(&sink, &logs)));
        alone.push(time(|| analyze(&logs, &out)));
    }
    row("uploaded and analysed", &ours, bytes);
    row("  from the last byte on", &after, bytes);
    row("uploaded to nobody", &bare, bytes);
    row("foreshock analyze", &alone, bytes);
    let seconds = |times: &[Duration]| median(times).as_secs_f64();
    let (ours, after) = (seconds(&ours), seconds(&after));
    let (bare, alone) = (seconds(&bare), seconds(&alone));
    println!("  {:.2} × the time of analyze, from the last byte on", after / alone);
    println!("  {:.2} × the time of analyze, with the upload", ours / alone);
    println!("  {:.2} × the time of a bare upload and analyze", ours / (bare + alone));
    println!("  memory: {} MB with the model, {} MB at most", before / 1000, peak / 1000);
}

fn row(name: &str, times: &[Duration], bytes: u64) {
    let seconds = median(times).as_secs_f64();
    println!("  {name:<28} {seconds:>6.2} s  {:>6.0} MB/s", bytes as f64 / seconds / 1e6);
}

fn analyze(logs: &[PathBuf], out: &Path) {
    let status = Command::new(BINARY)
        .arg("analyze")
        .args(logs)
        .arg("-o")
        .arg(out)
        .args(["--dictionary", &data("anomalies_problems.csv")])
        .env("FORESHOCK_CACHE", cache())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(status.unwrap().success());
}

/// A server that reads what it is sent, and looks at none of it.
fn sink() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            swallow(stream.unwrap());
        }
    });
    address
}

fn swallow(stream: TcpStream) {
    let mut reader = BufReader::with_capacity(256 << 10, &stream);
    let (mut length, mut expects) = (0u64, false);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        expects |= line.starts_with("expect:");
        if line.is_empty() {
            break;
        }
    }
    if expects {
        (&stream).write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
    }
    std::io::copy(&mut reader.take(length), &mut std::io::sink()).unwrap();
    (&stream).write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
}

// ── many at once ────────────────────────────────────────────────────────────────────────────────

fn many_at_once(server: &Server) {
    heading("small analyses (two lines, one link), each a connection of its own");
    let mut alone: Vec<Duration> = (0..CLIENTS).map(|_| small(&server.api)).collect();
    let started = Instant::now();
    let mut together: Vec<Duration> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| small(&server.api))).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let took = started.elapsed();
    alone.sort();
    together.sort();
    let told = |name: &str, times: &[Duration], took: Duration| {
        let at = |share: usize| times[CLIENTS * share / 100 - 1].as_secs_f64() * 1000.0;
        let (p50, p99) = (at(50), at(99));
        let rate = CLIENTS as f64 / took.as_secs_f64();
        println!("  {name:<28} p50 {p50:>6.1} ms  p99 {p99:>6.1} ms  {rate:>5.0} a second");
    };
    told(&format!("{CLIENTS}, one after the other"), &alone, alone.iter().sum());
    told(&format!("{CLIENTS} at once, none failed"), &together, took);
}

/// One small analysis, whose answer must be its link.
fn small(api: &str) -> Duration {
    let started = Instant::now();
    let content = "2025-10-06T07:00:00 WARNING db: Replica apply queue growing\n\
        2025-10-06T07:42:23 ERROR db: Replica fell out of step with primary\n";
    let body = format!(
        "--x\r\nContent-Disposition: form-data; name=\"log_files\"; filename=\"app.log\"\r\n\r\n\
         {content}\r\n--x--\r\n"
    );
    let host = api.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(
        stream,
        "POST /analyze-logs/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
         Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(answer.lines().filter(|line| line.contains("Replica fell out")).count(), 1);
    started.elapsed()
}

// ── a large page ────────────────────────────────────────────────────────────────────────────────

fn a_large_page(server: &Server, folder: &Path) {
    heading("the pages of a result of fifty thousand links");
    let log = folder.join("many.log");
    let mut lines = String::new();
    for second in 0..LINKS / 100 {
        let (minute, second) = (second / 60, second % 60);
        lines += &format!(
            "2025-10-06T07:{minute:02}:{second:02} ERROR db: Replica fell out of step with primary\n"
        );
    }
    for second in 0..100 {
        let (minute, second) = (second / 60, second % 60);
        lines += &format!(
            "2025-10-06T06:{minute:02}:{second:02} WARNING db: Replica apply queue growing\n"
        );
    }
    fs::write(&log, lines).unwrap();
    let id = server.start_job(&[log]);
    server.result(&id);
    let pages = [
        ("the page", format!("{}/results/{id}", server.pages)),
        ("sorted by lag, page 250", format!("{}/results/{id}?sort=lag&offset=25000", server.pages)),
        ("the timeline", format!("{}/results/{id}/timeline.json", server.pages)),
        ("the lags", format!("{}/results/{id}/lags.json", server.pages)),
        ("an evidence", format!("{}/results/{id}/links/49999", server.pages)),
    ];
    for (name, address) in pages {
        let mut length = 0;
        let times: Vec<Duration> =
            (0..ROUNDS).map(|_| time(|| length = curl(&[], &address).len())).collect();
        let milliseconds = median(&times).as_secs_f64() * 1000.0;
        println!("  {name:<28} {milliseconds:>6.1} ms  {:>6} KB", length / 1000);
    }
}

// ── the server ──────────────────────────────────────────────────────────────────────────────────

/// The all-in-one, without logs to replay.
struct Server {
    process: Child,
    api: String,
    pages: String,
    _folder: TempDir,
}

impl Server {
    fn start() -> Server {
        let folder = tempfile::tempdir().unwrap();
        let logs = folder.path().join("logs");
        fs::create_dir(&logs).unwrap();
        fs::write(logs.join("app.log"), "2025-10-06T07:00:00 INFO app: started\n").unwrap();
        let mut process = Command::new(BINARY)
            .arg("live")
            .env("LOG_DIR", &logs)
            .env("ANOMALIES_CSV_PATH", data("anomalies_problems.csv"))
            .env("LINKS_DB", folder.path().join("links.db"))
            .env("FORESHOCK_CACHE", cache())
            .env("HTTP_PORT", "0")
            .env("FRONTEND_PORT", "0")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut api, mut pages) = (None, None);
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        while api.is_none() || pages.is_none() {
            let line = lines.next().expect("it tells where it listens").unwrap();
            let address = |word: &str| {
                let address = line.strip_prefix(word)?.trim();
                Some(address.trim_end_matches("/docs").to_owned())
            };
            api = api.or(address("API"));
            pages = pages.or(address("pages"));
        }
        // What else it says is nobody's business, but a full pipe would stop it.
        thread::spawn(move || lines.for_each(drop));
        let (api, pages) = (api.unwrap(), pages.unwrap());
        Server { process, api: api.replace("localhost", "127.0.0.1"), pages, _folder: folder }
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.api)
    }

    fn upload(&self, logs: &[PathBuf]) {
        let csv = post(&self.at("/analyze-logs/"), logs);
        assert!(csv.contains("anomaly_id,"), "{csv:.500}");
    }

    /// The id of a job whose upload is complete.
    fn start_job(&self, logs: &[PathBuf]) -> String {
        let job = post(&self.at("/jobs"), logs);
        job.split('"').skip_while(|part| *part != "id").nth(2).unwrap().to_owned()
    }

    /// Waits for the end of a job, and reads its CSV.
    fn result(&self, job: &str) {
        curl(&[], &self.at(&format!("/jobs/{job}/events")));
        let csv = curl(&[], &self.at(&format!("/jobs/{job}/result")));
        assert!(csv.contains("anomaly_id,"), "{csv:.500}");
    }

    /// Kilobytes.
    fn memory(&self, which: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(which)).unwrap();
        line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Begins to look for the most memory anew.
    fn forget_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.process.id()), "5").unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn post(address: &str, logs: &[PathBuf]) -> String {
    let parts: Vec<String> =
        logs.iter().map(|log| format!("log_files=@{}", log.display())).collect();
    let forms: Vec<&str> = parts.iter().flat_map(|part| ["-F", part.as_str()]).collect();
    curl(&forms, address)
}

fn curl(arguments: &[&str], address: &str) -> String {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--fail-with-body"])
        .args(arguments)
        .arg(address)
        .output()
        .expect("curl runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{address}: {said:.500}");
    said
}

fn data(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data").join(name);
    path.display().to_string()
}
