//! A Triton that is away, dead inside, or not the one that is meant.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use embed::{Cached, EmbedError, Embedder, Memory, Triton};

use crate::common::*;

fn client(address: &str) -> Triton {
    Triton::new(triton_settings(address)).unwrap()
}

fn impatient_client(address: &str) -> Triton {
    let mut settings = triton_settings(address);
    settings.deadline = Duration::from_secs(2);
    Triton::new(settings).unwrap()
}

fn refused(result: Result<impl Sized, EmbedError>, temporary: bool, words: &[&str]) {
    let Err(error) = result else { panic!("it works") };
    for word in words {
        assert!(error.to_string().contains(word), "no {word:?} in {error}");
    }
    assert_eq!(error.is_temporary(), temporary, "{error}");
}

#[test]
fn a_triton_that_stops_is_missed_for_a_while_and_the_same_client_goes_on() {
    if !testing::own_services() {
        return;
    }
    onnx();
    let mut server = testing::Triton::start();
    let address = server.grpc().to_owned();
    let triton = client(&address);
    let before = embed(&triton, &["disk failure"]);
    for kill in [false, true] {
        if kill {
            server.kill()
        } else {
            server.stop()
        }
        let words = ["Triton at", &address, "cannot be used for now"];
        refused(triton.embed(&["disk failure"], &|_| ()), true, &words);
        refused(triton.probe(), true, &words);
        server.start_again();
        triton.probe().unwrap();
        assert!(cosine(&embed(&triton, &["disk failure"])[0], &before[0]) > 0.99999);
    }
}

#[test]
fn a_triton_that_is_silent_is_missed_after_the_deadline_and_goes_on_when_it_speaks() {
    if !testing::own_services() {
        return;
    }
    onnx();
    let server = testing::Triton::start();
    let triton = impatient_client(server.grpc());
    until("Triton answers", || triton.probe().is_ok());
    server.pause();
    refused(triton.embed(&["disk failure"], &|_| ()), true, &["no answer within 2 s"]);
    server.resume();
    until("Triton answers", || triton.embed(&["disk failure"], &|_| ()).is_ok());
}

#[test]
fn a_dead_model_is_found_out_though_triton_says_it_is_ready() {
    if !testing::own_services() {
        return;
    }
    onnx();
    let server = testing::Triton::start();
    let triton = client(server.grpc());
    triton.probe().unwrap();
    kill_stub_of(server.grpc().rsplit_once(':').unwrap().1);
    refused(triton.probe(), true, &["Triton at"]);
    refused(triton.embed(&["disk failure"], &|_| ()), true, &["Stub process"]);
    assert!(is_ready(server.http()));
}

fn is_ready(http: &str) -> bool {
    let mut stream = TcpStream::connect(http).unwrap();
    let request = "GET /v2/health/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.starts_with("HTTP/1.1 200")
}

/// Kills the process of the model of the Triton at this gRPC port.
fn kill_stub_of(port: &str) {
    let words = |process: &str, file: &str| {
        let text = fs::read(format!("/proc/{process}/{file}")).unwrap_or_default();
        String::from_utf8_lossy(&text).replace('\0', " ")
    };
    let all: Vec<String> = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        .collect();
    let option = format!("--grpc-port={port} ");
    let server = all.iter().find(|process| {
        let command = words(process, "cmdline");
        command.contains("tritonserver") && command.contains(&option)
    });
    let server = server.expect("Triton runs");
    let is_stub = |process: &&String| {
        let parent = words(process, "status").contains(&format!("PPid:\t{server}\n"));
        parent && words(process, "cmdline").contains("triton_python_backend_stub")
    };
    let stubs: Vec<&String> = all.iter().filter(is_stub).collect();
    assert!(!stubs.is_empty(), "the model runs");
    assert!(Command::new("kill").arg("-KILL").args(stubs).status().unwrap().success());
}

#[test]
fn a_model_of_other_dimensions_is_refused_with_what_to_do() {
    onnx();
    let mut settings = triton_settings(testing::triton());
    (settings.profile, settings.dimension) = ("codebert".to_owned(), Some(768));
    let triton = Triton::new(settings).unwrap();
    let words = ["has 384 dimensions", "the profile codebert expects 768", "MODEL_NAME"];
    refused(triton.embed(&["disk failure"], &|_| ()), false, &words);
    refused(triton.fingerprint(), false, &words);
    refused(triton.probe(), false, &words);
}

#[test]
fn a_model_that_triton_does_not_serve_is_refused_by_name() {
    onnx();
    let mut settings = triton_settings(testing::triton());
    settings.served_as = "no-such-model".to_owned();
    let triton = Triton::new(settings).unwrap();
    refused(triton.embed(&["disk failure"], &|_| ()), false, &["refuses", "no-such-model"]);
}

#[test]
fn an_address_where_nothing_is_is_temporary_and_named() {
    let triton = client("127.0.0.1:9");
    let words = ["Triton at 127.0.0.1:9 cannot be used for now", "onnection refused"];
    refused(triton.embed(&["disk failure"], &|_| ()), true, &words);
    refused(triton.fingerprint(), true, &words);
    refused(triton.probe(), true, &words);
    let triton = client("no-such-host.invalid:8002");
    refused(triton.probe(), true, &["Triton at no-such-host.invalid:8002"]);
    assert_eq!(triton.embed(&[], &|_| ()).unwrap().len(), 0, "nothing needs no server");
}

