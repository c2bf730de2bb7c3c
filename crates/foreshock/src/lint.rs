//! `foreshock lint`: what is wrong or doubtful in a dictionary.

use std::collections::HashMap;
use std::io::{self, Write};

use analysis::NoProgress;
use anyhow::Result;
use domain::{Dictionary, Side};
use linking::{Finding, Method, Severity};

use crate::cli::{Exit, LintArgs};
use crate::model;
use crate::show::{Paint, Screen, plural, printable};

/// `foreshock lint`.
pub fn run(arguments: &LintArgs) -> Result<Exit> {
    let path = &arguments.dictionary.dictionary;
    let dictionary = parse::dictionary::read(path)?;
    let vectors = if arguments.no_model {
        HashMap::new()
    } else {
        let model = model::open(&arguments.model)?;
        let vectors = analysis::vectors(&dictionary, &model, Method::Cosine, &NoProgress)?;
        model::tell_trouble(&model);
        vectors
    };
    let findings = linking::lint(&dictionary, |text| vectors.get(text).cloned());
    let mut out = Screen::new();
    if arguments.json {
        serde_json::to_writer_pretty(&mut out, &findings)?;
        writeln!(out)?;
    } else {
        show(&dictionary, &findings, &mut out)?;
    }
    out.flush()?;
    let clean = findings.iter().all(|finding| finding.severity == Severity::Note);
    Ok(if clean { Exit::Done } else { Exit::Findings })
}

fn show(dictionary: &Dictionary, findings: &[Finding], out: &mut impl Write) -> io::Result<()> {
    let paint = Paint::for_stdout();
    for finding in findings {
        let severity = match finding.severity {
            Severity::Error => paint.red("error"),
            Severity::Warning => paint.yellow("warning"),
            Severity::Note => paint.bold("note"),
        };
        writeln!(out, "{severity} [{}] {}", finding.check.as_str(), printable(&finding.found))?;
        writeln!(out, "    {}\n", paint.dim(&printable(&finding.consequence)))?;
    }
    let count = |severity| findings.iter().filter(|it| it.severity == severity).count();
    writeln!(
        out,
        "{}, {}, {}: {}, {}, {}",
        plural(dictionary.rows().len(), "row", "rows"),
        plural(dictionary.texts(Side::Anomaly).len(), "anomaly", "anomalies"),
        plural(dictionary.texts(Side::Problem).len(), "problem", "problems"),
        plural(count(Severity::Error), "error", "errors"),
        plural(count(Severity::Warning), "warning", "warnings"),
        plural(count(Severity::Note), "note", "notes")
    )
}
