//! Matching by the cosine of two vectors.

use domain::{Dictionary, Side, TextId, Vector};
use ndarray::{Array2, ArrayView1};

use super::{Change, Explanation, Message, Piece, Rival, Scored};

/// The cosine of two unit vectors, rounded to six decimals.
///
/// # Panics
/// When the lengths differ.
pub fn cosine(one: &[f32], other: &[f32]) -> f32 {
    rounded(ArrayView1::from(one).dot(&ArrayView1::from(other)))
}

fn rounded(cosine: f32) -> f32 {
    ((f64::from(cosine) * 1e6).round() / 1e6).clamp(-1.0, 1.0) as f32
}

/// The texts of one side that have a vector, a row each.
pub(super) struct Texts {
    /// Ascending.
    ids: Vec<TextId>,
    vectors: Array2<f32>,
}

impl Texts {
    /// The texts that have one of `vectors`, which are those of all texts in their order.
    pub fn new(vectors: &[Option<Vector>]) -> Texts {
        let texts = vectors.iter().enumerate();
        let (ids, vectors): (Vec<TextId>, Vec<&[f32]>) = texts
            .filter_map(|(index, vector)| Some((TextId(index as u32), vector.as_deref()?)))
            .unzip();
        let width = vectors.first().map_or(0, |vector| vector.len());
        let shape = (ids.len(), width);
        let vectors = Array2::from_shape_vec(shape, vectors.concat())
            .expect("vectors of one model have one length");
        Texts { ids, vectors }
    }

    /// All texts with their cosine to `vector`.
    pub fn scored(&self, vector: &[f32]) -> impl Iterator<Item = Scored> {
        let scores = if self.ids.is_empty() {
            Vec::new()
        } else {
            self.vectors.dot(&ArrayView1::from(vector)).to_vec()
        };
        self.ids
            .iter()
            .zip(scores)
            .map(|(text, score)| Scored { text: *text, score: rounded(score) })
    }

    /// The nearest text, then the next; of equally near ones the first in the dictionary.
    pub fn best(&self, vector: &[f32]) -> (Option<Scored>, Option<Scored>) {
        let (mut best, mut second): (Option<Scored>, Option<Scored>) = (None, None);
        let over =
            |one: &Scored, other: Option<Scored>| other.is_none_or(|other| one.score > other.score);
        for scored in self.scored(vector) {
            if over(&scored, best) {
                second = best.replace(scored);
            } else if over(&scored, second) {
                second = Some(scored);
            }
        }
        (best, second)
    }

    /// The nearest texts, at most `count`; of equally near ones the first in the dictionary first.
    pub fn nearest(&self, vector: &[f32], count: usize) -> Vec<Scored> {
        let mut texts: Vec<Scored> = self.scored(vector).collect();
        texts.sort_by(|one, other| other.score.total_cmp(&one.score));
        texts.truncate(count);
        texts
    }

    /// Why a message is taken for a text, or the nearest.
    pub fn explain(
        &self,
        dictionary: &Dictionary,
        (side, message, exact): (Side, Message, Option<TextId>),
        threshold: f32,
    ) -> Option<Explanation> {
        let mut near = self.nearest(message.vector?, self.ids.len()).into_iter();
        let own = match exact {
            Some(exact) => near.clone().find(|near| near.text == exact)?,
            None => near.next()?,
        };
        let rival = near.find(|near| near.text != own.text);
        let text = |scored: Scored| dictionary.text(side, scored.text).text.clone();
        let piece = |value, weight| {
            vec![Piece { evidence: "cosine".to_owned(), value, weight, words: Vec::new() }]
        };
        Some(Explanation {
            text: text(own),
            confidence: if exact.is_some() { 1.0 } else { own.score },
            pieces: piece(own.score, own.score),
            base: 0.0,
            runner_up: rival.map(|rival| Rival {
                text: text(rival),
                confidence: rival.score,
                pieces: piece(rival.score, own.score - rival.score),
            }),
            change: exact.is_none().then(|| Change {
                threshold,
                log_odds: own.score - threshold,
                evidence: Some("cosine".to_owned()),
                from: own.score,
                to: threshold,
            }),
        })
    }
}
