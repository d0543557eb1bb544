//! The information in floats of 16 bits, part by part.

use thiserror::Error;

use super::counts::{code_length_bits, entropy_bits};
use crate::float::FloatLayout;
use crate::tensor::Dtype;

const WORDS: usize = 1 << 16;

/// Why nothing can be said about data.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntropyError {
    /// The data is no whole number of words.
    #[error("{found} bytes are no whole number of 16-bit words")]
    Length {
        /// Bytes of the data.
        found: u64,
    },
    /// The data is no whole number of blocks.
    #[error("{found} bytes are no whole number of {dtype} blocks")]
    Blocks {
        /// The type of the blocks.
        dtype: Dtype,
        /// Bytes of the data.
        found: u64,
    },
    /// There is nothing to say something about.
    #[error("there are no weights")]
    Empty,
}

/// How often each 16-bit word occurs: 512 KiB, whatever is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordHistogram {
    counts: Vec<u64>,
}

impl Default for WordHistogram {
    fn default() -> Self {
        WordHistogram {
            counts: vec![0; WORDS],
        }
    }
}

impl WordHistogram {
    /// Counts the little-endian words of `data`, beside those counted before.
    ///
    /// # Errors
    ///
    /// [`EntropyError::Length`] where `data` has an odd number of bytes; nothing is counted then.
    pub fn add(&mut self, data: &[u8]) -> Result<(), EntropyError> {
        let (words, rest) = data.as_chunks();
        if !rest.is_empty() {
            return Err(EntropyError::Length {
                found: data.len() as u64,
            });
        }
        for &word in words {
            // The table has a place for every word.
            if let Some(count) = self.counts.get_mut(usize::from(u16::from_le_bytes(word))) {
                *count += 1;
            }
        }
        Ok(())
    }

    /// How often each word occurs, by the word: 65,536 counts.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// The counts of `bits` bits of the word from bit `low` on.
    fn field(&self, low: u32, bits: u32) -> Vec<u64> {
        let mut counts = vec![0; 1 << bits];
        let mask = counts.len() - 1;
        for (word, count) in self.counts.iter().enumerate() {
            if let Some(sum) = counts.get_mut(word >> low & mask) {
                *sum += count;
            }
        }
        counts
    }
}

/// The information in weights of a 16-bit float type. All but [`weights`](Self::weights),
/// [`distinct`](Self::distinct) and [`r_marginal`](Self::r_marginal) are bits per weight.
///
/// The `h_` figures are plug-in entropies ([`entropy_bits`]): what the counts say, as if they were known beforehand.
/// The `cl_` figures are lengths of sequential codes ([`code_length_bits`]): what a decoder can reach that learns as it
/// goes, so that small tensors do not flatter themselves.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatEntropy {
    /// How many weights there are.
    pub weights: u64,
    /// How many of the 65,536 words occur.
    pub distinct: u64,
    /// The high byte: the sign and the top seven bits of a bf16 exponent; in fp16 the sign, the exponent and the top
    /// two mantissa bits.
    pub h_high: f64,
    /// The low byte: the last bit of a bf16 exponent and the mantissa; in fp16 the lower eight mantissa bits.
    pub h_low: f64,
    /// 16 / (h_high + h_low): the most that coding the two bytes independently of each other and of their neighbours
    /// can reach. `None` where all weights are the same word and there is no bound.
    pub r_marginal: Option<f64>,
    /// The sign.
    pub h_sign: f64,
    /// The whole exponent.
    pub h_exponent: f64,
    /// The mantissa.
    pub h_mantissa: f64,
    /// The sign and the exponent together.
    pub h_sign_exponent: f64,
    /// The mantissa where the exponent is known: H(exponent, mantissa) − H(exponent).
    pub h_mantissa_given_exponent: f64,
    /// The whole word.
    pub h_joint: f64,
    /// The high byte, learnt.
    pub cl_high: f64,
    /// The low byte, learnt.
    pub cl_low: f64,
    /// The exponent, learnt.
    pub cl_exponent: f64,
    /// The sign and then the exponent, learnt.
    pub cl_sign_exponent: f64,
    /// The mantissa, learnt for each exponent on its own.
    pub cl_mantissa_given_exponent: f64,
    /// The whole word, learnt.
    pub cl_joint: f64,
}

impl FloatEntropy {
    /// Measures the words in `data`, little-endian floats of `layout`, in one pass.
    ///
    /// # Errors
    ///
    /// [`EntropyError::Length`] where `data` has an odd number of bytes, [`EntropyError::Empty`] where it has none.
    pub fn measure(layout: FloatLayout, data: &[u8]) -> Result<FloatEntropy, EntropyError> {
        let mut histogram = WordHistogram::default();
        histogram.add(data)?;
        FloatEntropy::of(layout, &histogram)
    }

    /// Measures words that were counted.
    ///
    /// # Errors
    ///
    /// [`EntropyError::Empty`] where nothing was counted.
    pub fn of(layout: FloatLayout, words: &WordHistogram) -> Result<FloatEntropy, EntropyError> {
        let weights: u64 = words.counts.iter().sum();
        if weights == 0 {
            return Err(EntropyError::Empty);
        }
        let per_weight = |bits: f64| bits / weights as f64;
        let learnt = |counts: &[u64]| per_weight(code_length_bits(counts));
        let mantissa_bits = layout.mantissa_bits();
        let exponent_bits = layout.exponent_bits();

        let high = words.field(8, 8);
        let low = words.field(0, 8);
        let exponent = words.field(mantissa_bits, exponent_bits);
        let sign_exponent = words.field(mantissa_bits, exponent_bits + 1);
        let magnitude = words.field(0, 15);
        let (h_high, h_low) = (entropy_bits(&high), entropy_bits(&low));

        // By exponent, in the exponents' order. As a sum it cannot come out below zero, as a difference could.
        let (mut h_given, mut cl_given) = (0.0, 0.0);
        for mantissas in magnitude.chunks(1 << mantissa_bits) {
            let count: u64 = mantissas.iter().sum();
            if count > 0 {
                h_given += per_weight(count as f64 * entropy_bits(mantissas));
                cl_given += learnt(mantissas);
            }
        }
        Ok(FloatEntropy {
            weights,
            distinct: words.counts.iter().filter(|&&count| count > 0).count() as u64,
            h_high,
            h_low,
            r_marginal: (h_high + h_low > 0.0).then(|| 16.0 / (h_high + h_low)),
            h_sign: entropy_bits(&words.field(15, 1)),
            h_exponent: entropy_bits(&exponent),
            h_mantissa: entropy_bits(&words.field(0, mantissa_bits)),
            h_sign_exponent: entropy_bits(&sign_exponent),
            h_mantissa_given_exponent: h_given,
            h_joint: entropy_bits(&words.counts),
            cl_high: learnt(&high),
            cl_low: learnt(&low),
            cl_exponent: learnt(&exponent),
            cl_sign_exponent: learnt(&sign_exponent),
            cl_mantissa_given_exponent: cl_given,
            cl_joint: learnt(&words.counts),
        })
    }
}
