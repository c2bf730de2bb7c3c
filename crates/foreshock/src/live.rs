//! `foreshock live`: the suite in one process.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use api::{Api, History};
use bus::{Bus, Memory};
use domain::Dictionary;
use frontend::{Frontend, UploadLimits};
use linking::Rule;
use live::{Activities, Activity, LinkStage, MatchStage, Names, Told};
use notify::Notifier;
use replay::{Replayed, Timestamps};
use report::Judge;
use service::{Health, LogArgs, LogFormat, Need, Server, Stop, Work};

use crate::cli::{Exit, LiveArgs, NotifyTestArgs};
use crate::model;
use crate::model::Model;
use crate::show::{self, Paint};

/// How often it is looked whether everything is worked off.
const LOOK: Duration = Duration::from_millis(20);

/// How long it serves between two looks at whether to go on.
const LONG: Duration = Duration::from_secs(3600);

/// How far a timestamp may lie ahead of now.
const MAX_AHEAD: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

/// `foreshock live`.
pub fn run(arguments: &LiveArgs) -> Result<Exit> {
    start_logs(&arguments.log_level)?;
    let folder = &arguments.log_dir;
    anyhow::ensure!(
        folder.is_dir(),
        "{}: no such folder. Name the folder of the logs with --log-dir or LOG_DIR",
        folder.display()
    );
    tracing::info!("settings: {}", arguments.told());
    let dictionary = Arc::new(parse::dictionary::read(&arguments.dictionary.dictionary)?);
    let notifier = arguments.notify.notifier(Arc::new(about))?.map(Arc::new);
    let model = Arc::new(model::open(&arguments.model)?);
    let name = embed::Embedder::model(model.as_ref()).to_owned();
    let (matcher, thresholds) = arguments.thresholds.of(&name)?;
    let window_seconds = arguments.time.window.0.as_secs_f64();
    let judge = Judge { model: name, matcher, thresholds, window_seconds };
    tracing::info!("{}", show::judge(&judge));
    let suite = Suite {
        arguments,
        judge,
        started: Instant::now(),
        bus: Memory::new(),
        dictionary,
        model,
        names: Names::new("logs", "foreshock"),
        stop: Stop::new(),
        history: Arc::new(arguments.api.history()),
        notifier,
        activity: Activity::new(),
        activities: Arc::default(),
        links: AtomicU64::new(0),
        replayed: OnceLock::new(),
        summed_up: AtomicBool::new(false),
    };
    let server = suite.serve()?;
    suite.run(&server)?;
    drop(server);
    model::tell_trouble(&suite.model);
    suite.sum_up()?;
    let found_nothing = suite.replayed.get().is_none_or(|replayed| replayed.events == 0);
    Ok(if arguments.once && found_nothing { Exit::NoEvents } else { Exit::Done })
}

/// `foreshock notify-test`.
pub fn notify_test(arguments: &NotifyTestArgs) -> Result<Exit> {
    start_logs(&arguments.log_level)?;
    writeln!(io::stdout().lock(), "{}", arguments.test.run()?)?;
    Ok(Exit::Done)
}

fn start_logs(level: &str) -> Result<()> {
    LogArgs { log_level: level.to_owned(), log_format: LogFormat::Text }.start()
}

/// What the bot says is running.
fn about() -> String {
    concat!("Foreshock ", env!("CARGO_PKG_VERSION")).to_owned()
}

/// The stages of one process, and what they share.
struct Suite<'a> {
    arguments: &'a LiveArgs,
    judge: Judge,
    started: Instant,
    bus: Memory,
    dictionary: Arc<Dictionary>,
    model: Arc<Model>,
    names: Names,
    stop: Stop,
    /// The links found so far, in this process and before it.
    history: Arc<History>,
    /// Tells people of links, if there is anyone to tell.
    notifier: Option<Arc<Notifier>>,
    /// What the match stage reads of the logs, and what the API was told of that.
    activity: Activity,
    activities: Arc<Activities>,
    /// Links of this process.
    links: AtomicU64,
    replayed: OnceLock<Replayed>,
    summed_up: AtomicBool,
}

