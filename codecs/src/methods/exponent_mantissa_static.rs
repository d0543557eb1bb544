//! `exponent_mantissa_static`: exponent and upper mantissa bits of a float, coded together by their frequencies in a
//! chunk; sign and lower mantissa bits stored.
//!
//! Within an octave, weights near the scale of a tensor are denser below than above, so that the upper mantissa bits are
//! worth coding given the exponent. The lower ones are not.
//!
//! # Format
//!
//! Units, tensors and the modes of chunks are those of all float methods. The chunks of a tensor share nothing. A coded
//! chunk is a scale of all its weights ([`Scales`]), and the weights relative to it
//! ([`relative`](crate::floats::relative)).

use std::collections::BTreeMap;

use crate::bytes::ByteReader;
use crate::chunked::ChunkedMethod;
use crate::error::{DecodeError, MethodError, ProfileProblem};
use crate::float::FloatLayout;
use crate::floats::relative::{self, References};
use crate::floats::scales::{Scales, fit_one};
use crate::floats::{FloatChunked, FloatCoder, FloatMethod, FloatTensor, Matrix, without_profile};
use crate::method::{Method, MethodFamily, ParameterValue};

const NAME: &str = "exponent_mantissa_static";

/// Weights of a chunk.
const CHUNK_WEIGHTS: u64 = 1 << 19;

pub(super) struct Family;

impl MethodFamily for Family {
    fn pattern(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        "rANS over exponent and upper mantissa bits of floats, by their frequencies in a chunk; the rest stored"
    }

    fn leaf(&self) -> &'static str {
        "codecs/src/methods/exponent_mantissa_static.rs"
    }

    fn resolve(
        &self,
        name: &str,
        _parameters: &BTreeMap<String, ParameterValue>,
    ) -> Option<Result<Box<dyn Method>, MethodError>> {
        (name == NAME).then(|| Ok(Box::new(FloatMethod::<Coder>::new()) as Box<dyn Method>))
    }

    fn chunked(
        &self,
        name: &str,
        profile: Option<&[u8]>,
    ) -> Option<Result<Box<dyn ChunkedMethod>, ProfileProblem>> {
        (name == NAME).then(|| FloatChunked::<Coder>::with_profile(profile))
    }

    fn examples(&self) -> Vec<String> {
        vec![NAME.to_owned()]
    }
}

pub(crate) struct Coder;

#[derive(Default)]
pub(crate) struct Scratch {
    scale: Scales,
    relative: relative::Scratch,
}

impl FloatCoder for Coder {
    const NAME: &'static str = NAME;
    const VERSION: u8 = 1;
    const MEMORY: u64 = 16 * CHUNK_WEIGHTS;
    type Tables = ();
    type Scratch = Scratch;

    fn with_profile(profile: Option<&[u8]>) -> Result<Coder, ProfileProblem> {
        without_profile(profile, Coder)
    }

    fn fit(&self, _tensor: &FloatTensor<'_>) {}

    fn write_tables(_tables: &(), _out: &mut Vec<u8>) {}

    fn read_tables(_matrix: Matrix, _reader: &mut ByteReader<'_>) -> Result<(), DecodeError> {
        Ok(())
    }

    fn chunk_weights(_tables: &(), _matrix: Matrix) -> u64 {
        CHUNK_WEIGHTS
    }

    fn encode(
        &self,
        _tables: &(),
        layout: FloatLayout,
        _first: u64,
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
        _tables: &(),
        layout: FloatLayout,
        _first: u64,
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
