//! What a file is, told by its first bytes and not by its name.

use encoding_rs::Encoding;

use crate::InputError;

/// How much of a file is looked at to tell what it is, in bytes.
pub(crate) const SNIFF: usize = 64 * 1024;

/// What a source is read as.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// Text in UTF-8 or cp1251.
    Plain,
    /// Text in UTF-16 of one of its byte orders.
    Utf16(&'static Encoding),
    /// Text packed by gzip.
    Gzip,
    /// A member of a zip: where its data is, and its checksum once unpacked.
    Zip { start: u64, size: u64, stored: bool, crc: u32 },
}

/// Tells what a file is by its first bytes.
pub(crate) fn sniff(name: &str, head: &[u8]) -> Result<Kind, InputError> {
    let packing =
        |method, command| Err(InputError::Packing { name: name.to_owned(), method, command });
    match head {
        [0x1f, 0x8b, ..] => return Ok(Kind::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => return packing("zstd", "zstd -d"),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => return packing("xz", "xz -d"),
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => return packing("bzip2", "bzip2 -d"),
        [b'7', b'z', 0xbc, 0xaf, ..] => return packing("7-Zip", "7z x"),
        [b'R', b'a', b'r', b'!', ..] => return packing("RAR", "unrar x"),
        [0xff, 0xfe, ..] => return Ok(Kind::Utf16(encoding_rs::UTF_16LE)),
        [0xfe, 0xff, ..] => return Ok(Kind::Utf16(encoding_rs::UTF_16BE)),
        _ => {}
    }
    if head.get(257..262) == Some(b"ustar") {
        return packing("tar", "tar -xf");
    }
    match binary(head) {
        Some(reason) => Err(InputError::Binary { name: name.to_owned(), reason }),
        None => Ok(Kind::Plain),
    }
}

/// Whether a file is a zip.
pub(crate) fn is_zip(head: &[u8]) -> bool {
    head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06")
}

/// Why bytes are not text, if they are not. NUL alone does not count: a log that was cut while it
/// was written to begins with a hole of them.
fn binary(head: &[u8]) -> Option<String> {
    if head.starts_with(b"\x7fELF") || head.starts_with(b"MZ") && head.contains(&0) {
        return Some("it is a program".to_owned());
    }
    let is_control = |byte: &u8| matches!(byte, 0x01..=0x08 | 0x0e..=0x1a | 0x1c..=0x1f | 0x7f);
    let controls = head.iter().filter(|byte| is_control(byte)).count();
    let text = head.iter().filter(|byte| **byte != 0).count();
    // Random bytes hold 11 % of these, text hardly any.
    (controls * 50 > text).then(|| {
        format!(
            "{controls} of its first {} bytes are control \
        characters",
            head.len()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_text_even_with_colours_holes_and_russian() {
        for head in [
            "2025-10-06T07:42:23 ERROR db: \u{1b}[31mСбой\u{1b}[0m\r\n".as_bytes(),
            &[0; 4096],
            b"",
        ] {
            assert!(binary(head).is_none());
        }
    }

    #[test]
    fn programs_and_noise_are_binary() {
        let noise: Vec<u8> =
            (0..4096u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for head in [&b"\x7fELF\x02\x01"[..], b"MZ\x90\0", &noise, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"]
        {
            assert!(binary(head).is_some(), "{head:?}");
        }
    }
}
