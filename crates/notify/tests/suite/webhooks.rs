//! Webhooks: signed, in order, once when it was accepted.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use hmac::{Hmac, KeyInit, Mac};
use notify::{DELIVERY_HEADER, SIGNATURE_HEADER, Secret, TIMESTAMP_HEADER, webhook_urls};
use serde_json::Value;
use sha2::Sha256;
use tokio::net::TcpListener;

use crate::harness::{Running, link, settings, until};

const SECRET: &str = "SECRETwebhookSECRET";

#[derive(Default)]
struct World {
    /// What was answered to each request: the id of its link, and the status.
    answers: Vec<(String, u16)>,
    bodies: Vec<Value>,
    /// What is answered, in turn; 200 after that. 0 is no answer.
    plan: Vec<u16>,
    unsigned: usize,
}

type Shared = Arc<Mutex<World>>;

async fn start(plan: &[u16]) -> (String, Shared) {
    let world = Shared::default();
    world.lock().unwrap().plan = plan.iter().rev().copied().collect();
    let router = Router::new().route("/hook", post(receive)).with_state(Arc::clone(&world));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?key=SECRETaddressSECRET", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, world)
}

/// As a receiver would be written from the documentation alone.
fn is_signed(headers: &HeaderMap, body: &[u8]) -> bool {
    let header = |name: &str| headers.get(name).unwrap().to_str().unwrap().to_owned();
    let signature = header(SIGNATURE_HEADER);
    let hex = signature.strip_prefix("v1=").unwrap();
    let pairs = (0..hex.len()).step_by(2);
    let bytes: Vec<u8> =
        pairs.map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(header(TIMESTAMP_HEADER).as_bytes());
    mac.update(b".");
    mac.update(body);
    mac.verify_slice(&bytes).is_ok()
}

async fn receive(State(world): State<Shared>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let status = {
        let mut world = world.lock().unwrap();
        world.unsigned += usize::from(!is_signed(&headers, &body));
        let json: Value = serde_json::from_slice(&body).unwrap();
        let status = world.plan.pop().unwrap_or(200);
        let id = json["id"].as_str().unwrap().to_owned();
        assert_eq!(headers[DELIVERY_HEADER], id);
        world.answers.push((id, status));
        world.bodies.push(json);
        status
    };
    match status {
        0 => std::panic::resume_unwind(Box::new("reset")),
        status => StatusCode::from_u16(status).unwrap(),
    }
}

fn id(number: usize) -> String {
    format!("{number:032x}")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_link_comes_signed_in_order_and_again_only_when_it_was_not_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let (url, world) = start(&[200, 500, 0, 404, 302, 204, 200, 503]).await;
    let (other_url, other) = start(&[500]).await;
    let mut settings = settings(folder.path(), None, 20);
    settings.webhooks = webhook_urls(&format!("{url}, {other_url}")).unwrap();
    settings.webhook_secret = Some(Secret::from(SECRET));
    let running = Running::start(settings.clone());
    running.tell(0..10);
    let accepted = |world: &Shared| {
        let world = world.lock().unwrap();
        world.answers.iter().filter(|answer| (200..300).contains(&answer.1)).count()
    };
    until("all was accepted", || accepted(&world) >= 10 && accepted(&other) >= 10).await;
    let settled = || running.notifier.summary().unwrap().totals.waiting == 0;
    until("all is settled", settled).await;
    running.stop().await;
    // Another process later: nothing comes again.
    let running = Running::start(settings);
    running.tell(0..12);
    until("the new ones were accepted", || accepted(&world) >= 12 && accepted(&other) >= 12).await;
    until("all is settled", || running.notifier.summary().unwrap().totals.waiting == 0).await;
    running.stop().await;
    let world = world.lock().unwrap();
    let (answers, plan) = (&world.answers, [200, 500, 0, 404, 302, 204, 200, 503]);
    assert_eq!(world.unsigned, 0);
    let mut expected = Vec::new();
    let mut link = 0;
    for nth in 0..answers.len() {
        let status = plan.get(nth).copied().unwrap_or(200);
        expected.push((id(link), status));
        link += usize::from((200..300).contains(&status));
    }
    assert_eq!(*answers, expected);
    assert_eq!(link, 12);
    let body = &world.bodies[0];
    assert_eq!(body["type"], "link");
    assert_eq!(body["link"], crate::harness::link(0));
    assert!(body["text"].as_str().unwrap().contains("47 min before"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_webhook_refuses_for_ever_does_not_hold_up_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let (url, world) = start(&[422]).await;
    let mut settings = settings(folder.path(), None, 20);
    settings.webhooks = webhook_urls(&url).unwrap();
    settings.webhook_secret = Some(Secret::from(SECRET));
    settings.pace.patience = Duration::from_secs(5);
    let running = Running::start(settings);
    running.notifier.enqueue(link(0).to_string().as_bytes()).unwrap();
    running.notifier.enqueue(link(1).to_string().as_bytes()).unwrap();
    until("both were answered", || world.lock().unwrap().answers.len() == 2).await;
    until("both are settled", || running.notifier.summary().unwrap().totals.waiting == 0).await;
    let totals = running.notifier.summary().unwrap().totals;
    running.stop().await;
    assert_eq!((totals.sent, totals.failed), (1, 1));
    assert_eq!(world.lock().unwrap().answers, [(id(0), 422), (id(1), 200)]);
}
