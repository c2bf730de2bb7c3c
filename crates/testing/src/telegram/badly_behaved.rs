//! A server of the Bot API that misbehaves as it is told to, and counts.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequest, Multipart, Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{TOKEN, until};

/// The time from the delivery of a message to its answer.
const LATENCY: Duration = Duration::from_millis(15);

/// What a call comes to. Only `Works` delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// None.
    Works,
    /// 429, with the seconds to wait.
    TooMany(u64),
    /// 502, by something in between.
    ServerError,
    /// No answer; once a chat.
    Hang,
    /// The connection ends.
    Reset,
    /// Half an answer.
    Truncated,
    /// 403.
    Blocked,
    /// 400.
    Refused,
    /// 400, as the group has this number now.
    Moved(i64),
    /// 401.
    Unauthorised,
}

/// A message that a chat has.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its number.
    pub id: i64,
    /// The topic, or 0.
    pub topic: i64,
    /// The text, or the caption of the file.
    pub text: String,
    /// The file.
    pub csv: Option<String>,
    /// How often it was edited.
    pub edits: usize,
}

/// Which fault a call to a chat has: chat, text, how many calls there were before.
type Choose = Box<dyn FnMut(i64, &str, usize) -> Fault + Send>;

/// How fast a bot may be.
#[derive(Clone, Copy)]
pub struct Allowed {
    /// What takes the place of a second.
    pub second: Duration,
    /// And of a minute.
    pub minute: Duration,
}

/// What the server knows.
pub struct World {
    /// The messages of each chat.
    pub chats: HashMap<i64, Vec<Message>>,
    /// Every call to a chat: when, to which, and what became of it.
    pub calls: Vec<(Instant, i64, Fault)>,
    /// What was not allowed.
    pub violations: Vec<String>,
    /// Updates that wait.
    pub updates: VecDeque<Value>,
    /// The calls of getUpdates so far.
    pub polls: usize,
    /// getUpdates answers 409 so many times.
    pub conflicts: usize,
    /// When processes were killed: what was answered just before may not have been heard.
    pub kills: Vec<Instant>,
    choose: Choose,
    allowed: Allowed,
    waits: HashMap<i64, (Instant, Instant)>,
    next: i64,
    hung: HashSet<i64>,
}

/// The server, for as long as the runtime lives.
pub struct Server {
    /// Where its Bot API is.
    pub url: String,
    world: Arc<Mutex<World>>,
}

impl Server {
    /// A server that allows a bot to be so many times faster than Telegram does.
    pub async fn start(
        faster: u32,
        choose: impl FnMut(i64, &str, usize) -> Fault + Send + 'static,
    ) -> Server {
        let allowed = Allowed {
            second: Duration::from_secs(1) / faster,
            minute: Duration::from_secs(60) / faster,
        };
        let world = World {
            chats: HashMap::new(),
            calls: Vec::new(),
            violations: Vec::new(),
            updates: VecDeque::new(),
            polls: 0,
            conflicts: 0,
            kills: Vec::new(),
            choose: Box::new(choose),
            allowed,
            waits: HashMap::new(),
            next: 1,
            hung: HashSet::new(),
        };
        let world = Arc::new(Mutex::new(world));
        let router =
            Router::new().route("/{bot}/{method}", post(answer)).with_state(Arc::clone(&world));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Server { url, world }
    }

    /// What the server knows, held until it is dropped.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A user says something in a chat of theirs, or in a group.
    pub fn says(&self, chat: i64, text: &str) {
        let kind = if chat > 0 { "private" } else { "supergroup" };
        let mut world = self.world();
        let id = world.next;
        world.next += 1;
        world.updates.push_back(json!({ "update_id": id, "message": {
            "message_id": id, "date": 1, "text": text,
            "chat": { "id": chat, "type": kind, "first_name": "N", "title": "G" },
            "from": { "id": chat.abs(), "is_bot": false, "first_name": "N", "language_code": "en" },
        }}));
    }

    /// The messages of a chat, but for answers to commands.
    pub fn alerts(&self, chat: i64) -> Vec<Message> {
        let is_alert = |message: &&Message| {
            message.csv.is_some() || message.text.contains('🔴') || message.text.contains('🌩')
        };
        self.world().chats.get(&chat).into_iter().flatten().filter(is_alert).cloned().collect()
    }

    /// The numbers of the links in each message of a chat, in their order.
    pub fn numbers(&self, chat: i64) -> Vec<Vec<usize>> {
        let alerts = self.alerts(chat);
        alerts.iter().map(numbers).filter(|numbers| !numbers.is_empty()).collect()
    }