#[test]
fn what_takes_connections_and_never_answers_is_temporary() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let triton = impatient_client(&listener.local_addr().unwrap().to_string());
    refused(triton.probe(), true, &["no answer within 2 s"]);
}

#[test]
fn what_is_no_address_is_refused_at_once() {
    for address in ["", "triton", "http://triton:8002", "triton:8002/v2", "tri ton:8002", "a:b"] {
        let made = Triton::new(triton_settings(address));
        refused(made, false, &["is no address", "host:port"]);
    }
}

#[test]
fn what_is_cached_is_there_while_triton_is_away() {
    if !testing::own_services() {
        return;
    }
    onnx();
    let mut server = testing::Triton::start();
    let cached = Cached::new(Memory::default(), client(server.grpc()));
    let before = embed(&cached, &["disk failure"]);
    server.stop();
    assert_eq!(embed(&cached, &["disk failure"]), before);
    refused(cached.embed(&["something new"], &|_| ()), true, &["Triton at"]);
}

#[test]
fn another_model_of_the_same_dimensions_is_not_taken_for_the_former_one() {
    if !testing::own_services() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let model = copied_model(folder.path());
    let served = Served::start(&model, None, &[]);
    let triton = client(&served.address());
    let cached = Cached::new(Memory::default(), client(&served.address()));
    let before = embed(&triton, &["disk failure"]).remove(0);
    assert!(cosine(&embed(&cached, &["disk failure"])[0], &before) > 0.99999);
    let fingerprint = triton.fingerprint().unwrap().to_owned();
    // The same files, read in another way.
    let ports = served.stop();
    fs::create_dir(model.join("1_Pooling")).unwrap();
    fs::write(model.join("1_Pooling/config.json"), r#"{"pooling_mode_cls_token": true}"#).unwrap();
    let served = Served::start(&model, Some(ports), &[]);
    let words = ["serves another model than when this process began", "restart this process"];
    refused(triton.embed(&["disk failure"], &|_| ()), false, &words);
    refused(triton.probe(), false, &words);
    refused(cached.embed(&["something new"], &|_| ()), false, &words);
    let anew = client(&served.address());
    assert_ne!(anew.fingerprint().unwrap(), fingerprint);
    assert!(cosine(&embed(&anew, &["disk failure"])[0], &before) < 0.999);
}

#[test]
fn batches_are_no_larger_than_the_model_takes() {
    if !testing::own_services() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let model = copied_model(folder.path());
    // The model of triton/ once more, under another name, taking 5 texts at a time.
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../triton/model_repository/codebert");
    let small = folder.path().join("repository/small");
    fs::create_dir_all(small.join("1")).unwrap();
    fs::copy(ours.join("1/model.py"), small.join("1/model.py")).unwrap();
    let config = fs::read_to_string(ours.join("config.pbtxt")).unwrap();
    let changed = config
        .replace("\"codebert\"", "\"small\"")
        .replace("max_batch_size: 64", "max_batch_size: 5");
    fs::write(small.join("config.pbtxt"), changed).unwrap();
    let option = format!("--model-repository={}", folder.path().join("repository").display());
    let served = Served::start(&model, None, &[option]);
    let mut settings = triton_settings(&served.address());
    settings.served_as = "small".to_owned();
    let triton = Triton::new(settings).unwrap();
    assert_eq!(embed(&triton, &slices(&texts(42))).len(), 42);
}

fn copied_model(folder: &Path) -> PathBuf {
    onnx();
    let from = cache().join("models").join(embed::DEFAULT_MODEL);
    let to = folder.join("model");
    fs::create_dir(&to).unwrap();
    for file in ["model.onnx", "tokenizer.json"] {
        fs::copy(from.join(file), to.join(file)).unwrap();
    }
    to
}

/// A Triton that serves a model folder of the test's own.
struct Served {
    child: Child,
    ports: [u16; 3],
}

impl Served {
    fn start(model: &Path, ports: Option<[u16; 3]>, options: &[String]) -> Served {
        let free = |_| TcpListener::bind("127.0.0.1:0").unwrap();
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        let ports = ports.unwrap_or_else(|| [0; 3].map(free).each_ref().map(port));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../triton/serve_cpu.sh");
        let child = Command::new(script)
            .args(options)
            .env("MODEL_NAME", model)
            .env("TRITON_GRPC_PORT", ports[0].to_string())
            .env("TRITON_HTTP_PORT", ports[1].to_string())
            .env("TRITON_METRICS_PORT", ports[2].to_string())
            .env_remove("TRITON_ADDRESS")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let served = Served { child, ports };
        let triton = client(&served.address());
        until("Triton serves", || triton.probe().is_ok());
        served
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    fn stop(self) -> [u16; 3] {
        self.ports
    }
}

impl Drop for Served {
    /// The script becomes the server, which ends its model.
    fn drop(&mut self) {
        let id = self.child.id().to_string();
        let _ = Command::new("kill").arg(id).status();
        let _ = self.child.wait();
    }
}
