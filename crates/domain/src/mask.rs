//! The masked message: what the evidence matcher embeds, where numbers keep their size and lose
//! their value.

/// Hexadecimal words of at least this many characters are dropped, if they hold a digit and a
/// letter: identifiers and hashes.
const LONG_HEX: usize = 8;

/// At most so many digits behind the first one of a number are kept, as zeros.
const ZEROS: usize = 3;

/// Masks a message: lower-case; IPv4 addresses become `ip`; words such as `0x1f`, and words of
/// eight or more hexadecimal characters with both a digit and a letter, go; of every run of digits
/// the first stays, and at most three more become zeros; white space collapsed, the separators
/// U+001C to U+001F among it.
///
/// ```
/// assert_eq!(domain::mask("CPU0: 97.5 C at 10.0.0.7:8443"), "cpu0: 90.5 c at ip:8000");
/// assert_eq!(domain::mask("segfault at 0x7f12, id 4f9a1c22"), "segfault at , id");
/// ```
pub fn mask(message: &str) -> String {
    let mut out = String::new();
    mask_into(message, &mut out);
    out
}

/// [`mask`] into a buffer that is cleared first, so that a hot loop allocates nothing.
pub fn mask_into(message: &str, out: &mut String) {
    out.clear();
    append(message, out);
}

/// [`mask`] behind what the buffer holds.
pub(crate) fn append(message: &str, out: &mut String) {
    let mut scan = Scan { start: out.len(), out: std::mem::take(out).into_bytes(), word: None };
    if message.is_ascii() {
        scan.take(message);
    } else {
        scan.take(&message.to_lowercase());
    }
    *out = String::from_utf8(scan.out).expect("only whole characters are written");
}

/// What a character of ASCII is to a word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Space,
    Mark,
    Digit,
    HexLetter,
    Letter,
    Beyond,
}

const KINDS: [Kind; 256] = {
    let mut kinds = [Kind::Mark; 256];
    let mut byte = 0;
    while byte < 256 {
        kinds[byte] = match byte as u8 {
            b' ' | b'\t'..=b'\r' | 0x1c..=0x1f => Kind::Space,
            b'0'..=b'9' => Kind::Digit,
            b'a'..=b'f' | b'A'..=b'F' => Kind::HexLetter,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => Kind::Letter,
            128.. => Kind::Beyond,
            _ => Kind::Mark,
        };
        byte += 1;
    }
    kinds
};

/// The word that is being written.
#[derive(Clone, Copy)]
struct Word {
    /// Where it begins in the message.
    from: usize,
    /// Where it begins in the buffer.
    written: usize,
    digit: bool,
    hex_letter: bool,
    /// Whether it holds what no hexadecimal number does; the `x` of `0x` apart.
    other: bool,
    prefixed: bool,
}

impl Word {
    /// Whether it says nothing but a number, being so long in the message.
    fn is_dropped(&self, length: usize) -> bool {
        let is_id = self.digit && self.hex_letter && length >= LONG_HEX;
        !self.other && if self.prefixed { length > 2 } else { is_id }
    }
}

struct Scan {
    /// How much the buffer held before.
    start: usize,
    out: Vec<u8>,
    word: Option<Word>,
}

impl Scan {
    /// Masks a text that is of ASCII or lower-case.
    fn take(&mut self, text: &str) {
        let bytes = text.as_bytes();
        self.out.reserve(bytes.len() + 1);
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            match KINDS[usize::from(*byte)] {
                Kind::Digit => {
                    at = self.digits(bytes, at);
                    continue;
                }
                Kind::HexLetter => {
                    self.word(at).hex_letter = true;
                    self.out.push(byte.to_ascii_lowercase());
                }
                Kind::Letter => {
                    let word = self.word(at);
                    let behind_zero = at == word.from + 1 && bytes[word.from] == b'0';
                    match byte {
                        b'x' | b'X' if behind_zero => word.prefixed = true,
                        _ => word.other = true,
                    }
                    self.out.push(byte.to_ascii_lowercase());
                }
                Kind::Space => {
                    self.end_word(at);
                    self.space();
                }
                Kind::Mark => {
                    self.end_word(at);
                    self.out.push(*byte);
                }
                Kind::Beyond => {
                    let character = text[at..].chars().next().expect("a character begins here");
                    let length = character.len_utf8();
                    if character.is_whitespace() {
                        self.end_word(at);
                        self.space();
                    } else {
                        if character.is_alphanumeric() {
                            self.word(at).other = true;
                        } else {
                            self.end_word(at);
                        }
                        self.out.extend_from_slice(&bytes[at..at + length]);
                    }
                    at += length;
                    continue;
                }
            }
            at += 1;
        }
        self.end_word(at);
        if self.out.len() > self.start && self.out.ends_with(b" ") {
            self.out.pop();
        }
    }

    /// The word that goes on or begins here.
    #[inline]
    fn word(&mut self, at: usize) -> &mut Word {
        let written = self.out.len();
        self.word.get_or_insert(Word {
            from: at,
            written,
            digit: false,
            hex_letter: false,
            other: false,
            prefixed: false,
        })
    }

    /// Takes a run of digits, or the address it begins. Returns where that ends.
    fn digits(&mut self, bytes: &[u8], from: usize) -> usize {
        let mut to = from;
        while bytes.get(to).is_some_and(u8::is_ascii_digit) {
            to += 1;
        }
        self.word(from).digit = true;
        let Some(end) = address_behind(bytes, to) else {
            self.number(bytes[from], to - from);
            return to;
        };
        self.number(bytes[from], (to - from).saturating_sub(3));
        self.out.extend_from_slice(b"ip");
        self.word(from).other = true;
        end
    }

    fn number(&mut self, first: u8, digits: usize) {
        if digits > 0 {
            self.out.push(first);
            self.out.extend_from_slice(&b"000"[..(digits - 1).min(ZEROS)]);
        }
    }

    #[inline]
    fn end_word(&mut self, at: usize) {
        if let Some(word) = self.word.take()
            && word.is_dropped(at - word.from)
        {
            self.out.truncate(word.written);
            self.space();
        }
    }

    #[inline]
    fn space(&mut self) {
        if self.out.len() > self.start && !self.out.ends_with(b" ") {
            self.out.push(b' ');
        }
    }
}

