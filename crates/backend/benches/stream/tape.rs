//! The records that replay makes of generated logs, in memory, and a bare producer that sends them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bus::{
    Bus, BusError, Consumer, Kafka, KafkaSettings, NewTopic, Outgoing, Producer, Subscription,
};
use rdkafka::config::ClientConfig;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use replay::Settings;

/// The project's own bus on the broker.
pub fn bus() -> Kafka {
    let (bootstrap, client_id) = (testing::kafka().to_owned(), "bench".to_owned());
    Kafka::new(KafkaSettings { bootstrap, client_id }).unwrap()
}

/// Records one behind another.
#[derive(Default)]
pub struct Tape {
    /// Each with its key.
    topics: Vec<(String, Vec<u8>)>,
    numbers: HashMap<String, u32>,
    payloads: Vec<u8>,
    /// The number of the topic, and where the payload ends.
    records: Vec<(u32, usize)>,
}

impl Tape {
    /// What a replay sends.
    pub fn of(settings: &Settings) -> Tape {
        let recorder = Recorder::default();
        replay::run(settings, &recorder, &|| false).unwrap();
        Arc::into_inner(recorder.0).unwrap().into_inner().unwrap()
    }

    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Bytes of the payloads.
    pub fn bytes(&self) -> usize {
        self.payloads.len()
    }

    pub fn create_topics(&self, bus: &dyn Bus) {
        let retention = Duration::from_secs(24 * 60 * 60);
        let topic = |(name, _): &'_ (String, _)| name.clone();
        let names: Vec<String> = self.topics.iter().map(topic).collect();
        let topics = names.iter().map(|name| NewTopic { name, partitions: 1, retention });
        bus.create_topics(&topics.collect::<Vec<_>>()).unwrap();
    }

    fn push(&mut self, record: &Outgoing) {
        let number = match self.numbers.get(record.topic) {
            Some(number) => *number,
            None => {
                let number = self.topics.len() as u32;
                self.topics.push((record.topic.to_owned(), record.key.unwrap().to_vec()));
                self.numbers.insert(record.topic.to_owned(), number);
                number
            }
        };
        self.payloads.extend_from_slice(record.payload);
        self.records.push((number, self.payloads.len()));
    }

    /// Sends all of it with rdkafka and nothing else, and waits until all is delivered.
    pub fn send_bare(&self) {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", testing::kafka())
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("compression.type", "lz4")
            .set("linger.ms", "5");
        let producer: BaseProducer<Delivered> =
            config.create_with_context(Delivered::default()).unwrap();
        let mut start = 0;
        for (count, (topic, end)) in self.records.iter().enumerate() {
            let (topic, key) = &self.topics[*topic as usize];
            let mut record = BaseRecord::to(topic).key(key).payload(&self.payloads[start..*end]);
            while let Err((error, back)) = producer.send(record) {
                assert_eq!(error.rdkafka_error_code(), Some(Code::QueueFull), "{error}");
                producer.poll(Duration::from_millis(1));
                record = back;
            }
            if count % 256 == 0 {
                producer.poll(Duration::ZERO);
            }
            start = *end;
        }
        while producer.in_flight_count() > 0 {
            producer.poll(Duration::from_millis(1));
        }
        assert_eq!(producer.context().0.load(Ordering::Relaxed), self.len(), "delivered");
    }
}

/// Counts what was delivered.
#[derive(Default)]
struct Delivered(AtomicUsize);

impl rdkafka::ClientContext for Delivered {}

impl ProducerContext for Delivered {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        self.0.fetch_add(usize::from(result.is_ok()), Ordering::Relaxed);
    }
}

/// A bus that keeps what it is sent.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Tape>>);

impl Bus for Recorder {
    fn producer(&self) -> Result<Box<dyn Producer>, BusError> {
        Ok(Box::new(self.clone()))
    }

    fn consumer(&self, _: &Subscription) -> Result<Box<dyn Consumer>, BusError> {
        Err(BusError::Refused("nothing is received from a tape".to_owned()))
    }

    fn create_topics(&self, _: &[NewTopic]) -> Result<(), BusError> {
        Ok(())
    }

    fn check(&self) -> Result<(), BusError> {
        Ok(())
    }
}

impl Producer for Recorder {
    fn send(&mut self, record: &Outgoing) -> Result<bool, BusError> {
        self.0.lock().unwrap().push(record);
        Ok(true)
    }

    fn flush(&mut self, _: Duration) -> Result<bool, BusError> {
        Ok(true)
    }
}
