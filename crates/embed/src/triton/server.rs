//! Requests to Triton: deadlines, tries, and what failures mean.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::Vector;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tonic07::Status;
use tonic07::transport::{Channel, Endpoint};
use triton_client::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use triton_client::inference::{ModelConfigRequest, ModelInferRequest};

use super::wire::{self, Failure};
use super::{IN_FLIGHT, TritonSettings};
use crate::batches::{TOKENS, cost};
use crate::{EmbedError, meter};

/// How long is waited for a connection.
const CONNECT: Duration = Duration::from_secs(2);

/// The pause before the second try, about; it doubles with each further one.
const PAUSE: Duration = Duration::from_millis(100);

/// When a connection that is idle is asked whether it is alive.
const KEEPALIVE: Duration = Duration::from_secs(30);

type Client = GrpcInferenceServiceClient<Channel>;

/// A Triton at its address.
pub struct Server {
    pub settings: TritonSettings,
    endpoint: Endpoint,
    client: Mutex<Client>,
    /// The tokens that may be under way, whatever the number of threads that ask.
    room: Semaphore,
}

/// What Triton is asked.
pub struct Asked {
    request: ModelInferRequest,
    texts: usize,
    cost: usize,
}

impl Server {
    /// To be called within a runtime, though nothing is connected yet.
    pub fn new(settings: TritonSettings) -> Result<Server, EmbedError> {
        let no_address = |reason: String| EmbedError::Address {
            service: "Triton",
            address: settings.address.clone(),
            reason,
        };
        let endpoint = Endpoint::from_shared(format!("http://{}", settings.address))
            .map_err(|error| no_address(error.to_string()))?
            .connect_timeout(CONNECT)
            .tcp_keepalive(Some(KEEPALIVE));
        let uri = endpoint.uri();
        if uri.port_u16().is_none() || uri.path() != "/" || uri.query().is_some() {
            return Err(no_address("it is not of that form".to_owned()));
        }
        let client = Mutex::new(Client::new(endpoint.connect_lazy()));
        let room = Semaphore::new(IN_FLIGHT * TOKENS);
        Ok(Server { settings, endpoint, client, room })
    }

    fn client(&self) -> Client {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Begins a new connection, as a server that is silent may be one that is there no more.
    fn hang_up(&self) {
        let client = Client::new(self.endpoint.connect_lazy());
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = client;
    }

    /// A request for the vectors of texts and of the probe. The probe is free: alone it asks after
    /// the model's health, and that need not wait for room.
    pub fn ask(&self, texts: &[&str], probe: &str) -> Asked {
        let cost = cost(texts);
        let texts = [texts, &[probe]].concat();
        let request = wire::request(&self.settings.served_as, &texts);
        Asked { request, texts: texts.len(), cost }
    }

    /// The vectors that are asked for; what may pass is tried again after a pause.
    pub async fn infer(&self, asked: Asked, tries: u32) -> Result<Vec<Vector>, EmbedError> {
        let mut pause = PAUSE;
        for _ in 1..tries {
            match self.infer_once(&asked).await {
                Err(error) if error.is_temporary() => {
                    tracing::debug!(%error, "Triton is asked again");
                    // Not all at the same time, should all have failed at the same time.
                    sleep(pause.mul_f64(rand::random_range(0.5..1.5))).await;
                    pause *= 2;
                }
                done => return done,
            }
        }
        self.infer_once(&asked).await
    }

    async fn infer_once(&self, asked: &Asked) -> Result<Vec<Vector>, EmbedError> {
        let deadline = self.settings.deadline;
        // The wait for room is not Triton's, and does not count.
        let _room = self.room.acquire_many(asked.cost as u32).await.expect("it is never closed");
        let start = Instant::now();
        let mut client = self.client();
        let request = asked.request.clone();
        let Ok(answer) = timeout(deadline, client.model_infer(request)).await else {
            self.hang_up();
            return Err(self.unavailable(format!("no answer within {} s", deadline.as_secs_f64())));
        };
        let answer = answer.map_err(|status| self.failed(&status))?;
        // The probe, which is in every request, is nobody's text.
        meter::embedded("triton", asked.texts - 1, start.elapsed());
        wire::vectors(answer.get_ref(), asked.texts).map_err(|reason| EmbedError::Answer {
            address: self.settings.address.clone(),
            model: self.settings.served_as.clone(),
            reason,
        })
    }

    /// The number of texts that a request may have, if Triton says it.
    pub async fn max_batch_size(&self) -> Option<usize> {
        let name = self.settings.served_as.clone();
        let request = ModelConfigRequest { name, version: String::new() };
        let mut client = self.client();
        let answer = timeout(self.settings.deadline, client.model_config(request)).await;
        let config = answer.ok()?.ok()?.into_inner().config?;
        usize::try_from(config.max_batch_size).ok().filter(|size| *size > 0)
    }

    /// # Errors
    /// When the model that is served is not the one that the profile is for.
    pub fn check_dimension(&self, found: usize) -> Result<(), EmbedError> {
        let TritonSettings { address, profile, dimension, .. } = &self.settings;
        match *dimension {
            Some(expected) if expected != found => Err(EmbedError::Dimension {
                address: address.clone(),
                found,
                profile: profile.clone(),
                expected,
            }),
            _ => Ok(()),
        }
    }

    fn failed(&self, status: &Status) -> EmbedError {
        match wire::failure(status) {
            Failure::Temporary(reason) => self.unavailable(reason),
            Failure::Lasting(reason) => {
                EmbedError::Refused { address: self.settings.address.clone(), reason }
            }
        }
    }

    fn unavailable(&self, reason: String) -> EmbedError {
        let address = self.settings.address.clone();
        EmbedError::Unavailable { service: "Triton", address, reason }
    }
}
