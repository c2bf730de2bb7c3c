//! How many events a second one core reads, merges and writes as records, with a bus that keeps
//! nothing: `cargo run --release -p replay --example rate [FOLDER]`. With `--features kafka` also
//! how many a broker of its own takes, from files and from memory.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use bus::{Bus, BusError, Consumer, NewTopic, Outgoing, Producer, Subscription};
use jiff::{SignedDuration, Timestamp};
use replay::Settings;

/// Takes everything and keeps nothing.
struct Nowhere;

impl Bus for Nowhere {
    fn producer(&self) -> Result<Box<dyn Producer>, BusError> {
        Ok(Box::new(Nowhere))
    }

    fn consumer(&self, _: &Subscription) -> Result<Box<dyn Consumer>, BusError> {
        Err(BusError::Refused("there is nothing to receive".to_owned()))
    }

    fn create_topics(&self, _: &[NewTopic]) -> Result<(), BusError> {
        Ok(())
    }

    fn check(&self) -> Result<(), BusError> {
        Ok(())
    }
}

impl Producer for Nowhere {
    fn send(&mut self, record: &Outgoing) -> Result<bool, BusError> {
        std::hint::black_box(record);
        Ok(true)
    }

    fn flush(&mut self, _: Duration) -> Result<bool, BusError> {
        Ok(true)
    }
}

/// Writes eight logs of half a million events each; every `late`th event is late.
fn write_logs(folder: &Path, late: usize) -> std::io::Result<()> {
    for file in 0..8 {
        let mut log = BufWriter::new(File::create(folder.join(format!("server_{file}.txt")))?);
        for event in 0..500_000usize {
            let back = if event % late == late - 1 { 60_000 } else { 0 };
            let millisecond = (event * 37 + file) as i64 - back;
            let time = Timestamp::UNIX_EPOCH + SignedDuration::from_millis(millisecond);
            let time = time.strftime("%Y-%m-%dT%H:%M:%S");
            let level = ["INFO", "INFO", "DEBUG", "WARNING", "ERROR"][event % 5];
            writeln!(
                log,
                "{time} {level} component-{file}: request {event} took longer than usual"
            )?;
        }
    }
    Ok(())
}

fn measure(name: &str, settings: &Settings, bus: &dyn Bus) {
    let start = Instant::now();
    let replayed = replay::run(settings, bus, &|| false).expect("the bus takes everything");
    tell(name, replayed.events, start.elapsed());
}

fn tell(name: &str, events: u64, time: Duration) {
    let rate = events as f64 / time.as_secs_f64() / 1e6;
    println!("{name}: {events} events, {rate:.2} million a second");
}

/// Keeps everything.
#[cfg(feature = "kafka")]
#[derive(Clone, Default)]
struct Tape(std::sync::Arc<std::sync::Mutex<Vec<Kept>>>);

/// Topic, key and payload.
#[cfg(feature = "kafka")]
type Kept = (String, Vec<u8>, Vec<u8>);

#[cfg(feature = "kafka")]
impl Bus for Tape {
    fn producer(&self) -> Result<Box<dyn Producer>, BusError> {
        Ok(Box::new(self.clone()))
    }

    fn consumer(&self, subscription: &Subscription) -> Result<Box<dyn Consumer>, BusError> {
        Nowhere.consumer(subscription)
    }

    fn create_topics(&self, _: &[NewTopic]) -> Result<(), BusError> {
        Ok(())
    }

    fn check(&self) -> Result<(), BusError> {
        Ok(())
    }
}

#[cfg(feature = "kafka")]
impl Producer for Tape {
    fn send(&mut self, record: &Outgoing) -> Result<bool, BusError> {
        let key = record.key.unwrap_or_default().to_vec();
        let kept = (record.topic.to_owned(), key, record.payload.to_vec());
        self.0.lock().expect("one thread").push(kept);
        Ok(true)
    }

    fn flush(&mut self, _: Duration) -> Result<bool, BusError> {
        Ok(true)
    }
}

/// Replays to a broker, and sends it the same records from memory.
#[cfg(feature = "kafka")]
fn measure_kafka(settings: &Settings) {
    let broker = testing::Kafka::start();
    let bootstrap = broker.bootstrap().to_owned();
    let bus = bus::Kafka::new(bus::KafkaSettings { bootstrap, client_id: "rate".to_owned() });
    let bus = bus.expect("the settings are right");
    let tape = Tape::default();
    replay::run(settings, &tape, &|| false).expect("the tape takes everything");
    let records = tape.0.lock().expect("one thread");
    for _ in 0..2 {
        let start = Instant::now();
        let mut producer = bus.producer().expect("the settings are right");
        for (topic, key, payload) in records.iter() {
            let record = Outgoing { topic, key: Some(key), payload };
            while !producer.send(&record).expect("the broker is there") {
                producer.flush(Duration::from_millis(1)).expect("the broker is there");
            }
        }
        while !producer.flush(Duration::from_secs(1)).expect("the broker is there") {}
        tell("to Kafka, from memory", records.len() as u64, start.elapsed());
        measure("to Kafka, from files", settings, &bus);
    }
}

fn main() -> std::io::Result<()> {
    let settings = Settings { speed: 0.0, loops: 1, ..Settings::default() };
    if let Some(folder) = std::env::args().nth(1) {
        measure(&folder.clone(), &Settings { folder: folder.into(), ..settings }, &Nowhere);
        return Ok(());
    }
    for (name, late) in [("in order", usize::MAX), ("not in order", 1_000)] {
        let folder = tempfile::tempdir()?;
        write_logs(folder.path(), late)?;
        let settings = Settings { folder: folder.path().to_owned(), ..settings.clone() };
        measure(name, &settings, &Nowhere);
        #[cfg(feature = "kafka")]
        measure_kafka(&settings);
        let settings = Settings { timestamps: replay::Timestamps::Now, ..settings };
        measure(&format!("{name}, with new timestamps"), &settings, &Nowhere);
    }
    Ok(())
}
