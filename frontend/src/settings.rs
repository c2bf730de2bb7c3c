//! Settings of the frontend: environment variables, or arguments of the same meaning.

use clap::{Args, Parser, Subcommand};
use reqwest::Url;
use service::LogArgs;

/// The web pages of Foreshock: upload, result and timeline, live view, dictionary.
///
/// They ask the API of the backend for everything, and need nothing from outside.
#[derive(Parser, Debug)]
#[command(version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,

    #[command(flatten)]
    pub settings: Settings,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Ask the frontend on this machine whether it is ready: exit code 0 or 1
    Healthcheck {
        /// Its port
        #[arg(long, env = "HTTP_PORT", default_value_t = 8501)]
        http_port: u16,
    },
}

#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// Where the API is
    #[arg(long, env = "API_BASE", default_value = "http://localhost:8000", value_name = "URL")]
    #[arg(value_parser = api_base)]
    pub api_base: Url,

    /// The token that the API wants, if it wants one
    #[arg(long, env = "API_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub api_token: Option<String>,

    /// The port of the pages, /metrics, /health and /ready
    #[arg(long, env = "HTTP_PORT", default_value_t = 8501, value_name = "PORT")]
    pub http_port: u16,

    /// Bytes that the API takes at once: told before an upload begins
    #[arg(long, env = "UPLOAD_BYTES", default_value_t = 4 << 30, value_name = "BYTES")]
    pub upload_bytes: u64,

    /// Files that the API takes at once: told before an upload begins
    #[arg(long, env = "UPLOAD_FILES", default_value_t = 1000, value_name = "N")]
    pub upload_files: u64,

    #[command(flatten)]
    pub logs: LogArgs,
}

fn api_base(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|_| "give an address such as http://backend:8000")?;
    match (url.scheme(), url.host_str()) {
        ("http", Some(_)) => Ok(url),
        _ => Err("give an address such as http://backend:8000; only http is spoken".to_owned()),
    }
}

impl Settings {
    /// The settings in force, for the log, without the secret ones.
    pub fn told(&self) -> String {
        let mut base = self.api_base.clone();
        if base.password().is_some() {
            let _ = base.set_password(Some("hidden"));
        }
        let token = if self.api_token.is_some() { "set, hidden" } else { "none" };
        format!(
            "API_BASE={base} API_TOKEN {token} HTTP_PORT={} UPLOAD_BYTES={} UPLOAD_FILES={}",
            self.http_port, self.upload_bytes, self.upload_files
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_address_that_is_none_is_refused_and_secrets_stay_secret() {
        let parse = |base: &str| {
            let args = ["frontend", "--api-base", base, "--api-token", "s3cret"];
            Cli::try_parse_from(args).map(|cli| cli.settings.told())
        };
        assert!(parse("backend:8000").is_err() && parse("https://backend").is_err());
        let told = parse("http://me:pass@backend:8000");
        assert!(told.is_ok_and(|told| !told.contains("s3cret") && !told.contains("pass@")));
    }
}
