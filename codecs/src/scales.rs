//! The scales of a matrix's rows and columns, in quarters of an octave.
//!
//! A weight's reference is the sum of two scales: in octaves rounded down it is an exponent, and which quarter of the
//! octave is left is the weight's *phase*. Sums and shifts of small integers, so that a decoder has nothing to compute
//! that could come out otherwise elsewhere.

use crate::bytes::{ByteReader, write_varint};
use crate::error::DecodeError;
use crate::float::FloatLayout;
use crate::rans::{self, Frequencies};

/// How many phases an octave has.
pub(crate) const PHASES: usize = 1 << PHASE_BITS;
const PHASE_BITS: u32 = 2;
/// Rounds of fitting rows to columns and columns to rows. More change nothing that can be seen in a size.
const ROUNDS: usize = 3;
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

/// The exponent of a reference, without the bias of a float.
pub(crate) fn octave(sum: i16) -> i32 {
    i32::from(sum >> PHASE_BITS)
}

/// The phase of a reference, which is below [`PHASES`].
pub(crate) fn phase(sum: i16) -> u8 {
    (sum & (PHASES as i16 - 1)) as u8
}

impl Scales {
    /// Rounds scales in octaves. None is more than 255 quarters above the least.
    fn round(octaves: &[f64]) -> Scales {
        let quarter = |octaves: &f64| {
            // Weights have exponents of 8 bits, so that nothing real comes near these bounds.
            libm::round(octaves * PHASES as f64).clamp(-2000.0, 2000.0) as i16
        };
        let mut quarters: Vec<i16> = octaves.iter().map(quarter).collect();
        let least = quarters.iter().copied().min().unwrap_or(0);
        for quarter in &mut quarters {
            *quarter = (*quarter).min(least + 255);
        }
        Scales { quarters }
    }

    /// Appends the written form. There is one scale at least.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let least = self.quarters.iter().copied().min().unwrap_or(0);
        write_varint(out, zigzag(least));
        let above: Vec<u8> = self
            .quarters
            .iter()
            .map(|scale| (scale - least) as u8)
            .collect();
        let mut counts = [0; 256];
        for &byte in &above {
            counts[usize::from(byte)] += 1;
        }
        if let Some(frequencies) = Frequencies::fit(&counts) {
            frequencies.write(out);
            rans::encode(&above, &frequencies, &mut Vec::new(), out);
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
        above: &mut Vec<u8>,
        reader: &mut ByteReader<'_>,
    ) -> Result<(), DecodeError> {
        let at = reader.at();
        let written = reader.varint(WHAT)?;
        let least = unzigzag(written).filter(|least| least.abs() <= 2000);
        let least = least.ok_or(DecodeError::Field {
            what: WHAT,
            at,
            expected: "from -2000 on",
            found: written,
        })?;
        let frequencies = Frequencies::read(reader)?;
        above.resize(count, 0);
        rans::decode(reader, &frequencies, above)?;
        self.quarters.clear();
        self.quarters
            .extend(above.iter().map(|&above| least + i16::from(above)));
        Ok(())
    }
}

fn zigzag(number: i16) -> u64 {
    let number = i64::from(number);
    (number << 1 ^ number >> 63) as u64
}

fn unzigzag(number: u64) -> Option<i16> {
    let number = i32::try_from(number).ok()?;
    i16::try_from(number >> 1 ^ -(number & 1)).ok()
}

/// Fits scales to a matrix of `columns` weights a row: of the rows and of the columns, such that each is the mean
/// magnitude of its weights over what the others say of them.
pub(crate) fn fit(layout: FloatLayout, words: &[[u8; 2]], columns: usize) -> (Scales, Scales) {
    let rows = words.len() / columns.max(1);
    let mean = magnitudes(layout, words).sum::<f64>() / words.len().max(1) as f64;
    // What is nothing but zeros has a scale too: one far below the others.
    let floor = (mean / 1024.0).max(f64::MIN_POSITIVE);
    let mut of_rows = vec![0.0; rows];
    let mut of_columns = vec![1.0; columns];
    let mut sums = vec![0.0; columns];
    for _ in 0..ROUNDS {
        let inverse: Vec<f64> = of_columns.iter().map(|scale| 1.0 / scale).collect();
        sums.fill(0.0);
        for (row, words) in of_rows.iter_mut().zip(words.chunks_exact(columns)) {
            let weighted = magnitudes(layout, words).zip(&inverse);
            let sum: f64 = weighted
                .map(|(magnitude, inverse)| magnitude * inverse)
                .sum();
            *row = sum / columns as f64 + floor;
            let inverse = 1.0 / *row;
            for (sum, magnitude) in sums.iter_mut().zip(magnitudes(layout, words)) {
                *sum += magnitude * inverse;
            }
        }
        for (column, sum) in of_columns.iter_mut().zip(&sums) {
            *column = sum / rows as f64 + 1.0 / 1024.0;
        }
    }
    let octaves =
        |scales: &[f64]| -> Vec<f64> { scales.iter().map(|&scale| libm::log2(scale)).collect() };
    (
        Scales::round(&octaves(&of_rows)),
        Scales::round(&octaves(&of_columns)),
    )
}

