//! The loops of a replay.

use std::time::Duration;

use bus::Bus;
use jiff::Timestamp;
use tracing::info;

use crate::folder::{Folder, Logs};
use crate::merge::Merge;
use crate::pace::{Jitter, NewStamps, Pace};
use crate::progress::Progress;
use crate::sender::Sender;
use crate::topics::Topics;
use crate::{ReplayError, Replayed, Settings, Stopped, Timestamps, sleep};

/// How often an empty folder is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The longest sleep between two looks at the wish to stop.
const NAP: Duration = Duration::from_millis(100);

/// How many events are sent between two looks at the clock and at the wish to stop.
const STRIDE: u64 = 64;

/// Replays the logs of a folder to `bus`, until all loops are done or `stopped` says so.
///
/// It blocks. A bus that is away is waited for, and so is an empty folder; what is wrong with one
/// file is warned of, and the others go on. New and changed files are seen at the next loop. When
/// stopped, it returns within a fifth of a second and the few seconds that the bus may take to
/// confirm the last records.
///
/// # Errors
/// When the settings of the bus cannot be right, or there is no room on disk to sort.
pub fn run(
    settings: &Settings,
    bus: &dyn Bus,
    stopped: &(dyn Fn() -> bool + Sync),
) -> Result<Replayed, ReplayError> {
    let mut replay = Replay {
        settings,
        stopped,
        sender: Sender::new(bus, stopped),
        progress: Progress::new(),
        stamps: NewStamps::new(),
        replayed: Replayed::default(),
    };
    replay.sender.wait_for_bus()?;
    replay.run_loops()?;
    replay.sender.finish();
    let Sender { sent, refused, .. } = replay.sender;
    Ok(Replayed { events: sent, refused, ..replay.replayed })
}

struct Replay<'a> {
    settings: &'a Settings,
    stopped: Stopped<'a>,
    sender: Sender<'a>,
    progress: Progress,
    stamps: NewStamps,
    replayed: Replayed,
}

impl Replay<'_> {
    fn run_loops(&mut self) -> Result<(), ReplayError> {
        let Settings { folder: path, zone, sorting, loops, .. } = self.settings;
        let mut folder = Folder::new(path, zone, *sorting);
        let mut topics = Topics::new(&self.settings.topic_prefix);
        let mut empty = false;
        while !(self.stopped)() && (*loops == 0 || self.replayed.loops < *loops) {
            let Some(logs) = folder.open(self.stopped)? else {
                if !empty && !(self.stopped)() {
                    info!("{}: holds no .txt or .log file; waiting for one", path.display());
                }
                empty = true;
                sleep(LOOK, self.stopped);
                continue;
            };
            empty = false;
            self.sender.set_files(&logs.names, &topics.of(&logs.names));
            self.play(logs)?;
            if *loops == 0 || self.replayed.loops < *loops {
                sleep(self.settings.loop_pause, self.stopped);
            }
        }
        Ok(())
    }

    /// Replays everything once.
    fn play(&mut self, logs: Logs) -> Result<(), ReplayError> {
        let Logs { names, events, skipped } = logs;
        self.replayed.skipped += skipped;
        let before = self.sender.sent;
        self.progress.begin_loop(names.len(), skipped, before);
        let last = self.play_events(events, names.len())?;
        self.sender.confirm_all()?;
        if (self.stopped)() {
            return Ok(());
        }
        self.replayed.loops += 1;
        self.progress.end_loop(self.sender.sent, last);
        if self.sender.sent == before {
            // Files without events are no reason to read them without a pause.
            sleep(LOOK, self.stopped);
        }
        Ok(())
    }

    /// Sends the events, each when it is due. Returns the time of the last one.
    fn play_events(
        &mut self,
        mut events: Merge,
        files: usize,
    ) -> Result<Option<Timestamp>, ReplayError> {
        let mut pace = Pace::new(self.settings.speed);
        let jitter = self.settings.jitter;
        let delays = !jitter.is_zero() && self.settings.speed > 0.0;
        let mut jitter = delays.then(|| Jitter::new(jitter, files));
        let (mut last, mut count) = (None, 0);
        let mut restamped = Vec::new();
        while let Some((entry, record)) = events.next()? {
            let due = pace.due(entry.time);
            let (mut time, mut record) = (entry.time, record);
            if self.settings.timestamps == Timestamps::Now {
                let (now, stamp) = self.stamps.give(pace.clock(due));
                entry.restamp(record, stamp, &mut restamped);
                (time, record) = (now, &restamped);
            }
            last = Some(time);
            match &mut jitter {
                None => self.send_when_due(&pace, due, entry.file, time, record)?,
                Some(jitter) => {
                    self.send_held(&pace, jitter, due)?;
                    jitter.hold(due, entry.file, time, record);
                }
            }
            count += 1;
            if count % STRIDE == 0 {
                self.progress.tell(self.sender.sent, time);
                if (self.stopped)() {
                    return Ok(last);
                }
            }
        }
        if let Some(jitter) = &mut jitter {
            self.send_held(&pace, jitter, Duration::MAX)?;
        }
        Ok(last)
    }

    /// Sends the delayed events that go before what is due at `due`.
    fn send_held(
        &mut self,
        pace: &Pace,
        jitter: &mut Jitter,
        due: Duration,
    ) -> Result<(), ReplayError> {
        while let Some(held) = jitter.next_before(due) {
            if (self.stopped)() {
                break;
            }
            self.send_when_due(pace, held.due, held.file, held.time, &held.record)?;
        }
        Ok(())
    }

    fn send_when_due(
        &mut self,
        pace: &Pace,
        due: Duration,
        file: u32,
        time: Timestamp,
        record: &[u8],
    ) -> Result<(), ReplayError> {
        loop {
            let left = pace.left(due);
            if left.is_zero() {
                return self.sender.send(file, record);
            }
            if (self.stopped)() {
                return Ok(());
            }
            self.progress.tell(self.sender.sent, time);
            // A pause is the time to hear what became of the records before it.
            if left >= NAP && self.sender.is_waiting() {
                self.sender.confirm(NAP)?;
            } else {
                std::thread::sleep(left.min(NAP));
            }
        }
    }
}
