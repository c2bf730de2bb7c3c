//! Names of files → names of topics, never two of them the same.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

/// The longest name of a topic, in bytes.
const LONGEST: usize = 249;

/// The longest prefix, in bytes, that leaves room for a name.
pub const LONGEST_PREFIX: usize = 128;

/// Bytes of the hash that tells a name from others, with the `-` before it.
const MARK: usize = 9;

/// The topics of files. A file keeps the topic it was given.
#[derive(Debug)]
pub struct Topics {
    prefix: String,
    /// By the name of the file.
    given: HashMap<Arc<str>, Arc<str>>,
    /// By the form in which names collide: what is in use.
    taken: HashMap<String, Arc<str>>,
}

impl Topics {
    /// No topics yet, all of which begin with `prefix` and a dot.
    pub fn new(prefix: &str) -> Topics {
        Topics { prefix: prefix.to_owned(), given: HashMap::new(), taken: HashMap::new() }
    }

    /// The topics of `files`, in their order.
    ///
    /// A name that Kafka allows is used as it is, without its ending; any other is cleaned and
    /// marked with a hash of the whole name of the file, so that it depends on nothing else. Of
    /// files whose topics would collide, the first `.txt`, else the first by name, keeps the plain
    /// topic, and the others are marked.
    pub fn of(&mut self, files: &[Arc<str>]) -> Vec<Arc<str>> {
        let mut new: Vec<&Arc<str>> =
            files.iter().filter(|file| !self.given.contains_key(*file)).collect();
        new.sort_by_key(|file| (!file.ends_with(".txt"), Arc::clone(file)));
        for file in new {
            let topic = self.choose(file);
            self.taken.insert(collision_form(&topic), Arc::clone(file));
            self.given.insert(Arc::clone(file), topic);
        }
        files.iter().map(|file| Arc::clone(&self.given[file])).collect()
    }

    fn choose(&self, file: &str) -> Arc<str> {
        let stem = Path::new(file).file_stem().map_or(file.into(), |stem| stem.to_string_lossy());
        let clean: String =
            stem.chars().map(|letter| if is_allowed(letter) { letter } else { '_' }).collect();
        let room = LONGEST - self.prefix.len() - 1;
        let plain = (clean == stem && clean.len() <= room)
            .then(|| format!("{}.{clean}", self.prefix))
            .filter(|topic| self.is_free(topic));
        let kept = &clean[..clean.len().min(room - MARK)];
        let mut marked = (0..).map(|salt| format!("{}.{kept}-{}", self.prefix, mark(file, salt)));
        let topic = plain.or_else(|| marked.find(|topic| self.is_free(topic)));
        topic.unwrap_or_default().into()
    }

    fn is_free(&self, topic: &str) -> bool {
        !self.taken.contains_key(&collision_form(topic))
    }
}

/// Whether a topic's name may have a character.
pub fn is_allowed(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-')
}

/// Names that are equal in this form collide: in the names of its metrics, Kafka writes a dot as
/// an underscore.
fn collision_form(topic: &str) -> String {
    topic.replace('.', "_")
}

fn mark(file: &str, salt: u32) -> String {
    let mut hash = Sha256::new();
    hash.update(file);
    if salt > 0 {
        hash.update(salt.to_le_bytes());
    }
    hash.finalize().iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn topics(files: &[&str]) -> Vec<String> {
        let files: Vec<Arc<str>> = files.iter().map(|file| Arc::from(*file)).collect();
        Topics::new("logs").of(&files).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_topic_is_the_prefix_and_the_name_without_its_ending() {
        assert_eq!(topics(&["app_server1_log.txt"]), ["logs.app_server1_log"]);
        assert_eq!(topics(&["A-1.b.LOG"]), ["logs.A-1.b"]);
    }

    #[test]
    fn two_files_never_fall_on_one_topic() {
        let long = "x".repeat(240);
        let names = [
            "a.txt".to_owned(),
            "a.log".to_owned(),
            "a.TXT".to_owned(),
            "a b.txt".to_owned(),
            "a_b.txt".to_owned(),
            "a.b.txt".to_owned(),
            "a\tb.txt".to_owned(),
            "сервер.log".to_owned(),
            "шервер.log".to_owned(),
            "../../etc.log".to_owned(),
            format!("{long}1.txt"),
            format!("{long}2.txt"),
            format!("{}.txt", &topics(&["a b.txt"])[0]["logs.".len()..]),
        ];
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let topics = topics(&names);
        let forms: HashSet<String> = topics.iter().map(|topic| collision_form(topic)).collect();
        assert_eq!(forms.len(), names.len(), "{topics:?}");
        for topic in topics {
            assert!(topic.len() <= LONGEST && topic.chars().all(is_allowed), "{topic}");
            assert!(topic.starts_with("logs."));
        }
    }

    #[test]
    fn a_topic_does_not_depend_on_the_other_files_unless_they_collide() {
        let alone: Vec<String> =
            ["a.txt", "a b.txt", "я.log"].iter().flat_map(|name| topics(&[name])).collect();
        assert_eq!(topics(&["a.txt", "a b.txt", "я.log"]), alone);
        // The plain .txt keeps its topic even from files whose names come first.
        assert_eq!(topics(&["a.log", "a.txt"])[1], "logs.a");
        assert_ne!(topics(&["a.log", "a.txt"])[0], "logs.a");
        assert_eq!(topics(&["a.log", "a.txt"]), topics(&["a.log", "a.txt"]));
    }

    #[test]
    fn a_file_keeps_its_topic_when_another_comes() {
        let mut topics = Topics::new("logs");
        let (log, text): (Arc<str>, Arc<str>) = ("a.log".into(), "a.txt".into());
        let before = topics.of(std::slice::from_ref(&log));
        let after = topics.of(&[log, text]);
        assert_eq!((&*before[0], &*after[0]), ("logs.a", "logs.a"));
        assert_ne!(after[0], after[1]);
    }
}
