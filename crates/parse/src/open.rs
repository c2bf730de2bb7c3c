//! Paths → the sources of log lines they hold.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::archive::{Archive, members};
use crate::sniff::{Kind, SNIFF, is_zip, sniff};
use crate::{InputError, Limits, Source, names};

/// The sources that a list of paths holds.
#[derive(Debug, Default)]
pub struct Opened {
    /// The sources, in the order of their names.
    pub sources: Vec<Source>,
    /// What a person should know of files that were passed over or read in an unexpected way.
    pub notices: Vec<String>,
    /// Paths that could not be opened.
    pub errors: Vec<InputError>,
}

impl Opened {
    /// Looks at every path. The result does not depend on their order.
    pub fn new(paths: &[PathBuf], limits: Limits) -> Opened {
        let mut opened = Opened::default();
        let mut found = Vec::new();
        let mut seen = HashSet::new();
        for path in paths {
            if !seen.insert(fs::canonicalize(path).unwrap_or_else(|_| path.clone())) {
                opened.notices.push(format!("{}: given twice, read once", path.display()));
                continue;
            }
            match open(path, limits, &mut opened.notices) {
                Ok(sources) => found.extend(sources),
                Err(error) => opened.errors.push(error),
            }
        }
        unzip_names(&mut found);
        found.sort_by(|one, other| one.1.cmp(&other.1));
        let (sources, paths): (Vec<Source>, Vec<Vec<String>>) = found.into_iter().unzip();
        for (mut source, name) in sources.into_iter().zip(names::shorten(&paths)) {
            source.name = name.into();
            opened.sources.push(source);
        }
        opened.sources.sort_by(|one, other| one.name.cmp(&other.name));
        opened.notices.sort();
        opened.errors.sort_by_key(ToString::to_string);
        opened
    }
}

/// A source, with the path its name is cut from.
pub(crate) type Named = (Source, Vec<String>);

fn open(path: &Path, limits: Limits, notices: &mut Vec<String>) -> Result<Vec<Named>, InputError> {
    let name = path.display().to_string();
    let fail = |error| InputError::reading(&name, false, error);
    let metadata = fs::metadata(path).map_err(fail)?;
    if metadata.is_dir() {
        return Err(InputError::Folder { name });
    }
    let archive = Archive::new(metadata.len(), limits);
    let source = |kind, size, archive| Source {
        name: Arc::from(""),
        size,
        origin: name.clone(),
        path: path.to_owned(),
        kind,
        archive,
    };
    let components = components(path);
    if !metadata.is_file() {
        // A pipe can be read only once, so it is taken for text.
        return Ok(vec![(source(Kind::Plain, 0, archive), components)]);
    }
    if metadata.len() == 0 {
        notices.push(format!("{name}: is empty"));
    }
    let mut head = Vec::new();
    File::open(path).map_err(fail)?.take(SNIFF as u64).read_to_end(&mut head).map_err(fail)?;
    if is_zip(&head) {
        return members(path, &name, archive, notices);
    }
    let kind = sniff(&name, &head)?;
    Ok(vec![(source(kind, metadata.len(), archive), components)])
}

/// The components of a path that can tell it from others.
pub(crate) fn components(path: &Path) -> Vec<String> {
    path.components()
        .filter(|component| !matches!(component, Component::CurDir | Component::RootDir))
        .map(|component| component.as_os_str().to_string_lossy().into_owned())
        .collect()
}

/// Calls `app.log.gz` what it holds, `app.log`, unless that stands beside it.
fn unzip_names(found: &mut [Named]) {
    let beside: HashSet<Vec<String>> = found.iter().map(|(_, path)| path.clone()).collect();
    for (_, path) in found.iter_mut().filter(|(source, _)| matches!(source.kind, Kind::Gzip)) {
        let mut unzipped = path.clone();
        if let Some(name) = unzipped.last_mut()
            && let Some(stem) = name.strip_suffix(".gz").filter(|stem| !stem.is_empty())
        {
            *name = stem.to_owned();
        }
        if !beside.contains(&unzipped) {
            *path = unzipped;
        }
    }
}
