//! Links as they are found, to clients that come and go.

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bus::Memory;
use serde_json::Value;
use testing::made_up::Random;

use crate::common::Served;
use crate::feed::{Feed, PATIENCE, link, number, publish};

/// A client that remembers what browsers do.
#[derive(Default)]
struct Client {
    last_id: Option<String>,
    seen: Vec<u64>,
}

impl Client {
    /// Listens for a time, and goes on where it was.
    fn listen(&mut self, server: &Served, query: &str, seconds: f64) {
        let mut command = Command::new("curl");
        command.args(["--silent", "--no-buffer", "--fail", "--max-time", &seconds.to_string()]);
        if let Some(id) = &self.last_id {
            command.args(["-H", &format!("Last-Event-ID: {id}")]);
        }
        let output = command.arg(format!("{}/links/stream?{query}", server.address)).output();
        let output = output.expect("curl runs");
        assert_eq!(output.status.code(), Some(28), "it listened for its time");
        self.take(&String::from_utf8_lossy(&output.stdout));
    }

    /// Takes whole events; what was cut off will come again.
    fn take(&mut self, text: &str) {
        let whole = text.rfind("\n\n").map_or("", |end| &text[..end]);
        for event in whole.split("\n\n") {
            let field = |name: &str| {
                event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            };
            if let Some(data) = field("data") {
                assert_eq!(field("event"), Some("link"));
                self.seen.push(number(&serde_json::from_str::<Value>(data).unwrap()));
            }
            if let Some(id) = field("id") {
                self.last_id = Some(id.to_owned());
            }
        }
    }
}

#[test]
fn clients_that_come_and_go_miss_nothing_though_the_server_starts_again() {
    const LINKS: u64 = 6000;
    let folder = tempfile::tempdir().unwrap();
    let (bus, path) = (Memory::new(), folder.path().join("links.db"));
    let mut feed = Feed::new(&bus, &path, 1_000_000);
    let mut server = feed.serve();
    let (mut all, mut some) = (Client::default(), Client::default());
    for client in [&mut all, &mut some] {
        client.listen(&server, "", 0.2);
        assert!(client.last_id.is_some(), "a place to go on from, before the first link");
    }
    let to = bus.clone();
    let publisher = thread::spawn(move || {
        for first in (0..LINKS).step_by(20) {
            publish(&to, (first..first + 20).map(link));
            thread::sleep(Duration::from_millis(10));
        }
    });
    let (mut random, end) = (Random(7), Instant::now() + PATIENCE);
    let mut restarts = 0;
    while all.seen.len() < LINKS as usize {
        assert!(Instant::now() < end, "{} links", all.seen.len());
        let seconds = 0.02 + random.below(30) as f64 / 100.0;
        thread::scope(|scope| {
            scope.spawn(|| all.listen(&server, "", seconds));
            scope.spawn(|| some.listen(&server, "problem_id=3", seconds));
        });
        if restarts < 3 && all.seen.len() > restarts * 1500 {
            restarts += 1;
            drop((server, feed));
            feed = Feed::new(&bus, &path, 1_000_000);
            server = feed.serve();
        }
    }
    publisher.join().unwrap();
    some.listen(&server, "problem_id=3", 0.5);
    assert_eq!(restarts, 3);
    assert_eq!(all.seen, (0..LINKS).collect::<Vec<_>>(), "each once, in their order");
    assert_eq!(some.seen, (3..LINKS).step_by(10).collect::<Vec<_>>());
}

#[test]
fn a_new_client_is_told_of_the_recent_links_first_if_it_wants() {
    let folder = tempfile::tempdir().unwrap();
    let feed = Feed::new(&Memory::new(), &folder.path().join("links.db"), 1000);
    feed.publish((0..50).map(link));
    feed.wait_for(50);
    let server = feed.serve();
    for (query, expected) in [
        ("", vec![]),
        ("recent=0", vec![]),
        ("recent=3", vec![47, 48, 49]),
        ("recent=3&problem_id=4", vec![24, 34, 44]),
        ("recent=1000&problem_id=4", vec![4, 14, 24, 34, 44]),
    ] {
        let mut client = Client::default();
        client.listen(&server, query, 0.3);
        assert_eq!(client.seen, expected, "{query}");
        client.listen(&server, query, 0.3);
        assert_eq!(client.seen, expected, "{query}: it goes on, and does not begin anew");
    }
    for wrong in ["recent=1001", "recent=-1", "last_event_id=x", "last_event_id=1-2-3"] {
        let (status, _, body) = server.curl(&format!("/links/stream?{wrong}"), &[]);
        assert_eq!(status, 422, "{wrong}: {}", String::from_utf8_lossy(&body));
    }
}

#[test]
fn an_id_of_another_database_goes_on_a_minute_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let feed = Feed::new(&Memory::new(), &folder.path().join("links.db"), 1000);
    feed.publish((0..5).map(link));
    feed.wait_for(5);
    let server = feed.serve();
    let now = live::now();
    for (found, expected) in [(now, vec![0, 1, 2, 3, 4]), (now + 120_000, vec![])] {
        let mut client = Client::default();
        let query = format!("last_event_id=0123456789abcdef-3-{found}");
        client.listen(&server, &query, 0.3);
        assert_eq!(client.seen, expected);
    }
}

/// Starts a client that listens until the server ends.
fn listener(server: &Served) -> Child {
    let mut command = Command::new("curl");
    command.args(["--silent", "--no-buffer", "--max-time", "60"]);
    command.arg(format!("{}/links/stream?recent=1000", server.address));
    command.stdout(Stdio::piped()).spawn().unwrap()
}

#[test]
fn streams_end_whole_when_everything_ends() {
    let folder = tempfile::tempdir().unwrap();
    let feed = Feed::new(&Memory::new(), &folder.path().join("links.db"), 1000);
    feed.publish((0..10).map(link));
    feed.wait_for(10);
    let (stop, history) = (service::Stop::new(), std::sync::Arc::clone(&feed.history));
    let server = Served::with(|api| {
        api.history = history;
        api.stop = stop.clone();
    });
    let clients = [listener(&server), listener(&server)];
    thread::sleep(Duration::from_millis(500));
    stop.stop();
    for client in clients {
        let output = client.wait_with_output().unwrap();
        assert!(output.status.success(), "the answer was ended, not cut: {}", output.status);
        let mut client = Client::default();
        client.take(&String::from_utf8(output.stdout).unwrap());
        assert_eq!(client.seen, (0..10).collect::<Vec<_>>());
    }
}

#[test]
fn a_client_that_does_not_read_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let feed = Feed::new(&Memory::new(), &folder.path().join("links.db"), 1_000_000);
    let server = feed.serve();
    let slow: Vec<_> = (0..50)
        .map(|_| {
            let mut stream = server.connect();
            let request = "GET /links/stream?recent=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n";
            std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
            stream
        })
        .collect();
    let done = AtomicBool::new(false);
    let mut client = Client::default();
    client.listen(&server, "", 0.2);
    thread::scope(|scope| {
        scope.spawn(|| {
            feed.publish((0..20_000).map(link));
            feed.wait_for(20_000);
            done.store(true, Ordering::Relaxed);
        });
        while !done.load(Ordering::Relaxed) {
            client.listen(&server, "", 1.0);
        }
    });
    client.listen(&server, "", 5.0);
    assert_eq!(client.seen.iter().collect::<BTreeSet<_>>().len(), 20_000);
    drop(slow);
}
