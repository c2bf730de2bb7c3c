//! The normalised message: the text that is embedded, and the key of every cache.

use unicode_general_category::{GeneralCategory as Category, get_general_category};

/// Words of at most this many letters are dropped.
const SHORT_WORD: usize = 2;

/// Normalises a message: lower-case; every character that is neither a word character nor white
/// space deleted; digits deleted; words of one or two letters deleted; white space collapsed.
///
/// Word characters and digits are those of Unicode's technical standard 18 (`\w` and `\d` of the
/// common regex engines). A message that normalises to the empty string has no meaning to embed.
///
/// ```
/// assert_eq!(domain::normalise("segfault at 0x0 ip 0x7f12"), "segfault");
/// assert_eq!(domain::normalise("eth0: Packet  drops!"), "eth packet drops");
/// assert_eq!(domain::normalise("1/0/1"), "");
/// ```
pub fn normalise(message: &str) -> String {
    let mut out = String::new();
    normalise_into(message, &mut out);
    out
}

/// [`normalise`] into a buffer that is cleared first, so that a hot loop allocates nothing.
pub fn normalise_into(message: &str, out: &mut String) {
    out.clear();
    if message.is_ascii() {
        words_into(message.bytes().map(|byte| (byte as char, ASCII[byte as usize])), out);
    } else {
        let lower = message.to_lowercase();
        words_into(lower.chars().map(|character| (character, class(character))), out);
    }
}

/// What normalising does with a character.
#[derive(Clone, Copy, PartialEq)]
enum Class {
    /// Kept: it belongs to a word. The number is the lower-case byte, for ASCII.
    Word(u8),
    /// Ends a word.
    Space,
    /// Deleted; the word goes on behind it.
    Deleted,
}

/// The classes of ASCII, so that the common case is a table look-up.
const ASCII: [Class; 128] = {
    let mut table = [Class::Deleted; 128];
    let mut byte = 0;
    while byte < 128 {
        table[byte as usize] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => Class::Word((byte as u8).to_ascii_lowercase()),
            // The separators 0x1c to 0x1f are white space to Python's `\s`, not to Unicode.
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => Class::Space,
            _ => Class::Deleted,
        };
        byte += 1;
    }
    table
};

/// The class of a lower-case character outside ASCII, or of an ASCII one among such.
fn class(character: char) -> Class {
    if character.is_ascii() {
        return ASCII[character as usize];
    }
    if character.is_whitespace() {
        return Class::Space;
    }
    match get_general_category(character) {
        Category::DecimalNumber => Class::Deleted,
        Category::NonspacingMark
        | Category::SpacingMark
        | Category::EnclosingMark
        | Category::ConnectorPunctuation => Class::Word(0),
        _ if character.is_alphabetic() => Class::Word(0),
        _ if matches!(character, '\u{200c}' | '\u{200d}') => Class::Word(0),
        _ => Class::Deleted,
    }
}

#[inline]
fn words_into(characters: impl Iterator<Item = (char, Class)>, out: &mut String) {
    let mut word_start = 0;
    let mut letters = 0;
    for (character, class) in characters {
        match class {
            Class::Word(0) => {
                out.push(character);
                letters += 1;
            }
            Class::Word(lower) => {
                out.push(lower as char);
                letters += 1;
            }
            Class::Space => {
                word_start = end_word(out, word_start, letters);
                letters = 0;
            }
            Class::Deleted => {}
        }
    }
    end_word(out, word_start, letters);
    if out.ends_with(' ') {
        out.pop();
    }
}

/// Drops the word that begins at `start` when it is short, else ends it with a space. Returns
/// where the next word begins.
#[inline]
fn end_word(out: &mut String, start: usize, letters: usize) -> usize {
    if letters > SHORT_WORD {
        out.push(' ');
    } else {
        out.truncate(start);
    }
    out.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn punctuation_joins_and_digits_vanish() {
        assert_eq!(normalise("read-only, user's #7 mod_sec"), "readonly users mod_sec");
        assert_eq!(normalise("CPU0: Core temperature 97.5C"), "cpu core temperature");
    }

    #[test]
    fn short_words_go_after_their_digits_did() {
        assert_eq!(normalise("x1y2 ab12c i/o vm"), "abc");
    }

    #[test]
    fn white_space_collapses_and_ends_are_bare() {
        assert_eq!(normalise("  disk \t\r\n full  "), "disk full");
        assert_eq!(normalise(" \t "), "");
        assert_eq!(normalise(""), "");
    }

    #[test]
    fn letters_and_digits_are_those_of_unicode() {
        assert_eq!(normalise("Сбой №5 диска ЁЖ И на ٣٤"), "сбой диска");
        assert_eq!(normalise("Überlauf\u{a0}im Puffer²"), "überlauf puffer");
        assert_eq!(normalise("नमस्ते"), "नमस्ते");
    }

    #[test]
    fn normalising_twice_changes_nothing() {
        for text in ["Слишком МНОГО ошибок: 12", "a1bc d--ef g_h i", "Straße İstanbul ǅ"]
        {
            let once = normalise(text);
            assert_eq!(normalise(&once), once, "{text}");
        }
    }
}
