//! What is known of messages: each distinct form of a message is judged once, with each component
//! where that takes part.

use std::collections::HashSet;
use std::sync::OnceLock;

use domain::{Dictionary, Event, Form, Side, TextId, Vector};
use embed::{EmbedError, Embedder};
use hashbrown::HashMap;
use linking::{Match, Matched, Matcher, Message};

use crate::Progress;

/// Texts whose vectors are in memory together: 1.6 MB at 384 dimensions.
const CHUNK: usize = 1024;

/// Stands between the form of a component and that of a message, and is in neither: it is a space
/// to them.
const BETWEEN: char = '\u{1f}';

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
    /// Its form was not judged yet.
    Unknown,
}

/// A message that is to be judged.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Unknown {
    /// The side it is judged by.
    pub side: Side,
    /// Its key, as [`Recognition::recall`] leaves it.
    pub key: Box<str>,
}

/// The verdicts so far.
pub struct Recognition<'m> {
    dictionary: &'m Dictionary,
    matcher: &'m Matcher<'m>,
    form: Form,
    uses_component: bool,
    /// The verdict of each text on itself, once it is asked for.
    exact: [Vec<OnceLock<Found>>; 2],
    near: Vec<Found>,
    /// The forms of the texts of the dictionary: a message of such a form may be that very text.
    texts: [HashSet<String>; 2],
    by_key: [HashMap<String, Judged>; 2],
    /// The vectors of the forms of components.
    components: HashMap<String, Vector>,
}

/// A match, with the vector of the message.
type Found = (Match, Option<Vector>);

/// What is known of a key.
#[derive(Clone, Copy)]
struct Judged {
    /// Whether a message of this key may be a text of the dictionary itself.
    may_be_text: bool,
    /// What a message says that is no text itself.
    says: Option<Known>,
}

impl<'m> Recognition<'m> {
    /// Knows the texts of the dictionary themselves.
    pub fn new(dictionary: &'m Dictionary, matcher: &'m Matcher<'m>) -> Recognition<'m> {
        let method = matcher.method();
        let forms = |side| {
            let texts = dictionary.texts(side).iter();
            texts.map(|text| method.form().of(&text.text)).collect()
        };
        Recognition {
            dictionary,
            matcher,
            form: method.form(),
            uses_component: method.uses_component(),
            exact: Side::BOTH.map(|side| vec![OnceLock::new(); dictionary.texts(side).len()]),
            near: Vec::new(),
            texts: Side::BOTH.map(forms),
            by_key: Side::BOTH.map(|_| HashMap::new()),
            components: HashMap::new(),
        }
    }

    /// How many messages were judged.
    #[allow(clippy::len_without_is_empty, reason = "it is a measure of memory")]
    pub fn len(&self) -> usize {
        self.by_key.iter().map(HashMap::len).sum()
    }

    /// What is known of a message, without asking the model. Leaves its key in `key`: what it is
    /// judged by.
    #[inline]
    pub fn recall(&self, side: Side, component: &str, message: &str, key: &mut String) -> Recall {
        key.clear();
        if self.uses_component {
            self.form.write(component, key);
            key.push(BETWEEN);
        }
        let start = key.len();
        self.form.write(message, key);
        let judged = self.by_key[side as usize].get(key.as_str());
        let may_be_text = match judged {
            Some(judged) => judged.may_be_text,
            None => self.texts[side as usize].contains(&key[start..]),
        };
        if may_be_text && let Some(text) = self.dictionary.exact(side, message) {
            return Recall::Text(Known::Exact(text));
        }
        match judged {
            Some(Judged { says: Some(known), .. }) => Recall::Text(*known),
            Some(Judged { says: None, .. }) => Recall::Nothing,
            None if key.len() == start => Recall::Nothing,
            None => Recall::Unknown,
        }
    }

    /// What is known of a message that is no text itself, by its key.
    pub fn recall_key(&self, side: Side, key: &str) -> Option<Known> {
        self.by_key[side as usize].get(key)?.says
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
            sides.entry(&unknown.key).or_default()[unknown.side as usize] = true;
        }
        let mut keys: Vec<Key> =
            sides.into_iter().map(|(key, sides)| Key::new(key, sides)).collect();
        keys.sort_unstable_by_key(|key| (key.form, key.component));
        let mut components: Vec<&str> = keys.iter().map(|key| key.component).collect();
        components.sort_unstable();
        components.dedup();
        components.retain(|it| !it.is_empty() && !self.components.contains_key(*it));
        // Each text once, be it the form of a component, of messages, or of both.
        let known = |text: &str| {
            components.binary_search(&text).is_ok() || self.components.contains_key(text)
        };
        let forms: Vec<&[Key]> = keys.chunk_by(|one, other| one.form == other.form).collect();
        let new = forms.iter().filter(|keys| !known(keys[0].form)).count();
        progress.texts(components.len() + new);
        let embed = |texts: &[&str]| embedder.embed(texts, &|count| progress.embedded(count));
        for chunk in components.chunks(CHUNK) {
            if progress.is_cancelled() {
                return Ok(());
            }
            let vectors = embed(chunk)?;
            self.components.extend(chunk.iter().map(|it| (*it).to_owned()).zip(vectors));
        }
        for chunk in forms.chunks(CHUNK) {
            if progress.is_cancelled() {
                return Ok(());
            }
            let new = chunk.iter().map(|keys| keys[0].form);
            let new: Vec<&str> = new.filter(|form| !self.components.contains_key(*form)).collect();
            let mut vectors = embed(&new)?.into_iter();
            for keys in chunk {
                let known = self.components.get(keys[0].form).cloned();
                let vector = known.or_else(|| vectors.next()).expect("a vector for every text");
                keys.iter().for_each(|key| self.judge(key, &vector));
            }
        }
        Ok(())
    }

