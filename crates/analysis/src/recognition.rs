//! What is known of messages: each distinct normalised message is judged once.

use domain::{Dictionary, Event, Side, TextId, Vector, normalise_into};
use embed::{EmbedError, Embedder};
use hashbrown::HashMap;
use linking::{Match, Matched, Matcher, Verdict};

use crate::Progress;

/// A verdict that says a text, by its place in [`Recognition::verdicts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known(u32);

/// What is known of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recall {
    /// It says a text.
    Text(Known),
    /// It says no text.
    Nothing,
    /// Its normalised form, left in [`Scratch::normalised`], was not judged yet.
    Unknown,
}

/// Room for the forms of a message, so that recalling allocates nothing.
#[derive(Default)]
pub struct Scratch {
    key: String,
    /// The normalised message.
    pub normalised: String,
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
    verdicts: Vec<(Match, Option<Vector>)>,
    exact: [Vec<Known>; 2],
    by_form: [HashMap<Box<str>, Option<Known>>; 2],
}

impl<'m> Recognition<'m> {
    /// Knows the texts of the dictionary themselves.
    pub fn new(dictionary: &'m Dictionary, matcher: &'m Matcher<'m>) -> Recognition<'m> {
        let mut recognition = Recognition {
            dictionary,
            matcher,
            verdicts: Vec::new(),
            exact: Default::default(),
            by_form: Default::default(),
        };
        for side in Side::BOTH {
            for index in 0..dictionary.texts(side).len() {
                let text = TextId(index as u32);
                let vector = matcher.vector(side, text);
                let verdict = matcher.decide(side, Some(text), vector.as_deref());
                let known = recognition.remember(&verdict, vector);
                recognition.exact[side as usize].extend(known);
            }
        }
        recognition
    }

    fn remember(&mut self, verdict: &Verdict, vector: Option<Vector>) -> Option<Known> {
        let known = Known(self.verdicts.len() as u32);
        self.verdicts.push((*verdict.matched()?, vector));
        Some(known)
    }

    /// What is known of a message, without asking the model.
    #[inline]
    pub fn recall(&self, side: Side, message: &str, scratch: &mut Scratch) -> Recall {
        key_into(message, &mut scratch.key);
        if let Some(text) = self.dictionary.exact_key(side, &scratch.key) {
            return Recall::Text(self.exact[side as usize][text.index()]);
        }
        normalise_into(message, &mut scratch.normalised);
        if scratch.normalised.is_empty() {
            return Recall::Nothing;
        }
        self.recall_form(side, &scratch.normalised)
    }

    /// What is known of a message that is no text itself, by its normalised form.
    #[inline]
    pub fn recall_form(&self, side: Side, normalised: &str) -> Recall {
        match self.by_form[side as usize].get(normalised) {
            Some(Some(known)) => Recall::Text(*known),
            Some(None) => Recall::Nothing,
            None => Recall::Unknown,
        }
    }

    /// Embeds and judges messages that were unknown.
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
        let (texts, sides): (Vec<&str>, Vec<[bool; 2]>) = sides.into_iter().unzip();
        progress.texts(texts.len());
        let vectors = embedder.embed(&texts, &|count| progress.embedded(count))?;
        for ((text, wanted), vector) in texts.iter().zip(sides).zip(vectors) {
            for side in Side::BOTH.into_iter().filter(|side| wanted[*side as usize]) {
                let verdict = self.matcher.decide(side, None, Some(&vector));
                let known = self.remember(&verdict, Some(vector.clone()));
                self.by_form[side as usize].insert((*text).into(), known);
            }
        }
        Ok(())
    }

    /// An event with what its message says.
    pub fn matched(&self, (event, side, known): (Event, Side, Known)) -> Matched {
        let (found, vector) = self.verdicts[known.0 as usize].clone();
        Matched { event, side, found, vector }
    }
}

/// [`domain::key`] into a buffer.
#[inline]
fn key_into(message: &str, out: &mut String) {
    out.clear();
    let message = message.trim();
    if message.is_ascii() {
        out.push_str(message);
        out.make_ascii_lowercase();
    } else {
        out.push_str(&message.to_lowercase());
    }
}
