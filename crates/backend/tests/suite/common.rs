//! A suite of processes, the logs they work on, and the links that come out.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use analysis::{NoProgress, Settings};
use bus::{Bus, Consumer, Kafka, KafkaSettings, Outgoing, Subscription, Topics};
use embed::{Cached, OnnxModel, Store};
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use linking::Profile;
use parse::{Limits, Opened};
use serde_json::Value;
use tempfile::TempDir;
use testing::made_up::Random;

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// How long nothing more must come once everything came.
const SETTLED: Duration = Duration::from_secs(4);

/// One suite on brokers that others may use as well: its topics have names of their own.
pub struct Suite {
    pub folder: TempDir,
    pub kafka: String,
    pub redis: (String, u16),
    pub triton: String,
    pub name: String,
    pub window: &'static str,
    pub dictionary: PathBuf,
    logs: PathBuf,
}

impl Suite {
    /// On the services that all tests share.
    pub fn new() -> Suite {
        let (host, port) = testing::redis();
        Suite::on(testing::kafka(), (host, port), testing::triton())
    }

    /// On services of one's own.
    pub fn on(kafka: &str, redis: (&str, u16), triton: &str) -> Suite {
        let folder = tempfile::tempdir().unwrap();
        let logs = folder.path().join("logs");
        fs::create_dir(&logs).unwrap();
        Suite {
            kafka: kafka.to_owned(),
            redis: (redis.0.to_owned(), redis.1),
            triton: triton.to_owned(),
            name: testing::unique("suite"),
            window: "24h",
            dictionary: data().join("anomalies_problems.csv"),
            logs,
            folder,
        }
    }

    /// The folder of the logs.
    pub fn logs(&self) -> &Path {
        &self.logs
    }

    pub fn with_logs(mut self, logs: PathBuf) -> Suite {
        self.logs = logs;
        self
    }

    /// A backend, or another one.
    pub fn backend(&self, roles: &str) -> Process {
        self.backend_with(roles, &[])
    }

    /// A backend with settings of its own.
    pub fn backend_with(&self, roles: &str, settings: &[(&str, &str)]) -> Process {
        let port = free_port();
        let mut command = self.command(env!("CARGO_BIN_EXE_backend").as_ref());
        command
            .env("ROLES", roles)
            .env("HTTP_PORT", port.to_string())
            .env("SUITE", &self.name)
            .env("ANOMALIES_CSV_PATH", &self.dictionary)
            .env("FORESHOCK_MODEL_PROFILE", "all-MiniLM-L6-v2")
            .env("TRITON_URL", &self.triton)
            .env("REDIS_HOST", &self.redis.0)
            .env("REDIS_PORT", self.redis.1.to_string())
            .env("WINDOW", self.window)
            .env("LINKS_DB", format!("db/links-{port}.db"))
            .envs(settings.iter().copied());
        Process::start(command, port, &self.folder.path().join(format!("backend-{port}.log")))
    }

    /// A replay of the logs.
    pub fn replay(&self, settings: &[(&str, &str)]) -> Process {
        let port = free_port();
        // Beside the binary of this package, in the folder that all share.
        let binary = Path::new(env!("CARGO_BIN_EXE_backend")).with_file_name("replay");
        assert!(binary.is_file(), "no {}: cargo build --release -p replay", binary.display());
        let mut command = self.command(&binary);
        command
            .env("LOG_DIR", &self.logs)
            .env("HTTP_PORT", port.to_string())
            .envs([("SPEED", "0"), ("LOOPS", "1")])
            .envs(settings.iter().copied());
        Process::start(command, port, &self.folder.path().join(format!("replay-{port}.log")))
    }

    fn command(&self, binary: &Path) -> Command {
        let mut command = Command::new(binary);
        let prefix = format!("{}-logs", self.name);
        command.env("KAFKA_BOOTSTRAP", &self.kafka).env("TOPIC_PREFIX", prefix);
        command.current_dir(self.folder.path());
        command
    }

    pub fn bus(&self) -> Kafka {
        let client_id = "test".to_owned();
        Kafka::new(KafkaSettings { bootstrap: self.kafka.clone(), client_id }).unwrap()
    }

    /// Sends a record to the topic of a log.
    pub fn send(&self, log: &str, payload: &[u8]) {
        self.send_to(&format!("{}-logs.{log}", self.name), [(None, payload.to_vec())]);
    }

