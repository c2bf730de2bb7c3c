//! Asynchronous work for callers that are not.

use std::future::Future;

use tokio::runtime::{Builder, EnterGuard, Runtime};

use crate::EmbedError;

/// A runtime with one thread: the work is waiting for a socket.
pub struct Blocking(Option<Runtime>);

impl Blocking {
    pub fn new(name: &str) -> Result<Blocking, EmbedError> {
        let mut runtime = Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).thread_name(name).enable_all().build();
        Ok(Blocking(Some(runtime.map_err(|error| EmbedError::Threads { error })?)))
    }

    fn runtime(&self) -> &Runtime {
        self.0.as_ref().expect("it is taken only when dropped")
    }

    /// Waits for the work. Must not be called from within asynchronous work.
    pub fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime().block_on(work)
    }

    /// Goes on with the work while others do something else.
    #[cfg(feature = "redis")]
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.runtime().spawn(work);
    }

    /// Makes this the runtime of what is made while the guard is there.
    pub fn enter(&self) -> EnterGuard<'_> {
        self.runtime().enter()
    }
}

impl Drop for Blocking {
    /// A runtime that waits for its end would panic where its owner is dropped in asynchronous work.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
