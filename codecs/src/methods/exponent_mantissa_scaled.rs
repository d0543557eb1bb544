//! `exponent_mantissa_scaled`: exponent and upper mantissa bits of a float, relative to the scales of its row and its
//! column, coded by their frequencies; sign and lower mantissa bits stored.
//!
//! The rows and columns of a weight matrix have scales of their own, and given both, the exponent is narrower and the
//! upper mantissa bits are less even. The scales are written out, to a quarter of an octave. So no weight waits for
//! another, and a chunk of rows can be decoded by itself.
//!
//! # Format
//!
//! Units, tensors and the modes of chunks are those of all float methods. Chunks are of [`CHUNK_WEIGHTS`] weights; those
//! of a matrix of at least [`LEAST_SIDE`] rows, and of that many to [`CHUNK_WEIGHTS`] /
//! [`LEAST_SIDE`] columns, of as many rows as do not hold more. A coded chunk is
//!
//! | field |
//! | --- |
//! | 0; or 1 and the scales of its columns ([`Scales`]), if it is of so many rows itself |
//! | the scales of its rows; without scales of columns, one of all weights |
//! | the weights relative to them, see [`relative`](crate::floats::relative) |

use crate::bytes::ByteReader;
use crate::error::{DecodeError, ProfileProblem};
use crate::float::FloatLayout;
use crate::floats::relative::{self, Classing, Counts, References};
use crate::floats::scales::{PHASES, Scales, fit, fit_one};
use crate::floats::{FloatCoder, FloatFamily, FloatTensor, Matrix, without_profile};

/// Weights of a chunk.
const CHUNK_WEIGHTS: u64 = 1 << 20;
/// Rows and columns from which on scales can pay.
const LEAST_SIDE: u64 = 32;
/// Weights on which it is tried whether scales pay.
const TRIED_WEIGHTS: usize = 1 << 17;

pub(super) const FAMILY: FloatFamily<Coder> = FloatFamily::new();

pub(crate) struct Coder;

#[derive(Default)]
pub(crate) struct Scratch {
    rows: Scales,
    columns: Scales,
    relative: relative::Scratch,
}

fn may_have_scales(rows: u64, columns: u64) -> bool {
    rows >= LEAST_SIDE && (LEAST_SIDE..=CHUNK_WEIGHTS / LEAST_SIDE).contains(&columns)
}

/// The rows of a chunk, if it may have scales of rows and columns.
fn rows_of(matrix: Matrix, weights: usize) -> Option<usize> {
    let rows = (weights as u64).checked_div(matrix.columns)?;
    may_have_scales(rows, matrix.columns).then_some(rows as usize)
}

impl FloatCoder for Coder {
    const NAME: &'static str = "exponent_mantissa_scaled";
    const ABOUT: &'static str = "rANS over exponent and upper mantissa bits of floats, relative to the scales of row and column; the rest stored";
    const LEAF: &'static str = "codecs/src/methods/exponent_mantissa_scaled.rs";
    const VERSION: u8 = 1;
    const MEMORY: u64 = 16 * CHUNK_WEIGHTS;
    type Scratch = Scratch;

    fn with_profile(profile: Option<&[u8]>) -> Result<Coder, ProfileProblem> {
        without_profile(profile, Coder)
    }

    fn chunk_weights(matrix: Matrix) -> u64 {
        match may_have_scales(matrix.rows, matrix.columns) {
            true => CHUNK_WEIGHTS / matrix.columns * matrix.columns,
            false => CHUNK_WEIGHTS,
        }
    }

    fn encode(
        &self,
        matrix: Matrix,
        layout: FloatLayout,
        words: &[[u8; 2]],
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> u64 {
        let before = out.len();
        let both = rows_of(matrix, words.len()).and_then(|rows| {
            let matrix = Matrix {
                rows: rows as u64,
                ..matrix
            };
            let (rows, columns) = fit(&FloatTensor::of_words(layout, matrix, words));
            pays(layout, words, &rows, &columns).then_some((rows, columns))
        });
        let (rows, columns) = match both {
            Some(both) => {
                out.push(1);
                Scales::write(&both.1.quarters, out);
                both
            }
            None => {
                out.push(0);
                (fit_one(layout, words), Scales::default())
            }
        };
        Scales::write(&rows.quarters, out);
        let scale_bytes = (out.len() - before) as u64;
        let references = References {
            rows: &rows.quarters,
            columns: &columns.quarters,
        };
        scale_bytes + relative::encode(references, layout, words, &mut scratch.relative, out)
    }

    fn decode(
        &self,
        matrix: Matrix,
        layout: FloatLayout,
        reader: &mut ByteReader<'_>,
        scratch: &mut Scratch,
        words: &mut [[u8; 2]],
    ) -> Result<(), DecodeError> {
        let at = reader.at();
        scratch.columns.quarters.clear();
        let rows = match (
            reader.byte("whether there are scales")?,
            rows_of(matrix, words.len()),
        ) {
            (0, _) => 1,
            (1, Some(rows)) => {
                scratch.columns.read(matrix.columns as usize, reader)?;
                rows
            }
            (found, _) => {
                return Err(DecodeError::Field {
                    what: "whether there are scales",
                    at,
                    expected: "0, or 1 for a chunk that may have them",
                    found: found.into(),
                });
            }
        };
        scratch.rows.read(rows, reader)?;
        let references = References {
            rows: &scratch.rows.quarters,
            columns: &scratch.columns.quarters,
        };
        relative::decode(references, layout, reader, words)
    }
}

/// Whether scales of rows and columns make a chunk smaller, by the entropies of the symbols of some of its rows.
fn pays(layout: FloatLayout, words: &[[u8; 2]], rows: &Scales, columns: &Scales) -> bool {
    let width = columns.quarters.len();
    let step = words.len().div_ceil(TRIED_WEIGHTS).max(1);
    let (mut with, mut without) = ([[0; 256]; PHASES], [[0; 256]; PHASES]);
    let (mut beside_with, mut beside_without, mut tried) = (0, 0, 0);
    let mut scratch = relative::Scratch::default();
    let one = fit_one(layout, words);
    let single = References {
        rows: &one.quarters,
        columns: &[],
    };
    let numbered = rows.quarters.iter().zip(words.chunks(width));
    for (scale, words) in numbered.step_by(step) {
        let both = References {
            rows: std::slice::from_ref(scale),
            columns: &columns.quarters,
        };
        beside_with += relative::survey(both, layout, words, &mut scratch, &mut with);
        beside_without += relative::survey(single, layout, words, &mut scratch, &mut without);
        tried += 1;
    }
    let mut written = Vec::new();
    Scales::write(&rows.quarters, &mut written);
    Scales::write(&columns.quarters, &mut written);
    let part = tried as f64 / rows.quarters.len() as f64;
    let bits =
        |counts: &Counts, beside: u64| Classing::best(counts, part).bits() + beside as f64 / part;
    let side = 8.0 * written.len() as f64;
    bits(&with, beside_with) + side < bits(&without, beside_without)
}
