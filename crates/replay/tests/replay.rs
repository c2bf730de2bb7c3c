//! The replay of real folders, to a bus that is a tape, and to the real ones.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bus::{Bus, BusError, Consumer, Memory, NewTopic, Outgoing, Producer, Subscription, Topics};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use replay::{Replayed, Settings, Timestamps};
use serde_json::Value;
use tempfile::TempDir;

/// A record that was sent.
#[derive(Clone, Debug)]
struct Sent {
    topic: String,
    key: String,
    value: Value,
}

impl Sent {
    fn text(&self, field: &str) -> &str {
        self.value[field].as_str().unwrap_or_else(|| panic!("no {field} in {}", self.value))
    }

    fn line(&self) -> u64 {
        self.value["line"].as_u64().unwrap()
    }

    fn time(&self) -> Timestamp {
        let stamp = parse::parse_timestamp(self.text("timestamp").as_bytes()).unwrap();
        stamp.instant(&TimeZone::UTC).unwrap()
    }
}

/// Keeps what is sent, over all topics in its order.
#[derive(Clone, Default)]
struct Tape(std::sync::Arc<Mutex<Vec<Sent>>>);

impl Tape {
    fn records(&self) -> Vec<Sent> {
        self.0.lock().unwrap().clone()
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl Bus for Tape {
    fn producer(&self) -> Result<Box<dyn Producer>, BusError> {
        Ok(Box::new(self.clone()))
    }

    fn consumer(&self, _: &Subscription) -> Result<Box<dyn Consumer>, BusError> {
        Err(BusError::Refused("a tape is only recorded".to_owned()))
    }

    fn create_topics(&self, topics: &[NewTopic]) -> Result<(), BusError> {
        assert!(topics.iter().all(|topic| topic.partitions == 1));
        Ok(())
    }

    fn check(&self) -> Result<(), BusError> {
        Ok(())
    }
}

impl Producer for Tape {
    fn send(&mut self, record: &Outgoing) -> Result<bool, BusError> {
        self.0.lock().unwrap().push(Sent {
            topic: record.topic.to_owned(),
            key: String::from_utf8(record.key.unwrap().to_vec()).unwrap(),
            value: serde_json::from_slice(record.payload).unwrap(),
        });
        Ok(true)
    }

    fn flush(&mut self, _: Duration) -> Result<bool, BusError> {
        Ok(true)
    }
}

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

/// Everything once, as fast as possible.
fn once(folder: &Path) -> Settings {
    let folder = folder.to_owned();
    Settings { folder, speed: 0.0, loops: 1, loop_pause: Duration::ZERO, ..Settings::default() }
}

fn play(settings: &Settings) -> (Vec<Sent>, Replayed) {
    let tape = Tape::default();
    let replayed = replay::run(settings, &tape, &|| false).unwrap();
    assert_eq!(replayed.events as usize, tape.len());
    (tape.records(), replayed)
}

fn lines(sent: &[Sent]) -> Vec<(&str, u64)> {
    sent.iter().map(|sent| (sent.text("file"), sent.line())).collect()
}

#[test]
fn events_of_all_files_and_levels_come_in_the_order_of_their_time() {
    let folder = folder(&[
        (
            "b.txt",
            b"2025-10-06T07:00:01 INFO app: started\n\
              not an event\n\
              2025-10-06T07:00:03 err db: lost\n\
              2025-10-06T10:00:04+03:00 DEBUG db: again",
        ),
        ("a.log", b"2025-10-06T07:00:03 TRACE net: up\n2025-10-06T07:00:03 WARN net: down\n\n"),
        ("empty.txt", b""),
        ("notes.md", b"2025-10-06T07:00:01 INFO app: not a log\n"),
    ]);
    fs::create_dir(folder.path().join("inner")).unwrap();
    fs::write(folder.path().join("inner/c.txt"), "2025-10-06T07:00:01 INFO x: y\n").unwrap();
    let (sent, replayed) = play(&once(folder.path()));
    let expected = [("b.txt", 1), ("a.log", 1), ("a.log", 2), ("b.txt", 3), ("b.txt", 4)];
    assert_eq!(lines(&sent), expected);
    let expected = serde_json::json!({
        "timestamp": "2025-10-06T07:00:03", "level": "err", "component": "db", "message": "lost",
        "file": "b.txt", "line": 3, "raw": "2025-10-06T07:00:03 err db: lost",
    });
    assert_eq!(sent[3].value, expected);
    assert_eq!((sent[3].topic.as_str(), sent[3].key.as_str()), ("logs.b", "b.txt"));
    assert_eq!(replayed, Replayed { loops: 1, events: 5, skipped: 2, refused: 0 });
}

#[test]
fn the_zone_of_the_logs_decides_the_order() {
    let folder = folder(&[
        ("a.txt", b"2025-10-06T10:00:00 INFO x: one\n"),
        ("b.txt", b"2025-10-06T08:00:00Z INFO x: two\n"),
    ]);
    let settings = once(folder.path());
    assert_eq!(lines(&play(&settings).0), [("b.txt", 1), ("a.txt", 1)]);
    let zone = TimeZone::get("Europe/Moscow").unwrap();
    let sent = play(&Settings { zone, ..settings }).0;
    assert_eq!(lines(&sent), [("a.txt", 1), ("b.txt", 1)]);
}

#[test]
fn every_encoding_and_line_end_is_read() {
    let utf16: Vec<u8> = "\u{feff}2025-10-06T07:00:02 INFO диск: Сбой\r\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let folder = folder(&[
        ("bom.txt", b"\xef\xbb\xbf2025-10-06T07:00:01 INFO a: one\r\n"),
        ("cp1251.TXT", b"2025-10-06T07:00:03 INFO \xe4\xe8\xf1\xea: \xd1\xe1\xee\xe9\n"),
        ("utf16.LOG", &utf16),
    ]);
    let (sent, _) = play(&once(folder.path()));
    let said: Vec<_> = sent
        .iter()
        .map(|sent| (sent.topic.as_str(), sent.text("component"), sent.text("message")))
        .collect();
    let expected =
        [("logs.bom", "a", "one"), ("logs.utf16", "диск", "Сбой"), ("logs.cp1251", "диск", "Сбой")];
    assert_eq!(said, expected);
    assert!(sent.iter().all(|sent| !sent.text("raw").contains(['\r', '\n', '\u{feff}'])));
}

