//! The words of the domain: what an event, a dictionary and the forms of a message are.
//!
//! Input: nothing but values. Output: nothing but values. This crate reads no files, knows no
//! encodings, no models and no runtime; every other crate of the workspace speaks its words.

mod dictionary;
mod event;
mod form;
mod level;
mod mask;
mod normalise;

pub use dictionary::{Dictionary, Pair, Row, Side, Text, TextId, key};
pub use event::Event;
pub use form::Form;
pub use level::Level;
pub use mask::{mask, mask_into};
pub use normalise::{normalise, normalise_into};

/// The unit vector of a form of a text, shared by all who hold it.
pub type Vector = std::sync::Arc<[f32]>;
