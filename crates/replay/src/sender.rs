//! Records to the bus, none lost and none out of order.
//!
//! What was sent is kept until the bus has confirmed it, within [`UNCONFIRMED`]. Should a producer
//! fail, a new one sends all of that again, in the same order: then some records may come twice.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::{Bus, BusError, NewTopic, Outgoing, Producer};
use metrics::{Counter, counter};
use tracing::{info, warn};

use crate::unconfirmed::Unconfirmed;
use crate::{ReplayError, Stopped, sleep};

/// How much is sent before the bus is waited for, in bytes.
const UNCONFIRMED: usize = 32 << 20;

/// How long the bus is waited for at a time: no longer than a wish to stop may wait.
const WAIT: Duration = Duration::from_millis(100);

/// The pause before a bus that is away is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// How often it is said that the bus is away.
const SAY: Duration = Duration::from_secs(5);

/// How often it is said that records are refused: it may be all of them.
const SAY_REFUSED: Duration = Duration::from_secs(1);

/// How long the bus may take to confirm the last records when stopped.
const LAST_WAIT: Duration = Duration::from_secs(3);

/// How long the bus keeps records.
const RETENTION: Duration = Duration::from_secs(7 * 24 * 3600);

/// Where the records of a file go.
struct Destination {
    file: Arc<str>,
    topic: Arc<str>,
    sent: Counter,
}

/// Sends records of files.
pub struct Sender<'a> {
    bus: &'a dyn Bus,
    stopped: Stopped<'a>,
    producer: Option<Box<dyn Producer>>,
    destinations: Vec<Destination>,
    made: HashSet<Arc<str>>,
    records: Unconfirmed,
    /// Since when the bus has taken nothing.
    full: Option<Instant>,
    said: Option<Instant>,
    said_refused: Option<Instant>,
    /// Records that the bus took.
    pub sent: u64,
    /// Records that it refused.
    pub refused: u64,
}

