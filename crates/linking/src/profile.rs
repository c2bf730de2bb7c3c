//! Thresholds belong to the model: the cosines of two models are not comparable.

use serde::Serialize;

/// The thresholds that matching and linking apply, as cosines from −1 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Thresholds {
    /// The least cosine between a message and the dictionary text it is taken for.
    #[cfg_attr(feature = "openapi", schema(example = 0.42))]
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
    /// The thresholds to use with it.
    pub thresholds: Thresholds,
}

impl Profile {
    /// The sentence model of the laptop.
    ///
    /// Reference: the best F1 on labelled messages of a real dictionary (see ARCHITECTURE.md).
    pub const MINILM: Profile = Profile {
        model: "all-MiniLM-L6-v2",
        dimension: 384,
        thresholds: Thresholds { reference: 0.42, pair: None },
    };

    /// microsoft/codebert-base with mean pooling, as the original used it: cosines are high
    /// throughout, and the pair of messages is what is judged.
    pub const CODEBERT: Profile = Profile {
        model: "codebert",
        dimension: 768,
        thresholds: Thresholds { reference: 0.9, pair: Some(0.9) },
    };

    /// The models that are known.
    pub const ALL: [Profile; 2] = [Profile::MINILM, Profile::CODEBERT];

    /// The profile of a model, if it is known.
    pub fn of(model: &str) -> Option<Profile> {
        Profile::ALL.into_iter().find(|profile| profile.model == model)
    }
}
