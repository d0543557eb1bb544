//! `exponent_mantissa_profiled`: exponent and upper mantissa bits of a float in blocks of 4,096 weights, coded by the
//! frequencies of a trained profile; sign and lower mantissa bits stored.
//!
//! Relative to their scale, the weights of most matrices are distributed alike. So a table that was learnt from other
//! models serves blocks that are too short to have one of their own, and each can be decoded by itself.
//!
//! # Format
//!
//! Units, tensors and the modes of chunks are those of all float methods. A coded chunk,
//! which is a block, is the scale of its weights, a number of quarters of an octave as a variable-length integer
//! with the sign in its lowest bit, and the weights relative to it as in [`relative`](crate::floats::relative), but
//! without classes and frequencies: those are the profile's, for the class of the scale.
//!
//! A profile is a byte, its version 1, and the [`Frequencies`] of each of the four classes.

use crate::bytes::ByteReader;
use crate::error::{DecodeError, ProfileProblem};
use crate::float::FloatLayout;
use crate::floats::octaves::ESCAPE;
use crate::floats::relative::{self, Known, class_of};
use crate::floats::scales::{PHASES, fit_one, read_one, write_one};
use crate::floats::{FloatCoder, FloatFamily, FloatTensor, Matrix};
use crate::rans::{DecoderTable, EncoderTable, Frequencies, SCALE_BITS};
use crate::tensor::TensorView;

/// Weights of a block.
const BLOCK_WEIGHTS: usize = 1 << 12;
const PROFILE_VERSION: u8 = 1;

pub(super) const FAMILY: FloatFamily<Coder> = FloatFamily::new();

/// The frequencies that weights have relative to the scales of their blocks. Tensors of other types do not count.
fn train(tensors: &[TensorView<'_>]) -> Vec<u8> {
    let mut sums = [[0u64; 256]; PHASES];
    let mut scratch = relative::Scratch::default();
    let mut words = Vec::new();
    for tensor in tensors.iter().filter_map(FloatTensor::of) {
        let layout = tensor.layout();
        let weights = tensor.data.len() / tensor.kind.bytes();
        for first in (0..weights).step_by(BLOCK_WEIGHTS) {
            tensor.words(first, BLOCK_WEIGHTS.min(weights - first), &mut words);
            let scale = scale_of(layout, &words);
            let mut counts = [[0; 256]; PHASES];
            relative::count_words(scale, layout, &words, &mut scratch, &mut counts);
            for (sums, counts) in sums.iter_mut().zip(&counts) {
                for (sum, count) in sums.iter_mut().zip(counts) {
                    *sum += u64::from(*count);
                }
            }
        }
    }
    let mut profile = vec![PROFILE_VERSION];
    for counts in &mut sums {
        drop_rare(counts);
        let all: u64 = counts.iter().sum();
        // What is below 2^31 in all is exact enough for frequencies of twelve bits.
        let shift = (u64::BITS - all.leading_zeros()).saturating_sub(31);
        let counts = counts.map(|count| count.div_ceil(1 << shift) as u32);
        if let Some(frequencies) = Frequencies::fit(&counts) {
            frequencies.write(&mut profile);
        }
    }
    profile
}

/// Counts symbols that are too rare to have a frequency among those that are escaped, which there is always one of.
fn drop_rare(counts: &mut [u64; 256]) {
    let all: u64 = counts.iter().sum();
    let mut escaped = counts[usize::from(ESCAPE)].max(1);
    for count in counts.iter_mut() {
        if *count << (SCALE_BITS + 1) < all {
            escaped += std::mem::take(count);
        }
    }
    counts[usize::from(ESCAPE)] = escaped;
}

fn scale_of(layout: FloatLayout, words: &[[u8; 2]]) -> i16 {
    fit_one(layout, words)
        .quarters
        .first()
        .copied()
        .unwrap_or_default()
}

/// The frequencies of a profile, for each class.
pub(crate) struct Coder {
    encoders: Vec<(EncoderTable, Known)>,
    decoders: Vec<DecoderTable>,
}

impl Coder {
    fn read(profile: &[u8]) -> Result<Coder, DecodeError> {
        let mut reader = ByteReader::new(profile);
        let version = reader.byte("version of a profile")?;
        if version != PROFILE_VERSION {
            return Err(DecodeError::Field {
                what: "version of a profile",
                at: 0,
                expected: "1",
                found: version.into(),
            });
        }
        let mut coder = Coder {
            encoders: Vec::new(),
            decoders: Vec::new(),
        };
        for _ in 0..PHASES {
            let at = reader.at();
            let frequencies = Frequencies::read(&mut reader)?;
            let known = frequencies.scaled().map(|frequency| frequency > 0);
            if !known[usize::from(ESCAPE)] {
                return Err(DecodeError::Field {
                    what: "frequency table",
                    at,
                    expected: "such that something can be escaped",
                    found: 0,
                });
            }
            coder
                .encoders
                .push((EncoderTable::new(&frequencies), known));
            coder.decoders.push(DecoderTable::new(&[frequencies]));
        }
        reader.finish()?;
        Ok(coder)
    }
}

impl FloatCoder for Coder {
    const NAME: &'static str = "exponent_mantissa_profiled";
    const ABOUT: &'static str = "rANS over exponent and upper mantissa bits of floats in blocks of 4,096, by the frequencies of a profile; the rest stored";
    const LEAF: &'static str = "codecs/src/methods/exponent_mantissa_profiled.rs";
    const VERSION: u8 = 1;
    const MEMORY: u64 = 1 << 20;
    const NEEDS_PROFILE: bool = true;
    type Scratch = relative::Scratch;

    fn with_profile(profile: Option<&[u8]>) -> Result<Coder, ProfileProblem> {
        let profile = profile.ok_or(ProfileProblem::Missing)?;
        Coder::read(profile).map_err(|error| ProfileProblem::Unsound(error.to_string()))
    }

    fn train(tensors: &[TensorView<'_>]) -> Option<Vec<u8>> {
        Some(train(tensors))
    }

    fn chunk_weights(_matrix: Matrix) -> u64 {
        BLOCK_WEIGHTS as u64
    }

    fn encode(
        &self,
        _matrix: Matrix,
        layout: FloatLayout,
        words: &[[u8; 2]],
        scratch: &mut relative::Scratch,
        out: &mut Vec<u8>,
    ) -> u64 {
        let scale = scale_of(layout, words);
        let (table, known) = &self.encoders[class_of(scale)];
        write_one(scale, out);
        relative::encode_known(scale, layout, words, (table, known), scratch, out);
        0
    }

    fn decode(
        &self,
        _matrix: Matrix,
        layout: FloatLayout,
        reader: &mut ByteReader<'_>,
        _scratch: &mut relative::Scratch,
        words: &mut [[u8; 2]],
    ) -> Result<(), DecodeError> {
        let scale = read_one(reader)?;
        let table = &self.decoders[class_of(scale)];
        relative::decode_known(scale, layout, table, reader, words)
    }
}