    /// Sends links with these numbers to the topic of links, as the link stage and uploads do.
    pub fn send_links(&self, numbers: impl IntoIterator<Item = usize>) {
        let record = |number| {
            let link = testing::telegram::link(number);
            (Some(link["problem"]["id"].to_string()), link.to_string().into_bytes())
        };
        self.send_to(&format!("{}.links", self.name), numbers.into_iter().map(record));
    }

    fn send_to(&self, topic: &str, records: impl IntoIterator<Item = (Option<String>, Vec<u8>)>) {
        let mut producer = self.bus().producer().unwrap();
        for (key, payload) in records {
            let key = key.as_ref().map(String::as_bytes);
            let record = Outgoing { topic, key, payload: &payload };
            while !producer.send(&record).unwrap() {
                producer.flush(Duration::from_secs(1)).unwrap();
            }
        }
        while !producer.flush(Duration::from_secs(1)).unwrap() {}
    }

    /// Reads a topic of the suite from its start.
    pub fn reader(&self, topic: &str) -> Reader {
        let topics = Topics::Named(vec![format!("{}.{topic}", self.name)]);
        let subscription = Subscription { group: testing::unique("reader"), topics };
        Reader { consumer: self.bus().consumer(&subscription).unwrap(), seen: Vec::new() }
    }

    /// What a batch analysis of the same logs finds: the ids of the links.
    pub fn expected(&self) -> BTreeSet<String> {
        let dictionary = Arc::new(parse::dictionary::read(&self.dictionary).unwrap());
        let logs = fs::read_dir(&self.logs).unwrap().map(|entry| entry.unwrap().path());
        let logs = Opened::new(&logs.collect::<Vec<_>>(), Limits::default());
        let window: jiff::Span = self.window.parse().unwrap();
        let settings = Settings {
            method: Profile::MINILM.method,
            thresholds: Profile::MINILM.thresholds(Profile::MINILM.method).unwrap(),
            window: SignedDuration::try_from(window).unwrap(),
            zone: TimeZone::UTC,
            keep_going: false,
        };
        let model = model();
        let analysis = analysis::analyze(logs, &dictionary, model, &settings, &NoProgress).unwrap();
        analysis.linked.links().map(|link| link.id()).collect()
    }

    /// Waits until the links of a batch analysis are there and nothing more comes: each once, none
    /// missing, none other.
    pub fn expect_links_of_batch(&self) -> usize {
        let expected = self.expected();
        assert!(!expected.is_empty(), "a test of nothing");
        let mut reader = self.reader("links");
        reader.wait_for("the links", |seen| ids(seen).len() >= expected.len());
        reader.read_for(SETTLED);
        let found: Vec<String> =
            reader.seen.iter().map(|link| link["id"].as_str().unwrap().to_owned()).collect();
        let distinct: BTreeSet<String> = found.iter().cloned().collect();
        let missing = expected.difference(&distinct).count();
        let invented = distinct.difference(&expected).count();
        let twice = found.len() - distinct.len();
        assert_eq!((missing, invented, twice), (0, 0, 0), "missing, invented, told twice");
        found.len()
    }
}

/// The model of the batch analysis, in this process.
fn model() -> &'static Cached<Store, OnnxModel> {
    static MODEL: OnceLock<Cached<Store, OnnxModel>> = OnceLock::new();
    MODEL.get_or_init(|| {
        let own = || Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
        let cache = std::env::var_os("FORESHOCK_CACHE").map_or_else(own, PathBuf::from);
        let model = embed::fetch_default(&cache, &|_| ()).expect("the model is to be had");
        Cached::new(Store::open(&cache.join("vectors.db")), model)
    })
}

/// The example data of the repository.
pub fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data")
}

/// The labelled incident, if its generator is at hand: logs, dictionary and expected links.
pub fn incident(into: &Path) -> Option<(PathBuf, PathBuf)> {
    let Some(folder) = std::env::var_os("FORESHOCK_TEST_DATA") else {
        eprintln!("skipped: FORESHOCK_TEST_DATA names no folder with a labelled incident");
        return None;
    };
    let script = Path::new(&folder).join("make_case.py");
    let status = Command::new("python3").arg(script).arg(into).status().unwrap();
    assert!(status.success());
    let logs = into.join("case2");
    let dictionary = into.join("pairs.csv");
    fs::rename(logs.join("anomalies_problems.csv"), &dictionary).unwrap();
    Some((logs, dictionary))
}

fn ids(links: &[Value]) -> BTreeSet<&str> {
    links.iter().map(|link| link["id"].as_str().unwrap()).collect()
}

pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// Reads JSON records.
pub struct Reader {
    consumer: Box<dyn Consumer>,
    pub seen: Vec<Value>,
}

impl Reader {
    fn read(&mut self) {
        let seen = &mut self.seen;
        self.consumer
            .poll(1000, Duration::from_millis(100), &mut |record| {
                seen.push(serde_json::from_slice(record.payload).unwrap());
            })
            .unwrap();
    }

    pub fn read_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.read();
        }
    }

    pub fn wait_for(&mut self, what: &str, enough: impl Fn(&[Value]) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !enough(&self.seen) {
            assert!(Instant::now() < end, "waited for {what}, and saw {} records", self.seen.len());
            self.read();
        }
    }
}

/// A process of the suite, killed when it is dropped. What it logged is shown when a test fails.
pub struct Process {
    child: Child,
    pub port: u16,
    log: PathBuf,
}

impl Process {
    fn start(mut command: Command, port: u16, log: &Path) -> Process {
        let file = File::create(log).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("{}: {error}", command.get_program().display());
        });
        Process { child, port, log: log.to_owned() }
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, and returns whether it ended well.
    pub fn stop(mut self) -> bool {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.wait_inner()
    }

    /// Waits for its end, and returns whether it ended well.
    pub fn wait(mut self) -> bool {
        self.wait_inner()
    }

    fn wait_inner(&mut self) -> bool {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.success();
            }
            assert!(Instant::now() < end, "{} does not end", self.log.display());
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Asks it something over HTTP: status and content.
    pub fn get(&self, path: &str) -> std::io::Result<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(15)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        Ok((status, body.to_owned()))
    }

    /// Waits until the answer to `path` is good enough, and returns it.
    pub fn wait_for(&self, path: &str, enough: impl Fn(u16, &str) -> bool) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let answer = self.get(path);
            if let Ok((status, body)) = &answer
                && enough(*status, body)
            {
                return body.clone();
            }
            assert!(Instant::now() < end, "waited for {path}, last {answer:?}\n{}", self.log());
            thread::sleep(Duration::from_millis(100));
        }
    }

    pub fn wait_until_ready(&self) {
        self.wait_for("/ready", |status, _| status == 200);
    }

    /// The sum of a metric over its labels that contain `label`.
    pub fn metric(&self, name: &str, label: &str) -> f64 {
        let (_, body) = self.get("/metrics").unwrap();
        metric(&body, name, label)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- {}\n{}", self.log.display(), self.log());
        }
    }
}

/// The sum of a metric over its labels that contain `label`.
pub fn metric(text: &str, name: &str, label: &str) -> f64 {
    let of_name = |line: &&str| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']))
            && line.contains(label)
    };
    let value = |line: &str| line.rsplit_once(' ').and_then(|(_, value)| value.parse::<f64>().ok());
    text.lines().filter(of_name).filter_map(value).sum()
}

/// The ids of the links of a page, in its order.
pub fn links(page: &str) -> Vec<String> {
    let page: Value = serde_json::from_str(page).unwrap();
    let links = page["links"].as_array().unwrap().iter();
    links.map(|link| link["id"].as_str().unwrap().to_owned()).collect()
}

/// Logs with many links: six services that log every second, a tenth of it ERROR and WARNING lines
/// that say texts of the dictionary, some of them with words of their own.
pub fn write_storm(suite: &Suite, seconds: u64) {
    let dictionary = parse::dictionary::read(&suite.dictionary).unwrap();
    let rows = dictionary.rows();
    let start: jiff::Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
    let mut random = Random(7);
    for service in 0..6u64 {
        let path = suite.logs().join(format!("service{service}.log"));
        let mut file = std::io::BufWriter::new(File::create(path).unwrap());
        for second in 0..seconds {
            let time = start + SignedDuration::from_secs(second as i64);
            let time = time.strftime("%Y-%m-%dT%H:%M:%S");
            let row = random.one_of(rows);
            let number = random.below(1000);
            match random.below(40) {
                0 => writeln!(file, "{time} ERROR app: {}", row.problem),
                1 => writeln!(file, "{time} WARN app: {}", row.anomaly),
                2 => writeln!(file, "{time} ERROR app: {}, attempt {number}", row.problem),
                3 => writeln!(file, "{time} WARNING app: {}, code {number}", row.anomaly),
                _ => writeln!(file, "{time} INFO app: request {number} served"),
            }
            .unwrap();
        }
    }
}
