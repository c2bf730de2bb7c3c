//! The dictionary file: `;` separated, UTF-8 (a byte order mark allowed) or cp1251.

use std::fs;
use std::io;
use std::path::Path;

use csv::{ReaderBuilder, StringRecord};
use domain::{Dictionary, Row};
use encoding_rs::WINDOWS_1251;
use thiserror::Error;

/// The columns, each with the names it may have.
const COLUMNS: [[&str; 2]; 4] = [
    ["ID аномалии", "anomaly_id"],
    ["Аномалия", "anomaly"],
    ["ID проблемы", "problem_id"],
    ["Проблема", "problem"],
];

/// The largest dictionary that is read, in bytes.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Why a dictionary was refused. Every message names the file, and the row and column where
/// there is one.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages are the documentation")]
pub enum DictionaryError {
    #[error("{name}: no such file. Name the dictionary with --dictionary or ANOMALIES_CSV_PATH")]
    NotFound { name: String },

    #[error("{name}: is a folder. Give the .csv file itself")]
    Folder { name: String },

    #[error("{name}: cannot be read: {error}")]
    Io { name: String, error: io::Error },

    #[error("{name}: is empty. A dictionary begins with the header {}", header())]
    Empty { name: String },

    #[error("{name}: has a header and no rows. Each row pairs an anomaly with its problem")]
    NoRows { name: String },

    #[error("{name}: is {bytes} bytes; a dictionary has at most {MAX_BYTES}")]
    TooLarge { name: String, bytes: u64 },

    #[error("{name}: is not text. A dictionary is a .csv file; from a spreadsheet, save it as CSV")]
    Binary { name: String },

    #[error(
        "{name}: row 1: the columns are separated by `{found}`; a dictionary is separated by `;`"
    )]
    Separator { name: String, found: char },

    #[error("{name}: row 1: no column `{column}`. The header is {}", header())]
    NoColumn { name: String, column: &'static str },

    #[error("{name}: row 1: column `{column}` stands there twice")]
    TwoColumns { name: String, column: String },

    #[error("{name}: row {row}: column `{column}` is missing: the row has only {found} columns")]
    ShortRow { name: String, row: u64, column: String, found: usize },

    #[error("{name}: row {row}: column `{column}`: `{found}` is not a whole number")]
    NotANumber { name: String, row: u64, column: String, found: String },

    #[error("{name}: row {row}: column `{column}` is empty")]
    NoText { name: String, row: u64, column: String },

    #[error("{name}: row {row}: {reason}")]
    Malformed { name: String, row: u64, reason: String },
}

fn header() -> String {
    format!("`{}` (or `{}`)", names(0).join(";"), names(1).join(";"))
}

fn names(language: usize) -> [&'static str; 4] {
    COLUMNS.map(|column| column[language])
}

/// Reads the dictionary at `path`.
///
/// # Errors
/// When the file cannot be read or is no dictionary; see [`DictionaryError`].
pub fn read(path: &Path) -> Result<Dictionary, DictionaryError> {
    let name = path.display().to_string();
    let metadata = fs::metadata(path).map_err(|error| unreadable(&name, error))?;
    if metadata.is_dir() {
        return Err(DictionaryError::Folder { name });
    }
    if metadata.len() > MAX_BYTES {
        return Err(DictionaryError::TooLarge { name, bytes: metadata.len() });
    }
    let bytes = fs::read(path).map_err(|error| unreadable(&name, error))?;
    parse(&name, &bytes)
}

fn unreadable(name: &str, error: io::Error) -> DictionaryError {
    let name = name.to_owned();
    match error.kind() {
        io::ErrorKind::NotFound => DictionaryError::NotFound { name },
        _ => DictionaryError::Io { name, error },
    }
}

/// Reads a dictionary from the bytes of a file; `name` is what errors call it.
///
/// # Errors
/// When the bytes are no dictionary; see [`DictionaryError`].
pub fn parse(name: &str, bytes: &[u8]) -> Result<Dictionary, DictionaryError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if memchr::memchr(0, bytes).is_some() {
        return Err(DictionaryError::Binary { name: name.to_owned() });
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => WINDOWS_1251.decode_without_bom_handling(bytes).0,
    };
    if text.trim().is_empty() {
        return Err(DictionaryError::Empty { name: name.to_owned() });
    }
    let mut reader = ReaderBuilder::new()
        .delimiter(b';')
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes());
    let mut records = reader.records();
    let malformed = |error: csv::Error| DictionaryError::Malformed {
        name: name.to_owned(),
        row: error.position().map_or(0, csv::Position::line),
        reason: error.to_string(),
    };
    let header = records.next().transpose().map_err(malformed)?.unwrap_or_default();
    let columns = Columns::find(name, &header)?;
    let mut rows = Vec::new();
    for record in records {
        let record = record.map_err(malformed)?;
        if record.iter().any(|field| !field.trim().is_empty()) {
            rows.push(columns.row(name, &record)?);
        }
    }
    if rows.is_empty() {
        return Err(DictionaryError::NoRows { name: name.to_owned() });
    }
    Ok(Dictionary::new(rows))
}

