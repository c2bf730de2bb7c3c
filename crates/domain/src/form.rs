//! The two forms of a message that a model may be given.

use crate::{mask, normalise};

/// A form of a message: what is embedded for it, and what stands for it in caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// [`normalise`](crate::normalise()).
    Normalised,
    /// [`mask`](crate::mask()).
    Masked,
}

impl Form {
    /// The form of a message; empty when it has no meaning to embed.
    pub fn of(self, message: &str) -> String {
        let mut out = String::new();
        self.write(message, &mut out);
        out
    }

    /// [`Form::of`] behind what the buffer holds, so that a hot loop allocates nothing.
    #[inline]
    pub fn write(self, message: &str, out: &mut String) {
        match self {
            Form::Normalised => normalise::append(message, out),
            Form::Masked => mask::append(message, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_written_behind_what_is_there() {
        for form in [Form::Normalised, Form::Masked] {
            let mut out = " db |".to_owned();
            let mut expected = out.clone();
            for message in ["Disk FULL", " 77  ДИСКА ", " ", "я", "0x1 x"] {
                form.write(message, &mut out);
                expected.push_str(&form.of(message));
                assert_eq!(out, expected, "{form:?}");
            }
        }
    }
}
