//! `foreshock live`: the streaming suite in one process.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bus::Memory;
use domain::Dictionary;
use linking::Rule;
use live::{LinkStage, MatchStage, Names, Told};
use replay::{Replayed, Timestamps};
use report::Judge;
use service::{Health, LogArgs, LogFormat, Server, Stop, Work};

use crate::cli::{Exit, LiveArgs};
use crate::model;
use crate::model::Model;
use crate::show::{self, Paint};

/// How often it is looked whether everything is worked off.
const LOOK: Duration = Duration::from_millis(20);

/// How far a timestamp may lie ahead of now.
const MAX_AHEAD: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

/// `foreshock live`.
pub fn run(arguments: &LiveArgs) -> Result<Exit> {
    let started = Instant::now();
    let log_level = arguments.log_level.clone();
    LogArgs { log_level, log_format: LogFormat::Text }.start()?;
    let folder = &arguments.log_dir;
    anyhow::ensure!(
        folder.is_dir(),
        "{}: no such folder. Name the folder of the logs with --log-dir or LOG_DIR",
        folder.display()
    );
    let dictionary = parse::dictionary::read(&arguments.dictionary.dictionary)?;
    let model = model::open(&arguments.model)?;
    let stop = Stop::new();
    let routes = Default::default();
    let _server = Server::start(arguments.http_port, Health::new(), routes, &stop)?;
    let suite = Suite {
        arguments,
        bus: Memory::new(),
        dictionary,
        model,
        names: Names::new("logs", "foreshock"),
        stop,
        links: AtomicU64::new(0),
    };
    let replayed = suite.run()?;
    model::tell_trouble(&suite.model);
    suite.sum_up(replayed, started.elapsed())?;
    Ok(if replayed.events == 0 { Exit::NoEvents } else { Exit::Done })
}

/// The stages of one process, and what they share.
struct Suite<'a> {
    arguments: &'a LiveArgs,
    bus: Memory,
    dictionary: Dictionary,
    model: Model,
    names: Names,
    stop: Stop,
    links: AtomicU64,
}

impl Suite<'_> {
    /// replay → match → link → the screen, until all is replayed and worked off.
    fn run(&self) -> Result<Replayed> {
        let stopped = || self.stop.is_stopped();
        self.names.create(&self.bus, 1, self.arguments.time.window.0)?;
        let replayed = OnceLock::new();
        let replay = || {
            let _ = replayed.set(replay::run(&self.replay(), &self.bus, &stopped)?);
            while !stopped() && !self.bus.is_drained() {
                thread::sleep(LOOK);
            }
            Ok(())
        };
        let work: Vec<Work> = vec![
            ("replay", Box::new(replay)),
            ("match", Box::new(|| Ok(self.matching(&stopped).run()?))),
            ("link", Box::new(|| Ok(self.linking(&stopped).run()?))),
            ("show", Box::new(|| self.show(&stopped))),
            ("mourn", Box::new(|| self.mourn(&stopped))),
        ];
        service::run_all(&self.stop, work)?;
        Ok(replayed.into_inner().unwrap_or_default())
    }

    fn replay(&self) -> replay::Settings {
        let LiveArgs { log_dir, speed, jitter_ms, loops, time, .. } = self.arguments;
        replay::Settings {
            folder: log_dir.clone(),
            speed: *speed,
            jitter: Duration::from_millis(*jitter_ms),
            loops: *loops,
            timestamps: Timestamps::Original,
            zone: time.log_tz.0.clone(),
            ..replay::Settings::default()
        }
    }

    fn matching<'s>(&'s self, stopped: &'s (dyn Fn() -> bool + Sync)) -> MatchStage<'s> {
        MatchStage {
            bus: &self.bus,
            embedder: &self.model,
            dictionary: &self.dictionary,
            thresholds: self.judge().thresholds,
            zone: self.arguments.time.log_tz.0.clone(),
            max_ahead: MAX_AHEAD,
            names: &self.names,
            stopped,
        }
    }

    fn linking<'s>(&'s self, stopped: &'s (dyn Fn() -> bool + Sync)) -> LinkStage<'s> {
        let judge = self.judge();
        LinkStage {
            bus: &self.bus,
            dictionary: &self.dictionary,
            rule: Rule::new(self.arguments.time.window.0, judge.thresholds),
            judge,
            grace: self.arguments.grace.0,
            names: &self.names,
            stopped,
        }
    }

    fn judge(&self) -> Judge {
        let model = embed::Embedder::model(&self.model).to_owned();
        let thresholds = self.arguments.thresholds.of(&model);
        Judge { model, thresholds, window_seconds: self.arguments.time.window.0.as_secs_f64() }
    }

    /// Shows links as they are found.
    fn show(&self, stopped: &(dyn Fn() -> bool + Sync)) -> Result<()> {
        let (paint, mut failure) = (Paint::for_stdout(), None);
        live::follow(&self.bus, self.names.links(), self.names.group("show"), stopped, |link| {
            self.links.fetch_add(1, Ordering::Relaxed);
            let shown = || -> Result<()> {
                let link: Told = serde_json::from_slice(link)?;
                show::live_link(&link, paint, &mut io::stdout().lock()).context("standard output")
            };
            if let Err(error) = shown() {
                failure.get_or_insert(error);
                self.stop.stop();
            }
        })?;
        failure.map_or(Ok(()), Err)
    }

    /// Tells of lines that could not be used.
    fn mourn(&self, stopped: &(dyn Fn() -> bool + Sync)) -> Result<()> {
        let (letters, group) = (self.names.dead_letters(), self.names.group("mourn"));
        Ok(live::follow(&self.bus, letters, group, stopped, |letter| {
            tracing::warn!("a line could not be used: {}", String::from_utf8_lossy(letter));
        })?)
    }

    fn sum_up(&self, replayed: Replayed, took: Duration) -> Result<()> {
        let Replayed { events, skipped, .. } = replayed;
        let judge = self.judge();
        writeln!(
            io::stdout().lock(),
            "{} (within {:#}), model {}, reference threshold {}\n{}, {} passed over in {:.2} s",
            show::plural(self.links.load(Ordering::Relaxed), "link", "links"),
            self.arguments.time.window.0,
            judge.model,
            judge.thresholds.reference,
            show::plural(events, "event", "events"),
            show::plural(skipped, "line", "lines"),
            took.as_secs_f64(),
        )?;
        Ok(())
    }
}
