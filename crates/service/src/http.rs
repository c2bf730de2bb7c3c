//! `/metrics`, `/health` and `/ready`.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::{Health, Stop};

/// Bounds of the histograms of times, in seconds.
const BOUNDS: [f64; 14] =
    [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];

/// How often what metrics collected is tidied up.
const UPKEEP: Duration = Duration::from_secs(5);

/// How long `healthcheck` waits for an answer: more than a service takes to ask its dependencies.
const PATIENCE: Duration = Duration::from_secs(8);

/// How long answers that are being given may take once everything is to end.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// How long threads that answer may take to hear that nobody waits any more.
const LAST_THREADS: Duration = Duration::from_secs(3);

/// The asynchronous part of a service: HTTP and signals. Dropping it ends them, and what streams
/// with them.
pub struct Server {
    /// Taken when it is dropped.
    runtime: Option<Runtime>,
    serving: Vec<JoinHandle<std::io::Result<()>>>,
    port: u16,
    stop: Stop,
}

impl Server {
    /// Collects metrics, listens to the signals of the system, and serves `/metrics`, `/health`
    /// (200 while the process lives, with the state of each dependency) and `/ready` (200 when
    /// every required dependency works, else 503) on `port`, besides `routes`.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn start(
        port: u16,
        health: impl Into<Arc<Health>>,
        routes: Router,
        stop: &Stop,
    ) -> Result<Server> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .context("starting threads")?;
        let metrics = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BOUNDS)?
            .install_recorder()
            .context("starting metrics")?;
        runtime.spawn(stop.clone().on_signals());
        runtime.spawn(keep_up(metrics.clone()));
        let stop = stop.clone();
        let mut server = Server { runtime: Some(runtime), serving: Vec::new(), port, stop };
        let router = router(metrics, health.into()).merge(routes);
        server.port = server.also("HTTP_PORT", port, router)?;
        Ok(server)
    }

    /// Serves `routes` on another port, or any that is free for 0; returns which. `setting` names
    /// it where it cannot be had.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn also(&mut self, setting: &str, port: u16, routes: Router) -> Result<u16> {
        let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        let listener = self.runtime().block_on(TcpListener::bind(address)).with_context(|| {
            format!("{setting}: port {port} cannot be listened on; name another, or 0 for any")
        })?;
        let port = listener.local_addr()?.port();
        // Small answers go at once, and do not wait for more to fill a packet.
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        let stop = self.stop.clone();
        let until = async move { stop.wait().await };
        let serving = axum::serve(listener, routes).with_graceful_shutdown(until);
        self.serving.push(self.runtime().spawn(serving.into_future()));
        Ok(port)
    }

    /// The port of the first routes.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The runtime, for what else is asynchronous.
    pub fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("it is there until the server is dropped")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.stop();
        let Some(runtime) = self.runtime.take() else { return };
        let answers = std::mem::take(&mut self.serving);
        runtime.block_on(async {
            let all = async {
                for answers in answers {
                    let _ = answers.await;
                }
            };
            let _ = tokio::time::timeout(LAST_ANSWERS, all).await;
        });
        runtime.shutdown_timeout(LAST_THREADS);
    }
}

fn router(metrics: PrometheusHandle, health: Arc<Health>) -> Router {
    let probes =
        Router::new().route("/health", get(alive)).route("/ready", get(ready)).with_state(health);
    Router::new().route("/metrics", get(render)).with_state(metrics).merge(probes)
}

async fn render(State(metrics): State<PrometheusHandle>) -> impl IntoResponse {
    if let Some(bytes) = resident_memory() {
        metrics::gauge!("process_resident_memory_bytes").set(bytes);
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render())
}

async fn alive(State(health): State<Arc<Health>>) -> impl IntoResponse {
    let report = health.report().await;
    Json(json!({ "status": "alive", "ready": report.ready, "dependencies": report.dependencies }))
}

async fn ready(State(health): State<Arc<Health>>) -> impl IntoResponse {
    let report = health.report().await;
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report))
}

async fn keep_up(metrics: PrometheusHandle) {
    loop {
        tokio::time::sleep(UPKEEP).await;
        metrics.run_upkeep();
    }
}

/// Linux tells it in kB; elsewhere it is not told.
fn resident_memory() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: f64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024.0)
}

/// Asks the service on this machine's `port` whether it is ready, for the health checks of
/// containers; says why when it is not.
pub fn healthcheck(port: u16) -> ExitCode {
    match ask_ready(port) {
        Ok(answer) if answer.starts_with("HTTP/1.1 200") => ExitCode::SUCCESS,
        Ok(answer) => {
            eprintln!("not ready: {}", answer.lines().last().unwrap_or(""));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("not ready: port {port}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn ask_ready(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
