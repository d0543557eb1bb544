//! `exponent_mantissa_scaled`: exponent and upper mantissa bits of a float, relative to the scales of its row and its
//! column, coded by their frequencies; sign and lower mantissa bits stored.
//!
//! The rows and columns of a weight matrix have scales of their own, and given both, the exponent is narrower and the
//! upper mantissa bits are less even. The scales are written out, to a quarter of an octave. So no weight waits for
//! another, and a chunk of rows can be decoded by itself.
//!
//! # Format
//!
//! Units, tensors and the modes of chunks are those of all float methods. What the chunks of a tensor share is a byte: 0,
//! or 1 with the scales of its columns after it ([`Scales`]). Chunks are of [`CHUNK_WEIGHTS`] weights, or of as many rows
//! as do not hold more, and one at least. A coded chunk is
//!
//! | field |
//! | --- |
//! | the scales of its rows; without scales of columns, one of all weights |
//! | the weights relative to them, see [`relative`](crate::floats::relative) |

use std::collections::BTreeMap;

use crate::bytes::ByteReader;
use crate::chunked::ChunkedMethod;
use crate::error::{DecodeError, MethodError};
use crate::float::FloatLayout;
use crate::floats::relative::{self, Classing, Counts, References};
use crate::floats::scales::{PHASES, Scales, fit, fit_one};
use crate::floats::{FloatChunked, FloatCoder, FloatMethod, FloatTensor, Matrix};
use crate::method::{Method, MethodFamily, ParameterValue};

const NAME: &str = "exponent_mantissa_scaled";

/// Weights of a chunk.
const CHUNK_WEIGHTS: u64 = 1 << 19;
/// Rows and columns from which on scales can pay.
const LEAST_SIDE: u64 = 32;
/// Weights on which it is tried whether scales pay.
const TRIED_WEIGHTS: usize = 1 << 19;

pub(super) struct Family;

impl MethodFamily for Family {
    fn pattern(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        "rANS over exponent and upper mantissa bits of floats, relative to the scales of row and column; the rest stored"
    }

    fn leaf(&self) -> &'static str {
        "codecs/src/methods/exponent_mantissa_scaled.rs"
    }

    fn resolve(
        &self,
        name: &str,
        _parameters: &BTreeMap<String, ParameterValue>,
    ) -> Option<Result<Box<dyn Method>, MethodError>> {
        (name == NAME).then(|| Ok(Box::new(FloatMethod::<Coder>::new()) as Box<dyn Method>))
    }

    fn chunked(&self, name: &str) -> Option<Box<dyn ChunkedMethod>> {
        (name == NAME).then(|| Box::new(FloatChunked::<Coder>::new()) as Box<dyn ChunkedMethod>)
    }

    fn examples(&self) -> Vec<String> {
        vec![NAME.to_owned()]
    }
}

pub(crate) struct Coder;

/// The scales of a tensor.
pub(crate) struct Tables {
    /// Those of the rows are written in the chunks.
    rows: Vec<i16>,
    /// Empty if there is a scale for each chunk.
    columns: Vec<i16>,
}

#[derive(Default)]
pub(crate) struct Scratch {
    rows: Scales,
    relative: relative::Scratch,
}

fn may_have_scales(matrix: Matrix) -> bool {
    (LEAST_SIDE..).contains(&matrix.rows) && (LEAST_SIDE..=CHUNK_WEIGHTS).contains(&matrix.columns)
}

impl FloatCoder for Coder {
    const NAME: &'static str = NAME;
    const VERSION: u8 = 1;
    const MEMORY: u64 = 16 * CHUNK_WEIGHTS;
    type Tables = Tables;
    type Scratch = Scratch;

    fn fit(tensor: &FloatTensor<'_>) -> Tables {
        if may_have_scales(tensor.matrix) {
            let (rows, columns) = fit(tensor);
            if pays(tensor, &rows, &columns) {
                return Tables {
                    rows: rows.quarters,
                    columns: columns.quarters,
                };
            }
        }
        Tables {
            rows: Vec::new(),
            columns: Vec::new(),
        }
    }

