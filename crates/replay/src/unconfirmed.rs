//! What was sent, for as long as it might have to be sent again.

/// Records in the order in which they are sent, until they are confirmed.
#[derive(Default)]
pub struct Unconfirmed {
    bytes: Vec<u8>,
    /// Where each is in `bytes`; a refused one is never sent again.
    records: Vec<Kept>,
    /// How many of them are confirmed.
    confirmed: usize,
    /// How many of them the present producer was handed.
    handed: usize,
    /// How many of them any producer was handed.
    ever_handed: usize,
}

struct Kept {
    file: u32,
    start: usize,
    end: usize,
    refused: bool,
}

impl Unconfirmed {
    /// The memory in use, in bytes.
    pub fn size(&self) -> usize {
        self.bytes.len() + self.records.len() * size_of::<Kept>()
    }

    /// Whether everything is confirmed.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Records that were handed over and are not confirmed.
    pub fn in_doubt(&self) -> usize {
        self.handed - self.confirmed
    }

    /// Appends a record of a file.
    pub fn push(&mut self, file: u32, record: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(record);
        self.records.push(Kept { file, start, end: self.bytes.len(), refused: false });
    }

    /// The record that is to be handed over next.
    pub fn next(&mut self) -> Option<(u32, &[u8])> {
        while self.records.get(self.handed)?.refused {
            self.handed += 1;
        }
        let record = self.records.get(self.handed)?;
        Some((record.file, &self.bytes[record.start..record.end]))
    }

    /// Goes on to the next. Returns whether the record was handed over for the first time.
    pub fn handed_over(&mut self) -> bool {
        self.handed += 1;
        let first = self.handed > self.ever_handed;
        self.ever_handed = self.ever_handed.max(self.handed);
        first
    }

    /// Goes on to the next, and never comes back to this one.
    pub fn refused(&mut self) {
        self.records[self.handed].refused = true;
        self.handed_over();
    }

    /// What was handed over is confirmed.
    pub fn confirm(&mut self) {
        self.confirmed = self.handed;
        if self.confirmed == self.records.len() {
            self.bytes.clear();
            self.records.clear();
            (self.confirmed, self.handed, self.ever_handed) = (0, 0, 0);
        }
    }

    /// Makes everything in doubt to be handed over again. Returns how much that is.
    pub fn rewind(&mut self) -> usize {
        let count = self.in_doubt();
        self.handed = self.confirmed;
        count
    }
}
