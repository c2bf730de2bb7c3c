//! The weights that `fit/fit.py` fitted.

use std::collections::HashMap;
use std::sync::OnceLock;

use half::f16;
use ndarray::{Array1, Array2};
use safetensors::{Dtype, SafeTensors};

/// Of all-MiniLM-L6-v2.
const MINILM: &[u8] = include_bytes!("../../../weights/all-MiniLM-L6-v2.safetensors");

/// The weights for the vectors of one sentence model. Shapes are \[rows, columns\]; `d` is the
/// length of a vector.
pub struct Weights {
    /// A step away from the vector of a message.
    pub message: Step,
    /// A step away from the vector of a text.
    pub text: Step,
    /// The place of a stem in `word_vectors`.
    pub words: HashMap<String, usize>,
    /// \[words, w\].
    pub word_vectors: Array2<f32>,
    /// \[w, d\].
    pub word_up: Array2<f32>,
    /// Whether a message tells of a fault.
    pub event: EventWeights,
    /// By [`super::RANKING`]; in log-odds.
    pub ranking: Vec<f32>,
    /// By [`super::BELIEF`].
    pub belief: Vec<Belief>,
    /// The log-odds of a message whose evidence is average.
    pub base: f32,
}

/// A nonlinear step of low rank.
pub struct Step {
    /// \[d, rank\].
    pub down: Array2<f32>,
    /// \[rank, d\].
    pub up: Array2<f32>,
}

/// A network of one hidden layer beside a linear model, over vectors and rows of words.
pub struct EventWeights {
    /// By bucket.
    pub rows: Vec<f32>,
    /// \[4 d, hidden\]: message, component, message × text, text.
    pub hidden: Array2<f32>,
    /// \[hidden\].
    pub hidden_bias: Array1<f32>,
    /// \[hidden\].
    pub out: Array1<f32>,
    /// \[4 d\].
    pub linear: Array1<f32>,
    pub bias: f32,
}

/// How a piece of evidence counts for a match.
pub struct Belief {
    /// Log-odds by its unit.
    pub slope: f32,
    /// Its average over labelled messages.
    pub mean: f32,
    /// Its standard deviation over labelled messages.
    pub spread: f32,
}

impl Weights {
    /// Of all-MiniLM-L6-v2.
    ///
    /// # Panics
    /// When the file that was compiled in is not what the script writes.
    pub fn minilm() -> &'static Weights {
        static WEIGHTS: OnceLock<Weights> = OnceLock::new();
        WEIGHTS.get_or_init(|| Weights::read(MINILM))
    }

    fn read(bytes: &[u8]) -> Weights {
        let file = File(SafeTensors::deserialize(bytes).expect("weights are safetensors"));
        let belief = file.rows("belief");
        let words = file.0.tensor("words").expect("weights name their words").data().to_vec();
        let words = String::from_utf8(words).expect("words are UTF-8");
        let step = |name| Step {
            down: file.rows(&format!("{name}_down")),
            up: file.rows(&format!("{name}_up")),
        };
        Weights {
            message: step("message"),
            text: step("text"),
            words: words.split('\n').enumerate().map(|(at, word)| (word.to_owned(), at)).collect(),
            word_vectors: file.rows("word_vectors"),
            word_up: file.rows("word_up"),
            event: EventWeights {
                rows: file.numbers("event_grams"),
                hidden: file.rows("event_hidden"),
                hidden_bias: file.numbers("event_hidden_bias").into(),
                out: file.numbers("event_out").into(),
                linear: file.numbers("event_linear").into(),
                bias: file.numbers("event_bias")[0],
            },
            ranking: file.numbers("ranking"),
            belief: belief
                .rows()
                .into_iter()
                .map(|row| Belief { slope: row[0], mean: row[1], spread: row[2] })
                .collect(),
            base: file.numbers("base")[0],
        }
    }
}

struct File<'a>(SafeTensors<'a>);

impl File<'_> {
    fn numbers(&self, name: &str) -> Vec<f32> {
        let tensor = self.0.tensor(name).unwrap_or_else(|_| panic!("weights lack {name}"));
        let data = tensor.data();
        match tensor.dtype() {
            Dtype::F32 => {
                data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
            }
            Dtype::F16 => {
                data.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes).into()).collect()
            }
            other => panic!("weights {name} are {other:?}"),
        }
    }

    fn rows(&self, name: &str) -> Array2<f32> {
        let tensor = self.0.tensor(name).unwrap_or_else(|_| panic!("weights lack {name}"));
        let [rows, columns] = tensor.shape() else { panic!("weights {name} have no rows") };
        Array2::from_shape_vec((*rows, *columns), self.numbers(name)).expect("shape fits numbers")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matching::evidence::{BELIEF, RANKING};

    #[test]
    fn the_weights_fit_one_another_and_a_megabyte() {
        let weights = Weights::minilm();
        assert!(MINILM.len() <= 1 << 20);
        assert_eq!((weights.ranking.len(), weights.belief.len()), (RANKING.len(), BELIEF.len()));
        assert_eq!(weights.words.len(), weights.word_vectors.nrows());
        assert_eq!(weights.event.rows.len(), super::super::words::BUCKETS);
        assert_eq!(weights.event.linear.len(), 4 * weights.message.down.nrows());
        assert!(weights.belief.iter().all(|belief| belief.spread > 0.0));
    }
}
