//! What goes well: the live path finds what a batch analysis finds.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use crate::common::{Suite, data, incident, links, write_storm};

const ALL: &str = "match,link,alert,api";

#[test]
fn the_links_of_the_example_data_are_found_once_however_often_they_are_replayed() {
    let suite = Suite::new().with_logs(data().join("logs"));
    let backend = suite.backend(ALL);
    backend.wait_until_ready();
    assert!(suite.replay(&[("LOOPS", "3"), ("LOOP_PAUSE", "0")]).wait());
    let count = suite.expect_links_of_batch();

    let expected = data().join("expected_links.csv");
    assert_eq!(count, csv::Reader::from_path(expected).unwrap().records().count());
    backend.wait_for("/metrics", |_, text| {
        crate::common::metric(text, "foreshock_events_read_total", "") >= 3.0 * 8014.0
    });
    assert_eq!(backend.metric("foreshock_links_total", ""), count as f64);
    assert!(backend.metric("foreshock_events_repeated_total", "") > 0.0, "those of later loops");
    assert!(backend.log().contains("link: ERROR"), "alerts are told in the log");
    backend.wait_for("/links?limit=1000", |_, page| links(page).len() == count);
    let (status, page) = backend.get("/links?limit=3").unwrap();
    assert_eq!((status, links(&page).len()), (200, 3));
}

#[test]
fn the_labelled_incident_at_full_speed_gives_exactly_its_links() {
    let mut suite = Suite::new();
    let Some((logs, dictionary)) = incident(suite.folder.path()) else { return };
    suite.dictionary = dictionary;
    let suite = suite.with_logs(logs);
    let backend = suite.backend(ALL);
    backend.wait_until_ready();
    assert!(suite.replay(&[]).wait());
    assert_eq!(suite.expect_links_of_batch(), 3);
    expect_rows_of_the_incident(&suite);
}

/// The rows that whoever made the incident expects.
pub fn expect_rows_of_the_incident(suite: &Suite) {
    let path = suite.folder.path().join("case2.expected.csv");
    let expected: BTreeSet<(String, String, String, String)> = csv::Reader::from_path(path)
        .unwrap()
        .records()
        .map(|row| {
            let row = row.unwrap();
            (row[0].into(), row[1].into(), row[2].into(), row[3].into())
        })
        .collect();
    let mut reader = suite.reader("links");
    reader.wait_for("the links", |seen| seen.len() >= expected.len());
    let found: BTreeSet<(String, String, String, String)> = reader
        .seen
        .iter()
        .map(|link| {
            let event = &link["problem"]["event"];
            (
                link["anomaly"]["id"].to_string(),
                link["problem"]["id"].to_string(),
                event["file"].as_str().unwrap().to_owned(),
                event["line"].to_string(),
            )
        })
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn three_backends_share_the_labelled_incident_and_find_its_links() {
    let mut suite = Suite::new();
    let Some((logs, dictionary)) = incident(suite.folder.path()) else { return };
    suite.dictionary = dictionary;
    let suite = suite.with_logs(logs);
    let backends = [(); 3].map(|()| suite.backend("match,link"));
    backends.iter().for_each(|backend| backend.wait_until_ready());
    assert!(suite.replay(&[]).wait());
    assert_eq!(suite.expect_links_of_batch(), 3);
    expect_rows_of_the_incident(&suite);
}

#[test]
fn three_backends_find_thousands_of_links_and_share_the_work() {
    let mut suite = Suite::new();
    suite.window = "5m";
    write_storm(&suite, 4000);
    let backends = [(); 3].map(|()| suite.backend("match,link"));
    backends.iter().for_each(|backend| backend.wait_until_ready());
    let replay = suite.replay(&[("SPEED", "400")]);
    assert!(replay.wait());
    assert!(suite.expect_links_of_batch() > 1000);
    let shares = backends.each_ref().map(|it| it.metric("foreshock_links_total", ""));
    assert!(shares.iter().filter(|share| **share > 0.0).count() > 1, "{shares:?}");
}

#[test]
fn roles_can_be_services_of_their_own_and_come_in_any_order() {
    let mut suite = Suite::new();
    suite.window = "5m";
    write_storm(&suite, 1500);
    assert!(suite.replay(&[]).wait(), "nobody reads yet");
    let matching = suite.backend("match");
    matching.wait_until_ready();
    thread::sleep(Duration::from_secs(1));
    let linking = suite.backend("link");
    suite.expect_links_of_batch();
    assert_eq!(matching.metric("foreshock_links_total", ""), 0.0);
    assert_eq!(linking.metric("foreshock_events_read_total", ""), 0.0);
}

#[test]
fn a_new_topic_is_found_while_the_suite_runs() {
    let suite = Suite::new();
    let backend = suite.backend("match,link");
    backend.wait_until_ready();
    std::fs::write(suite.logs().join("one.log"), one_link("10:00:00")).unwrap();
    assert!(suite.replay(&[]).wait());
    suite.reader("links").wait_for("the first link", |seen| !seen.is_empty());
    std::fs::remove_file(suite.logs().join("one.log")).unwrap();
    std::fs::write(suite.logs().join("two.log"), one_link("10:30:00")).unwrap();
    assert!(suite.replay(&[]).wait());
    // One within each log, and one from each to the other.
    suite.reader("links").wait_for("all links", |seen| seen.len() >= 4);
}

/// A log of one link.
fn one_link(time: &str) -> String {
    format!(
        "2026-03-01T{time} WARNING db: Replica apply queue growing\n\
         2026-03-01T{time} ERROR db: Replica fell out of step with primary\n"
    )
}
