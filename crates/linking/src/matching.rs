//! A message → the dictionary text it says, or none.

use domain::{Dictionary, Event, Side, TextId, Vector};
use ndarray::{Array2, ArrayView1};

use crate::Thresholds;

/// A text with its cosine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// The text.
    pub text: TextId,
    /// Its cosine to the message, rounded to six decimals.
    pub score: f32,
}

/// The text that is nearest to a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Match {
    /// The text.
    pub text: TextId,
    /// Its cosine to the message; 1 for an exact text.
    pub score: f32,
    /// Whether the message is the text itself, trimmed and in any case.
    pub exact: bool,
    /// The nearest of the other texts.
    pub runner_up: Option<Scored>,
}

/// What matching says of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// The message says this text.
    Matched(Match),
    /// The nearest text, which is too far.
    TooFar(Match),
    /// The message has no vector (it normalises to nothing) and is no text of the dictionary, or
    /// the side holds no text with a meaning.
    NoMeaning,
}

impl Verdict {
    /// The match, when there is one.
    pub fn matched(&self) -> Option<&Match> {
        match self {
            Verdict::Matched(found) => Some(found),
            Verdict::TooFar(_) | Verdict::NoMeaning => None,
        }
    }

    /// The nearest text, whether it matches or is too far.
    pub fn nearest(&self) -> Option<&Match> {
        match self {
            Verdict::Matched(found) | Verdict::TooFar(found) => Some(found),
            Verdict::NoMeaning => None,
        }
    }
}

/// An event with the text it was matched with.
#[derive(Clone, Debug)]
pub struct Matched {
    /// The event.
    pub event: Event,
    /// The side its level belongs to.
    pub side: Side,
    /// The text it says.
    pub found: Match,
    /// The vector of its normalised message; `None` when that is empty.
    pub vector: Option<Vector>,
}

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

/// Finds for a message the dictionary text it says.
pub struct Matcher<'d> {
    dictionary: &'d Dictionary,
    thresholds: Thresholds,
    anomalies: Texts,
    problems: Texts,
}

/// The texts of one side that have a vector, a row each.
struct Texts {
    /// Ascending.
    ids: Vec<TextId>,
    vectors: Array2<f32>,
}

impl Texts {
    fn new(dictionary: &Dictionary, side: Side, vector: &impl Fn(&str) -> Option<Vector>) -> Texts {
        let texts = dictionary.texts(side).iter().enumerate();
        let (ids, vectors): (Vec<TextId>, Vec<Vector>) = texts
            .filter_map(|(index, text)| Some((TextId(index as u32), vector(&text.normalised)?)))
            .unzip();
        let width = vectors.first().map_or(0, |vector| vector.len());
        let shape = (ids.len(), width);
        let vectors = Array2::from_shape_vec(shape, vectors.concat())
            .expect("vectors of one model have one length");
        Texts { ids, vectors }
    }

