//! Links in, files out: CSV, XLSX and JSON.
//!
//! Invariants: the same links give the same bytes; text that a spreadsheet would run as a formula
//! stays text; what a format cannot hold is cut where one can see it, never dropped in silence.

mod json;
mod table;
mod xlsx;

use std::io;

use thiserror::Error;

pub use json::{File, Header, Judge, LinkRecord, write_json};
pub use table::{COLUMNS, write_csv};
pub use xlsx::write_xlsx;

/// Why a report was not written.
#[derive(Debug, Error)]
pub enum ReportError {
    /// Writing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The spreadsheet could not be made.
    #[error(transparent)]
    Xlsx(#[from] rust_xlsxwriter::XlsxError),
}

impl From<csv::Error> for ReportError {
    fn from(error: csv::Error) -> Self {
        ReportError::Io(error.into())
    }
}

impl From<serde_json::Error> for ReportError {
    fn from(error: serde_json::Error) -> Self {
        ReportError::Io(error.into())
    }
}
