//! Settings of the API, for every binary that serves it: environment variables, or arguments of the
//! same meaning.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use axum::http::Uri;
use clap::{Args, value_parser};
use jiff::SignedDuration;
use service::args::Window;

use crate::{Access, History, Keep, Limits};

/// How the API is used: by whom, how much, for how long.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "API")]
pub struct ApiArgs {
    /// The bearer token that every request to the API must carry; none is needed without
    #[arg(long, env = "API_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    #[arg(value_parser = token, default_value = "", hide_default_value = true)]
    pub api_token: String,

    /// Origins whose pages may call the API from a browser, with commas between, such as
    /// `https://ops.example.org`
    #[arg(long, env = "CORS_ORIGINS", value_delimiter = ',', value_name = "ORIGINS")]
    #[arg(value_parser = origin)]
    pub cors_origins: Vec<String>,

    /// Bytes that may be uploaded at once, packed as they are
    #[arg(long, env = "UPLOAD_BYTES", default_value_t = Limits::default().bytes)]
    #[arg(value_name = "BYTES", value_parser = value_parser!(u64).range(1..))]
    pub upload_bytes: u64,

    /// Files that may be uploaded at once
    #[arg(long, env = "UPLOAD_FILES", default_value_t = Limits::default().files as u64)]
    #[arg(value_name = "N", value_parser = value_parser!(u64).range(1..=1_000_000))]
    pub upload_files: u64,

    /// Bytes that an archive may unpack to
    #[arg(long, env = "UNPACKED_BYTES", default_value_t = parse::Limits::default().unpacked)]
    #[arg(value_name = "BYTES", value_parser = value_parser!(u64).range(1..))]
    pub unpacked_bytes: u64,

    /// How many times its size an archive may unpack to
    #[arg(long, env = "UNPACKED_RATIO", default_value_t = parse::Limits::default().ratio)]
    #[arg(value_name = "TIMES", value_parser = value_parser!(u64).range(1..))]
    pub unpacked_ratio: u64,

    /// Analyses that run at once; others wait for their turn
    #[arg(long, env = "ANALYSES", default_value_t = 2, value_name = "N")]
    #[arg(value_parser = value_parser!(u16).range(1..=1000))]
    pub analyses: u16,

    /// Jobs that are kept with their results; the oldest finished ones go first
    #[arg(long, env = "JOBS_KEPT", default_value_t = Keep::default().jobs as u64)]
    #[arg(value_name = "N", value_parser = value_parser!(u64).range(1..=1_000_000))]
    pub jobs_kept: u64,

    /// How long a job is kept after its end
    #[arg(long, env = "JOB_TTL", default_value = "1h", value_name = "TIME")]
    pub job_ttl: Window,

    /// Bytes of uploads that are kept with jobs
    #[arg(long, env = "JOBS_BYTES", default_value_t = Keep::default().bytes)]
    #[arg(value_name = "BYTES", value_parser = value_parser!(u64).range(1..))]
    pub jobs_bytes: u64,

    /// The database of the links found so far
    #[arg(long, env = "LINKS_DB", default_value = "data/db/links.db", value_name = "FILE")]
    pub links_db: PathBuf,

    /// Links that are kept there; the oldest go first
    #[arg(long, env = "LINKS_KEPT", default_value_t = 1_000_000, value_name = "N")]
    #[arg(value_parser = value_parser!(u64).range(1..=1_000_000_000))]
    pub links_kept: u64,
}

impl ApiArgs {
    /// What may be uploaded.
    pub fn limits(&self) -> Limits {
        let (unpacked, ratio) = (self.unpacked_bytes, self.unpacked_ratio);
        Limits {
            bytes: self.upload_bytes,
            files: usize::try_from(self.upload_files).unwrap_or(usize::MAX),
            archives: parse::Limits { unpacked, ratio },
            ..Limits::default()
        }
    }

    /// What is kept of jobs.
    pub fn keep(&self) -> Keep {
        Keep {
            jobs: usize::try_from(self.jobs_kept).unwrap_or(usize::MAX),
            bytes: self.jobs_bytes,
            time: Duration::try_from(self.job_ttl.0).unwrap_or(Duration::ZERO),
        }
    }

