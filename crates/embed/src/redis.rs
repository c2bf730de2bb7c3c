//! Vectors in a Redis that several processes share.
//!
//! `embedding:<model>:<normalised message>` holds the vector as little-endian f32, as others may
//! read and write it too. It is believed only beside its checksum over the very model, the text and
//! the bytes, in `embedding-checksum:<model>:<normalised message>`: what is damaged, of another
//! text, or of another model of the same name is a miss, and is written anew.
//!
//! A Redis that fails is left alone for a second, then tried in the background: one that hangs
//! costs a caller one time-out when it begins to, and no more.

mod breaker;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ::redis::aio::{ConnectionManager, ConnectionManagerConfig};
use ::redis::io::tcp::TcpSettings;
use ::redis::{
    Client, Cmd, ConnectionAddr, ErrorKind, IntoConnectionInfo, Pipeline, RedisConnectionInfo,
    RedisError, RedisResult,
};
use domain::Vector;
use sha2::{Digest, Sha256};

use crate::blocking::Blocking;
use crate::{EmbedError, Origin, VectorCache, meter, value};
use breaker::{Breaker, Pass};

/// What metrics call this.
const TIER: &str = "redis";

/// Texts in one command: 400 KB of vectors of 384 dimensions.
const CHUNK: usize = 256;

/// Where a Redis is, and how it is used.
#[derive(Clone)]
pub struct RedisSettings {
    /// Its host name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The user, where there are several.
    pub username: Option<String>,
    /// The password, where one is needed.
    pub password: Option<String>,
    /// The number of the database.
    pub database: i64,
    /// How long a vector is kept.
    pub ttl: Duration,
    /// How long is waited for a connection.
    pub connect_timeout: Duration,
    /// How long is waited for the answer to a command.
    pub response_timeout: Duration,
    /// The dimensions of the vectors, where they are known: others are not believed.
    pub dimension: Option<usize>,
}

impl RedisSettings {
    /// The usual settings for a Redis: vectors are kept for a week.
    pub fn new(host: impl Into<String>, port: u16) -> RedisSettings {
        RedisSettings {
            host: host.into(),
            port,
            username: None,
            password: None,
            database: 0,
            ttl: Duration::from_secs(7 * 24 * 60 * 60),
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_millis(500),
            dimension: None,
        }
    }

    fn client(&self) -> RedisResult<Client> {
        let mut login = RedisConnectionInfo::default().set_db(self.database);
        if let Some(username) = &self.username {
            login = login.set_username(username);
        }
        if let Some(password) = &self.password {
            login = login.set_password(password);
        }
        let info = ConnectionAddr::Tcp(self.host.clone(), self.port).into_connection_info()?;
        let tcp = TcpSettings::default().set_nodelay(true);
        Client::open(info.set_redis_settings(login).set_tcp_settings(tcp))
    }

    /// Without retries: the breaker sees to that.
    fn connecting(&self) -> ConnectionManagerConfig {
        ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(Some(self.response_timeout))
    }
}

/// A Redis as a cache of vectors. Made without it: it may come later, go, and come again.
pub struct Redis {
    server: Arc<Server>,
    seconds: u64,
    dimension: Option<usize>,
    blocking: Blocking,
}

/// The server, as the background tries it too.
struct Server {
    address: String,
    client: Client,
    connecting: ConnectionManagerConfig,
    connection: Mutex<ConnectionManager>,
    breaker: Breaker,
}

impl Redis {
    /// Uses a Redis. It is connected to when it is first needed.
    ///
    /// # Errors
    /// When the settings cannot be an address, or no thread can be had.
    pub fn new(settings: &RedisSettings) -> Result<Redis, EmbedError> {
        let address = format!("{}:{}", settings.host, settings.port);
        let blocking = Blocking::new("redis")?;
        let no_address = |error: RedisError| EmbedError::Address {
            service: "Redis",
            address: address.clone(),
            reason: error.to_string(),
        };
        let client = settings.client().map_err(no_address)?;
        let connecting = settings.connecting();
        let connection = {
            let _runtime = blocking.enter();
            client.get_connection_manager_lazy(connecting.clone()).map_err(no_address)?
        };
        let connection = Mutex::new(connection);
        let breaker = Breaker::default();
        let server = Arc::new(Server { address, client, connecting, connection, breaker });
        // Redis refuses a time to live of nothing.
        let seconds = settings.ttl.as_secs().max(1);
        Ok(Redis { server, seconds, dimension: settings.dimension, blocking })
    }

    /// Whether Redis answers now, for whoever asks after its health.
    ///
    /// # Errors
    /// [`EmbedError::Unavailable`] says why not.
    pub fn ping(&self) -> Result<(), EmbedError> {
        self.blocking.block_on(self.server.try_it()).map_err(|error| EmbedError::Unavailable {
            service: "Redis",
            address: self.server.address.clone(),
            reason: error.to_string(),
        })
    }

