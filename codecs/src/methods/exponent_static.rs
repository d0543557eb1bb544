//! `exponent_static`: the whole exponent of a 16-bit float coded by its frequency in a chunk, sign and mantissa stored.
//!
//! This is order-0 coding done with care and nothing more: what any method that models weights has to beat.
//!
//! # Format
//!
//! | field | bytes |
//! | --- | --- |
//! | version, 1 | 1 |
//! | number of tensors | variable-length integer |
//! | number of weights of all tensors | variable-length integer |
//! | per tensor: layout, 0 bf16 or 1 fp16 | 1 |
//! | … number of weights | variable-length integer |
//! | … its chunks of [`CHUNK_WEIGHTS`] weights, the last one shorter | |
//! | per chunk: mode | 1 |
//! | mode 0, stored: the words | 2 a weight |
//! | mode 1, constant: the word that all weights are | 2 |
//! | mode 2, coded: frequencies of the exponents, see [`Frequencies`] | |
//! | … the exponents, see [`rans`](crate::rans) | |
//! | … signs and mantissas, see [`FloatLayout::split`] | |
//!
//! The number of all weights guards those of the tensors, on which nothing else depends where chunks are constant.
//!
//! A chunk is constant if it can be, coded if that is shorter than stored, and stored otherwise.

use std::collections::BTreeMap;
use std::io::Write;

use crate::accounting::Accounting;
use crate::bytes::{ByteReader, CountingWriter, put_decoded, write_varint};
use crate::error::{DecodeError, EncodeError, MethodError};
use crate::float::FloatLayout;
use crate::float_unit::{
    Head, WORD_BYTES, read_unless_coded, write_head, write_if_constant, write_shorter,
};
use crate::method::{Method, MethodFamily, ParameterValue};
use crate::rans::{self, Frequencies};
use crate::tensor::{Dtype, TensorView};
use crate::unit::{check_tensors, refuse_profile, refuse_profile_to_decode};

const NAME: &str = "exponent_static";
const VERSION: u8 = 1;

/// Weights of a chunk. Shorter ones follow local statistics more closely and pay more for tables and states; of the
/// powers of two this one made MiniLM, cast to bf16, the smallest.
const CHUNK_WEIGHTS: usize = 1 << 18;

/// Working memory: a chunk's words, exponents and rest, its encoding, the coder's tables.
const MEMORY: u64 = 16 * CHUNK_WEIGHTS as u64;

pub(super) struct Family;

impl MethodFamily for Family {
    fn pattern(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        "order-0 rANS over the whole exponent of 16-bit floats, chunk by chunk; signs and mantissas stored"
    }

    fn leaf(&self) -> &'static str {
        "codecs/src/methods/exponent_static.rs"
    }

    fn resolve(
        &self,
        name: &str,
        _parameters: &BTreeMap<String, ParameterValue>,
    ) -> Option<Result<Box<dyn Method>, MethodError>> {
        (name == NAME).then(|| Ok(Box::new(ExponentStatic) as Box<dyn Method>))
    }

    fn examples(&self) -> Vec<String> {
        vec![NAME.to_owned()]
    }
}

struct ExponentStatic;

