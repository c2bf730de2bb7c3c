//! The stages of a batch analysis, in their order.

use std::collections::HashMap;
use std::sync::Arc;

use domain::{Dictionary, Side, Vector};
use embed::{EmbedError, Embedder};
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use linking::{Linked, Linker, Matcher, Message, Method, Rule, Thresholds};
use parse::{Counts, InputError, Opened};
use report::{File, Header, Judge};
use thiserror::Error;

use crate::reading::Reading;
use crate::recognition::Recognition;

/// What an analysis is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How messages are compared with the texts of the dictionary.
    pub method: Method,
    /// The thresholds of the model and the method.
    pub thresholds: Thresholds,
    /// The largest distance in time between an anomaly and its problem.
    pub window: SignedDuration,
    /// The zone of timestamps without offset.
    pub zone: TimeZone,
    /// Whether files that cannot be read are passed over, and what was read of them is used.
    pub keep_going: bool,
}

/// Is told how an analysis goes on, from any thread.
pub trait Progress: Sync {
    /// Bytes of the files, packed as they are, that were read since the last call.
    fn read(&self, _bytes: u64) {}
    /// Distinct texts that need a vector, more than were told of before.
    fn texts(&self, _count: usize) {}
    /// Texts that got their vector since the last call.
    fn embedded(&self, _count: usize) {}
    /// Whether nobody waits for the result any more. It is asked between two blocks and two
    /// batches of texts.
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// Progress that nobody watches.
pub struct NoProgress;

impl Progress for NoProgress {}

/// Why an analysis has no result.
#[derive(Debug, Error)]
pub enum AnalysisError {
    /// Files that could not be read, by name.
    #[error("{}", join(.0))]
    Input(Vec<InputError>),
    /// The model failed.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// [`Progress::is_cancelled`] said so.
    #[error("cancelled")]
    Cancelled,
}

fn join(errors: &[InputError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The result of an analysis.
pub struct Analysis {
    /// The links.
    pub linked: Linked,
    /// What stands above them in a report.
    pub header: Header,
    /// Files that could not be read, or not to their end, when told to go on.
    pub errors: Vec<InputError>,
}

/// Finds the links in logs.
///
/// # Errors
/// [`AnalysisError::Input`] names every file that cannot be read, unless told to go on;
/// [`AnalysisError::Embed`] when the model fails; [`AnalysisError::Cancelled`] when it was
/// cancelled.
pub fn analyze(
    logs: Opened,
    dictionary: &Arc<Dictionary>,
    embedder: &dyn Embedder,
    settings: &Settings,
    progress: &dyn Progress,
) -> Result<Analysis, AnalysisError> {
    let mut reading = Reading::new(logs, settings)?;
    let matcher = prepare(dictionary, embedder, settings.method, settings.thresholds, progress)?;
    let mut recognition = Recognition::new(dictionary, &matcher);
    while reading.read_some(&recognition, progress)? {
        if progress.is_cancelled() {
            return Err(AnalysisError::Cancelled);
        }
        recognition.learn(reading.unknown_texts(), embedder, progress)?;
        reading.settle(&recognition);
    }
    if progress.is_cancelled() {
        return Err(AnalysisError::Cancelled);
    }
    let read = reading.finish();
    let rule = Rule::new(settings.window, settings.thresholds);
    let mut linker = Linker::new(Arc::clone(dictionary), rule);
    for kept in read.kept {
        linker.add(recognition.matched(kept));
    }
    let linked = linker.finish();
    let judge = Judge {
        model: embedder.model().to_owned(),
        matcher: settings.method,
        thresholds: settings.thresholds,
        window_seconds: settings.window.as_secs_f64(),
    };
    let header = header(judge, read.files, read.notices, &linked);
    Ok(Analysis { linked, header, errors: read.errors })
}

/// A matcher for a dictionary, its texts embedded.
///
/// # Errors
/// When the model fails.
pub fn prepare<'d>(
    dictionary: &'d Dictionary,
    embedder: &dyn Embedder,
    method: Method,
    thresholds: Thresholds,
    progress: &dyn Progress,
) -> Result<Matcher<'d>, EmbedError> {
    let vectors = vectors(dictionary, embedder, method, progress)?;
    Ok(Matcher::new(dictionary, method, thresholds, |form| vectors.get(form).cloned()))
}

/// The vectors of the forms that a method gives the texts of a dictionary.
///
/// # Errors
/// When the model fails.
pub fn vectors(
    dictionary: &Dictionary,
    embedder: &dyn Embedder,
    method: Method,
    progress: &dyn Progress,
) -> Result<HashMap<String, Vector>, EmbedError> {
    let texts = Side::BOTH.into_iter().flat_map(|side| dictionary.texts(side));
    embed(texts.map(|text| method.form().of(&text.text)).collect(), embedder, progress)
}

/// A message as matching sees it, with vectors of its own.
#[derive(Clone, Debug, Default)]
pub struct Embedded {
    /// Its form.
    pub form: String,
    vector: Option<Vector>,
    component: Option<Vector>,
}

impl Embedded {
    /// What a matcher judges.
    pub fn message(&self) -> Message<'_> {
        Message {
            form: &self.form,
            vector: self.vector.as_deref(),
            component: self.component.as_deref(),
        }
    }
}

/// Messages as a method sees them: pairs of a component, which may be empty, and a message.
///
/// # Errors
/// When the model fails.
pub fn embed_messages<'a>(
    messages: impl Iterator<Item = (&'a str, &'a str)>,
    embedder: &dyn Embedder,
    method: Method,
) -> Result<Vec<Embedded>, EmbedError> {
    let form = |text| method.form().of(text);
    let component = |it| if method.uses_component() { form(it) } else { String::new() };
    let forms: Vec<(String, String)> =
        messages.map(|(from, message)| (component(from), form(message))).collect();
    let texts = forms.iter().flat_map(|(component, form)| [component.clone(), form.clone()]);
    let vectors = embed(texts.collect(), embedder, &NoProgress)?;
    let embedded = |(component, form): (String, String)| Embedded {
        vector: vectors.get(&form).cloned(),
        component: vectors.get(&component).cloned(),
        form,
    };
    Ok(forms.into_iter().map(embedded).collect())
}

/// Embeds each text once, but the empty one, which has no meaning.
fn embed(
    mut texts: Vec<String>,
    embedder: &dyn Embedder,
    progress: &dyn Progress,
) -> Result<HashMap<String, Vector>, EmbedError> {
    texts.sort_unstable();
    texts.dedup();
    texts.retain(|text| !text.is_empty());
    progress.texts(texts.len());
    let forms: Vec<&str> = texts.iter().map(String::as_str).collect();
    let vectors = embedder.embed(&forms, &|count| progress.embedded(count))?;
    Ok(texts.into_iter().zip(vectors).collect())
}

fn header(judge: Judge, files: Vec<File>, mut notices: Vec<String>, linked: &Linked) -> Header {
    let mut total = Counts::default();
    files.iter().for_each(|file| total += file.counts);
    if total.mixed_offsets() {
        notices.push(format!(
            "{} of {} ERROR and WARNING timestamps have an offset from UTC, the others have none \
             and are read in the zone given (LOG_TZ)",
            total.with_offset,
            total.errors + total.warnings
        ));
    }
    Header {
        judge,
        total,
        files,
        matched_anomalies: linked.matched(Side::Anomaly),
        matched_problems: linked.matched(Side::Problem),
        link_count: linked.count(),
        notices,
    }
}