    /// What `work` gives, unless Redis is left alone now, or fails.
    fn with<T>(&self, work: impl AsyncFnOnce(ConnectionManager) -> RedisResult<T>) -> Option<T> {
        match self.server.breaker.pass(Instant::now()) {
            Pass::Yes => {}
            Pass::No => return None,
            Pass::Try => {
                let server = Arc::clone(&self.server);
                self.blocking.spawn(async move {
                    let _ = server.try_it().await;
                });
                return None;
            }
        }
        let done = self.blocking.block_on(work(self.server.connection()));
        done.inspect_err(|error| self.server.failed(error)).ok()
    }

    fn believe(&self, origin: Origin<'_>, text: &str, pair: &[Option<Vec<u8>>]) -> Option<Vector> {
        let [Some(bytes), Some(sum)] = pair else { return None };
        if checksum(origin.fingerprint, text, bytes) != **sum {
            return None;
        }
        // A checksum is no secret: what would break the arithmetic is kept out all the same.
        value::from_bytes(bytes)
            .filter(|vector| self.dimension.is_none_or(|dimension| dimension == vector.len()))
            .filter(|vector| value::is_unit(vector))
    }
}

impl Server {
    fn connection(&self) -> ConnectionManager {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks for a sign of life; a Redis that was left alone, over a new connection, as the former
    /// may be one that nobody answers any more.
    async fn try_it(&self) -> RedisResult<()> {
        let alive = self.ping().await;
        match &alive {
            Ok(()) if self.breaker.succeeded() => {
                tracing::info!(address = self.address, "Redis is back");
            }
            Ok(()) => {}
            Err(error) => {
                self.breaker.failed(Instant::now());
                self.tell(error);
            }
        }
        alive
    }

    async fn ping(&self) -> RedisResult<()> {
        let mut connection = self.connection();
        if !self.breaker.is_well() {
            connection = self.client.get_connection_manager_lazy(self.connecting.clone())?;
        }
        Cmd::new().arg("PING").query_async::<()>(&mut connection).await?;
        *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = connection;
        Ok(())
    }

    fn failed(&self, error: &RedisError) {
        // A Redis that answers, if only to refuse, is not waited for in vain.
        if !matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension) {
            self.breaker.failed(Instant::now());
        }
        self.tell(error);
    }

    fn tell(&self, error: &RedisError) {
        meter::cache_failed(TIER);
        if self.breaker.tells(Instant::now()) {
            let address = &self.address;
            tracing::warn!(address, %error, "Redis fails; vectors are computed instead");
        }
    }
}

impl VectorCache for Redis {
    fn tier(&self) -> &'static str {
        TIER
    }

    fn get(&self, origin: Origin<'_>, texts: &[&str]) -> Vec<Option<Vector>> {
        let mut found = Vec::with_capacity(texts.len());
        for chunk in texts.chunks(CHUNK) {
            let mut command = Cmd::new();
            command.arg("MGET");
            for text in chunk {
                command.arg(&keys(origin.model, text));
            }
            let values = self.with(async |mut connection| {
                command.query_async::<Vec<Option<Vec<u8>>>>(&mut connection).await
            });
            let Some(values) = values.filter(|values| values.len() == 2 * chunk.len()) else {
                break;
            };
            let pairs = chunk.iter().zip(values.chunks(2));
            found.extend(pairs.map(|(text, pair)| self.believe(origin, text, pair)));
        }
        found.resize(texts.len(), None);
        found
    }

    fn put(&self, origin: Origin<'_>, texts: &[&str], vectors: &[Vector]) {
        let all: Vec<(&str, &Vector)> = texts.iter().copied().zip(vectors).collect();
        for chunk in all.chunks(CHUNK) {
            let mut writes = Pipeline::with_capacity(2 * chunk.len());
            for (text, vector) in chunk {
                let bytes = value::to_bytes(vector);
                let sum = checksum(origin.fingerprint, text, &bytes);
                let [value, companion] = keys(origin.model, text);
                let expiry = ("EX", self.seconds);
                writes.cmd("SET").arg(value).arg(bytes).arg(expiry).ignore();
                writes.cmd("SET").arg(companion).arg(&sum[..]).arg(expiry).ignore();
            }
            let written =
                self.with(async |mut connection| writes.query_async::<()>(&mut connection).await);
            if written.is_none() {
                return;
            }
        }
    }
}

/// The key of a vector and that of its checksum.
fn keys(model: &str, text: &str) -> [String; 2] {
    ["embedding", "embedding-checksum"].map(|kind| format!("{kind}:{model}:{text}"))
}

/// Of the very model, the text and the vector. Lengths stand before what varies, so that no other
/// three give the same bytes.
fn checksum(fingerprint: &str, text: &str, bytes: &[u8]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in [fingerprint.as_bytes(), text.as_bytes(), bytes] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let mut sum = [0; 16];
    sum.copy_from_slice(&hash.finalize()[..16]);
    sum
}
