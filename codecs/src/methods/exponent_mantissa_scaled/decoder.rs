//! From bytes to words.

use std::io::Write;

use super::rest::{join_rest, rest_bytes};
use super::{Matrix, References};
use crate::bits::BitReader;
use crate::bytes::{ByteReader, put_decoded};
use crate::error::DecodeError;
use crate::float::FloatLayout;
use crate::float_unit::read_unless_coded;
use crate::octaves::{Needs, UPPER_BITS, lower_bits, needs, values};
use crate::rans::{ClassedDecoder, Frequencies};
use crate::scales::Scales;

/// Space for decoding, used again from chunk to chunk.
#[derive(Default)]
pub(super) struct Decoder {
    rows: Scales,
    columns: Scales,
    above: Vec<u8>,
    symbols: Vec<u8>,
    classes: Vec<u8>,
    references: Vec<i16>,
    words: Vec<[u8; 2]>,
}

impl Decoder {
    pub(super) fn tensor(
        &mut self,
        matrix: Matrix,
        reader: &mut ByteReader<'_>,
        out: &mut dyn Write,
    ) -> Result<(), DecodeError> {
        let at = reader.at();
        let has_scales = match reader.byte("whether there are scales")? {
            0 => false,
            1 if matrix.may_have_scales() => true,
            found => {
                return Err(DecodeError::Field {
                    what: "whether there are scales",
                    at,
                    expected: "0, or 1 for a matrix that may have them",
                    found: found.into(),
                });
            }
        };
        self.columns.quarters.clear();
        if has_scales {
            let columns = matrix.columns as usize;
            self.columns.read(columns, &mut self.above, reader)?;
        }
        // It was held against the number of all weights.
        let mut left = matrix.rows * matrix.columns;
        while left > 0 {
            let weights = left.min(matrix.chunk(has_scales));
            self.chunk(matrix.layout, weights as usize, reader)?;
            put_decoded(out, self.words.as_flattened())?;
            left -= weights;
        }
        Ok(())
    }

    fn chunk(
        &mut self,
        layout: FloatLayout,
        weights: usize,
        reader: &mut ByteReader<'_>,
    ) -> Result<(), DecodeError> {
        self.words.resize(weights, [0; 2]);
        if read_unless_coded(reader, &mut self.words)? {
            self.coded(layout, reader)?;
        }
        Ok(())
    }

    /// Decodes a chunk of as many weights as there are words.
    fn coded(
        &mut self,
        layout: FloatLayout,
        reader: &mut ByteReader<'_>,
    ) -> Result<(), DecodeError> {
        let weights = self.words.len();
        let columns = self.columns.quarters.len();
        let rows = weights.checked_div(columns).unwrap_or(1);
        self.rows.read(rows, &mut self.above, reader)?;
        let references = References {
            layout,
            rows: &self.rows.quarters,
            columns: &self.columns.quarters,
        };
        references.fill(weights, &mut self.classes, &mut self.references);
        let frequencies = (0..references.classes())
            .map(|_| Frequencies::read(reader))
            .collect::<Result<Vec<_>, _>>()?;
        self.symbols.resize(weights, 0);
        ClassedDecoder::new(&frequencies).decode(reader, &self.classes, &mut self.symbols)?;

        let count = |wanted| {
            let of_wanted = self
                .symbols
                .iter()
                .filter(|&&symbol| needs(symbol) == wanted);
            of_wanted.count() as u64
        };
        let (uppers, escapes) = (count(Needs::Upper), count(Needs::Escaped));
        let beside_at = reader.at();
        let beside_bytes = (uppers * u64::from(UPPER_BITS)).div_ceil(8);
        let beside = reader.take(beside_bytes, "upper mantissa bits")?;
        let escaped = reader.take(2 * escapes, "escaped weights")?;
        let rest = reader.take(rest_bytes(layout, weights), "signs and lower mantissa bits")?;

        let lower = lower_bits(layout);
        let to_word = |whole: u16| (whole << lower & 0x7fff).to_le_bytes();
        let values = values();
        let parts = self.symbols.iter().zip(&self.references);
        for (word, (&symbol, &reference)) in self.words.iter_mut().zip(parts) {
            *word = to_word(values[usize::from(symbol)].wrapping_add(reference) as u16);
        }
        // One weight in twenty has something beside.
        let mut beside = ByteReader::new(beside);
        let mut bits = BitReader::new("upper mantissa bits");
        let mut escaped = escaped.as_chunks().0.iter();
        for (word, &symbol) in self.words.iter_mut().zip(&self.symbols) {
            match needs(symbol) {
                Needs::Nothing => {}
                Needs::Upper => {
                    let [low, high] = to_word(bits.take(&mut beside, UPPER_BITS)? as u16);
                    word[0] |= low;
                    word[1] |= high;
                }
                Needs::Escaped => {
                    let whole = escaped.next().map_or(0, |bytes| u16::from_le_bytes(*bytes));
                    *word = to_word(whole);
                }
            }
        }
        if bits.rest() != 0 {
            return Err(DecodeError::Field {
                what: "upper mantissa bits",
                at: beside_at,
                expected: "filled up with zero bits",
                found: bits.rest().into(),
            });
        }
        join_rest(layout, rest, &mut self.words);
        Ok(())
    }
}
