//! The notifier against servers that behave badly, one that no one here wrote, and crashes.

mod emulator;
mod harness;
mod secrets;
mod sending;
mod storm;
mod webhooks;
