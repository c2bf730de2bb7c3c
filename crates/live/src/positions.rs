//! How far a stage is in each partition.

use std::collections::HashMap;
use std::sync::Arc;

use bus::{Partition, Position, Record};

/// The offsets behind what was polled. Records mostly come in runs of one partition.
#[derive(Default)]
pub struct Positions {
    next: HashMap<Partition, i64>,
    run: Option<(Partition, i64)>,
}

impl Positions {
    /// Takes note of a record.
    pub fn note(&mut self, record: &Record) {
        match &mut self.run {
            Some((partition, next))
                if partition.number == record.partition && *partition.topic == *record.topic =>
            {
                *next = record.offset + 1;
            }
            _ => {
                self.end_run();
                let topic = Arc::from(record.topic);
                let partition = Partition { topic, number: record.partition };
                self.run = Some((partition, record.offset + 1));
            }
        }
    }

    fn end_run(&mut self) {
        if let Some((partition, next)) = self.run.take() {
            self.next.insert(partition, next);
        }
    }

    /// The positions of a stage that remembers nothing, and begins anew.
    pub fn take(&mut self) -> Vec<Position> {
        self.end_run();
        let position = |(partition, next)| Position { partition, next, rebuild: next };
        self.next.drain().map(position).collect()
    }
}
