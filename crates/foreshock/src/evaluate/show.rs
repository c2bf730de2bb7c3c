//! An evaluation as people read it.

use std::io::{self, Write};

use linking::{Measures, Point, Share, Thresholds};

use super::{Incident, Judged, Report};
use crate::show::{Paint, printable};

pub fn show(report: &Report, out: &mut impl Write) -> io::Result<()> {
    if let Some(judged) = &report.messages {
        show_messages(report, judged, out)?;
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

fn show_messages(report: &Report, judged: &Judged, out: &mut impl Write) -> io::Result<()> {
    let paint = Paint::for_stdout();
    let evaluation = &judged.evaluation;
    let Report { matcher, thresholds: Thresholds { reference, .. }, .. } = report;
    writeln!(out, "messages, matcher {matcher}, at the threshold {reference} (95 % intervals)\n")?;
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