#[test]
fn a_file_that_cannot_be_read_is_left_out_and_the_others_go_on() {
    let folder = folder(&[
        ("a.txt", b"2025-10-06T07:00:01 INFO a: one\n"),
        ("program.log", b"\x7fELF\x02\x01\x01\0\0\0"),
    ]);
    #[cfg(unix)]
    std::os::unix::fs::symlink("/nowhere/at/all", folder.path().join("gone.txt")).unwrap();
    let (sent, _) = play(&once(folder.path()));
    assert_eq!(lines(&sent), [("a.txt", 1)]);
}

#[test]
fn a_line_longer_than_the_parser_reads_is_cut_as_it_cuts_it() {
    let mut log = format!("2025-10-06T07:00:01 INFO a: {}\n", "x".repeat(70 * 1024));
    log += "2025-10-06T07:00:02 INFO a: short\n";
    let folder = folder(&[("a.txt", log.as_bytes())]);
    let (sent, _) = play(&once(folder.path()));
    assert_eq!(lines(&sent), [("a.txt", 1), ("a.txt", 2)]);
    assert_eq!(sent[0].text("raw"), &log[..parse::MAX_LINE]);
}

#[test]
fn files_with_hostile_names_have_topics_of_their_own() {
    let names =
        ["a.txt", "a.log", "a b.txt", "a_b.txt", "a.b.txt", "ошибки.log", "x\ny.txt", "$(id).log"];
    let line: &[u8] = b"2025-10-06T07:00:01 INFO a: one\n";
    let folder = folder(&names.map(|name| (name, line)));
    let (sent, _) = play(&once(folder.path()));
    let mut topics: HashMap<String, String> = HashMap::new();
    for sent in &sent {
        assert_eq!(sent.key, sent.text("file"));
        topics.insert(sent.topic.replace('.', "_"), sent.key.clone());
    }
    assert_eq!((sent.len(), topics.len()), (names.len(), names.len()), "{topics:?}");
}

