//! The model behind NVIDIA Triton, over gRPC.
//!
//! Whose vectors they are cannot be read from a file here, so Triton is asked: the vector of a fixed
//! text tells models apart. It is asked for at first, which gives the fingerprint, and comes along
//! with every request as one more text: an answer in which it differs is another model's, and is
//! refused. So no vector of another model is used or kept, even when Triton is started again with
//! another one behind the back of this process.

mod server;
mod wire;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use domain::Vector;
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;

use crate::batches::batches;
use crate::blocking::Blocking;
use crate::onnx::hex;
use crate::{EmbedError, Embedder};
use server::Server;

/// The text whose vector tells models apart. Another text makes all that is cached useless.
const PROBE: &str = "connection refused while reading from disk";

/// The smallest cosine of two vectors of the probe text by one model: batches of other shapes and
/// other devices change the last bits, other weights much more.
const SAME: f32 = 0.9999;

/// Texts in a request when Triton does not say how many it takes.
const ROWS: usize = 64;

/// More texts than this gain nothing, whatever Triton takes.
const MAX_ROWS: usize = 256;

/// Full requests that are under way together: one is computed, the others are on their way or wait
/// in Triton's queue, which merges small ones. More would only wait there, and miss their deadline.
const IN_FLIGHT: usize = 3;

/// Which Triton, and what is expected of it.
#[derive(Clone, Debug)]
pub struct TritonSettings {
    /// Its gRPC address, `host:port`.
    pub address: String,
    /// The name that it serves the model under.
    pub served_as: String,
    /// What [`Embedder::model`] says: the name of the thresholds that fit the model that is served.
    pub profile: String,
    /// The dimensions of that model, where they are known.
    pub dimension: Option<usize>,
    /// How long is waited for the answer to one request.
    pub deadline: Duration,
    /// How often a request is made before it is given up for now.
    pub tries: u32,
}

impl TritonSettings {
    /// The usual settings for the model `codebert` of the folder `triton/`, whatever is behind it.
    pub fn new(address: impl Into<String>, profile: impl Into<String>) -> TritonSettings {
        TritonSettings {
            address: address.into(),
            served_as: "codebert".to_owned(),
            profile: profile.into(),
            dimension: None,
            deadline: Duration::from_secs(10),
            tries: 3,
        }
    }
}

/// A model behind Triton. Made without it: it may come later, go, and come again.
pub struct Triton {
    server: Arc<Server>,
    identity: OnceLock<Identity>,
    blocking: Blocking,
}

/// Which model is served.
struct Identity {
    fingerprint: String,
    probe: Vector,
    /// Texts that a request may have, the probe among them.
    rows: usize,
}

impl Identity {
    fn new(profile: &str, probe: Vector, rows: Option<usize>) -> Identity {
        // Two decimals, as the last digits differ between devices.
        let coarse: Vec<u8> =
            probe.iter().map(|value| (value * 100.0).round() as i8 as u8).collect();
        let digest = hex(&Sha256::digest(&coarse)[..8]);
        let rows = rows.unwrap_or(ROWS).clamp(2, MAX_ROWS);
        Identity { fingerprint: format!("{profile}@{digest}/triton"), probe, rows }
    }

    /// Whether this vector of the probe text is of the same model.
    fn made(&self, probe: &Vector) -> bool {
        let cosine: f32 = self.probe.iter().zip(&probe[..]).map(|(one, other)| one * other).sum();
        self.probe.len() == probe.len() && cosine >= SAME
    }
}

impl Triton {
    /// Uses a Triton. It is connected to when it is first needed.
    ///
    /// # Errors
    /// When the address is none, or no thread can be had.
    pub fn new(settings: TritonSettings) -> Result<Triton, EmbedError> {
        let blocking = Blocking::new("triton")?;
        let server = {
            let _runtime = blocking.enter();
            Arc::new(Server::new(settings)?)
        };
        Ok(Triton { server, identity: OnceLock::new(), blocking })
    }

    /// Whether the model works now: one short text, one try, for whoever asks after its health.
    /// Triton's own word is no proof, as it says "ready" when the process of the model is dead.
    ///
    /// # Errors
    /// As [`Embedder::embed`].
    pub fn probe(&self) -> Result<(), EmbedError> {
        self.blocking.block_on(self.identify(1)).map(|_| ())
    }

    /// The model that was served when Triton was first asked. Asks in any case.
    async fn identify(&self, tries: u32) -> Result<&Identity, EmbedError> {
        let made = self.server.infer(self.server.ask(&[], PROBE), tries).await?;
        let probe = made.into_iter().next().expect("one text has one vector");
        let identity = match self.identity.get() {
            Some(identity) => identity,
            None => {
                self.server.check_dimension(probe.len())?;
                let rows = self.server.max_batch_size().await;
                let profile = &self.server.settings.profile;
                // Another thread may have been faster.
                self.identity.get_or_init(|| Identity::new(profile, Arc::clone(&probe), rows))
            }
        };
        self.check(identity, &probe)?;
        Ok(identity)
    }

    fn check(&self, identity: &Identity, probe: &Vector) -> Result<(), EmbedError> {
        let address = || self.server.settings.address.clone();
        identity.made(probe).then_some(()).ok_or_else(|| EmbedError::Changed { address: address() })
    }

    async fn identity(&self) -> Result<&Identity, EmbedError> {
        match self.identity.get() {
            Some(identity) => Ok(identity),
            None => self.identify(self.server.settings.tries).await,
        }
    }

    async fn embed_all(
        &self,
        texts: &[&str],
        progress: &(dyn Fn(usize) + Sync),
    ) -> Result<Vec<Vector>, EmbedError> {
        let identity = self.identity().await?;
        let mut vectors = vec![None; texts.len()];
        let mut waiting = batches(texts, identity.rows - 1).into_iter();
        let mut flying: JoinSet<Result<_, EmbedError>> = JoinSet::new();
        loop {
            while flying.len() < IN_FLIGHT
                && let Some(batch) = waiting.next()
            {
                let rows: Vec<&str> = batch.iter().map(|index| texts[*index]).collect();
                let asked = self.server.ask(&rows, PROBE);
                let (server, tries) = (Arc::clone(&self.server), self.server.settings.tries);
                flying.spawn(async move { Ok((batch, server.infer(asked, tries).await?)) });
            }
            let Some(landed) = flying.join_next().await else { break };
            let (batch, mut made) = landed.expect("a request does not panic")?;
            let probe = made.pop().expect("the probe is the last text of a request");
            self.check(identity, &probe)?;
            progress(batch.len());
            for (index, vector) in batch.into_iter().zip(made) {
                vectors[index] = Some(vector);
            }
        }
        Ok(vectors.into_iter().flatten().collect())
    }
}

impl Embedder for Triton {
    fn model(&self) -> &str {
        &self.server.settings.profile
    }

    fn fingerprint(&self) -> Result<&str, EmbedError> {
        if let Some(identity) = self.identity.get() {
            return Ok(&identity.fingerprint);
        }
        Ok(&self.blocking.block_on(self.identity())?.fingerprint)
    }

    fn embed(
        &self,
        texts: &[&str],
        progress: &(dyn Fn(usize) + Sync),
    ) -> Result<Vec<Vector>, EmbedError> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        self.blocking.block_on(self.embed_all(texts, progress))
    }
}
