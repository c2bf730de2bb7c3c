//! How a message is compared with the texts of the dictionary.

use std::fmt;
use std::str::FromStr;

use domain::Form;
use serde::Serialize;

/// How a message is compared with the texts of the dictionary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// By several pieces of evidence, weighed; the score is a confidence from 0 to 1.
    Evidence,
    /// By the cosine of the vectors of the normalised message and text, from −1 to 1.
    Cosine,
}

impl Method {
    /// All methods.
    pub const ALL: [Method; 2] = [Method::Evidence, Method::Cosine];

    /// `evidence` or `cosine`.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Evidence => "evidence",
            Method::Cosine => "cosine",
        }
    }

    /// The form of messages and texts whose vectors it compares.
    pub fn form(self) -> Form {
        match self {
            Method::Evidence => Form::Masked,
            Method::Cosine => Form::Normalised,
        }
    }

    /// Whether the component of a message takes part.
    pub fn uses_component(self) -> bool {
        self == Method::Evidence
    }
}

impl fmt::Display for Method {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Method {
    type Err = String;

    fn from_str(text: &str) -> Result<Method, String> {
        let method = Method::ALL.into_iter().find(|method| method.as_str() == text);
        method.ok_or_else(|| "must be one of: evidence, cosine".to_owned())
    }
}