/// A log of `count` events with times that `second` tells.
fn log(count: usize, second: impl Fn(usize) -> i64) -> Vec<u8> {
    let mut log = String::new();
    for number in 0..count {
        let time = Timestamp::from_second(1_760_000_000 + second(number)).unwrap();
        log += &format!("{} INFO app: event {number}\n", time.strftime("%Y-%m-%dT%H:%M:%S"));
    }
    log.into_bytes()
}

#[test]
fn a_file_much_larger_than_a_run_is_sorted() {
    let jumbled = log(20_000, |number| (number as i64 * 7_919) % 20_011);
    let folder = folder(&[("a.txt", &log(5_000, |number| number as i64)), ("b.txt", &jumbled)]);
    let settings = Settings { sorting: 100_000, loops: 2, ..once(folder.path()) };
    let (sent, replayed) = play(&settings);
    assert_eq!((sent.len(), replayed.loops), (50_000, 2));
    for sent in sent.chunks(25_000) {
        let keys: Vec<_> =
            sent.iter().map(|sent| (sent.time(), sent.text("file"), sent.line())).collect();
        assert!(keys.is_sorted_by(|one, other| one < other));
    }
}

#[test]
fn more_files_than_are_kept_open_come_in_order_all_the_same() {
    let folder = TempDir::new().unwrap();
    for file in 0..300 {
        let name = folder.path().join(format!("{file:03}.txt"));
        fs::write(name, log(20, |number| (number * 300 + file) as i64)).unwrap();
    }
    let (sent, _) = play(&Settings { sorting: 10_000, ..once(folder.path()) });
    assert_eq!(sent.len(), 6_000);
    assert!(sent.is_sorted_by(|one, other| one.time() < other.time()));
}

#[test]
fn a_file_that_comes_or_changes_is_seen_by_the_next_loop() {
    let folder = folder(&[("b.txt", b"2025-10-06T07:00:02 INFO x: b\n")]);
    let (tape, change) = (Tape::default(), AtomicUsize::new(0));
    // Asked when the first loop has sent its event, before the second one looks.
    let look = || {
        if tape.len() == 1 && change.fetch_add(1, Ordering::Relaxed) == 0 {
            let jumbled = "2025-10-06T07:00:03 INFO x: c\n2025-10-06T07:00:01 INFO x: d\n";
            fs::write(folder.path().join("a.txt"), jumbled).unwrap();
            let longer = "2025-10-06T07:00:02 INFO x: b\n2025-10-06T07:00:04 INFO x: e\n";
            fs::write(folder.path().join("b.txt"), longer).unwrap();
        }
        false
    };
    let pause = Duration::from_millis(1);
    let settings = Settings { loops: 2, loop_pause: pause, ..once(folder.path()) };
    replay::run(&settings, &tape, &look).unwrap();
    let sent = tape.records();
    let said: Vec<_> = sent.iter().map(|sent| sent.text("message")).collect();
    assert_eq!(said, ["b", "d", "b", "c", "e"]);
}

#[test]
fn an_empty_folder_is_waited_for() {
    let folder = folder(&[]);
    let (tape, asked) = (Tape::default(), AtomicUsize::new(0));
    let look = || {
        if asked.fetch_add(1, Ordering::Relaxed) == 5 {
            fs::write(folder.path().join("a.txt"), "2025-10-06T07:00:01 INFO x: y\n").unwrap();
        }
        false
    };
    replay::run(&once(folder.path()), &tape, &look).unwrap();
    assert_eq!(tape.len(), 1);
}

