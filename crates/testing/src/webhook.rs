//! A receiver of webhooks, written from their documentation alone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use tokio::net::TcpListener;

/// What requests are to be signed with.
pub const SECRET: &str = "SECRETwebhookSECRET";

/// What the receiver knows.
#[derive(Default)]
pub struct World {
    /// What was answered to each request: the id of its link, and the status.
    pub answers: Vec<(String, u16)>,
    /// What the requests said.
    pub bodies: Vec<Value>,
    /// Requests with a wrong signature.
    pub unsigned: usize,
    /// What is answered, the last first; 200 after that. 0 is no answer.
    plan: Vec<u16>,
}

/// The receiver, for as long as the runtime lives.
pub struct Hook {
    /// Its address, which must be seen nowhere.
    pub url: String,
    world: Arc<Mutex<World>>,
}

impl Hook {
    /// One that answers as planned, in turn, and then well; 0 is no answer.
    pub async fn start(plan: &[u16]) -> Hook {
        let plan = plan.iter().rev().copied().collect();
        let world = Arc::new(Mutex::new(World { plan, ..World::default() }));
        let router = Router::new().route("/hook", post(receive)).with_state(Arc::clone(&world));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let url = format!("http://{address}/hook?key=SECRETaddressSECRET");
        tokio::spawn(async move { axum::serve(listener, router).await });
        Hook { url, world }
    }

    /// What it knows, held until it is dropped.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests that were accepted.
    pub fn accepted(&self) -> usize {
        self.world().answers.iter().filter(|answer| (200..300).contains(&answer.1)).count()
    }
}

fn is_signed(headers: &HeaderMap, body: &[u8]) -> bool {
    let header = |name: &str| headers.get(name)?.to_str().ok();
    let signature = header("X-Foreshock-Signature").and_then(|it| it.strip_prefix("v1="));
    let (Some(hex), Some(timestamp)) = (signature, header("X-Foreshock-Timestamp")) else {
        return false;
    };
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let Some(bytes) = hex.as_bytes().chunks(2).map(byte).collect::<Option<Vec<u8>>>() else {
        return false;
    };
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("keys of any length");
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    mac.verify_slice(&bytes).is_ok()
}

async fn receive(
    State(world): State<Arc<Mutex<World>>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let status = {
        let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
        world.unsigned += usize::from(!is_signed(&headers, &body));
        let json: Value = serde_json::from_slice(&body).expect("JSON");
        let status = world.plan.pop().unwrap_or(200);
        let id = json["id"].as_str().expect("an id").to_owned();
        assert_eq!(headers["X-Foreshock-Delivery"], id);
        world.answers.push((id, status));
        world.bodies.push(json);
        status
    };
    match status {
        // What is thrown without a message just ends the connection.
        0 => std::panic::resume_unwind(Box::new("reset")),
        status => StatusCode::from_u16(status).expect("a status"),
    }
}