    /// All texts with their cosine to `vector`.
    fn scored(&self, vector: &[f32]) -> impl Iterator<Item = Scored> {
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
    fn nearest(&self, vector: &[f32]) -> (Option<Scored>, Option<Scored>) {
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
}

impl<'d> Matcher<'d> {
    /// Prepares a dictionary. `vector` gives the unit vector of a normalised text, `None` for the
    /// empty one.
    ///
    /// # Panics
    /// When the vectors differ in length.
    pub fn new(
        dictionary: &'d Dictionary,
        thresholds: Thresholds,
        vector: impl Fn(&str) -> Option<Vector>,
    ) -> Matcher<'d> {
        Matcher {
            dictionary,
            thresholds,
            anomalies: Texts::new(dictionary, Side::Anomaly, &vector),
            problems: Texts::new(dictionary, Side::Problem, &vector),
        }
    }

    /// The vector of a dictionary text; `None` when its normalised form is empty.
    pub fn vector(&self, side: Side, text: TextId) -> Option<Vector> {
        let texts = self.side(side);
        let row = texts.ids.binary_search(&text).ok()?;
        Some(texts.vectors.row(row).iter().copied().collect())
    }

    /// The texts nearest to a vector, at most `count`; of equally near ones the first in the
    /// dictionary comes first.
    pub fn nearest(&self, side: Side, vector: &[f32], count: usize) -> Vec<Scored> {
        let mut texts: Vec<Scored> = self.side(side).scored(vector).collect();
        texts.sort_by(|one, other| other.score.total_cmp(&one.score));
        texts.truncate(count);
        texts
    }

    fn side(&self, side: Side) -> &Texts {
        match side {
            Side::Anomaly => &self.anomalies,
            Side::Problem => &self.problems,
        }
    }

    /// The thresholds applied.
    pub fn thresholds(&self) -> Thresholds {
        self.thresholds
    }

    /// Judges a message by its text, and by the vector of its normalised form.
    ///
    /// An exact text wins over any cosine; else the nearest text counts when its cosine reaches
    /// the reference threshold.
    pub fn judge(&self, side: Side, message: &str, vector: Option<&[f32]>) -> Verdict {
        self.decide(side, self.dictionary.exact(side, message), vector)
    }

    /// [`Matcher::judge`] for a message whose exact text was looked up already.
    pub fn decide(&self, side: Side, exact: Option<TextId>, vector: Option<&[f32]>) -> Verdict {
        let (best, second) = vector.map_or((None, None), |vector| self.side(side).nearest(vector));
        if let Some(text) = exact {
            let runner_up = best.filter(|best| best.text != text).or(second);
            return Verdict::Matched(Match { text, score: 1.0, exact: true, runner_up });
        }
        let Some(Scored { text, score }) = best else { return Verdict::NoMeaning };
        let nearest = Match { text, score, exact: false, runner_up: second };
        if score >= self.thresholds.reference {
            Verdict::Matched(nearest)
        } else {
            Verdict::TooFar(nearest)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Row;

    fn dictionary(anomalies: &[&str]) -> Dictionary {
        let row = |(index, text): (usize, &&str)| Row {
            line: index as u64 + 2,
            anomaly_id: index as u64,
            anomaly: (*text).to_owned(),
            problem_id: 1,
            problem: "P".to_owned(),
        };
        Dictionary::new(anomalies.iter().enumerate().map(row).collect())
    }

    /// Directions in a plane, by the first letter: `a` at 0°, each next letter 10° on.
    fn vector(text: &str) -> Option<Vector> {
        let letter = text.bytes().next()?;
        let angle = f32::from(letter - b'a') * 10f32.to_radians();
        Some([angle.cos(), angle.sin()].into())
    }

    const THRESHOLDS: Thresholds = Thresholds { reference: 0.95, pair: None };

    fn judge(texts: &[&str], message: &str) -> Verdict {
        let dictionary = dictionary(texts);
        let matcher = Matcher::new(&dictionary, THRESHOLDS, vector);
        let normalised = domain::normalise(message);
        matcher.judge(Side::Anomaly, message, vector(&normalised).as_deref())
    }

    #[test]
    fn the_nearest_text_over_the_threshold_matches() {
        let Verdict::Matched(found) = judge(&["abc", "eee", "ccc"], "bbb") else { panic!() };
        assert_eq!((found.text, found.exact), (TextId(0), false), "of two as near the first");
        assert_eq!(found.runner_up.unwrap().text, TextId(2));
        assert_eq!(found.score, 0.984808);
    }

    #[test]
    fn the_nearest_texts_come_in_their_order() {
        let dictionary = dictionary(&["eee", "abc", "1/0/1", "bbb", "aaa"]);
        let matcher = Matcher::new(&dictionary, THRESHOLDS, vector);
        let nearest = |count| {
            let nearest = matcher.nearest(Side::Anomaly, &vector("a").unwrap(), count);
            nearest.iter().map(|near| near.text.0).collect::<Vec<_>>()
        };
        assert_eq!(nearest(3), [1, 4, 3], "of two as near the first in the dictionary");
        assert_eq!(nearest(9), [1, 4, 3, 0], "one without a meaning is near to nothing");
    }

    #[test]
    fn the_nearest_text_under_the_threshold_is_told_and_does_not_match() {
        let Verdict::TooFar(found) = judge(&["aaa"], "ccc") else { panic!() };
        assert_eq!((found.score, found.runner_up), (0.939693, None));
    }

    #[test]
    fn an_exact_text_wins_over_any_cosine() {
        let Verdict::Matched(found) = judge(&["aaa 1", "aaa 2"], " AAA 2 ") else { panic!() };
        assert_eq!((found.text, found.exact, found.score), (TextId(1), true, 1.0));
        assert_eq!(found.runner_up, Some(Scored { text: TextId(0), score: 1.0 }));
    }

    #[test]
    fn a_message_of_no_meaning_matches_its_exact_text_only() {
        assert_eq!(judge(&["1/0/1", "aaa"], "1/0/2"), Verdict::NoMeaning);
        let Verdict::Matched(found) = judge(&["1/0/1", "aaa"], "1/0/1") else { panic!() };
        assert_eq!((found.text, found.exact), (TextId(0), true));
        assert_eq!(judge(&["1/0/1"], "aaa"), Verdict::NoMeaning);
    }
}