#[test]
fn a_wish_to_stop_ends_an_endless_replay_a_long_pause_and_an_empty_folder() {
    let day_apart = b"2025-10-06T07:00:00 INFO x: y\n2025-10-07T07:00:00 INFO x: y\n";
    let full = folder(&[("a.txt", day_apart)]);
    let empty = folder(&[]);
    let long = Duration::from_secs(3600);
    for settings in [
        Settings { loops: 0, ..once(full.path()) },
        Settings { loops: 2, loop_pause: long, ..once(full.path()) },
        Settings { speed: 1.0, ..once(full.path()) },
        Settings { speed: 1.0, jitter: long, ..once(full.path()) },
        once(empty.path()),
    ] {
        let asked = AtomicUsize::new(0);
        let stopped = || asked.fetch_add(1, Ordering::Relaxed) > 20;
        replay::run(&settings, &Tape::default(), &stopped).unwrap();
    }
}

#[test]
fn new_timestamps_are_strictly_ordered_and_stand_in_the_lines_too() {
    let odd = b"2025-10-09T08:53:21,5 INFO \"quoted\": \\ one\n2025-10-09 08:53 WARN x: two\n";
    let folder = folder(&[("a.txt", &log(500, |number| number as i64 / 10)), ("b.txt", odd)]);
    for speed in [0.0, 1_000.0] {
        let timestamps = Timestamps::Now;
        let before = Timestamp::now();
        let (sent, _) = play(&Settings { timestamps, speed, loops: 2, ..once(folder.path()) });
        assert_eq!(sent.len(), 1_004);
        assert!(sent.is_sorted_by(|one, other| one.time() < other.time()));
        assert!(sent[0].time() >= before);
        for sent in sent {
            let event = parse::plain::parse_line(sent.text("raw"), &TimeZone::UTC).unwrap();
            assert_eq!(event.time, sent.time());
            assert_eq!(event.timestamp, sent.text("timestamp"));
            assert_eq!(event.component, sent.text("component"));
            assert_eq!(event.message, sent.text("message"));
        }
    }
}

#[test]
fn speed_and_jitter_keep_the_order_within_a_topic_and_lose_nothing() {
    let second = |number: usize| number as i64 / 3;
    let folder = folder(&[("a.txt", &log(2_000, second)), ("b.txt", &log(2_000, second))]);
    for jitter in [0, 20] {
        let jitter = Duration::from_millis(jitter);
        let (sent, _) = play(&Settings { speed: 5_000.0, jitter, ..once(folder.path()) });
        assert_eq!(sent.len(), 4_000);
        for file in ["a.txt", "b.txt"] {
            let lines: Vec<u64> =
                sent.iter().filter(|sent| sent.key == file).map(Sent::line).collect();
            assert!(lines.into_iter().eq(1..=2_000), "{file} with {jitter:?}");
        }
    }
}