impl<'a> Sender<'a> {
    /// A sender that has not looked at the bus yet.
    pub fn new(bus: &'a dyn Bus, stopped: Stopped<'a>) -> Sender<'a> {
        Sender {
            bus,
            stopped,
            producer: None,
            destinations: Vec::new(),
            made: HashSet::new(),
            records: Unconfirmed::default(),
            full: None,
            said: None,
            said_refused: None,
            sent: 0,
            refused: 0,
        }
    }

    /// Waits until the bus is there, or the replay is stopped.
    ///
    /// # Errors
    /// When the settings of the bus cannot be right.
    pub fn wait_for_bus(&mut self) -> Result<(), ReplayError> {
        while !(self.stopped)() {
            match self.bus.check() {
                Ok(()) => return Ok(()),
                Err(BusError::Unavailable(reason)) => self.wait(&reason),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Makes these the files that are sent, each with its topic, and makes the topics that are not
    /// there yet. All that was sent of other files must be confirmed.
    pub fn set_files(&mut self, files: &[Arc<str>], topics: &[Arc<str>]) {
        let destination = |(file, topic): (&Arc<str>, &Arc<str>)| Destination {
            file: Arc::clone(file),
            topic: Arc::clone(topic),
            sent: counter!("foreshock_replayed_events_total", "topic" => topic.to_string()),
        };
        self.destinations = files.iter().zip(topics).map(destination).collect();
        let new: Vec<NewTopic> = topics
            .iter()
            .filter(|topic| !self.made.contains(*topic))
            .map(|name| NewTopic { name, partitions: 1, retention: RETENTION })
            .collect();
        while !new.is_empty() && !(self.stopped)() {
            match self.bus.create_topics(&new) {
                Ok(()) => break,
                Err(BusError::Unavailable(reason)) => self.wait(&reason),
                Err(BusError::Refused(reason)) => {
                    warn!("topics cannot be made, and are left to the broker to make: {reason}");
                    break;
                }
            }
        }
        self.made.extend(topics.iter().cloned());
    }

    /// Sends a record of a file. It waits while the bus is full or away, unless stopped.
    ///
    /// # Errors
    /// When the settings of the bus cannot be right.
    pub fn send(&mut self, file: u32, record: &[u8]) -> Result<(), ReplayError> {
        self.records.push(file, record);
        self.hand_over()?;
        if self.records.size() > UNCONFIRMED { self.confirm_all() } else { Ok(()) }
    }

    /// Whether some of what was sent is not confirmed.
    pub fn is_waiting(&self) -> bool {
        !self.records.is_empty()
    }

    /// Waits for `wait` at most until all that was sent is confirmed.
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub fn confirm(&mut self, wait: Duration) -> Result<(), ReplayError> {
        self.hand_over()?;
        self.flush(wait.min(WAIT));
        Ok(())
    }

    /// Waits until all that was sent is confirmed, unless stopped.
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub fn confirm_all(&mut self) -> Result<(), ReplayError> {
        let start = Instant::now();
        while self.is_waiting() && !(self.stopped)() {
            self.confirm(WAIT)?;
            if self.is_waiting() && start.elapsed() > SAY {
                self.say("it has not confirmed what it was sent");
            }
        }
        Ok(())
    }

    /// Gives the bus a few seconds for the last records, stopped or not.
    pub fn finish(&mut self) {
        let start = Instant::now();
        while self.records.in_doubt() > 0 && start.elapsed() < LAST_WAIT {
            self.flush(WAIT);
        }
        let count = self.records.in_doubt();
        if count > 0 {
            warn!(records = count, "stopped before the bus has confirmed the last records");
        }
    }

    /// Hands records over until none waits for it, or the replay is stopped.
    fn hand_over(&mut self) -> Result<(), ReplayError> {
        // A refusal may be told of a record sent before, once: it is of this one if it is told
        // again.
        let mut doubt: Option<String> = None;
        while let Some((file, record)) = self.records.next() {
            let destination = &self.destinations[file as usize];
            let Some(producer) = &mut self.producer else {
                self.make_producer()?;
                if (self.stopped)() {
                    break;
                }
                continue;
            };
            let key = Some(destination.file.as_bytes());
            match producer.send(&Outgoing { topic: &destination.topic, key, payload: record }) {
                Ok(true) => {
                    self.full = None;
                    if self.records.handed_over() {
                        self.sent += 1;
                        destination.sent.increment(1);
                    }
                    if let Some(reason) = doubt.take() {
                        self.refuse_earlier(&reason);
                    }
                    continue;
                }
                Ok(false) => self.make_room(),
                Err(BusError::Refused(reason)) if doubt.is_none() => doubt = Some(reason),
                Err(BusError::Refused(reason)) => {
                    let file = Arc::clone(&destination.file);
                    self.refuse(&file, &reason);
                    self.records.refused();
                    doubt = None;
                }
                Err(BusError::Unavailable(reason)) => self.lose_producer(&reason),
            }
            if (self.stopped)() {
                break;
            }
        }
        Ok(())
    }

    /// Waits a moment for a full bus.
    fn make_room(&mut self) {
        if self.full.get_or_insert_with(Instant::now).elapsed() > SAY {
            self.say("it takes no more for now");
        }
        self.flush(WAIT);
    }

    fn flush(&mut self, wait: Duration) {
        let Some(producer) = &mut self.producer else { return };
        match producer.flush(wait) {
            Ok(true) => self.records.confirm(),
            Ok(false) => {}
            Err(BusError::Refused(reason)) => self.refuse_earlier(&reason),
            Err(BusError::Unavailable(reason)) => self.lose_producer(&reason),
        }
    }

    fn make_producer(&mut self) -> Result<(), ReplayError> {
        match self.bus.producer() {
            Ok(producer) => self.producer = Some(producer),
            Err(BusError::Unavailable(reason)) => self.wait(&reason),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn lose_producer(&mut self, reason: &str) {
        self.producer = None;
        let count = self.records.rewind();
        warn!(records = count, "sending failed, and is done again: {reason}");
        sleep(PAUSE, self.stopped);
    }

    /// A record that was taken is refused after all; it is not told which.
    fn refuse_earlier(&mut self, reason: &str) {
        self.sent = self.sent.saturating_sub(1);
        self.refuse("one of the last", reason);
    }

    fn refuse(&mut self, of: &str, reason: &str) {
        self.refused += 1;
        counter!("foreshock_replay_refused_total").increment(1);
        if self.said_refused.is_none_or(|said| said.elapsed() > SAY_REFUSED) {
            self.said_refused = Some(Instant::now());
            let refused = self.refused;
            warn!(refused, "a record ({of}) was refused by the bus, and is left out: {reason}");
        }
    }

    fn wait(&mut self, reason: &str) {
        self.say(reason);
        sleep(PAUSE, self.stopped);
    }

    /// Says that the bus is waited for, every few seconds.
    fn say(&mut self, reason: &str) {
        if self.said.is_none_or(|said| said.elapsed() > SAY) {
            info!("waiting for the bus: {reason}");
            self.said = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    use bus::{Consumer, Subscription};

    use super::*;

    /// What a bus does with the next calls of `send`, and then takes everything.
    #[derive(Default)]
    struct Script {
        answers: Mutex<Vec<Answer>>,
        taken: Mutex<Vec<String>>,
        producers: Mutex<u32>,
        stopped: AtomicBool,
    }

    enum Answer {
        Take,
        Full,
        Fail,
        /// Refuses what was sent before.
        RefuseOnce,
        Stop,
    }

    struct Scripted(&'static Script);

    impl Bus for Scripted {
        fn producer(&self) -> Result<Box<dyn Producer>, BusError> {
            *self.0.producers.lock().unwrap() += 1;
            Ok(Box::new(Scripted(self.0)))
        }

        fn consumer(&self, _: &Subscription) -> Result<Box<dyn Consumer>, BusError> {
            Err(BusError::Refused("nothing to receive".to_owned()))
        }

        fn create_topics(&self, _: &[NewTopic]) -> Result<(), BusError> {
            Err(BusError::Refused("not permitted".to_owned()))
        }

        fn check(&self) -> Result<(), BusError> {
            Ok(())
        }
    }

    impl Producer for Scripted {
        fn send(&mut self, record: &Outgoing) -> Result<bool, BusError> {
            let text = String::from_utf8(record.payload.to_vec()).unwrap();
            if text.starts_with("bad") {
                return Err(BusError::Refused("too large".to_owned()));
            }
            match self.0.answers.lock().unwrap().pop() {
                Some(Answer::Full) => return Ok(false),
                Some(Answer::Fail) => return Err(BusError::Unavailable("gone".to_owned())),
                Some(Answer::RefuseOnce) => return Err(BusError::Refused("of another".to_owned())),
                Some(Answer::Stop) => {
                    self.0.stopped.store(true, Ordering::Relaxed);
                    return Ok(false);
                }
                Some(Answer::Take) | None => {}
            }
            self.0.taken.lock().unwrap().push(text);
            Ok(true)
        }

        fn flush(&mut self, _: Duration) -> Result<bool, BusError> {
            Ok(true)
        }
    }

    /// Sends `records`, while the bus gives `answers` in their order.
    fn send(records: &[&str], mut answers: Vec<Answer>) -> (Vec<String>, u64, u64, u32) {
        answers.reverse();
        let script: &'static Script =
            Box::leak(Box::new(Script { answers: answers.into(), ..Script::default() }));
        let bus = Scripted(script);
        let stopped = || script.stopped.load(Ordering::Relaxed);
        let mut sender = Sender::new(&bus, &stopped);
        sender.set_files(&["a.txt".into()], &["logs.a".into()]);
        for record in records {
            sender.send(0, record.as_bytes()).unwrap();
        }
        sender.confirm_all().unwrap();
        sender.finish();
        let taken = script.taken.lock().unwrap().clone();
        (taken, sender.sent, sender.refused, *script.producers.lock().unwrap())
    }

    #[test]
    fn a_full_bus_is_waited_for() {
        let (taken, sent, refused, _) =
            send(&["1", "2", "3"], vec![Answer::Take, Answer::Full, Answer::Full]);
        assert_eq!((taken.concat(), sent, refused), ("123".to_owned(), 3, 0));
    }

    #[test]
    fn a_record_that_is_refused_is_left_out_and_the_others_go_on() {
        let (taken, sent, refused, _) = send(&["1", "bad", "2", "bad", "3"], vec![]);
        assert_eq!((taken.concat(), sent, refused), ("123".to_owned(), 3, 2));
    }

    #[test]
    fn a_refusal_of_an_earlier_record_does_not_take_this_one_with_it() {
        let (taken, sent, refused, _) =
            send(&["1", "2", "3"], vec![Answer::Take, Answer::RefuseOnce]);
        assert_eq!((taken.concat(), sent, refused), ("123".to_owned(), 2, 1));
    }

    #[test]
    fn a_new_producer_sends_again_what_was_in_doubt_in_order_and_counts_it_once() {
        let answers = vec![Answer::Take, Answer::Take, Answer::Fail, Answer::Take, Answer::Fail];
        let (taken, sent, refused, producers) = send(&["1", "bad", "2", "3", "4"], answers);
        // 1 and 2, 1 again, then all of it.
        assert_eq!((taken.concat(), sent, refused), ("1211234".to_owned(), 4, 1));
        assert_eq!(producers, 3);
    }

    #[test]
    fn nothing_is_waited_for_when_stopped() {
        let (taken, sent, ..) = send(&["1", "2"], vec![Answer::Take, Answer::Stop]);
        assert_eq!((taken.concat(), sent), ("1".to_owned(), 1));
    }
}
