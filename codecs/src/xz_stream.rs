//! One xz stream, written and read piece by piece.
//!
//! The stream has no check of its content: a check is nothing that decoding needs, and the few bytes would count. The
//! container's own checks of its headers and index remain, as the format has no way without them. Bytes depend on the
//! version of liblzma, which the workspace pins and which is built from source.

use liblzma::stream::{Action, Check, Error, Status, Stream};

use crate::bytes::{CHUNK_BYTES, CountingWriter};
use crate::error::{DecodeError, EncodeError};

/// The highest preset; the lowest is 0.
pub const MOST_PRESET: u32 = 9;

const LIBRARY: &str = "liblzma";
const WHAT: &str = "xz stream";

/// Memory in bytes that a reader may take: preset 9 has a dictionary of 64 MiB, and needs a little more.
pub const DECODE_MEMORY_LIMIT: u64 = 66 << 20;

/// Memory in MiB that writing takes at each preset, as the manual of xz has it.
const ENCODE_MEMORY_MIB: [u64; 10] = [3, 9, 17, 32, 48, 94, 94, 186, 370, 674];

/// Upper estimate of the bytes of memory that writing a stream takes.
pub fn encode_memory(preset: u32) -> u64 {
    let mib = ENCODE_MEMORY_MIB.get(preset as usize).copied().unwrap_or(0);
    (mib + 1) << 20
}

/// Writes one stream whose content is given in pieces.
pub struct StreamWriter {
    stream: Stream,
    buffer: Vec<u8>,
}

impl StreamWriter {
    /// Begins a stream at `preset`, from 0 to [`MOST_PRESET`].
    ///
    /// # Errors
    ///
    /// [`EncodeError::Backend`] where liblzma gets no memory or refuses the preset.
    pub fn new(preset: u32) -> Result<Self, EncodeError> {
        Ok(StreamWriter {
            stream: Stream::new_easy_encoder(preset, Check::None).map_err(encode_error)?,
            buffer: vec![0; CHUNK_BYTES],
        })
    }

    /// Adds a piece of the content.
    ///
    /// # Errors
    ///
    /// [`EncodeError::Backend`] where liblzma fails, [`EncodeError::Write`] where `out` does.
    pub fn put(&mut self, piece: &[u8], out: &mut CountingWriter<'_>) -> Result<(), EncodeError> {
        let mut left = piece;
        while !left.is_empty() {
            let step = Step::run(&mut self.stream, left, &mut self.buffer, Action::Run);
            let step = step.map_err(encode_error)?;
            left = left.get(step.read..).unwrap_or(&[]);
            out.put(self.buffer.get(..step.written).unwrap_or(&[]))?;
        }
        Ok(())
    }

    /// Ends the stream.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put) has them.
    pub fn finish(mut self, out: &mut CountingWriter<'_>) -> Result<(), EncodeError> {
        loop {
            let step = Step::run(&mut self.stream, &[], &mut self.buffer, Action::Finish);
            let step = step.map_err(encode_error)?;
            out.put(self.buffer.get(..step.written).unwrap_or(&[]))?;
            if step.ended {
                return Ok(());
            }
        }
    }
}

/// Reads one stream, and nothing after it.
pub struct StreamReader<'a> {
    stream: Stream,
    input: &'a [u8],
    /// Offset of the stream in the encoded unit, for errors.
    at: u64,
    ended: bool,
}

impl<'a> StreamReader<'a> {
    /// Begins to read a stream that lies at offset `at` of its unit.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Backend`] where liblzma gets no memory.
    pub fn new(input: &'a [u8], at: u64) -> Result<Self, DecodeError> {
        let stream = Stream::new_stream_decoder(DECODE_MEMORY_LIMIT, 0);
        Ok(StreamReader {
            stream: stream.map_err(|error| decode_error(error, at))?,
            input,
            at,
            ended: false,
        })
    }

    /// The input that was not taken, and its offset in the unit.
    fn left(&self) -> (&'a [u8], u64) {
        let taken = self.stream.total_in();
        let left = usize::try_from(taken)
            .ok()
            .and_then(|taken| self.input.get(taken..))
            .unwrap_or(&[]);
        (left, self.at + taken)
    }