impl Method for ExponentStatic {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn encode(
        &self,
        tensors: &[TensorView<'_>],
        profile: Option<&[u8]>,
        out: &mut dyn Write,
    ) -> Result<Accounting, EncodeError> {
        refuse_profile(self, profile)?;
        let total = check_tensors(self, tensors)?;
        let mut out = CountingWriter::new(out);
        let mut accounting = Accounting::default();
        let mut scratch = Scratch::default();

        let mut header = Vec::new();
        write_head(&mut header, VERSION, tensors.len(), total / WORD_BYTES);
        for tensor in tensors {
            let Some(layout) = FloatLayout::of(tensor.dtype) else {
                return Err(EncodeError::Dtype {
                    method: self.name(),
                    tensor: tensor.name.to_owned(),
                    dtype: tensor.dtype,
                });
            };
            let (words, _) = tensor.data.as_chunks();
            header.push(layout.code());
            write_varint(&mut header, words.len() as u64);
            accounting.container += header.len() as u64;
            out.put(&header)?;
            header.clear();
            for chunk in words.chunks(CHUNK_WEIGHTS) {
                accounting += scratch.encode(layout, chunk, &mut out)?;
            }
        }
        // Without tensors there is only the header.
        accounting.container += header.len() as u64;
        out.put(&header)?;
        Ok(accounting)
    }

    fn decode(
        &self,
        encoded: &[u8],
        profile: Option<&[u8]>,
        out: &mut dyn Write,
    ) -> Result<(), DecodeError> {
        refuse_profile_to_decode(self, profile)?;
        let mut reader = ByteReader::new(encoded);
        let mut head = Head::read(&mut reader)?;
        let mut scratch = Scratch::default();
        for _ in 0..head.tensors {
            let layout = FloatLayout::read(&mut reader)?;
            let weights = reader.varint("number of weights")?;
            let mut left = head.claim(Some(weights))?;
            while left > 0 {
                let weights = left.min(CHUNK_WEIGHTS as u64);
                scratch.decode(layout, weights as usize, &mut reader)?;
                put_decoded(out, scratch.words.as_flattened())?;
                left -= weights;
            }
        }
        head.finish()?;
        reader.finish()
    }

    fn takes(&self, dtype: Dtype) -> bool {
        FloatLayout::of(dtype).is_some()
    }

    fn encode_memory(&self, _bytes: u64) -> u64 {
        MEMORY
    }

    fn decode_memory(&self, _bytes: u64) -> u64 {
        MEMORY
    }
}

/// Space for a chunk, used again for the next.
#[derive(Default)]
struct Scratch {
    exponents: Vec<u8>,
    rest: Vec<u8>,
    table: Vec<u8>,
    stream: Vec<u8>,
    rans_words: Vec<u16>,
    words: Vec<[u8; 2]>,
}

impl Scratch {
    /// Encodes a chunk, which is not empty.
    fn encode(
        &mut self,
        layout: FloatLayout,
        words: &[[u8; 2]],
        out: &mut CountingWriter<'_>,
    ) -> Result<Accounting, EncodeError> {
        if let Some(accounting) = write_if_constant(words, out)? {
            return Ok(accounting);
        }
        self.code(layout, words);
        write_shorter(words, &self.table, &[&self.stream, &self.rest], out)
    }

    /// Fills table, stream and rest.
    fn code(&mut self, layout: FloatLayout, words: &[[u8; 2]]) {
        layout.split(words, &mut self.exponents, &mut self.rest);
        self.table.clear();
        self.stream.clear();
        if let Some(frequencies) = Frequencies::fit(&count(&self.exponents)) {
            frequencies.write(&mut self.table);
            rans::encode(
                &self.exponents,
                &frequencies,
                &mut self.rans_words,
                &mut self.stream,
            );
        }
    }

    /// Decodes a chunk of `weights` weights into `words`.
    fn decode(
        &mut self,
        layout: FloatLayout,
        weights: usize,
        reader: &mut ByteReader<'_>,
    ) -> Result<(), DecodeError> {
        self.words.resize(weights, [0; 2]);
        if read_unless_coded(reader, &mut self.words)? {
            let frequencies = Frequencies::read(reader)?;
            self.exponents.resize(weights, 0);
            rans::decode(reader, &frequencies, &mut self.exponents)?;
            let rest = reader.take(layout.rest_bytes(weights) as u64, "signs and mantissas")?;
            layout.join(&self.exponents, rest, &mut self.words);
        }
        Ok(())
    }
}

/// How often each byte occurs. Four tables, so that equal neighbours do not wait for each other.
fn count(bytes: &[u8]) -> [u32; 256] {
    let mut counts = [[0u32; 256]; 4];
    let (fours, rest) = bytes.as_chunks::<4>();
    for four in fours {
        for (table, &byte) in counts.iter_mut().zip(four) {
            table[usize::from(byte)] += 1;
        }
    }
    let [mut sums, others @ ..] = counts;
    for &byte in rest {
        sums[usize::from(byte)] += 1;
    }
    for table in others {
        for (sum, count) in sums.iter_mut().zip(table) {
            *sum += count;
        }
    }
    sums
}