    fn judge(&mut self, key: &Key, vector: &Vector) {
        let component = self.components.get(key.component).cloned();
        let message =
            Message { form: key.form, vector: Some(vector), component: component.as_deref() };
        for side in Side::BOTH.into_iter().filter(|side| key.sides[*side as usize]) {
            let says = self.matcher.decide(side, None, message).matched().map(|found| {
                self.near.push((*found, Some(vector.clone())));
                Known::Near(self.near.len() as u32 - 1)
            });
            let may_be_text = self.texts[side as usize].contains(key.form);
            self.by_key[side as usize].insert(key.whole.to_owned(), Judged { may_be_text, says });
        }
    }

    /// An event with what its message says.
    pub fn matched(&self, (event, side, known): (Event, Side, Known)) -> Matched {
        let (found, vector) = match known {
            Known::Near(place) => self.near[place as usize].clone(),
            Known::Exact(text) => self.exact[side as usize][text.index()]
                .get_or_init(|| self.itself(side, text))
                .clone(),
        };
        Matched { event, side, found, vector }
    }

    /// What is said of a text itself, whatever wrote it.
    fn itself(&self, side: Side, text: TextId) -> Found {
        let form = self.form.of(&self.dictionary.text(side, text).text);
        let vector = self.matcher.vector(side, text);
        let message = Message { form: &form, vector: vector.as_deref(), component: None };
        let verdict = self.matcher.decide(side, Some(text), message);
        (*verdict.matched().expect("an exact text always matches"), vector)
    }
}

/// The key of messages that are to be judged, in its parts.
struct Key<'a> {
    whole: &'a str,
    component: &'a str,
    form: &'a str,
    sides: [bool; 2],
}

