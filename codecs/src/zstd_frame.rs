//! One zstd frame, written and read piece by piece.
//!
//! Encoded bytes must not depend on how the input was cut, so there is one call path: a fresh context with the level,
//! the content size and no checksum; then all input with `ZSTD_compressStream`, never flushed; then `ZSTD_endStream`.
//! Bytes still depend on the version of libzstd, which the workspace pins.

use zstd::zstd_safe::{
    CCtx, CParameter, DCtx, DParameter, ErrorCode, InBuffer, OutBuffer, get_error_name,
    get_frame_content_size,
};

use crate::bytes::{CHUNK_BYTES, CountingWriter};
use crate::error::{DecodeError, EncodeError};

/// Lowest level.
pub const LEAST_LEVEL: u32 = 1;
/// Highest level.
pub const MOST_LEVEL: u32 = 22;

const LIBRARY: &str = "zstd";
/// What a frame begins with.
const MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();

/// Base-two logarithm of the window that libzstd uses at `level` for contents of any length. A reader accepts no larger
/// one, so it never needs more than 8 MiB for it up to level 19, and 128 MiB at level 22.
pub fn window_log(level: u32) -> u32 {
    match level {
        0..=19 => 23,
        20 => 25,
        21 => 26,
        _ => 27,
    }
}

/// Upper estimate of the bytes of memory that writing a frame takes: the window, the tables, which are shrunk for
/// short contents, and the buffers.
pub fn encode_memory(level: u32, content: u64) -> u64 {
    let most = match level {
        0..=12 => 64 << 20,
        13..=19 => 104 << 20,
        20 => 240 << 20,
        21 => 480 << 20,
        _ => 848 << 20,
    };
    content.saturating_mul(16).saturating_add(8 << 20).min(most)
}

/// Upper estimate of the bytes of memory that reading a frame takes: the window, and a MiB for blocks and buffers.
pub fn decode_memory(level: u32, content: u64) -> u64 {
    content.min(1 << window_log(level)) + (1 << 20)
}

fn encode_error(code: ErrorCode) -> EncodeError {
    EncodeError::Backend {
        library: LIBRARY,
        message: get_error_name(code).to_owned(),
    }
}

fn wrong_length() -> EncodeError {
    EncodeError::Backend {
        library: LIBRARY,
        message: "the content is not as long as announced".to_owned(),
    }
}

/// Writes one frame whose content is given in pieces.
pub struct FrameWriter {
    context: CCtx<'static>,
    /// Bytes of content that are yet to come. libzstd forgets the announced size where a frame ends at once.
    left: u64,
    buffer: Vec<u8>,
}

impl FrameWriter {
    /// Begins a frame of `content` bytes at `level`, from [`LEAST_LEVEL`] to [`MOST_LEVEL`].
    ///
    /// # Errors
    ///
    /// [`EncodeError::Backend`] where libzstd gets no memory or refuses the level.
    pub fn new(level: u32, content: u64) -> Result<Self, EncodeError> {
        let mut context = CCtx::try_create().ok_or_else(|| EncodeError::Backend {
            library: LIBRARY,
            message: "no memory for a compression context".to_owned(),
        })?;
        for parameter in [
            CParameter::CompressionLevel(level.min(MOST_LEVEL) as i32),
            CParameter::ContentSizeFlag(true),
            CParameter::ChecksumFlag(false),
        ] {
            context.set_parameter(parameter).map_err(encode_error)?;
        }
        context
            .set_pledged_src_size(Some(content))
            .map_err(encode_error)?;
        Ok(FrameWriter {
            context,
            left: content,
            buffer: vec![0; CHUNK_BYTES],
        })
    }

    /// Adds a piece of the content.
    ///
    /// # Errors
    ///
    /// [`EncodeError::Backend`] where libzstd fails or there is more content than announced;
    /// [`EncodeError::Write`] where `out` does.
    pub fn put(&mut self, piece: &[u8], out: &mut CountingWriter<'_>) -> Result<(), EncodeError> {
        self.left = self
            .left
            .checked_sub(piece.len() as u64)
            .ok_or_else(wrong_length)?;
        let mut input = InBuffer::around(piece);
        while input.pos() < piece.len() {
            let mut output = OutBuffer::around(self.buffer.as_mut_slice());
            self.context
                .compress_stream(&mut output, &mut input)
                .map_err(encode_error)?;
            out.put(output.as_slice())?;
        }
        Ok(())
    }

