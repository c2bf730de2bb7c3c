//! Bytes of a line → text: UTF-8 where it is, cp1251 where it must be, `�` where neither.

use std::borrow::Cow;

use encoding_rs::WINDOWS_1251;

/// How the bytes of a line became text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// They were UTF-8.
    Utf8,
    /// They were cp1251.
    Cp1251,
    /// Some were of no known encoding, or NUL, and are shown as `�`.
    Repaired,
}

/// Decodes one line.
///
/// A line that is not UTF-8 is cp1251 when it holds more broken than whole multi-byte sequences
/// and most of its bytes above ASCII are Cyrillic letters there; else it is damaged UTF-8. The
/// rule looks at nothing but the line, so the answer never depends on where reading began.
pub fn decode(bytes: &[u8]) -> (Cow<'_, str>, Decoded) {
    let (text, how) = match std::str::from_utf8(bytes) {
        Ok(text) => (Cow::Borrowed(text), Decoded::Utf8),
        Err(_) if looks_like_cp1251(bytes) => {
            (WINDOWS_1251.decode_without_bom_handling(bytes).0, Decoded::Cp1251)
        }
        Err(_) => (String::from_utf8_lossy(bytes), Decoded::Repaired),
    };
    if memchr::memchr(0, text.as_bytes()).is_some() {
        return (Cow::Owned(text.replace('\0', "\u{fffd}")), Decoded::Repaired);
    }
    (text, how)
}

/// Cuts `bytes` to at most `length` without splitting a UTF-8 sequence.
pub(crate) fn cut(bytes: &[u8], length: usize) -> &[u8] {
    let Some(head) = bytes.get(..length) else { return bytes };
    match std::str::from_utf8(head) {
        // Whole up to a sequence that the cut itself split.
        Err(error) if error.error_len().is_none() => &head[..error.valid_up_to()],
        _ => head,
    }
}

fn looks_like_cp1251(bytes: &[u8]) -> bool {
    let (mut whole, mut broken) = (0, 0);
    for chunk in bytes.utf8_chunks() {
        whole += chunk.valid().chars().filter(|character| !character.is_ascii()).count();
        broken += chunk.invalid().len();
    }
    let high = bytes.iter().filter(|byte| !byte.is_ascii()).count();
    let letters = bytes.iter().filter(|byte| matches!(byte, 0xc0..|0xa8| 0xb8)).count();
    broken > whole && letters * 2 > high
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cp1251(text: &str) -> Vec<u8> {
        WINDOWS_1251.encode(text).0.into_owned()
    }

    #[test]
    fn utf8_is_borrowed() {
        let (text, how) = decode("Сбой диска".as_bytes());
        assert!(matches!(text, Cow::Borrowed("Сбой диска")));
        assert_eq!(how, Decoded::Utf8);
    }

    #[test]
    fn cp1251_is_recognised_even_in_short_words() {
        for line in ["Сбой", "ERROR db: Пётр — ошибка «ЁЖ» №5", "я", "Счёт закрыт"]
        {
            assert_eq!(decode(&cp1251(line)), (Cow::from(line), Decoded::Cp1251), "{line}");
        }
    }

    #[test]
    fn damaged_utf8_is_repaired_not_taken_for_cp1251() {
        let mut bytes = "диск потерян".as_bytes().to_vec();
        bytes.remove(1);
        let (text, how) = decode(&bytes);
        assert_eq!((text.as_ref(), how), ("\u{fffd}иск потерян", Decoded::Repaired));
        assert_eq!(decode(b"a\xff\x80\x81b").1, Decoded::Repaired);
    }

    #[test]
    fn nul_never_reaches_a_report() {
        assert_eq!(decode(b"a\0b"), (Cow::from("a\u{fffd}b"), Decoded::Repaired));
    }

    #[test]
    fn a_cut_never_splits_a_character() {
        let text = "сбой".as_bytes();
        assert_eq!(cut(text, 5), "сб".as_bytes());
        assert_eq!(cut(text, 6), "сбо".as_bytes());
        assert_eq!(cut(text, 99), text);
        assert_eq!(cut(b"\xff\xff\xff", 2), b"\xff\xff");
    }
}
