//! Keeps callers from waiting for a server that does not answer.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a server that failed is left alone.
const REST: Duration = Duration::from_secs(1);

/// How often trouble is told of at most.
const TELL: Duration = Duration::from_secs(10);

/// After a failure nobody passes. Once the server had its rest, one caller is told to have it
/// tried, and passes as little as the others; they pass again when the trial went well.
#[derive(Default)]
pub struct Breaker {
    state: Mutex<State>,
    told: Mutex<Option<Instant>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum State {
    #[default]
    Well,
    Resting(Instant),
    Tried,
}

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pass {
    Yes,
    No,
    /// No, and the server is to be tried by somebody else.
    Try,
}

impl Breaker {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn pass(&self, now: Instant) -> Pass {
        let mut state = self.state();
        match *state {
            State::Well => Pass::Yes,
            State::Resting(since) if now.duration_since(since) >= REST => {
                *state = State::Tried;
                Pass::Try
            }
            State::Resting(_) | State::Tried => Pass::No,
        }
    }

    pub fn failed(&self, now: Instant) {
        *self.state() = State::Resting(now);
    }

    /// Whether the server was ill before.
    pub fn succeeded(&self) -> bool {
        std::mem::take(&mut *self.state()) != State::Well
    }

    pub fn is_well(&self) -> bool {
        *self.state() == State::Well
    }

    /// Whether this trouble is to be told of.
    pub fn tells(&self, now: Instant) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let tells = told.is_none_or(|told| now.duration_since(told) >= TELL);
        if tells {
            *told = Some(now);
        }
        tells
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_failure_one_caller_a_second_has_the_server_tried_and_none_waits() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
        assert_eq!(breaker.pass(at(0.0)), Pass::Yes);
        breaker.failed(at(0.0));
        assert_eq!(breaker.pass(at(0.9)), Pass::No);
        assert_eq!(breaker.pass(at(1.0)), Pass::Try);
        assert_eq!(breaker.pass(at(5.0)), Pass::No, "the trial is not over");
        breaker.failed(at(5.0));
        assert_eq!(breaker.pass(at(5.5)), Pass::No);
        assert_eq!(breaker.pass(at(6.0)), Pass::Try);
        assert!(breaker.succeeded());
        assert_eq!(breaker.pass(at(6.0)), Pass::Yes);
        assert!(!breaker.succeeded());
    }

    #[test]
    fn trouble_is_told_of_now_and_then() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        let told = |seconds| breaker.tells(start + Duration::from_secs(seconds));
        assert_eq!([0, 1, 9, 10, 19, 20].map(told), [true, false, false, true, false, true]);
    }
}
