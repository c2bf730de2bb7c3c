//! UTF-16 → UTF-8, as a stream.

use std::io::{self, BufReader, Read};

use encoding_rs::{Decoder, Encoding};

/// Bytes decoded at once.
const BLOCK: usize = 64 * 1024;

/// Decodes what it reads.
pub(crate) struct Transcoder<R> {
    file: BufReader<R>,
    decoder: Decoder,
    input: Vec<u8>,
    ready: Vec<u8>,
    taken: usize,
    ended: bool,
}

impl<R: Read> Transcoder<R> {
    pub fn new(file: R, encoding: &'static Encoding) -> Transcoder<R> {
        Transcoder {
            file: BufReader::new(file),
            decoder: encoding.new_decoder_with_bom_removal(),
            input: vec![0; BLOCK],
            ready: Vec::new(),
            taken: 0,
            ended: false,
        }
    }

    fn refill(&mut self) -> io::Result<()> {
        let count = self.file.read(&mut self.input)?;
        self.ended = count == 0;
        let room = self.decoder.max_utf8_buffer_length(count).unwrap_or(4 * BLOCK);
        self.ready.resize(room, 0);
        let (_, _, written, _) =
            self.decoder.decode_to_utf8(&self.input[..count], &mut self.ready, self.ended);
        self.ready.truncate(written);
        self.taken = 0;
        Ok(())
    }
}

impl<R: Read> Read for Transcoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.ready.len() && !self.ended {
            self.refill()?;
        }
        let count = (&self.ready[self.taken..]).read(buffer)?;
        self.taken += count;
        Ok(count)
    }
}
