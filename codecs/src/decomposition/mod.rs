//! Files in streams: what the published study's methods for whole GGUF files share.
//!
//! The study is "Practical Limits of Lossless Compression for bf16 Transformer LLM Weights" (Rotem, 2026). *Published*
//! are the names of the methods, their ratios, and that a file becomes a recipe of byte regions and five streams,
//! `meta`, `nibbles_q4k`, `quant_other`, `scales_q4k` and `tensor_f32`, each compressed on its own by zstd; that `_bg`
//! groups the bytes of `scales_q4k` first; and that `decomp_qb_full` has its coder for `Q4_K` and zstd at level 19 for
//! the rest. What is in which stream, the form of the recipe, and how bytes are grouped are *reconstructed*:
//!
//! | of a file | goes to |
//! | --- | --- |
//! | header, metadata, descriptions of tensors, padding | `meta` |
//! | tensors of `Q4_K`: of each super-block the first 16 bytes | `scales_q4k` |
//! | … the other 128 | `nibbles_q4k` |
//! | tensors of `F32` | `tensor_f32` |
//! | tensors of any other type | `quant_other` |
//!
//! The recipe of the study is 9,054 bytes of JSON for a file of half a billion weights; here it is some hundred bytes,
//! with what lies in a row and goes to the same streams as one stretch.
//!
//! Each tensor of a unit is taken for a file. One that is no sound GGUF file, or describes more than
//! 16,384 tensors or entries of metadata, goes to `meta` whole.
//!
//! # Format
//!
//! | field | bytes |
//! | --- | --- |
//! | version, 1 | 1 |
//! | the recipe: number of stretches | variable-length integer |
//! | … per stretch: 0 `meta`, 1 `Q4_K`, 2 `quant_other`, 3 `tensor_f32` | 1 |
//! | … … its bytes | variable-length integer |
//! | the streams that are not empty, in the order of their names | |
//! | their lengths | 8 each, little-endian |
//!
//! No stretch is empty and no two neighbours are of the same kind. A stream is one zstd frame. Of `scales_q4k`, a
//! method may group the bytes: of every 2^17 super-blocks, and of what is left, first come the first bytes of all
//! headers, then the second ones, and so on. Or it may have [`mixture`]'s runs for `nibbles_q4k` and
//! `scales_q4k`, each in a row.
//!
//! Every stream is written and read by itself, a piece at a time, so that no file is held.

mod recipe;
mod streams;

use std::io::Write;

use crate::accounting::{Accounting, RECIPE, StreamBytes};
use crate::bytes::{ByteReader, CHUNK_BYTES, CountingWriter, put_decoded};
use crate::error::{DecodeError, EncodeError, ProfileProblem};
use crate::method::Method;
use crate::mixture::{self, BLOCK_BYTES, HEADER_BYTES, Mixture, NIBBLE_BYTES};
use crate::tensor::{Dtype, TensorView};
use crate::unit::check_tensors;
use crate::zstd_frame;

use recipe::{Kind, Recipe};
use streams::{Stream, StreamReader, StreamWriter};

const VERSION: u8 = 1;
/// Bytes of a stream's length.
const LENGTH_BYTES: u64 = 8;
/// Super-blocks that are put together at a time.
const WOVEN: u64 = 256;
/// Upper estimate of the memory for what describes the tensors of a file, of which there are not too many.
const DESCRIPTIONS: u64 = 16 << 20;
/// How much of it a byte of a file can take.
const DESCRIPTIONS_A_BYTE: u64 = 20;
/// Buffers and tables.
const BUFFERS: u64 = 1 << 20;

/// How a method codes `Q4_K`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlockCoding {
    /// Headers and nibbles by zstd.
    Zstd,
    /// The same, the bytes of the headers grouped.
    Grouped,
    /// By a profile.
    Mixture,
}

/// The same, with the profile.
enum Blocks {
    Zstd,
    Grouped,
    Mixture(Mixture),
}

/// A method for whole files.
pub(crate) struct Decomposed {
    /// Its name.
    pub(crate) name: String,
    /// The level of zstd.
    pub(crate) level: u32,
    /// How it codes `Q4_K`.
    pub(crate) blocks: BlockCoding,
}

