//! `exponent_mantissa_static`: exponent and upper mantissa bits of a float, coded together by their frequencies in a
//! chunk; sign and lower mantissa bits stored.
//!
//! Within an octave, weights near the scale of a tensor are denser below than above, so that the upper mantissa bits are
//! worth coding given the exponent. The lower ones are not.
//!
//! # Format
//!
//! Units, tensors and the modes of chunks are those of all float methods. A coded chunk is a scale of all its weights
//! ([`Scales`]), and the weights relative to it ([`relative`](crate::floats::relative)).

use crate::bytes::ByteReader;
use crate::error::{DecodeError, ProfileProblem};
use crate::float::FloatLayout;
use crate::floats::relative::{self, References};
use crate::floats::scales::{Scales, fit_one};
use crate::floats::{FloatCoder, FloatFamily, Matrix, without_profile};

/// Weights of a chunk.
const CHUNK_WEIGHTS: u64 = 1 << 19;

pub(super) const FAMILY: FloatFamily<Coder> = FloatFamily::new();

pub(crate) struct Coder;

#[derive(Default)]
pub(crate) struct Scratch {
    scale: Scales,
    relative: relative::Scratch,
}

impl FloatCoder for Coder {
    const NAME: &'static str = "exponent_mantissa_static";
    const ABOUT: &'static str = "rANS over exponent and upper mantissa bits of floats, by their frequencies in a chunk; the rest stored";
    const LEAF: &'static str = "codecs/src/methods/exponent_mantissa_static.rs";
    const VERSION: u8 = 1;
    const MEMORY: u64 = 16 * CHUNK_WEIGHTS;
    type Scratch = Scratch;

    fn with_profile(profile: Option<&[u8]>) -> Result<Coder, ProfileProblem> {
        without_profile(profile, Coder)
    }

    fn chunk_weights(_matrix: Matrix) -> u64 {
        CHUNK_WEIGHTS
    }

    fn encode(
        &self,
        _matrix: Matrix,
        layout: FloatLayout,
        words: &[[u8; 2]],
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> u64 {
        let scale = fit_one(layout, words).quarters;
        let before = out.len();
        Scales::write(&scale, out);
        let scale_bytes = (out.len() - before) as u64;
        let references = References {
            rows: &scale,
            columns: &[],
        };
        scale_bytes + relative::encode(references, layout, words, &mut scratch.relative, out)
    }

    fn decode(
        &self,
        _matrix: Matrix,
        layout: FloatLayout,
        reader: &mut ByteReader<'_>,
        scratch: &mut Scratch,
        words: &mut [[u8; 2]],
    ) -> Result<(), DecodeError> {
        scratch.scale.read(1, reader)?;
        let references = References {
            rows: &scratch.scale.quarters,
            columns: &[],
        };
        relative::decode(references, layout, reader, words)
    }
}
