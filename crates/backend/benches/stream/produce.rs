//! Replay at SPEED=0 beside a bare producer.

use replay::Settings;

use crate::logs;
use crate::print::{ROUNDS, heading, ratio, row, time};
use crate::tape::{Tape, bus};

const EVENTS: usize = 1_500_000;

/// Of the ERROR and WARNING lines, one in so many says a text of the dictionary.
const KNOWN_OF: usize = 10;

pub fn run() {
    heading(
        "replay at SPEED=0, from files, beside a bare rdkafka producer of the same records from \
         memory\n(10 files and topics, idempotent, acks=all, lz4)",
    );
    let folder = tempfile::tempdir().unwrap();
    logs::write(folder.path(), EVENTS, KNOWN_OF);
    let settings = Settings {
        folder: folder.path().to_owned(),
        topic_prefix: testing::unique("replay"),
        speed: 0.0,
        loops: 1,
        ..Settings::default()
    };
    let tape = Tape::of(&settings);
    let bus = bus();
    let replay = || {
        let replayed = replay::run(&settings, &bus, &|| false).unwrap();
        assert_eq!(replayed.events, tape.len() as u64);
    };
    // The broker gets warm.
    replay();
    tape.send_bare();
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(time(replay));
        bare.push(time(|| tape.send_bare()));
    }
    row("replay", &ours, tape.len(), tape.bytes(), "events");
    row("bare producer", &bare, tape.len(), tape.bytes(), "events");
    ratio(&ours, &bare);
}
