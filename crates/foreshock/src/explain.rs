//! `foreshock match`: what messages are taken for, and why.

use std::io::{self, BufRead, IsTerminal, Write};

use analysis::{Embedded, NoProgress};
use anyhow::Result;
use domain::{Dictionary, Level, Side};
use embed::Embedder;
use jiff::tz::TimeZone;
use linking::{Change, Explanation, Matcher, Method, Piece, Verdict};
use parse::plain::parse_line;
use serde::Serialize;

use crate::cli::{Exit, MatchArgs, SideArg};
use crate::model;
use crate::show::{Paint, Screen, printable};

/// Lines of a pipe that are judged together.
const BATCH: usize = 4096;

/// `foreshock match`.
pub fn run(arguments: &MatchArgs) -> Result<Exit> {
    let dictionary = parse::dictionary::read(&arguments.dictionary.dictionary)?;
    let model = model::open(&arguments.model)?;
    let (method, thresholds) = arguments.thresholds.of(model.model())?;
    let matcher = analysis::prepare(&dictionary, &model, method, thresholds, &NoProgress)?;
    let judge = Judge { dictionary: &dictionary, matcher: &matcher, embedder: &model, arguments };
    let mut out = Screen::new();
    if !arguments.messages.is_empty() {
        judge.judge(&arguments.messages, &mut out)?;
    } else {
        let terminal = io::stdin().is_terminal();
        if terminal {
            eprintln!("Type messages or log lines, one a line; Ctrl-D ends.");
        }
        judge.judge_stdin(if terminal { 1 } else { BATCH }, &mut out)?;
    }
    model::tell_trouble(&model);
    Ok(Exit::Done)
}

struct Judge<'a> {
    dictionary: &'a Dictionary,
    matcher: &'a Matcher<'a>,
    embedder: &'a dyn Embedder,
    arguments: &'a MatchArgs,
}

/// A message and the sides it is judged by.
struct Message {
    text: String,
    component: String,
    sides: &'static [Side],
    /// Why it is judged by none.
    unfit: Option<&'static str>,
}

/// What is said of a message, as JSON.
#[derive(Serialize)]
struct Told<'a> {
    message: &'a str,
    component: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    side: Option<Side>,
    matched: bool,
    reason: &'static str,
    text: Option<&'a str>,
    score: Option<f32>,
    runner_up: Option<RunnerUp<'a>>,
    matcher: Method,
    threshold: f32,
    normalised: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    explain: Option<Explanation>,
}

#[derive(Serialize)]
struct RunnerUp<'a> {
    text: &'a str,
    score: f32,
}