/// Where the columns stand, and what the header calls them.
struct Columns([(usize, String); 4]);

impl Columns {
    fn find(name: &str, header: &StringRecord) -> Result<Columns, DictionaryError> {
        if let Some(found) = other_separator(header) {
            return Err(DictionaryError::Separator { name: name.to_owned(), found });
        }
        let find = |column: [&'static str; 2]| {
            let is_it = |field: &str| column.iter().any(|known| same(field, known));
            let mut places = header.iter().enumerate().filter(|(_, field)| is_it(field));
            let Some((place, field)) = places.next() else {
                let column = column[usize::from(header.iter().any(|field| field.is_ascii()))];
                return Err(DictionaryError::NoColumn { name: name.to_owned(), column });
            };
            match places.next() {
                None => Ok((place, field.trim().to_owned())),
                Some((_, field)) => {
                    let (name, column) = (name.to_owned(), field.trim().to_owned());
                    Err(DictionaryError::TwoColumns { name, column })
                }
            }
        };
        let [anomaly_id, anomaly, problem_id, problem] = COLUMNS.map(find);
        Ok(Columns([anomaly_id?, anomaly?, problem_id?, problem?]))
    }

    fn row(&self, name: &str, record: &StringRecord) -> Result<Row, DictionaryError> {
        let line = record.position().map_or(0, csv::Position::line);
        let field = |column: usize| {
            let (place, column) = &self.0[column];
            let found = record.get(*place).ok_or_else(|| DictionaryError::ShortRow {
                name: name.to_owned(),
                row: line,
                column: column.clone(),
                found: record.len(),
            })?;
            if found.trim().is_empty() {
                let (name, column) = (name.to_owned(), column.clone());
                return Err(DictionaryError::NoText { name, row: line, column });
            }
            Ok((found.trim(), column))
        };
        let number = |column| {
            let (found, column) = field(column)?;
            found.parse().map_err(|_| DictionaryError::NotANumber {
                name: name.to_owned(),
                row: line,
                column: column.clone(),
                found: found.to_owned(),
            })
        };
        Ok(Row {
            line,
            anomaly_id: number(0)?,
            anomaly: field(1)?.0.to_owned(),
            problem_id: number(2)?,
            problem: field(3)?.0.to_owned(),
        })
    }
}

fn same(field: &str, known: &str) -> bool {
    field.trim().to_lowercase() == known.to_lowercase()
}

/// The separator of a header that is one column to us and four to another separator.
fn other_separator(header: &StringRecord) -> Option<char> {
    let only = header.get(0).filter(|_| header.len() == 1)?;
    [',', '\t', '|'].into_iter().find(|separator| only.split(*separator).count() >= 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse("d.csv", text.as_bytes()).unwrap_err().to_string()
    }

    const HEADER: &str = "ID аномалии;Аномалия;ID проблемы;Проблема\n";

    #[test]
    fn both_headers_both_encodings_and_any_order_of_columns_give_the_same() {
        let russian = format!("{HEADER}1;Сбой «А»;2;\"Отказ; полный\"\r\n\r\n;;;\r\n");
        let expected = parse("d.csv", russian.as_bytes()).unwrap();
        assert_eq!(expected.rows()[0].problem, "Отказ; полный");
        let with_mark = format!("\u{feff}{russian}");
        let english = russian.replace(HEADER, "anomaly_id;Anomaly;PROBLEM_ID;problem\n");
        let turned = "problem;problem_id;note;anomaly;anomaly_id\n\"Отказ; полный\";2;;Сбой «А»;1";
        for bytes in [
            with_mark.into_bytes(),
            english.into_bytes(),
            turned.into(),
            WINDOWS_1251.encode(&russian).0.into_owned(),
        ] {
            assert_eq!(parse("d.csv", &bytes).unwrap().rows(), expected.rows());
        }
    }

    #[test]
    fn a_wrong_file_is_refused_with_its_row_and_column() {
        for (text, expected) in [
            (" \n".to_owned(), "d.csv: is empty"),
            (HEADER.to_owned(), "d.csv: has a header and no rows"),
            (HEADER.replace(';', ","), "d.csv: row 1: the columns are separated by `,`"),
            (HEADER.replace(';', "\t"), "row 1: the columns are separated by `\t`"),
            ("a;b;c;d\n1;2;3;4\n".to_owned(), "row 1: no column `anomaly_id`"),
            (HEADER.replace(";Проблема", ""), "row 1: no column `Проблема`"),
            (format!("{HEADER}1;a;2;b\nx7;a;2;b\n"), "row 3: column `ID аномалии`: `x7` is not"),
            (format!("{HEADER}1;a;-2;b\n"), "row 2: column `ID проблемы`: `-2` is not a whole"),
            (format!("{HEADER}1;a;2\n"), "row 2: column `Проблема` is missing"),
            (format!("{HEADER}1; ;2;b\n"), "row 2: column `Аномалия` is empty"),
            ("a\0b".to_owned(), "d.csv: is not text"),
        ] {
            let found = error(&text);
            assert!(found.contains(expected), "{text:?}: {found}");
        }
    }
}
