//! Both embedders and all caches, against a real Triton and a real Redis.

mod caches;
mod common;
mod embedders;
mod redis_trouble;
mod triton_trouble;
