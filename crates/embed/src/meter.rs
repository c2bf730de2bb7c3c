//! What is counted: the names and labels of the metrics, in one place.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};

const HITS: &str = "foreshock_cache_hits_total";
const MISSES: &str = "foreshock_cache_misses_total";
const ERRORS: &str = "foreshock_cache_errors_total";
const SECONDS: &str = "foreshock_model_seconds";
const TEXTS: &str = "foreshock_model_texts_total";

/// Tells the recorder of metrics what the metrics of this crate mean; to be called once it is there.
pub fn describe_metrics() {
    describe_counter!(HITS, "Vectors that were found, by the tier of the cache");
    describe_counter!(
        MISSES,
        "Vectors that were asked for and not found, by the tier of the cache"
    );
    describe_counter!(ERRORS, "Failed uses of a cache, by its tier");
    describe_histogram!(SECONDS, Unit::Seconds, "Time of one batch in the model, by where it runs");
    describe_counter!(TEXTS, "Texts that the model embedded, by where it runs");
}

pub fn looked_up(tier: &'static str, hits: usize, misses: usize) {
    counter!(HITS, "tier" => tier).increment(hits as u64);
    counter!(MISSES, "tier" => tier).increment(misses as u64);
}

pub fn cache_failed(tier: &'static str) {
    counter!(ERRORS, "tier" => tier).increment(1);
}

pub fn embedded(model: &'static str, texts: usize, took: Duration) {
    histogram!(SECONDS, "model" => model).record(took);
    counter!(TEXTS, "model" => model).increment(texts as u64);
}
