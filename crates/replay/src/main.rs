//! `replay`: the log files of a folder, into Kafka.

mod cli;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, ensure};
use bus::{Bus, Kafka, KafkaSettings};
use clap::Parser;
use replay::Replayed;
use service::{Health, Need, Server, Stop};

use crate::cli::{Args, Cli, Command};

/// The exit code of settings that cannot be used, as clap has it.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Some(Command::Healthcheck { http_port }) = cli.command {
        return service::healthcheck(http_port);
    }
    let kafka = match check(&cli.args) {
        Ok(kafka) => Arc::new(kafka),
        Err(error) => return fail(&error, ExitCode::from(USAGE)),
    };
    match run(&cli.args, kafka) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, ExitCode::FAILURE),
    }
}

fn fail(error: &anyhow::Error, code: ExitCode) -> ExitCode {
    eprintln!("error: {error:#}");
    code
}

/// Checks the settings that need a look at more than themselves, and begins to log.
fn check(args: &Args) -> anyhow::Result<Kafka> {
    let folder = &args.log_dir;
    ensure!(folder.is_dir(), "LOG_DIR: {}: there is no such folder", folder.display());
    let kafka = Kafka::new(KafkaSettings {
        bootstrap: args.kafka_bootstrap.clone(),
        client_id: "foreshock-replay".to_owned(),
    });
    args.logs.start()?;
    kafka.context("KAFKA_BOOTSTRAP")
}

fn run(args: &Args, kafka: Arc<Kafka>) -> anyhow::Result<()> {
    tracing::info!("replay {} with {}", env!("CARGO_PKG_VERSION"), args.told());
    let asked = Arc::clone(&kafka);
    let check = Box::new(move || asked.check().map_err(|error| error.to_string()));
    let health = Health::new().with("kafka", Need::Required, check);
    let stop = Stop::new();
    let _server = Server::start(args.http_port, health, Default::default(), &stop)?;
    let replayed = replay::run(&args.settings(), &*kafka, &|| stop.is_stopped())?;
    let Replayed { loops, events, refused, .. } = replayed;
    tracing::info!(loops, events, refused, "the replay is over");
    Ok(())
}
