//! Webhooks: signed, in order, once when it was accepted.

use std::time::Duration;

use notify::{Secret, webhook_urls};
use testing::telegram::{link, until};
use testing::webhook::{Hook, SECRET};

use crate::harness::{Running, settings};

fn id(number: usize) -> String {
    format!("{number:032x}")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_link_comes_signed_in_order_and_again_only_when_it_was_not_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let hook = Hook::start(&[200, 500, 0, 404, 302, 204, 200, 503]).await;
    let other = Hook::start(&[500]).await;
    let mut settings = settings(folder.path(), None, 20);
    settings.webhooks = webhook_urls(&format!("{}, {}", hook.url, other.url)).unwrap();
    settings.webhook_secret = Some(Secret::from(SECRET));
    let running = Running::start(settings.clone());
    running.tell(0..10);
    until("all was accepted", || hook.accepted() >= 10 && other.accepted() >= 10).await;
    let settled = || running.notifier.summary().unwrap().totals.waiting == 0;
    until("all is settled", settled).await;
    running.stop().await;
    // Another process later: nothing comes again.
    let running = Running::start(settings);
    running.tell(0..12);
    until("the new ones were accepted", || hook.accepted() >= 12 && other.accepted() >= 12).await;
    until("all is settled", || running.notifier.summary().unwrap().totals.waiting == 0).await;
    running.stop().await;
    let world = hook.world();
    let (answers, plan) = (&world.answers, [200, 500, 0, 404, 302, 204, 200, 503]);
    assert_eq!(world.unsigned, 0);
    let mut expected = Vec::new();
    let mut next = 0;
    for nth in 0..answers.len() {
        let status = plan.get(nth).copied().unwrap_or(200);
        expected.push((id(next), status));
        next += usize::from((200..300).contains(&status));
    }
    assert_eq!(*answers, expected);
    assert_eq!(next, 12);
    let body = &world.bodies[0];
    assert_eq!(body["type"], "link");
    assert_eq!(body["link"], link(0));
    assert!(body["text"].as_str().unwrap().contains("47 min before"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_webhook_refuses_for_ever_does_not_hold_up_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let hook = Hook::start(&[422]).await;
    let mut settings = settings(folder.path(), None, 20);
    settings.webhooks = webhook_urls(&hook.url).unwrap();
    settings.webhook_secret = Some(Secret::from(SECRET));
    settings.pace.patience = Duration::from_secs(5);
    let running = Running::start(settings);
    running.notifier.enqueue(link(0).to_string().as_bytes()).unwrap();
    running.notifier.enqueue(link(1).to_string().as_bytes()).unwrap();
    until("both were answered", || hook.world().answers.len() == 2).await;
    until("both are settled", || running.notifier.summary().unwrap().totals.waiting == 0).await;
    let totals = running.notifier.summary().unwrap().totals;
    running.stop().await;
    assert_eq!((totals.sent, totals.failed), (1, 1));
    assert_eq!(hook.world().answers, [(id(0), 422), (id(1), 200)]);
}
