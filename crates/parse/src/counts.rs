//! What was read and what was passed over, with the reason.

use std::ops::AddAssign;

use serde::Serialize;

/// Counters of reading. `lines` is the sum of `errors`, `warnings`, `others`, `blank`,
/// `no_timestamp`, `no_level` and `bad_timestamp`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Counts {
    /// Bytes of text, unpacked where the file was packed.
    pub bytes: u64,
    /// Lines, the last one included when it has no line end.
    pub lines: u64,
    /// ERROR events.
    pub errors: u64,
    /// WARNING events.
    pub warnings: u64,
    /// Events of every other level.
    pub others: u64,
    /// Lines of nothing but white space.
    pub blank: u64,
    /// Lines that do not begin with a timestamp.
    pub no_timestamp: u64,
    /// Lines with a timestamp and no level word behind it.
    pub no_level: u64,
    /// Lines of a level that is told whose timestamp is no date and time that exists.
    pub bad_timestamp: u64,
    /// Lines longer than [`crate::MAX_LINE`], which were cut there. They count once more by kind.
    pub cut: u64,
    /// Events that were told, in cp1251. They count once more by kind.
    pub cp1251: u64,
    /// Events that were told with bytes of no known encoding, shown as `�`. They count once more by
    /// kind.
    pub repaired: u64,
    /// ERROR and WARNING events whose timestamp has an offset.
    pub with_offset: u64,
}

impl Counts {
    /// Events of any level.
    pub fn events(&self) -> u64 {
        self.errors + self.warnings + self.others
    }

    /// Lines that are not events.
    pub fn skipped(&self) -> u64 {
        self.blank + self.no_timestamp + self.no_level + self.bad_timestamp
    }

    /// Whether some ERROR and WARNING timestamps had an offset and some had none.
    pub fn mixed_offsets(&self) -> bool {
        self.with_offset > 0 && self.with_offset < self.errors + self.warnings
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        let Counts {
            bytes,
            lines,
            errors,
            warnings,
            others,
            blank,
            no_timestamp,
            no_level,
            bad_timestamp,
            cut,
            cp1251,
            repaired,
            with_offset,
        } = other;
        self.bytes += bytes;
        self.lines += lines;
        self.errors += errors;
        self.warnings += warnings;
        self.others += others;
        self.blank += blank;
        self.no_timestamp += no_timestamp;
        self.no_level += no_level;
        self.bad_timestamp += bad_timestamp;
        self.cut += cut;
        self.cp1251 += cp1251;
        self.repaired += repaired;
        self.with_offset += with_offset;
    }
}
