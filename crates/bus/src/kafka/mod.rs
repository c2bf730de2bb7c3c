//! Apache Kafka, by librdkafka.
//!
//! Nothing here is asynchronous: librdkafka works on threads of its own, and a stage waits on its
//! own thread. A broker that is away is waited for, as far as the contract permits.

mod committer;
mod consumer;
mod group;
mod log;
mod positions;
mod producer;
mod publisher;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic as KafkaTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use self::consumer::KafkaConsumer;
use self::producer::KafkaProducer;
use crate::{Bus, BusError, Consumer, NewTopic, Producer, Subscription};

/// How long [`Bus::create_topics`] waits.
const CREATE: Duration = Duration::from_secs(5);

/// How long [`Bus::check`] waits.
const CHECK: Duration = Duration::from_secs(3);

/// Where Kafka is.
#[derive(Clone, Debug)]
pub struct KafkaSettings {
    /// Brokers to begin with, as `host:port`, separated by commas.
    pub bootstrap: String,
    /// What the brokers call this process in their logs.
    pub client_id: String,
}

/// Topics of a Kafka cluster.
pub struct Kafka {
    settings: KafkaSettings,
    max_poll_interval: Duration,
    admin: AdminClient<DefaultClientContext>,
}

impl Kafka {
    /// Makes ready to talk to the cluster, which may be away for now.
    ///
    /// # Errors
    /// When the settings cannot be right.
    pub fn new(settings: KafkaSettings) -> Result<Self, BusError> {
        // Its log lines would wait in a queue that nobody reads; its errors are returned.
        let admin = client(&settings).set_log_level(RDKafkaLogLevel::Emerg).create();
        let admin = admin.map_err(|error| refused(&error))?;
        Ok(Self { settings, max_poll_interval: Duration::from_secs(300), admin })
    }

    /// Sets how long a consumer may neither poll nor hold before it loses its partitions, for
    /// tests: 5 minutes otherwise.
    #[doc(hidden)]
    pub fn with_max_poll_interval(self, max_poll_interval: Duration) -> Self {
        Self { max_poll_interval, ..self }
    }
}

impl Bus for Kafka {
    fn producer(&self) -> Result<Box<dyn Producer>, BusError> {
        Ok(Box::new(KafkaProducer::new(&self.settings)?))
    }

    fn consumer(&self, subscription: &Subscription) -> Result<Box<dyn Consumer>, BusError> {
        let consumer = KafkaConsumer::new(&self.settings, self.max_poll_interval, subscription)?;
        Ok(Box::new(consumer))
    }

    fn create_topics(&self, topics: &[NewTopic]) -> Result<(), BusError> {
        if topics.is_empty() {
            return Ok(());
        }
        let retentions: Vec<_> =
            topics.iter().map(|topic| topic.retention.as_millis().to_string()).collect();
        let topics: Vec<_> = topics
            .iter()
            .zip(&retentions)
            // -1: as many copies as the cluster makes by default.
            .map(|(topic, retention)| {
                KafkaTopic::new(topic.name, topic.partitions, TopicReplication::Fixed(-1))
                    .set("retention.ms", retention)
            })
            .collect();
        let options =
            AdminOptions::new().request_timeout(Some(CREATE)).operation_timeout(Some(CREATE));
        let results = wait_for(self.admin.create_topics(&topics, &options));
        for result in results.map_err(|error| judge(&error, "cannot create topics"))? {
            match result {
                Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
                Err((topic, code)) => {
                    return Err(judge_code(code, &format!("cannot create topic {topic}")));
                }
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), BusError> {
        let metadata = self.admin.inner().fetch_metadata(None, CHECK);
        let away = |error: KafkaError| {
            let at = &self.settings.bootstrap;
            BusError::Unavailable(format!("Kafka at {at} does not answer: {}", reason(&error)))
        };
        metadata.map(drop).map_err(away)
    }
}

/// What all clients have in common.
fn client(settings: &KafkaSettings) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &settings.bootstrap)
        .set("client.id", &settings.client_id)
        // A broker that comes back is found within a second.
        .set("reconnect.backoff.ms", "100")
        .set("reconnect.backoff.max.ms", "1000")
        // A broker that hangs is given up after ten, not after sixty.
        .set("socket.timeout.ms", "10000")
        .set("socket.nagle.disable", "true")
        .set("log.connection.close", "false");
    config
}

/// What an error says, without the names of the types it went through.
fn reason(error: &KafkaError) -> String {
    match error {
        KafkaError::Transaction(error) => error.string(),
        error => {
            error.rdkafka_error_code().map_or_else(|| error.to_string(), |code| code.to_string())
        }
    }
}

/// An error of making a client: the settings are wrong.
fn refused(error: &KafkaError) -> BusError {
    BusError::Refused(format!("the settings of Kafka are wrong: {error}"))
}

fn judge(error: &KafkaError, what: &str) -> BusError {
    match error.rdkafka_error_code() {
        Some(code) => judge_code(code, what),
        None => BusError::Unavailable(format!("{what}: {}", reason(error))),
    }
}

/// Which errors no waiting mends.
fn judge_code(code: Code, what: &str) -> BusError {
    let text = format!("{what}: {code}");
    match code {
        Code::MessageSizeTooLarge
        | Code::InvalidMessageSize
        | Code::InvalidRecord
        | Code::InvalidTopic
        | Code::InvalidPartitions
        | Code::InvalidReplicationFactor
        | Code::InvalidConfig
        | Code::InvalidGroupId
        | Code::PolicyViolation
        | Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed
        | Code::UnsupportedVersion => BusError::Refused(text),
        _ => BusError::Unavailable(text),
    }
}

/// Waits for a future on this thread: the only one here is the answer to an admin's request.
fn wait_for<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
