//! What is wrong or doubtful in a dictionary, and what follows from it.

use std::collections::BTreeMap;

use domain::{Dictionary, Row, Side, Text, Vector, key};
use serde::Serialize;

use crate::cosine;

/// Two texts of one side with at least this cosine are near-twins: the paraphrases of a message
/// scatter by more than the rest, so which of the two is nearer is left to chance.
const NEAR_TWINS: f32 = 0.9;

/// An anomaly that belongs to at least this many problems is generic.
const GENERIC: usize = 3;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Links come out other than the dictionary's author means.
    Error,
    /// Links may come out other than meant.
    Warning,
    /// Worth a look.
    Note,
}

/// What was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// One id, two texts.
    OneIdTwoTexts,
    /// One text under two ids.
    OneTextTwoIds,
    /// A pair of texts that an earlier row pairs already.
    RepeatedPair,
    /// Different texts with the same normalised form.
    SameNormalised,
    /// A text that normalises to nothing.
    NoMeaning,
    /// Different texts that the model hardly tells apart.
    NearTwins,
    /// An anomaly that belongs to many problems.
    GenericAnomaly,
}

impl Check {
    /// The name of the check, as reports show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Check::OneIdTwoTexts => "one-id-two-texts",
            Check::OneTextTwoIds => "one-text-two-ids",
            Check::RepeatedPair => "repeated-pair",
            Check::SameNormalised => "same-normalised",
            Check::NoMeaning => "no-meaning",
            Check::NearTwins => "near-twins",
            Check::GenericAnomaly => "generic-anomaly",
        }
    }

    /// How much its findings matter.
    pub fn severity(self) -> Severity {
        match self {
            Check::OneIdTwoTexts => Severity::Error,
            Check::OneTextTwoIds | Check::SameNormalised | Check::NoMeaning => Severity::Warning,
            Check::NearTwins => Severity::Warning,
            Check::RepeatedPair | Check::GenericAnomaly => Severity::Note,
        }
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Finding {
    /// What was checked.
    pub check: Check,
    /// How much it matters.
    pub severity: Severity,
    /// The rows concerned, by their line in the file.
    pub rows: Vec<u64>,
    /// What was found, with the exact texts.
    pub found: String,
    /// What follows from it.
    pub consequence: String,
}

/// Checks a dictionary. `vector` gives the unit vector of a normalised text; near-twins are
/// looked for among the texts that have one.
///
/// The findings come in the order of their severity, check and rows.
pub fn lint(dictionary: &Dictionary, vector: impl Fn(&str) -> Option<Vector>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for side in Side::BOTH {
        ids(dictionary, side, &mut findings);
        texts(dictionary, side, &mut findings);
        normalised(dictionary, side, &mut findings);
        near_twins(dictionary, side, &vector, &mut findings);
    }
    pairs(dictionary, &mut findings);
    generic(dictionary, &mut findings);
    findings.sort_by(|one: &Finding, other| {
        let order = |finding: &Finding| (finding.severity, finding.check, finding.rows.clone());
        order(one).cmp(&order(other))
    });
    findings
}

fn finding(check: Check, rows: Vec<u64>, found: String, consequence: String) -> Finding {
    Finding { check, severity: check.severity(), rows, found, consequence }
}

fn id_of(side: Side, row: &Row) -> u64 {
    match side {
        Side::Anomaly => row.anomaly_id,
        Side::Problem => row.problem_id,
    }
}

fn text_of(side: Side, row: &Row) -> &str {
    match side {
        Side::Anomaly => &row.anomaly,
        Side::Problem => &row.problem,
    }
}

/// `row 4`, `rows 4 and 7`, `rows 4, 7, 9 and 3 more`.
fn rows_in_words(rows: &[u64]) -> String {
    const SHOWN: usize = 6;
    let shown: Vec<String> = rows.iter().take(SHOWN).map(u64::to_string).collect();
    match (&shown[..], rows.len()) {
        ([one], 1) => format!("row {one}"),
        ([head @ .., last], count) if count <= SHOWN => {
            format!("rows {} and {last}", head.join(", "))
        }
        (shown, count) => format!("rows {} and {} more", shown.join(", "), count - SHOWN),
    }
}

/// Rows grouped by a key; each group keeps what its rows differ in, with the rows of each.
type Groups<K, V> = BTreeMap<K, Vec<(V, Vec<u64>)>>;

fn group<K: Ord, V: PartialEq>(items: impl Iterator<Item = (K, V, u64)>) -> Groups<K, V> {
    let mut groups: Groups<K, V> = BTreeMap::new();
    for (key, value, line) in items {
        let group = groups.entry(key).or_default();
        match group.iter_mut().find(|(known, _)| *known == value) {
            Some((_, rows)) => rows.push(line),
            None => group.push((value, vec![line])),
        }
    }
    groups.retain(|_, group| group.len() > 1);
    groups
}

fn rows_of<V>(group: &[(V, Vec<u64>)]) -> Vec<u64> {
    let mut rows: Vec<u64> = group.iter().flat_map(|(_, rows)| rows).copied().collect();
    rows.sort_unstable();
    rows
}

fn listed<V>(group: &[(V, Vec<u64>)], show: impl Fn(&V) -> String) -> String {
    let each = |(value, rows): &(V, Vec<u64>)| format!("{} ({})", show(value), rows_in_words(rows));
    group.iter().map(each).collect::<Vec<_>>().join(", ")
}

fn ids(dictionary: &Dictionary, side: Side, findings: &mut Vec<Finding>) {
    let items = dictionary.rows().iter();
    let items = items.map(|row| (id_of(side, row), key(text_of(side, row)), row.line));
    for (id, group) in group(items) {
        let text = |key: &String| format!("{:?}", written(dictionary, side, key));
        findings.push(finding(
            Check::OneIdTwoTexts,
            rows_of(&group),
            format!(
                "{} id {id} stands for {} texts: {}",
                side.as_str(),
                group.len(),
                listed(&group, text)
            ),
            "links of these texts carry one id, so a reader who goes by the id takes one for the \
             other; give each text an id of its own"
                .to_owned(),
        ));
    }
}

fn texts(dictionary: &Dictionary, side: Side, findings: &mut Vec<Finding>) {
    let items = dictionary.rows().iter();
    let items = items.map(|row| (key(text_of(side, row)), id_of(side, row), row.line));
    for (key, group) in group(items) {
        findings.push(finding(
            Check::OneTextTwoIds,
            rows_of(&group),
            format!(
                "{} {:?} stands under {} ids: {}",
                side.as_str(),
                written(dictionary, side, &key),
                group.len(),
                listed(&group, u64::to_string)
            ),
            "a match is of the text, so a link carries the id of the row that pairs its two \
             texts, and one cause is counted under several ids; keep one id"
                .to_owned(),
        ));
    }
}

/// A text as its first row writes it.
fn written<'d>(dictionary: &'d Dictionary, side: Side, key: &str) -> &'d str {
    dictionary.exact(side, key).map_or("", |id| &dictionary.text(side, id).text)
}

