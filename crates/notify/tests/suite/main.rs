//! The notifier against servers that behave badly, one that no one here wrote, and crashes.

mod badly_behaved;
mod emulator;
mod harness;
mod secrets;
mod sending;
mod storm;
mod webhooks;
