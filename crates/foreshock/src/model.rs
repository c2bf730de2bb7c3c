//! The model a command works with, and the command that fetches it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use embed::{Cached, Embedder, OnnxModel, Store};

use crate::cli::{Exit, ModelArgs};

/// The in-process model behind the vectors on disk.
pub type Model = Cached<Store, OnnxModel>;

/// Opens the model that the arguments name, and sets the number of cores.
pub fn open(arguments: &ModelArgs) -> Result<Model> {
    use_cores(arguments)?;
    let cache = cache(arguments)?;
    let model = open_uncached(arguments, &cache)?;
    Ok(Cached::new(Store::open(&cache.join("vectors.db")), model))
}

/// Limits the work to the number of cores asked for.
pub fn use_cores(arguments: &ModelArgs) -> Result<()> {
    let mut pool = rayon::ThreadPoolBuilder::new();
    if let Some(threads) = arguments.threads {
        pool = pool.num_threads(threads.into());
    }
    pool.build_global().context("starting threads")
}

fn cache(arguments: &ModelArgs) -> Result<PathBuf> {
    match &arguments.cache {
        Some(folder) => Ok(folder.clone()),
        None => {
            let folder = dirs::cache_dir().context("no cache folder: give one with --cache")?;
            Ok(folder.join("foreshock"))
        }
    }
}

fn open_uncached(arguments: &ModelArgs, cache: &Path) -> Result<OnnxModel> {
    Ok(match &arguments.model {
        Some(folder) => OnnxModel::open(folder)?,
        None => embed::fetch_default(cache, &|notice| eprintln!("{notice}"))?,
    })
}

/// Says what went wrong with the vectors on disk, if anything.
pub fn tell_trouble(model: &Model) {
    if let Some(trouble) = model.trouble() {
        eprintln!("note: {trouble}");
    }
}

/// `foreshock model`.
pub fn run(arguments: &ModelArgs) -> Result<Exit> {
    let cache = cache(arguments)?;
    let model = open_uncached(arguments, &cache)?;
    // A text that is embedded proves more than files that are there.
    let vectors = model.embed(&["disk failure"], &|_| ())?;
    let dimensions = vectors.first().map_or(0, |vector| vector.len());
    println!("{} works, {dimensions} dimensions", model.fingerprint()?);
    println!("kept in {}", cache.display());
    Ok(Exit::Done)
}
