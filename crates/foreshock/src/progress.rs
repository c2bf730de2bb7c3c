//! Progress: bars on a terminal, a plain line now and then elsewhere.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use analysis::Progress;
use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a plain line is written, at most. Short runs write none.
const PLAIN_EVERY: Duration = Duration::from_secs(3);

/// What the bars of a terminal look like.
const READING: &str = "{prefix:>9} {bar:32} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left";
const EMBEDDING: &str = "{prefix:>9} {bar:32} {pos}/{len} texts  {per_sec}  {eta} left";

/// Shows progress on standard error.
pub struct Shown {
    bars: MultiProgress,
    reading: ProgressBar,
    embedding: ProgressBar,
    plain: bool,
    total_bytes: u64,
    read: AtomicU64,
    texts: AtomicU64,
    embedded: AtomicU64,
    last: Mutex<Instant>,
}

impl Shown {
    /// Progress over `total_bytes` of files; none is shown when `quiet`.
    pub fn new(total_bytes: u64, quiet: bool) -> Shown {
        let terminal = std::io::stderr().is_terminal();
        let target = if terminal && !quiet {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bars = MultiProgress::with_draw_target(target);
        let bar = |length, name, template| {
            let style = ProgressStyle::with_template(template);
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            bars.add(ProgressBar::new(length).with_prefix(name).with_style(style))
        };
        Shown {
            reading: bar(total_bytes, "reading", READING),
            embedding: bar(0, "embedding", EMBEDDING),
            bars,
            plain: !terminal && !quiet,
            total_bytes,
            read: AtomicU64::new(0),
            texts: AtomicU64::new(0),
            embedded: AtomicU64::new(0),
            last: Mutex::new(Instant::now()),
        }
    }

    /// Takes the bars away.
    pub fn finish(&self) {
        let _ = self.bars.clear();
    }

    fn tell_plainly(&self) {
        if !self.plain {
            return;
        }
        // Whoever finds the clock taken leaves the telling to its holder.
        let Ok(mut last) = self.last.try_lock() else { return };
        if last.elapsed() < PLAIN_EVERY {
            return;
        }
        *last = Instant::now();
        eprintln!(
            "read {} of {}, embedded {} of {} texts",
            HumanBytes(self.read.load(Ordering::Relaxed)),
            HumanBytes(self.total_bytes),
            self.embedded.load(Ordering::Relaxed),
            self.texts.load(Ordering::Relaxed)
        );
    }
}

impl Progress for Shown {
    fn read(&self, bytes: u64) {
        self.read.fetch_add(bytes, Ordering::Relaxed);
        self.reading.inc(bytes);
        self.tell_plainly();
    }

    fn texts(&self, count: usize) {
        self.texts.fetch_add(count as u64, Ordering::Relaxed);
        self.embedding.inc_length(count as u64);
    }

    fn embedded(&self, count: usize) {
        self.embedded.fetch_add(count as u64, Ordering::Relaxed);
        self.embedding.inc(count as u64);
        self.tell_plainly();
    }
}