    /// All of them in one row.
    pub fn all_numbers(&self, chat: i64) -> Vec<usize> {
        self.numbers(chat).concat()
    }

    /// Asserts that a chat has the links from 0 to before `count` in their order; returns how many
    /// messages came again.
    pub fn repeats(&self, chat: i64, count: usize) -> usize {
        let (mut next, mut repeats) = (0, 0);
        for numbers in self.numbers(chat) {
            // The message in flight comes again after a crash, with what was found meanwhile.
            repeats += usize::from(numbers[0] < next);
            assert!(numbers[0] <= next, "chat {chat}: a link is missing, or not in its place");
            assert!(numbers.windows(2).all(|two| two[1] == two[0] + 1), "chat {chat}");
            next = next.max(numbers[numbers.len() - 1] + 1);
        }
        assert_eq!(next, count, "chat {chat}");
        repeats
    }

    /// The files that were sent, to anyone.
    pub fn files(&self) -> usize {
        let is_file = |message: &&Message| message.csv.is_some();
        self.world().chats.values().flatten().filter(is_file).count()
    }

    /// Subscribes chats, and waits until they were told so.
    pub async fn subscribe(&self, chats: impl IntoIterator<Item = i64> + Clone) {
        for chat in chats.clone() {
            self.says(chat, "/start");
        }
        until("everyone is subscribed", || {
            let world = self.world();
            chats.clone().into_iter().all(|chat| world.chats.contains_key(&chat))
        })
        .await;
    }
}

/// The links that a message tells of.
fn numbers(message: &Message) -> Vec<usize> {
    if let Some(csv) = &message.csv {
        let csv = csv.trim_start_matches('\u{feff}');
        let mut rows = csv::Reader::from_reader(csv.as_bytes());
        let id = |row: csv::StringRecord| usize::from_str_radix(&row[0], 16).unwrap();
        return rows.records().map(|row| id(row.unwrap())).collect();
    }
    let parts = message.text.split('#').skip(1);
    parts.map(|part| part[..6].parse().unwrap()).collect()
}

async fn answer(
    State(world): State<Arc<Mutex<World>>>,
    Path((bot, method)): Path<(String, String)>,
    request: Request,
) -> Response {
    if bot != format!("bot{TOKEN}") {
        return error(404, "Not Found", json!({}));
    }
    match method.as_str() {
        "getMe" => ok(json!({ "id": 1, "is_bot": true, "first_name": "B", "username": "TheBot" })),
        "getUpdates" => updates(&world, request).await,
        "sendMessage" | "editMessageText" => {
            let json = axum::Json::<Value>::from_request(request, &()).await.unwrap().0;
            speak(&world, &method, json, None).await
        }
        "sendDocument" => {
            let (json, csv) = form(request).await;
            speak(&world, &method, json, Some(csv)).await
        }
        _ => ok(json!(true)),
    }
}

async fn form(request: Request) -> (Value, String) {
    let mut form = Multipart::from_request(request, &()).await.unwrap();
    let (mut json, mut csv) = (json!({}), String::new());
    while let Some(field) = form.next_field().await.unwrap() {
        let name = field.name().unwrap().to_owned();
        match name.as_str() {
            "document" => csv = field.text().await.unwrap(),
            "caption" => json["text"] = field.text().await.unwrap().into(),
            _ => {
                let text = field.text().await.unwrap();
                json[name] = text.parse::<i64>().map_or(Value::from(text), Value::from);
            }
        }
    }
    (json, csv)
}

