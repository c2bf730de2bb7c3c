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
    append(message, out);
}

/// [`normalise`] behind what the buffer holds.
pub(crate) fn append(message: &str, out: &mut String) {
    if message.is_ascii() {
        *out = ascii(message.as_bytes(), std::mem::take(out).into_bytes());
    } else {
        unicode(&message.to_lowercase(), out);
    }
}

/// What stands in [`ASCII`] for a character that is deleted.
const DELETED: u8 = 0;

/// For each byte of ASCII: its lower case, a space, or [`DELETED`].
const ASCII: [u8; 256] = {
    let mut table = [DELETED; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte as usize] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => (byte as u8).to_ascii_lowercase(),
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => b' ',
            _ => DELETED,
        };
        byte += 1;
    }
    table
};

/// Normalises ASCII behind what `buffer` holds.
///
/// Without a branch that depends on the text, which no processor could foresee: every character
/// is written, and the length says whether it stays.
fn ascii(message: &[u8], mut buffer: Vec<u8>) -> String {
    let start = buffer.len();
    buffer.resize(start + message.len() + 1, 0);
    let (mut length, mut word) = (start, start);
    for byte in message.iter().chain(b" ") {
        let lower = ASCII[usize::from(*byte)];
        let ends_word = lower == b' ';
        let drops_word = ends_word && length - word <= SHORT_WORD;
        buffer[length] = lower;
        length += usize::from(lower != DELETED);
        length = if drops_word { word } else { length };
        word = if ends_word { length } else { word };
    }
    buffer.truncate(length.saturating_sub(1).max(start));
    String::from_utf8(buffer).expect("ASCII is UTF-8")
}

/// Normalises a lower-case text behind what `out` holds.
fn unicode(lower: &str, out: &mut String) {
    let start = out.len();
    let (mut word, mut letters) = (start, 0);
    for character in lower.chars().chain([' ']) {
        if character.is_whitespace() {
            if letters > SHORT_WORD {
                out.push(' ');
                word = out.len();
            }
            out.truncate(word);
            letters = 0;
        } else if is_word_character(character) {
            out.push(character);
            letters += 1;
        }
    }
    out.truncate(word.saturating_sub(1).max(start));
}

/// Whether a lower-case character that is no white space is kept: it belongs to a word and is no
/// digit.
fn is_word_character(character: char) -> bool {
    if character.is_ascii() {
        return ASCII[character as usize] != DELETED;
    }
    match get_general_category(character) {
        Category::DecimalNumber => false,
        Category::NonspacingMark
        | Category::SpacingMark
        | Category::EnclosingMark
        | Category::ConnectorPunctuation => true,
        _ => character.is_alphabetic() || matches!(character, '\u{200c}' | '\u{200d}'),
    }
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

    use proptest::prelude::*;

    /// The contract's words, step by step.
    fn literally(message: &str) -> String {
        let lower = message.to_lowercase();
        let kept: String = lower
            .chars()
            .filter(|character| character.is_whitespace() || is_word_character(*character))
            .collect();
        let words = kept.split_whitespace().filter(|word| word.chars().count() > SHORT_WORD);
        words.collect::<Vec<_>>().join(" ")
    }

    proptest! {
        #[test]
        fn any_text_gives_what_the_steps_give(text in r"[ -~\t]{0,60}|[а-яА-ЯёЁ0-9 .,:a-z]{0,60}|\PC{0,40}") {
            prop_assert_eq!(normalise(&text), literally(&text));
        }
    }
}
