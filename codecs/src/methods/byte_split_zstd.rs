//! `byte_split_zstd_N`: the first bytes of all elements as one zstd frame, the second bytes as another, and so on.
//!
//! # Format
//!
//! | field | bytes |
//! | --- | --- |
//! | number of runs | variable-length integer |
//! | per run: width of its elements, 1, 2, 4 or 8 | 1 |
//! | … number of elements | variable-length integer |
//! | a zstd frame for each plane, as many as the greatest width | |
//! | the frames' lengths | 8 each, little-endian |
//!
//! A run is tensors of elements of the same width, one after the other; no two neighbouring runs have the same width
//! and none is empty. Plane k holds byte k of each element that is wider than k, in order. Elements narrower than a
//! byte count as bytes. The lengths come last because they are known last.

use std::io::Write;

use crate::accounting::Accounting;
use crate::bytes::{ByteReader, CHUNK_BYTES, CountingWriter, put_decoded, write_varint};
use crate::error::{DecodeError, EncodeError};
use crate::method::Method;
use crate::numbered::NumberedFamily;
use crate::tensor::{Block, Dtype, TensorView};
use crate::unit::{check_tensors, refuse_profile, refuse_profile_to_decode};
use crate::zstd_frame::{self, FrameReader, FrameWriter, LEAST_LEVEL, MOST_LEVEL};

const PREFIX: &str = "byte_split_zstd_";

const MOST_WIDTH: usize = 8;
const LENGTH_BYTES: u64 = 8;

pub(super) static FAMILY: NumberedFamily = NumberedFamily {
    prefix: PREFIX,
    pattern: "byte_split_zstd_N",
    about: "zstd at level N, 1 to 22, over each byte of the elements on its own",
    leaf: "codecs/src/methods/byte_split_zstd.rs",
    numbers: LEAST_LEVEL..=MOST_LEVEL,
    method: |level| Box::new(ByteSplitZstd { level }),
    chunked: None,
};

struct ByteSplitZstd {
    level: u32,
}

impl Method for ByteSplitZstd {
    fn name(&self) -> String {
        format!("{PREFIX}{}", self.level)
    }

