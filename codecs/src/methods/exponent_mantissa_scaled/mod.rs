//! `exponent_mantissa_scaled`: exponent and upper mantissa bits of a 16-bit float, relative to the scales of its row and
//! its column, coded by their frequencies; sign and lower mantissa bits stored.
//!
//! The rows and columns of a weight matrix have scales of their own, and given both, the exponent is narrower and the
//! upper mantissa bits are less even. The scales are written out, to a quarter of an octave. So no weight waits for
//! another, and a chunk of rows can be decoded by itself.
//!
//! # Format
//!
//! | field | bytes |
//! | --- | --- |
//! | version, 1 | 1 |
//! | number of tensors | variable-length integer |
//! | number of weights of all tensors | variable-length integer |
//! | per tensor: layout, 0 bf16 or 1 fp16 | 1 |
//! | … number of rows, and of weights of a row | two variable-length integers |
//! | … 0, or 1 with the scales of its columns, see [`Scales`] | 1 or more |
//! | … its chunks: of [`CHUNK_WEIGHTS`] weights, or as many rows as do not hold more, and one at least; the last one shorter | |
//! | per chunk: mode | 1 |
//! | mode 0, stored: the words | 2 a weight |
//! | mode 1, constant: the word that all weights are | 2 |
//! | mode 2, coded: the scales of its rows | |
//! | … frequencies of the symbols, see [`Frequencies`], of each of [`PHASES`] classes | |
//! | … the symbols (`octaves`), see [`rans`](crate::rans) | |
//! | … upper mantissa bits that stand beside, three bits each | |
//! | … what is escaped, as 16 bits each | |
//! | … signs and lower mantissa bits: of bf16 four bits a weight, then a bit a weight with the signs; of fp16 a byte a weight, the sign on top | |
//!
//! A tensor without scales of columns has chunks without scales of rows: in their place stands one scale, and all weights
//! are of one class. A scale is a number of quarters of an octave; the sum of a weight's two, rounded down to whole
//! octaves, is its reference exponent, and what is left is its class.

mod decoder;
mod encoder;
mod rest;

use std::collections::BTreeMap;
use std::io::Write;

use crate::accounting::Accounting;
use crate::bytes::{ByteReader, CountingWriter, write_varint};
use crate::error::{DecodeError, EncodeError, MethodError};
use crate::float::FloatLayout;
use crate::float_unit::{Head, WORD_BYTES, write_head};
use crate::method::{Method, MethodFamily, ParameterValue};
use crate::octaves::UPPER_BITS;
use crate::scales::{PHASES, bias, octave, phase};
use crate::tensor::{Dtype, TensorView};
use crate::unit::{check_tensors, refuse_profile, refuse_profile_to_decode};
use decoder::Decoder;
use encoder::Encoder;

const NAME: &str = "exponent_mantissa_scaled";
const VERSION: u8 = 1;

/// Weights of a chunk.
const CHUNK_WEIGHTS: usize = 1 << 19;
/// Rows and columns from which on scales can pay.
const LEAST_SIDE: usize = 32;

/// Working memory beside the scales: a chunk's words, symbols, classes and planes, and the tables of the coder.
const MEMORY: u64 = 16 * CHUNK_WEIGHTS as u64;

pub(super) struct Family;

impl MethodFamily for Family {
    fn pattern(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        "rANS over exponent and upper mantissa bits of 16-bit floats, relative to the scales of row and column; the rest stored"
    }

    fn leaf(&self) -> &'static str {
        "codecs/src/methods/exponent_mantissa_scaled"
    }

    fn resolve(
        &self,
        name: &str,
        _parameters: &BTreeMap<String, ParameterValue>,
    ) -> Option<Result<Box<dyn Method>, MethodError>> {
        (name == NAME).then(|| Ok(Box::new(Scaled) as Box<dyn Method>))
    }

    fn examples(&self) -> Vec<String> {
        vec![NAME.to_owned()]
    }
}

struct Scaled;

