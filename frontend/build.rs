//! Gathers what browsers load: the files of `static/`, and from npm what is not ours.
//!
//! Output: the folder `OUT_DIR/assets`, flat, which the binary embeds, and `ASSETS_HASH`, the hash
//! of all of it, which stands in every address. npm runs only when its package list changed.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::Hasher;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// What says which packages are wanted.
const LISTS: [&str; 3] = ["package.json", "package-lock.json", ".npmrc"];

/// What is taken from packages.
const FROM_PACKAGES: [&str; 1] = ["plotly.js-basic-dist-min/plotly-basic.min.js"];

/// The folders of our own files.
const OWN: [&str; 2] = ["static", "static/js"];

fn main() -> Result<()> {
    for watched in LISTS.iter().chain(&OWN) {
        println!("cargo::rerun-if-changed={watched}");
    }
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let packages = out.join("npm");
    install(&packages)?;
    let assets = out.join("assets");
    if assets.exists() {
        fs::remove_dir_all(&assets)?;
    }
    fs::create_dir_all(&assets)?;
    for file in FROM_PACKAGES {
        take(&packages.join("node_modules").join(file), &assets)?;
    }
    for folder in OWN {
        for entry in fs::read_dir(folder).with_context(|| folder.to_owned())? {
            let path = entry?.path();
            if path.is_file() {
                take(&path, &assets)?;
            }
        }
    }
    println!("cargo::rustc-env=ASSETS_HASH={}", hash(&assets)?);
    Ok(())
}

/// Installs the packages, unless they are here already as the lists want them.
fn install(into: &Path) -> Result<()> {
    let wanted = LISTS.map(|list| fs::read(list).unwrap_or_default());
    let here = LISTS.map(|list| fs::read(into.join(list)).unwrap_or_default());
    let complete = FROM_PACKAGES.iter().all(|file| into.join("node_modules").join(file).exists());
    if wanted == here && complete {
        return Ok(());
    }
    fs::create_dir_all(into)?;
    for list in LISTS {
        fs::copy(list, into.join(list)).with_context(|| list.to_owned())?;
    }
    let args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
    let ran = Command::new("npm").args(args).current_dir(into).output();
    let output = ran.context(
        "npm cannot be run. It is needed to build the web pages, not to run them: install Node.js \
         (on Debian and Ubuntu: apt-get install npm), then build again",
    )?;
    if !output.status.success() {
        // The next build tries again.
        let _ = fs::remove_file(into.join(LISTS[0]));
        bail!(
            "npm {} failed; is its package registry within reach?\n{}",
            args.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

fn take(file: &Path, into: &Path) -> Result<()> {
    let name = file.file_name().context("a file has a name")?;
    fs::copy(file, into.join(name)).with_context(|| file.display().to_string())?;
    Ok(())
}

/// The hash of all names and contents. One for all, so that a script finds the scripts it imports
/// beside itself.
fn hash(folder: &Path) -> Result<String> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| entry.map(|it| it.path())).collect::<Result<_, _>>()?;
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in files {
        hasher.write(file.file_name().unwrap_or_default().as_encoded_bytes());
        hasher.write(&fs::read(&file)?);
    }
    Ok(format!("{:016x}", hasher.finish()))
}
