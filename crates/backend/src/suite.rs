//! The roles of one process, wired together.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use api::{Api, History};
use bus::{Bus, BusError, Kafka, KafkaSettings};
use domain::Dictionary;
use embed::{Cached, Embedder, Memory, Redis, RedisSettings, SingleFlight, Triton, TritonSettings};
use linking::{Method, Rule, Thresholds};
use live::{Activities, Activity, LinkStage, MatchStage, Names};
use notify::Notifier;
use report::Judge;
use service::{Health, Need, Server, Stop, Work};

use crate::settings::{ModelArgs, RedisArgs, Role, Settings};

/// The pause before a broker that is away is asked again for its topics.
const TOPICS_PAUSE: Duration = Duration::from_secs(2);

/// Runs until the system says stop.
pub fn run(settings: &Settings) -> Result<()> {
    settings.logs.start()?;
    let (method, thresholds) = settings.thresholds.of(settings.model.model_profile.model)?;
    tracing::info!("settings: {}", settings.told(method, thresholds));
    let dictionary = Arc::new(parse::dictionary::read(&settings.dictionary.dictionary)?);
    tracing::info!(
        pairs = dictionary.pairs().len(),
        "dictionary {}",
        settings.dictionary.dictionary.display()
    );
    let kafka = settings.kafka.clone();
    let bus = Arc::new(Kafka::new(KafkaSettings {
        bootstrap: kafka.kafka_bootstrap,
        client_id: "foreshock-backend".to_owned(),
    })?);
    let parts = Parts {
        names: Names::new(&kafka.topic_prefix, &kafka.suite),
        model: Model::new(settings)?,
        method,
        thresholds,
        bus,
        dictionary,
        stop: Stop::new(),
        activity: Activity::new(),
        activities: Arc::default(),
        notifier: notifier(settings)?,
        history: settings.does(Role::Api).then(|| Arc::new(settings.api.history())),
    };
    let health = Arc::new(parts.health(settings));
    let routes = match &parts.history {
        Some(history) => api::routes(parts.api(settings, history, &health)),
        None => Default::default(),
    };
    let server = Server::start(settings.http_port, health, routes, &parts.stop)?;
    embed::describe_metrics();
    parts.create_topics(settings);
    parts.work(settings, &server)?;
    drop(server);
    tracing::info!("stopped");
    Ok(())
}

/// What the roles share.
struct Parts {
    bus: Arc<Kafka>,
    model: Model,
    /// How messages are matched.
    method: Method,
    thresholds: Thresholds,
    dictionary: Arc<Dictionary>,
    names: Names,
    stop: Stop,
    /// What this process reads of the logs.
    activity: Activity,
    /// What all processes read of them, for the API.
    activities: Arc<Activities>,
    /// The links found so far, if this process serves the API.
    history: Option<Arc<History>>,
    /// Tells people of links, if this process does and there is anyone to tell.
    notifier: Option<Arc<Notifier>>,
}

/// The notifier, for the role that tells people of links.
fn notifier(settings: &Settings) -> Result<Option<Arc<Notifier>>> {
    if !settings.does(Role::Alert) {
        return Ok(None);
    }
    let (version, model) = (env!("CARGO_PKG_VERSION"), settings.model.model_profile.model);
    let about = format!("Foreshock {version}: {}; {model}", settings.roles(", "));
    Ok(settings.notify.notifier(Arc::new(move || about.clone()))?.map(Arc::new))
}

/// The model with its caches in front: memory, then Redis.
struct Model {
    triton: Arc<Triton>,
    redis: Option<Arc<Redis>>,
    embedder: Arc<dyn Embedder>,
}

impl Model {
    fn new(settings: &Settings) -> Result<Model> {
        let profile = settings.model.model_profile;
        let ModelArgs { triton_url, triton_model, .. } = &settings.model;
        let triton = Arc::new(Triton::new(TritonSettings {
            served_as: triton_model.clone(),
            dimension: Some(profile.dimension),
            ..TritonSettings::new(triton_url, profile.model)
        })?);
        let RedisArgs { redis_host, redis_port, redis_password } = &settings.redis;
        let redis = match &**redis_host {
            "" => None,
            host => Some(Arc::new(Redis::new(&RedisSettings {
                password: redis_password.clone(),
                dimension: Some(profile.dimension),
                ..RedisSettings::new(host, *redis_port)
            })?)),
        };
        let behind: Box<dyn Embedder> = match &redis {
            Some(redis) => Box::new(Cached::new(Arc::clone(redis), Arc::clone(&triton))),
            None => Box::new(Arc::clone(&triton)),
        };
        let embedder = Arc::new(SingleFlight::new(Cached::new(Memory::default(), behind)));
        Ok(Model { triton, redis, embedder })
    }
}

impl Parts {
    /// What the API works with.
    fn api(&self, settings: &Settings, history: &Arc<History>, health: &Arc<Health>) -> Api {
        let Settings { api, dictionary, time, .. } = settings;
        let bus: Arc<dyn Bus> = Arc::clone(&self.bus) as _;
        Api {
            dictionary: Arc::clone(&self.dictionary),
            dictionary_name: dictionary.name(),
            embedder: Arc::clone(&self.model.embedder),
            method: self.method,
            thresholds: self.thresholds,
            window: time.window.0,
            zone: time.log_tz.0.clone(),
            limits: api.limits(),
            folder: std::env::temp_dir(),
            at_once: api.analyses.into(),
            keep: api.keep(),
            history: Arc::clone(history),
            bus,
            names: self.names.clone(),
            activities: Arc::clone(&self.activities),
            notifier: self.notifier.clone(),
            health: Arc::clone(health),
            access: api.access(),
            stop: self.stop.clone(),
        }
    }

