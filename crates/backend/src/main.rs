//! `backend`: the live path over Kafka, Redis and Triton.
//!
//! The stages are those of the crate `live`; here they get their bus, their model and their
//! threads. A stage that cannot go on stops the process, and what started the process starts it
//! again.

mod settings;
mod suite;

use std::process::ExitCode;

use clap::Parser;

use crate::settings::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Some(Command::Healthcheck { http_port }) = cli.command {
        return service::healthcheck(http_port);
    }
    match suite::run(&cli.settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