    /// Ends the frame.
    ///
    /// # Errors
    ///
    /// [`EncodeError::Backend`] where libzstd fails or there was less content than announced;
    /// [`EncodeError::Write`] where `out` does.
    pub fn finish(mut self, out: &mut CountingWriter<'_>) -> Result<(), EncodeError> {
        if self.left > 0 {
            return Err(wrong_length());
        }
        loop {
            let mut output = OutBuffer::around(self.buffer.as_mut_slice());
            let left = self.context.end_stream(&mut output).map_err(encode_error)?;
            out.put(output.as_slice())?;
            if left == 0 {
                return Ok(());
            }
        }
    }
}

/// Reads one frame that declares its content's size, and nothing after it.
pub struct FrameReader<'a> {
    context: DCtx<'static>,
    input: InBuffer<'a>,
    input_len: usize,
    /// Offset of the frame in the encoded unit, for errors.
    at: u64,
    content: u64,
    produced: u64,
    ended: bool,
}

impl<'a> FrameReader<'a> {
    /// Begins to read `frame`, which lies at offset `at` of its unit and was written at `level`.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Backend`] where this is no zstd frame, or one that does not say how long its content is.
    pub fn new(frame: &'a [u8], at: u64, level: u32) -> Result<Self, DecodeError> {
        let refuse = |message: &str| DecodeError::Backend {
            library: LIBRARY,
            at,
            message: message.to_owned(),
        };
        // What else the library may know, such as frames from before version 1, depends on how it was built.
        if !frame.starts_with(&MAGIC) {
            return Err(refuse("not the beginning of a frame"));
        }
        let content = get_frame_content_size(frame)
            .map_err(|_| refuse("not the beginning of a frame"))?
            .ok_or_else(|| refuse("the frame does not declare its content's size"))?;
        let mut context =
            DCtx::try_create().ok_or_else(|| refuse("no memory for a decompression context"))?;
        context
            .set_parameter(DParameter::WindowLogMax(window_log(level)))
            .map_err(|code| refuse(get_error_name(code)))?;
        Ok(FrameReader {
            context,
            input: InBuffer::around(frame),
            input_len: frame.len(),
            at,
            content,
            produced: 0,
            ended: false,
        })
    }

    /// Bytes of content that the frame declares.
    pub fn content(&self) -> u64 {
        self.content
    }

    /// Fills `buffer` with content; returns fewer bytes than it holds only at the end.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Backend`] where the frame is damaged or its window is above that of [`window_log`],
    /// [`DecodeError::Truncated`] where it ends early, and [`DecodeError::Length`] where the content is not as long as
    /// declared.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, DecodeError> {
        let wanted = buffer.len();
        let mut output = OutBuffer::around(buffer);
        while output.pos() < wanted && !self.ended {
            let before = (self.input.pos(), output.pos());
            let hint = self
                .context
                .decompress_stream(&mut output, &mut self.input)
                .map_err(|code| DecodeError::Backend {
                    library: LIBRARY,
                    at: self.at,
                    message: get_error_name(code).to_owned(),
                })?;
            if hint == 0 {
                self.ended = true;
            } else if before == (self.input.pos(), output.pos()) {
                return Err(DecodeError::Truncated {
                    what: "zstd frame",
                    at: self.at,
                    expected: (self.input_len + hint) as u64,
                    found: self.input_len as u64,
                });
            }
        }
        let count = output.pos();
        self.produced += count as u64;
        if self.produced > self.content || (self.ended && self.produced < self.content) {
            return Err(DecodeError::Length {
                what: "zstd frame",
                at: self.at,
                expected: self.content,
                found: self.produced,
            });
        }
        Ok(count)
    }

    /// Ends the reading once all content was read.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read) has them, and [`DecodeError::Trailing`] where bytes follow the frame.
    pub fn finish(mut self) -> Result<(), DecodeError> {
        // The frame may hold an empty last block that no read has asked for.
        while !self.ended {
            self.read(&mut [0])?;
        }
        match self.input_len - self.input.pos() {
            0 => Ok(()),
            found => Err(DecodeError::Trailing {
                at: self.at + self.input.pos() as u64,
                found: found as u64,
            }),
        }
    }
}

