//! What the tests share.

use std::env;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use domain::Vector;
use embed::{EmbedError, Embedder, OnnxModel, Redis, RedisSettings, Triton, TritonSettings};

/// How long a service may take over what it does by itself.
const PATIENCE: Duration = Duration::from_secs(180);

/// How long an answer may take where it is to come: the machine may be busy with other tests.
const BUSY: Duration = Duration::from_secs(60);

/// The model that Triton serves in tests, fetched when it is not there.
pub fn onnx() -> OnnxModel {
    embed::fetch_default(&cache(), &|notice| eprintln!("{notice}")).unwrap()
}

/// Where `triton/serve_cpu.sh` looks for it too.
pub fn cache() -> PathBuf {
    let variable = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let caches = || {
        let home = || variable("HOME").expect("a home").join(".cache");
        variable("XDG_CACHE_HOME").unwrap_or_else(home)
    };
    variable("FORESHOCK_CACHE").unwrap_or_else(|| caches().join("foreshock"))
}

/// Settings for the Triton of the tests.
pub fn triton_settings(address: &str) -> TritonSettings {
    let mut settings = TritonSettings::new(address, embed::DEFAULT_MODEL);
    settings.dimension = Some(384);
    settings.deadline = BUSY;
    settings
}

/// The Triton that the tests share.
pub fn triton() -> Triton {
    onnx();
    Triton::new(triton_settings(testing::triton())).unwrap()
}

pub fn redis((host, port): (&str, u16)) -> Redis {
    let mut settings = RedisSettings::new(host, port);
    settings.dimension = Some(Hashes::DIMENSION);
    // Waited for in full by the tests in which Redis is silent.
    settings.connect_timeout = Duration::from_secs(5);
    settings.response_timeout = Duration::from_secs(5);
    Redis::new(&settings).unwrap()
}

/// A model with the name that embeds a text as a unit vector that depends on the text alone, and
/// counts.
pub struct Hashes {
    pub name: String,
    pub embedded: AtomicUsize,
}

impl Hashes {
    pub const DIMENSION: usize = 8;

    /// With a name of its own, so that tests with one Redis keep apart.
    pub fn new() -> Hashes {
        Hashes { name: testing::unique("hashes"), embedded: AtomicUsize::new(0) }
    }

    pub fn vector(text: &str) -> Vector {
        let value = |place: usize| {
            let mut hash = DefaultHasher::new();
            (text, place).hash(&mut hash);
            hash.finish() as f32 / u64::MAX as f32 - 0.5
        };
        let values: Vec<f32> = (0..Self::DIMENSION).map(value).collect();
        let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
        values.iter().map(|value| value / length).collect()
    }

    /// How many texts were embedded since this was last asked.
    pub fn take(&self) -> usize {
        self.embedded.swap(0, Ordering::Relaxed)
    }
}

impl Embedder for Hashes {
    fn model(&self) -> &str {
        &self.name
    }

    fn fingerprint(&self) -> Result<&str, EmbedError> {
        Ok("hashes@1")
    }

    fn embed(
        &self,
        texts: &[&str],
        progress: &(dyn Fn(usize) + Sync),
    ) -> Result<Vec<Vector>, EmbedError> {
        self.embedded.fetch_add(texts.len(), Ordering::Relaxed);
        progress(texts.len());
        Ok(texts.iter().map(|text| Hashes::vector(text)).collect())
    }
}

/// Different texts, short and long.
pub fn texts(count: usize) -> Vec<String> {
    let words = ["disk", "timeout", "replica", "heartbeat", "lost", "checksum", "фазу", "电源"];
    let word = |number: usize| words[number % words.len()];
    let text = |number: usize| {
        let words: Vec<&str> = (0..number % 9 + 2).map(|place| word(number * 7 + place)).collect();
        format!("{} {number}", words.join(" "))
    };
    (0..count).map(text).collect()
}

pub fn slices(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

pub fn embed(embedder: &dyn Embedder, texts: &[&str]) -> Vec<Vector> {
    embedder.embed(texts, &|_| ()).unwrap()
}

pub fn cosine(one: &[f32], other: &[f32]) -> f32 {
    assert_eq!(one.len(), other.len());
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}

/// Waits until a service has come so far.
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
        sleep(Duration::from_millis(50));
    }
}
