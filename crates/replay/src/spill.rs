//! Sorting more events than memory holds: sorted runs on disk, to be merged.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::rc::Rc;

use parse::LineEvent;

use crate::block::{Block, Entry, FileName};

/// How much of a run is read at once, in bytes.
const CHUNK: usize = 64 * 1024;

/// Takes events in any order, and writes them to disk in sorted runs.
pub struct Sorter {
    block: Block,
    /// How large a run is, in bytes of memory.
    limit: usize,
    disk: BufWriter<File>,
    written: u64,
    runs: Vec<Range<u64>>,
}

impl Sorter {
    /// A sorter of runs of about `limit` bytes.
    ///
    /// # Errors
    /// When there is no place for temporary files.
    pub fn new(limit: usize) -> io::Result<Sorter> {
        // It has no name, so it is gone with the process, however that ends.
        let disk = BufWriter::with_capacity(1 << 20, tempfile::tempfile()?);
        Ok(Sorter { block: Block::default(), limit, disk, written: 0, runs: Vec::new() })
    }

    /// Takes an event.
    pub fn push(&mut self, event: &LineEvent, file: &FileName) {
        self.block.push(event, file);
    }

    /// Writes a run when there is enough for one. To be called now and then.
    ///
    /// # Errors
    /// When the disk takes no more.
    pub fn relieve(&mut self) -> io::Result<()> {
        if self.block.size() < self.limit { Ok(()) } else { self.spill() }
    }

    fn spill(&mut self) -> io::Result<()> {
        self.block.sort();
        let start = self.written;
        self.written += self.block.write(&mut self.disk)?;
        self.runs.push(start..self.written);
        self.block.clear();
        Ok(())
    }

    /// The sorted runs.
    ///
    /// # Errors
    /// When the disk takes no more.
    pub fn finish(mut self) -> io::Result<Sorted> {
        self.spill()?;
        self.disk.flush()?;
        let disk = self.disk.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(Sorted { disk: Rc::new(disk), runs: self.runs })
    }
}

/// Sorted runs on disk, which can be read more than once.
pub struct Sorted {
    disk: Rc<File>,
    runs: Vec<Range<u64>>,
}

impl Sorted {
    /// The runs, from their beginnings.
    pub fn streams(&self) -> impl Iterator<Item = Run> {
        self.runs.iter().map(|range| Run {
            disk: Rc::clone(&self.disk),
            left: range.clone(),
            chunk: Vec::new(),
            block: Block::default(),
            index: 0,
        })
    }
}

/// The events of a run, one after another.
pub struct Run {
    disk: Rc<File>,
    left: Range<u64>,
    chunk: Vec<u8>,
    block: Block,
    index: usize,
}

impl Run {
    /// The event in turn.
    pub fn current(&self) -> Option<(&Entry, &[u8])> {
        self.block.get(self.index)
    }

    /// Goes to the next event; to the first when there was none.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub fn advance(&mut self) -> io::Result<()> {
        self.index += 1;
        if self.index >= self.block.len() {
            self.index = 0;
            self.block.clear();
            self.refill(CHUNK)?;
        }
        Ok(())
    }

    fn refill(&mut self, wanted: usize) -> io::Result<()> {
        let length = (self.left.end - self.left.start).min(wanted as u64);
        if length == 0 {
            return Ok(());
        }
        self.chunk.resize(length as usize, 0);
        // All runs share one file, and one position in it.
        let mut disk = &*self.disk;
        disk.seek(SeekFrom::Start(self.left.start))?;
        disk.read_exact(&mut self.chunk)?;
        match self.block.read(&self.chunk) {
            0 if length == self.left.end - self.left.start => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "a run of sorted events is damaged"))
            }
            // One record is larger than the chunk.
            0 => self.refill(wanted * 2),
            taken => {
                self.left.start += taken as u64;
                Ok(())
            }
        }
    }
}
