//! The streaming suite as its users meet it: the real binaries `replay` and `backend` over a real
//! Kafka, a real Redis and a real Triton, started by the project's own scripts.

mod alerts;
mod bad_input;
mod common;
mod history;
mod outages;
mod service;
mod streaming;
