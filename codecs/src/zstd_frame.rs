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

/// Base-two logarithm of the largest window that a decoder accepts: 128 MiB, which level 22 uses and none exceeds.
pub const WINDOW_LOG_MAX: u32 = 27;

const LIBRARY: &str = "zstd";

/// What libzstd needs beside the window to decode: two blocks of 128 KiB, tables, and the buffers here.
const DECODE_OVERHEAD: u64 = 1 << 20;

/// Upper estimate of the bytes of memory that writing a frame takes.
///
/// libzstd shrinks its tables to the content size. Without that, its own estimates (`ZSTD_estimateCStreamSize`) are
/// 90 MiB up to level 19 and 800 MiB up to 22.
pub fn encode_memory(level: u32, content: u64) -> u64 {
    let most = match level {
        0..=12 => 48 << 20,
        13..=19 => 96 << 20,
        _ => 832 << 20,
    };
    content.saturating_mul(16).saturating_add(8 << 20).min(most)
}

/// Upper estimate of the bytes of memory that reading a frame takes.
pub fn decode_memory(content: u64) -> u64 {
    content.min(1 << WINDOW_LOG_MAX) + DECODE_OVERHEAD
}

fn encode_error(code: ErrorCode) -> EncodeError {
    EncodeError::Backend {
        library: LIBRARY,
        message: get_error_name(code).to_owned(),
    }
}

/// Writes one frame whose content is given in pieces.
pub struct FrameWriter {
    context: CCtx<'static>,
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
            buffer: vec![0; CHUNK_BYTES],
        })
    }

    /// Adds a piece of the content.
    ///
    /// # Errors
    ///
    /// [`EncodeError::Backend`] where libzstd fails, also when there is more content than was announced;
    /// [`EncodeError::Write`] where `out` does.
    pub fn put(&mut self, piece: &[u8], out: &mut CountingWriter<'_>) -> Result<(), EncodeError> {
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
    /// [`EncodeError::Backend`] where libzstd fails, also when there was less content than announced;
    /// [`EncodeError::Write`] where `out` does.
    pub fn finish(mut self, out: &mut CountingWriter<'_>) -> Result<(), EncodeError> {
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
    /// Begins to read `frame`, which lies at offset `at` of its unit.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Backend`] where this is no zstd frame, or one that does not say how long its content is.
    pub fn new(frame: &'a [u8], at: u64) -> Result<Self, DecodeError> {
        let refuse = |message: &str| DecodeError::Backend {
            library: LIBRARY,
            at,
            message: message.to_owned(),
        };
        let content = get_frame_content_size(frame)
            .map_err(|_| refuse("not the beginning of a frame"))?
            .ok_or_else(|| refuse("the frame does not declare its content's size"))?;
        let mut context =
            DCtx::try_create().ok_or_else(|| refuse("no memory for a decompression context"))?;
        context
            .set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))
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
    /// [`DecodeError::Backend`] where the frame is damaged or its window is above [`WINDOW_LOG_MAX`],
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