fn line_of(dictionary: &Dictionary, text: &Text) -> u64 {
    dictionary.rows()[text.row].line
}

fn normalised(dictionary: &Dictionary, side: Side, findings: &mut Vec<Finding>) {
    let texts = dictionary.texts(side).iter();
    let items = texts.map(|text| (&*text.normalised, &*text.text, line_of(dictionary, text)));
    for (form, group) in group(items.filter(|(form, ..)| !form.is_empty())) {
        findings.push(finding(
            Check::SameNormalised,
            rows_of(&group),
            format!(
                "{} {} texts are all {form:?} once digits, signs and short words are gone: {}",
                group.len(),
                side.as_str(),
                listed(&group, |text| format!("{text:?}"))
            ),
            format!(
                "a message that is not the exact text of one of them is always taken for the \
                 first, {:?}; tell them apart by words, or keep one",
                group[0].0
            ),
        ));
    }
    for text in dictionary.texts(side).iter().filter(|text| text.normalised.is_empty()) {
        findings.push(finding(
            Check::NoMeaning,
            vec![line_of(dictionary, text)],
            format!(
                "{} {:?} has no word of three letters or more ({})",
                side.as_str(),
                text.text,
                rows_in_words(&[line_of(dictionary, text)])
            ),
            "it is matched by its exact text only, never by meaning; add words that say what it is"
                .to_owned(),
        ));
    }
}

fn near_twins(
    dictionary: &Dictionary,
    side: Side,
    vector: &impl Fn(&str) -> Option<Vector>,
    findings: &mut Vec<Finding>,
) {
    let texts = dictionary.texts(side);
    let vectors: Vec<Option<Vector>> = texts.iter().map(|text| vector(&text.normalised)).collect();
    for (index, (one, one_vector)) in texts.iter().zip(&vectors).enumerate() {
        for (other, other_vector) in texts.iter().zip(&vectors).skip(index + 1) {
            let (Some(one_vector), Some(other_vector)) = (one_vector, other_vector) else {
                continue;
            };
            let cosine = cosine(one_vector, other_vector);
            if cosine < NEAR_TWINS || one.normalised == other.normalised {
                continue;
            }
            let rows = vec![line_of(dictionary, one), line_of(dictionary, other)];
            findings.push(finding(
                Check::NearTwins,
                rows.clone(),
                format!(
                    "{} {:?} and {:?} are near-twins to the model, cosine {cosine:.3} ({})",
                    side.plural(),
                    one.text,
                    other.text,
                    rows_in_words(&rows)
                ),
                "a message in other words is taken for the one or the other by chance; word them \
                 further apart, or keep one"
                    .to_owned(),
            ));
        }
    }
}

