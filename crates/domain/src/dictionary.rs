//! The dictionary of known anomaly→problem pairs.
//!
//! A match is a match of a *text*, and real dictionaries hold one text under several ids. So the
//! dictionary keeps the distinct texts of each side, and for each pair of texts the first row
//! that pairs them; the ids of a link come from that row.

use std::collections::HashMap;

use serde::Serialize;

use crate::{Level, normalise};

/// One row of the dictionary, as written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The number of the row's first line in its file, from 1 (the header is line 1).
    pub line: u64,
    /// `ID аномалии`, `anomaly_id`.
    pub anomaly_id: u64,
    /// `Аномалия`, `anomaly`, trimmed.
    pub anomaly: String,
    /// `ID проблемы`, `problem_id`.
    pub problem_id: u64,
    /// `Проблема`, `problem`, trimmed.
    pub problem: String,
}

/// The two sides of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// What warns: matched by WARNING events.
    Anomaly,
    /// What breaks: matched by ERROR events.
    Problem,
}

impl Side {
    /// Both sides, anomalies first.
    pub const BOTH: [Side; 2] = [Side::Anomaly, Side::Problem];

    /// The side that events of a level are matched with; `None` for levels that match nothing.
    #[inline]
    pub fn of(level: Level) -> Option<Side> {
        match level {
            Level::Error => Some(Side::Problem),
            Level::Warning => Some(Side::Anomaly),
            Level::Other => None,
        }
    }

    /// `anomalies` or `problems`.
    pub fn plural(self) -> &'static str {
        match self {
            Side::Anomaly => "anomalies",
            Side::Problem => "problems",
        }
    }

    /// `anomaly` or `problem`.
    pub fn as_str(self) -> &'static str {
        match self {
            Side::Anomaly => "anomaly",
            Side::Problem => "problem",
        }
    }
}

/// The place of a distinct text among the texts of its side, in the order of their first rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TextId(pub u32);

impl TextId {
    /// The id as an index into [`Dictionary::texts`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A distinct text of one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The text as its first row writes it.
    pub text: String,
    /// Its [`normalise`]d form, which is embedded; empty when only the exact text can match.
    pub normalised: String,
    /// The first row that holds it, as an index into [`Dictionary::rows`].
    pub row: usize,
}

/// Two texts that the dictionary pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The anomaly's text.
    pub anomaly: TextId,
    /// The problem's text.
    pub problem: TextId,
    /// The first row that pairs them, as an index into [`Dictionary::rows`].
    pub row: usize,
}

/// The known pairs, indexed by text.
#[derive(Clone, Debug, Default)]
pub struct Dictionary {
    rows: Vec<Row>,
    anomalies: Texts,
    problems: Texts,
    pairs: Vec<Pair>,
}

#[derive(Clone, Debug, Default)]
struct Texts {
    texts: Vec<Text>,
    by_key: HashMap<String, TextId>,
    /// For each text the pairs it is in, as indices into [`Dictionary::pairs`].
    pairs: Vec<Vec<usize>>,
}

impl Texts {
    fn intern(&mut self, text: &str, row: usize) -> TextId {
        let next = TextId(self.texts.len() as u32);
        *self.by_key.entry(key(text)).or_insert_with(|| {
            let text = text.trim().to_owned();
            let normalised = normalise(&text);
            self.texts.push(Text { text, normalised, row });
            self.pairs.push(Vec::new());
            next
        })
    }
}

/// What makes two texts the same: trimmed, in any case.
pub fn key(text: &str) -> String {
    text.trim().to_lowercase()
}

impl Dictionary {
    /// Indexes rows, in the order given.
    pub fn new(rows: Vec<Row>) -> Dictionary {
        let mut dictionary = Dictionary::default();
        let mut known = HashMap::new();
        for (index, row) in rows.iter().enumerate() {
            let anomaly = dictionary.anomalies.intern(&row.anomaly, index);
            let problem = dictionary.problems.intern(&row.problem, index);
            known.entry((anomaly, problem)).or_insert_with(|| {
                let pair = dictionary.pairs.len();
                dictionary.anomalies.pairs[anomaly.index()].push(pair);
                dictionary.problems.pairs[problem.index()].push(pair);
                dictionary.pairs.push(Pair { anomaly, problem, row: index });
            });
        }
        dictionary.rows = rows;
        dictionary
    }

    /// All rows, in the order of the file.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The distinct texts of a side, in the order of their first rows.
    pub fn texts(&self, side: Side) -> &[Text] {
        &self.side(side).texts
    }

    /// A text by its id.
    ///
    /// # Panics
    /// When the id is another dictionary's.
    pub fn text(&self, side: Side, id: TextId) -> &Text {
        &self.side(side).texts[id.index()]
    }

    /// The text of a side that equals a message, trimmed and in any case.
    pub fn exact(&self, side: Side, message: &str) -> Option<TextId> {
        self.side(side).by_key.get(&key(message)).copied()
    }

    /// The distinct pairs of texts, in the order of the first rows that pair them.
    pub fn pairs(&self) -> &[Pair] {
        &self.pairs
    }

    /// The pairs that a text is in, in their order.
    pub fn pairs_of(&self, side: Side, text: TextId) -> impl Iterator<Item = &Pair> {
        let pairs = self.side(side).pairs.get(text.index());
        pairs.into_iter().flatten().map(|index| &self.pairs[*index])
    }

    /// The id of a problem text: that of its first row.
    pub fn problem_id(&self, text: TextId) -> u64 {
        self.rows[self.problems.texts[text.index()].row].problem_id
    }

    fn side(&self, side: Side) -> &Texts {
        match side {
            Side::Anomaly => &self.anomalies,
            Side::Problem => &self.problems,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(line: u64, anomaly_id: u64, anomaly: &str, problem_id: u64, problem: &str) -> Row {
        let (anomaly, problem) = (anomaly.to_owned(), problem.to_owned());
        Row { line, anomaly_id, anomaly, problem_id, problem }
    }

    #[test]
    fn one_text_under_two_ids_is_one_text() {
        let dictionary = Dictionary::new(vec![
            row(2, 1, "Disk slow", 1, "Disk dead"),
            row(3, 7, "disk SLOW ", 2, "Array dead"),
            row(4, 9, "Disk slow", 1, "Disk dead"),
        ]);
        assert_eq!(dictionary.texts(Side::Anomaly).len(), 1);
        let rows: Vec<usize> = dictionary.pairs().iter().map(|pair| pair.row).collect();
        assert_eq!(rows, [0, 1], "the first row of each pair of texts");
    }

    #[test]
    fn exact_texts_are_found_trimmed_and_in_any_case() {
        let dictionary = Dictionary::new(vec![row(2, 1, "Сбой диска", 1, "1/0/1")]);
        assert_eq!(dictionary.exact(Side::Anomaly, " СБОЙ диска\t"), Some(TextId(0)));
        assert_eq!(dictionary.exact(Side::Problem, "1/0/1"), Some(TextId(0)));
        assert_eq!(dictionary.exact(Side::Problem, "1/0/2"), None);
        assert_eq!(dictionary.exact(Side::Problem, "Сбой диска"), None);
    }
}
