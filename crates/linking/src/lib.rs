//! Events and vectors in, links out: matching, the windowed join, and the linter of dictionaries.
//!
//! Input: events, the vectors of their messages, a dictionary. Output: links with
//! their evidence. Nothing here reads a file, a clock or a model: event time is data.
//!
//! Invariants: the same events give the same links in any order; work grows with events and
//! links, never with errors × warnings; every score is rounded to six decimals before it is
//! compared, so that what a report shows is what was judged.

mod evaluation;
mod link;
mod lint;
mod matching;
mod profile;
mod window;

pub use evaluation::{Evaluation, Labelled, Measures, Point, Share};
pub use link::{Link, Linked, Linker, Place, Rule};
pub use lint::{Check, Finding, Severity, lint};
pub use matching::{
    Change, Explanation, Match, Matched, Matcher, Message, Method, Piece, Rival, Scored, Verdict,
    cosine,
};
pub use profile::{Profile, Thresholds};
pub use window::{Added, Windows};
