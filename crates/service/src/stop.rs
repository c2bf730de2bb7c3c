//! The wish that everything ends.

use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How often a sleeping thread looks whether it should end.
const LOOK: Duration = Duration::from_millis(50);

/// The wish that everything ends, shared by all who should hear of it.
#[derive(Clone, Debug, Default)]
pub struct Stop(CancellationToken);

impl Stop {
    /// No wish yet.
    pub fn new() -> Stop {
        Stop::default()
    }

    /// Wishes it.
    pub fn stop(&self) {
        self.0.cancel();
    }

    /// Whether it was wished.
    pub fn is_stopped(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Ends when it is wished.
    pub async fn wait(&self) {
        self.0.cancelled().await;
    }

    /// Sleeps on this thread, and no longer than until it is wished.
    pub fn sleep(&self, time: Duration) {
        let end = Instant::now() + time;
        while !self.is_stopped() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(LOOK));
        }
    }

    /// Wishes it when the system says SIGTERM or SIGINT. The second signal ends the process at
    /// once.
    pub(crate) async fn on_signals(self) -> std::io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        for again in [false, true] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if again {
                tracing::warn!("stopped at once");
                std::process::exit(130);
            }
            tracing::info!("stopping; what is at work is finished first");
            self.stop();
        }
        Ok(())
    }
}
