//! `foreshock evaluate`: how good matching and linking are, against labels.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use analysis::{NoProgress, Settings};
use anyhow::{Context, Result, bail};
use csv::StringRecord;
use domain::{Dictionary, Side, key, normalise};
use embed::Embedder;
use linking::{Evaluation, Labelled, Measures, Point, Share, Thresholds, Verdict};
use parse::{Limits, Opened};
use serde::Serialize;

use crate::cli::{EvaluateArgs, Exit};
use crate::model;
use crate::show::{Paint, printable};

/// Confusions that are shown.
const CONFUSIONS: usize = 10;

/// `foreshock evaluate`.
pub fn run(arguments: &EvaluateArgs) -> Result<Exit> {
    let dictionary = parse::dictionary::read(&arguments.dictionary.dictionary)?;
    let model = model::open(&arguments.model)?;
    let thresholds = arguments.thresholds.of(model.model());
    let report = Report {
        thresholds,
        messages: match &arguments.messages {
            Some(path) => Some(messages(path, &dictionary, &model, thresholds)?),
            None => None,
        },
        incident: match &arguments.expected {
            Some(path) => Some(incident(path, arguments, &dictionary, &model, thresholds)?),
            None => None,
        },
    };
    model::tell_trouble(&model);
    let mut out = BufWriter::new(io::stdout().lock());
    if arguments.json {
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        show(&report, &mut out)?;
    }
    out.flush()?;
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct Report {
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

/// What tells a row of results from another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct LinkKey {
    anomaly_id: u64,
    problem_id: u64,
    problem_file: String,
    problem_line: u64,
}

// ── labelled messages ───────────────────────────────────────────────────────────────────────────

fn messages(
    path: &Path,
    dictionary: &Dictionary,
    embedder: &dyn Embedder,
    thresholds: Thresholds,
) -> Result<Judged> {
    let matcher = analysis::prepare(dictionary, embedder, thresholds, &NoProgress)?;
    let table = Table::read(path)?;
    let labels: Vec<Label> =
        table.rows.iter().map(|row| Label::read(&table, row, dictionary)).collect::<Result<_>>()?;
    let forms: Vec<String> = labels.iter().map(|label| normalise(&label.message)).collect();
    let texts: Vec<&str> =
        forms.iter().map(String::as_str).filter(|form| !form.is_empty()).collect();
    let mut vectors = embedder.embed(&texts, &|_| ())?.into_iter();
    let (mut judged, mut confusions) = (Vec::new(), Vec::new());
    for (label, form) in labels.into_iter().zip(&forms) {
        let vector = if form.is_empty() { None } else { vectors.next() };
        let verdict = matcher.judge(label.side, &label.message, vector.as_deref());
        let (labelled, confusion) = compare(label, verdict, dictionary);
        judged.push(labelled);
        confusions.extend(confusion);
    }
    confusions.sort_by(|one: &Confusion, other| other.score.total_cmp(&one.score));
    confusions.truncate(CONFUSIONS);
    Ok(Judged { evaluation: Evaluation::new(&judged), confusions })
}

/// A message with what its label says.
struct Label {
    message: String,
    side: Side,
    kind: String,
    difficulty: String,
    target: Option<String>,
}

impl Label {
    fn read(table: &Table, row: &StringRecord, dictionary: &Dictionary) -> Result<Label> {
        let field = |column| table.field(row, column);
        let kind = field("kind").unwrap_or_default();
        let level = field("level").unwrap_or_default().to_ascii_uppercase();
        let side = match (level.as_str(), kind) {
            ("ERROR", _) | ("", "problem") => Side::Problem,
            ("WARNING" | "WARN", _) | ("", "anomaly") => Side::Anomaly,
            _ => bail!("{}: the level must be WARNING or ERROR", table.place(row)),
        };
        let target = field("target_text").unwrap_or_default();
        if !target.is_empty() && dictionary.exact(side, target).is_none() {
            bail!("{}: no {} {target:?} in the dictionary", table.place(row), side.as_str());
        }
        let message = field("message").filter(|message| !message.is_empty());
        Ok(Label {
            message: message.with_context(|| format!("{}: no message", table.place(row)))?.into(),
            side,
            kind: kind.to_owned(),
            difficulty: field("difficulty").unwrap_or_default().to_owned(),
            target: Some(target.to_owned()).filter(|target| !target.is_empty()),
        })
    }
}

fn compare(
    label: Label,
    verdict: Verdict,
    dictionary: &Dictionary,
) -> (Labelled, Option<Confusion>) {
    let nearest = match verdict {
        Verdict::Matched(found) | Verdict::TooFar(found) => Some(found),
        Verdict::NoMeaning => None,
    };
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

// ── labelled incidents ──────────────────────────────────────────────────────────────────────────

fn incident(
    path: &Path,
    arguments: &EvaluateArgs,
    dictionary: &Dictionary,
    embedder: &dyn Embedder,
    thresholds: Thresholds,
) -> Result<Incident> {
    let table = Table::read(path)?;
    let expected: BTreeSet<LinkKey> =
        table.rows.iter().map(|row| LinkKey::read(&table, row)).collect::<Result<_>>()?;
    let settings = Settings {
        thresholds,
        window: arguments.window.0,
        zone: arguments.log_tz.0.clone(),
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

impl LinkKey {
    fn read(table: &Table, row: &StringRecord) -> Result<LinkKey> {
        let field = |names: [&str; 2]| {
            let found = names.iter().find_map(|name| table.field(row, name));
            found.with_context(|| format!("{}: no column {}", table.place(row), names[0]))
        };
        let number = |names: [&str; 2]| -> Result<u64> {
            let found = field(names)?;
            found.parse().with_context(|| format!("{}: {}: {found:?}", table.place(row), names[0]))
        };
        Ok(LinkKey {
            anomaly_id: number(["anomaly_id", "anomaly_id"])?,
            problem_id: number(["problem_id", "problem_id"])?,
            problem_file: field(["problem_file", "file_name"])?.to_owned(),
            problem_line: number(["problem_line", "line_number"])?,
        })
    }
}

/// A comma separated file with a header.
struct Table {
    name: String,
    header: StringRecord,
    rows: Vec<StringRecord>,
}

impl Table {
    fn read(path: &Path) -> Result<Table> {
        let name = path.display().to_string();
        let bytes = fs::read(path).with_context(|| name.clone())?;
        let text = parse::decode(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes)).0;
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
        let header = reader.headers().with_context(|| name.clone())?.clone();
        let rows: Vec<StringRecord> =
            reader.records().collect::<Result<_, _>>().with_context(|| name.clone())?;
        if rows.is_empty() {
            bail!("{name}: has no rows");
        }
        Ok(Table { name, header, rows })
    }

    fn field<'r>(&self, row: &'r StringRecord, column: &str) -> Option<&'r str> {
        let place = self.header.iter().position(|name| name.trim() == column)?;
        row.get(place).map(str::trim)
    }

    fn place(&self, row: &StringRecord) -> String {
        format!("{}: row {}", self.name, row.position().map_or(0, csv::Position::line))
    }
}

// ── showing ─────────────────────────────────────────────────────────────────────────────────────

fn show(report: &Report, out: &mut impl Write) -> io::Result<()> {
    if let Some(judged) = &report.messages {
        show_messages(judged, report.thresholds, out)?;
    }
    if let Some(incident) = &report.incident {
        let Incident { expected, found, right, .. } = incident;
        writeln!(out, "\nincident: {right} of {expected} expected rows found, of {found} in all")?;
        for (what, keys) in [("missed", &incident.missed), ("invented", &incident.invented)] {
            for key in keys {
                writeln!(
                    out,
                    "  {what}: anomaly {} → problem {} at {}:{}",
                    key.anomaly_id,
                    key.problem_id,
                    printable(&key.problem_file),
                    key.problem_line
                )?;
            }
        }
    }
    Ok(())
}

fn show_messages(judged: &Judged, thresholds: Thresholds, out: &mut impl Write) -> io::Result<()> {
    let paint = Paint::for_stdout();
    let evaluation = &judged.evaluation;
    writeln!(out, "messages, at the threshold {} (95 % intervals)\n", thresholds.reference)?;
    let heading = format!(
        "{:<12} {:>5}  {:<17} {:<17} {:<17} {:<17} {:<17}",
        "", "n", "precision", "recall", "F1", "right one first", "decoys matched"
    );
    writeln!(out, "{}", paint.bold(heading.trim_end()))?;
    show_measures("all", &evaluation.all, out)?;
    for group in [&evaluation.by_kind, &evaluation.by_difficulty] {
        for (name, measures) in group {
            show_measures(name, measures, out)?;
        }
    }
    writeln!(
        out,
        "\n{}",
        paint.bold("score of the nearest text, and how often it is the right one")
    )?;
    for bin in &evaluation.calibration {
        let share = bin.right as f64 / bin.messages as f64;
        let bar = "█".repeat((share * 40.0).round() as usize);
        writeln!(
            out,
            "  {:>4.1}  {:>5} of {:<5} {share:.2} {bar}",
            bin.from, bin.right, bin.messages
        )?;
    }
    writeln!(out, "\n{}", paint.bold("threshold  precision  recall    F1  decoys matched"))?;
    for point in &evaluation.curve {
        show_point(point, out)?;
    }
    if let Some(best) = &evaluation.best {
        writeln!(out, "best F1:")?;
        show_point(best, out)?;
    }
    if !judged.confusions.is_empty() {
        writeln!(out, "\n{}", paint.bold("worst confusions"))?;
    }
    for confusion in &judged.confusions {
        let target = match &confusion.target {
            Some(target) => format!("is {target:?}"),
            None => "is nothing the dictionary says".to_owned(),
        };
        writeln!(out, "  {}", printable(&confusion.message))?;
        writeln!(out, "    {:.3} {:?}, {target}", confusion.score, confusion.taken_for)?;
    }
    Ok(())
}

fn show_measures(name: &str, measures: &Measures, out: &mut impl Write) -> io::Result<()> {
    let share = |share: Option<Share>| match share {
        Some(Share { value, interval: [low, high] }) => format!("{value:.2} ({low:.2}–{high:.2})"),
        None => "–".to_owned(),
    };
    let line = format!(
        "{name:<12} {:>5}  {:<17} {:<17} {:<17} {:<17} {:<17}",
        measures.messages,
        share(measures.precision),
        share(measures.recall),
        share(measures.f1),
        share(measures.top1),
        share(measures.decoys_matched)
    );
    writeln!(out, "{}", line.trim_end())
}

fn show_point(point: &Point, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "{:>9.2}  {:>9.2}  {:>6.2}  {:>4.2}  {:>14.2}",
        point.threshold, point.precision, point.recall, point.f1, point.decoys_matched
    )
}
