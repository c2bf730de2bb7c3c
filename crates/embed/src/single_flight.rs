//! What several threads ask for at once is done once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use domain::Vector;

use crate::{EmbedError, Embedder};

/// An embedder whose texts in work are waited for by whoever else wants them.
///
/// It belongs in front of the caches: what is no longer in work is in the cache by then.
///
/// A call first does the texts that no other call has in work, all of them in one go, and only then
/// waits for the others: so every call ends what others wait for before it waits itself, and no two
/// wait for each other. When the other call fails, this one does its texts itself.
pub struct SingleFlight<E> {
    model: E,
    flights: Mutex<Flights>,
}

/// The call that each text in work belongs to.
type Flights = HashMap<Box<str>, Arc<Flight>>;

/// One call's texts in work: set once, to its vectors or, when it failed, to nothing.
#[derive(Default)]
struct Flight(OnceLock<HashMap<Box<str>, Vector>>);

impl<E: Embedder> SingleFlight<E> {
    /// Puts this in front of `model`.
    pub fn new(model: E) -> SingleFlight<E> {
        SingleFlight { model, flights: Mutex::default() }
    }

    fn flights(&self) -> MutexGuard<'_, Flights> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Parts texts into those that nobody has in work, which are now ours, and those of others.
    fn board<'t>(&self, texts: &[&'t str]) -> (Own<'_, 't, E>, Vec<(&'t str, Arc<Flight>)>) {
        let mut own = Own { desk: self, flight: Arc::default(), texts: Vec::new() };
        let mut others = Vec::new();
        let mut flights = self.flights();
        for text in texts {
            if let Some(flight) = flights.get(*text) {
                others.push((*text, Arc::clone(flight)));
            } else {
                flights.insert((*text).into(), Arc::clone(&own.flight));
                own.texts.push(text);
            }
        }
        (own, others)
    }
}

/// The texts that this call has in work; whatever becomes of it, nobody waits for them in vain.
struct Own<'s, 't, E: Embedder> {
    desk: &'s SingleFlight<E>,
    flight: Arc<Flight>,
    texts: Vec<&'t str>,
}

impl<'t, E: Embedder> Own<'_, 't, E> {
    fn embed(
        &self,
        found: &mut HashMap<&'t str, Vector>,
        progress: &(dyn Fn(usize) + Sync),
    ) -> Result<(), EmbedError> {
        if self.texts.is_empty() {
            return Ok(());
        }
        let vectors = self.desk.model.embed(&self.texts, progress)?;
        found.extend(self.texts.iter().copied().zip(vectors.iter().cloned()));
        let texts = self.texts.iter().map(|text| Box::from(*text));
        let _ = self.flight.0.set(texts.zip(vectors).collect());
        Ok(())
    }
}

impl<E: Embedder> Drop for Own<'_, '_, E> {
    fn drop(&mut self) {
        // Nothing, unless there are vectors already.
        let _ = self.flight.0.set(HashMap::new());
        let mut flights = self.desk.flights();
        for text in &self.texts {
            flights.remove(*text);
        }
    }
}

