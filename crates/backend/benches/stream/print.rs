//! How figures are printed.

use std::time::{Duration, Instant};

/// How often peers are measured, in turn.
pub const ROUNDS: usize = 5;

pub fn heading(text: &str) {
    println!("\n{text}");
}

/// How long work takes.
pub fn time<T>(work: impl FnOnce() -> T) -> Duration {
    let started = Instant::now();
    let result = work();
    let took = started.elapsed();
    drop(result);
    took
}

/// A line of what was done in these times.
pub fn row(name: &str, times: &[Duration], count: usize, bytes: usize, what: &str) {
    let seconds = median(times.iter().map(Duration::as_secs_f64));
    println!(
        "  {name:<28} {:>9.0} {what}/s  {:>5.0} MB/s  {seconds:>6.2} s",
        count as f64 / seconds,
        bytes as f64 / seconds / 1e6,
    );
}

/// How fast `ours` is in terms of `theirs`, round by round.
pub fn ratio(ours: &[Duration], theirs: &[Duration]) {
    let ratio = |(ours, theirs): (&Duration, &Duration)| theirs.as_secs_f64() / ours.as_secs_f64();
    let ratios = sorted(ours.iter().zip(theirs).map(ratio));
    println!(
        "  {:.2} × the speed of the bare one (from {:.2} to {:.2})",
        quantile(&ratios, 0.5),
        ratios[0],
        ratios[ratios.len() - 1]
    );
}

pub fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    quantile(&sorted(values), 0.5)
}

/// The value that `share` of the sorted values do not exceed.
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}
