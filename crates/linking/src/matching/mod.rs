//! A message → the dictionary text it says, or none.

mod cosine;
mod evidence;
mod explanation;
mod method;

use domain::{Dictionary, Event, Side, TextId, Vector};

use crate::Thresholds;
use cosine::Texts;
use evidence::Evidence;

pub use cosine::cosine;
pub use explanation::{Change, Explanation, Piece, Rival};
pub use method::Method;

/// A message as matching sees it; without vectors it has no meaning.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Message<'a> {
    /// Its form, as [`Method::form`] has it.
    pub form: &'a str,
    /// The vector of its form; `None` for the empty one.
    pub vector: Option<&'a [f32]>,
    /// The vector of the form of its component; `None` when that is empty or takes no part.
    pub component: Option<&'a [f32]>,
}

/// A text with its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// The text.
    pub text: TextId,
    /// Its cosine to the message, or the confidence that the message says it, by the [`Method`];
    /// rounded to six decimals.
    pub score: f32,
}

/// The text that is nearest to a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Match {
    /// The text.
    pub text: TextId,
    /// Its score, as [`Scored`] has it; 1 for an exact text.
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
    /// The message has no vector (its form is empty) and is no text of the dictionary, or
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
    /// The vector of its message's form; `None` when that is empty.
    pub vector: Option<Vector>,
}

/// Finds for a message the dictionary text it says.
pub struct Matcher<'d> {
    dictionary: &'d Dictionary,
    thresholds: Thresholds,
    /// Of the forms of all texts, by side.
    vectors: [Vec<Option<Vector>>; 2],
    way: Way,
}

enum Way {
    Evidence(Box<Evidence>),
    Cosine([Texts; 2]),
}

impl<'d> Matcher<'d> {
    /// Prepares a dictionary. `vector` gives the unit vector of a form of a text, as
    /// [`Method::form`] has it; `None` for the empty one.
    ///
    /// # Panics
    /// When the vectors differ in length.
    pub fn new(
        dictionary: &'d Dictionary,
        method: Method,
        thresholds: Thresholds,
        vector: impl Fn(&str) -> Option<Vector>,
    ) -> Matcher<'d> {
        let vectors = Side::BOTH.map(|side| {
            let texts = dictionary.texts(side).iter();
            texts.map(|text| vector(&method.form().of(&text.text))).collect::<Vec<_>>()
        });
        let way = match method {
            Method::Evidence => Way::Evidence(Box::new(Evidence::new(dictionary, &vector))),
            Method::Cosine => Way::Cosine(Side::BOTH.map(|it| Texts::new(&vectors[it as usize]))),
        };
        Matcher { dictionary, thresholds, vectors, way }
    }

    /// How messages are compared.
    pub fn method(&self) -> Method {
        match self.way {
            Way::Evidence(_) => Method::Evidence,
            Way::Cosine(_) => Method::Cosine,
        }
    }

    /// The thresholds applied.
    pub fn thresholds(&self) -> Thresholds {
        self.thresholds
    }

    /// The vector of the form of a dictionary text; `None` when that is empty.
    pub fn vector(&self, side: Side, text: TextId) -> Option<Vector> {
        self.vectors[side as usize][text.index()].clone()
    }

    /// The texts nearest to a message, at most `count`; of equally near ones the first in the
    /// dictionary comes first.
    pub fn nearest(&self, side: Side, message: Message, count: usize) -> Vec<Scored> {
        match &self.way {
            Way::Evidence(evidence) => evidence.nearest(side, message, count),
            Way::Cosine(texts) => message
                .vector
                .map_or(Vec::new(), |vector| texts[side as usize].nearest(vector, count)),
        }
    }

    /// Judges a message by its text, and by its form.
    ///
    /// An exact text wins over any score; else the nearest text counts when its score reaches the
    /// reference threshold.
    pub fn judge(&self, side: Side, text: &str, message: Message) -> Verdict {
        self.decide(side, self.dictionary.exact(side, text), message)
    }

    /// [`Matcher::judge`] for a message whose exact text was looked up already.
    pub fn decide(&self, side: Side, exact: Option<TextId>, message: Message) -> Verdict {
        let (best, second) = self.best(side, message);
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

    /// The nearest text, then the next.
    fn best(&self, side: Side, message: Message) -> (Option<Scored>, Option<Scored>) {
        match &self.way {
            Way::Evidence(evidence) => evidence
                .weigh(side, message)
                .map_or((None, None), |weighed| (Some(weighed.best), weighed.runner_up)),
            Way::Cosine(texts) => {
                message.vector.map_or((None, None), |vector| texts[side as usize].best(vector))
            }
        }
    }

    /// Why [`Matcher::judge`] judges a message as it does; `None` where a text or the message has
    /// no meaning.
    pub fn explain(&self, side: Side, text: &str, message: Message) -> Option<Explanation> {
        let exact = self.dictionary.exact(side, text);
        let threshold = self.thresholds.reference;
        match &self.way {
            Way::Evidence(evidence) => evidence.explain(side, message, exact, threshold),
            Way::Cosine(texts) => {
                let asked = (side, message, exact);
                texts[side as usize].explain(self.dictionary, asked, threshold)
            }
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

    fn embedded(message: &str) -> (String, Option<Vector>) {
        let form = domain::normalise(message);
        let vector = vector(&form);
        (form, vector)
    }

    fn told<'a>(form: &'a str, vector: &'a Option<Vector>) -> Message<'a> {
        Message { form, vector: vector.as_deref(), component: None }
    }

    const THRESHOLDS: Thresholds = Thresholds { reference: 0.95, pair: None };

    fn judge(texts: &[&str], message: &str) -> Verdict {
        let dictionary = dictionary(texts);
        let matcher = Matcher::new(&dictionary, Method::Cosine, THRESHOLDS, vector);
        let (form, vector) = embedded(message);
        matcher.judge(Side::Anomaly, message, told(&form, &vector))
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
        let matcher = Matcher::new(&dictionary, Method::Cosine, THRESHOLDS, vector);
        let nearest = |count| {
            let a = vector("a");
            let nearest = matcher.nearest(Side::Anomaly, told("a", &a), count);
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

    #[test]
    fn a_cosine_is_explained_by_itself_and_the_threshold() {
        let dictionary = dictionary(&["aaa", "eee"]);
        let matcher = Matcher::new(&dictionary, Method::Cosine, THRESHOLDS, vector);
        let explain = |message: &str| {
            let (form, vector) = embedded(message);
            matcher.explain(Side::Anomaly, message, told(&form, &vector))
        };
        let far = explain("ccc").unwrap();
        assert_eq!((&*far.text, far.confidence, far.base), ("aaa", 0.939693, 0.0));
        assert_eq!((far.pieces.len(), far.pieces[0].weight), (1, 0.939693));
        assert_eq!(far.runner_up.unwrap().text, "eee");
        let change = far.change.unwrap();
        assert_eq!(
            (change.evidence.as_deref(), change.from, change.to),
            (Some("cosine"), 0.939693, 0.95)
        );
        assert!(change.log_odds < 0.0, "so much is missing: {}", change.log_odds);
        let itself = explain("EEE").unwrap();
        assert_eq!((&*itself.text, itself.confidence, itself.change), ("eee", 1.0, None));
        assert_eq!(explain("1/0"), None);
    }
}
