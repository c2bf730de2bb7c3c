//! A storm of links, and a process that is killed again and again while it goes on.
//!
//! The clock of the limits runs twenty times faster, at both ends: 30 calls within 50 ms, 20 to a chat
//! within 3 s. The server counts every call as it arrives.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use notify::Notifier;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use testing::telegram::{Fault, Server, link, until};

use crate::harness::{Running, settings};

const FASTER: u32 = 20;
const KILLS: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_is_one_digest_kept_up_to_date_and_a_file_with_every_link() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(FASTER, |_, _, _| Fault::Works).await;
    let running = Running::start(settings(folder.path(), Some(&server.url), FASTER));
    server.subscribe([5]).await;
    running.tell(0..200);
    until("the digest is there", || !server.alerts(5).is_empty()).await;
    running.tell(200..400);
    until("the file is there", || server.all_numbers(5).len() >= 400).await;
    running.tell(400..403);
    until("single again", || server.all_numbers(5).len() >= 403).await;
    running.stop().await;
    let alerts = server.alerts(5);
    let digests: Vec<_> = alerts.iter().filter(|it| it.text.contains("🌩")).collect();
    assert_eq!(digests.len(), 1);
    assert!(digests[0].edits >= 1, "it is edited in place");
    let files: Vec<_> = alerts.iter().filter(|it| it.csv.is_some()).collect();
    assert_eq!(files.len(), 1);
    assert_eq!(server.all_numbers(5), (0..403).collect::<Vec<_>>());
    let counted: u64 = digests[0]
        .text
        .split(['\n', ' '])
        .filter_map(|word| word.trim_end_matches("</b>").parse::<u64>().ok())
        .next()
        .unwrap();
    let in_file = server.numbers(5).iter().map(Vec::len).max().unwrap();
    assert_eq!(counted, in_file as u64, "{}", digests[0].text);
    assert_eq!(server.world().violations, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_a_thousand_links_for_fifty_chats_survives_twenty_crashes() {
    survives(1_000, 50, 10, 11).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_does_one_that_is_told_link_by_link() {
    survives(150, 50, 0, 12).await;
}

/// Kills the process that sends at random points, in a bad network.
async fn survives(links: usize, chats: i64, storm: u64, seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    let mut chance = StdRng::seed_from_u64(seed);
    let server = Server::start(FASTER, move |_, _, _| match chance.random_range(0..1_000) {
        0..5 => Fault::TooMany(1),
        5..25 => Fault::ServerError,
        25..45 => Fault::Reset,
        45..55 => Fault::Truncated,
        55..57 => Fault::Hang,
        _ => Fault::Works,
    })
    .await;
    for chat in 1..=chats {
        server.says(chat, "/start");
    }
    let mut chance = StdRng::seed_from_u64(seed + 1);
    let mut child = start(folder.path(), &server.url, links, storm);
    let everyone = || server.world().chats.len() == chats as usize;
    until("everyone is subscribed", everyone).await;
    fs::write(folder.path().join("begin"), "").unwrap();
    let complete = || (1..=chats).all(|chat| server.all_numbers(chat).len() >= links);
    let mut killed = 0;
    while killed < KILLS {
        // At any point, from the middle of its start to the middle of its work.
        let calls = server.world().calls.len() + chance.random_range(0..30);
        until("it works", || server.world().calls.len() >= calls || complete()).await;
        if storm > 0 && killed + 5 >= KILLS {
            // The last ones while files are sent, at the end of the storm.
            let files = (killed + 5 - KILLS) * 9 + 1;
            until("files are sent", || server.files() >= files || complete()).await;
        } else {
            tokio::time::sleep(Duration::from_millis(chance.random_range(0..200))).await;
        }
        server.world().kills.push(Instant::now());
        child.kill().unwrap();
        child.wait().unwrap();
        killed += 1;
        child = start(folder.path(), &server.url, links, storm);
    }
    let left = (1..=chats).filter(|chat| server.all_numbers(*chat).len() < links).count();
    until("every chat has every link", complete).await;
    let empty = || waiting(folder.path()) == 0;
    until("the outbox is empty", empty).await;
    child.kill().unwrap();
    child.wait().unwrap();
    let mut repeated = 0;
    for chat in 1..=chats {
        let repeats = server.repeats(chat, links);
        assert!(repeats <= KILLS, "chat {chat}: {repeats} repeats");
        repeated += repeats;
    }
    let world = server.world();
    println!(
        "{links} links, {chats} chats, storms past {storm}: {} calls, {killed} crashes (after the \
         last one {left} chats were not told everything yet), {repeated} messages repeated",
        world.calls.len()
    );
    assert_eq!(world.violations, [""; 0]);
}

/// Deliveries that wait.
fn waiting(folder: &Path) -> u64 {
    let notifier = Notifier::open(settings(folder, None, FASTER)).unwrap();
    notifier.summary().unwrap().totals.waiting
}

/// This test binary again, as a process of its own that can be killed.
fn start(folder: &Path, url: &str, links: usize, storm: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "storm::the_process_that_is_killed", "--nocapture"])
        .env("NOTIFY_TEST_FOLDER", folder)
        .env("NOTIFY_TEST_URL", url)
        .env("NOTIFY_TEST_LINKS", links.to_string())
        .env("NOTIFY_TEST_STORM", storm.to_string())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

/// Not a test by itself: what the tests above kill. Takes links from where it was, and notes where it
/// is only after they are in the outbox, as a consumer of Kafka does.
#[tokio::test(flavor = "multi_thread")]
async fn the_process_that_is_killed() {
    let Ok(folder) = std::env::var("NOTIFY_TEST_FOLDER") else { return };
    let folder = Path::new(&folder);
    let number = |name: &str| std::env::var(name).unwrap().parse::<usize>().unwrap();
    let links = number("NOTIFY_TEST_LINKS");
    let url = std::env::var("NOTIFY_TEST_URL").unwrap();
    let mut settings = settings(folder, Some(&url), FASTER);
    settings.storm = number("NOTIFY_TEST_STORM") as u64;
    settings.pace.patience = Duration::from_secs(5);
    let running = Running::start(settings);
    until("it may begin", || folder.join("begin").exists()).await;
    let noted = folder.join("position");
    let mut position: usize =
        fs::read_to_string(&noted).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    while position < links {
        running.notifier.enqueue(link(position).to_string().as_bytes()).unwrap();
        position += 1;
        // Seldom, so that a crash makes many links come again.
        if position.is_multiple_of(7) || position == links {
            let fresh = folder.join("position.new");
            fs::write(&fresh, position.to_string()).unwrap();
            fs::rename(&fresh, &noted).unwrap();
        }
        tokio::time::sleep(Duration::from_millis(8)).await;
    }
    std::future::pending::<()>().await;
}
