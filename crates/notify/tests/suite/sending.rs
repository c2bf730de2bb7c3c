//! Every link arrives, whatever the server does, and no faster than it allows.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use notify::{BotState, Enqueued, Notifier};
use testing::telegram::{Fault, Server, link, until};

use crate::harness::{Running, settings};

const FASTER: u32 = 20;

/// A server whose n-th call of an alert comes to `fault(n, chat)`.
async fn server(mut fault: impl FnMut(usize, i64) -> Fault + Send + 'static) -> Server {
    let mut alerts = 0;
    Server::start(FASTER, move |chat, text, _| {
        if !text.contains('🔴') {
            return Fault::Works;
        }
        alerts += 1;
        fault(alerts - 1, chat)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_fails_for_now_is_sent_again_once_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    use Fault::{Hang, Reset, ServerError, TooMany, Truncated, Works};
    let faults = [ServerError, Reset, Works, Truncated, TooMany(1), Works, Hang, Works, Reset];
    let server = server(move |n, _| faults.get(n).copied().unwrap_or(Works)).await;
    let mut settings = settings(folder.path(), Some(&server.url), FASTER);
    settings.storm = 0;
    settings.pace.patience = Duration::from_secs(3);
    let running = Running::start(settings);
    server.subscribe([5]).await;
    running.tell(0..12);
    until("all has arrived", || server.all_numbers(5).len() >= 12).await;
    running.stop().await;
    assert_eq!(server.numbers(5), [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]);
    assert_eq!(server.world().violations, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_that_is_closed_is_set_aside_and_a_message_that_is_refused_is_settled() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(FASTER, |chat, text, _| match chat {
        _ if !text.contains('🔴') => Fault::Works,
        5 => Fault::Blocked,
        6 if ["#000000", "#000001", "#000002"].iter().any(|it| text.contains(it)) => Fault::Refused,
        -7 => Fault::Moved(-1007),
        _ => Fault::Works,
    })
    .await;
    let running = Running::start(settings(folder.path(), Some(&server.url), FASTER));
    server.subscribe([6]).await;
    running.tell(0..3);
    until("it was refused", || running.notifier.summary().unwrap().totals.failed == 3).await;
    server.subscribe([5, -7]).await;
    running.tell(3..6);
    until("they have it", || server.all_numbers(6).len() + server.all_numbers(-1007).len() == 6)
        .await;
    until("it is set aside", || running.notifier.summary().unwrap().totals.aside == 1).await;
    running.tell(6..9);
    until("they have it", || server.all_numbers(6).len() + server.all_numbers(-1007).len() == 12)
        .await;
    let totals = running.notifier.summary().unwrap().totals;
    running.stop().await;
    assert_eq!(server.all_numbers(6), [3, 4, 5, 6, 7, 8]);
    assert_eq!((totals.chats, totals.aside, totals.failed), (2, 1, 3));
    let world = server.world();
    let blocked = world.calls.iter().filter(|call| call.1 == 5 && call.2 == Fault::Blocked).count();
    assert_eq!(blocked, 1, "who blocked the bot is not tried again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_accepted_stops_the_bot_with_a_reason_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(|_, _| Fault::Unauthorised).await;
    let running = Running::start(settings(folder.path(), Some(&server.url), FASTER));
    server.subscribe([5]).await;
    running.tell(0..3);
    let refused = || matches!(running.notifier.summary().unwrap().bot, BotState::Refused(_));
    until("the bot has stopped", refused).await;
    let calls = server.world().calls.len();
    assert_eq!(running.notifier.enqueue(link(9).to_string().as_bytes()).unwrap(), Enqueued::Queued);
    let summary = running.notifier.summary().unwrap();
    assert_eq!(summary.bot, BotState::Refused("Unauthorized".to_owned()));
    assert_eq!(summary.totals.waiting, 4, "what waits is kept for the right token");
    running.stop().await;
    assert_eq!(server.world().calls.len(), calls);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_poller_is_given_way_to_and_alerts_are_sent_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(|_, _| Fault::Works).await;
    let running = Running::start(settings(folder.path(), Some(&server.url), FASTER));
    server.subscribe([5]).await;
    server.world().conflicts = 2;
    running.tell(0..3);
    until("it has arrived", || server.all_numbers(5) == [0, 1, 2]).await;
    until("both conflicts were met", || server.world().conflicts == 0).await;
    server.says(5, "/stop");
    let stopped = || running.notifier.summary().unwrap().totals.chats == 0;
    until("the bot listens again", stopped).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_of_several_on_a_database_sends_and_polls_and_the_next_takes_over() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(|_, _| Fault::Works).await;
    let first = Running::start(settings(folder.path(), Some(&server.url), FASTER));
    server.subscribe([5]).await;
    let second = Running::start(settings(folder.path(), Some(&server.url), FASTER));
    // Either may find a link, and both the same one.
    second.tell(0..3);
    first.tell(0..3);
    until("it has arrived", || server.all_numbers(5) == [0, 1, 2]).await;
    assert_eq!(second.notifier.summary().unwrap().bot, BotState::Standby);
    first.stop().await;
    second.tell(3..6);
    until("it has arrived", || server.all_numbers(5) == [0, 1, 2, 3, 4, 5]).await;
    assert_eq!(second.notifier.summary().unwrap().bot, BotState::Running);
    second.stop().await;
    assert_eq!(server.world().violations, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_found_during_silence_comes_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(|_, _| Fault::Works).await;
    let running = Running::start(settings(folder.path(), Some(&server.url), FASTER));
    server.subscribe([5, 6]).await;
    server.says(5, "/mute 2h");
    until("it was answered", || server.world().chats[&5].len() == 2).await;
    running.tell(0..3);
    until("the other has it", || server.all_numbers(6) == [0, 1, 2]).await;
    assert_eq!(server.all_numbers(5), [0; 0]);
    server.says(5, "/unmute");
    until("it has arrived", || server.all_numbers(5) == [0, 1, 2]).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_told_where_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(|_, _| Fault::Works).await;
    let running = Running::start(settings(folder.path(), Some(&server.url), FASTER));
    server.says(-100, "/start");
    {
        let mut world = server.world();
        let update = world.updates.back_mut().unwrap();
        update["message"]["message_thread_id"] = 77.into();
        update["message"]["is_topic_message"] = true.into();
    }
    until("it was answered", || server.world().chats.contains_key(&-100)).await;
    running.tell(0..3);
    until("it has arrived", || server.all_numbers(-100) == [0, 1, 2]).await;
    running.stop().await;
    assert!(server.world().chats[&-100].iter().all(|message| message.topic == 77));
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_text_arrives_as_text_whole_or_visibly_cut() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(FASTER, |_, _, _| Fault::Works).await;
    let running = Running::start(settings(folder.path(), Some(&server.url), FASTER));
    server.subscribe([5]).await;
    let hostile = [
        "<b>bold</b> <script>alert(1)</script> &amp; \" ' </code>".to_owned(),
        "*bold* _it_ `code` [link](http://x) ```".to_owned(),
        "👩\u{200d}💻".repeat(3_000),
        "x<&>".repeat(2_500),
        "a\u{0}b\u{1b}[31mc\u{202e}evil\u{2066}\r\nnext\tline".to_owned(),
    ];
    for (number, text) in hostile.iter().enumerate() {
        let mut link = link(number * 3);
        for side in ["anomaly", "problem"] {
            link[side]["text"] = text.clone().into();
            for field in ["message", "file", "component", "timestamp"] {
                link[side]["event"][field] = format!("{text}.").into();
            }
        }
        running.notifier.enqueue(link.to_string().as_bytes()).unwrap();
    }
    until("all have arrived", || server.alerts(5).len() == hostile.len()).await;
    running.stop().await;
    let alerts = server.alerts(5);
    assert!(
        alerts[0]
            .text
            .contains("&lt;script&gt;alert(1)&lt;/script&gt; &amp;amp; &quot; ' &lt;/code&gt;")
    );
    assert!(alerts[1].text.contains("*bold* _it_ `code` [link](http://x) ```"));
    assert!(alerts[2].text.contains('…') && alerts[3].text.contains('…'));
    assert!(alerts[4].text.contains("a\u{fffd}b\u{fffd}[31mc\u{fffd}evil\u{fffd}  next line"));
    let controls = |text: &str| text.chars().any(|it| it.is_control() && it != '\n');
    assert!(!alerts.iter().any(|alert| controls(&alert.text)));
    assert_eq!(server.world().violations, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_reaches_everyone_with_and_without_a_process_that_runs() {
    let folder = tempfile::tempdir().unwrap();
    let seen = Arc::new(AtomicUsize::new(0));
    let server = {
        let seen = Arc::clone(&seen);
        Server::start(FASTER, move |_, text, _| {
            seen.fetch_add(usize::from(text.contains("🧪")), Ordering::Relaxed);
            Fault::Works
        })
        .await
    };
    let make = || settings(folder.path(), Some(&server.url), FASTER);
    let patience = Duration::from_secs(60);
    let lonely = Notifier::open(make()).unwrap().test(patience).await.unwrap();
    assert_eq!((lonely.receivers, lonely.waiting), (0, 0));
    let running = Running::start(make());
    server.subscribe([5, 6]).await;
    let tested = Notifier::open(make()).unwrap().test(patience).await.unwrap();
    assert_eq!((tested.receivers, tested.waiting), (2, 0));
    running.stop().await;
    let tested = Notifier::open(make()).unwrap().test(patience).await.unwrap();
    assert_eq!((tested.receivers, tested.waiting), (2, 0));
    assert_eq!(seen.load(Ordering::Relaxed), 4);
}