impl<'a> Key<'a> {
    fn new(whole: &'a str, sides: [bool; 2]) -> Key<'a> {
        let (component, form) = whole.split_once(BETWEEN).unwrap_or(("", whole));
        Key { whole, component, form, sides }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::NoProgress;
    use domain::Row;
    use linking::{Method, Thresholds};

    /// Counts what it is asked for.
    #[derive(Default)]
    struct Counting(Mutex<Vec<String>>);

    impl Embedder for Counting {
        fn model(&self) -> &str {
            "counting"
        }

        fn fingerprint(&self) -> Result<&str, EmbedError> {
            Ok("counting")
        }

        fn embed(
            &self,
            texts: &[&str],
            _: &(dyn Fn(usize) + Sync),
        ) -> Result<Vec<Vector>, EmbedError> {
            self.0.lock().unwrap().extend(texts.iter().map(|text| (*text).to_owned()));
            Ok(texts.iter().filter_map(|text| vector(text)).collect())
        }
    }

    /// A direction for each first letter.
    fn vector(text: &str) -> Option<Vector> {
        let mut vector = [0.0; 384];
        vector[usize::from(text.bytes().next()?)] = 1.0;
        Some(vector.into())
    }

    fn dictionary() -> Dictionary {
        let row = |line, anomaly: &str| Row {
            line,
            anomaly_id: line,
            anomaly: anomaly.to_owned(),
            problem_id: 1,
            problem: "Array lost".to_owned(),
        };
        Dictionary::new(vec![row(2, "Disk slow"), row(3, "Queue grows 17")])
    }

    /// Learns the pairs of a component and a message that are unknown; tells how many those are.
    fn learn(known: &mut Recognition, model: &Counting, messages: &[(&str, &str)]) -> usize {
        let mut unknown = Vec::new();
        for (component, message) in messages {
            let mut key = String::new();
            if known.recall(Side::Anomaly, component, message, &mut key) == Recall::Unknown {
                unknown.push(Unknown { side: Side::Anomaly, key: key.into() });
            }
        }
        known.learn(unknown.iter(), model, &NoProgress).unwrap();
        unknown.len()
    }

    fn embedded(model: &Counting) -> Vec<String> {
        let mut texts = std::mem::take(&mut *model.0.lock().unwrap());
        texts.sort();
        texts
    }

    const ANY: Thresholds = Thresholds { reference: -1.0, pair: None };

    #[test]
    fn each_text_is_embedded_once_and_each_component_judged_apart() {
        let (dictionary, model) = (dictionary(), Counting::default());
        let matcher = Matcher::new(&dictionary, Method::Evidence, ANY, vector);
        let mut known = Recognition::new(&dictionary, &matcher);
        let messages = [
            ("db", "disk is slow 12"),
            ("db", "disk is slow 19"),
            ("disk", "disk is slow 15"),
            ("", "disk is slow 11"),
            ("disk", "db"),
            ("queue", "Queue grows 17"),
            ("", " "),
        ];
        assert_eq!(learn(&mut known, &model, &messages), 5, "no exact and no empty one");
        assert_eq!(embedded(&model), ["db", "disk", "disk is slow 10"]);
        assert_eq!(known.len(), 4, "db, disk and none say the same, disk says db too");
        assert_eq!(learn(&mut known, &model, &messages), 0);
        assert_eq!(learn(&mut known, &model, &[("db", "queue"), ("queue", "disk is slow 10")]), 2);
        assert_eq!(
            embedded(&model),
            ["disk is slow 10", "queue"],
            "a component is kept, a message not"
        );
    }

    #[test]
    fn an_exact_text_wins_whatever_wrote_it() {
        let (dictionary, model) = (dictionary(), Counting::default());
        let matcher = Matcher::new(&dictionary, Method::Evidence, ANY, vector);
        let mut known = Recognition::new(&dictionary, &matcher);
        let recall = |known: &Recognition, component: &str, message: &str| {
            known.recall(Side::Anomaly, component, message, &mut String::new())
        };
        // Of the same form as a text, and no text.
        assert_eq!(learn(&mut known, &model, &[("db", "queue grows 18")]), 1);
        assert!(matches!(recall(&known, "db", "queue grows 18"), Recall::Text(Known::Near(0))));
        for component in ["db", "", "any"] {
            let exact = Recall::Text(Known::Exact(TextId(1)));
            assert_eq!(recall(&known, component, " QUEUE grows 17"), exact, "{component}");
        }
    }

    #[test]
    fn a_cosine_knows_no_component() {
        let (dictionary, model) = (dictionary(), Counting::default());
        let matcher = Matcher::new(&dictionary, Method::Cosine, ANY, vector);
        let mut known = Recognition::new(&dictionary, &matcher);
        let messages = [("db", "disk is slow 12"), ("disk", "disk is slow 3")];
        learn(&mut known, &model, &messages);
        assert_eq!(embedded(&model), ["disk slow"], "normalised");
        assert_eq!(known.len(), 1);
        assert_eq!(learn(&mut known, &model, &[("any", "disk slow!")]), 0);
    }
}
