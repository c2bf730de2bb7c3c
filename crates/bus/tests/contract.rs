//! The contract of the bus, which holds for Kafka and for the queues in the process alike.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bus::{Bus, BusError, Change, MAX_RECORD, Memory, Outgoing, Position, Topics};
use common::{Member, flush, make, numbers, partition, put, record, send};
use testing::unique;

/// Makes a test of each function for each bus.
macro_rules! contract {
    ($($name:ident),* $(,)?) => {
        mod memory {
            $(#[test] fn $name() { super::$name(&super::Memory::new()); })*
        }
        #[cfg(feature = "kafka")]
        mod kafka {
            $(#[test] fn $name() { super::$name(&super::kafka()); })*
        }
    };
}

contract!(
    records_of_a_partition_come_in_order,
    records_of_a_key_share_a_partition,
    what_was_not_committed_comes_again_and_what_was_does_not,
    a_group_goes_on_from_where_it_rebuilds,
    every_group_gets_every_record,
    a_prefix_finds_topics_that_appear_and_no_others,
    members_share_and_take_over_without_loss,
    what_is_published_is_seen_whole_or_not_at_all,
    a_death_between_poll_and_publish_doubles_nothing,
    what_is_revoked_can_be_published_until_the_next_poll,
    what_was_given_up_is_not_committed_any_more,
    holding_loses_nothing,
    a_record_that_is_too_large_is_refused_by_name,
    topics_can_be_made_twice,
);

#[cfg(feature = "kafka")]
fn kafka() -> bus::Kafka {
    let bootstrap = testing::kafka().to_owned();
    bus::Kafka::new(bus::KafkaSettings { bootstrap, client_id: "contract".to_owned() }).unwrap()
}

fn records_of_a_partition_come_in_order(bus: &dyn Bus) {
    let topic = unique("order");
    make(bus, &topic, 1);
    let texts = numbers(0..5000);
    send(bus, &topic, &texts);
    let mut reader = Member::reading(bus, &unique("group"), &topic);
    reader.until_got(texts.len());
    assert_eq!(reader.texts(), texts);
    assert!(reader.got.iter().all(|got| got.topic == topic && got.partition == 0));
    assert!(reader.got.is_sorted_by(|a, b| a.offset < b.offset));
}

fn records_of_a_key_share_a_partition(bus: &dyn Bus) {
    let topic = unique("keys");
    make(bus, &topic, 4);
    let mut producer = bus.producer().unwrap();
    for number in 0..400 {
        let (key, text) = (format!("key {}", number % 40), number.to_string());
        let outgoing =
            Outgoing { topic: &topic, key: Some(key.as_bytes()), payload: text.as_bytes() };
        put(&mut *producer, &outgoing);
    }
    flush(&mut *producer);
    let mut reader = Member::reading(bus, &unique("group"), &topic);
    reader.until_got(400);
    let mut keys = BTreeMap::<_, Vec<_>>::new();
    for got in &reader.got {
        let number: usize = got.text.parse().unwrap();
        assert_eq!(got.key, Some(format!("key {}", number % 40)));
        keys.entry(got.key.clone()).or_default().push((got.partition, number));
    }
    assert_eq!(keys.len(), 40);
    for of_key in keys.values() {
        assert!(of_key.is_sorted_by(|a, b| a.0 == b.0 && a.1 < b.1), "{of_key:?}");
    }
    let used: BTreeSet<_> = reader.got.iter().map(|got| got.partition).collect();
    assert_eq!(used.len(), 4, "keys are spread over the partitions");
}

fn what_was_not_committed_comes_again_and_what_was_does_not(bus: &dyn Bus) {
    let (topic, group) = (unique("again"), unique("group"));
    make(bus, &topic, 1);
    let texts = numbers(0..20);
    send(bus, &topic, &texts);

    let mut first = Member::reading(bus, &group, &topic);
    first.until_got(20);
    let next = first.got[12].offset;
    first
        .consumer
        .commit(&[Position { partition: partition(&topic, 0), next, rebuild: next }])
        .unwrap();
    drop(first);

    let mut second = Member::reading(bus, &group, &topic);
    second.until_got(8);
    assert_eq!(second.texts(), texts[12..]);
    second.commit();
    drop(second);

    let mut third = Member::reading(bus, &group, &topic);
    third.until("its partition", |it| !it.owned.is_empty()).linger();
    assert_eq!(third.texts(), [""; 0]);
    send(bus, &topic, &["new"]);
    third.until_got(1);
    assert_eq!(third.texts(), ["new"]);
}

fn a_group_goes_on_from_where_it_rebuilds(bus: &dyn Bus) {
    let (topic, group) = (unique("rebuild"), unique("group"));
    make(bus, &topic, 1);
    let texts = numbers(0..20);
    send(bus, &topic, &texts);
    let mut first = Member::reading(bus, &group, &topic);
    first.until_got(20);
    let (next, rebuild) = (first.got[12].offset, first.got[5].offset);
    let position = Position { partition: partition(&topic, 0), next, rebuild };
    first.consumer.commit(std::slice::from_ref(&position)).unwrap();
    drop(first);

    // Again by publishing nothing, which is a commit.
    let mut second = Member::reading(bus, &group, &topic);
    second.until_got(15);
    assert_eq!(second.changes, [Change::Assigned(position.clone())]);
    assert_eq!(second.texts(), texts[5..]);
    let position = Position { rebuild: rebuild + 2, ..position };
    second.consumer.publish(&[], std::slice::from_ref(&position)).unwrap();
    drop(second);

    // And by publishing.
    let mut third = Member::reading(bus, &group, &topic);
    third.until_got(13);
    assert_eq!(third.changes, [Change::Assigned(position.clone())]);
    let other = unique("other");
    let position = Position { rebuild: rebuild + 4, ..position };
    third.consumer.publish(&[record(&other, "x")], std::slice::from_ref(&position)).unwrap();
    drop(third);

    let mut fourth = Member::reading(bus, &group, &topic);
    fourth.until_got(11);
    assert_eq!(fourth.changes, [Change::Assigned(position)]);
    assert_eq!(fourth.texts(), texts[9..]);
}

fn every_group_gets_every_record(bus: &dyn Bus) {
    let topic = unique("groups");
    make(bus, &topic, 1);
    let texts = numbers(0..10);
    send(bus, &topic, &texts);
    let mut readers = [(); 2].map(|()| Member::reading(bus, &unique("group"), &topic));
    for reader in &mut readers {
        reader.until_got(10);
        assert_eq!(reader.texts(), texts);
        reader.commit();
    }
}

fn a_prefix_finds_topics_that_appear_and_no_others(bus: &dyn Bus) {
    let name = unique("prefix");
    let topics = Topics::WithPrefix(format!("{name}.logs"));
    let before = format!("{name}.logs.before");
    make(bus, &before, 1);
    send(bus, &before, &["before"]);
    let mut reader = Member::join(bus, &unique("group"), topics);
    reader.until_got(1).commit();
    for other in [format!("{name}-logs.x"), format!("x{name}.logs"), format!("{name}.log")] {
        make(bus, &other, 1);
        send(bus, &other, &["other"]);
    }
    let after = format!("{name}.logs-after");
    make(bus, &after, 2);
    send(bus, &after, &["after"]);
    reader.until_got(2).linger();
    assert_eq!(reader.texts(), ["before", "after"]);
    assert_eq!(reader.owned.len(), 3);
}

fn members_share_and_take_over_without_loss(bus: &dyn Bus) {
    let (topic, group) = (unique("share"), unique("group"));
    make(bus, &topic, 4);
    let mut first = Member::reading(bus, &group, &topic);
    first.until("all partitions", |it| it.owned.len() == 4);
    let texts = numbers(0..600);
    send_keyed(bus, &topic, &texts[..200]);
    first.until("some records", |it| it.got.len() >= 50);

    let mut second = Member::reading(bus, &group, &topic);
    let start = std::time::Instant::now();
    while (first.owned.len(), second.owned.len()) != (2, 2) {
        assert!(start.elapsed() < common::PATIENCE);
        // What was polled is committed before the partition can go, so that nothing comes twice.
        first.commit();
        first.poll();
        second.poll();
        second.commit();
    }
    send_keyed(bus, &topic, &texts[200..400]);
    while first.got.len() + second.got.len() < 400 {
        assert!(start.elapsed() < common::PATIENCE);
        first.poll();
        second.poll();
    }
    assert!(!second.got.is_empty());
    second.commit();
    let mut got: Vec<_> = second.got.drain(..).map(|got| got.text).collect();
    drop(second);

    first.until("all partitions again", |it| it.owned.len() == 4);
    send_keyed(bus, &topic, &texts[400..]);
    first.until_got(600 - got.len()).linger();
    got.extend(first.got.iter().map(|got| got.text.clone()));
    got.sort_by_key(|text| text.parse::<usize>().unwrap());
    assert_eq!(got.len(), texts.len(), "nothing came twice: {got:?}");
    assert_eq!(got, texts);
}

fn send_keyed(bus: &dyn Bus, topic: &str, texts: &[String]) {
    let mut producer = bus.producer().unwrap();
    for text in texts {
        let (key, payload) = (Some(text.as_bytes()), text.as_bytes());
        put(&mut *producer, &Outgoing { topic, key, payload });
    }
    flush(&mut *producer);
}

fn what_is_published_is_seen_whole_or_not_at_all(bus: &dyn Bus) {
    let (input, group) = (unique("input"), unique("group"));
    let (left, right) = (unique("left"), unique("right"));
    for topic in [&input, &left, &right] {
        make(bus, topic, 1);
    }
    send(bus, &input, &numbers(0..10));
    let mut results =
        Member::join(bus, &unique("group"), Topics::Named(vec![left.clone(), right.clone()]));

    let mut stage = Member::reading(bus, &group, &input);
    stage.until_got(10);
    let huge = "x".repeat(MAX_RECORD + 1);
    let records = [record(&left, "never"), record(&right, &huge)];
    let error = stage.consumer.publish(&records, &stage.positions()).unwrap_err();
    assert!(matches!(error, BusError::Refused(_)), "{error}");
    drop(stage);

    let mut stage = Member::reading(bus, &group, &input);
    stage.until_got(10);
    for part in stage.got.chunks(5) {
        let texts: Vec<_> = part.iter().map(|got| got.text.clone()).collect();
        let to = |topic| texts.iter().map(move |text| record(topic, text));
        let records: Vec<_> = to(&left).chain(to(&right)).collect();
        let next = part[4].offset + 1;
        let position = Position { partition: partition(&input, 0), next, rebuild: next };
        stage.consumer.publish(&records, &[position]).unwrap();
    }
    drop(stage);

    results.until_got(20).linger();
    for topic in [left, right] {
        let texts: Vec<_> = results.got.iter().filter(|got| got.topic == topic).collect();
        assert!(texts.iter().map(|got| got.text.clone()).eq(numbers(0..10)));
    }
    let mut stage = Member::reading(bus, &group, &input);
    stage.until("its partition", |it| !it.owned.is_empty()).linger();
    assert_eq!(stage.texts(), [""; 0], "positions were committed with the records");
}

fn a_death_between_poll_and_publish_doubles_nothing(bus: &dyn Bus) {
    let (input, output, group) = (unique("input"), unique("output"), unique("group"));
    make(bus, &input, 1);
    make(bus, &output, 1);
    let texts = numbers(0..30);
    send(bus, &input, &texts);
    for life in 0..4 {
        let mut stage = Member::reading(bus, &group, &input);
        stage.until_got(30 - 10 * (life / 2) * 2);
        if life % 2 == 0 {
            continue;
        }
        let part = &stage.got[..stage.got.len().min(20)];
        let records: Vec<_> = part.iter().map(|got| record(&output, &got.text)).collect();
        let next = part.last().unwrap().offset + 1;
        let position = Position { partition: partition(&input, 0), next, rebuild: next };
        stage.consumer.publish(&records, &[position]).unwrap();
    }
    let mut results = Member::reading(bus, &unique("group"), &output);
    results.until_got(30).linger();
    assert_eq!(results.texts(), texts);
}

fn what_is_revoked_can_be_published_until_the_next_poll(bus: &dyn Bus) {
    let (input, output, group) = (unique("input"), unique("output"), unique("group"));
    make(bus, &input, 2);
    make(bus, &output, 1);
    let mut first = Member::reading(bus, &group, &input);
    first.until("all partitions", |it| it.owned.len() == 2);
    send_keyed(bus, &input, &numbers(0..40));
    first.until_got(40);
    let before = first.positions();

    let mut second = Member::reading(bus, &group, &input);
    let start = std::time::Instant::now();
    while first.owned.len() == 2 {
        assert!(start.elapsed() < common::PATIENCE);
        second.poll();
        first.poll();
    }
    let texts: Vec<_> = first.got.iter().map(|got| got.text.clone()).collect();
    let records: Vec<_> = texts.iter().map(|text| record(&output, text)).collect();
    first.consumer.publish(&records, &before).unwrap();
    while second.owned.is_empty() {
        assert!(start.elapsed() < common::PATIENCE);
        first.poll();
        second.poll();
    }
    second.linger();
    first.linger();
    assert_eq!((first.got.len(), second.got.len()), (40, 0), "nothing came to both");
    let position = second.owned.values().next().unwrap();
    assert!(before.contains(position), "{position:?} is none of {before:?}");
}

fn what_was_given_up_is_not_committed_any_more(bus: &dyn Bus) {
    let (topic, group) = (unique("gone"), unique("group"));
    make(bus, &topic, 2);
    let mut first = Member::reading(bus, &group, &topic);
    first.until("all partitions", |it| it.owned.len() == 2);
    send_keyed(bus, &topic, &numbers(0..40));
    first.until_got(40);
    let before = first.positions();
    let mut second = Member::reading(bus, &group, &topic);
    let start = std::time::Instant::now();
    while second.owned.is_empty() {
        assert!(start.elapsed() < common::PATIENCE);
        first.poll();
        second.poll();
    }
    first.consumer.commit(&before).unwrap();
    let kept: Vec<_> = first.owned.keys().cloned().collect();
    drop(second);
    drop(first);
    let mut third = Member::reading(bus, &group, &topic);
    third.until("all partitions", |it| it.owned.len() == 2);
    third.until("what the second did not commit", |it| {
        it.got.iter().any(|got| !kept.contains(&partition(&got.topic, got.partition)))
    });
    third.linger();
    assert!(third.got.iter().all(|got| !kept.contains(&partition(&got.topic, got.partition))));
}

fn holding_loses_nothing(bus: &dyn Bus) {
    let topic = unique("hold");
    make(bus, &topic, 3);
    let mut reader = Member::reading(bus, &unique("group"), &topic);
    reader.until("all partitions", |it| it.owned.len() == 3);
    for round in 0..5 {
        send_keyed(bus, &topic, &numbers(round * 1000..(round + 1) * 1000));
        for _ in 0..4 {
            reader.consumer.hold().unwrap();
            std::thread::sleep(Duration::from_millis(30));
        }
        reader.poll();
        reader.commit();
    }
    reader.until_got(5000).linger();
    let mut texts: Vec<usize> = reader.got.iter().map(|got| got.text.parse().unwrap()).collect();
    for number in 0..3 {
        let own = reader.got.iter().filter(|got| got.partition == number);
        assert!(own.map(|got| got.text.parse::<usize>().unwrap()).is_sorted());
    }
    texts.sort();
    assert!(texts.into_iter().eq(0..5000));
}

fn a_record_that_is_too_large_is_refused_by_name(bus: &dyn Bus) {
    let topic = unique("large");
    make(bus, &topic, 1);
    let text = "x".repeat(MAX_RECORD);
    let mut producer = bus.producer().unwrap();
    let outgoing = Outgoing { topic: &topic, key: Some(b"k"), payload: text.as_bytes() };
    let error = producer.send(&outgoing).unwrap_err();
    let BusError::Refused(reason) = error else { panic!("{error}") };
    assert!(reason.contains("1000001 bytes") && reason.contains(&topic), "{reason}");

    put(&mut *producer, &record(&topic, &text));
    put(&mut *producer, &record(&topic, "small"));
    flush(&mut *producer);
    let mut reader = Member::reading(bus, &unique("group"), &topic);
    reader.until_got(2);
    assert_eq!(reader.texts(), [&text, "small"]);
}

fn topics_can_be_made_twice(bus: &dyn Bus) {
    let topic = unique("twice");
    make(bus, &topic, 2);
    make(bus, &topic, 2);
    bus.create_topics(&[]).unwrap();
    bus.check().unwrap();
}

/// Kafka's twin of this is told with the broker's outages.
#[test]
fn a_sender_waits_for_its_readers() {
    let bus = Memory::new();
    let mut producer = bus.producer().unwrap();
    let mut accepted = 0;
    while producer.send(&record("topic", "text")).unwrap() {
        accepted += 1;
    }
    assert!(accepted > 1000);
    assert!(producer.flush(Duration::from_millis(10)).unwrap(), "what was accepted is kept");
    assert!(!producer.send(&record("topic", "text")).unwrap());

    let mut reader = Member::reading(&bus, "group", "topic");
    reader.until_got(accepted);
    assert!(!producer.send(&record("topic", "text")).unwrap(), "read is not done");
    // Records to rebuild from are kept and stand in nobody's way.
    let next = accepted as i64;
    let position = Position { partition: partition("topic", 0), next, rebuild: 0 };
    reader.consumer.commit(&[position]).unwrap();
    assert!(producer.send(&record("topic", "more")).unwrap());
    reader.until_got(accepted + 1);
    drop(reader);
    let mut reader = Member::reading(&bus, "group", "topic");
    reader.until_got(accepted + 1);
}

#[test]
fn a_sender_that_waits_goes_on_as_soon_as_there_is_room() {
    let bus = Memory::new();
    let sender = {
        let bus = bus.clone();
        std::thread::spawn(move || send(&bus, "topic", &numbers(0..100_000)))
    };
    let mut reader = Member::reading(&bus, "group", "topic");
    while reader.got.len() < 100_000 {
        reader.poll();
        reader.commit();
    }
    sender.join().unwrap();
    assert_eq!(reader.texts(), numbers(0..100_000));
}
