//! Who analyses next: a bounded number at once, the others in the order of their coming.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::ApiError;

/// A place among those that are analysed. Dropping it lets the next one in.
pub type Place = OwnedSemaphorePermit;

/// The queue of analyses. Clones are the same queue.
#[derive(Clone)]
pub struct Queue {
    /// Fair: places are given in the order in which they were asked for.
    places: Arc<Semaphore>,
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Default)]
struct Waiting {
    next: u64,
    numbers: BTreeSet<u64>,
}

/// A place in the queue. Dropping it leaves the queue.
pub struct Ticket {
    queue: Queue,
    /// The later, the larger.
    pub number: u64,
}

impl Queue {
    /// A queue to so many places.
    pub fn new(places: usize) -> Queue {
        Queue { places: Arc::new(Semaphore::new(places)), waiting: Arc::default() }
    }

    /// Queues up.
    pub fn enter(&self) -> Ticket {
        let mut waiting = self.lock();
        let number = waiting.next;
        waiting.next += 1;
        waiting.numbers.insert(number);
        Ticket { queue: self.clone(), number }
    }

    /// How many wait before this number.
    pub fn ahead(&self, number: u64) -> usize {
        self.lock().numbers.range(..number).count()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// Waits for a place.
    pub async fn place(self) -> Result<Place, ApiError> {
        let places = Arc::clone(&self.queue.places);
        places.acquire_owned().await.map_err(ApiError::internal)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.queue.lock().numbers.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn those_who_wait_know_how_many_are_before_them() {
        let queue = Queue::new(1);
        let place = queue.enter().place().await.unwrap();
        let (first, second) = (queue.enter(), queue.enter());
        let numbers = (first.number, second.number);
        assert_eq!((queue.ahead(numbers.0), queue.ahead(numbers.1)), (0, 1));
        drop(first);
        assert_eq!(queue.ahead(numbers.1), 0, "who leaves is not waited for");
        drop(place);
        let _place = second.place().await.unwrap();
        assert!(queue.lock().numbers.is_empty());
    }
}
