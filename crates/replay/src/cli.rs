//! Settings: environment variables, or arguments of the same meaning.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use replay::{LONGEST_PREFIX, Settings, is_allowed};
use service::LogArgs;
use service::args::Zone;

/// Replays log files into Kafka, in the order of their time.
///
/// Every .txt and .log file of a folder has a topic of its own: app.txt is sent to logs.app. New
/// and changed files are seen when the next loop begins.
#[derive(Parser, Debug)]
#[command(version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,

    #[command(flatten)]
    pub args: Args,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Ask the replay on this machine whether it is ready: exit code 0 or 1
    Healthcheck {
        /// Its port
        #[arg(long, env = "HTTP_PORT", default_value_t = 9100)]
        http_port: u16,
    },
}

#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Where Kafka is: host:port, several with commas between
    #[arg(long, env = "KAFKA_BOOTSTRAP", default_value = "localhost:9092", value_name = "HOSTS")]
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub kafka_bootstrap: String,

    /// What the names of the topics begin with: PREFIX.<file>
    #[arg(long, env = "TOPIC_PREFIX", default_value = "logs", value_name = "PREFIX")]
    #[arg(value_parser = prefix)]
    pub topic_prefix: String,

    /// The folder with the logs; folders in it are passed over
    #[arg(long, env = "LOG_DIR", default_value = "data/logs", value_name = "FOLDER")]
    pub log_dir: PathBuf,

    /// How many times as fast as it happened; 0 is as fast as possible
    #[arg(long, env = "SPEED", default_value_t = 1.0, value_name = "TIMES")]
    #[arg(value_parser = speed, allow_negative_numbers = true)]
    pub speed: f64,

    /// The longest random delay of an event, in milliseconds; the lines of one file stay in order,
    /// and the speed 0 knows no delay
    #[arg(long, env = "JITTER_MS", default_value_t = 0, value_name = "MS")]
    #[arg(allow_negative_numbers = true)]
    pub jitter_ms: u32,

    /// How many times everything is replayed; 0 is without end
    #[arg(long, env = "LOOPS", default_value_t = 0, value_name = "N")]
    #[arg(allow_negative_numbers = true)]
    pub loops: u64,

    /// The pause between two loops, in seconds
    #[arg(long, env = "LOOP_PAUSE", default_value = "1", value_name = "SECONDS")]
    #[arg(value_parser = seconds, allow_negative_numbers = true)]
    pub loop_pause: Duration,

    /// The timestamps that events are sent with
    #[arg(long, env = "TIMESTAMPS", default_value = "original", value_name = "WHICH")]
    pub timestamps: Timestamps,

    /// The zone of timestamps without offset, such as Europe/Moscow or +03:00
    #[arg(long, env = "LOG_TZ", default_value = "UTC", value_name = "ZONE")]
    #[arg(allow_hyphen_values = true)]
    pub log_tz: Zone,

    /// The port of /metrics, /health and /ready
    #[arg(long, env = "HTTP_PORT", default_value_t = 9100, value_name = "PORT")]
    pub http_port: u16,

    #[command(flatten)]
    pub logs: LogArgs,
}

/// The timestamps that events are sent with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Timestamps {
    /// Those of the log: a second loop sends the same events again
    Original,
    /// The moment at which an event is due: every loop makes new events
    Now,
}

impl Args {
    /// The settings of the replay.
    pub fn settings(&self) -> Settings {
        Settings {
            folder: self.log_dir.clone(),
            topic_prefix: self.topic_prefix.clone(),
            speed: self.speed,
            jitter: Duration::from_millis(self.jitter_ms.into()),
            loops: self.loops,
            loop_pause: self.loop_pause,
            timestamps: match self.timestamps {
                Timestamps::Original => replay::Timestamps::Original,
                Timestamps::Now => replay::Timestamps::Now,
            },
            zone: self.log_tz.0.clone(),
            ..Settings::default()
        }
    }

    /// The settings in force, for the log. None is secret.
    pub fn told(&self) -> String {
        format!(
            "KAFKA_BOOTSTRAP={} TOPIC_PREFIX={} LOG_DIR={} SPEED={} JITTER_MS={} LOOPS={} \
             LOOP_PAUSE={} TIMESTAMPS={} LOG_TZ={} HTTP_PORT={}",
            self.kafka_bootstrap,
            self.topic_prefix,
            self.log_dir.display(),
            self.speed,
            self.jitter_ms,
            self.loops,
            self.loop_pause.as_secs_f64(),
            format!("{:?}", self.timestamps).to_lowercase(),
            self.log_tz.name(),
            self.http_port,
        )
    }
}

fn prefix(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > LONGEST_PREFIX || !text.chars().all(is_allowed) {
        let what = "characters of a-z, A-Z, 0-9, `.`, `_` and `-`";
        return Err(format!("give 1 to {LONGEST_PREFIX} {what}"));
    }
    Ok(text.to_owned())
}

fn speed(text: &str) -> Result<f64, String> {
    let speed = text.parse().ok().filter(|speed: &f64| speed.is_finite() && *speed >= 0.0);
    // A negative zero is a zero.
    speed.map(f64::abs).ok_or_else(|| "give a number that is not negative".to_owned())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|it| Duration::try_from_secs_f64(it).ok());
    seconds.ok_or_else(|| "give a number of seconds that is not negative".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn values_that_make_no_sense_are_refused() {
        for (name, value) in [
            ("--speed", "-1"),
            ("--speed", "NaN"),
            ("--speed", "inf"),
            ("--speed", "fast"),
            ("--jitter-ms", "-5"),
            ("--loops", "-1"),
            ("--loops", "1.5"),
            ("--loop-pause", "-1"),
            ("--loop-pause", "soon"),
            ("--timestamps", "later"),
            ("--kafka-bootstrap", ""),
            ("--topic-prefix", ""),
            ("--topic-prefix", "my logs"),
            ("--log-tz", "Mars/Olympus"),
            ("--http-port", "99999"),
        ] {
            assert!(Cli::try_parse_from(["replay", name, value]).is_err(), "{name} {value}");
        }
        let cli = Cli::try_parse_from(["replay", "--speed", "0", "--loop-pause", "0.5"]).unwrap();
        assert_eq!((cli.args.speed, cli.args.loop_pause), (0.0, Duration::from_millis(500)));
    }
}
