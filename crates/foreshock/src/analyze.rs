//! `foreshock analyze`: logs and a dictionary in, links out.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use analysis::{Analysis, Progress, Settings};
use anyhow::{Context, Result};
use embed::Embedder;
use linking::Profile;
use parse::{Limits, Opened};
use tempfile::NamedTempFile;

use crate::cli::{AnalyzeArgs, Exit, Format, Output, Writing};
use crate::progress::Shown;
use crate::show::Screen;
use crate::{model, show};

/// `foreshock analyze`.
pub fn run(arguments: &AnalyzeArgs) -> Result<Exit> {
    let started = Instant::now();
    let dictionary = Arc::new(parse::dictionary::read(&arguments.dictionary.dictionary)?);
    let limits = Limits { unpacked: arguments.max_unpacked, ratio: arguments.max_ratio };
    let logs = Opened::new(&arguments.logs, limits);
    // Before anything takes time: a file that is to be written must have a folder.
    for output in &arguments.output {
        folder(&output.path)?;
        refuse_input(&output.path, arguments)?;
    }
    let model = model::open(&arguments.model)?;
    let (method, thresholds) = arguments.thresholds.of(model.model())?;
    let settings = Settings {
        method,
        thresholds,
        window: arguments.time.window.0,
        zone: arguments.time.log_tz.0.clone(),
        keep_going: arguments.keep_going,
    };
    if Profile::of(model.model()).is_none() && arguments.thresholds.reference_threshold.is_none() {
        eprintln!(
            "note: the thresholds of {} are not known; those of {} are used. Set your own with \
             --reference-threshold",
            model.model(),
            Profile::MINILM.model
        );
    }
    let total = logs.sources.iter().map(|source| source.size).sum();
    let progress = Shown::new(total, arguments.model.quiet);
    let analysis =
        analysis::analyze(logs, &dictionary, &model, &settings, &progress as &dyn Progress);
    progress.finish();
    model::tell_trouble(&model);
    let analysis = analysis?;
    analysis.errors.iter().for_each(|error| eprintln!("warning: {error}"));
    analysis.header.notices.iter().for_each(|notice| eprintln!("note: {notice}"));
    for output in &arguments.output {
        write(output, &analysis)?;
    }
    let mut out = Screen::new();
    if arguments.json {
        report::write_json(&analysis.linked, &analysis.header, &mut out)?;
    } else {
        show::analysis(&analysis, arguments.show, started.elapsed(), &mut out)?;
        for output in &arguments.output {
            writeln!(out, "written: {}", output.path.display())?;
        }
    }
    out.flush()?;
    if analysis.header.total.events() == 0 {
        eprintln!("error: {}", no_events(&analysis));
        return Ok(Exit::NoEvents);
    }
    Ok(Exit::Done)
}

/// Why there is nothing to link, by what the lines looked like.
fn no_events(analysis: &Analysis) -> String {
    let total = &analysis.header.total;
    let why = match total.lines {
        0 if analysis.header.files.is_empty() => "none of the files could be read".to_owned(),
        0 => "the logs are empty".to_owned(),
        _ if total.no_level + total.bad_timestamp > total.no_timestamp => {
            "lines begin with a time, but no level such as ERROR or INFO is behind it".to_owned()
        }
        lines => format!("none of the {lines} lines begins with a time"),
    };
    format!(
        "no event in the logs: {why}. A line looks like \
         `2025-10-06T07:42:23 ERROR database: Index corruption on table`"
    )
}

/// A report must not be written over what it is made of.
fn refuse_input(path: &Path, arguments: &AnalyzeArgs) -> Result<()> {
    let Ok(output) = fs::canonicalize(path) else { return Ok(()) };
    let inputs = arguments.logs.iter().chain([&arguments.dictionary.dictionary]);
    for input in inputs.filter(|input| input.is_file()) {
        if fs::canonicalize(input).is_ok_and(|input| input == output) {
            let error = anyhow::anyhow!("it is an input, {}; name another file", input.display());
            return Err(error).context(Writing(path.display().to_string()));
        }
    }
    Ok(())
}

fn folder(path: &Path) -> Result<&Path> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    if folder.is_dir() {
        return Ok(folder);
    }
    let error = anyhow::anyhow!("there is no folder {}", folder.display());
    Err(error).context(Writing(path.display().to_string()))
}

/// Writes a report beside its place and moves it there when it is whole; what is no regular file,
/// such as /dev/stdout, is written to directly.
fn write(output: &Output, analysis: &Analysis) -> Result<()> {
    let Output { path, format } = output;
    let context = || Writing(path.display().to_string());
    let is_special = path.metadata().is_ok_and(|metadata| !metadata.is_file());
    if is_special {
        let file = File::options().write(true).open(path).with_context(context)?;
        return write_to(&file, *format, analysis).with_context(context);
    }
    // What a link points to is replaced, not the link.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
    let file = temporary_file(folder(&target)?).with_context(context)?;
    write_to(file.as_file(), *format, analysis).with_context(context)?;
    file.persist(&target).with_context(context)?;
    Ok(())
}

/// A temporary file with the permissions of an ordinary one.
fn temporary_file(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".foreshock-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

fn write_to(file: &File, format: Format, analysis: &Analysis) -> Result<()> {
    let Analysis { linked, header, .. } = analysis;
    let mut out = BufWriter::new(file);
    match format {
        Format::Csv => report::write_csv(linked, &mut out)?,
        Format::Xlsx => report::write_xlsx(linked, &mut out)?,
        Format::Json => report::write_json(linked, header, &mut out)?,
    };
    out.flush()?;
    Ok(())
}