/// Where an IPv4 address ends whose first number ends at `at`, if it is one.
fn address_behind(bytes: &[u8], mut at: usize) -> Option<usize> {
    for _ in 0..3 {
        if bytes.get(at) != Some(&b'.') {
            return None;
        }
        let number = bytes[at + 1..].iter().take(3).take_while(|byte| byte.is_ascii_digit());
        match number.count() {
            0 => return None,
            digits => at += 1 + digits,
        }
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_size_and_addresses_their_kind() {
        assert_eq!(mask("took 12 ms of 1234567"), "took 10 ms of 1000");
        assert_eq!(mask("from 10.1.22.333:80, v1.2.3"), "from ip:80, v1.2.3");
        assert_eq!(mask("12345.1.2.3456"), "10ip6");
        assert_eq!(mask("1.2.3.4567.8.9.1"), "ipip");
    }

    #[test]
    fn words_that_are_nothing_but_a_number_go() {
        assert_eq!(mask("at 0xDEAD (0xbeef) end"), "at ( ) end");
        assert_eq!(mask("commit 4F9A1C22D done 12345678 deadbeef"), "commit done 1000 deadbeef");
        assert_eq!(
            mask("0x 0xg _4f9a1c22 4f9a1c2 я4f9a1c22"),
            "0x 0xg _4f9a1c20 4f9a1c2 я4f9a1c20"
        );
    }

    #[test]
    fn white_space_collapses_and_letters_are_lower() {
        assert_eq!(mask(" Сбой\u{a0} ДИСКА\t/dev/SDA1 \n"), "сбой диска /dev/sda1");
        assert_eq!(mask(" \t "), "");
        assert_eq!(mask("0x1 "), "");
    }

    use fancy_regex::Regex;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    /// The steps, one by one.
    fn literally(message: &str) -> String {
        static STEPS: LazyLock<[(Regex, &str); 3]> = LazyLock::new(|| {
            [
                (r"[0-9]{1,3}(\.[0-9]{1,3}){3}", "ip"),
                (r"\b0x[0-9a-f]+\b", " "),
                (r"\b(?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{8,}\b", " "),
            ]
            .map(|(step, by)| (Regex::new(step).unwrap(), by))
        });
        static DIGITS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"[0-9]+").unwrap());
        let mut text = message.to_lowercase();
        for (step, by) in STEPS.iter() {
            text = step.replace_all(&text, *by).into_owned();
        }
        let text = DIGITS.replace_all(&text, |run: &fancy_regex::Captures| {
            let (first, rest) = run[0].split_at(1);
            format!("{first}{}", "0".repeat(rest.len().min(ZEROS)))
        });
        let is_space =
            |character: char| character.is_whitespace() || ('\x1c'..='\x1f').contains(&character);
        text.split(is_space).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        #[test]
        fn any_text_gives_what_the_steps_give(
            text in r"[ -~\t]{0,60}|[\x00-\x7f]{0,40}|[0-9.]{0,24}|([0-9]{1,4}[.x ]){0,9}|[0x1-9a-gA-F_. я]{0,60}|([0-9a-f]{6,12}[ .,_]){0,5}|[а-яА-ЯёЁ0-9 .,:a-zé]{0,60}"
        ) {
            prop_assert_eq!(mask(&text), literally(&text));
        }
    }
}