/// A tensor as rows of weights.
#[derive(Clone, Copy)]
struct Matrix {
    layout: FloatLayout,
    rows: u64,
    columns: u64,
}

impl Matrix {
    /// The first axis counts rows; all others together are one. A tensor of one axis, or of none, is a single row.
    fn of(layout: FloatLayout, tensor: &TensorView<'_>, weights: u64) -> Matrix {
        let rows = match tensor.shape {
            [rows, _, ..] if weights > 0 => *rows,
            _ => 1,
        };
        Matrix {
            layout,
            rows,
            columns: weights / rows,
        }
    }

    fn may_have_scales(self) -> bool {
        let least = LEAST_SIDE as u64;
        self.rows >= least && self.columns >= least && self.columns <= CHUNK_WEIGHTS as u64
    }

    /// The weights of every chunk but the last.
    fn chunk(self, has_scales: bool) -> u64 {
        let whole = CHUNK_WEIGHTS as u64;
        match has_scales {
            true => (whole / self.columns).max(1) * self.columns,
            false => whole,
        }
    }
}

impl Method for Scaled {
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
        let mut encoder = Encoder::default();
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
            let matrix = Matrix::of(layout, tensor, words.len() as u64);
            header.push(layout.code());
            write_varint(&mut header, matrix.rows);
            write_varint(&mut header, matrix.columns);
            accounting.container += header.len() as u64;
            out.put(&header)?;
            header.clear();
            accounting += encoder.tensor(matrix, words, &mut out)?;
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
        let mut decoder = Decoder::default();
        for _ in 0..head.tensors {
            let layout = FloatLayout::read(&mut reader)?;
            let rows = reader.varint("number of rows")?;
            let columns = reader.varint("number of columns")?;
            head.claim(rows.checked_mul(columns))?;
            let matrix = Matrix {
                layout,
                rows,
                columns,
            };
            decoder.tensor(matrix, &mut reader, out)?;
        }
        head.finish()?;
        reader.finish()
    }

    fn takes(&self, dtype: Dtype) -> bool {
        FloatLayout::of(dtype).is_some()
    }

    fn encode_memory(&self, bytes: u64) -> u64 {
        // A row has a scale of 8 bytes and one of 2, and 32 weights at least.
        MEMORY + bytes / 4
    }

    fn decode_memory(&self, _bytes: u64) -> u64 {
        MEMORY
    }
}

/// What a chunk is referred to: a scale for each row, and those of the columns; or one scale for all.
struct References<'a> {
    layout: FloatLayout,
    rows: &'a [i16],
    columns: &'a [i16],
}

impl References<'_> {
    /// The reference exponents and classes of the weights of a chunk, in order, to `each`.
    fn each(&self, weights: usize, mut each: impl FnMut(i32, u8)) {
        let bias = bias(self.layout);
        if self.columns.is_empty() {
            let scale = self.rows.first().copied().unwrap_or_default();
            (0..weights).for_each(|_| each(octave(scale) + bias, 0));
            return;
        }
        for &row in self.rows {
            for &column in self.columns {
                let sum = row + column;
                each(octave(sum) + bias, phase(sum));
            }
        }
    }

    /// The classes of the weights of a chunk, and what the references add to their values.
    fn fill(&self, weights: usize, classes: &mut Vec<u8>, values: &mut Vec<i16>) {
        classes.clear();
        values.clear();
        let bias = bias(self.layout);
        let value = |sum: i16| ((octave(sum) + bias) << UPPER_BITS) as i16;
        if self.columns.is_empty() {
            let scale = self.rows.first().copied().unwrap_or_default();
            classes.resize(weights, 0);
            values.resize(weights, value(scale));
        }
        for &row in self.rows {
            classes.extend(self.columns.iter().map(|column| phase(row + column)));
            values.extend(self.columns.iter().map(|column| value(row + column)));
        }
    }

    fn classes(&self) -> usize {
        if self.columns.is_empty() { 1 } else { PHASES }
    }
}
