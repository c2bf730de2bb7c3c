//! The table of results, and its CSV.

use std::borrow::Cow;
use std::io::Write;

use linking::{Link, Linked};

use crate::ReportError;

/// The columns of the table. File, line and log are those of the problem event.
pub const COLUMNS: [&str; 7] =
    ["anomaly_id", "anomaly_text", "problem_id", "problem_text", "file_name", "line_number", "log"];

/// One row for each distinct tuple of the columns, sorted by problem text, file, line and
/// anomaly id.
pub(crate) fn rows<'a>(linked: &'a Linked) -> Vec<Link<'a>> {
    let mut rows: Vec<Link> = linked.first_links().collect();
    rows.sort_by(|one, other| order(one).cmp(&order(other)));
    rows
}

fn order<'a>(link: &Link<'a>) -> (&'a str, &'a str, u64, u64, &'a str) {
    let event = &link.problem.event;
    (&link.row.problem, &event.file, event.line, link.row.anomaly_id, &link.row.anomaly)
}

/// Writes the table as CSV: UTF-8 with a byte order mark, comma separated. Returns the number of
/// rows.
///
/// # Errors
/// When writing fails.
pub fn write_csv(linked: &Linked, mut out: impl Write) -> Result<u64, ReportError> {
    out.write_all("\u{feff}".as_bytes())?;
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record(COLUMNS)?;
    let rows = rows(linked);
    for link in &rows {
        let event = &link.problem.event;
        writer.write_record([
            link.row.anomaly_id.to_string().as_str(),
            &inert(&link.row.anomaly),
            &link.row.problem_id.to_string(),
            &inert(&link.row.problem),
            &inert(&event.file),
            &event.line.to_string(),
            &inert(&event.raw),
        ])?;
    }
    writer.flush()?;
    Ok(rows.len() as u64)
}

/// Text that a spreadsheet would run as a formula, with the apostrophe in front that makes it
/// text there; other text as it is.
fn inert(text: &str) -> Cow<'_, str> {
    const RUNS: [char; 10] = ['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠'];
    if text.starts_with(RUNS) { Cow::Owned(format!("'{text}")) } else { Cow::Borrowed(text) }
}