impl Decomposed {
    fn with_profile(&self, profile: Option<&[u8]>) -> Result<Blocks, ProfileProblem> {
        match (self.blocks, profile) {
            (BlockCoding::Zstd, None) => Ok(Blocks::Zstd),
            (BlockCoding::Grouped, None) => Ok(Blocks::Grouped),
            (BlockCoding::Mixture, profile) => Ok(Blocks::Mixture(Mixture::of_profile(profile)?)),
            (_, Some(_)) => Err(ProfileProblem::NotUsed),
        }
    }
}

impl Method for Decomposed {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn encode(
        &self,
        tensors: &[TensorView<'_>],
        profile: Option<&[u8]>,
        out: &mut dyn Write,
    ) -> Result<Accounting, EncodeError> {
        let blocks = self
            .with_profile(profile)
            .map_err(|problem| EncodeError::Profile {
                method: self.name(),
                problem,
            })?;
        check_tensors(self, tensors)?;
        let pieces = recipe::pieces(tensors);
        let contents = recipe::write(&pieces);
        let mut out = CountingWriter::new(out);
        out.put(&[VERSION])?;
        out.put(&contents.recipe)?;
        let mut accounting = Accounting {
            container: out.written(),
            ..Accounting::default()
        };
        let writer = StreamWriter {
            pieces: &pieces,
            blocks: &blocks,
            level: self.level,
        };
        let mut lengths = Vec::new();
        for stream in Stream::ALL {
            let bytes = stream.content(&contents.bytes);
            if bytes > 0 {
                let before = out.written();
                accounting += writer.write(stream, bytes, &mut out)?;
                lengths.extend((out.written() - before).to_le_bytes());
            }
        }
        out.put(&lengths)?;
        accounting.container += lengths.len() as u64;
        Ok(accounting)
    }

    fn decode(
        &self,
        encoded: &[u8],
        profile: Option<&[u8]>,
        out: &mut dyn Write,
    ) -> Result<(), DecodeError> {
        let blocks = self
            .with_profile(profile)
            .map_err(|problem| DecodeError::Profile {
                method: self.name(),
                problem,
            })?;
        let plan = Plan::read(encoded)?;
        let open = |stream| {
            let content = plan.content(stream);
            let place = plan.place(stream);
            StreamReader::open(stream, &blocks, self.level, place, content)
        };
        let mut meta = open(Stream::Meta)?;
        let mut nibbles = open(Stream::NibblesQ4K)?;
        let mut other = open(Stream::QuantOther)?;
        let mut scales = open(Stream::ScalesQ4K)?;
        let mut floats = open(Stream::TensorF32)?;
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut weaver = Weaver::default();
        for (kind, bytes) in plan.recipe.stretches() {
            let stream = match kind {
                Kind::Q4K => {
                    weaver.weave(bytes, &mut scales, &mut nibbles, out)?;
                    continue;
                }
                Kind::Meta => &mut meta,
                Kind::Other => &mut other,
                Kind::F32 => &mut floats,
            };
            let mut left = bytes;
            while left > 0 {
                let count = left.min(CHUNK_BYTES as u64);
                let piece = buffer.get_mut(..count as usize).unwrap_or(&mut []);
                stream.fill(piece)?;
                put_decoded(out, piece)?;
                left -= count;
            }
        }
        [meta, nibbles, other, scales, floats]
            .into_iter()
            .try_for_each(StreamReader::finish)
    }

    fn streams(&self, encoded: &[u8]) -> Result<Vec<StreamBytes>, DecodeError> {
        let plan = Plan::read(encoded)?;
        let streams = Stream::ALL.map(|stream| StreamBytes {
            name: stream.name(),
            bytes_in: plan.content(stream),
            bytes_out: plan.place(stream).bytes().len() as u64,
        });
        let recipe = StreamBytes {
            name: RECIPE,
            bytes_in: 0,
            bytes_out: plan.recipe_bytes,
        };
        Ok(streams.into_iter().chain([recipe]).collect())
    }

    fn takes(&self, dtype: Dtype) -> bool {
        dtype == Dtype::U8
    }

    fn encode_memory(&self, bytes: u64) -> u64 {
        let own = match self.blocks {
            BlockCoding::Zstd => 0,
            BlockCoding::Grouped => streams::grouped_memory(bytes),
            BlockCoding::Mixture => mixture::encode_memory(bytes),
        };
        let descriptions = bytes.saturating_mul(DESCRIPTIONS_A_BYTE).min(DESCRIPTIONS);
        zstd_frame::encode_memory(self.level, bytes) + own + descriptions + BUFFERS
    }

    fn decode_memory(&self, bytes: u64) -> u64 {
        let streams = Stream::ALL.len() as u64;
        // Together the windows hold no more than the bytes themselves.
        let windows = streams << zstd_frame::window_log(self.level);
        let own = match self.blocks {
            BlockCoding::Zstd => 0,
            BlockCoding::Grouped => streams::grouped_memory(bytes),
            BlockCoding::Mixture => 2 * mixture::decode_memory(bytes),
        };
        bytes.min(windows) + streams * zstd_frame::decode_memory(self.level, 0) + own + BUFFERS
    }
}

/// What the beginning and the end of an encoding say.
struct Plan<'a> {
    recipe: Recipe<'a>,
    recipe_bytes: u64,
    /// Of each stream; an empty one has no bytes.
    places: Vec<Place<'a>>,
}

