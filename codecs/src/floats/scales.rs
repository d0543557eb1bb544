//! The scales of a matrix's rows and columns, in quarters of an octave.
//!
//! A weight's reference is the sum of two scales: in octaves rounded down it is an exponent, and which quarter of the
//! octave is left is the weight's *phase*. Sums and shifts of small integers, so that a decoder has nothing to compute
//! that could come out otherwise elsewhere.

use super::tensor::{FloatTensor, Matrix};
use crate::bytes::{ByteReader, write_varint};
use crate::error::DecodeError;
use crate::float::FloatLayout;
use crate::rans::{self, DecoderTable, EncoderTable, Frequencies};
use crate::simd::vectorized;

/// How many phases an octave has.
pub(crate) const PHASES: usize = 1 << PHASE_BITS;
pub(crate) const PHASE_BITS: u32 = 2;
/// Rounds of fitting rows to columns and columns to rows. More change nothing that can be seen in a size.
const ROUNDS: usize = 3;
/// The most that a scale is, of either sign.
const MOST: i16 = 2000;
const WHAT: &str = "scales";

/// Scales of rows or of columns.
///
/// # Written form
///
/// The least of them as a variable-length integer, the sign in its lowest bit; then what each is above that as a byte,
/// coded by its frequencies: the table and the stream of [`rans`](crate::rans).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scales {
    pub(crate) quarters: Vec<i16>,
}

impl Scales {
    /// Rounds scales. None is more than 255 quarters above the least.
    fn of(scales: &[f32]) -> Scales {
        let quarter = |scale: &f32| {
            let octaves = libm::log2(f64::from(scale.max(f32::MIN_POSITIVE)));
            // Weights have exponents of 8 bits, so that nothing real comes near the bounds.
            let quarters = libm::round(octaves * PHASES as f64);
            quarters.clamp(-f64::from(MOST), f64::from(MOST)) as i16
        };
        let mut quarters: Vec<i16> = scales.iter().map(quarter).collect();
        let least = quarters.iter().copied().min().unwrap_or(0);
        for quarter in &mut quarters {
            *quarter = (*quarter).min(least + 255);
        }
        Scales { quarters }
    }

    /// Appends the written form. There is one scale at least.
    pub(crate) fn write(quarters: &[i16], out: &mut Vec<u8>) {
        let least = quarters.iter().copied().min().unwrap_or(0);
        write_one(least, out);
        let above: Vec<u8> = quarters.iter().map(|scale| (scale - least) as u8).collect();
        let mut counts = [0; 256];
        for &byte in &above {
            counts[usize::from(byte)] += 1;
        }
        if let Some(frequencies) = Frequencies::fit(&counts) {
            frequencies.write(out);
            let table = EncoderTable::new(&frequencies);
            rans::encode(&above, &table, &mut Vec::new(), out);
        }
    }

    /// Takes the written form of `count` scales, one at least.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] where bytes are missing, [`DecodeError::Field`] where it is no such form.
    pub(crate) fn read(
        &mut self,
        count: usize,
        reader: &mut ByteReader<'_>,
    ) -> Result<(), DecodeError> {
        let least = read_one(reader)?;
        let table = DecoderTable::new(&[Frequencies::read(reader)?]);
        self.quarters.clear();
        let quarters = &mut self.quarters;
        rans::decode(reader, &table, count, &mut |_, above: &mut [u8]| {
            quarters.extend(above.iter().map(|&above| least + i16::from(above)));
            Ok(())
        })
    }
}

/// Takes a scale.
///
/// # Errors
///
/// [`DecodeError::Truncated`] where bytes are missing, [`DecodeError::Field`] where no scale is so large.
pub(crate) fn read_one(reader: &mut ByteReader<'_>) -> Result<i16, DecodeError> {
    let at = reader.at();
    let written = reader.varint(WHAT)?;
    let scale = unzigzag(written).filter(|scale| scale.abs() <= MOST);
    scale.ok_or(DecodeError::Field {
        what: WHAT,
        at,
        expected: "from -2000 to 2000",
        found: written,
    })
}

/// Appends a scale: a variable-length integer, the sign in its lowest bit.
pub(crate) fn write_one(scale: i16, out: &mut Vec<u8>) {
    write_varint(out, zigzag(scale));
}

fn zigzag(number: i16) -> u64 {
    let number = i64::from(number);
    (number << 1 ^ number >> 63) as u64
}

fn unzigzag(number: u64) -> Option<i16> {
    let number = i32::try_from(number).ok()?;
    i16::try_from(number >> 1 ^ -(number & 1)).ok()
}

/// Fits scales to a matrix: of the rows and of the columns, such that each is the mean magnitude of its weights over
/// what the others say of them.
pub(crate) fn fit(tensor: &FloatTensor<'_>) -> (Scales, Scales) {
    let (rows, columns) = (tensor.matrix.rows as usize, tensor.matrix.columns as usize);
    let mut magnitudes = vec![0.0; columns];
    let mut of_rows = vec![0.0; rows];
    let mut of_columns = vec![1.0; columns];
    let mut sums = vec![0.0; columns];
    // What is nothing but zeros has a scale too: one far below the others.
    let mut floor = f32::MIN_POSITIVE;
    for _ in 0..ROUNDS {
        let inverse: Vec<f32> = of_columns.iter().map(|scale| 1.0 / scale).collect();
        sums.fill(0.0);
        let mut all = 0.0;
        for (number, row) in of_rows.iter_mut().enumerate() {
            tensor.magnitudes(number * columns, &mut magnitudes);
            let mean = product(&magnitudes, &inverse) / columns as f32;
            all += f64::from(mean);
            *row = mean + floor;
            add(&mut sums, &magnitudes, 1.0 / *row);
        }
        for (column, sum) in of_columns.iter_mut().zip(&sums) {
            *column = sum / rows as f32 + 1.0 / 1024.0;
        }
        floor = (all / rows as f64 / 1024.0).max(f64::from(f32::MIN_POSITIVE)) as f32;
    }
    (Scales::of(&of_rows), Scales::of(&of_columns))
}

