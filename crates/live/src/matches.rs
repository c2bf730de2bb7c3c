//! The match stage: log lines → events that say a text of the dictionary.
//!
//! It remembers nothing but verdicts on texts, which any process would give: so any number of
//! processes share the topics of logs. A position is committed when all matches before it are
//! kept by the bus.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use analysis::{NoProgress, Recall, Recognition, Unknown, prepare};
use bus::{Bus, Consumer, Outgoing, Position, Producer, Record, Subscription, Topics};
use domain::{Dictionary, Event, Level, Side};
use embed::{EmbedError, Embedder};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use linking::{Matched, Matcher, Method, Thresholds};
use metrics::{Counter, Gauge, counter, gauge};

use crate::activity::{Activity, Tally};
use crate::stage::{self, LOOK, StageError, keep_working};
use crate::wire::{LogLine, MatchRecord, dead_letter};
use crate::{Names, positions::Positions};

/// Records that are taken at once.
const BATCH: usize = 4096;

/// How long positions may wait for the matches before them to be kept: waiting for each batch
/// apart would cost a round trip a batch.
const COMMIT_EVERY: Duration = Duration::from_millis(50);

/// How many messages are remembered before all are forgotten, to bound memory.
const FORMS: usize = 200_000;

/// The pause before a model that does not answer is asked again.
const MODEL_PAUSE: Duration = Duration::from_secs(1);

/// The match stage.
pub struct MatchStage<'a> {
    /// Where log lines come from and matches go to.
    pub bus: &'a dyn Bus,
    /// The model.
    pub embedder: &'a dyn Embedder,
    /// The known pairs.
    pub dictionary: &'a Dictionary,
    /// How messages are compared with the texts of the dictionary.
    pub method: Method,
    /// The thresholds of the model and the method.
    pub thresholds: Thresholds,
    /// The zone of timestamps without offset.
    pub zone: TimeZone,
    /// How far a timestamp may lie ahead of the line's arrival.
    pub max_ahead: SignedDuration,
    /// What it read so far.
    pub activity: &'a Activity,
    /// The names of topics and groups.
    pub names: &'a Names,
    /// Whether to end.
    pub stopped: &'a (dyn Fn() -> bool + Sync),
}

/// The name of this stage in dead letters and metrics.
const STAGE: &str = "match";

impl MatchStage<'_> {
    /// Works until it is to stop; begins anew after what passes by itself.
    ///
    /// # Errors
    /// When the bus refuses, or the model does not work for good.
    pub fn run(&self) -> Result<(), StageError> {
        keep_working(STAGE, self.stopped, || {
            let MatchStage { dictionary, embedder, method, thresholds, .. } = *self;
            let matcher = prepare(dictionary, embedder, method, thresholds, &NoProgress)?;
            tracing::info!(stage = STAGE, model = self.embedder.model(), "dictionary embedded");
            self.work(&matcher)
        })
    }

    fn work(&self, matcher: &Matcher) -> Result<(), StageError> {
        let topics = Topics::WithPrefix(self.names.logs());
        let group = self.names.group(STAGE);
        let mut consumer = self.bus.consumer(&Subscription { group, topics })?;
        let mut outbox = Outbox::new(self)?;
        let mut batch = Batch::new(self, matcher);
        while !(self.stopped)() {
            batch.poll(consumer.as_mut())?;
            if !batch.learn(consumer.as_mut())? || !outbox.send(&mut batch, consumer.as_mut())? {
                return Ok(());
            }
            outbox.commit(&mut batch.positions, consumer.as_mut())?;
        }
        outbox.drain(consumer.as_mut())
    }
}

/// What was polled and is being worked on.
struct Batch<'s> {
    stage: &'s MatchStage<'s>,
    matcher: &'s Matcher<'s>,
    recognition: Recognition<'s>,
    scratch: String,
    /// Events whose message says a text or is not judged yet, with their arrival.
    events: Vec<(Event, Side, Recall, i64)>,
    unknown: Vec<Unknown>,
    dead: Vec<Vec<u8>>,
    positions: Positions,
    tally: Tally,
    counters: Counters,
}

