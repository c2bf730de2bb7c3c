//! A model behind the vectors that are kept on disk.

use std::sync::{Mutex, PoisonError};

use domain::Vector;

use crate::{EmbedError, Embedder, Store};

/// Texts that are embedded between two writes: what an interrupted run loses at most.
const CHUNK: usize = 1024;

/// An embedder that asks the disk first and the model for the rest.
pub struct Cached<E> {
    model: E,
    store: Mutex<Store>,
}

impl<E: Embedder> Cached<E> {
    /// Puts `store` in front of `model`.
    pub fn new(model: E, store: Store) -> Cached<E> {
        Cached { model, store: Mutex::new(store) }
    }

    /// What went wrong with the store so far, for a person to read.
    pub fn trouble(&self) -> Option<String> {
        self.with_store(|store| store.trouble().map(str::to_owned))
    }

    fn with_store<T>(&self, work: impl FnOnce(&mut Store) -> T) -> T {
        work(&mut self.store.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<E: Embedder> Embedder for Cached<E> {
    fn model(&self) -> &str {
        self.model.model()
    }

    fn fingerprint(&self) -> &str {
        self.model.fingerprint()
    }

    fn embed(
        &self,
        texts: &[&str],
        progress: &(dyn Fn(usize) + Sync),
    ) -> Result<Vec<Vector>, EmbedError> {
        let model = self.fingerprint();
        let mut vectors = self.with_store(|store| store.get(model, texts));
        let missing: Vec<usize> =
            (0..texts.len()).filter(|index| vectors[*index].is_none()).collect();
        progress(texts.len() - missing.len());
        for chunk in missing.chunks(CHUNK) {
            let new: Vec<&str> = chunk.iter().map(|index| texts[*index]).collect();
            let made = self.model.embed(&new, progress)?;
            self.with_store(|store| store.put(model, new.into_iter().zip(&made)));
            for (index, vector) in chunk.iter().zip(made) {
                vectors[*index] = Some(vector);
            }
        }
        Ok(vectors.into_iter().flatten().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Embeds a text as its length, and counts.
    struct Lengths(AtomicUsize);

    impl Embedder for Lengths {
        fn model(&self) -> &str {
            "lengths"
        }

        fn fingerprint(&self) -> &str {
            "lengths@1"
        }

        fn embed(
            &self,
            texts: &[&str],
            progress: &(dyn Fn(usize) + Sync),
        ) -> Result<Vec<Vector>, EmbedError> {
            self.0.fetch_add(texts.len(), Ordering::Relaxed);
            progress(texts.len());
            Ok(texts.iter().map(|text| Vector::from([text.len() as f32])).collect())
        }
    }

    #[test]
    fn the_second_run_embeds_nothing_and_gives_the_same_in_any_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vectors.db");
        let texts: Vec<String> = (1..3000).map(|length| "x".repeat(length % 300 + 1)).collect();
        let mut texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        texts.sort_unstable();
        texts.dedup();
        for (run, expected) in [(1, texts.len()), (2, 0)] {
            let cached = Cached::new(Lengths(AtomicUsize::new(0)), Store::open(&path));
            let told = AtomicUsize::new(0);
            let count = |count| {
                told.fetch_add(count, Ordering::Relaxed);
            };
            texts.reverse();
            let vectors = cached.embed(&texts, &count).unwrap();
            let lengths: Vec<f32> = vectors.iter().map(|vector| vector[0]).collect();
            assert_eq!(lengths, texts.iter().map(|text| text.len() as f32).collect::<Vec<_>>());
            assert_eq!(cached.model.0.load(Ordering::Relaxed), expected, "run {run}");
            assert_eq!(told.load(Ordering::Relaxed), texts.len(), "progress of run {run}");
        }
    }
}
