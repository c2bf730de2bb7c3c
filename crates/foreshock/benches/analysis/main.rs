//! `make bench`: what an analysis costs, each figure beside what it is to be measured by.
//!
//! * reading, parsing, matching and linking beside a bare scan of the same bytes;
//! * resident memory over ten times the lines;
//! * a dense incident, whose time must grow with its links and not with errors × warnings;
//! * texts a second beside Python's onnxruntime and sentence-transformers, where installed.
//!
//! Everything is generated on the spot, by a fixed seed, under the target folder.

#[path = "../common/mod.rs"]
mod common;

use std::fs::{self, File};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use analysis::{NoProgress, Settings};
use embed::{Cached, Embedder, OnnxModel, Store};
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use linking::Profile;
use memchr::{memchr, memchr_iter};
use parse::{Limits, Opened};
use rayon::prelude::*;
use testing::made_up::messages;

use common::{cache, dictionary, generate, heading, median, stamp, time};

const ROUNDS: usize = 9;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(place) = arguments.iter().position(|argument| argument == "--child") {
        return child(&arguments[place + 1..]);
    }
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bench");
    fs::create_dir_all(&folder).unwrap();
    println!("{} cores; medians of {ROUNDS} rounds, run in turn", rayon::current_num_threads());
    beside_a_bare_scan(&folder);
    memory(&folder);
    dense(&folder);
    embedder(&folder);
    let _ = fs::remove_dir_all(&folder);
}

// ── reading, parsing, matching, linking ─────────────────────────────────────────────────────────

fn beside_a_bare_scan(folder: &Path) {
    heading("reading + parsing + matching + linking, vectors at hand, beside a bare scan");
    let logs = generate(folder, 5_000_000);
    let dictionary = dictionary();
    let model = model();
    let bytes: u64 = logs.iter().map(|path| path.metadata().unwrap().len()).sum();
    let analyse = || {
        let opened = Opened::new(&logs, Limits::default());
        analysis::analyze(opened, &dictionary, &model, &settings(86_400), &NoProgress).unwrap()
    };
    let warm = analyse();
    let total = &warm.header.total;
    let (lines, hits) = (total.lines, total.errors + total.warnings);
    for scan in [bare_scan(&logs, behind_the_blank), bare_scan(&logs, at_byte_20)] {
        assert_eq!(scan, (lines, hits), "all see the same");
    }
    let (mut ours, mut bare, mut fixed) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(time(analyse));
        bare.push(time(|| bare_scan(&logs, behind_the_blank)));
        fixed.push(time(|| bare_scan(&logs, at_byte_20)));
    }
    row("analysis", &ours, lines, bytes);
    row("bare scan, level behind the first blank", &bare, lines, bytes);
    row("bare scan, level at byte 20", &fixed, lines, bytes);
    ratio("beside the first", &ours, &bare);
    ratio("beside the second, which knows the timestamps' length", &ours, &fixed);
    println!(
        "  {hits} ERROR and WARNING events, {} matched, {} links",
        warm.header.matched_anomalies + warm.header.matched_problems,
        warm.header.link_count
    );
}

/// Prints how fast `ours` is in terms of `theirs`, round by round.
fn ratio(name: &str, ours: &[Duration], theirs: &[Duration]) {
    let each =
        ours.iter().zip(theirs).map(|(ours, theirs)| theirs.as_secs_f64() / ours.as_secs_f64());
    let mut ratios: Vec<f64> = each.collect();
    ratios.sort_by(f64::total_cmp);
    println!(
        "  {:.2} × the speed {name} (from {:.2} to {:.2})",
        ratios[ROUNDS / 2],
        ratios[0],
        ratios[ROUNDS - 1]
    );
}

fn row(name: &str, times: &[Duration], lines: u64, bytes: u64) {
    let seconds = median(times).as_secs_f64();
    println!(
        "  {name:<40} {:>6.1} million lines/s  {:>6.0} MB/s  {:>6.3} s",
        lines as f64 / seconds / 1e6,
        bytes as f64 / seconds / 1e6,
        seconds
    );
}

