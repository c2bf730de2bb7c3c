//! `foreshock evaluate`: how good matching and linking are, against labels.

mod labels;
mod show;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use analysis::{NoProgress, Settings};
use anyhow::Result;
use domain::{Dictionary, key};
use embed::Embedder;
use linking::{Evaluation, Labelled, Method, Thresholds, Verdict};
use parse::{Limits, Opened};
use serde::Serialize;

use crate::cli::{EvaluateArgs, Exit};
use crate::model;
use crate::show::Screen;
use labels::{Label, LinkKey, Table};

/// Confusions that are shown.
const CONFUSIONS: usize = 10;

/// `foreshock evaluate`.
pub fn run(arguments: &EvaluateArgs) -> Result<Exit> {
    let dictionary = Arc::new(parse::dictionary::read(&arguments.dictionary.dictionary)?);
    let model = model::open(&arguments.model)?;
    let (matcher, thresholds) = arguments.thresholds.of(model.model())?;
    let by = (matcher, thresholds);
    let report = Report {
        matcher,
        thresholds,
        messages: match &arguments.messages {
            Some(path) => Some(messages(path, &dictionary, &model, by)?),
            None => None,
        },
        incident: match &arguments.expected {
            Some(path) => Some(incident(path, arguments, &dictionary, &model, by)?),
            None => None,
        },
    };
    model::tell_trouble(&model);
    let mut out = Screen::new();
    if arguments.json {
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        show::show(&report, &mut out)?;
    }
    out.flush()?;
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct Report {
    matcher: Method,
    thresholds: Thresholds,
    messages: Option<Judged>,
    incident: Option<Incident>,
}

#[derive(Serialize)]
struct Judged {
    #[serde(flatten)]
    evaluation: Evaluation,
    /// What was taken for a wrong text, by falling score.
    confusions: Vec<Confusion>,
}

#[derive(Serialize)]
struct Confusion {
    message: String,
    taken_for: String,
    score: f32,
    /// The right text; `None` for a decoy.
    target: Option<String>,
}

#[derive(Serialize)]
struct Incident {
    expected: usize,
    found: usize,
    right: usize,
    missed: Vec<LinkKey>,
    invented: Vec<LinkKey>,
}

fn messages(
    path: &Path,
    dictionary: &Dictionary,
    embedder: &dyn Embedder,
    (method, thresholds): (Method, Thresholds),
) -> Result<Judged> {
    let matcher = analysis::prepare(dictionary, embedder, method, thresholds, &NoProgress)?;
    let table = Table::read(path)?;
    let labels: Vec<Label> =
        table.rows.iter().map(|row| Label::read(&table, row, dictionary)).collect::<Result<_>>()?;
    let texts = labels.iter().map(|label| (label.component.as_str(), label.message.as_str()));
    let embedded = analysis::embed_messages(texts, embedder, method)?;
    let (mut judged, mut confusions) = (Vec::new(), Vec::new());
    for (label, embedded) in labels.into_iter().zip(embedded) {
        let verdict = matcher.judge(label.side, &label.message, embedded.message());
        let (labelled, confusion) = compare(label, verdict, dictionary);
        judged.push(labelled);
        confusions.extend(confusion);
    }
    confusions.sort_by(|one: &Confusion, other| other.score.total_cmp(&one.score));
    confusions.truncate(CONFUSIONS);
    Ok(Judged { evaluation: Evaluation::new(&judged), confusions })
}

fn compare(
    label: Label,
    verdict: Verdict,
    dictionary: &Dictionary,
) -> (Labelled, Option<Confusion>) {
    let nearest = verdict.nearest();
    let text = nearest.map(|found| &dictionary.text(label.side, found.text).text);
    let target = label.target.as_deref().map(key);
    let nearest_is_target = target.is_some() && text.map(|text| key(text)) == target;
    let accepted = verdict.matched().is_some();
    let confusion = nearest.filter(|_| accepted && !nearest_is_target).map(|found| Confusion {
        message: label.message,
        taken_for: text.cloned().unwrap_or_default(),
        score: found.score,
        target: label.target,
    });
    let labelled = Labelled {
        kind: label.kind,
        difficulty: label.difficulty,
        has_target: target.is_some(),
        nearest_is_target,
        score: nearest.map(|found| found.score),
        exact: nearest.is_some_and(|found| found.exact),
        accepted,
    };
    (labelled, confusion)
}

fn incident(
    path: &Path,
    arguments: &EvaluateArgs,
    dictionary: &Arc<Dictionary>,
    embedder: &dyn Embedder,
    (method, thresholds): (Method, Thresholds),
) -> Result<Incident> {
    let table = Table::read(path)?;
    let expected: BTreeSet<LinkKey> =
        table.rows.iter().map(|row| LinkKey::read(&table, row)).collect::<Result<_>>()?;
    let settings = Settings {
        method,
        thresholds,
        window: arguments.time.window.0,
        zone: arguments.time.log_tz.0.clone(),
        keep_going: false,
    };
    let logs = Opened::new(&arguments.logs, Limits::default());
    let analysis = analysis::analyze(logs, dictionary, embedder, &settings, &NoProgress)?;
    let found: BTreeSet<LinkKey> = analysis
        .linked
        .first_links()
        .map(|link| LinkKey {
            anomaly_id: link.row.anomaly_id,
            problem_id: link.row.problem_id,
            problem_file: link.problem.event.file.to_string(),
            problem_line: link.problem.event.line,
        })
        .collect();
    Ok(Incident {
        expected: expected.len(),
        found: found.len(),
        right: expected.intersection(&found).count(),
        missed: expected.difference(&found).cloned().collect(),
        invented: found.difference(&expected).cloned().collect(),
    })
}