vectorized! {
    /// Adds numbers times a factor.
    fn add(sums: &mut [f32], numbers: &[f32], factor: f32) {
        for (sum, number) in sums.iter_mut().zip(numbers) {
            *sum += number * factor;
        }
    }
}

vectorized! {
    /// The sum of the products. In sixteen sums, so that the order of additions is the same on every machine, and is one
    /// that vectors can follow.
    fn product(a: &[f32], b: &[f32]) -> f32 {
        let mut sums = [0.0; 16];
        let (a, a_left) = a.as_chunks::<16>();
        let (b, b_left) = b.as_chunks::<16>();
        for (a, b) in a.iter().zip(b) {
            for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
                *sum += a * b;
            }
        }
        for ((sum, a), b) in sums.iter_mut().zip(a_left).zip(b_left) {
            *sum += a * b;
        }
        sums.iter().sum()
    }
}

/// The scale of words that share one.
pub(crate) fn fit_one(layout: FloatLayout, words: &[[u8; 2]]) -> Scales {
    let matrix = Matrix {
        rows: 1,
        columns: words.len() as u64,
    };
    let tensor = FloatTensor::of_words(layout, matrix, words);
    // Of many, every eighth piece will do: it is rounded to a quarter of an octave.
    let step = if words.len() > MANY { 8 * PIECE } else { PIECE };
    let mut magnitudes = [0.0; PIECE];
    let (mut sum, mut count) = (0.0, 0);
    for first in (0..words.len()).step_by(step) {
        let magnitudes = &mut magnitudes[..PIECE.min(words.len() - first)];
        tensor.magnitudes(first, magnitudes);
        sum += f64::from(product(magnitudes, &[1.0; PIECE]));
        count += magnitudes.len();
    }
    Scales::of(&[(sum / count.max(1) as f64) as f32])
}

const PIECE: usize = 256;
const MANY: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::super::tensor::FloatType;
    use super::*;
    use proptest::prelude::*;

    fn matrix(rows: usize, columns: usize, weight: impl Fn(usize, usize) -> f64) -> Vec<u8> {
        (0..rows * columns)
            .flat_map(|place| {
                let weight = weight(place / columns, place % columns);
                (((weight as f32).to_bits() >> 16) as u16).to_le_bytes()
            })
            .collect()
    }

    fn fit_bf16(rows: usize, columns: usize, data: &[u8]) -> (Scales, Scales) {
        fit(&FloatTensor {
            kind: FloatType::Bf16,
            matrix: Matrix {
                rows: rows as u64,
                columns: columns as u64,
            },
            data,
        })
    }

    #[test]
    fn scales_of_rows_and_columns_are_found() {
        // Weights of one magnitude, times 2^(row/2) and 2^(column/4).
        let (rows, columns) = (12, 20);
        let data = matrix(rows, columns, |row, column| {
            libm::exp2(row as f64 / 2.0 + column as f64 / 4.0 - 3.0)
        });
        let (of_rows, of_columns) = fit_bf16(rows, columns, &data);
        let steps = |scales: &Scales| -> Vec<i16> {
            scales
                .quarters
                .windows(2)
                .map(|pair| pair[1] - pair[0])
                .collect()
        };
        assert_eq!(steps(&of_rows), vec![2; rows - 1]);
        assert_eq!(steps(&of_columns), vec![1; columns - 1]);
        let sum = of_rows.quarters[0] + of_columns.quarters[0];
        assert!(
            (-13..=-11).contains(&sum),
            "{sum} quarters of an octave for 2^-3"
        );
    }

    #[test]
    fn nothing_and_no_numbers_have_scales() {
        for word in [[0, 0], [0xff, 0x7f]] {
            let words = vec![word; 64 * 32];
            let (rows, columns) = fit_bf16(64, 32, words.as_flattened());
            assert_eq!((rows.quarters.len(), columns.quarters.len()), (64, 32));
            assert_eq!(fit_one(FloatLayout::Bf16, &words).quarters.len(), 1);
        }
    }

    #[test]
    fn one_scale_is_that_of_the_magnitudes() {
        for (layout, word) in [(FloatLayout::Bf16, 0xbe80u16), (FloatLayout::F16, 0x3400)] {
            let words = vec![word.to_le_bytes(); 5000];
            assert_eq!(
                fit_one(layout, &words).quarters,
                [-8],
                "two octaves below 1"
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(scales in prop::collection::vec(1e-30f32..1e18, 1..200)) {
            let scales = Scales::of(&scales);
            let mut bytes = Vec::new();
            Scales::write(&scales.quarters, &mut bytes);
            let mut reader = ByteReader::new(&bytes);
            let mut read = Scales::default();
            read.read(scales.quarters.len(), &mut reader).unwrap();
            prop_assert_eq!(read, scales);
            prop_assert!(reader.finish().is_ok());
        }

        #[test]
        fn hostile_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..100), count in 1usize..300) {
            let _ = Scales::default().read(count, &mut ByteReader::new(&bytes));
        }
    }
}
