//! Bytes in, events out.
//!
//! Input: paths of logs (plain, gzip, zip) and of a dictionary. Output: borrowed [`LineEvent`]s in
//! the order of their file, and [`Counts`] of everything that was read and passed over, with the
//! reason. Reading streams: memory does not grow with the file, a line of a gigabyte included.
//!
//! One log format is one module: [`plain`] is today's. A line that is not an event is counted,
//! never fatal; what stops reading is an [`InputError`] that names the file and says what to do.

mod archive;
mod counts;
pub mod dictionary;
mod error;
mod lines;
mod names;
mod open;
pub mod plain;
mod scan;
mod sniff;
mod source;
mod text;
mod time;
mod transcode;

pub use archive::Limits;
pub use counts::Counts;
pub use error::InputError;
pub use lines::{Around, lines_around};
pub use open::Opened;
pub use plain::LineEvent;
pub use scan::{MAX_LINE, Scanner};
pub use source::{Part, Source};
pub use text::decode;
pub use time::{Stamp, parse_timestamp};
