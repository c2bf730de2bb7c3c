//! Logs: readable lines on standard error, or JSON for machines.

use std::io::{self, IsTerminal};

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

/// How a service logs.
#[derive(Args, Clone, Debug)]
pub struct LogArgs {
    /// What is logged: error, warn, info, debug or trace, or a filter such as `info,bus=debug`
    #[arg(long, env = "LOG_LEVEL", default_value = "info", value_name = "LEVEL")]
    pub log_level: String,

    /// How it is logged
    #[arg(long, env = "LOG_FORMAT", default_value = "text", value_name = "FORMAT")]
    pub log_format: LogFormat,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl LogArgs {
    /// Begins to log, on standard error.
    ///
    /// # Errors
    /// When the filter makes no sense.
    pub fn start(&self) -> anyhow::Result<()> {
        let filter = EnvFilter::try_new(&self.log_level)
            .map_err(|error| anyhow::anyhow!("LOG_LEVEL: {error}"))?;
        let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
        let started = match self.log_format {
            LogFormat::Text => {
                builder.with_ansi(io::stderr().is_terminal()).with_target(false).try_init()
            }
            LogFormat::Json => builder.json().flatten_event(true).try_init(),
        };
        started.map_err(|error| anyhow::anyhow!("starting logs: {error}"))
    }
}