/// Splits at newlines and looks for the level, nothing else: on the same cores, with the same
/// blocks. Returns lines, and lines of the levels that matter.
fn bare_scan(logs: &[PathBuf], matters: impl Fn(&[u8]) -> bool + Sync) -> (u64, u64) {
    const PART: u64 = 16 << 20;
    let (lines, hits) = (AtomicU64::new(0), AtomicU64::new(0));
    let parts: Vec<(&PathBuf, u64)> = logs
        .iter()
        .flat_map(|path| {
            let length = path.metadata().unwrap().len();
            (0..length).step_by(PART as usize).map(move |start| (path, start))
        })
        .collect();
    parts.par_iter().for_each(|(path, start)| {
        let mut file = File::open(path).unwrap();
        file.seek(SeekFrom::Start(*start)).unwrap();
        let mut file = file.take(PART);
        let mut buffer = vec![0; 256 << 10];
        let (mut part_lines, mut part_hits, mut carried) = (0, 0, 0);
        loop {
            let count = file.read(&mut buffer[carried..]).unwrap();
            if count == 0 {
                break;
            }
            let block = &buffer[..carried + count];
            let mut line = 0;
            for newline in memchr_iter(b'\n', block) {
                part_lines += 1;
                part_hits += u64::from(matters(&block[line..newline]));
                line = newline + 1;
            }
            carried = block.len() - line;
            buffer.copy_within(line..line + carried, 0);
        }
        lines.fetch_add(part_lines, Ordering::Relaxed);
        // The line that the next part begins within, which has lost its level there.
        part_hits += u64::from(matters(&buffer[..carried]));
        hits.fetch_add(part_hits, Ordering::Relaxed);
    });
    (lines.into_inner(), hits.into_inner())
}

/// Whether the word behind the first blank is a level that matters.
#[inline]
fn behind_the_blank(line: &[u8]) -> bool {
    let Some(blank) = memchr(b' ', line) else { return false };
    let word = &line[blank + 1..];
    word.starts_with(b"ERROR ") || word.starts_with(b"WARNING ")
}

/// The same where every timestamp is known to have 19 characters.
#[inline]
fn at_byte_20(line: &[u8]) -> bool {
    matches!(line.get(20..24), Some(b"ERRO" | b"WARN"))
}

// ── memory ──────────────────────────────────────────────────────────────────────────────────────

fn memory(folder: &Path) {
    heading("resident memory of a whole analysis, peak");
    for lines in [1_000_000, 10_000_000] {
        let logs = generate(folder, lines);
        let output = Command::new(std::env::current_exe().unwrap())
            .arg("--child")
            .args(&logs)
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        println!("  {:>3} million lines: {}", lines / 1_000_000, text(&output.stdout));
    }
}

/// Analyses the files in a process of its own and prints its peak of resident memory.
fn child(logs: &[String]) {
    let dictionary = dictionary();
    let logs: Vec<PathBuf> = logs.iter().map(PathBuf::from).collect();
    let opened = Opened::new(&logs, Limits::default());
    let analysis =
        analysis::analyze(opened, &dictionary, &model(), &settings(86_400), &NoProgress).unwrap();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("unknown");
    let header = &analysis.header;
    let matched = header.matched_anomalies + header.matched_problems;
    println!("{} ({matched} matched events, {} links)", peak.trim(), header.link_count);
}

// ── a dense incident ────────────────────────────────────────────────────────────────────────────

fn dense(folder: &Path) {
    const EACH: u64 = 50_000;
    heading("50,000 errors and 50,000 warnings of the same four problems, one of each a second");
    let dictionary = dictionary();
    let path = folder.join("dense.log");
    let mut out = BufWriter::new(File::create(&path).unwrap());
    let pairs: Vec<_> = (1..=4)
        .map(|id| dictionary.rows().iter().find(|row| row.problem_id == id).unwrap())
        .collect();
    for second in 0..EACH {
        let row = pairs[second as usize % pairs.len()];
        writeln!(out, "{} WARNING a: {}", stamp(second), row.anomaly).unwrap();
        writeln!(out, "{} ERROR b: {}", stamp(second), row.problem).unwrap();
    }
    out.flush().unwrap();
    drop(out);
    let model = model();
    for window in [0, 60, 600, 6_000] {
        let opened = Opened::new(std::slice::from_ref(&path), Limits::default());
        let started = Instant::now();
        let analysis =
            analysis::analyze(opened, &dictionary, &model, &settings(window), &NoProgress).unwrap();
        let told = analysis.linked.links().map(|link| link.lag().as_secs()).filter(|lag| *lag < 0);
        let told = told.count();
        let took = started.elapsed();
        let links = analysis.header.link_count;
        println!(
            "  window {window:>5} s: {links:>11} links in {:>6.3} s, {:>6.1} ns a link ({told} \
             with a negative lag)",
            took.as_secs_f64(),
            took.as_nanos() as f64 / links as f64
        );
    }
    println!("  ({} pairs of an error and a warning)", EACH * EACH);
}

