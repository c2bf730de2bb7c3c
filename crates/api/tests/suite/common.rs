//! A real server with the real model, and curl.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use api::{Access, Api, History, Keep, Limits};
use bus::Memory;
use domain::Dictionary;
use embed::{Cached, Embedder, OnnxModel, Store};
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use linking::Profile;
use live::Names;
use serde_json::Value;
use tempfile::TempDir;

/// The files of the example, and the model.
pub fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data")
}

fn cache() -> PathBuf {
    let own = || Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
    std::env::var_os("FORESHOCK_CACHE").map_or_else(own, PathBuf::from)
}

fn onnx() -> Arc<OnnxModel> {
    static MODEL: OnceLock<Arc<OnnxModel>> = OnceLock::new();
    let fetch = || embed::fetch_default(&cache(), &|_| ()).expect("the model is to be had");
    Arc::clone(MODEL.get_or_init(|| Arc::new(fetch())))
}

pub fn model() -> Arc<Cached<Store, Arc<OnnxModel>>> {
    static MODEL: OnceLock<Arc<Cached<Store, Arc<OnnxModel>>>> = OnceLock::new();
    let open = || Arc::new(Cached::new(Store::open(&cache().join("vectors.db")), onnx()));
    Arc::clone(MODEL.get_or_init(open))
}

/// The model without the vectors of earlier runs, and none that are kept.
pub fn fresh_model() -> Arc<dyn Embedder> {
    Arc::new(Cached::new(embed::Memory::default(), onnx()))
}

/// A server on a port of its own, for as long as the runtime lives.
pub struct Served {
    _runtime: tokio::runtime::Runtime,
    pub address: String,
    pub port: u16,
    pub bus: Memory,
    /// Where uploads are kept.
    pub uploads: TempDir,
    /// Where a test keeps what it uploads.
    pub folder: TempDir,
}

/// A dictionary of this text.
pub fn read(text: &str) -> Arc<Dictionary> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pairs.csv");
    fs::write(&path, text).unwrap();
    Arc::new(parse::dictionary::read(&path).unwrap())
}

impl Served {
    pub fn new(limits: Limits) -> Served {
        Served::with(|api| api.limits = limits)
    }

    /// A server with this dictionary.
    pub fn with_dictionary(text: &str) -> Served {
        Served::with(|api| api.dictionary = read(text))
    }

    /// A server that is changed before it starts.
    pub fn with(change: impl FnOnce(&mut Api)) -> Served {
        let uploads = tempfile::tempdir().unwrap();
        let dictionary = parse::dictionary::read(&data().join("anomalies_problems.csv")).unwrap();
        let bus = Memory::new();
        let folder = tempfile::tempdir().unwrap();
        let mut api = Api {
            dictionary: Arc::new(dictionary),
            embedder: model(),
            method: Profile::MINILM.method,
            thresholds: Profile::MINILM.thresholds(Profile::MINILM.method).unwrap(),
            window: SignedDuration::from_hours(24),
            zone: TimeZone::UTC,
            limits: Limits::default(),
            folder: uploads.path().to_owned(),
            at_once: 2,
            dictionary_name: "anomalies_problems.csv".to_owned(),
            keep: Keep::default(),
            history: Arc::new(History::open(&folder.path().join("db/links.db"), 1000)),
            bus: Arc::new(bus.clone()),
            names: Names::new("logs", "foreshock"),
            activities: Arc::default(),
            notifier: None,
            health: Arc::default(),
            access: Access::default(),
            stop: service::Stop::new(),
        };
        change(&mut api);
        let router = api::routes(api);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let address = format!("http://127.0.0.1:{port}");
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, router).await
        });
        Served { _runtime: runtime, address, port, bus, uploads, folder }
    }

    /// A connection, for what curl does not do. It ends when nothing comes for long.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        stream
    }

    /// JSON from a path.
    pub fn json(&self, path: &str) -> Value {
        let (status, _, body) = self.curl(path, &[]);
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.display().to_string()
    }

    /// `curl ARGUMENTS ADDRESS/PATH`: status, headers and content.
    pub fn curl(&self, path: &str, arguments: &[&str]) -> (u16, String, Vec<u8>) {
        let headers = self.folder.path().join("headers");
        let output = Command::new("curl")
            .args(["--silent", "--dump-header", headers.to_str().unwrap()])
            .args(arguments)
            .arg(format!("{}{path}", self.address))
            .output()
            .expect("curl runs");
        let headers = fs::read_to_string(headers).unwrap();
        // The last answer: curl asks whether to go on before it sends much.
        let last = headers.rsplit("HTTP/1.1 ").next().unwrap();
        let status = last.split(' ').next().unwrap().parse().unwrap();
        (status, last.to_lowercase(), output.stdout)
    }

    pub fn refuses(&self, arguments: &[&str], status: u16, words: &[&str]) {
        let (code, headers, body) = self.curl("/analyze-logs/", arguments);
        let body: Value = serde_json::from_slice(&body).expect("an error is JSON");
        let detail = body["detail"].as_str().unwrap();
        assert_eq!(code, status, "{arguments:?}: {detail}");
        assert!(headers.contains("content-type: application/json"), "{headers}");
        for word in words {
            assert!(detail.contains(word), "no {word:?} in {detail:?}");
        }
        assert!(!detail.contains("/tmp"), "no path of the server: {detail}");
        self.is_clean();
    }

    /// Folders of uploads that are there.
    pub fn kept(&self) -> usize {
        let folders = fs::read_dir(self.uploads.path()).unwrap();
        folders.map(|folder| fs::read_dir(folder.unwrap().path()).unwrap().count()).sum()
    }

    /// Nothing that was uploaded is left.
    pub fn is_clean(&self) {
        wait_until("nothing is left on the disk", || self.kept() == 0);
    }
}

/// Waits for what is to come.
pub fn wait_until(what: &str, mut came: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !came() {
        assert!(Instant::now() < end, "waited too long until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn example() -> Vec<String> {
    let logs = fs::read_dir(data().join("logs")).unwrap();
    logs.map(|log| format!("log_files=@{}", log.unwrap().path().display())).collect()
}

pub fn forms(forms: &[String]) -> Vec<&str> {
    forms.iter().flat_map(|form| ["-F", form.as_str()]).collect()
}

pub const LOG: &str = "2025-10-06T07:00:00 WARNING db: Replica apply queue growing\n\
    2025-10-06T07:42:23 ERROR db: Replica fell out of step with primary\n";
