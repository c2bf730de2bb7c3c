//! The work of a service, on plain threads.

use std::thread;

use anyhow::{Context, Result, anyhow};

use crate::Stop;

/// A part of the work: its name, and what to do until [`Stop`] says so.
pub type Work<'a> = (&'static str, Box<dyn FnOnce() -> Result<()> + Send + 'a>);

/// Does every part on a thread of its own. When one ends, in whatever way, all are to.
///
/// # Errors
/// That of the first part in the list that failed, with its name.
pub fn run_all(stop: &Stop, work: Vec<Work>) -> Result<()> {
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for (name, work) in work {
            let work = move || {
                let _stop_all = StopAtEnd(stop);
                work()
            };
            let thread = thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, work);
            threads.push((name, thread.context("starting threads")?));
        }
        let end = |(name, thread): (&'static str, thread::ScopedJoinHandle<Result<()>>)| {
            let result = thread.join().map_err(|_| anyhow!("it panicked"));
            result.flatten().context(name)
        };
        // All are waited for before any failure is told.
        let ends: Vec<Result<()>> = threads.into_iter().map(end).collect();
        ends.into_iter().collect()
    })
}

/// Ends everything when it is dropped, as it is by a panic too.
struct StopAtEnd<'a>(&'a Stop);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_ends_ends_all_and_its_error_names_it() {
        let stop = Stop::new();
        let waits = || -> Result<()> {
            while !stop.is_stopped() {
                thread::yield_now();
            }
            Ok(())
        };
        let fails = || -> Result<()> { Err(anyhow!("no broker")) };
        let error = run_all(&stop, vec![("link", Box::new(waits)), ("match", Box::new(fails))]);
        assert_eq!(format!("{:#}", error.unwrap_err()), "match: no broker");
    }

    #[test]
    fn one_that_panics_ends_all() {
        let stop = Stop::new();
        let error = run_all(&stop, vec![("match", Box::new(|| panic!("odd")))]);
        assert_eq!(format!("{:#}", error.unwrap_err()), "match: it panicked");
        assert!(stop.is_stopped());
    }
}