    /// Fills `buffer` with content; returns fewer bytes than it holds only at the end.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Backend`] where the stream is damaged, [`DecodeError::Memory`] where it needs more than
    /// [`DECODE_MEMORY_LIMIT`], and [`DecodeError::Truncated`] where it ends early.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, DecodeError> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty())
            && !self.ended
        {
            let (left, at) = self.left();
            let step = Step::run(&mut self.stream, left, rest, Action::Run)
                .map_err(|error| decode_error(error, at))?;
            filled += step.written;
            self.ended = step.ended;
            if !step.ended && step.read == 0 && step.written == 0 {
                return Err(DecodeError::Truncated {
                    what: WHAT,
                    at: self.at,
                    expected: self.input.len() as u64 + 1,
                    found: self.input.len() as u64,
                });
            }
        }
        Ok(filled)
    }

    /// Ends the reading once all content was read.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read) has them, [`DecodeError::Length`] where there is more content, and
    /// [`DecodeError::Trailing`] where bytes follow the stream.
    pub fn finish(mut self) -> Result<(), DecodeError> {
        let expected = self.stream.total_out();
        if self.read(&mut [0])? > 0 {
            return Err(DecodeError::Length {
                what: WHAT,
                at: self.at,
                expected,
                found: expected + 1,
            });
        }
        match self.left() {
            ([], _) => Ok(()),
            (left, at) => Err(DecodeError::Trailing {
                at,
                found: left.len() as u64,
            }),
        }
    }
}

/// Fills `data` with the content of a stream, which lies at offset `at`.
///
/// # Errors
///
/// As [`StreamReader`] has them, and [`DecodeError::Length`] where there is another number of bytes.
pub fn fill_from_stream(stream: &[u8], at: u64, data: &mut [u8]) -> Result<(), DecodeError> {
    let mut reader = StreamReader::new(stream, at)?;
    let found = reader.read(data)?;
    if found < data.len() {
        return Err(DecodeError::Length {
            what: WHAT,
            at,
            expected: data.len() as u64,
            found: found as u64,
        });
    }
    reader.finish()
}

/// What one call of the library did.
struct Step {
    read: usize,
    written: usize,
    ended: bool,
}

impl Step {
    fn run(
        stream: &mut Stream,
        input: &[u8],
        output: &mut [u8],
        action: Action,
    ) -> Result<Step, Error> {
        let before = (stream.total_in(), stream.total_out());
        let status = stream.process(input, output, action)?;
        Ok(Step {
            read: (stream.total_in() - before.0) as usize,
            written: (stream.total_out() - before.1) as usize,
            ended: matches!(status, Status::StreamEnd),
        })
    }
}

fn encode_error(error: Error) -> EncodeError {
    EncodeError::Backend {
        library: LIBRARY,
        message: error.to_string(),
    }
}

fn decode_error(error: Error, at: u64) -> DecodeError {
    match error {
        Error::MemLimit => DecodeError::Memory {
            what: WHAT,
            at,
            limit: DECODE_MEMORY_LIMIT,
        },
        error => DecodeError::Backend {
            library: LIBRARY,
            at,
            message: error.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(content: &[u8], piece: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut out = CountingWriter::new(&mut bytes);
        let mut writer = StreamWriter::new(0).unwrap();
        for piece in content.chunks(piece) {
            writer.put(piece, &mut out).unwrap();
        }
        writer.finish(&mut out).unwrap();
        bytes
    }

    #[test]
    fn streams_come_back_however_they_were_cut() {
        let content: Vec<u8> = (0..200_000u32).map(|i| (i % 777 * i / 99) as u8).collect();
        let stream = write(&content, 200_000);
        assert_eq!(stream, write(&content, 991));
        let mut data = vec![0; content.len()];
        fill_from_stream(&stream, 0, &mut data).unwrap();
        assert!(data == content);
        fill_from_stream(&write(&[], 1), 0, &mut []).unwrap();
    }

    #[test]
    fn other_lengths_are_refused() {
        let stream = write(&[5; 100], 100);
        for length in [0, 99, 101] {
            let found = fill_from_stream(&stream, 3, &mut vec![0; length]);
            assert!(
                matches!(found, Err(DecodeError::Length { at: 3, .. })),
                "{length}"
            );
        }
        let longer: Vec<u8> = stream.iter().copied().chain([0]).collect();
        let found = fill_from_stream(&longer, 3, &mut [0; 100]);
        assert!(matches!(found, Err(DecodeError::Trailing { found: 1, .. })));
        for length in 0..stream.len() {
            assert!(fill_from_stream(&stream[..length], 0, &mut [0; 100]).is_err());
        }
    }
}
