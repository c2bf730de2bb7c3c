//! `frontend`: the web pages of the suite, on a port of their own.

mod settings;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use frontend::{Frontend, UploadLimits};
use service::{Check, Health, Need, Server, Stop};
use tokio::runtime::Handle;

use crate::settings::{Cli, Command, Settings};

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Some(Command::Healthcheck { http_port }) = cli.command {
        return service::healthcheck(http_port);
    }
    match run(&cli.settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(settings: &Settings) -> Result<()> {
    settings.logs.start()?;
    tracing::info!("frontend {}: {}", env!("CARGO_PKG_VERSION"), settings.told());
    let (bytes, files) = (settings.upload_bytes, settings.upload_files);
    let limits = UploadLimits { bytes, files };
    let frontend = Frontend::new(settings.api_base.clone(), settings.api_token.clone(), limits)
        .context("starting the client of the API")?;
    let stop = Stop::new();
    let health = Health::new().with("api", Need::Required, asks(frontend.clone()));
    let server = Server::start(settings.http_port, health, frontend::routes(frontend), &stop)?;
    server.runtime().block_on(stop.wait());
    tracing::info!("stopped");
    Ok(())
}

/// Asks the API whether it is there. Health checks run beside the runtime, and may wait for it.
fn asks(frontend: Frontend) -> Check {
    Box::new(move || Handle::current().block_on(frontend.api_answers()))
}
