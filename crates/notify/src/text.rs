//! Text of logs made fit for a message: harmless, escaped, cut where it must be.
//!
//! Input: any text. Output: HTML as Telegram reads it, on one line, of a bounded length. Invariants:
//! no markup of the text survives, the length is counted in UTF-16 units after escaping (so no way of
//! counting finds more), a cut falls between characters and is visible.

/// What a cut ends in.
const CUT: &str = "…";

/// The text as HTML that shows it, of at most `most` UTF-16 units.
pub(crate) fn html(text: &str, most: usize) -> String {
    let mut shown = String::new();
    let mut units = 0;
    // The longest beginning that leaves room for the sign of a cut.
    let mut fits = 0;
    for character in text.chars().map(harmless) {
        let before = shown.len();
        escape(character, &mut shown);
        units += width(&shown[before..]);
        if units + width(CUT) <= most {
            fits = shown.len();
        }
        if units > most {
            shown.truncate(fits);
            // Half of a joined emoji is no better than none of it.
            let whole = shown.trim_end_matches(['\u{200d}', '\u{fe0f}', ' ']).len();
            shown.truncate(whole);
            if width(CUT) <= most {
                shown.push_str(CUT);
            }
            return shown;
        }
    }
    shown
}

/// The text on one line, cut at so many characters.
pub(crate) fn plain(text: &str, most: usize) -> String {
    let mut shown: String = text.chars().map(harmless).take(most + 1).collect();
    if let Some((cut, _)) = shown.char_indices().nth(most) {
        shown.truncate(cut);
        shown.push_str(CUT);
    }
    shown
}

/// UTF-16 units, by which Telegram counts.
pub(crate) fn width(text: &str) -> usize {
    text.encode_utf16().count()
}

fn escape(character: char, into: &mut String) {
    match character {
        '&' => into.push_str("&amp;"),
        '<' => into.push_str("&lt;"),
        '>' => into.push_str("&gt;"),
        '"' => into.push_str("&quot;"),
        other => into.push(other),
    }
}

/// What a message may be given of a log: white space is a space; what controls a terminal or turns
/// the direction of all that follows becomes visible.
fn harmless(character: char) -> char {
    match character {
        '\t' | '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => ' ',
        '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            '\u{fffd}'
        }
        other if other.is_control() => '\u{fffd}',
        other => other,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The text a reader of HTML sees; panics where it is not the HTML that Telegram accepts.
    pub(crate) fn seen(html: &str) -> String {
        let mut seen = String::new();
        let mut open: Vec<&str> = Vec::new();
        let mut rest = html;
        while let Some(at) = rest.find(['<', '&']) {
            seen.push_str(&rest[..at]);
            rest = &rest[at..];
            let end =
                rest.find(if rest.starts_with('<') { '>' } else { ';' }).expect("it ends") + 1;
            let (mark, after) = rest.split_at(end);
            match mark {
                "&lt;" => seen.push('<'),
                "&gt;" => seen.push('>'),
                "&amp;" => seen.push('&'),
                "&quot;" => seen.push('"'),
                "<b>" | "<code>" | "<i>" => open.push(&mark[1..]),
                "</b>" | "</code>" | "</i>" => assert_eq!(open.pop(), Some(&mark[2..]), "{html}"),
                other => panic!("{other} in {html}"),
            }
            rest = after;
        }
        assert!(open.is_empty(), "{html}");
        assert!(!rest.contains('>'), "{html}");
        seen.push_str(rest);
        seen
    }

    #[test]
    fn markup_is_text_and_what_turns_text_around_is_seen() {
        let shown = html("<b>*x*</b> & \u{202e}evil\u{0}\n`y`", 100);
        assert_eq!(shown, "&lt;b&gt;*x*&lt;/b&gt; &amp; \u{fffd}evil\u{fffd} `y`");
    }

    #[test]
    fn a_cut_is_visible_and_between_characters() {
        assert_eq!(html("abcdef", 6), "abcdef");
        assert_eq!(html("abcdefg", 6), "abcde…");
        assert_eq!(html("<<<", 9), "&lt;&lt;…");
        assert_eq!(html("a👩\u{200d}💻b", 6), "a👩…");
        assert_eq!(plain("привет", 3), "при…");
        assert_eq!(plain("при", 3), "при");
    }

    proptest! {
        #[test]
        fn any_text_is_valid_html_and_short_enough(
            text in "(\\PC|[<>&\"\u{0}-\u{1f}]|👩\u{200d}💻|\u{202e}){0,200}",
            most in 0usize..300,
        ) {
            let shown = html(&text, most);
            prop_assert!(width(&shown) <= most);
            let seen = seen(&shown);
            let harmless: String = text.chars().map(harmless).collect();
            match seen.strip_suffix(CUT).filter(|_| seen != harmless) {
                Some(part) => prop_assert!(harmless.starts_with(part)),
                None => prop_assert!(seen == harmless || most == 0),
            }
        }
    }
}
