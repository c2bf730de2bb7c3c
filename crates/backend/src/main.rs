//! `backend`: the live path over Kafka, Redis and Triton.
//!
//! The stages are those of the crate `live`; here they get their bus, their model and their
//! threads. A stage that cannot go on stops the process, and what started the process starts it
//! again.

mod settings;
mod suite;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::settings::{Cli, Command, NotifyTest};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.command {
        Some(Command::Healthcheck { http_port }) => return service::healthcheck(*http_port),
        Some(Command::NotifyTest(test)) => notify_test(test),
        None => suite::run(&cli.settings),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn notify_test(arguments: &NotifyTest) -> Result<()> {
    arguments.logs.start()?;
    println!("{}", arguments.test.run()?);
    Ok(())
}
