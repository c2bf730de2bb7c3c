//! Vectors in memory, as many as there is room for.

use domain::Vector;
use moka::sync::Cache;

use crate::{Origin, VectorCache};

/// What an entry costs beside its text and its vector, about.
const OVERHEAD: usize = 200;

/// The vectors of the texts seen most, within a number of bytes.
pub struct Memory {
    vectors: Cache<String, Vector>,
}

impl Memory {
    /// Room for 130,000 vectors of 384 dimensions.
    pub const DEFAULT_BYTES: u64 = 256 << 20;

    /// Keeps at most this many bytes, about.
    pub fn new(bytes: u64) -> Memory {
        let weigh = |key: &String, vector: &Vector| {
            let bytes = key.len() + size_of_val(&vector[..]) + OVERHEAD;
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        Memory { vectors: Cache::builder().max_capacity(bytes).weigher(weigh).build() }
    }

    /// The bytes that are kept now, about.
    pub fn bytes(&self) -> u64 {
        self.vectors.run_pending_tasks();
        self.vectors.weighted_size()
    }
}

impl Default for Memory {
    fn default() -> Memory {
        Memory::new(Memory::DEFAULT_BYTES)
    }
}

impl VectorCache for Memory {
    fn tier(&self) -> &'static str {
        "memory"
    }

    fn get(&self, origin: Origin<'_>, texts: &[&str]) -> Vec<Option<Vector>> {
        texts.iter().map(|text| self.vectors.get(&key(origin, text))).collect()
    }

    fn put(&self, origin: Origin<'_>, texts: &[&str], vectors: &[Vector]) {
        for (text, vector) in texts.iter().zip(vectors) {
            self.vectors.insert(key(origin, text), vector.clone());
        }
    }
}

/// No text and no fingerprint has a NUL in it, so no two of them give the same key.
fn key(origin: Origin<'_>, text: &str) -> String {
    format!("{}\0{text}", origin.fingerprint)
}
