//! What the stages have in common: going on after what passes, ending on what does not.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bus::{BusError, Consumer, Outgoing, Producer};
use embed::EmbedError;
use thiserror::Error;

/// The first and the longest pause before a stage begins anew.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(10)];

/// How long a stage that went well counts as well again.
const WELL: Duration = Duration::from_secs(60);

/// How often a wish to stop is looked for while something is waited for.
pub const LOOK: Duration = Duration::from_millis(100);

/// Why a stage cannot go on.
#[derive(Debug, Error)]
pub enum StageError {
    /// The bus refuses.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The model does not work.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// What was received cannot be kept.
    #[error("{0}")]
    Keep(String),
}

impl StageError {
    /// Whether it passes by itself.
    fn is_temporary(&self) -> bool {
        match self {
            StageError::Bus(BusError::Unavailable(_)) => true,
            StageError::Bus(BusError::Refused(_)) => false,
            StageError::Embed(error) => error.is_temporary(),
            StageError::Keep(_) => true,
        }
    }
}

/// Works until `stopped`, anew after everything that passes by itself, with growing pauses.
pub fn keep_working(
    stage: &str,
    stopped: &(dyn Fn() -> bool + Sync),
    mut work: impl FnMut() -> Result<(), StageError>,
) -> Result<(), StageError> {
    let mut pause = PAUSES[0];
    loop {
        let started = Instant::now();
        match work() {
            Ok(()) => return Ok(()),
            Err(error) if !error.is_temporary() => return Err(error),
            Err(_) if stopped() => return Ok(()),
            Err(error) => {
                metrics::counter!("foreshock_stage_restarts_total", "stage" => stage.to_owned())
                    .increment(1);
                if started.elapsed() > WELL {
                    pause = PAUSES[0];
                }
                tracing::warn!(stage, %error, "begins anew in {pause:?}");
                sleep(pause, stopped);
                pause = (pause * 2).min(PAUSES[1]);
            }
        }
    }
}

/// Sleeps, and no longer than until `stopped`.
pub fn sleep(time: Duration, stopped: &(dyn Fn() -> bool + Sync)) {
    let end = Instant::now() + time;
    while !stopped() && Instant::now() < end {
        std::thread::sleep(LOOK.min(end.saturating_duration_since(Instant::now())));
    }
}

/// Sends a record, and waits while the bus is full. Returns `false` when `stopped` before it was
/// accepted.
pub fn send(
    producer: &mut dyn Producer,
    consumer: &mut dyn Consumer,
    record: &Outgoing,
    stopped: &(dyn Fn() -> bool + Sync),
) -> Result<bool, BusError> {
    while !producer.send(record)? {
        if !producer.flush(LOOK)? {
            consumer.hold()?;
            if stopped() {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Milliseconds since 1970.
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as i64)
}