// ── the embedder ────────────────────────────────────────────────────────────────────────────────

/// The same texts through Python; prints texts a second, or why it cannot.
const PEERS: [(&str, &str); 2] = [
    (
        "onnxruntime",
        "import sys, time, numpy, onnxruntime, tokenizers
folder, texts = sys.argv[1], sys.stdin.read().splitlines()
session = onnxruntime.InferenceSession(folder + '/model.onnx')
tokenizer = tokenizers.Tokenizer.from_file(folder + '/tokenizer.json')
tokenizer.enable_padding(); tokenizer.enable_truncation(256)
def run(texts):
    texts = sorted(texts, key=len)
    for at in range(0, len(texts), 32):
        batch = tokenizer.encode_batch(texts[at:at + 32])
        field = lambda name: numpy.array([getattr(item, name) for item in batch], dtype='int64')
        mask = field('attention_mask')
        out = session.run(None, {'input_ids': field('ids'), 'attention_mask': mask,
                                 'token_type_ids': field('type_ids')})[0]
        mean = (out * mask[..., None]).sum(1)
        mean / numpy.linalg.norm(mean, axis=1, keepdims=True)
run(texts[:64])
start = time.perf_counter(); run(texts); print(len(texts) / (time.perf_counter() - start))",
    ),
    (
        "sentence-transformers",
        "import sys, time, os
os.environ['HF_HUB_OFFLINE'] = '1'
texts = sys.stdin.read().splitlines()
from sentence_transformers import SentenceTransformer
model = SentenceTransformer('all-MiniLM-L6-v2', device='cpu')
model.encode(texts[:64])
start = time.perf_counter(); model.encode(texts, batch_size=32)
print(len(texts) / (time.perf_counter() - start))",
    ),
];

fn embedder(folder: &Path) {
    heading("texts a second of the embedder, 2,000 distinct messages of 3 to 15 words");
    let texts = messages(2_000);
    let cache = cache();
    let model = embed::fetch_default(&cache, &|notice| println!("{notice}")).unwrap();
    let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
    let embed = |model: &OnnxModel| time(|| model.embed(&borrowed, &|_| ()).unwrap());
    embed(&model);
    let mut times = [embed(&model), embed(&model), embed(&model)];
    times.sort();
    let ours = texts.len() as f64 / times[1].as_secs_f64();
    println!("  {:<24} {ours:>6.0}", "foreshock (rten)");
    fs::write(folder.join("texts"), texts.join("\n")).unwrap();
    for (name, program) in PEERS {
        let output = Command::new("python3")
            .args(["-c", program])
            .arg(cache.join("models").join(embed::DEFAULT_MODEL))
            .stdin(File::open(folder.join("texts")).unwrap())
            .output();
        let speed: Option<f64> = output.ok().and_then(|output| text(&output.stdout).parse().ok());
        match speed {
            Some(speed) => println!("  {name:<24} {speed:>6.0}  ({:.2} × ours)", speed / ours),
            None => println!("  {name:<24} not installed here"),
        }
    }
}

// ── common ──────────────────────────────────────────────────────────────────────────────────────

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

fn model() -> Cached<Store, OnnxModel> {
    let model = embed::fetch_default(&cache(), &|notice| println!("{notice}")).unwrap();
    Cached::new(Store::open(&cache().join("vectors.db")), model)
}

fn settings(window: i64) -> Settings {
    Settings {
        method: Profile::MINILM.method,
        thresholds: Profile::MINILM.thresholds(Profile::MINILM.method).unwrap(),
        window: SignedDuration::from_secs(window),
        zone: TimeZone::UTC,
        keep_going: false,
    }
}