impl Judge<'_> {
    fn judge_stdin(&self, batch: usize, out: &mut impl Write) -> Result<()> {
        let mut input = io::stdin().lock();
        loop {
            let mut lines = Vec::new();
            while lines.len() < batch {
                let mut line = Vec::new();
                if io::Read::take(&mut input, parse::MAX_LINE as u64)
                    .read_until(b'\n', &mut line)?
                    == 0
                {
                    break;
                }
                let line = parse::decode(line.trim_ascii()).0.into_owned();
                lines.extend(Some(line).filter(|line| !line.is_empty()));
            }
            if lines.is_empty() {
                return Ok(());
            }
            self.judge(&lines, out)?;
        }
    }

    fn judge(&self, lines: &[String], out: &mut impl Write) -> Result<()> {
        let messages: Vec<Message> = lines.iter().map(|line| self.message(line)).collect();
        let texts = messages.iter().map(|it| (it.component.as_str(), it.text.as_str()));
        let embedded = analysis::embed_messages(texts, self.embedder, self.matcher.method())?;
        for (message, embedded) in messages.iter().zip(&embedded) {
            self.tell(message, embedded, out)?;
        }
        Ok(out.flush()?)
    }

    fn message(&self, line: &str) -> Message {
        let bare = |text: &str| {
            let sides: &[Side] = match self.arguments.side {
                None => &Side::BOTH,
                Some(SideArg::Anomaly) => &[Side::Anomaly],
                Some(SideArg::Problem) => &[Side::Problem],
            };
            let component = self.arguments.component.clone();
            Message { text: text.to_owned(), component, sides, unfit: None }
        };
        let Some(event) = parse_line(line, &TimeZone::UTC) else { return bare(line) };
        let (sides, unfit): (&[Side], _) = match event.level {
            Level::Error => (&[Side::Problem], None),
            Level::Warning => (&[Side::Anomaly], None),
            Level::Other => (&[], Some("its level is neither WARNING nor ERROR")),
        };
        let (text, component) = (event.message.to_owned(), event.component.to_owned());
        Message { text, component, sides, unfit }
    }

    fn tell(&self, message: &Message, embedded: &Embedded, out: &mut impl Write) -> Result<()> {
        let paint = Paint::for_stdout();
        if !self.arguments.json {
            writeln!(out, "{}", paint.bold(&printable(&message.text)))?;
        }
        if let Some(unfit) = message.unfit {
            if self.arguments.json {
                let form = &embedded.form;
                let told = self.told(message, form, None, (Verdict::NoMeaning, "level"), None);
                writeln!(out, "{}", serde_json::to_string(&told)?)?;
            } else {
                writeln!(out, "  no match: {unfit}")?;
            }
        }
        for side in message.sides {
            let verdict = self.matcher.judge(*side, &message.text, embedded.message());
            let explain = || self.matcher.explain(*side, &message.text, embedded.message());
            let explanation = if self.arguments.explain { explain() } else { None };
            if self.arguments.json {
                let said = (verdict, reason(&verdict));
                let told = self.told(message, &embedded.form, Some(*side), said, explanation);
                writeln!(out, "{}", serde_json::to_string(&told)?)?;
            } else {
                self.tell_plainly(*side, &embedded.form, verdict, paint, out)?;
                if let Some(explanation) = explanation {
                    self.tell_why(&explanation, paint, out)?;
                }
            }
        }
        Ok(())
    }

    fn told<'a>(
        &'a self,
        message: &'a Message,
        form: &'a str,
        side: Option<Side>,
        (verdict, reason): (Verdict, &'static str),
        explain: Option<Explanation>,
    ) -> Told<'a> {
        let text = |text| side.map_or("", |side| &self.dictionary.text(side, text).text);
        let nearest = verdict.nearest();
        Told {
            message: &message.text,
            component: &message.component,
            side,
            matched: verdict.matched().is_some(),
            reason,
            text: nearest.map(|found| text(found.text)),
            score: nearest.map(|found| found.score),
            runner_up: nearest
                .and_then(|found| found.runner_up)
                .map(|other| RunnerUp { text: text(other.text), score: other.score }),
            matcher: self.matcher.method(),
            threshold: self.matcher.thresholds().reference,
            normalised: form,
            explain,
        }
    }

    fn tell_plainly(
        &self,
        side: Side,
        form: &str,
        verdict: Verdict,
        paint: Paint,
        out: &mut impl Write,
    ) -> Result<()> {
        let threshold = self.matcher.thresholds().reference;
        let side_name = side.as_str();
        let heading = match verdict {
            Verdict::Matched(found) if found.exact => {
                paint.green(&format!("{side_name}: is this text"))
            }
            Verdict::Matched(_) => {
                paint.green(&format!("{side_name}: nearest text, reaches {threshold}"))
            }
            Verdict::TooFar(_) => format!("{side_name}: no match, nearest text under {threshold}"),
            Verdict::NoMeaning if form.is_empty() => format!(
                "{side_name}: no match: without {} nothing is left, so only an exact text could \
                 match",
                left_out(self.matcher.method())
            ),
            Verdict::NoMeaning => format!("{side_name}: no match: no text here has a meaning"),
        };
        writeln!(out, "  {heading}")?;
        if let Some(found) = verdict.nearest() {
            let text = |text| &self.dictionary.text(side, text).text;
            writeln!(out, "    {:.3}  {}", found.score, text(found.text))?;
            if let Some(other) = found.runner_up {
                let line = format!("{:.3}  {}  (runner-up)", other.score, text(other.text));
                writeln!(out, "    {}", paint.dim(&line))?;
            }
        }
        Ok(())
    }

    /// The pieces as a table, what decides over the runner-up, and what would have to change.
    fn tell_why(
        &self,
        explanation: &Explanation,
        paint: Paint,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let weights = match self.matcher.method() {
            Method::Evidence => "log-odds",
            Method::Cosine => "cosine",
        };
        let Explanation { pieces, base, runner_up, change, .. } = explanation;
        let mut rows = vec![["weight", "evidence", "value", "words"].map(str::to_owned)];
        rows.extend((*base != 0.0).then(|| row(*base, "before any evidence", None, &[])));
        rows.extend(pieces.iter().map(piece));
        writeln!(out, "    why, in {weights}:")?;
        table(&rows, paint, out)?;
        if let Some(rival) = runner_up {
            let text = printable(&rival.text);
            writeln!(out, "    over the runner-up, {:.3}  {text}:", rival.confidence)?;
            let rows: Vec<_> = rival.pieces.iter().map(piece).collect();
            table(&rows, paint, out)?;
        }
        match change {
            Some(change) => writeln!(out, "    {}", would_change(change, weights)),
            None => writeln!(out, "    nothing would change it: the message is the text itself"),
        }
    }
}