impl<E: Embedder> Embedder for SingleFlight<E> {
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
        let mut found: HashMap<&str, Vector> = HashMap::with_capacity(texts.len());
        let (own, others) = self.board(texts);
        own.embed(&mut found, progress)?;
        drop(own);
        let mut failed = Vec::new();
        for (text, flight) in others {
            match flight.0.wait().get(text) {
                Some(vector) => {
                    found.insert(text, vector.clone());
                    progress(1);
                }
                None => failed.push(text),
            }
        }
        if !failed.is_empty() {
            // At once and not one after another: where all fail, each waits for one failure only.
            let vectors = self.model.embed(&failed, progress)?;
            found.extend(failed.iter().copied().zip(vectors));
        }
        Ok(texts.iter().filter_map(|text| found.get(text).cloned()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::thread;
    use std::time::Duration;

    use crate::{Cached, Memory};

    /// Takes its time to embed a text as its number, and counts.
    #[derive(Default)]
    struct Slow {
        embedded: AtomicUsize,
        fails_once: AtomicBool,
        panics_once: AtomicBool,
    }

    impl Embedder for Slow {
        fn model(&self) -> &str {
            "slow"
        }

        fn fingerprint(&self) -> Result<&str, EmbedError> {
            Ok("slow@1")
        }

        fn embed(
            &self,
            texts: &[&str],
            progress: &(dyn Fn(usize) + Sync),
        ) -> Result<Vec<Vector>, EmbedError> {
            thread::sleep(Duration::from_millis(50));
            if self.fails_once.swap(false, Ordering::Relaxed) {
                let (service, address) = ("test", String::new());
                return Err(EmbedError::Unavailable { service, address, reason: String::new() });
            }
            assert!(!self.panics_once.swap(false, Ordering::Relaxed), "as told");
            self.embedded.fetch_add(texts.len(), Ordering::Relaxed);
            progress(texts.len());
            Ok(texts.iter().map(|text| Vector::from([text.parse().unwrap()])).collect())
        }
    }

    type Chain = SingleFlight<Cached<Memory, Arc<Slow>>>;

    fn chain(slow: Slow) -> (Arc<Slow>, Chain) {
        let slow = Arc::new(slow);
        let cached = Cached::new(Memory::default(), Arc::clone(&slow));
        (slow, SingleFlight::new(cached))
    }

    /// What each of 8 threads gets for texts of its own choice, all at once: the sum of its vectors
    /// and its progress, or nothing where it failed or panicked.
    fn all_at_once(chain: &Chain, texts_of: fn(usize) -> Vec<usize>) -> Vec<Option<usize>> {
        let start = Barrier::new(8);
        let one = |thread: usize| {
            let numbers = texts_of(thread);
            let texts: Vec<String> = numbers.iter().map(usize::to_string).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let told = AtomicUsize::new(0);
            start.wait();
            let vectors = chain.embed(&texts, &|count| {
                told.fetch_add(count, Ordering::Relaxed);
            });
            let found: Vec<usize> = vectors.ok()?.iter().map(|vector| vector[0] as usize).collect();
            assert_eq!(found, numbers);
            assert_eq!(told.into_inner(), numbers.len());
            Some(found.len())
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|number| scope.spawn(move || one(number))).collect();
            threads.into_iter().map(|thread| thread.join().ok().flatten()).collect()
        })
    }

    #[test]
    fn overlapping_batches_of_many_threads_embed_each_text_once() {
        for _ in 0..20 {
            let (slow, chain) = chain(Slow::default());
            let found = all_at_once(&chain, |thread| (thread * 10..thread * 10 + 40).collect());
            assert_eq!(found, [Some(40); 8]);
            assert_eq!(slow.embedded.load(Ordering::Relaxed), 110);
            assert!(chain.flights().is_empty());
        }
    }

    #[test]
    fn two_that_want_the_same_texts_in_another_order_do_not_wait_for_each_other() {
        let (slow, chain) = chain(Slow::default());
        let found = all_at_once(&chain, |thread| match thread % 2 {
            0 => (0..100).collect(),
            _ => (0..100).rev().collect(),
        });
        assert_eq!(found, [Some(100); 8]);
        assert_eq!(slow.embedded.load(Ordering::Relaxed), 100);
    }

    #[test]
    fn those_who_waited_for_one_that_failed_do_the_work_themselves() {
        let (slow, chain) = chain(Slow { fails_once: true.into(), ..Slow::default() });
        let found = all_at_once(&chain, |_| (0..10).collect());
        assert_eq!(found.iter().filter(|found| found.is_none()).count(), 1);
        assert!(slow.embedded.load(Ordering::Relaxed) >= 10);
    }

    #[test]
    fn nobody_waits_in_vain_for_one_that_panicked() {
        let (slow, chain) = chain(Slow { panics_once: true.into(), ..Slow::default() });
        let found = all_at_once(&chain, |_| (0..10).collect());
        assert_eq!(found.iter().filter(|found| found.is_none()).count(), 1);
        assert!(slow.embedded.load(Ordering::Relaxed) >= 10);
        assert!(chain.flights().is_empty());
    }

    #[test]
    fn a_text_that_stands_twice_in_a_batch_is_embedded_once() {
        let (slow, chain) = chain(Slow::default());
        assert_eq!(all_at_once(&chain, |_| vec![1, 2, 1]), [Some(3); 8]);
        assert_eq!(slow.embedded.load(Ordering::Relaxed), 2);
    }
}