/// The scale of weights that have one.
pub(crate) fn fit_one(layout: FloatLayout, words: &[[u8; 2]]) -> Scales {
    let mean = magnitudes(layout, words).sum::<f64>() / words.len().max(1) as f64;
    Scales::round(&[libm::log2(mean.max(f64::MIN_POSITIVE))])
}

/// The magnitudes of weights; 0 for what is no number.
fn magnitudes(layout: FloatLayout, words: &[[u8; 2]]) -> impl Iterator<Item = f64> {
    let mantissa_bits = layout.mantissa_bits();
    let bias = bias(layout);
    let unit = 1.0 / f64::from(1u32 << mantissa_bits);
    words.iter().map(move |word| {
        let magnitude = u64::from(u16::from_le_bytes(*word) & 0x7fff);
        let (exponent, mantissa) = (
            magnitude >> mantissa_bits,
            magnitude & ((1 << mantissa_bits) - 1),
        );
        let most = (1u64 << layout.exponent_bits()) - 1;
        if exponent == most {
            return 0.0;
        }
        // Subnormal numbers have the exponent of the least normal ones, and no hidden bit.
        let hidden = if exponent == 0 { 0.0 } else { 1.0 };
        // The bits of a double with that exponent, which is normal for every float of 16 bits.
        let power = f64::from_bits((exponent.max(1) + 1023 - bias as u64) << 52);
        (hidden + mantissa as f64 * unit) * power
    })
}

/// What is added to an exponent of a layout.
pub(crate) fn bias(layout: FloatLayout) -> i32 {
    (1 << (layout.exponent_bits() - 1)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bf16(value: f64) -> [u8; 2] {
        (((value as f32).to_bits() >> 16) as u16).to_le_bytes()
    }

    #[test]
    fn scales_of_rows_and_columns_are_found() {
        // Weights of one magnitude, times 2^(row/2) and 2^(column/4).
        let (rows, columns) = (12, 20);
        let words: Vec<[u8; 2]> = (0..rows * columns)
            .map(|place| {
                let (row, column) = ((place / columns) as f64, (place % columns) as f64);
                bf16(libm::exp2(row / 2.0 + column / 4.0 - 3.0))
            })
            .collect();
        let (of_rows, of_columns) = fit(FloatLayout::Bf16, &words, columns);
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
    fn magnitudes_are_those_of_the_numbers() {
        for layout in [FloatLayout::Bf16, FloatLayout::F16] {
            let all: Vec<[u8; 2]> = (0..=u16::MAX).map(u16::to_le_bytes).collect();
            for (word, found) in all.iter().zip(magnitudes(layout, &all)) {
                let bits = u16::from_le_bytes(*word);
                let number = match layout {
                    FloatLayout::Bf16 => half::bf16::from_bits(bits).to_f64(),
                    FloatLayout::F16 => half::f16::from_bits(bits).to_f64(),
                };
                let expected = if number.is_finite() {
                    number.abs()
                } else {
                    0.0
                };
                assert_eq!(found, expected, "{bits:04x}");
            }
        }
    }

    #[test]
    fn nothing_and_no_numbers_have_scales() {
        let [zeros, none] = [[0, 0], [0xff, 0x7f]].map(|word| vec![word; 64 * 32]);
        for words in [zeros, none] {
            let (rows, columns) = fit(FloatLayout::Bf16, &words, 32);
            assert_eq!((rows.quarters.len(), columns.quarters.len()), (64, 32));
            assert_eq!(fit_one(FloatLayout::Bf16, &words).quarters.len(), 1);
        }
    }

    #[test]
    fn references_are_rounded_down() {
        for sum in -4000..=4000 {
            assert_eq!(octave(sum) * 4 + i32::from(phase(sum)), i32::from(sum));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(octaves in prop::collection::vec(-300.0..300.0f64, 1..200)) {
            let scales = Scales::round(&octaves);
            let mut bytes = Vec::new();
            scales.write(&mut bytes);
            let mut reader = ByteReader::new(&bytes);
            let mut read = Scales::default();
            read.read(octaves.len(), &mut Vec::new(), &mut reader).unwrap();
            prop_assert_eq!(read, scales);
            prop_assert!(reader.finish().is_ok());
        }

        #[test]
        fn hostile_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..100), count in 1usize..300) {
            let _ = Scales::default().read(count, &mut Vec::new(), &mut ByteReader::new(&bytes));
        }
    }
}
