//! What every service of the suite has: logs, metrics, health, and an orderly stop.
//!
//! Input: settings and the checks of a service. Output: `/metrics`, `/health` and `/ready` over
//! HTTP, readable logs on standard error, and a [`Stop`] that the signals of the system set. The
//! work itself is done by plain threads, which look at [`Stop`] between two steps.

pub mod args;
mod health;
mod http;
mod logs;
mod stop;
mod work;

pub use health::{Check, Health, Need, Report, State};
pub use http::{Server, healthcheck};
pub use logs::{LogArgs, LogFormat};
pub use stop::Stop;
pub use work::{Work, run_all};
