//! Sends records, each once and in order, for as long as it takes.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::{ClientConfig, ClientContext};

use super::log::Log;
use super::{KafkaSettings, client, judge, judge_code, refused};
use crate::{BusError, MAX_RECORD, Outgoing, Producer};

/// How long a producer that is dropped waits for what was accepted.
const DROP: Duration = Duration::from_secs(3);

/// The shortest and the longest pause between two looks at whether all is sent.
const PAUSES: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(50)];

/// After so many records librdkafka's news are looked at.
const NEWS: u32 = 256;

pub(super) struct KafkaProducer {
    producer: BaseProducer<Deliveries>,
    /// Records since the news were looked at.
    sent: u32,
}

impl KafkaProducer {
    pub(super) fn new(settings: &KafkaSettings) -> Result<Self, BusError> {
        let mut config = client(settings);
        sender(&mut config)
            .set("enable.idempotence", "true")
            .set("max.in.flight.requests.per.connection", "5")
            // A broker that is away is waited for: 0 is without end.
            .set("message.timeout.ms", "0")
            // Longer, and nothing is gained when there is much to send: batches grow by themselves
            // while those before them are on their way.
            .set("linger.ms", "1");
        let producer = config.create_with_context(Deliveries::default());
        Ok(Self { producer: producer.map_err(|error| refused(&error))?, sent: 0 })
    }
}

impl Producer for KafkaProducer {
    fn send(&mut self, record: &Outgoing) -> Result<bool, BusError> {
        record.check_size()?;
        self.sent += 1;
        if self.sent >= NEWS {
            self.sent = 0;
            self.producer.poll(Duration::ZERO);
        }
        check(&self.producer)?;
        match enqueue(&self.producer, record) {
            Ok(()) => Ok(true),
            Err(error) if error.rdkafka_error_code() == Some(Code::QueueFull) => Ok(false),
            Err(error) => Err(judge(&error, &format!("cannot send to {}", record.topic))),
        }
    }

    fn flush(&mut self, wait: Duration) -> Result<bool, BusError> {
        let done = drain(&self.producer, Instant::now() + wait);
        check(&self.producer)?;
        Ok(done)
    }
}

impl Drop for KafkaProducer {
    fn drop(&mut self) {
        let failed = self.producer.client().fatal_error().is_some();
        if !failed && !drain(&self.producer, Instant::now() + DROP) {
            let lost = self.producer.in_flight_count();
            tracing::warn!(lost, "Kafka: a producer ends before all it accepted was sent");
        }
    }
}

/// What producers of either kind have in common.
pub(super) fn sender(config: &mut ClientConfig) -> &mut ClientConfig {
    config
        .set("acks", "all")
        .set("compression.type", "lz4")
        // As Java's clients choose: a key is in one partition whoever sends it.
        .set("partitioner", "murmur2_random")
        // It counts the framing, too; brokers permit 1,048,588 by default.
        .set("message.max.bytes", (MAX_RECORD + 40_000).to_string())
        .set("queue.buffering.max.messages", "100000")
        .set("queue.buffering.max.kbytes", "65536")
        // Successes are told by the queue being empty.
        .set("delivery.report.only.error", "true")
}

pub(super) fn enqueue(
    producer: &BaseProducer<Deliveries>,
    record: &Outgoing,
) -> Result<(), KafkaError> {
    let mut sent = BaseRecord::<[u8], [u8]>::to(record.topic).payload(record.payload);
    if let Some(key) = record.key {
        sent = sent.key(key);
    }
    producer.send(sent).map_err(|(error, _)| error)
}

/// Waits until nothing waits to be sent, and returns whether that is so. rdkafka's own flush
/// sleeps on when all is sent, a tenth of a second each time.
pub(super) fn drain(producer: &BaseProducer<Deliveries>, deadline: Instant) -> bool {
    let began = Instant::now();
    producer.poll(Duration::ZERO);
    while producer.in_flight_count() > 0 {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        // Successes wake nobody up: the longer it has taken, the less a late look matters.
        producer.poll((began.elapsed() / 4).clamp(PAUSES[0], PAUSES[1]).min(left));
    }
    true
}

/// # Errors
/// What became known of records sent before.
pub(super) fn check(producer: &BaseProducer<Deliveries>) -> Result<(), BusError> {
    if let Some(error) = producer.context().failure() {
        return Err(error);
    }
    match producer.client().fatal_error() {
        Some((_, text)) => Err(BusError::Unavailable(format!("the producer failed: {text}"))),
        None => Ok(()),
    }
}

/// What became of the records that were not delivered.
#[derive(Default)]
pub(super) struct Deliveries {
    log: Log,
    failure: Mutex<Option<BusError>>,
}

impl Deliveries {
    /// The first failure since the last call.
    pub(super) fn failure(&self) -> Option<BusError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.log.line(level, facility, text);
    }

    fn error(&self, error: KafkaError, text: &str) {
        self.log.error(&error, text);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let Err((error, record)) = result else { return };
        let size = record.key_len() + record.payload_len();
        let what = format!("a record of {size} bytes was not delivered to {}", record.topic());
        let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert_with(|| judge_code(code, &what));
    }
}
