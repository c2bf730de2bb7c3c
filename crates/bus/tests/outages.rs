//! What only Kafka has: brokers that go away, members that are thrown out.

#![cfg(feature = "kafka")]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bus::{Bus, BusError, Kafka, KafkaSettings};
use common::{Member, flush, make, numbers, record, send};
use metrics_exporter_prometheus::PrometheusBuilder;
use testing::unique;

fn connect(bootstrap: &str) -> Kafka {
    let bootstrap = bootstrap.to_owned();
    Kafka::new(KafkaSettings { bootstrap, client_id: "outages".to_owned() }).unwrap()
}

#[test]
fn a_producer_survives_outages_without_loss_doubles_or_disorder() {
    if !testing::own_services() {
        return;
    }
    const RECORDS: usize = 60_000;
    let mut broker = testing::Kafka::start();
    let bus = Arc::new(connect(broker.bootstrap()));
    make(&*bus, "stream", 1);
    let sender = thread::spawn({
        let bus = Arc::clone(&bus);
        move || {
            let mut producer = bus.producer().unwrap();
            for (number, text) in numbers(0..RECORDS).iter().enumerate() {
                common::put(&mut *producer, &record("stream", text));
                // Slow enough for the outages to be in the middle.
                if number % 100 == 0 {
                    thread::sleep(Duration::from_millis(20));
                }
            }
            flush(&mut *producer);
        }
    });
    thread::sleep(Duration::from_secs(2));
    broker.stop();
    thread::sleep(Duration::from_secs(3));
    broker.start_again();
    thread::sleep(Duration::from_secs(2));
    broker.kill();
    thread::sleep(Duration::from_secs(2));
    broker.start_again();
    sender.join().unwrap();

    let mut reader = Member::reading(&*bus, "group", "stream");
    reader.until_got(RECORDS).linger();
    assert_eq!(reader.texts(), numbers(0..RECORDS));
}

#[test]
fn a_stage_that_publishes_survives_outages_without_loss_or_doubles() {
    if !testing::own_services() {
        return;
    }
    const RECORDS: usize = 3_000;
    let mut broker = testing::Kafka::start();
    let bus = Arc::new(connect(broker.bootstrap()));
    for topic in ["input", "output"] {
        make(&*bus, topic, 1);
    }
    send(&*bus, "input", &numbers(0..RECORDS));
    let stage = thread::spawn({
        let bus = Arc::clone(&bus);
        move || {
            let mut done = BTreeSet::new();
            while done.len() < RECORDS {
                let mut stage = Member::reading(&*bus, "stage", "input");
                while done.len() < RECORDS && work(&mut stage, &mut done).is_ok() {}
            }
        }
    });
    thread::sleep(Duration::from_secs(2));
    broker.stop();
    thread::sleep(Duration::from_secs(3));
    broker.start_again();
    thread::sleep(Duration::from_secs(3));
    broker.kill();
    broker.start_again();
    stage.join().unwrap();

    let mut reader = Member::reading(&*bus, "reader", "output");
    reader.until_got(RECORDS).linger();
    assert_eq!(reader.texts(), numbers(0..RECORDS));
}

/// One turn of a stage that passes on what it gets.
fn work(stage: &mut Member, done: &mut BTreeSet<String>) -> Result<(), BusError> {
    stage.got.clear();
    stage.try_poll()?;
    let records: Vec<_> = stage.got.iter().map(|got| record("output", &got.text)).collect();
    if !records.is_empty() {
        thread::sleep(Duration::from_millis(100));
        stage.consumer.publish(&records, &stage.positions())?;
    }
    done.extend(stage.got.iter().map(|got| got.text.clone()));
    Ok(())
}

#[test]
fn a_sender_waits_for_a_broker_and_everybody_ends_without_one() {
    if !testing::own_services() {
        return;
    }
    let mut broker = testing::Kafka::start();
    let bus = connect(broker.bootstrap());
    make(&bus, "stream", 1);
    send(&bus, "stream", &["first"]);
    let mut reader = Member::reading(&bus, "group", "stream");
    reader.until_got(1);
    broker.stop();

    assert!(matches!(bus.check(), Err(BusError::Unavailable(_))));
    let new = bus::NewTopic { name: "new", partitions: 1, retention: Duration::from_secs(60) };
    assert!(matches!(bus.create_topics(&[new]), Err(BusError::Unavailable(_))));

    let mut producer = bus.producer().unwrap();
    let text = "x".repeat(10_000);
    let mut accepted = 0;
    while producer.send(&record("stream", &text)).unwrap() {
        accepted += 1;
    }
    assert!(accepted > 1_000, "{accepted}");
    assert!(!producer.flush(Duration::from_millis(300)).unwrap());
    for _ in 0..5 {
        reader.commit();
        reader.poll();
        reader.consumer.hold().unwrap();
    }
    drop(reader);
    drop(Member::reading(&bus, "other", "stream"));

    broker.start_again();
    bus.check().unwrap();
    flush(&mut *producer);
    assert!(producer.send(&record("stream", "last")).unwrap());
    flush(&mut *producer);
    let mut reader = Member::reading(&bus, "reader", "stream");
    reader.until_got(accepted + 2);
    assert_eq!(reader.got.last().unwrap().text, "last");
}

#[test]
fn who_holds_stays_a_member_and_who_does_neither_is_thrown_out() {
    let interval = Duration::from_secs(10);
    let bus = connect(testing::kafka()).with_max_poll_interval(interval);
    let (topic, output, group) = (unique("stay"), unique("output"), unique("group"));
    for topic in [&topic, &output] {
        make(&bus, topic, 1);
    }
    send(&bus, &topic, &numbers(0..10));
    let mut member = Member::reading(&bus, &group, &topic);
    member.until_got(10);
    let busy = Instant::now();
    while busy.elapsed() < interval + Duration::from_secs(3) {
        member.consumer.hold().unwrap();
        thread::sleep(Duration::from_millis(500));
    }
    send(&bus, &topic, &numbers(10..20));
    member.until_got(20).linger();
    assert_eq!(member.changes.len(), 1, "nothing changed: {:?}", member.changes);

    thread::sleep(interval + Duration::from_secs(3));
    // Another has the partition by now, or could have.
    let error = member.consumer.publish(&[record(&output, "never")], &member.positions());
    assert!(matches!(error, Err(BusError::Unavailable(_))), "{error:?}");
    member.until("its partition again", |it| it.changes.len() == 3);
    member.until_got(40);
    member.consumer.publish(&[record(&output, "once")], &member.positions()).unwrap();
    let mut results = Member::reading(&bus, &unique("group"), &output);
    results.until_got(1).linger();
    assert_eq!(results.texts(), ["once"]);
}

#[test]
fn the_lag_is_told() {
    let bus = connect(testing::kafka());
    let (topic, group) = (unique("lag"), unique("group"));
    make(&bus, &topic, 1);
    send(&bus, &topic, &numbers(0..10));
    let recorder = PrometheusBuilder::new().build_recorder();
    let line = |lag| {
        let labels = format!("group=\"{group}\",topic=\"{topic}\",partition=\"0\"");
        format!("foreshock_consumer_lag{{{labels}}} {lag}\n")
    };
    let told = |lag| recorder.handle().render().contains(&line(lag));
    metrics::with_local_recorder(&recorder, || {
        let mut member = Member::reading(&bus, &group, &topic);
        member.until("the lag", |_| told(10));
        member.commit();
        member.until("the lag to shrink", |_| told(0));
    });
}
