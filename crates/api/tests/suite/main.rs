//! The API as its clients meet it.

mod analyze;
mod common;
mod dictionary;
mod feed;
mod history;
mod hostile;
mod jobs;
mod results;
mod stream;