    fn write_tables(tables: &Tables, out: &mut Vec<u8>) {
        out.push(u8::from(!tables.columns.is_empty()));
        if !tables.columns.is_empty() {
            Scales::write(&tables.columns, out);
        }
    }

    fn read_tables(matrix: Matrix, reader: &mut ByteReader<'_>) -> Result<Tables, DecodeError> {
        let at = reader.at();
        let mut columns = Scales::default();
        match reader.byte("whether there are scales")? {
            0 => {}
            1 if may_have_scales(matrix) => columns.read(matrix.columns as usize, reader)?,
            found => {
                return Err(DecodeError::Field {
                    what: "whether there are scales",
                    at,
                    expected: "0, or 1 for a matrix that may have them",
                    found: found.into(),
                });
            }
        }
        Ok(Tables {
            rows: Vec::new(),
            columns: columns.quarters,
        })
    }

    fn chunk_weights(tables: &Tables, matrix: Matrix) -> u64 {
        match tables.columns.is_empty() {
            true => CHUNK_WEIGHTS,
            false => (CHUNK_WEIGHTS / matrix.columns).max(1) * matrix.columns,
        }
    }

    fn encode(
        tables: &Tables,
        layout: FloatLayout,
        first: u64,
        words: &[[u8; 2]],
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> u64 {
        let one;
        let rows = match tables.columns.len() {
            0 => {
                one = fit_one(layout, words).quarters;
                &one
            }
            columns => {
                let first = first as usize / columns;
                tables
                    .rows
                    .get(first..first + words.len() / columns)
                    .unwrap_or(&[])
            }
        };
        let before = out.len();
        Scales::write(rows, out);
        let scale_bytes = (out.len() - before) as u64;
        let references = References {
            rows,
            columns: &tables.columns,
        };
        scale_bytes + relative::encode(references, layout, words, &mut scratch.relative, out)
    }

    fn decode(
        tables: &Tables,
        layout: FloatLayout,
        _first: u64,
        reader: &mut ByteReader<'_>,
        scratch: &mut Scratch,
        words: &mut [[u8; 2]],
    ) -> Result<(), DecodeError> {
        let rows = words.len().checked_div(tables.columns.len()).unwrap_or(1);
        scratch.rows.read(rows, reader)?;
        let references = References {
            rows: &scratch.rows.quarters,
            columns: &tables.columns,
        };
        relative::decode(references, layout, reader, words)
    }
}

/// Whether scales of rows and columns make a tensor smaller, by the entropies of the symbols of some of its rows.
fn pays(tensor: &FloatTensor<'_>, rows: &Scales, columns: &Scales) -> bool {
    let width = columns.quarters.len();
    let step = (rows.quarters.len() * width).div_ceil(TRIED_WEIGHTS).max(1);
    let layout = tensor.layout();
    let (mut with, mut without) = ([[0; 256]; PHASES], [[0; 256]; PHASES]);
    let (mut beside_with, mut beside_without, mut tried) = (0, 0, 0);
    let mut words = Vec::new();
    let mut scratch = relative::Scratch::default();
    let mut one = None;
    for (row, scale) in rows.quarters.iter().enumerate().step_by(step) {
        tensor.words(row * width, width, &mut words);
        let both = References {
            rows: std::slice::from_ref(scale),
            columns: &columns.quarters,
        };
        let one = one.get_or_insert_with(|| fit_one(layout, &words));
        let single = References {
            rows: &one.quarters,
            columns: &[],
        };
        beside_with += relative::survey(both, layout, &words, &mut scratch, &mut with);
        beside_without += relative::survey(single, layout, &words, &mut scratch, &mut without);
        tried += 1;
    }
    let mut written = Vec::new();
    Scales::write(&rows.quarters, &mut written);
    Scales::write(&columns.quarters, &mut written);
    let chunks = (rows.quarters.len() * width).div_ceil(CHUNK_WEIGHTS as usize) as f64;
    let part = tried as f64 / rows.quarters.len() as f64;
    let side = 8.0 * written.len() as f64;
    let bits = |counts: &Counts, beside: u64| {
        Classing::best(counts, part, chunks).bits() + beside as f64 / part
    };
    bits(&with, beside_with) + side < bits(&without, beside_without)
}