async fn updates(world: &Mutex<World>, request: Request) -> Response {
    let json = axum::Json::<Value>::from_request(request, &()).await.unwrap().0;
    let offset = json["offset"].as_i64().unwrap_or(0);
    for _ in 0..20 {
        {
            let mut world = world.lock().unwrap();
            world.polls += 1;
            if world.conflicts > 0 {
                world.conflicts -= 1;
                let text = "Conflict: terminated by other getUpdates request; make sure that only one \
                    bot instance is running";
                return error(409, text, json!({}));
            }
            while world.updates.front().is_some_and(|it| it["update_id"].as_i64() < Some(offset)) {
                world.updates.pop_front();
            }
            let waiting: Vec<Value> = world.updates.iter().take(100).cloned().collect();
            if !waiting.is_empty() {
                return ok(waiting.into());
            }
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    ok(json!([]))
}

/// A call that a chat sees.
async fn speak(world: &Mutex<World>, method: &str, json: Value, csv: Option<String>) -> Response {
    let chat = json["chat_id"].as_i64().unwrap();
    let text = json["text"].as_str().unwrap_or_default().to_owned();
    let fault = world.lock().unwrap().arrives(chat, &text);
    match fault {
        Fault::Works => {
            let answer = world.lock().unwrap().delivers(chat, method, &json, text, csv);
            // Between the two a crash makes a message come twice.
            tokio::time::sleep(LATENCY).await;
            answer
        }
        Fault::TooMany(seconds) => {
            let text = format!("Too Many Requests: retry after {seconds}");
            error(429, &text, json!({ "retry_after": seconds }))
        }
        Fault::ServerError => (StatusCode::BAD_GATEWAY, "<html>502</html>").into_response(),
        Fault::Hang => std::future::pending().await,
        // What is thrown without a message just ends the connection.
        Fault::Reset => std::panic::resume_unwind(Box::new("reset")),
        Fault::Truncated => Body::from(r#"{"ok":true,"result":{"message_i"#).into_response(),
        Fault::Blocked => error(403, "Forbidden: bot was blocked by the user", json!({})),
        Fault::Refused => error(400, "Bad Request: can't parse entities: <b>", json!({})),
        Fault::Moved(to) => {
            let text = "Bad Request: group chat was upgraded to a supergroup chat";
            error(400, text, json!({ "migrate_to_chat_id": to }))
        }
        Fault::Unauthorised => error(401, "Unauthorized", json!({})),
    }
}

fn ok(result: Value) -> Response {
    axum::Json(json!({ "ok": true, "result": result })).into_response()
}

fn error(code: u16, description: &str, parameters: Value) -> Response {
    let mut body = json!({ "ok": false, "error_code": code, "description": description });
    if parameters != json!({}) {
        body["parameters"] = parameters;
    }
    (StatusCode::from_u16(code).unwrap(), axum::Json(body)).into_response()
}

impl World {
    /// Counts a call, says what is not allowed, and chooses what becomes of it.
    fn arrives(&mut self, chat: i64, text: &str) -> Fault {
        let now = Instant::now();
        let times: Vec<Instant> =
            self.calls.iter().filter(|call| call.1 == chat).map(|call| call.0).collect();
        let Allowed { second, minute } = self.allowed;
        let within = |time: Option<&Instant>, span| time.is_some_and(|time| now - *time < span);
        if within(times.last(), second) {
            self.violations.push(format!("chat {chat}: a second call within a second"));
        }
        if within(times.len().checked_sub(20).and_then(|nth| times.get(nth)), minute) {
            self.violations.push(format!("chat {chat}: more than 20 calls within a minute"));
        }
        let nth = self.calls.len().checked_sub(30).and_then(|nth| self.calls.get(nth));
        if within(nth.map(|call| &call.0), second) {
            self.violations.push("more than 30 calls within a second".to_owned());
        }
        if let Some((said, until)) = self.waits.get(&chat)
            && now < *until
            && !self.kills.iter().any(|kill| kill.saturating_duration_since(*said) < second)
        {
            self.violations.push(format!("chat {chat}: was told to wait"));
        }
        if text.encode_utf16().count() > 4096 {
            self.violations.push(format!("chat {chat}: a message that is too long"));
        }
        let mut fault = (self.choose)(chat, text, times.len());
        // A chat that hangs for ever would keep everyone from ending.
        if fault == Fault::Hang && !self.hung.insert(chat) {
            fault = Fault::Works;
        }
        if let Fault::TooMany(seconds) = fault {
            self.waits.insert(chat, (now, now + Duration::from_secs(seconds)));
        }
        self.calls.push((now, chat, fault));
        fault
    }

    fn delivers(
        &mut self,
        chat: i64,
        method: &str,
        json: &Value,
        text: String,
        csv: Option<String>,
    ) -> Response {
        let topic = json["message_thread_id"].as_i64().unwrap_or(0);
        let messages = self.chats.entry(chat).or_default();
        if method == "editMessageText" {
            let id = json["message_id"].as_i64().unwrap();
            let Some(message) = messages.iter_mut().find(|message| message.id == id) else {
                return error(400, "Bad Request: message to edit not found", json!({}));
            };
            if message.text == text {
                return error(400, "Bad Request: message is not modified: same text", json!({}));
            }
            message.text = text;
            message.edits += 1;
            return ok(json!(true));
        }
        let id = self.next;
        self.next += 1;
        messages.push(Message { id, topic, text, csv, edits: 0 });
        ok(json!({ "message_id": id, "date": 1, "chat": { "id": chat, "type": "private" } }))
    }
}