/// Where a stream is.
#[derive(Clone, Copy, Default)]
struct Place<'a> {
    at: u64,
    /// All up to its end.
    until: &'a [u8],
}

impl<'a> Place<'a> {
    fn bytes(&self) -> &'a [u8] {
        self.until.get(self.at as usize..).unwrap_or(&[])
    }

    /// Reads it, with offsets that count from the start of the encoding.
    fn reader(&self) -> Result<ByteReader<'a>, DecodeError> {
        let mut reader = ByteReader::new(self.until);
        reader.take(self.at, "streams before")?;
        Ok(reader)
    }
}

impl<'a> Plan<'a> {
    fn read(encoded: &'a [u8]) -> Result<Plan<'a>, DecodeError> {
        let mut reader = ByteReader::new(encoded);
        let version = reader.byte("version")?;
        if version != VERSION {
            return Err(DecodeError::Field {
                what: "version",
                at: 0,
                expected: "1",
                found: version.into(),
            });
        }
        let recipe_at = reader.at();
        let recipe = Recipe::read(&mut reader)?;
        let recipe_bytes = reader.at() - recipe_at;
        let is_used = |stream: &Stream| stream.content(&recipe.bytes) > 0;
        let used = Stream::ALL.iter().filter(|stream| is_used(stream)).count();
        let start = reader.at();
        let all = reader.left().saturating_sub(used as u64 * LENGTH_BYTES);
        reader.take(all, "streams")?;
        // Ends where the lengths begin.
        let mut streams = ByteReader::new(encoded.get(..(start + all) as usize).unwrap_or(&[]));
        streams.take(start, "recipe")?;
        let mut places = Vec::with_capacity(Stream::ALL.len());
        for stream in &Stream::ALL {
            let at = streams.at();
            if is_used(stream) {
                let length = u64::from_le_bytes(reader.array("length of a stream")?);
                streams.take(length, "stream")?;
            }
            let end = streams.at() as usize;
            let until = encoded.get(..end).unwrap_or(&[]);
            places.push(Place { at, until });
        }
        streams.finish()?;
        reader.finish()?;
        Ok(Plan {
            recipe,
            recipe_bytes,
            places,
        })
    }

    /// Bytes of a stream's content.
    fn content(&self, stream: Stream) -> u64 {
        stream.content(&self.recipe.bytes)
    }

    fn place(&self, stream: Stream) -> Place<'a> {
        self.places
            .get(stream as usize)
            .copied()
            .unwrap_or_default()
    }
}

/// Puts headers and nibbles together.
#[derive(Default)]
struct Weaver {
    headers: Vec<u8>,
    nibbles: Vec<u8>,
    woven: Vec<u8>,
}

impl Weaver {
    fn weave(
        &mut self,
        bytes: u64,
        scales: &mut StreamReader<'_>,
        nibbles: &mut StreamReader<'_>,
        out: &mut dyn Write,
    ) -> Result<(), DecodeError> {
        let mut left = bytes / BLOCK_BYTES as u64;
        while left > 0 {
            let count = left.min(WOVEN) as usize;
            self.headers.resize(count * HEADER_BYTES, 0);
            self.nibbles.resize(count * NIBBLE_BYTES, 0);
            scales.fill(&mut self.headers)?;
            nibbles.fill(&mut self.nibbles)?;
            self.woven.clear();
            let headers = self.headers.chunks(HEADER_BYTES);
            for (header, nibbles) in headers.zip(self.nibbles.chunks(NIBBLE_BYTES)) {
                self.woven.extend_from_slice(header);
                self.woven.extend_from_slice(nibbles);
            }
            put_decoded(out, &self.woven)?;
            left -= count as u64;
        }
        Ok(())
    }
}