    /// Who may use the API.
    pub fn access(&self) -> Access {
        let origins = self.cors_origins.iter().filter(|origin| !origin.is_empty());
        Access { token: self.token(), origins: origins.cloned().collect() }
    }

    /// The bearer token, if one is needed.
    pub fn token(&self) -> Option<String> {
        Some(self.api_token.clone()).filter(|token| !token.is_empty())
    }

    /// The links found so far.
    pub fn history(&self) -> History {
        History::open(&self.links_db, self.links_kept)
    }

    /// The settings in force, for the log, without the token.
    pub fn told(&self) -> String {
        let origins = match &*self.cors_origins.join(",") {
            "" => "none".to_owned(),
            origins => origins.to_owned(),
        };
        let token = if self.api_token.is_empty() { "none" } else { "(hidden)" };
        let ttl: SignedDuration = self.job_ttl.0;
        let mut told = format!("API_TOKEN={token} CORS_ORIGINS={origins}");
        for (name, value) in [
            ("UPLOAD_BYTES", self.upload_bytes),
            ("UPLOAD_FILES", self.upload_files),
            ("UNPACKED_BYTES", self.unpacked_bytes),
            ("UNPACKED_RATIO", self.unpacked_ratio),
            ("ANALYSES", self.analyses.into()),
            ("JOBS_KEPT", self.jobs_kept),
            ("JOBS_BYTES", self.jobs_bytes),
            ("LINKS_KEPT", self.links_kept),
        ] {
            let _ = write!(told, " {name}={value}");
        }
        let _ = write!(told, " JOB_TTL={ttl:#} LINKS_DB={}", self.links_db.display());
        told
    }
}

/// A token, as a header can carry it.
fn token(text: &str) -> Result<String, String> {
    match text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(text.to_owned()),
        false => Err("give a token of visible ASCII characters, without blanks".to_owned()),
    }
}

/// The origin of a page, as browsers tell it; or none.
fn origin(text: &str) -> Result<String, String> {
    let text = text.trim().trim_end_matches('/').to_lowercase();
    let is_origin = text.parse::<Uri>().is_ok_and(|uri| {
        let authority = uri.authority().is_some_and(|it| !it.as_str().contains('@'));
        matches!(uri.scheme_str(), Some("http" | "https"))
            && authority
            && matches!(uri.path(), "" | "/")
            && uri.query().is_none()
    });
    match is_origin || text.is_empty() {
        true => Ok(text),
        false => Err("give the origin of a page, such as https://ops.example.org".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        api: ApiArgs,
    }

    fn parse(arguments: &[&str]) -> Result<ApiArgs, String> {
        let cli = Cli::try_parse_from([&["x"], arguments].concat());
        cli.map(|cli| cli.api).map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_those_of_the_limits() {
        let args = parse(&[]).unwrap();
        assert_eq!(args.limits().bytes, Limits::default().bytes);
        assert_eq!((args.keep().jobs, args.keep().time), (50, Duration::from_secs(3600)));
        assert_eq!((args.access().token, args.access().origins.len()), (None, 0));
    }

    #[test]
    fn the_token_is_not_told() {
        let args = parse(&["--api-token", "s3cret", "--cors-origins", "http://a:1,https://B/"]);
        let args = args.unwrap();
        assert_eq!(args.access().token.as_deref(), Some("s3cret"));
        assert_eq!(args.access().origins, ["http://a:1", "https://b"]);
        assert!(args.told().contains("API_TOKEN=(hidden) CORS_ORIGINS=http://a:1,https://b"));
        assert!(!args.told().contains("s3cret"));
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_name() {
        for (name, value, words) in [
            ("--api-token", "two words", "visible ASCII"),
            ("--cors-origins", "*", "the origin of a page"),
            ("--cors-origins", "https://a/b", "the origin of a page"),
            ("--upload-bytes", "0", "0 is not in 1.."),
            ("--upload-files", "many", "invalid digit"),
            ("--analyses", "0", "0 is not in 1..=1000"),
            ("--jobs-kept", "0", "0 is not in"),
            ("--job-ttl", "soon", "give a time such as"),
            ("--links-kept", "-1", "unexpected argument"),
        ] {
            let error = parse(&[name, value]).unwrap_err();
            assert!(error.contains(words), "{name} {value}: {error}");
        }
    }
}
