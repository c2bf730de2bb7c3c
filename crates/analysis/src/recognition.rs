//! What is known of messages: each distinct normalised message is judged once.

use std::sync::OnceLock;

use domain::{Dictionary, Event, Side, TextId, Vector, normalise_into};
use embed::{EmbedError, Embedder};
use hashbrown::HashMap;
use linking::{Match, Matched, Matcher};

use crate::Progress;

/// Texts whose vectors are in memory together: 1.6 MB at 384 dimensions.
const CHUNK: usize = 1024;

/// A message that says a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// It is the text itself.
    Exact(TextId),
    /// It is near a text: the place among those that `Recognition` knows.
    Near(u32),
}

/// What is known of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recall {
    /// It says a text.
    Text(Known),
    /// It says no text.
    Nothing,
    /// Its normalised form was not judged yet.
    Unknown,
}

/// A message that is to be judged.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Unknown {
    /// The side it is judged by.
    pub side: Side,
    /// Its normalised form.
    pub normalised: Box<str>,
}

/// The verdicts so far.
pub struct Recognition<'m> {
    dictionary: &'m Dictionary,
    matcher: &'m Matcher<'m>,
    /// The verdict of each text on itself, once it is asked for.
    exact: [Vec<OnceLock<Found>>; 2],
    near: Vec<Found>,
    by_form: [HashMap<String, Form>; 2],
}

/// A match, with the vector of the message.
type Found = (Match, Option<Vector>);

/// What is known of a normalised message.
#[derive(Clone, Copy, Default)]
struct Form {
    /// Whether a text of the dictionary has this form, so that the message may be that very text.
    of_text: bool,
    /// What a message of this form says that is no text itself, once that is judged.
    verdict: Option<Option<Known>>,
}

impl<'m> Recognition<'m> {
    /// Knows the texts of the dictionary themselves.
    pub fn new(dictionary: &'m Dictionary, matcher: &'m Matcher<'m>) -> Recognition<'m> {
        let forms = |side| {
            let texts = dictionary.texts(side).iter();
            let form = Form { of_text: true, verdict: None };
            texts.map(|text| (text.normalised.clone(), form)).collect()
        };
        Recognition {
            dictionary,
            matcher,
            exact: Side::BOTH.map(|side| vec![OnceLock::new(); dictionary.texts(side).len()]),
            near: Vec::new(),
            by_form: Side::BOTH.map(forms),
        }
    }

    /// How many forms of messages were judged.
    #[allow(clippy::len_without_is_empty, reason = "it is a measure of memory")]
    pub fn len(&self) -> usize {
        self.by_form.iter().map(HashMap::len).sum()
    }

    /// What is known of a message, without asking the model. Leaves its normalised form in
    /// `normalised`.
    #[inline]
    pub fn recall(&self, side: Side, message: &str, normalised: &mut String) -> Recall {
        normalise_into(message, normalised);
        let form = self.by_form[side as usize].get(normalised.as_str());
        if let Some(Form { of_text: true, .. }) = form
            && let Some(text) = self.dictionary.exact(side, message)
        {
            return Recall::Text(Known::Exact(text));
        }
        match form {
            Some(Form { verdict: Some(Some(known)), .. }) => Recall::Text(*known),
            Some(Form { verdict: Some(None), .. }) => Recall::Nothing,
            _ if normalised.is_empty() => Recall::Nothing,
            _ => Recall::Unknown,
        }
    }

    /// What is known of a message that is no text itself, by its normalised form.
    pub fn recall_form(&self, side: Side, normalised: &str) -> Option<Known> {
        self.by_form[side as usize].get(normalised)?.verdict?
    }

    /// Embeds and judges messages that were unknown; not all of them when cancelled.
    pub fn learn<'a>(
        &mut self,
        unknown: impl Iterator<Item = &'a Unknown>,
        embedder: &dyn Embedder,
        progress: &dyn Progress,
    ) -> Result<(), EmbedError> {
        let mut sides: HashMap<&str, [bool; 2]> = HashMap::new();
        for unknown in unknown {
            sides.entry(&unknown.normalised).or_default()[unknown.side as usize] = true;
        }
        let mut texts: Vec<(&str, [bool; 2])> = sides.into_iter().collect();
        texts.sort_unstable();
        progress.texts(texts.len());
        for chunk in texts.chunks(CHUNK) {
            if progress.is_cancelled() {
                return Ok(());
            }
            let forms: Vec<&str> = chunk.iter().map(|(text, _)| *text).collect();
            let vectors = embedder.embed(&forms, &|count| progress.embedded(count))?;
            for ((text, wanted), vector) in chunk.iter().zip(vectors) {
                self.judge(text, wanted, vector);
            }
        }
        Ok(())
    }

    fn judge(&mut self, text: &str, wanted: &[bool; 2], vector: Vector) {
        for side in Side::BOTH.into_iter().filter(|side| wanted[*side as usize]) {
            let verdict = self.matcher.decide(side, None, Some(&vector));
            let known = verdict.matched().map(|found| {
                self.near.push((*found, Some(vector.clone())));
                Known::Near(self.near.len() as u32 - 1)
            });
            self.by_form[side as usize].entry_ref(text).or_default().verdict = Some(known);
        }
    }

    /// An event with what its message says.
    pub fn matched(&self, (event, side, known): (Event, Side, Known)) -> Matched {
        let (found, vector) = match known {
            Known::Near(place) => self.near[place as usize].clone(),
            Known::Exact(text) => self.exact[side as usize][text.index()]
                .get_or_init(|| {
                    let vector = self.matcher.vector(side, text);
                    let verdict = self.matcher.decide(side, Some(text), vector.as_deref());
                    let found = verdict.matched().expect("an exact text always matches");
                    (*found, vector)
                })
                .clone(),
        };
        Matched { event, side, found, vector }
    }
}
