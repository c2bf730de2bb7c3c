//! The names of uploaded files, which strangers chose.

use axum::http::{HeaderMap, header};

/// The longest name that a file keeps, in bytes; file systems take 255.
const LONGEST: usize = 120;

/// The name that a client gave a file: as the parser of multipart read it, or else as older
/// clients write names beyond ASCII (`filename*=utf-8''...`), or in no known encoding.
pub fn given(headers: &HeaderMap, parsed: Option<&str>) -> Option<String> {
    if let Some(name) = parsed {
        return Some(name.to_owned());
    }
    let disposition = headers.get(header::CONTENT_DISPOSITION)?.as_bytes();
    let disposition = String::from_utf8_lossy(disposition);
    if let Some((_, coded)) = disposition.split_once("filename*=") {
        let coded = coded.split(';').next().unwrap_or_default().trim();
        return Some(percent_decoded(coded.splitn(3, '\'').nth(2)?));
    }
    let (_, quoted) = disposition.split_once("filename=\"")?;
    quoted.split('"').next().map(str::to_owned)
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let code = (*first == b'%').then(|| behind.get(..2)).flatten();
        let code = code.and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What nobody should find in a name: control characters, and those that turn the direction of
/// the text around them.
fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The last component of a name, short and harmless.
pub fn safe(given: &str) -> String {
    let last = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let kept: String = last.chars().filter(|character| !is_harmful(*character)).collect();
    let kept = kept.trim().trim_start_matches('.');
    if kept.len() <= LONGEST {
        return kept.to_owned();
    }
    // The ending says what it is.
    let ending = kept.rsplit_once('.').map_or("", |(_, ending)| ending);
    let ending = if ending.len() <= 8 { ending } else { "" };
    let mut end = LONGEST - ending.len() - 1;
    while !kept.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}.{ending}", &kept[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_its_last_component_and_never_a_path() {
        for (given, name) in [
            ("app.log", "app.log"),
            ("../../etc/passwd", "passwd"),
            ("C:\\logs\\app.log", "app.log"),
            ("..", ""),
            ("a\0b\n.log", "ab.log"),
            (".hidden.log", "hidden.log"),
            ("Журнал.txt", "Журнал.txt"),
            ("photo\u{202e}gol.exe", "photogol.exe"),
            ("", ""),
        ] {
            assert_eq!(safe(given), name, "{given:?}");
        }
    }

    #[test]
    fn a_long_name_is_cut_and_keeps_its_ending() {
        let name = safe(&format!("{}.log", "я".repeat(40_000)));
        assert!(name.len() <= LONGEST && name.ends_with("я.log"), "{name}");
        assert!(safe(&"x".repeat(70_000)).len() <= LONGEST);
    }

    #[test]
    fn names_of_older_clients_are_read() {
        let given = |disposition: &[u8]| {
            let mut headers = HeaderMap::new();
            let value = axum::http::HeaderValue::from_bytes(disposition).unwrap();
            headers.insert(header::CONTENT_DISPOSITION, value);
            super::given(&headers, None)
        };
        let coded = "form-data; name=\"log_files\"; filename*=utf-8''%D1%8F%2.log";
        assert_eq!(given(coded.as_bytes()).unwrap(), "я%2.log");
        let unknown = given(b"form-data; name=\"x\"; filename=\"\xff.log\"; x").unwrap();
        assert_eq!(unknown, "\u{fffd}.log");
        assert_eq!(given(b"form-data; name=\"x\""), None);
    }
}