impl<'s> Batch<'s> {
    fn new(stage: &'s MatchStage<'s>, matcher: &'s Matcher<'s>) -> Batch<'s> {
        Batch {
            stage,
            matcher,
            recognition: Recognition::new(stage.dictionary, matcher),
            scratch: String::new(),
            events: Vec::new(),
            unknown: Vec::new(),
            dead: Vec::new(),
            positions: Positions::default(),
            tally: Tally::default(),
            counters: Counters::new(),
        }
    }

    fn poll(&mut self, consumer: &mut dyn Consumer) -> Result<(), StageError> {
        let (mut read, mut last) = (0, None);
        consumer.poll(BATCH, LOOK, &mut |record| {
            self.tally.line(record.topic, record.sent);
            self.take(&record);
            self.positions.note(&record);
            (read, last) = (read + 1, Some(record.sent));
        })?;
        self.counters.read.increment(read);
        self.stage.activity.add(&mut self.tally);
        if let Some(sent) = last {
            self.counters.behind.set((stage::now() - sent).max(0) as f64 / 1000.0);
        }
        Ok(())
    }

    /// Keeps what a record says, if it is of any interest.
    fn take(&mut self, record: &Record) {
        match self.event(record) {
            Ok(Some((event, side))) => {
                self.tally.event(event.time);
                let recall = self.recognition.recall(
                    side,
                    &event.component,
                    &event.message,
                    &mut self.scratch,
                );
                match recall {
                    Recall::Nothing => return self.counters.nothing.increment(1),
                    Recall::Unknown => {
                        let key = self.scratch.as_str().into();
                        self.unknown.push(Unknown { side, key });
                    }
                    Recall::Text(_) => {}
                }
                self.events.push((event, side, recall, record.sent));
            }
            Ok(None) => {}
            Err(reason) => self.bury(record, &reason),
        }
    }

    /// The ERROR or WARNING event of a record, or why it is not even a log line.
    fn event(&self, record: &Record) -> Result<Option<(Event, Side)>, Cow<'static, str>> {
        let line = LogLine::read(record.payload)?;
        let Some(level) = Level::from_word(line.level.as_bytes()) else {
            self.counters.no_level.increment(1);
            return Ok(None);
        };
        let Some(side) = Side::of(level) else {
            self.counters.others.increment(1);
            return Ok(None);
        };
        let time = self.time(&line, record.sent)?;
        Ok(Some((line.into_event(time, level), side)))
    }

    fn time(&self, line: &LogLine, sent: i64) -> Result<Timestamp, String> {
        let stamp = parse::parse_timestamp(line.timestamp.as_bytes());
        let time = stamp.and_then(|stamp| stamp.instant(&self.stage.zone)).ok_or_else(|| {
            format!("the timestamp {:?} is no date and time that exists", line.timestamp)
        })?;
        let arrival = Timestamp::from_millisecond(sent).unwrap_or(Timestamp::MAX);
        if time.duration_since(arrival) > self.stage.max_ahead {
            return Err(format!(
                "the timestamp {:?} lies more than {:#} ahead of its arrival at {arrival}",
                line.timestamp, self.stage.max_ahead
            ));
        }
        Ok(time)
    }

    fn bury(&mut self, record: &Record, reason: &str) {
        self.counters.dead.increment(1);
        let Record { topic, partition, offset, .. } = record;
        tracing::debug!(stage = STAGE, topic, partition, offset, reason, "dead letter");
        self.dead.push(dead_letter(STAGE, reason, *record));
    }

    /// Has unknown messages judged, however long the model is away. Returns `false` when it is to
    /// stop before that.
    fn learn(&mut self, consumer: &mut dyn Consumer) -> Result<bool, StageError> {
        if self.unknown.is_empty() {
            return Ok(true);
        }
        if self.recognition.len() > FORMS {
            self.recognition = Recognition::new(self.stage.dictionary, self.matcher);
            // Those that were known are judged again.
            self.unknown.clear();
            for (event, side, recall, _) in &mut self.events {
                let Event { component, message, .. } = event;
                *recall = self.recognition.recall(*side, component, message, &mut self.scratch);
                if *recall == Recall::Unknown {
                    let key = self.scratch.as_str().into();
                    self.unknown.push(Unknown { side: *side, key });
                }
            }
        }
        let (recognition, unknown) = (&mut self.recognition, &self.unknown);
        let (embedder, stopped) = (self.stage.embedder, self.stage.stopped);
        while let Err(error) =
            while_holding(consumer, || recognition.learn(unknown.iter(), embedder, &NoProgress))?
        {
            if !error.is_temporary() {
                return Err(error.into());
            }
            if stopped() {
                return Ok(false);
            }
            tracing::warn!(stage = STAGE, %error, "the model is asked again in {MODEL_PAUSE:?}");
            consumer.hold()?;
            stage::sleep(MODEL_PAUSE, stopped);
        }
        self.unknown.clear();
        Ok(true)
    }

    /// The events that matched, with their arrival.
    fn matched(&mut self) -> impl Iterator<Item = (Matched, i64)> {
        let Batch { events, recognition, scratch, counters, .. } = self;
        events.drain(..).filter_map(|(event, side, mut recall, arrived)| {
            if recall == Recall::Unknown {
                recall = recognition.recall(side, &event.component, &event.message, scratch);
            }
            let Recall::Text(known) = recall else {
                counters.nothing.increment(1);
                return None;
            };
            counters.matched[side as usize].increment(1);
            Some((recognition.matched((event, side, known)), arrived))
        })
    }
}

