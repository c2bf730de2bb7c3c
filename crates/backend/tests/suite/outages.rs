//! What goes wrong around the suite: processes that die, services that go away.

use std::thread;
use std::time::Duration;

use testing::{Kafka, Redis, Triton};

use crate::common::{Process, Suite, incident, metric, write_storm};
use crate::streaming::expect_rows_of_the_incident;

/// How long a service is away.
const OUTAGE: Duration = Duration::from_secs(10);

/// A storm of links that takes some twenty seconds to replay.
fn storm(mut suite: Suite) -> Suite {
    suite.window = "5m";
    write_storm(&suite, 4000);
    suite
}

const TWENTY_SECONDS: [(&str, &str); 1] = [("SPEED", "200")];

#[test]
fn a_backend_that_is_killed_in_mid_stream_loses_doubles_and_invents_nothing() {
    let suite = storm(Suite::new());
    let [first, second, third] = [(); 3].map(|()| suite.backend("match,link"));
    [&first, &second, &third].iter().for_each(|backend| backend.wait_until_ready());
    let replay = suite.replay(&TWENTY_SECONDS);
    suite.reader("links").wait_for("some links", |seen| seen.len() > 200);
    second.kill();
    suite.reader("links").wait_for("more links", |seen| seen.len() > 400);
    let _fourth = suite.backend("match,link");
    assert!(replay.wait());
    assert!(suite.expect_links_of_batch() > 1000);
}

#[test]
fn a_backend_that_is_killed_again_and_again_loses_doubles_and_invents_nothing() {
    let suite = storm(Suite::new());
    let mut backend = suite.backend("match,link");
    let replay = suite.replay(&TWENTY_SECONDS);
    for links in [100, 400, 800] {
        suite.reader("links").wait_for("some links", |seen| seen.len() > links);
        backend.kill();
        backend = suite.backend("match,link");
    }
    assert!(replay.wait());
    assert!(suite.expect_links_of_batch() > 1000);
}

#[test]
fn a_backend_that_is_stopped_finishes_what_it_has_and_another_goes_on() {
    let suite = storm(Suite::new());
    let first = suite.backend("match,link");
    let replay = suite.replay(&TWENTY_SECONDS);
    suite.reader("links").wait_for("some links", |seen| seen.len() > 200);
    assert!(first.stop(), "it ends well");
    let _second = suite.backend("match,link");
    assert!(replay.wait());
    suite.expect_links_of_batch();
}

#[test]
fn a_broker_a_cache_and_a_model_that_go_away_for_a_while_change_nothing() {
    if !testing::own_services() {
        return;
    }
    let (mut kafka, mut redis, mut triton) = (Kafka::start(), Redis::start(), Triton::start());
    let suite = storm(Suite::on(kafka.bootstrap(), redis.address(), triton.grpc()));
    let backend = suite.backend("match,link");
    backend.wait_until_ready();
    let replay = suite.replay(&[("SPEED", "60")]);
    suite.reader("links").wait_for("some links", |seen| seen.len() > 50);

    kafka.stop();
    thread::sleep(OUTAGE);
    backend.wait_for("/ready", |status, body| status == 503 && body.contains("kafka"));
    kafka.start_again();
    backend.wait_until_ready();
    suite.reader("links").wait_for("more links", |seen| seen.len() > 150);

    redis.stop();
    thread::sleep(OUTAGE);
    let (status, body) = backend.get("/ready").unwrap();
    assert_eq!(status, 200, "the cache is optional: {body}");
    assert!(body.contains(r#""name":"redis","need":"optional","ok":false"#), "{body}");
    redis.start_again();
    suite.reader("links").wait_for("more links", |seen| seen.len() > 300);

    triton.stop();
    thread::sleep(OUTAGE);
    backend.wait_for("/ready", |status, body| status == 503 && body.contains("triton"));
    triton.start_again();
    backend.wait_until_ready();

    assert!(replay.wait());
    assert!(suite.expect_links_of_batch() > 1000);
}

#[test]
fn a_suite_that_starts_before_its_services_waits_for_them() {
    if !testing::own_services() {
        return;
    }
    let (mut kafka, mut triton) = (Kafka::start(), Triton::start());
    let (host, port) = testing::redis();
    let mut suite = Suite::on(kafka.bootstrap(), (host, port), triton.grpc());
    suite.window = "5m";
    write_storm(&suite, 500);
    kafka.stop();
    triton.stop();
    let backend = suite.backend("match,link");
    let replay = suite.replay(&[]);
    backend.wait_for("/ready", |status, _| status == 503);
    replay.wait_for("/ready", |status, _| status == 503);
    kafka.start_again();
    triton.start_again();
    assert!(replay.wait());
    suite.expect_links_of_batch();
}

/// The labelled incident, half a million lines, in half a minute.
const HALF_A_MINUTE: [(&str, &str); 1] = [("SPEED", "1600")];

/// Waits until a backend has read so many lines.
fn wait_until_read(backend: &Process, lines: f64) {
    backend
        .wait_for("/metrics", |_, text| metric(text, "foreshock_events_read_total", "") >= lines);
}

#[test]
fn the_labelled_incident_is_found_though_one_of_three_backends_is_killed() {
    let mut suite = Suite::new();
    let Some((logs, dictionary)) = incident(suite.folder.path()) else { return };
    suite.dictionary = dictionary;
    let suite = suite.with_logs(logs);
    let [first, second, third] = [(); 3].map(|()| suite.backend("match,link"));
    [&first, &second, &third].iter().for_each(|backend| backend.wait_until_ready());
    let replay = suite.replay(&HALF_A_MINUTE);
    wait_until_read(&second, 40_000.0);
    second.kill();
    let _fourth = suite.backend("match,link");
    assert!(replay.wait());
    assert_eq!(suite.expect_links_of_batch(), 3);
    expect_rows_of_the_incident(&suite);
}

#[test]
fn the_labelled_incident_is_found_though_broker_cache_and_model_go_away_for_a_while() {
    if !testing::own_services() {
        return;
    }
    let (mut kafka, mut redis, mut triton) = (Kafka::start(), Redis::start(), Triton::start());
    let mut suite = Suite::on(kafka.bootstrap(), redis.address(), triton.grpc());
    let Some((logs, dictionary)) = incident(suite.folder.path()) else { return };
    suite.dictionary = dictionary;
    let suite = suite.with_logs(logs);
    let backend = suite.backend("match,link");
    backend.wait_until_ready();
    let replay = suite.replay(&HALF_A_MINUTE);
    wait_until_read(&backend, 40_000.0);
    kafka.stop();
    thread::sleep(OUTAGE);
    kafka.start_again();
    backend.wait_until_ready();
    redis.stop();
    thread::sleep(OUTAGE);
    redis.start_again();
    triton.stop();
    thread::sleep(OUTAGE);
    triton.start_again();
    assert!(replay.wait());
    assert_eq!(suite.expect_links_of_batch(), 3);
    expect_rows_of_the_incident(&suite);
}
