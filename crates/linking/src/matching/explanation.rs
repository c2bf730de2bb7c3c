//! Why a message is taken for a text, or for none.

use serde::Serialize;

/// Why a message is taken for a text, or for none.
///
/// With the evidence matcher weights are log-odds: `base` and the weights of all pieces add up to
/// those of the confidence. With the cosine matcher there is one piece, and cosines stand for
/// confidences and weights.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Explanation {
    /// The text that the message says, or is nearest to.
    pub text: String,
    /// How sure it is that the message says it.
    #[cfg_attr(feature = "openapi", schema(example = 0.93))]
    pub confidence: f32,
    /// What speaks for it and against it.
    pub pieces: Vec<Piece>,
    /// The log-odds before any evidence.
    pub base: f32,
    /// The text that came second; null when the side has no other.
    pub runner_up: Option<Rival>,
    /// What would have to change for another verdict; null for the text itself.
    pub change: Option<Change>,
}

/// A piece of evidence.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Piece {
    /// What it is.
    #[cfg_attr(feature = "openapi", schema(example = "cosine"))]
    pub evidence: String,
    /// What was measured.
    #[cfg_attr(feature = "openapi", schema(example = 0.71))]
    pub value: f32,
    /// What it adds to the log-odds; negative when it speaks against the text.
    #[cfg_attr(feature = "openapi", schema(example = 3.4))]
    pub weight: f32,
    /// The words that carry it.
    pub words: Vec<String>,
}

/// The text that came second.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Rival {
    /// The text.
    pub text: String,
    /// How sure it would be that the message says it.
    pub confidence: f32,
    /// What decides between the two: weights over zero speak for the first.
    pub pieces: Vec<Piece>,
}

/// What would have to change for another verdict.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Change {
    /// The least confidence of a match.
    #[cfg_attr(feature = "openapi", schema(example = 0.5))]
    pub threshold: f32,
    /// The log-odds over the threshold's: what is to spare, or, when negative, missing.
    pub log_odds: f32,
    /// The piece of evidence that would turn the verdict alone; null when none can.
    pub evidence: Option<String>,
    /// Its value.
    pub from: f32,
    /// The value it would need.
    pub to: f32,
}

/// The log-odds of a probability, finite for 0 and 1 too.
pub(crate) fn log_odds(probability: f32) -> f32 {
    let probability = f64::from(probability).clamp(1e-9, 1.0 - 1e-9);
    (probability / (1.0 - probability)).ln() as f32
}
