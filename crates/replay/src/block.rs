//! Events as the records they become, one behind another in one buffer.
//!
//! An event is written as JSON once, when its line is read: what is sorted, spilled to disk and
//! sent are those bytes, so that no event costs an allocation or is written twice.

use std::cmp::Ordering;
use std::io::{self, Write};

use jiff::Timestamp;
use parse::LineEvent;

/// What stands before the timestamp in every record.
const HEAD: &[u8] = br#"{"timestamp":""#;

/// A file, as its records name it.
#[derive(Debug)]
pub struct FileName {
    /// Its place among the files of the loop, which stand in the order of their names.
    pub index: u32,
    /// The part of a record from the file to the number of the line.
    json: Vec<u8>,
}

impl FileName {
    /// The file of this name and place.
    pub fn new(index: u32, name: &str) -> FileName {
        let mut json = br#","file":"#.to_vec();
        write_json(&mut json, name);
        json.extend_from_slice(br#","line":"#);
        FileName { index, json }
    }
}

/// An event in the order of events, and what must be known of its record.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The instant of the event.
    pub time: Timestamp,
    /// The place of its file, see [`FileName::index`].
    pub file: u32,
    /// The number of its line.
    pub line: u64,
    /// Where the line as written begins in the record.
    raw: u32,
    /// The length of the timestamp.
    stamp: u8,
}

impl Entry {
    /// The order of [`domain::Event::by_time`]: files stand in the order of their names.
    pub fn by_time(&self, other: &Entry) -> Ordering {
        let key = |entry: &Entry| (entry.time, entry.file, entry.line);
        key(self).cmp(&key(other))
    }

    /// Writes `record` into `out` with another timestamp, there and in the line as written.
    pub fn restamp(&self, record: &[u8], stamp: &str, out: &mut Vec<u8>) {
        let (raw, length) = (self.raw as usize, usize::from(self.stamp));
        out.clear();
        out.extend_from_slice(HEAD);
        out.extend_from_slice(stamp.as_bytes());
        out.extend_from_slice(&record[HEAD.len() + length..raw]);
        out.extend_from_slice(stamp.as_bytes());
        out.extend_from_slice(&record[raw + length..]);
    }
}

/// Events, in any order.
#[derive(Debug, Default)]
pub struct Block {
    bytes: Vec<u8>,
    /// Each with where its record ends; it begins where the one before it in `bytes` ends.
    entries: Vec<(Entry, usize, usize)>,
}

impl Block {
    /// The number of events.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The memory in use, in bytes.
    pub fn size(&self) -> usize {
        self.bytes.len() + self.entries.len() * size_of::<(Entry, usize, usize)>()
    }

    /// Forgets the events and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }

    /// The event at `index`, and its record.
    pub fn get(&self, index: usize) -> Option<(&Entry, &[u8])> {
        let (entry, start, end) = self.entries.get(index)?;
        Some((entry, &self.bytes[*start..*end]))
    }

    /// Puts the events into their order.
    pub fn sort(&mut self) {
        self.entries.sort_unstable_by(|one, other| one.0.by_time(&other.0));
    }

