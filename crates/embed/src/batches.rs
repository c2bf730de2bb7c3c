//! How texts are parted into requests.

/// The tokens a model looks at of a text.
const MAX_TOKENS: usize = 256;

/// Tokens in one request, padding included, so that a slow CPU answers in a second or two even
/// when all texts are long. Batches of this size gain nothing by being larger.
pub const TOKENS: usize = 1024;

/// The places of texts, in batches of at most `rows`. Texts of like length share a batch, as each
/// costs as much as its longest text.
pub fn batches(texts: &[&str], rows: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.sort_by_key(|index| texts[*index].len());
    let mut batches: Vec<Vec<usize>> = Vec::new();
    for index in order {
        match batches.last_mut() {
            Some(batch)
                if batch.len() < rows && (batch.len() + 1) * tokens(texts[index]) <= TOKENS =>
            {
                batch.push(index);
            }
            _ => batches.push(vec![index]),
        }
    }
    batches
}

/// What a batch costs, in tokens.
pub fn cost(texts: &[&str]) -> usize {
    let longest = texts.iter().map(|text| tokens(text)).max().unwrap_or(0);
    (texts.len() * longest).min(TOKENS)
}

/// About how many tokens a text has.
fn tokens(text: &str) -> usize {
    (text.len() / 4 + 2).min(MAX_TOKENS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(texts: &[&str]) -> Vec<usize> {
        batches(texts, 63).iter().map(Vec::len).collect()
    }

    #[test]
    fn every_text_is_in_one_batch_and_long_ones_are_among_themselves() {
        let long = "x".repeat(5000);
        let mut texts = vec!["disk full"; 130];
        texts[7] = &long;
        texts[99] = &long;
        let batches = batches(&texts, 63);
        let mut all: Vec<usize> = batches.concat();
        all.sort_unstable();
        assert_eq!(all, (0..130).collect::<Vec<_>>());
        assert_eq!(sizes(&texts), [63, 63, 4]);
        assert_eq!(sizes(&[long.as_str(); 9]), [4, 4, 1]);
        assert!(sizes(&[]).is_empty());
    }
}
