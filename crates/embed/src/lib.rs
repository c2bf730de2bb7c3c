//! Normalised texts in, unit vectors out.
//!
//! The seam is [`Embedder`], with its twins: [`OnnxModel`] computes in this process, on all cores;
//! `Triton` (feature `triton`) asks a server. [`Cached`] puts a [`VectorCache`] in front of either:
//! [`Memory`], [`Store`] on disk, `Redis` (feature `redis`); tiers are put one in front of another.
//! [`SingleFlight`], in front of them all, has a text that several threads ask for at once embedded
//! once:
//!
//! ```text
//! SingleFlight → Cached<Memory> → Cached<Redis> → Triton
//! ```
//!
//! Everything here is called from ordinary threads (`spawn_blocking` in asynchronous programs) and
//! blocks; what speaks to the network has a small runtime of its own.
//!
//! Invariants: the vector of a text does not depend on the texts beside it, on the number of
//! threads or on the cache; all vectors of one embedder are of one model; a cache outside this
//! process is never trusted (every vector in it has a checksum) and no cache is ever fatal (without
//! it the model does the work again).

#[cfg(feature = "triton")]
mod batches;
#[cfg(any(feature = "redis", feature = "triton"))]
mod blocking;
mod cached;
mod error;
mod fetch;
mod memory;
mod meter;
mod onnx;
#[cfg(feature = "redis")]
mod redis;
mod single_flight;
mod store;
#[cfg(feature = "triton")]
mod triton;
mod value;

use std::sync::Arc;

use domain::Vector;

pub use cached::{Cached, Origin, VectorCache};
pub use error::EmbedError;
pub use fetch::{DEFAULT_MODEL, fetch_default};
pub use memory::Memory;
pub use meter::describe_metrics;
pub use onnx::OnnxModel;
#[cfg(feature = "redis")]
pub use redis::{Redis, RedisSettings};
pub use single_flight::SingleFlight;
pub use store::Store;
#[cfg(feature = "triton")]
pub use triton::{Triton, TritonSettings};

/// A model of sentences.
pub trait Embedder: Send + Sync {
    /// The name of the model, which its thresholds go by.
    fn model(&self) -> &str;

    /// What the vectors of this very model are kept under: its name and a digest, of its files
    /// where they are at hand, else of what it answers. It never changes while the process runs.
    ///
    /// # Errors
    /// When the model has to be asked for it the first time and does not answer.
    fn fingerprint(&self) -> Result<&str, EmbedError>;

    /// The unit vectors of texts that are not empty, in their order. `progress` is
    /// told how many texts were done since it was last told.
    ///
    /// # Errors
    /// When the model cannot be had or does not work; see [`EmbedError`].
    fn embed(
        &self,
        texts: &[&str],
        progress: &(dyn Fn(usize) + Sync),
    ) -> Result<Vec<Vector>, EmbedError>;
}

/// Whoever points to an embedder is one.
macro_rules! embedder_behind {
    ($($pointer:ident),*) => {$(
        impl<E: Embedder + ?Sized> Embedder for $pointer<E> {
            fn model(&self) -> &str {
                (**self).model()
            }

            fn fingerprint(&self) -> Result<&str, EmbedError> {
                (**self).fingerprint()
            }

            fn embed(
                &self,
                texts: &[&str],
                progress: &(dyn Fn(usize) + Sync),
            ) -> Result<Vec<Vector>, EmbedError> {
                (**self).embed(texts, progress)
            }
        }
    )*};
}

embedder_behind!(Box, Arc);