    fn health(&self, settings: &Settings) -> Health {
        let bus = Arc::clone(&self.bus);
        let kafka = move || bus.check().map_err(|error| error.to_string());
        let mut health = Health::new().with("kafka", Need::Required, Box::new(kafka));
        if settings.does(Role::Match) || settings.does(Role::Api) {
            let triton = Arc::clone(&self.model.triton);
            let probe = move || triton.probe().map_err(|error| error.to_string());
            health = health.with("triton", Need::Required, Box::new(probe));
            if let Some(redis) = &self.model.redis {
                let redis = Arc::clone(redis);
                let ping = move || redis.ping().map_err(|error| error.to_string());
                health = health.with("redis", Need::Optional, Box::new(ping));
            }
        }
        if let Some(history) = &self.history {
            let history = Arc::clone(history);
            health = health.with("history", Need::Optional, Box::new(move || history.check()));
        }
        if let Some(notifier) = &self.notifier {
            let notifier = Arc::clone(notifier);
            health = health.with("alerts", Need::Optional, Box::new(move || notifier.check()));
        }
        health
    }

    /// Makes the topics. A broker that does not permit it may make them itself when they are used.
    fn create_topics(&self, settings: &Settings) {
        let (partitions, window) = (settings.kafka.partitions, settings.time.window.0);
        while !self.stop.is_stopped() {
            match self.names.create(self.bus.as_ref(), partitions, window) {
                Ok(()) => return,
                Err(BusError::Refused(reason)) => {
                    tracing::warn!(
                        reason,
                        "topics cannot be made here; the broker is to make them"
                    );
                    return;
                }
                Err(BusError::Unavailable(reason)) => {
                    tracing::warn!(reason, "waiting for Kafka");
                    self.stop.sleep(TOPICS_PAUSE);
                }
            }
        }
    }

    /// Does the work of each role on a thread of its own. The first that cannot go on stops all.
    fn work(&self, settings: &Settings, server: &Server) -> Result<()> {
        let Parts { method, thresholds, .. } = *self;
        let window = settings.time.window.0;
        let stopped = || self.stop.is_stopped();
        let (bus, names) = (self.bus.as_ref(), &self.names);
        let matching = MatchStage {
            bus,
            embedder: self.model.embedder.as_ref(),
            dictionary: &self.dictionary,
            method,
            thresholds,
            zone: settings.time.log_tz.0.clone(),
            max_ahead: settings.max_ahead.0,
            activity: &self.activity,
            names,
            stopped: &stopped,
        };
        let linking = LinkStage {
            bus,
            dictionary: &self.dictionary,
            judge: Judge {
                model: settings.model.model_profile.model.to_owned(),
                matcher: method,
                thresholds,
                window_seconds: window.as_secs_f64(),
            },
            rule: Rule::new(window, thresholds),
            grace: settings.grace.0,
            names,
            stopped: &stopped,
        };
        let mut work: Vec<Work> = Vec::new();
        if settings.does(Role::Match) {
            work.push(("role match", Box::new(|| Ok(matching.run()?))));
            let activity = || Ok(self.activity.publish(bus, names, &stopped)?);
            work.push(("role match", Box::new(activity)));
        }
        if settings.does(Role::Link) {
            work.push(("role link", Box::new(|| Ok(linking.run()?))));
        }
        if settings.does(Role::Alert) {
            work.push(("role alert", Box::new(|| self.tell_links(&stopped))));
        }
        if let Some(notifier) = &self.notifier {
            let send = || {
                server.runtime().block_on(notifier.run(self.stop.wait()));
                Ok(())
            };
            work.push(("role alert", Box::new(send)));
        }
        if let Some(history) = &self.history {
            work.push(("role api", Box::new(|| Ok(history.follow(bus, names, &stopped)?))));
            let activities = || Ok(self.activities.follow(bus, names, &stopped)?);
            work.push(("role api", Box::new(activities)));
        }
        service::run_all(&self.stop, work)
    }

    /// Links → the outbox of those who are to be told, and the log. What is in neither comes again.
    fn tell_links(&self, stopped: &(dyn Fn() -> bool + Sync)) -> Result<()> {
        let (links, group) = (self.names.links(), self.names.group("alert"));
        Ok(live::follow_kept(self.bus.as_ref(), links, group, stopped, |links| {
            if let Some(notifier) = &self.notifier {
                notifier.keep(links)?;
            }
            links.iter().for_each(|(link, _)| tell(link));
            Ok(())
        })?)
    }
}

/// Tells of a link, in the log.
fn tell(link: &[u8]) {
    match serde_json::from_slice::<live::Told>(link) {
        Ok(told) => tracing::info!(id = told.id, "link: {told}"),
        Err(error) => tracing::warn!(%error, "a link that cannot be read"),
    }
}
