//! Log levels, and the words that logs use for them.

use serde::Serialize;

/// The severity of an event. Only [`Level::Error`] and [`Level::Warning`] can take part in a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// `ERROR`, `ERR`, `CRITICAL`, `FATAL` and their like: something is broken.
    Error,
    /// `WARNING`, `WARN`: something may break.
    Warning,
    /// Every other level: it is counted and passed over.
    Other,
}

/// The longest word that names a level, in bytes.
const LONGEST: usize = 11;

impl Level {
    /// Reads a level word in any case; `None` when the word names no level.
    ///
    /// ```
    /// use domain::Level;
    /// assert_eq!(Level::from_word(b"ERR"), Some(Level::Error));
    /// assert_eq!(Level::from_word(b"warn"), Some(Level::Warning));
    /// assert_eq!(Level::from_word(b"ERRORS"), None);
    /// ```
    #[inline]
    pub fn from_word(word: &[u8]) -> Option<Level> {
        match word {
            b"INFO" | b"DEBUG" => Some(Level::Other),
            b"WARNING" | b"WARN" => Some(Level::Warning),
            b"ERROR" => Some(Level::Error),
            _ => Self::from_any_case(word),
        }
    }

    fn from_any_case(word: &[u8]) -> Option<Level> {
        let mut upper = [0; LONGEST];
        let upper = upper.get_mut(..word.len())?;
        upper.copy_from_slice(word);
        upper.make_ascii_uppercase();
        match &*upper {
            b"ERROR" | b"ERR" | b"CRITICAL" | b"FATAL" | b"CRIT" | b"SEVERE" | b"ALERT"
            | b"EMERG" | b"EMERGENCY" | b"PANIC" => Some(Level::Error),
            b"WARNING" | b"WARN" => Some(Level::Warning),
            b"INFO" | b"INFORMATION" | b"DEBUG" | b"DBG" | b"TRACE" | b"NOTICE" | b"VERBOSE"
            | b"CONFIG" | b"FINE" | b"FINER" | b"FINEST" | b"AUDIT" => Some(Level::Other),
            _ => None,
        }
    }

    /// The word reports use: `ERROR`, `WARNING` or `OTHER`.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Error => "ERROR",
            Level::Warning => "WARNING",
            Level::Other => "OTHER",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_contract_are_one_level_each() {
        for word in ["ERR", "ERROR", "CRITICAL", "FATAL", "error", "Fatal"] {
            assert_eq!(Level::from_word(word.as_bytes()), Some(Level::Error), "{word}");
        }
        for word in ["WARN", "WARNING", "Warning"] {
            assert_eq!(Level::from_word(word.as_bytes()), Some(Level::Warning), "{word}");
        }
        for word in ["INFO", "debug", "NOTICE", "TRACE"] {
            assert_eq!(Level::from_word(word.as_bytes()), Some(Level::Other), "{word}");
        }
    }

    #[test]
    fn a_word_that_only_begins_like_a_level_is_none() {
        for word in ["ERRORS", "INFOS", "WARNINGLESS", "", "A-VERY-LONG-WORD-INDEED"] {
            assert_eq!(Level::from_word(word.as_bytes()), None, "{word}");
        }
    }
}
