//! The links found so far: kept, listed, filtered, and what a damaged database does.

use std::fs;
use std::path::Path;
use std::time::Instant;

use bus::Memory;

use crate::common::Served;
use crate::feed::{Feed, PATIENCE, link, numbers};

fn listed(server: &Served, query: &str) -> Vec<u64> {
    numbers(&server.json(&format!("/links?{query}"))["links"])
}

/// The files beside the database whose names hold `what`.
fn moved_aside(database: &Path, what: &str) -> usize {
    let beside = fs::read_dir(database.parent().unwrap()).unwrap();
    let names = beside.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains(what) && !name.ends_with("-wal")).count()
}

#[test]
fn links_are_there_after_a_restart_each_once_and_exactly_as_they_were_told() {
    let folder = tempfile::tempdir().unwrap();
    let (bus, path) = (Memory::new(), folder.path().join("new/folder/links.db"));
    let feed = Feed::new(&bus, &path, 1000);
    feed.publish((0..20).map(link));
    feed.wait_for(20);
    drop(feed);
    crate::feed::publish(&bus, (10..30).map(link));
    let feed = Feed::new(&bus, &path, 1000);
    feed.wait_for(30);
    let server = feed.serve();
    let all = server.json("/links?limit=1000");
    assert_eq!(numbers(&all["links"]), (0..30).rev().collect::<Vec<_>>());
    assert_eq!((&all["links"][29], &all["next"]), (&link(0), &serde_json::Value::Null));
    assert_eq!(feed.history.check(), Ok(()));
    assert_eq!(server.json("/status")["links"], 30);
    assert_eq!(server.json("/status")["links_per_minute"], 30);
}

#[test]
fn the_oldest_go_and_numbers_are_never_given_again() {
    let folder = tempfile::tempdir().unwrap();
    let (bus, path) = (Memory::new(), folder.path().join("links.db"));
    let feed = Feed::new(&bus, &path, 10);
    feed.publish((0..25).map(link));
    let server = feed.serve();
    let end = Instant::now() + PATIENCE;
    while listed(&server, "") != (15..25).rev().collect::<Vec<_>>() {
        assert!(Instant::now() < end, "{:?}", listed(&server, ""));
    }
    drop((server, feed));
    let fewer = Feed::new(&bus, &path, 3);
    fewer.publish([link(25)]);
    fewer.wait_for(3);
    let server = fewer.serve();
    assert_eq!(listed(&server, ""), [25, 24, 23]);
    let (_, _, events) = server.curl("/links/stream?recent=1", &["--max-time", "1"]);
    let events = String::from_utf8(events).unwrap();
    assert!(events.contains("-26-"), "the 26th link that was kept: {events}");
}

#[test]
fn pages_hold_each_link_once_whatever_is_found_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let feed = Feed::new(&Memory::new(), &folder.path().join("links.db"), 1000);
    feed.publish((0..100).map(link));
    feed.wait_for(100);
    let server = feed.serve();
    let (mut seen, mut query) = (Vec::new(), "limit=30".to_owned());
    for published in (100u64..).step_by(20) {
        let page = server.json(&format!("/links?{query}"));
        seen.extend(numbers(&page["links"]));
        let Some(next) = page["next"].as_str() else { break };
        query = format!("limit=30&cursor={next}");
        feed.publish((published..published + 20).map(link));
        feed.wait_for(published + 20);
    }
    assert_eq!(seen, (0..100).rev().collect::<Vec<_>>());
    let exactly = server.json("/links?limit=10&problem_id=3");
    assert!(exactly["next"].is_string());
    let (status, _, body) = server.curl("/links?cursor=0123456789abcdef-5-0", &[]);
    assert_eq!(status, 422, "{}", String::from_utf8_lossy(&body));
}

