//! `foreshock match`: what messages are taken for, and why.

use std::io::{self, BufRead, IsTerminal, Write};

use analysis::NoProgress;
use anyhow::Result;
use domain::{Dictionary, Level, Side, Vector};
use embed::Embedder;
use jiff::tz::TimeZone;
use linking::{Matcher, Verdict};
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
    let thresholds = arguments.thresholds.of(model.model());
    let matcher = analysis::prepare(&dictionary, &model, thresholds, &NoProgress)?;
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
    sides: &'static [Side],
    /// Why it is judged by none.
    unfit: Option<&'static str>,
}

/// What is said of a message, as JSON.
#[derive(Serialize)]
struct Told<'a> {
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    side: Option<Side>,
    matched: bool,
    reason: &'static str,
    text: Option<&'a str>,
    score: Option<f32>,
    runner_up: Option<RunnerUp<'a>>,
    threshold: f32,
    normalised: &'a str,
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
        let texts = messages.iter().map(|message| message.text.as_str());
        let forms = analysis::embed_messages(texts, self.embedder)?;
        for (message, (form, vector)) in messages.iter().zip(forms) {
            self.tell(message, &form, vector, out)?;
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
            Message { text: text.to_owned(), sides, unfit: None }
        };
        let Some(event) = parse_line(line, &TimeZone::UTC) else { return bare(line) };
        let text = event.message.to_owned();
        match event.level {
            Level::Error => Message { text, sides: &[Side::Problem], unfit: None },
            Level::Warning => Message { text, sides: &[Side::Anomaly], unfit: None },
            Level::Other => {
                let unfit = Some("its level is neither WARNING nor ERROR");
                Message { text, sides: &[], unfit }
            }
        }
    }

    fn tell(
        &self,
        message: &Message,
        form: &str,
        vector: Option<Vector>,
        out: &mut impl Write,
    ) -> Result<()> {
        let paint = Paint::for_stdout();
        if !self.arguments.json {
            writeln!(out, "{}", paint.bold(&printable(&message.text)))?;
        }
        if let Some(unfit) = message.unfit {
            if self.arguments.json {
                let told = self.told(message, form, None, Verdict::NoMeaning, "level");
                writeln!(out, "{}", serde_json::to_string(&told)?)?;
            } else {
                writeln!(out, "  no match: {unfit}")?;
            }
        }
        for side in message.sides {
            let verdict = self.matcher.judge(*side, &message.text, vector.as_deref());
            if self.arguments.json {
                let told = self.told(message, form, Some(*side), verdict, reason(&verdict));
                writeln!(out, "{}", serde_json::to_string(&told)?)?;
            } else {
                self.tell_plainly(*side, form, verdict, paint, out)?;
            }
        }
        Ok(())
    }

    fn told<'a>(
        &'a self,
        message: &'a Message,
        form: &'a str,
        side: Option<Side>,
        verdict: Verdict,
        reason: &'static str,
    ) -> Told<'a> {
        let text = |text| side.map_or("", |side| &self.dictionary.text(side, text).text);
        let nearest = verdict.nearest();
        Told {
            message: &message.text,
            side,
            matched: verdict.matched().is_some(),
            reason,
            text: nearest.map(|found| text(found.text)),
            score: nearest.map(|found| found.score),
            runner_up: nearest
                .and_then(|found| found.runner_up)
                .map(|other| RunnerUp { text: text(other.text), score: other.score }),
            threshold: self.matcher.thresholds().reference,
            normalised: form,
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
                "{side_name}: no match: without digits, signs and short words nothing is left, so \
                 only an exact text could match"
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
}

fn reason(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Matched(found) if found.exact => "exact",
        Verdict::Matched(_) => "near",
        Verdict::TooFar(_) => "too-far",
        Verdict::NoMeaning => "no-meaning",
    }
}