/// Fills `data` with the content of a frame, which lies at offset `at` and was written at `level`.
///
/// # Errors
///
/// As [`FrameReader`] has them, and [`DecodeError::Length`] where there is another number of bytes.
pub fn fill_from_frame(
    frame: &[u8],
    at: u64,
    level: u32,
    data: &mut [u8],
) -> Result<(), DecodeError> {
    let mut frame = FrameReader::new(frame, at, level)?;
    if frame.content() != data.len() as u64 {
        return Err(DecodeError::Length {
            what: "zstd frame",
            at,
            expected: data.len() as u64,
            found: frame.content(),
        });
    }
    let mut filled = 0;
    while let Some(rest) = data.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match frame.read(rest)? {
            0 => break,
            count => filled += count,
        }
    }
    frame.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        (0u32..400_000)
            .map(|i| (i % 60_000 * (i % 60_000) / 77) as u8 % 23)
            .collect()
    }

    fn write(level: u32, content: &[u8], piece: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut out = CountingWriter::new(&mut bytes);
        let mut frame = FrameWriter::new(level, content.len() as u64).unwrap();
        for piece in content.chunks(piece) {
            frame.put(piece, &mut out).unwrap();
        }
        frame.finish(&mut out).unwrap();
        bytes
    }

    #[test]
    fn bytes_do_not_depend_on_the_pieces() {
        let content = sample();
        for level in [1, 3, 19] {
            let whole = write(level, &content, content.len());
            for piece in [1000, 65_536, 131_072, 131_073] {
                assert!(write(level, &content, piece) == whole, "{level}, {piece}");
            }
        }
    }

    #[test]
    fn a_wrong_length_is_an_error() {
        let mut bytes = Vec::new();
        let mut out = CountingWriter::new(&mut bytes);
        let frame = FrameWriter::new(3, 5).unwrap();
        assert!(frame.finish(&mut out).is_err());
        let mut frame = FrameWriter::new(3, 5).unwrap();
        let put = frame.put(&[0; 6], &mut out);
        assert!(put.is_err() || frame.finish(&mut out).is_err());
    }

    #[test]
    fn a_window_above_the_levels_is_refused() {
        // Level 22 has a window of 2^27 for a content that long; the rest of the frame is not even looked at.
        let mut header = Vec::new();
        let mut out = CountingWriter::new(&mut header);
        let mut frame = FrameWriter::new(22, 1 << 30).unwrap();
        frame.put(&sample(), &mut out).unwrap();
        let mut reader = FrameReader::new(&header, 0, 19).unwrap();
        let found = reader.read(&mut [0; 16]);
        assert!(matches!(found, Err(DecodeError::Backend { .. })));
        let mut reader = FrameReader::new(&header, 0, 22).unwrap();
        assert_eq!(reader.read(&mut [0; 16]).unwrap(), 16);
    }

    #[test]
    fn memory_is_as_estimated() {
        for level in LEAST_LEVEL..=MOST_LEVEL {
            for content in [0, 1_000, 1_000_000, 1 << 33] {
                let mut frame = FrameWriter::new(level, content).unwrap();
                let mut bytes = Vec::new();
                let piece = vec![0; content.min(1_000) as usize];
                frame
                    .put(&piece, &mut CountingWriter::new(&mut bytes))
                    .unwrap();
                let taken = (frame.context.sizeof() + frame.buffer.len()) as u64;
                let estimate = encode_memory(level, content);
                assert!(
                    taken <= estimate,
                    "{level}, {content}: {taken} > {estimate}"
                );
            }
        }
    }

    #[test]
    fn frames_that_declare_no_size_are_refused() {
        // A frame of an empty last block whose descriptor has neither a content size nor a single segment.
        let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x00, 0x01, 0x00, 0x00];
        let found = FrameReader::new(&frame, 7, 3);
        assert!(matches!(found, Err(DecodeError::Backend { at: 7, .. })));
    }
}
