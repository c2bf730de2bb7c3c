//! The command line of Foreshock: settings, the commands, and their exit codes.

mod analyze;
mod cli;
mod evaluate;
mod explain;
mod lint;
mod live;
mod model;
mod progress;
mod show;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command, Exit};

fn main() -> ExitCode {
    // Without a command the suite runs.
    let live = || Cli::parse_from(["foreshock", "live"]).command;
    let Some(command) = Cli::parse().command.or_else(live) else { return Exit::Input.into() };
    let result = match command {
        Command::Live(arguments) => live::run(&arguments),
        Command::Analyze(arguments) => analyze::run(&arguments),
        Command::Match(arguments) => explain::run(&arguments),
        Command::Lint(arguments) => lint::run(&arguments),
        Command::Evaluate(arguments) => evaluate::run(&arguments),
        Command::NotifyTest(arguments) => live::notify_test(&arguments),
        Command::Model(arguments) => model::run(&arguments),
    };
    match result {
        Ok(exit) => exit.into(),
        // The reader of a pipe went away, as `head` does: there is nobody to tell.
        Err(error) if is_broken_pipe(&error) => Exit::Done.into(),
        Err(error) => {
            eprintln!("error: {error:#}");
            Exit::of(&error).into()
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let broken = |error: &std::io::Error| error.kind() == std::io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref::<std::io::Error>().is_some_and(broken))
}