impl Suite<'_> {
    /// Serves the API and the pages, and says where they are.
    fn serve(&self) -> Result<Server> {
        let LiveArgs { http_port, frontend_port, .. } = self.arguments;
        let health = Arc::new(self.health());
        let routes = api::routes(self.api(&health));
        let mut server = Server::start(*http_port, health, routes, &self.stop)?;
        let api = server.port();
        let pages = server.also("FRONTEND_PORT", *frontend_port, self.pages(api)?)?;
        let mut out = io::stdout().lock();
        writeln!(out, "API http://localhost:{api}/docs\npages http://localhost:{pages}")?;
        out.flush()?;
        Ok(server)
    }

    fn health(&self) -> Health {
        let history = Arc::clone(&self.history);
        let health = Health::new()
            // It is loaded before anything is served.
            .with("model", Need::Required, Box::new(|| Ok(())))
            .with("history", Need::Optional, Box::new(move || history.check()));
        let Some(notifier) = self.notifier.clone() else { return health };
        health.with("alerts", Need::Optional, Box::new(move || notifier.check()))
    }

    fn api(&self, health: &Arc<Health>) -> Api {
        let LiveArgs { api, dictionary, time, .. } = self.arguments;
        let embedder = Arc::clone(&self.model);
        Api {
            dictionary: Arc::clone(&self.dictionary),
            dictionary_name: dictionary.name(),
            embedder,
            method: self.judge.matcher,
            thresholds: self.judge.thresholds,
            window: time.window.0,
            zone: time.log_tz.0.clone(),
            limits: api.limits(),
            folder: std::env::temp_dir(),
            at_once: api.analyses.into(),
            keep: api.keep(),
            history: Arc::clone(&self.history),
            bus: Arc::new(self.bus.clone()),
            names: self.names.clone(),
            activities: Arc::clone(&self.activities),
            notifier: self.notifier.clone(),
            health: Arc::clone(health),
            access: api.access(),
            stop: self.stop.clone(),
        }
    }

    /// The pages, which ask the API at this port.
    fn pages(&self, api: u16) -> Result<axum::Router> {
        let args = &self.arguments.api;
        let limits = UploadLimits { bytes: args.upload_bytes, files: args.upload_files };
        let base = format!("http://127.0.0.1:{api}").parse()?;
        Ok(frontend::routes(Frontend::new(base, args.token(), limits)?))
    }

    /// replay → match → link → the screen, the history that the API shows, and those who are told.
    fn run(&self, server: &Server) -> Result<()> {
        let stopped = || self.stop.is_stopped();
        let (bus, names): (&dyn Bus, _) = (&self.bus, &self.names);
        names.create(bus, 1, self.arguments.time.window.0)?;
        // All who read links, before the first is sent.
        self.history.join(bus, names)?;
        live::join(bus, names.links(), names.group("show"))?;
        let mut work: Vec<Work> = vec![
            ("replay", Box::new(|| self.play(&stopped))),
            ("match", Box::new(|| Ok(self.matching(&stopped).run()?))),
            ("link", Box::new(|| Ok(self.linking(&stopped).run()?))),
            ("show", Box::new(|| self.show(&stopped))),
            ("mourn", Box::new(|| self.mourn(&stopped))),
            ("history", Box::new(|| Ok(self.history.follow(bus, names, &stopped)?))),
            ("activity", Box::new(|| Ok(self.activity.publish(bus, names, &stopped)?))),
            ("activities", Box::new(|| Ok(self.activities.follow(bus, names, &stopped)?))),
        ];
        if let Some(notifier) = &self.notifier {
            live::join(bus, names.links(), names.group("alert"))?;
            work.push(("alert", Box::new(|| self.alert(notifier, &stopped))));
            let send = || {
                server.runtime().block_on(notifier.run(self.stop.wait()));
                Ok(())
            };
            work.push(("alerts", Box::new(send)));
        }
        service::run_all(&self.stop, work)
    }

    /// Replays the logs, waits until they are worked off, and stays to serve if it is to.
    fn play(&self, stopped: &(dyn Fn() -> bool + Sync)) -> Result<()> {
        let _ = self.replayed.set(replay::run(&self.replay(), &self.bus, stopped)?);
        while !stopped() && !self.bus.is_drained() {
            thread::sleep(LOOK);
        }
        self.sum_up()?;
        while !self.arguments.once && !stopped() {
            self.stop.sleep(LONG);
        }
        Ok(())
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
            embedder: self.model.as_ref(),
            dictionary: &self.dictionary,
            method: self.judge.matcher,
            thresholds: self.judge.thresholds,
            zone: self.arguments.time.log_tz.0.clone(),
            max_ahead: MAX_AHEAD,
            activity: &self.activity,
            names: &self.names,
            stopped,
        }
    }

    fn linking<'s>(&'s self, stopped: &'s (dyn Fn() -> bool + Sync)) -> LinkStage<'s> {
        LinkStage {
            bus: &self.bus,
            dictionary: &self.dictionary,
            rule: Rule::new(self.arguments.time.window.0, self.judge.thresholds),
            judge: self.judge.clone(),
            grace: self.arguments.grace.0,
            names: &self.names,
            stopped,
        }
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

    /// Puts links into the outbox of those who are to be told. What is not in it comes again.
    fn alert(&self, notifier: &Notifier, stopped: &(dyn Fn() -> bool + Sync)) -> Result<()> {
        let (links, group) = (self.names.links(), self.names.group("alert"));
        let keep = |links: &[(Vec<u8>, i64)]| notifier.keep(links);
        Ok(live::follow_kept(&self.bus, links, group, stopped, keep)?)
    }

    /// Tells of lines that could not be used.
    fn mourn(&self, stopped: &(dyn Fn() -> bool + Sync)) -> Result<()> {
        let (letters, group) = (self.names.dead_letters(), self.names.group("mourn"));
        Ok(live::follow(&self.bus, letters, group, stopped, |letter| {
            tracing::warn!("a line could not be used: {}", String::from_utf8_lossy(letter));
        })?)
    }

    /// Says what came of the replay, once.
    fn sum_up(&self) -> Result<()> {
        if self.summed_up.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let Replayed { events, skipped, .. } = self.replayed.get().copied().unwrap_or_default();
        let mut out = io::stdout().lock();
        writeln!(
            out,
            "{} (within {:#}), {}\n{}, {} passed over in {:.2} s",
            show::plural(self.links.load(Ordering::Relaxed), "link", "links"),
            self.arguments.time.window.0,
            show::judge(&self.judge),
            show::plural(events, "event", "events"),
            show::plural(skipped, "line", "lines"),
            self.started.elapsed().as_secs_f64(),
        )?;
        Ok(())
    }
}