/// Lines of a log, in order or not, with what is no event among them.
fn any_log() -> impl Strategy<Value = String> {
    let event = (0..40i64, 0..3u32, "[a-zа-я\"\\\\:]{0,6}").prop_map(|(second, form, text)| {
        let time = Timestamp::from_second(1_760_000_000 + second).unwrap();
        let form =
            ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S.250", "%Y-%m-%dT%H:%M:%SZ"][form as usize];
        format!("{} WARN {text}: {text}\n", time.strftime(form))
    });
    let line =
        prop_oneof![8 => event, 1 => Just("\n".to_owned()), 1 => Just("  at x\n".to_owned())];
    (prop::collection::vec(line, 0..60), any::<bool>()).prop_map(|(mut lines, sorted)| {
        if sorted {
            lines.sort();
        }
        lines.concat()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_files_give_every_event_once_in_the_order_of_time_file_and_line(
        logs in prop::collection::vec(any_log(), 0..6), run in 1..4_000usize,
    ) {
        let names = ["b.txt", "a.log", "B.txt", "a b.txt", "ж.log", "a.txt"];
        let mut files: Vec<(&str, &[u8])> =
            names.into_iter().zip(&logs).map(|(name, log)| (name, log.as_bytes())).collect();
        files.push(("z.txt", b"2030-01-01T00:00:00 INFO the: last\n"));
        let folder = folder(&files);
        let (sent, replayed) = play(&Settings { sorting: run, ..once(folder.path()) });
        let mut expected = Vec::new();
        let mut skipped = 0;
        for (name, log) in &files {
            for (index, raw) in std::str::from_utf8(log).unwrap().lines().enumerate() {
                match parse::plain::parse_line(raw, &TimeZone::UTC) {
                    Some(event) => expected.push((event.time, *name, index as u64 + 1, raw)),
                    None => skipped += 1,
                }
            }
        }
        expected.sort();
        let sent: Vec<_> = sent
            .iter()
            .map(|sent| (sent.time(), sent.text("file"), sent.line(), sent.text("raw")))
            .collect();
        prop_assert_eq!(sent, expected);
        prop_assert_eq!(replayed.skipped, skipped);
    }
}

/// Receives `count` records of the topics that begin with `prefix`, and what comes at once after
/// them.
fn receive(bus: &dyn Bus, prefix: &str, count: usize) -> Vec<Sent> {
    let group = testing::unique("replay-test");
    let topics = Topics::WithPrefix(format!("{prefix}."));
    let mut consumer = bus.consumer(&Subscription { group, topics }).unwrap();
    let mut received = Vec::new();
    let mut positions: HashMap<bus::Partition, i64> = HashMap::new();
    let mut complete = false;
    while !complete {
        complete = received.len() >= count;
        consumer
            .poll(1_000, Duration::from_millis(200), &mut |record| {
                let partition =
                    bus::Partition { topic: record.topic.into(), number: record.partition };
                positions.insert(partition, record.offset + 1);
                received.push(Sent {
                    topic: record.topic.to_owned(),
                    key: String::from_utf8(record.key.unwrap().to_vec()).unwrap(),
                    value: serde_json::from_slice(record.payload).unwrap(),
                });
            })
            .unwrap();
        let position = |(partition, next): (bus::Partition, i64)| bus::Position {
            partition,
            next,
            rebuild: next,
        };
        let positions: Vec<_> = positions.drain().map(position).collect();
        consumer.commit(&positions).unwrap();
    }
    received
}

/// Replays two files to `bus` and checks that each topic has each line once, in order.
fn plays_everything_in_order(bus: &dyn Bus) {
    let prefix = testing::unique("logs");
    let count = 10_000;
    let folder = folder(&[
        ("a.txt", &log(count, |number| number as i64)),
        ("b c.log", &log(count, |number| number as i64 / 2)),
    ]);
    let settings = Settings { topic_prefix: prefix.clone(), ..once(folder.path()) };
    std::thread::scope(|scope| {
        let replay = scope.spawn(|| replay::run(&settings, bus, &|| false).unwrap());
        let received = receive(bus, &prefix, 2 * count);
        assert_eq!(replay.join().unwrap().events, 2 * count as u64);
        each_file_in_order(&received, &["a.txt", "b c.log"], count);
    });
}

fn each_file_in_order(received: &[Sent], files: &[&str], count: usize) {
    for file in files {
        let of_file: Vec<&Sent> = received.iter().filter(|sent| sent.key == *file).collect();
        assert!(of_file.iter().map(|sent| sent.line()).eq(1..=count as u64), "{file}");
        assert!(of_file.iter().all(|sent| sent.topic == of_file[0].topic));
    }
}

#[test]
fn the_bus_in_the_process_gets_everything_in_order() {
    plays_everything_in_order(&Memory::new());
}

#[test]
fn a_stop_ends_a_replay_that_a_full_bus_holds_up() {
    let folder = folder(&[("a.txt", &log(20_000, |number| number as i64))]);
    let (bus, stop) = (Memory::new(), AtomicBool::new(false));
    let (settings, stopped) = (once(folder.path()), || stop.load(Ordering::Relaxed));
    std::thread::scope(|scope| {
        let replay = scope.spawn(|| replay::run(&settings, &bus, &stopped).unwrap());
        receive(&bus, "logs", 1);
        stop.store(true, Ordering::Relaxed);
        let events = replay.join().unwrap().events;
        assert!((1..20_000).contains(&events), "{events}");
    });
}

#[cfg(feature = "kafka")]
mod kafka {
    use std::process::{Command, Stdio};

    use bus::{Kafka, KafkaSettings};

    use super::*;

    fn kafka(bootstrap: &str) -> Kafka {
        let client_id = "replay-test".to_owned();
        Kafka::new(KafkaSettings { bootstrap: bootstrap.to_owned(), client_id }).unwrap()
    }

    #[test]
    fn kafka_gets_everything_in_order() {
        plays_everything_in_order(&kafka(testing::kafka()));
    }

    #[test]
    fn a_broker_that_is_away_in_the_middle_loses_doubles_and_reorders_nothing() {
        if !testing::own_services() {
            return;
        }
        let mut broker = testing::Kafka::start();
        let bus = kafka(broker.bootstrap());
        let count = 3_000;
        let folder = folder(&[
            ("a.txt", &log(count, |number| number as i64)),
            ("b.txt", &log(count, |number| number as i64)),
        ]);
        // About ten seconds.
        let settings = Settings { speed: 300.0, ..once(folder.path()) };
        std::thread::scope(|scope| {
            let replay = scope.spawn(|| replay::run(&settings, &bus, &|| false).unwrap());
            receive(&bus, "logs", 500);
            broker.stop();
            std::thread::sleep(Duration::from_secs(5));
            broker.start_again();
            assert_eq!(replay.join().unwrap().events, 2 * count as u64);
        });
        let received = receive(&bus, "logs", 2 * count);
        each_file_in_order(&received, &["a.txt", "b.txt"], count);
    }

    fn binary(folder: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_replay"));
        command.env("LOG_DIR", folder).env("HTTP_PORT", "0").stderr(Stdio::piped());
        command
    }

    #[test]
    fn a_setting_that_makes_no_sense_is_refused_with_one_line_that_names_it() {
        let folder = folder(&[]);
        for (name, value) in [("SPEED", "-1"), ("TOPIC_PREFIX", "my logs"), ("LOG_DIR", "/nowhere")]
        {
            let output = binary(folder.path()).env(name, value).output().unwrap();
            assert_eq!(output.status.code(), Some(2), "{name}");
            let said = String::from_utf8(output.stderr).unwrap();
            let named = [name.to_owned(), name.to_lowercase().replace('_', "-")];
            let first = said.lines().next().unwrap();
            assert!(named.iter().any(|name| first.contains(name)), "{said}");
            assert!(first.contains(value), "{said}");
        }
    }

    #[test]
    fn the_binary_replays_its_loops_and_ends() {
        let folder = folder(&[("a.txt", &log(10, |number| number as i64))]);
        let prefix = testing::unique("logs");
        let output = binary(folder.path())
            .env("KAFKA_BOOTSTRAP", testing::kafka())
            .env("TOPIC_PREFIX", &prefix)
            .env("SPEED", "0")
            .env("LOOPS", "2")
            .env("LOOP_PAUSE", "0")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        assert!(said.contains(&format!("TOPIC_PREFIX={prefix}")), "{said}");
        assert_eq!(receive(&kafka(testing::kafka()), &prefix, 20).len(), 20);
    }

    #[test]
    fn the_binary_stops_by_a_signal_while_it_waits_for_a_broker() {
        let folder = folder(&[("a.txt", &log(10, |number| number as i64))]);
        // Nothing listens there.
        let mut replay =
            binary(folder.path()).env("KAFKA_BOOTSTRAP", "127.0.0.1:9").spawn().unwrap();
        let mut said = std::io::BufReader::new(replay.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("waiting for the bus") {
            line.clear();
            std::io::BufRead::read_line(&mut said, &mut line).unwrap();
        }
        let id = replay.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        assert!(replay.wait().unwrap().success());
    }
}