#[test]
fn filters_choose() {
    let folder = tempfile::tempdir().unwrap();
    let feed = Feed::new(&Memory::new(), &folder.path().join("links.db"), 1000);
    feed.publish((0..40).map(link));
    feed.wait_for(40);
    let server = feed.serve();
    assert_eq!(listed(&server, "problem_id=7"), [37, 27, 17, 7]);
    assert_eq!(listed(&server, "problem_id=7&anomaly_id=1"), [37, 7]);
    let time = "from=2026-01-01T00:00:05Z&to=2026-01-01T03:00:07%2B03:00";
    assert_eq!(listed(&server, time), [7, 6, 5]);
    // «ОЧЕРЕДЬ РАСТЁТ NUMBER 12»
    let q = "q=%D0%9E%D0%A7%D0%95%D0%A0%D0%95%D0%94%D0%AC+%D0%A0%D0%90%D0%A1%D0%A2%D0%81%D0%A2+NUMBER+12";
    assert_eq!(listed(&server, q), [12]);
    assert_eq!(listed(&server, "q=%25"), [0; 0], "no wild cards");
    assert_eq!(listed(&server, "q=FELL+OUT+number+31"), [31]);
    assert_eq!(listed(&server, "file=a.log&limit=2"), [39, 38]);
    assert_eq!(listed(&server, "file=A.log"), [0; 0]);
    assert_eq!(listed(&server, "component=net&limit=1"), [39]);
    assert_eq!(listed(&server, "min_score=0.61&limit=1"), [39]);
    assert_eq!(listed(&server, "min_score=0.62"), [0; 0]);
    for wrong in [
        "limit=0",
        "limit=1001",
        "limit=x",
        "from=yesterday",
        "min_score=2",
        "problem_id=-1",
        "cursor=1",
    ] {
        let (status, _, body) = server.curl(&format!("/links?{wrong}"), &[]);
        assert_eq!(status, 422, "{wrong}: {}", String::from_utf8_lossy(&body));
    }
}

#[test]
fn a_file_that_is_no_database_of_links_is_moved_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("links.db");
    fs::write(&path, "this is no database, whatever its name says".repeat(100)).unwrap();
    let feed = Feed::new(&Memory::new(), &path, 1000);
    feed.publish([link(0)]);
    feed.wait_for(1);
    drop(feed);
    assert_eq!(moved_aside(&path, "damaged"), 1);
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let feed = Feed::new(&Memory::new(), &path, 1000);
    assert_eq!((feed.history.len(), moved_aside(&path, "other-version")), (0, 1));
    drop(feed);
    fs::remove_file(&path).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE links (mine)").unwrap();
    drop(other);
    let feed = Feed::new(&Memory::new(), &path, 1000);
    assert_eq!((feed.history.len(), moved_aside(&path, "foreign")), (0, 1));
}

#[test]
fn where_no_file_can_be_links_are_kept_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let feed = Feed::new(&Memory::new(), &folder.path().join("file/links.db"), 1000);
    feed.publish((0..5).map(link));
    feed.wait_for(5);
    assert_eq!(listed(&feed.serve(), ""), [4, 3, 2, 1, 0]);
    let trouble = feed.history.check().unwrap_err();
    assert!(trouble.contains("file/links.db") && trouble.contains("in memory"), "{trouble}");
}

#[test]
fn any_damage_to_the_file_ends_in_a_history_that_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("links.db");
    let feed = Feed::new(&Memory::new(), &path, 1000);
    feed.publish((0..50).map(link));
    feed.wait_for(50);
    drop(feed);
    let whole = fs::read(&path).unwrap();
    for start in (0..whole.len()).step_by(4001) {
        let mut damaged = whole.clone();
        let end = (start + 1500).min(damaged.len());
        damaged[start..end].fill(0xa5);
        fs::write(&path, &damaged).unwrap();
        let feed = Feed::new(&Memory::new(), &path, 1000);
        let server = feed.serve();
        feed.publish([link(1000)]);
        let is_listed = || {
            let (status, _, body) = server.curl("/links?limit=1", &[]);
            let page: serde_json::Value = serde_json::from_slice(&body).unwrap();
            status == 200 && numbers(&page["links"]) == [1000]
        };
        let end = Instant::now() + PATIENCE;
        while !is_listed() {
            assert!(Instant::now() < end, "damage at {start}");
            // A database that turns out to be damaged is filled from the bus, which here forgot.
            feed.publish([link(1000)]);
            server.curl("/links?limit=1000", &[]);
        }
        drop((server, feed));
        for end in ["-wal", "-shm"] {
            let _ = fs::remove_file(format!("{}{end}", path.display()));
        }
    }
}