fn pairs(dictionary: &Dictionary, findings: &mut Vec<Finding>) {
    let mut first: BTreeMap<(String, String), u64> = BTreeMap::new();
    for row in dictionary.rows() {
        let line = *first.entry((key(&row.anomaly), key(&row.problem))).or_insert(row.line);
        if line != row.line {
            findings.push(finding(
                Check::RepeatedPair,
                vec![line, row.line],
                format!(
                    "{:?} → {:?} stands in rows {line} and {}",
                    row.anomaly, row.problem, row.line
                ),
                format!("links take their ids from row {line}; row {} has no effect", row.line),
            ));
        }
    }
}

fn generic(dictionary: &Dictionary, findings: &mut Vec<Finding>) {
    let mut problems: BTreeMap<_, Vec<&Row>> = BTreeMap::new();
    for pair in dictionary.pairs() {
        problems.entry(pair.anomaly).or_default().push(&dictionary.rows()[pair.row]);
    }
    for (anomaly, rows) in problems.into_iter().filter(|(_, rows)| rows.len() >= GENERIC) {
        let lines: Vec<u64> = rows.iter().map(|row| row.line).collect();
        findings.push(finding(
            Check::GenericAnomaly,
            lines.clone(),
            format!(
                "anomaly {:?} belongs to {} problems ({})",
                dictionary.text(Side::Anomaly, anomaly).text,
                rows.len(),
                rows_in_words(&lines)
            ),
            format!(
                "every event that says it links to all {} within the window; word it for each, \
                 or leave it out where it tells little",
                rows.len()
            ),
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(rows: &[(u64, &str, u64, &str)]) -> Vec<(Check, Vec<u64>)> {
        let rows = rows.iter().enumerate().map(|(index, row)| Row {
            line: index as u64 + 2,
            anomaly_id: row.0,
            anomaly: row.1.to_owned(),
            problem_id: row.2,
            problem: row.3.to_owned(),
        });
        let dictionary = Dictionary::new(rows.collect());
        // Vectors by the first letter: `a` and `b` are near-twins, all others stand alone.
        let vector = |text: &str| -> Option<Vector> {
            let mut vector = [0.0; 26];
            let letter = text.bytes().next()? - b'a';
            vector[usize::from(letter)] = 1.0;
            if letter == 1 {
                vector[0] = 0.98;
                vector[1] = (1.0f32 - 0.98 * 0.98).sqrt();
            }
            Some(vector.into())
        };
        lint(&dictionary, vector).into_iter().map(|it| (it.check, it.rows)).collect()
    }

    #[test]
    fn a_sound_dictionary_has_no_finding() {
        assert_eq!(found(&[(1, "cee", 1, "ppp"), (2, "dee", 1, "ppp"), (3, "eee", 2, "qqq")]), []);
    }

    #[test]
    fn each_fault_is_found_with_its_rows() {
        let clean = (9, "zzz", 9, "zzz");
        assert_eq!(
            found(&[(1, "cee", 1, "ppp"), clean, (1, "dee", 1, "ppp")]),
            [(Check::OneIdTwoTexts, vec![2, 4])]
        );
        assert_eq!(
            found(&[(1, "cee", 1, "ppp"), clean, (1, "CEE ", 2, "PPP")]),
            [(Check::OneTextTwoIds, vec![2, 4]), (Check::RepeatedPair, vec![2, 4])]
        );
        assert_eq!(
            found(&[(1, "cee: 1", 1, "ppp"), clean, (2, "cee 2", 1, "ppp")]),
            [(Check::SameNormalised, vec![2, 4])]
        );
        assert_eq!(found(&[clean, (1, "1/0/1", 1, "ppp")]), [(Check::NoMeaning, vec![3])]);
        assert_eq!(
            found(&[(1, "aaa", 1, "ppp"), clean, (2, "bbb", 1, "ppp")]),
            [(Check::NearTwins, vec![2, 4])]
        );
        assert_eq!(
            found(&[(1, "cee", 1, "ppp"), (1, "cee", 2, "qqq"), (1, "cee", 3, "rrr")]),
            [(Check::GenericAnomaly, vec![2, 3, 4])]
        );
    }

    #[test]
    fn rows_read_well() {
        assert_eq!(rows_in_words(&[4]), "row 4");
        assert_eq!(rows_in_words(&[4, 7, 9]), "rows 4, 7 and 9");
        assert_eq!(rows_in_words(&[1, 2, 3, 4, 5, 6, 7, 8]), "rows 1, 2, 3, 4, 5, 6 and 2 more");
    }
}
