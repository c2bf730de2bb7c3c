//! The binary as its users meet it: real files, the real model, the messages they see.

mod analyze;
mod bad_arguments;
mod bad_dictionary;
mod bad_input;
mod common;
mod evaluate;
mod lint_and_match;
mod live;
mod model;
mod reports;