/// Does what may take long on another thread, and stays a member of the group meanwhile.
fn while_holding(
    consumer: &mut dyn Consumer,
    work: impl FnOnce() -> Result<(), EmbedError> + Send,
) -> Result<Result<(), EmbedError>, StageError> {
    std::thread::scope(|scope| {
        let (done, is_done) = mpsc::channel();
        scope.spawn(move || done.send(work()));
        loop {
            match is_done.recv_timeout(Duration::from_millis(500)) {
                Ok(result) => return Ok(result),
                Err(RecvTimeoutError::Timeout) => consumer.hold()?,
                Err(RecvTimeoutError::Disconnected) => panic!("the model panicked"),
            }
        }
    })
}

/// Matches and dead letters on their way, and the positions behind what led to them.
struct Outbox<'s> {
    stage: &'s MatchStage<'s>,
    producer: Box<dyn Producer>,
    matches: String,
    dead_letters: String,
    waiting: Vec<Position>,
    since: Instant,
    json: Vec<u8>,
}

impl<'s> Outbox<'s> {
    fn new(stage: &'s MatchStage<'s>) -> Result<Outbox<'s>, StageError> {
        Ok(Outbox {
            stage,
            producer: stage.bus.producer()?,
            matches: stage.names.matches(),
            dead_letters: stage.names.dead_letters(),
            waiting: Vec::new(),
            since: Instant::now(),
            json: Vec::new(),
        })
    }

    /// Sends what a batch led to. Returns `false` when it is to stop before all is accepted.
    fn send(&mut self, batch: &mut Batch, consumer: &mut dyn Consumer) -> Result<bool, StageError> {
        let Outbox { stage, producer, matches, dead_letters, json, .. } = self;
        let mut send = |topic: &str, key: Option<&[u8]>, payload: &[u8]| {
            let record = Outgoing { topic, key, payload };
            stage::send(producer.as_mut(), consumer, &record, stage.stopped)
        };
        for letter in std::mem::take(&mut batch.dead) {
            if !send(dead_letters, None, &letter)? {
                return Ok(false);
            }
        }
        let model = stage.embedder.model();
        for (matched, arrived) in batch.matched() {
            let mut record = MatchRecord::new(&matched, arrived, model, stage.dictionary);
            for problem in problems(stage.dictionary, &matched) {
                record.problem = problem;
                json.clear();
                serde_json::to_writer(&mut *json, &record).expect("texts and numbers are JSON");
                if !send(matches, Some(problem.to_string().as_bytes()), json)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Commits the positions whose matches are kept by now, and waits for them now and then.
    fn commit(
        &mut self,
        positions: &mut Positions,
        consumer: &mut dyn Consumer,
    ) -> Result<(), StageError> {
        let new = positions.take();
        let idle = new.is_empty();
        self.waiting.extend(new);
        if self.waiting.is_empty() || !idle && self.since.elapsed() < COMMIT_EVERY {
            return Ok(());
        }
        while !self.producer.flush(LOOK)? {
            consumer.hold()?;
            if (self.stage.stopped)() {
                return Ok(());
            }
        }
        consumer.commit(&std::mem::take(&mut self.waiting))?;
        self.since = Instant::now();
        Ok(())
    }

    /// Commits what is on its way, within a few seconds; what is not will come again.
    fn drain(&mut self, consumer: &mut dyn Consumer) -> Result<(), StageError> {
        if self.producer.flush(Duration::from_secs(5))? {
            consumer.commit(&std::mem::take(&mut self.waiting))?;
        }
        Ok(())
    }
}

/// The problems to whose windows an event goes: those of the pairs its text is in.
fn problems(dictionary: &Dictionary, matched: &Matched) -> BTreeSet<u64> {
    let pairs = dictionary.pairs_of(matched.side, matched.found.text);
    pairs.map(|pair| dictionary.problem_id(pair.problem)).collect()
}

struct Counters {
    read: Counter,
    others: Counter,
    no_level: Counter,
    nothing: Counter,
    dead: Counter,
    matched: [Counter; 2],
    behind: Gauge,
}

impl Counters {
    fn new() -> Counters {
        let skipped = |reason| counter!("foreshock_events_skipped_total", "reason" => reason);
        Counters {
            read: counter!("foreshock_events_read_total"),
            others: skipped("level is neither ERROR nor WARNING"),
            no_level: skipped("level is unknown"),
            nothing: skipped("message says no text of the dictionary"),
            dead: counter!("foreshock_dead_letters_total", "stage" => STAGE),
            matched: Side::BOTH
                .map(|side| counter!("foreshock_events_matched_total", "side" => side.as_str())),
            behind: gauge!("foreshock_behind_seconds", "stage" => STAGE),
        }
    }
}
