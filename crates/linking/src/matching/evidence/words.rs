//! Words of a masked message, as the weights know them.

use std::cell::RefCell;

use rust_stemmers::{Algorithm, Stemmer};

/// How many buckets rows of words fall into.
pub const BUCKETS: usize = 1 << 15;

/// Words in a row that are looked at together, at most.
const ROW: usize = 3;

/// The stems of a masked message in their order: of runs of ASCII letters, and runs of digits as
/// they stand.
pub fn stems(masked: &str) -> Vec<String> {
    thread_local! {
        static STEMMER: RefCell<Stemmer> = RefCell::new(Stemmer::create(Algorithm::English));
    }
    let mut stems = Vec::new();
    let mut rest = masked;
    while let Some(start) = rest.find(|it: char| it.is_ascii_alphanumeric()) {
        rest = &rest[start..];
        let digits = rest.as_bytes()[0].is_ascii_digit();
        let same = |it: char| it.is_ascii_alphanumeric() && it.is_ascii_digit() == digits;
        let (word, after) = rest.split_at(rest.find(|it| !same(it)).unwrap_or(rest.len()));
        rest = after;
        stems.push(match digits {
            true => word.to_owned(),
            false => STEMMER.with_borrow(|stemmer| stemmer.stem(word).into_owned()),
        });
    }
    stems
}

/// The distinct stems that are no numbers, in alphabetical order.
pub fn words(stems: &[String]) -> Vec<&str> {
    let mut words: Vec<&str> = stems.iter().map(String::as_str).collect();
    words.retain(|word| !word.as_bytes()[0].is_ascii_digit());
    words.sort_unstable();
    words.dedup();
    words
}

/// The buckets of one, two and three stems in a row, each once, with where they stand.
pub fn rows(stems: &[String]) -> Vec<(usize, std::ops::Range<usize>)> {
    let mut rows: Vec<_> = (1..=ROW.min(stems.len()))
        .flat_map(|length| (0..=stems.len() - length).map(move |start| start..start + length))
        .map(|range| (bucket(&stems[range.clone()]), range))
        .collect();
    rows.sort_by_key(|(bucket, range)| (*bucket, range.start));
    rows.dedup_by_key(|(bucket, _)| *bucket);
    rows
}

/// FNV-1a of 32 bits over the stems with a space between them.
fn bucket(stems: &[String]) -> usize {
    let mut hash: u32 = 0x811c_9dc5;
    let mut add = |byte: u8| hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    for (index, stem) in stems.iter().enumerate() {
        if index > 0 {
            add(b' ');
        }
        stem.bytes().for_each(&mut add);
    }
    hash as usize % BUCKETS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_runs_of_letters_and_of_digits_stemmed() {
        let stems = stems("eth0: retries failing, 40% (сбой) checksum_errors");
        assert_eq!(stems, ["eth", "0", "retri", "fail", "40", "checksum", "error"]);
        assert_eq!(words(&stems), ["checksum", "error", "eth", "fail", "retri"]);
    }

    #[test]
    fn rows_of_words_are_counted_once() {
        let stems = stems("down down down");
        let rows = rows(&stems);
        assert_eq!(rows.len(), 3, "one, two and three of them: {rows:?}");
        assert!(rows.iter().all(|(bucket, range)| *bucket < BUCKETS && range.start == 0));
    }

    #[test]
    fn a_bucket_is_that_of_the_hash() {
        let stems = ["a".to_owned(), "b".to_owned()];
        assert_eq!(bucket(&stems[..1]), 0xe40c_292c % BUCKETS);
        assert_ne!(bucket(&stems), bucket(&stems[..1]));
    }
}
