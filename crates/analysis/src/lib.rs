//! Logs and a dictionary in, links out: the stages in their order.
//!
//! ```text
//! files ─ parse ─→ events ─ match ─→ matched events ─ link ─→ links ─ report ─→ CSV, XLSX, JSON
//!                            ↑ vectors of distinct forms of messages ─ embed
//! ```
//!
//! Invariants: an event is kept only when its message matched, so memory grows with what matters
//! and not with the logs; each distinct form of a message is embedded once and judged once, with
//! each component where that takes part; neither
//! the order of files nor the number of threads changes the result.

mod pipeline;
mod reading;
mod recognition;

pub use pipeline::{
    Analysis, AnalysisError, Embedded, NoProgress, Progress, Settings, analyze, embed_messages,
    prepare, vectors,
};
pub use recognition::{Known, Recall, Recognition, Unknown};