fn reason(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Matched(found) if found.exact => "exact",
        Verdict::Matched(_) => "near",
        Verdict::TooFar(_) => "too-far",
        Verdict::NoMeaning => "no-meaning",
    }
}

/// What the model is not given of a message.
fn left_out(method: Method) -> &'static str {
    match method {
        Method::Evidence => "numbers",
        Method::Cosine => "digits, signs and short words",
    }
}

fn piece(piece: &Piece) -> [String; 4] {
    row(piece.weight, in_words(&piece.evidence), Some(piece.value), &piece.words)
}

/// Weight with its sign, evidence, value, words.
fn row(weight: f32, evidence: &str, value: Option<f32>, words: &[String]) -> [String; 4] {
    let value = value.map_or(String::new(), |value| format!("{value:.3}"));
    let sign = if weight < 0.0 { '−' } else { '+' };
    let words = printable(&words.join(" "));
    [format!("{sign}{:.2}", weight.abs()), evidence.to_owned(), value, words]
}

/// A piece of evidence, as people call it.
fn in_words(evidence: &str) -> &str {
    match evidence {
        "cosine" => "cosine of the message and the text",
        "learned" => "likeness, as learned from logs",
        "likelihood" => "how well it fits beside all other texts",
        "margin" => "how far it is ahead of the runner-up",
        "words" => "words they share",
        "event" => "how much the message reads like a fault",
        "paired" => "likeness to what the text is paired with",
        "learned-paired" => "the same, as learned from logs",
        "siblings" => "likeness to texts with the same partners",
        "component" => "likeness of the component to the text",
        "component-paired" => "likeness of the component to its partners",
        "hub" => "how near the text is to anything",
        other => other,
    }
}

/// Writes rows whose first two columns are as wide as they need.
fn table(rows: &[[String; 4]], paint: Paint, out: &mut impl Write) -> io::Result<()> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let [weights, names] = [0, 1].map(|column| width(column).unwrap_or(0));
    for [weight, evidence, value, words] in rows {
        let line = format!("{weight:>weights$}  {evidence:<names$}  {value:>6}  {words}");
        writeln!(out, "      {}", paint.dim(line.trim_end()))?;
    }
    Ok(())
}

/// What would have to change for another verdict.
fn would_change(change: &Change, weights: &str) -> String {
    let Change { threshold, log_odds, evidence, from, to } = change;
    let (state, wish) = match *log_odds < 0.0 {
        true => ("under", "match"),
        false => ("over", "be no match any more"),
    };
    let distance = format!("{:.2} {weights} {state} the threshold {threshold}", log_odds.abs());
    match evidence {
        Some(evidence) => {
            format!(
                "{distance}; to {wish}, {} alone would have to go from {from:.3} to {to:.3}",
                in_words(evidence)
            )
        }
        None => {
            format!("{distance}; to {wish}, more than one piece of evidence would have to change")
        }
    }
}
