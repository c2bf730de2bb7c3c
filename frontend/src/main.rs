//! `frontend`: the web pages of the suite.
fn main() {}
