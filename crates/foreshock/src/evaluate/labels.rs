//! Labels: messages with the texts they say, and the links of incidents.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use csv::StringRecord;
use domain::{Dictionary, Side};
use serde::Serialize;

/// A message with what its label says.
pub struct Label {
    /// The message.
    pub message: String,
    /// What wrote it; empty when the label does not say.
    pub component: String,
    /// The side its level belongs to.
    pub side: Side,
    /// What the label says it is.
    pub kind: String,
    /// How hard the label says it is.
    pub difficulty: String,
    /// The text it says; `None` for a decoy.
    pub target: Option<String>,
}

impl Label {
    /// Reads a row of labelled messages.
    pub fn read(table: &Table, row: &StringRecord, dictionary: &Dictionary) -> Result<Label> {
        let field = |column| table.field(row, column);
        let kind = field("kind").unwrap_or_default();
        let level = field("level").unwrap_or_default().to_ascii_uppercase();
        let side = match (level.as_str(), kind) {
            ("ERROR", _) | ("", "problem") => Side::Problem,
            ("WARNING" | "WARN", _) | ("", "anomaly") => Side::Anomaly,
            _ => bail!("{}: the level must be WARNING or ERROR", table.place(row)),
        };
        let target = field("target_text").unwrap_or_default();
        if !target.is_empty() && dictionary.exact(side, target).is_none() {
            bail!("{}: no {} {target:?} in the dictionary", table.place(row), side.as_str());
        }
        let message = field("message").filter(|message| !message.is_empty());
        Ok(Label {
            message: message.with_context(|| format!("{}: no message", table.place(row)))?.into(),
            component: field("component").unwrap_or_default().to_owned(),
            side,
            kind: kind.to_owned(),
            difficulty: field("difficulty").unwrap_or_default().to_owned(),
            target: Some(target.to_owned()).filter(|target| !target.is_empty()),
        })
    }
}

/// What tells a row of results from another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct LinkKey {
    pub anomaly_id: u64,
    pub problem_id: u64,
    pub problem_file: String,
    pub problem_line: u64,
}

impl LinkKey {
    /// Reads a row of expected links.
    pub fn read(table: &Table, row: &StringRecord) -> Result<LinkKey> {
        let field = |names: [&str; 2]| {
            let found = names.iter().find_map(|name| table.field(row, name));
            found.with_context(|| format!("{}: no column {}", table.place(row), names[0]))
        };
        let number = |names: [&str; 2]| -> Result<u64> {
            let found = field(names)?;
            found.parse().with_context(|| format!("{}: {}: {found:?}", table.place(row), names[0]))
        };
        Ok(LinkKey {
            anomaly_id: number(["anomaly_id", "anomaly_id"])?,
            problem_id: number(["problem_id", "problem_id"])?,
            problem_file: field(["problem_file", "file_name"])?.to_owned(),
            problem_line: number(["problem_line", "line_number"])?,
        })
    }
}

/// A comma separated file with a header.
pub struct Table {
    name: String,
    header: StringRecord,
    pub rows: Vec<StringRecord>,
}

impl Table {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Table> {
        let name = path.display().to_string();
        let bytes = fs::read(path).with_context(|| name.clone())?;
        let text = parse::decode(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes)).0;
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
        let header = reader.headers().with_context(|| name.clone())?.clone();
        let rows: Vec<StringRecord> =
            reader.records().collect::<Result<_, _>>().with_context(|| name.clone())?;
        if rows.is_empty() {
            bail!("{name}: has no rows");
        }
        Ok(Table { name, header, rows })
    }

    fn field<'r>(&self, row: &'r StringRecord, column: &str) -> Option<&'r str> {
        let place = self.header.iter().position(|name| name.trim() == column)?;
        row.get(place).map(str::trim)
    }

    fn place(&self, row: &StringRecord) -> String {
        format!("{}: row {}", self.name, row.position().map_or(0, csv::Position::line))
    }
}
