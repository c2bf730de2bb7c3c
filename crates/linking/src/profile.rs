//! Thresholds belong to the model and the method: the cosines of two models are not comparable.

use serde::Serialize;

use crate::Method;

/// The thresholds that matching and linking apply.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Thresholds {
    /// The least score between a message and the dictionary text it is taken for: a confidence
    /// from 0 to 1 with the evidence matcher, a cosine from −1 to 1 with the cosine matcher.
    #[cfg_attr(feature = "openapi", schema(example = 0.5))]
    pub reference: f32,
    /// The least cosine between the two messages of a link; `None` for no such condition.
    pub pair: Option<f32>,
}

/// What is known of a model by its name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Profile {
    /// The model's name.
    pub model: &'static str,
    /// The length of its vectors.
    pub dimension: usize,
    /// The method to use with it, if none is asked for.
    pub method: Method,
    cosine: Thresholds,
    /// `None` where evidence has no weights for the model.
    evidence: Option<Thresholds>,
}

impl Profile {
    /// The sentence model of the laptop.
    ///
    /// The reference cosine is that of the best F1 on labelled messages of a real dictionary (see
    /// ARCHITECTURE.md).
    pub const MINILM: Profile = Profile {
        model: "all-MiniLM-L6-v2",
        dimension: 384,
        method: Method::Evidence,
        cosine: Thresholds { reference: 0.42, pair: None },
        evidence: Some(Thresholds { reference: 0.35, pair: None }),
    };

    /// microsoft/codebert-base with mean pooling, as the original used it: cosines are high
    /// throughout, and the pair of messages is what is judged.
    pub const CODEBERT: Profile = Profile {
        model: "codebert",
        dimension: 768,
        method: Method::Cosine,
        cosine: Thresholds { reference: 0.9, pair: Some(0.9) },
        evidence: None,
    };

    /// The models that are known.
    pub const ALL: [Profile; 2] = [Profile::MINILM, Profile::CODEBERT];

    /// The profile of a model, if it is known.
    pub fn of(model: &str) -> Option<Profile> {
        Profile::ALL.into_iter().find(|profile| profile.model == model)
    }

    /// The thresholds to use with a method; `None` where it cannot be used with the model.
    pub fn thresholds(&self, method: Method) -> Option<Thresholds> {
        match method {
            Method::Evidence => self.evidence,
            Method::Cosine => Some(self.cosine),
        }
    }
}
