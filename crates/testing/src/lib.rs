//! The real services that tests talk to: Kafka, Redis, Triton; and made-up texts. With the feature
//! `alerts`, Telegram's Bot API and webhooks.
//!
//! Each runs from its script in `services/` or `triton/`, on free ports of 127.0.0.1 with data of its own,
//! and ends with the test process, whatever ends that. A test that stops or pauses its service starts one
//! for itself, where [`own_services`] can be; all others share [`kafka`], [`redis`] and [`triton`], and
//! keep apart by [`unique`] names.

#[cfg(not(unix))]
compile_error!("services are controlled by signals: run the tests on Unix");

mod http;
pub mod made_up;
mod process;
#[cfg(feature = "alerts")]
pub mod telegram;
#[cfg(feature = "alerts")]
pub mod webhook;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use process::{Kind, Service};

/// How long a service may take over a question before it counts as silent.
const ANSWER: Duration = Duration::from_secs(5);

macro_rules! controls {
    ($service:ident) => {
        impl $service {
            /// Asks it to end (SIGTERM), and waits until it has.
            pub fn stop(&mut self) {
                self.service.stop();
            }

            /// Ends it at once (SIGKILL), as a crash does.
            pub fn kill(&mut self) {
                self.service.kill();
            }

            /// Stops its clock (SIGSTOP): connections stay open, nothing answers.
            pub fn pause(&self) {
                self.service.pause();
            }

            /// Lets it go on.
            pub fn resume(&self) {
                self.service.resume();
            }

            /// Starts it with the ports and the data it had, and waits until it answers.
            pub fn start_again(&mut self) {
                self.service.start_again();
            }
        }
    };
}

/// A Kafka broker. Topics are created by their first use.
pub struct Kafka {
    service: Service,
    bootstrap: String,
}

impl Kafka {
    /// Starts one of its own, and waits until it answers.
    pub fn start() -> Self {
        static KIND: Kind = Kind {
            name: "Kafka",
            script: "services/kafka.sh",
            ports: &["KAFKA_PORT", "KAFKA_CONTROLLER_PORT"],
            data: Some("KAFKA_DATA"),
            without: &["KAFKA_ADDRESS", "KAFKA_PARTITIONS"],
            // The broker writes it when clients are let in.
            answers: |_, log| log.contains("Kafka Server started"),
        };
        let service = Service::start(&KIND);
        let bootstrap = format!("127.0.0.1:{}", service.ports()[0]);
        Self { service, bootstrap }
    }

    /// Where clients begin: `127.0.0.1:PORT`.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }
}

controls!(Kafka);

/// A Redis without persistence: what it held is gone after a stop.
pub struct Redis {
    service: Service,
}

impl Redis {
    /// Starts one of its own, and waits until it answers.
    pub fn start() -> Self {
        static KIND: Kind = Kind {
            name: "Redis",
            script: "services/redis.sh",
            ports: &["REDIS_PORT"],
            data: None,
            without: &[],
            answers: |ports, _| pongs(ports[0]).is_ok_and(|pongs| pongs),
        };
        Self { service: Service::start(&KIND) }
    }

    /// Host and port.
    pub fn address(&self) -> (&str, u16) {
        ("127.0.0.1", self.service.ports()[0])
    }
}

controls!(Redis);

/// A Triton with all-MiniLM-L6-v2, which `foreshock model` must have fetched.
pub struct Triton {
    service: Service,
    grpc: String,
    http: String,
}

impl Triton {
    /// Starts one of its own, and waits until its model answers.
    pub fn start() -> Self {
        static KIND: Kind = Kind {
            name: "Triton",
            script: "triton/serve_cpu.sh",
            ports: &["TRITON_GRPC_PORT", "TRITON_HTTP_PORT", "TRITON_METRICS_PORT"],
            data: None,
            without: &["MODEL_NAME", "TRITON_ADDRESS"],
            answers: |ports, _| http::infers(ports[1]).is_ok_and(|infers| infers),
        };
        let service = Service::start(&KIND);
        let [grpc, http] = [0, 1].map(|port| format!("127.0.0.1:{}", service.ports()[port]));
        Self { service, grpc, http }
    }