    /// Appends an event of `file`.
    pub fn push(&mut self, event: &LineEvent, file: &FileName) {
        let start = self.bytes.len();
        let bytes = &mut self.bytes;
        // All texts are parts of the line: where it needs no escapes, none of them does.
        let plain = is_plain(event.raw);
        // A timestamp and a level that were read have none in any case.
        bytes.extend_from_slice(HEAD);
        bytes.extend_from_slice(event.timestamp.as_bytes());
        bytes.extend_from_slice(br#"","level":""#);
        bytes.extend_from_slice(event.level_word.as_bytes());
        bytes.extend_from_slice(br#"","component":"#);
        write_text(bytes, event.component, plain);
        bytes.extend_from_slice(br#","message":"#);
        write_text(bytes, event.message, plain);
        bytes.extend_from_slice(&file.json);
        write_json(bytes, &event.line);
        bytes.extend_from_slice(br#","raw":"#);
        let raw = (bytes.len() + 1 - start) as u32;
        write_text(bytes, event.raw, plain);
        bytes.push(b'}');
        let stamp = event.timestamp.len() as u8;
        let entry = Entry { time: event.time, file: file.index, line: event.line, raw, stamp };
        self.entries.push((entry, start, bytes.len()));
    }

    /// Writes the events, in their present order, as [`Block::read`] reads them.
    pub fn write(&self, out: &mut impl Write) -> io::Result<u64> {
        let mut written = 0;
        for (entry, start, end) in &self.entries {
            let record = &self.bytes[*start..*end];
            out.write_all(&Packed::of(entry, record.len()))?;
            out.write_all(record)?;
            written += (PACKED + record.len()) as u64;
        }
        Ok(written)
    }

    /// Appends the whole events that `bytes` begins with. Returns how many bytes they are.
    pub fn read(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while let Some((packed, behind)) = rest.split_first_chunk::<PACKED>() {
            let (entry, length) = Packed::read(packed);
            let Some((record, behind)) = behind.split_at_checked(length) else { break };
            let start = self.bytes.len();
            self.bytes.extend_from_slice(record);
            self.entries.push((entry, start, self.bytes.len()));
            rest = behind;
        }
        bytes.len() - rest.len()
    }
}

/// Bytes of a packed entry.
const PACKED: usize = 33;

/// An entry on disk, with the length of the record that follows it.
struct Packed;

impl Packed {
    fn of(entry: &Entry, length: usize) -> [u8; PACKED] {
        let mut packed = [0; PACKED];
        packed[..8].copy_from_slice(&entry.time.as_second().to_le_bytes());
        packed[8..12].copy_from_slice(&entry.time.subsec_nanosecond().to_le_bytes());
        packed[12..16].copy_from_slice(&entry.file.to_le_bytes());
        packed[16..24].copy_from_slice(&entry.line.to_le_bytes());
        packed[24..28].copy_from_slice(&(length as u32).to_le_bytes());
        packed[28..32].copy_from_slice(&entry.raw.to_le_bytes());
        packed[32] = entry.stamp;
        packed
    }

    fn read(packed: &[u8; PACKED]) -> (Entry, usize) {
        let second = i64::from_le_bytes(part(packed, 0));
        let nanosecond = i32::from_le_bytes(part(packed, 8));
        let entry = Entry {
            // It was taken from a timestamp, so it is one.
            time: Timestamp::new(second, nanosecond).unwrap_or(Timestamp::MAX),
            file: u32::from_le_bytes(part(packed, 12)),
            line: u64::from_le_bytes(part(packed, 16)),
            raw: u32::from_le_bytes(part(packed, 28)),
            stamp: packed[32],
        };
        (entry, u32::from_le_bytes(part(packed, 24)) as usize)
    }
}

fn part<const N: usize>(packed: &[u8; PACKED], at: usize) -> [u8; N] {
    let mut part = [0; N];
    part.copy_from_slice(&packed[at..at + N]);
    part
}

/// Whether a text is written in JSON as it stands. All of it is looked at, without a way out in
/// the middle, so that the compiler can compare many bytes at a time.
fn is_plain(text: &str) -> bool {
    let escaped = |byte: u8| (byte < 0x20) | (byte == b'"') | (byte == b'\\');
    !text.bytes().fold(false, |found, byte| found | escaped(byte))
}

fn write_text(bytes: &mut Vec<u8>, text: &str, plain: bool) {
    if plain {
        bytes.push(b'"');
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(b'"');
    } else {
        write_json(bytes, text);
    }
}

fn write_json(bytes: &mut Vec<u8>, value: &(impl serde::Serialize + ?Sized)) {
    serde_json::to_writer(bytes, value).expect("texts and numbers are JSON, and memory takes all");
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use serde_json::{Value, json};

    use super::*;

    fn block(lines: &[&str]) -> Block {
        let file = FileName::new(3, "a \"b\".txt");
        let mut block = Block::default();
        for (index, line) in lines.iter().enumerate() {
            let event = parse::plain::parse_line(line, &TimeZone::UTC).unwrap();
            block.push(&LineEvent { line: index as u64 + 1, ..event }, &file);
        }
        block
    }

    const LINES: [&str; 3] = [
        "2025-10-06T07:42:23 Err\tdb: say \"lost\\found\" \u{1}",
        "2025-10-06T07:42:22.5+03:00 INFO сервер: Сбой",
        "2025-10-06T07:42 WARN",
    ];

    #[test]
    fn a_record_has_exactly_the_fields_of_the_contract() {
        let block = block(&LINES);
        let record: Value = serde_json::from_slice(block.get(0).unwrap().1).unwrap();
        let expected = json!({
            "timestamp": "2025-10-06T07:42:23", "level": "Err", "component": "db",
            "message": "say \"lost\\found\" \u{1}", "file": "a \"b\".txt", "line": 1,
            "raw": LINES[0],
        });
        assert_eq!(record, expected);
        let keys =
            br#"{"timestamp":"2025-10-06T07:42","level":"WARN","component":"","message":"","#;
        assert!(block.get(2).unwrap().1.starts_with(keys));
    }

    #[test]
    fn a_new_timestamp_stands_in_the_line_too() {
        let block = block(&LINES);
        let mut out = Vec::new();
        for (index, line) in LINES.iter().enumerate() {
            let (entry, record) = block.get(index).unwrap();
            let old: Value = serde_json::from_slice(record).unwrap();
            entry.restamp(record, "2031-01-01T00:00:00Z", &mut out);
            let new: Value = serde_json::from_slice(&out).unwrap();
            let behind = &line[old["timestamp"].as_str().unwrap().len()..];
            assert_eq!(new["timestamp"], "2031-01-01T00:00:00Z");
            assert_eq!(new["raw"], format!("2031-01-01T00:00:00Z{behind}"));
            assert_eq!(new["message"], old["message"]);
        }
    }

    #[test]
    fn events_come_back_from_disk_as_they_were_in_order() {
        let mut block = block(&LINES);
        block.sort();
        let mut disk = Vec::new();
        assert_eq!(block.write(&mut disk).unwrap(), disk.len() as u64);
        let mut back = Block::default();
        let cut = back.read(&disk[..disk.len() - 1]);
        assert_eq!((back.len(), back.read(&disk[cut..])), (2, disk.len() - cut));
        let lines: Vec<u64> =
            (0..3).map(|index| back.get(index).map_or(0, |(entry, _)| entry.line)).collect();
        assert_eq!(lines, [2, 3, 1]);
        for index in 0..3 {
            let (one, other) = (block.get(index).unwrap(), back.get(index).unwrap());
            assert_eq!(one.1, other.1);
            assert_eq!(
                (one.0.time, one.0.raw, one.0.stamp),
                (other.0.time, other.0.raw, other.0.stamp)
            );
        }
    }
}
