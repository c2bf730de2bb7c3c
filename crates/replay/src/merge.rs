//! Many sorted streams of events → one, with one block of each in memory.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::io;

use parse::Scanner;
use tracing::warn;

use crate::block::{Block, Entry, FileName};
use crate::spill::Run;

/// Events in the order of their time.
pub enum Stream {
    /// A file that is in order as it lies.
    File(Box<FileStream>),
    /// A sorted run.
    Run(Box<Run>),
}

/// The events of a file, one after another.
pub struct FileStream {
    scanner: Scanner,
    file: FileName,
    block: Block,
    index: usize,
}

impl FileStream {
    /// The events of `file`, which `scanner` reads.
    pub fn new(scanner: Scanner, file: FileName) -> FileStream {
        FileStream { scanner, file, block: Block::default(), index: 0 }
    }

    /// Goes to the next event; to the first when there was none. A file that cannot be read on
    /// ends here, and is warned of: the others go on.
    fn advance(&mut self) {
        self.index += 1;
        if self.index < self.block.len() {
            return;
        }
        self.index = 0;
        self.block.clear();
        while self.block.len() == 0 && !self.scanner.is_done() {
            let FileStream { scanner, file, block, .. } = self;
            if let Err(error) = scanner.step(&mut |event| block.push(event, file)) {
                warn!("{error}. The rest of it is left out; the others go on");
            }
        }
    }
}

impl From<FileStream> for Stream {
    fn from(file: FileStream) -> Stream {
        Stream::File(Box::new(file))
    }
}

impl From<Run> for Stream {
    fn from(run: Run) -> Stream {
        Stream::Run(Box::new(run))
    }
}

impl Stream {
    fn current(&self) -> Option<(&Entry, &[u8])> {
        match self {
            Stream::File(file) => file.block.get(file.index),
            Stream::Run(run) => run.current(),
        }
    }

    fn advance(&mut self) -> io::Result<()> {
        match self {
            Stream::File(file) => file.advance(),
            Stream::Run(run) => run.advance()?,
        }
        Ok(())
    }
}

/// All events of many streams, in the order of their time.
pub struct Merge {
    streams: Vec<Stream>,
    /// The streams that are not at their end; the one whose event is first on top.
    heap: BinaryHeap<Turn>,
    /// Whether the event on top was handed out.
    taken: bool,
}

/// The event that a stream is at.
struct Turn {
    entry: Entry,
    stream: usize,
}

impl Merge {
    /// The events of `streams`.
    ///
    /// # Errors
    /// When a run cannot be read.
    pub fn new(streams: Vec<Stream>) -> io::Result<Merge> {
        let mut merge = Merge { streams, heap: BinaryHeap::new(), taken: false };
        for (index, stream) in merge.streams.iter_mut().enumerate() {
            stream.advance()?;
            let turn = stream.current().map(|(entry, _)| Turn { entry: *entry, stream: index });
            merge.heap.extend(turn);
        }
        Ok(merge)
    }

    /// The next event, and its record.
    ///
    /// # Errors
    /// When a run cannot be read.
    #[allow(clippy::should_implement_trait, reason = "what it hands out is borrowed")]
    pub fn next(&mut self) -> io::Result<Option<(Entry, &[u8])>> {
        if self.taken
            && let Some(mut top) = self.heap.peek_mut()
        {
            let stream = &mut self.streams[top.stream];
            stream.advance()?;
            match stream.current() {
                Some((entry, _)) => top.entry = *entry,
                None => drop(PeekMut::pop(top)),
            }
        }
        self.taken = true;
        let top = self.heap.peek().and_then(|top| self.streams[top.stream].current());
        Ok(top.map(|(entry, record)| (*entry, record)))
    }
}

impl Ord for Turn {
    /// The first event is the greatest, as the heap wants it.
    fn cmp(&self, other: &Turn) -> Ordering {
        other.entry.by_time(&self.entry).then_with(|| other.stream.cmp(&self.stream))
    }
}

impl PartialOrd for Turn {
    fn partial_cmp(&self, other: &Turn) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Turn {
    fn eq(&self, other: &Turn) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Turn {}