    fn encode(
        &self,
        tensors: &[TensorView<'_>],
        profile: Option<&[u8]>,
        out: &mut dyn Write,
    ) -> Result<Accounting, EncodeError> {
        refuse_profile(self, profile)?;
        check_tensors(self, tensors)?;
        let runs = runs(tensors);
        let mut out = CountingWriter::new(out);

        let mut header = Vec::new();
        write_varint(&mut header, runs.len() as u64);
        for run in &runs {
            header.push(run.width as u8);
            write_varint(&mut header, run.elements);
        }
        out.put(&header)?;

        let mut trailer = Vec::new();
        for plane in 0..planes(&runs) {
            let before = out.written();
            let mut frame = FrameWriter::new(self.level, plane_bytes(&runs, plane))?;
            let mut buffer = Vec::with_capacity(CHUNK_BYTES);
            for tensor in tensors {
                let width = width(tensor.dtype);
                if plane >= width {
                    continue;
                }
                for piece in tensor.data.chunks(CHUNK_BYTES) {
                    buffer.clear();
                    buffer.extend(piece.iter().skip(plane).step_by(width));
                    frame.put(&buffer, &mut out)?;
                }
            }
            frame.finish(&mut out)?;
            trailer.extend((out.written() - before).to_le_bytes());
        }
        out.put(&trailer)?;
        let container = (header.len() + trailer.len()) as u64;
        Ok(Accounting {
            payload: out.written() - container,
            tables: 0,
            container,
        })
    }

    fn decode(
        &self,
        encoded: &[u8],
        profile: Option<&[u8]>,
        out: &mut dyn Write,
    ) -> Result<(), DecodeError> {
        refuse_profile_to_decode(self, profile)?;
        let mut reader = ByteReader::new(encoded);
        let runs = read_runs(&mut reader)?;
        let mut frames = open_frames(&mut reader, &runs, self.level)?;
        let mut plane = [0; CHUNK_BYTES / MOST_WIDTH];
        let mut woven = [0; CHUNK_BYTES];
        for run in &runs {
            let mut left = run.elements;
            while left > 0 {
                let count = left.min(plane.len() as u64) as usize;
                let woven = woven.get_mut(..count * run.width).unwrap_or(&mut []);
                let plane = plane.get_mut(..count).unwrap_or(&mut []);
                for (place, frame) in frames.iter_mut().take(run.width).enumerate() {
                    // The frames' contents were held against the runs, so each has as much as is asked of it.
                    frame.read(plane)?;
                    for (slot, &byte) in
                        woven.iter_mut().skip(place).step_by(run.width).zip(&*plane)
                    {
                        *slot = byte;
                    }
                }
                put_decoded(out, woven)?;
                left -= count as u64;
            }
        }
        frames.into_iter().try_for_each(FrameReader::finish)
    }

    fn takes(&self, _dtype: Dtype) -> bool {
        true
    }

    fn encode_memory(&self, bytes: u64) -> u64 {
        zstd_frame::encode_memory(self.level, bytes)
    }

    fn decode_memory(&self, bytes: u64) -> u64 {
        // Of the widths, the greatest has the most windows; together they hold no more than the bytes themselves.
        let planes = MOST_WIDTH as u64;
        let windows = planes << zstd_frame::window_log(self.level);
        bytes.min(windows) + planes * zstd_frame::decode_memory(self.level, 0)
    }
}

/// Neighbouring tensors whose elements are equally wide.
struct Run {
    /// Bytes of an element.
    width: usize,
    elements: u64,
}

/// Bytes of an element, one where elements share bytes.
fn width(dtype: Dtype) -> usize {
    match dtype.block() {
        Block { elements: 1, bytes } => bytes as usize,
        _ => 1,
    }
}

fn runs(tensors: &[TensorView<'_>]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for tensor in tensors.iter().filter(|tensor| !tensor.data.is_empty()) {
        let width = width(tensor.dtype);
        let elements = (tensor.data.len() / width) as u64;
        match runs.last_mut() {
            Some(run) if run.width == width => run.elements += elements,
            _ => runs.push(Run { width, elements }),
        }
    }
    runs
}

fn planes(runs: &[Run]) -> usize {
    runs.iter().map(|run| run.width).max().unwrap_or(0)
}

fn plane_bytes(runs: &[Run], plane: usize) -> u64 {
    runs.iter()
        .filter(|run| run.width > plane)
        .fold(0, |sum, run| sum.saturating_add(run.elements))
}

fn read_runs(reader: &mut ByteReader<'_>) -> Result<Vec<Run>, DecodeError> {
    let mut runs: Vec<Run> = Vec::new();
    // The count is not trusted with an allocation; each run takes two bytes at least.
    for _ in 0..reader.varint("number of runs")? {
        let at = reader.at();
        let width = reader.byte("width of a run")?;
        let elements = reader.varint("elements of a run")?;
        let refuse = |what, expected, found| DecodeError::Field {
            what,
            at,
            expected,
            found,
        };
        if !matches!(width, 1 | 2 | 4 | 8) {
            return Err(refuse("width of a run", "1, 2, 4 or 8", width.into()));
        }
        let width = usize::from(width);
        if elements == 0 {
            return Err(refuse("elements of a run", "one or more", 0));
        }
        if runs.last().is_some_and(|last| last.width == width) {
            let found = width as u64;
            return Err(refuse("width of a run", "another than before", found));
        }
        runs.push(Run { width, elements });
    }
    Ok(runs)
}

/// Finds the planes' frames by the lengths at the end, and holds their contents against the runs.
fn open_frames<'a>(
    reader: &mut ByteReader<'a>,
    runs: &[Run],
    level: u32,
) -> Result<Vec<FrameReader<'a>>, DecodeError> {
    let planes = planes(runs);
    let start = reader.at();
    let trailer_bytes = planes as u64 * LENGTH_BYTES;
    let frames_bytes = reader.left().saturating_sub(trailer_bytes);
    let mut frames_reader = *reader;
    reader.take(frames_bytes, "frames")?;
    let mut frames = Vec::with_capacity(planes);
    for plane in 0..planes {
        let length = u64::from_le_bytes(reader.array("length of a frame")?);
        let at = frames_reader.at();
        let frame = FrameReader::new(frames_reader.take(length, "frame")?, at, level)?;
        let expected = plane_bytes(runs, plane);
        if frame.content() != expected {
            return Err(DecodeError::Length {
                what: "frame",
                at,
                expected,
                found: frame.content(),
            });
        }
        frames.push(frame);
    }
    match start + frames_bytes - frames_reader.at().min(start + frames_bytes) {
        0 if reader.left() == 0 => Ok(frames),
        0 => Err(DecodeError::Trailing {
            at: reader.at(),
            found: reader.left(),
        }),
        found => Err(DecodeError::Trailing {
            at: frames_reader.at(),
            found,
        }),
    }
}
