//! Settings of the backend: environment variables, or arguments of the same meaning.

use std::fmt::Write;

use api::ApiArgs;
use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::SignedDuration;
use linking::{Method, Profile, Thresholds};
use notify::{NotifyArgs, TestArgs};
use service::LogArgs;
use service::args::{DictionaryArgs, ThresholdArgs, TimeArgs, Window};

/// The analytic service of Foreshock: log lines from Kafka in, links out.
///
/// Matches ERROR and WARNING lines with the dictionary by their meaning, and links them within a
/// window of time. Any number of backends share the work: start more of them.
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
    /// Ask the backend on this machine whether it is ready: exit code 0 or 1
    Healthcheck {
        /// Its port
        #[arg(long, env = "HTTP_PORT", default_value_t = 8000)]
        http_port: u16,
    },
    /// Send one example alert to all subscribers and webhooks
    ///
    /// Uses the settings and the database of the suite, which may run or not. In the container:
    /// `docker compose exec backend backend notify-test`.
    NotifyTest(Box<NotifyTest>),
}

#[derive(Args, Clone, Debug)]
pub struct NotifyTest {
    #[command(flatten)]
    pub test: TestArgs,
    #[command(flatten)]
    pub logs: LogArgs,
}

#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// What this process does, with commas between
    #[arg(long, env = "ROLES", value_delimiter = ',', default_value = "match,link,alert,api")]
    pub roles: Vec<Role>,

    /// The port of the API, /metrics, /health and /ready
    #[arg(long, env = "HTTP_PORT", default_value_t = 8000, value_name = "PORT")]
    pub http_port: u16,

    #[command(flatten)]
    pub kafka: KafkaArgs,
    #[command(flatten)]
    pub dictionary: DictionaryArgs,
    #[command(flatten)]
    pub time: TimeArgs,

    /// How long after later ones an event still links
    #[arg(long, env = "GRACE", default_value = "1h", value_name = "TIME")]
    pub grace: Window,

    /// How far a timestamp may lie ahead of its arrival; what lies further goes to the dead letters
    #[arg(long, env = "MAX_AHEAD", default_value = "24h", value_name = "TIME")]
    pub max_ahead: Window,

    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub thresholds: ThresholdArgs,
    #[command(flatten)]
    pub redis: RedisArgs,
    #[command(flatten)]
    pub api: ApiArgs,
    #[command(flatten)]
    pub notify: NotifyArgs,
    #[command(flatten)]
    pub logs: LogArgs,
}

/// A part of the work, which a process takes or leaves to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Log lines → matches
    Match,
    /// Matches → links
    Link,
    /// Tell subscribers and webhooks of new links, and the log. Backends that do so share one
    /// database of subscribers
    Alert,
    /// The REST API: analyse uploads, and serve the links found so far
    Api,
}

#[derive(Args, Clone, Debug)]
pub struct KafkaArgs {
    /// Where Kafka is: host:port, several with commas between
    #[arg(long, env = "KAFKA_BOOTSTRAP", default_value = "localhost:9092", value_name = "HOSTS")]
    pub kafka_bootstrap: String,

    /// Log lines come from the topics PREFIX.*
    #[arg(long, env = "TOPIC_PREFIX", default_value = "logs", value_name = "PREFIX")]
    pub topic_prefix: String,

    /// What the names of this suite's own topics and groups begin with, so that several suites may
    /// share a broker
    #[arg(long, env = "SUITE", default_value = "foreshock", value_name = "NAME")]
    pub suite: String,

    /// Partitions of the topics of matches and links, where they are not there yet: so many
    /// backends can link side by side
    #[arg(long, env = "PARTITIONS", default_value_t = 6, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(i32).range(1..=1000))]
    pub partitions: i32,
}

#[derive(Args, Clone, Debug)]
pub struct ModelArgs {
    /// Where Triton's gRPC is: host:port
    #[arg(long, env = "TRITON_URL", default_value = "localhost:8002", value_name = "HOST:PORT")]
    pub triton_url: String,

    /// The name of the model in Triton's repository
    #[arg(long, env = "TRITON_MODEL", default_value = "codebert", value_name = "NAME")]
    pub triton_model: String,

    /// Which model that is: its matcher and its thresholds go by it
    #[arg(long, env = "FORESHOCK_MODEL_PROFILE", default_value = "codebert")]
    #[arg(value_parser = profile)]
    pub model_profile: Profile,
}

fn profile(name: &str) -> Result<Profile, String> {
    Profile::of(name).ok_or_else(|| {
        let known: Vec<&str> = Profile::ALL.iter().map(|profile| profile.model).collect();
        format!("must be one of: {}", known.join(", "))
    })
}

#[derive(Args, Clone, Debug)]
pub struct RedisArgs {
    /// Where Redis is; empty for none
    #[arg(long, env = "REDIS_HOST", default_value = "localhost", value_name = "HOST")]
    pub redis_host: String,

    /// Its port
    #[arg(long, env = "REDIS_PORT", default_value_t = 6379, value_name = "PORT")]
    pub redis_port: u16,

    /// Its password, if it wants one
    #[arg(long, env = "REDIS_PASSWORD", hide_env_values = true, value_name = "PASSWORD")]
    pub redis_password: Option<String>,
}

impl Settings {
    /// Whether this process has a role.
    pub fn does(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// What this process does, with `between` between.
    pub fn roles(&self, between: &str) -> String {
        let name = |role: &Role| format!("{role:?}").to_lowercase();
        self.roles.iter().map(name).collect::<Vec<_>>().join(between)
    }

    /// The settings in force, for the log, without the secret ones.
    pub fn told(&self, method: Method, thresholds: Thresholds) -> String {
        let Settings { http_port, kafka, dictionary, time, grace, max_ahead, .. } = self;
        let redis = match &*self.redis.redis_host {
            "" => "none".to_owned(),
            host => format!("{host}:{}", self.redis.redis_port),
        };
        let mut told = format!(
            "ROLES={} HTTP_PORT={http_port} KAFKA_BOOTSTRAP={} TOPIC_PREFIX={} SUITE={} \
             PARTITIONS={} TRITON_URL={} TRITON_MODEL={} FORESHOCK_MODEL_PROFILE={} Redis {redis}",
            self.roles(","),
            kafka.kafka_bootstrap,
            kafka.topic_prefix,
            kafka.suite,
            kafka.partitions,
            self.model.triton_url,
            self.model.triton_model,
            self.model.model_profile.model,
        );
        let short = |time: SignedDuration| format!("{time:#}");
        let _ = write!(
            told,
            " ANOMALIES_CSV_PATH={} WINDOW={} GRACE={} MAX_AHEAD={} LOG_TZ={} MATCHER={method} \
             thresholds {} and {}",
            dictionary.dictionary.display(),
            short(time.window.0),
            short(grace.0),
            short(max_ahead.0),
            time.log_tz.name(),
            thresholds.reference,
            thresholds.pair.map_or("none".to_owned(), |pair| pair.to_string()),
        );
        if self.does(Role::Api) {
            let _ = write!(told, " {}", self.api.told());
        }
        if self.does(Role::Alert) {
            let _ = write!(told, " {}", self.notify.told());
        }
        told
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
