//! The table of results as a spreadsheet.

use std::io::{Seek, Write};

use linking::{Link, Linked};
use rust_xlsxwriter::{
    DocProperties, ExcelDateTime, Format, FormatAlign, Workbook, Worksheet, XlsxError,
};

use crate::ReportError;
use crate::table::{COLUMNS, rows};

/// Rows of a sheet, its header included.
const SHEET_ROWS: usize = 1_048_576;
/// Characters of a cell.
const CELL: usize = 32_767;
/// What stands at the end of a cell that was cut.
const CUT: &str = "… (cut)";
/// The widest column, in characters.
const WIDEST: usize = 100;

/// Writes the table as XLSX, with a frozen, filtered header and readable widths. More rows than a
/// sheet holds go on in the next sheet. Returns the number of rows.
///
/// # Errors
/// When the temporary file of the writer or `out` fails.
pub fn write_xlsx(linked: &Linked, out: impl Write + Seek + Send) -> Result<u64, ReportError> {
    let rows = rows(linked);
    let mut workbook = Workbook::new();
    // The date of the analysis would make equal results differ.
    let undated = ExcelDateTime::from_ymd(2025, 1, 1)?;
    workbook.set_properties(&DocProperties::new().set_creation_datetime(&undated));
    let widths = widths(&rows);
    let mut sheets = rows.chunks(SHEET_ROWS - 1);
    let mut number = 1;
    let mut sheet_rows = sheets.next().unwrap_or_default();
    loop {
        let name = if number == 1 { "links".to_owned() } else { format!("links {number}") };
        let sheet = workbook.add_worksheet_with_constant_memory()?;
        write_sheet(sheet, &name, &widths, sheet_rows)?;
        number += 1;
        match sheets.next() {
            Some(next) => sheet_rows = next,
            None => break,
        }
    }
    workbook.save_to_writer(out)?;
    Ok(rows.len() as u64)
}

fn write_sheet(
    sheet: &mut Worksheet,
    name: &str,
    widths: &[usize; COLUMNS.len()],
    rows: &[Link],
) -> Result<(), XlsxError> {
    sheet.set_name(name)?;
    sheet.set_freeze_panes(1, 0)?;
    sheet.autofilter(0, 0, rows.len() as u32, COLUMNS.len() as u16 - 1)?;
    for (column, width) in (0..).zip(widths) {
        sheet.set_column_width(column, *width as f64 + 2.0)?;
    }
    let bold = Format::new().set_bold().set_align(FormatAlign::Left);
    for (column, title) in (0..).zip(COLUMNS) {
        sheet.write_string_with_format(0, column, title, &bold)?;
    }
    for (place, link) in (1..).zip(rows) {
        for (column, cell) in (0..).zip(cells(link)) {
            match cell {
                Cell::Number(number) if number < 1 << 53 => {
                    sheet.write_number(place, column, number as f64)?;
                }
                Cell::Number(number) => {
                    sheet.write_string(place, column, number.to_string())?;
                }
                Cell::Text(text) => {
                    sheet.write_string(place, column, fitting(text))?;
                }
            }
        }
    }
    Ok(())
}

enum Cell<'a> {
    Number(u64),
    Text(&'a str),
}

fn cells<'a>(link: &Link<'a>) -> [Cell<'a>; COLUMNS.len()] {
    let event = &link.problem.event;
    [
        Cell::Number(link.row.anomaly_id),
        Cell::Text(&link.row.anomaly),
        Cell::Number(link.row.problem_id),
        Cell::Text(&link.row.problem),
        Cell::Text(&event.file),
        Cell::Number(event.line),
        Cell::Text(&event.raw),
    ]
}

fn widths(rows: &[Link]) -> [usize; COLUMNS.len()] {
    // The filter's arrow takes room beside the title.
    let mut widths = COLUMNS.map(|title| title.len() + 3);
    for link in rows {
        for (width, cell) in widths.iter_mut().zip(cells(link)) {
            let length = match cell {
                Cell::Number(number) => number.checked_ilog10().unwrap_or(0) as usize + 1,
                Cell::Text(text) => text.chars().take(WIDEST).count(),
            };
            *width = length.max(*width);
        }
    }
    widths
}

/// A text that fits into a cell: characters are counted as a spreadsheet does, in UTF-16.
fn fitting(text: &str) -> String {
    if text.len() <= CELL || text.encode_utf16().count() <= CELL {
        return text.to_owned();
    }
    let mut room = CELL - CUT.chars().count();
    let fits = |character: &char| {
        let fits = character.len_utf16() <= room;
        room = room.saturating_sub(character.len_utf16());
        fits
    };
    let head: String = text.chars().take_while(fits).collect();
    head + CUT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_does_not_fit_is_cut_where_one_sees_it() {
        assert_eq!(fitting("short"), "short");
        for letter in ["x", "я", "🔥"] {
            let cut = fitting(&letter.repeat(CELL + 1));
            assert!(cut.ends_with(CUT));
            let length = cut.encode_utf16().count();
            assert!((CELL - 1..=CELL).contains(&length), "{letter}: {length}");
        }
        assert_eq!(fitting(&"x".repeat(CELL)), "x".repeat(CELL));
    }
}