    /// Where gRPC is spoken: `127.0.0.1:PORT`.
    pub fn grpc(&self) -> &str {
        &self.grpc
    }

    /// Where HTTP is spoken: `127.0.0.1:PORT`.
    pub fn http(&self) -> &str {
        &self.http
    }
}

controls!(Triton);

/// The Kafka that the tests of this process share: `FORESHOCK_TEST_KAFKA`, else one of their own.
pub fn kafka() -> &'static str {
    static NAMED: OnceLock<Option<String>> = OnceLock::new();
    static OWN: OnceLock<Kafka> = OnceLock::new();
    match NAMED.get_or_init(|| named("FORESHOCK_TEST_KAFKA")) {
        Some(bootstrap) => bootstrap,
        None => OWN.get_or_init(Kafka::start).bootstrap(),
    }
}

/// The Redis that the tests of this process share, host and port: `FORESHOCK_TEST_REDIS`, else one of
/// their own.
pub fn redis() -> (&'static str, u16) {
    static NAMED: OnceLock<Option<String>> = OnceLock::new();
    static OWN: OnceLock<Redis> = OnceLock::new();
    match NAMED.get_or_init(|| named("FORESHOCK_TEST_REDIS")) {
        Some(address) => {
            let split =
                address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
            split.unwrap_or_else(|| panic!("FORESHOCK_TEST_REDIS is {address:?} and not HOST:PORT"))
        }
        None => OWN.get_or_init(Redis::start).address(),
    }
}

/// The gRPC address of the Triton that the tests of this process share: `FORESHOCK_TEST_TRITON`, else
/// one of their own.
pub fn triton() -> &'static str {
    static NAMED: OnceLock<Option<String>> = OnceLock::new();
    static OWN: OnceLock<Triton> = OnceLock::new();
    match NAMED.get_or_init(|| named("FORESHOCK_TEST_TRITON")) {
        Some(address) => address,
        None => OWN.get_or_init(Triton::start).grpc(),
    }
}

/// Whether a test can start services of its own here. Where it cannot, but those that tests share are
/// named by `FORESHOCK_TEST_KAFKA`, `_REDIS` and `_TRITON`, it says that the test is skipped.
///
/// # Panics
///
/// Where neither is so, with what `services/install.sh` misses.
pub fn own_services() -> bool {
    const NAMES: [&str; 3] =
        ["FORESHOCK_TEST_KAFKA", "FORESHOCK_TEST_REDIS", "FORESHOCK_TEST_TRITON"];
    static OWN: OnceLock<Result<bool, String>> = OnceLock::new();
    let own = OWN.get_or_init(|| {
        if check(&NAMES).is_ok() {
            return Ok(true);
        }
        check(&[]).map(|()| false)
    });
    let own = *own.as_ref().unwrap_or_else(|missing| panic!("{missing}"));
    if !own {
        let thread = thread::current();
        let test = thread.name().filter(|name| *name != "main").unwrap_or("this test");
        // Past the macros, whose words the runner keeps back when a test passes.
        let _ = writeln!(
            std::io::stderr(),
            "skipped: {test} stops services of its own, and they cannot be started here \
             (services/install.sh --check says what is missing, when no FORESHOCK_TEST_* is set)"
        );
    }
    own
}

/// What `services/install.sh` misses when these variables are not set.
fn check(without: &[&str]) -> Result<(), String> {
    let mut command = Command::new(process::workspace().join("services/install.sh"));
    command.arg("--check");
    for name in without {
        command.env_remove(name);
    }
    let output =
        command.output().map_err(|error| format!("cannot run services/install.sh: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A name that no other test uses, on this machine or another: for topics, groups and keys.
pub fn unique(name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{name}-{now:x}-{}-{count}", std::process::id())
}

fn named(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|address| !address.is_empty())
}

fn connect(port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    Ok(stream)
}

fn pongs(port: u16) -> std::io::Result<bool> {
    let mut stream = connect(port)?;
    stream.write_all(b"PING\r\n")?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer)?;
    Ok(&answer == b"+PONG\r\n")
}
