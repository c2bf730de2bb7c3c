//! Reading all files on all cores, in rounds, so that memory stays bounded.
//!
//! An event whose message is known to say nothing is dropped at once; one whose message says a
//! text is kept; one whose message is unknown waits. When too many wait, all cores stop at the
//! end of their block, the messages are learned, and reading goes on where it stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use domain::{Event, Side};
use jiff::tz::TimeZone;
use parse::{Counts, InputError, LineEvent, Opened, Part, Scanner, Source};
use rayon::prelude::*;
use report::File;

use crate::recognition::{Known, Recall, Recognition, Unknown};
use crate::{AnalysisError, Progress, Settings};

/// How many events may wait for their message to be learned: about a megabyte.
const WAITING: usize = 2 * 1024;

/// The files that are read.
pub struct Reading {
    sources: Vec<Source>,
    tasks: Vec<Task>,
    notices: Vec<String>,
    errors: Vec<InputError>,
    zone: TimeZone,
    keep_going: bool,
}

/// One part of one source.
struct Task {
    source: usize,
    part: Part,
    name: Arc<str>,
    state: State,
    counts: Counts,
    /// Bytes on disk that progress was told of.
    told: u64,
    kept: Vec<(Event, Side, Known)>,
    waiting: Vec<(Event, Unknown)>,
    error: Option<InputError>,
}

enum State {
    Waiting,
    Open(Box<Scanner>),
    Done,
}

/// What was read.
pub struct Read {
    /// The events whose messages say a text.
    pub kept: Vec<(Event, Side, Known)>,
    /// The files, by name.
    pub files: Vec<File>,
    /// What a person should know of them.
    pub notices: Vec<String>,
    /// Files that could not be read, or not to their end.
    pub errors: Vec<InputError>,
}

impl Reading {
    /// Prepares the files.
    pub fn new(logs: Opened, settings: &Settings) -> Result<Reading, AnalysisError> {
        let Opened { sources, notices, errors } = logs;
        if !settings.keep_going && !errors.is_empty() {
            return Err(AnalysisError::Input(errors));
        }
        let tasks = sources.iter().enumerate().flat_map(|(index, source)| {
            source.parts().into_iter().map(move |part| Task::new(index, source, part))
        });
        let (zone, keep_going) = (settings.zone.clone(), settings.keep_going);
        Ok(Reading { tasks: tasks.collect(), sources, notices, errors, zone, keep_going })
    }

    /// Reads until everything is read or too many events wait. Returns whether any wait.
    pub fn read_some(
        &mut self,
        recognition: &Recognition,
        progress: &dyn Progress,
    ) -> Result<bool, AnalysisError> {
        let waiting = AtomicUsize::new(0);
        let stop = AtomicBool::new(false);
        let Reading { sources, tasks, zone, keep_going, .. } = self;
        tasks.par_iter_mut().for_each_init(String::new, |scratch, task| {
            let go_on = || {
                waiting.load(Ordering::Relaxed) < WAITING
                    && !stop.load(Ordering::Relaxed)
                    && !progress.is_cancelled()
            };
            while !matches!(task.state, State::Done) && go_on() {
                let before = task.waiting.len();
                if let Err(error) = task.step(&sources[task.source], zone, recognition, scratch) {
                    task.error = Some(error);
                    task.state = State::Done;
                    stop.fetch_or(!*keep_going, Ordering::Relaxed);
                }
                waiting.fetch_add(task.waiting.len() - before, Ordering::Relaxed);
                progress.read(task.untold());
            }
        });
        if stop.into_inner() {
            let mut errors: Vec<InputError> =
                tasks.iter_mut().filter_map(|task| task.error.take()).collect();
            errors.sort_by_key(ToString::to_string);
            return Err(AnalysisError::Input(errors));
        }
        Ok(waiting.into_inner() > 0)
    }

    /// The messages that events wait for.
    pub fn unknown_texts(&self) -> impl Iterator<Item = &Unknown> {
        self.tasks.iter().flat_map(|task| &task.waiting).map(|(_, unknown)| unknown)
    }

    /// Keeps or drops the events that waited, now that their messages are known.
    pub fn settle(&mut self, recognition: &Recognition) {
        for task in &mut self.tasks {
            for (event, Unknown { side, key }) in task.waiting.drain(..) {
                if let Some(known) = recognition.recall_key(side, &key) {
                    task.kept.push((event, side, known));
                }
            }
        }
    }

    /// Sums up.
    pub fn finish(self) -> Read {
        let Reading { sources, tasks, notices, mut errors, .. } = self;
        let mut counts = vec![Counts::default(); sources.len()];
        let mut kept = Vec::new();
        for task in tasks {
            // Parts stand in the order of their file, and number their lines from 1.
            let lines_before = counts[task.source].lines;
            kept.extend(task.kept.into_iter().map(|(mut event, side, known)| {
                event.line += lines_before;
                (event, side, known)
            }));
            counts[task.source] += task.counts;
            errors.extend(task.error);
        }
        errors.sort_by_key(ToString::to_string);
        let files = sources.iter().zip(counts);
        let files = files.map(|(source, counts)| File { name: source.name.to_string(), counts });
        Read { kept, files: files.collect(), notices, errors }
    }
}

impl Task {
    fn new(index: usize, source: &Source, part: Part) -> Task {
        Task {
            source: index,
            part,
            name: Arc::clone(&source.name),
            state: State::Waiting,
            counts: Counts::default(),
            told: 0,
            kept: Vec::new(),
            waiting: Vec::new(),
            error: None,
        }
    }

    /// Reads one block.
    fn step(
        &mut self,
        source: &Source,
        zone: &TimeZone,
        recognition: &Recognition,
        scratch: &mut String,
    ) -> Result<(), InputError> {
        if matches!(self.state, State::Waiting) {
            self.state = State::Open(Box::new(source.scan(self.part, zone)?));
        }
        let State::Open(scanner) = &mut self.state else { return Ok(()) };
        let Task { kept, waiting, name, .. } = self;
        let mut on_event = |event: &LineEvent| {
            let Some(side) = Side::of(event.level) else { return };
            match recognition.recall(side, event.component, event.message, scratch) {
                Recall::Text(known) => kept.push((event.to_event(name), side, known)),
                Recall::Nothing => {}
                Recall::Unknown => {
                    let key = scratch.as_str().into();
                    waiting.push((event.to_event(name), Unknown { side, key }));
                }
            }
        };
        let result = scanner.step(&mut on_event);
        self.counts = scanner.counts();
        if scanner.is_done() {
            self.state = State::Done;
        }
        result
    }

    /// Bytes on disk that progress was not told of yet.
    fn untold(&mut self) -> u64 {
        let read = match &self.state {
            State::Waiting => 0,
            State::Open(scanner) => scanner.taken().min(self.part.size),
            State::Done => self.part.size,
        };
        let untold = read.saturating_sub(self.told);
        self.told += untold;
        untold
    }
}
