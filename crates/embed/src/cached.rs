//! A cache of vectors, and a model behind one.

use domain::Vector;

use crate::{EmbedError, Embedder, Store, meter};

/// Texts that are embedded between two writes: what an interrupted run loses at most.
const CHUNK: usize = 1024;

/// What made a vector.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The name of the model: [`Embedder::model`].
    pub model: &'a str,
    /// The very model: [`Embedder::fingerprint`]. Vectors of another one are never given.
    pub fingerprint: &'a str,
}

/// A place where vectors are kept. It may lose them, and it never fails: what it cannot give is not
/// there.
pub trait VectorCache: Send + Sync {
    /// What metrics call it.
    fn tier(&self) -> &'static str;

    /// The vectors that are kept for texts, in their order.
    fn get(&self, origin: Origin<'_>, texts: &[&str]) -> Vec<Option<Vector>>;

    /// Keeps the vectors of texts.
    fn put(&self, origin: Origin<'_>, texts: &[&str], vectors: &[Vector]);
}

impl<C: VectorCache + ?Sized> VectorCache for std::sync::Arc<C> {
    fn tier(&self) -> &'static str {
        (**self).tier()
    }

    fn get(&self, origin: Origin<'_>, texts: &[&str]) -> Vec<Option<Vector>> {
        (**self).get(origin, texts)
    }

    fn put(&self, origin: Origin<'_>, texts: &[&str], vectors: &[Vector]) {
        (**self).put(origin, texts, vectors);
    }
}

/// An embedder that asks a cache first and the model for the rest. The model may be a cached one
/// itself: so tiers are put one in front of another, the nearest first.
pub struct Cached<C, E> {
    cache: C,
    model: E,
}

impl<C: VectorCache, E: Embedder> Cached<C, E> {
    /// Puts `cache` in front of `model`.
    pub fn new(cache: C, model: E) -> Cached<C, E> {
        Cached { cache, model }
    }
}

impl<E> Cached<Store, E> {
    /// What went wrong with the vectors on disk so far, for a person to read.
    pub fn trouble(&self) -> Option<String> {
        self.cache.trouble()
    }
}

impl<C: VectorCache, E: Embedder> Embedder for Cached<C, E> {
    fn model(&self) -> &str {
        self.model.model()
    }

    fn fingerprint(&self) -> Result<&str, EmbedError> {
        self.model.fingerprint()
    }

    fn embed(
        &self,
        texts: &[&str],
        progress: &(dyn Fn(usize) + Sync),
    ) -> Result<Vec<Vector>, EmbedError> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let origin = Origin { model: self.model(), fingerprint: self.fingerprint()? };
        let mut vectors = self.cache.get(origin, texts);
        let missing: Vec<usize> =
            (0..texts.len()).filter(|index| vectors[*index].is_none()).collect();
        let hits = texts.len() - missing.len();
        meter::looked_up(self.cache.tier(), hits, missing.len());
        progress(hits);
        for chunk in missing.chunks(CHUNK) {
            let new: Vec<&str> = chunk.iter().map(|index| texts[*index]).collect();
            let made = self.model.embed(&new, progress)?;
            self.cache.put(origin, &new, &made);
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
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use metrics_exporter_prometheus::PrometheusBuilder;

    use crate::Memory;

    /// Embeds a text as its length, and counts.
    #[derive(Default)]
    struct Lengths(AtomicUsize);

    impl Embedder for Lengths {
        fn model(&self) -> &str {
            "lengths"
        }

        fn fingerprint(&self) -> Result<&str, EmbedError> {
            Ok("lengths@1")
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
            let cached = Cached::new(Store::open(&path), Lengths::default());
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

    #[test]
    fn each_tier_is_filled_from_the_one_behind_it_and_counted() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(&folder.path().join("vectors.db")));
        let model = Arc::new(Lengths::default());
        let behind = || Cached::new(Arc::clone(&store), Arc::clone(&model));
        let told = AtomicUsize::new(0);
        let count = |count| {
            told.fetch_add(count, Ordering::Relaxed);
        };
        metrics::with_local_recorder(&recorder, || {
            behind().embed(&["a", "bb"], &count).unwrap();
            let tiers = Cached::new(Memory::default(), behind());
            for _ in 0..2 {
                let vectors = tiers.embed(&["a", "bb", "ccc"], &count).unwrap();
                let lengths: Vec<f32> = vectors.iter().map(|vector| vector[0]).collect();
                assert_eq!(lengths, [1.0, 2.0, 3.0]);
            }
        });
        assert_eq!(told.into_inner(), 8);
        assert_eq!(model.0.load(Ordering::Relaxed), 3);
        let said = recorder.handle().render();
        for line in [
            "foreshock_cache_hits_total{tier=\"memory\"} 3",
            "foreshock_cache_misses_total{tier=\"memory\"} 3",
            "foreshock_cache_hits_total{tier=\"disk\"} 2",
            "foreshock_cache_misses_total{tier=\"disk\"} 3",
        ] {
            assert!(said.contains(line), "no {line} in\n{said}");
        }
    }
}
