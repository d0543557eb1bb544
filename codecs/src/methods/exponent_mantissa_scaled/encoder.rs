//! From words to bytes.

use super::rest::split_rest;
use super::{CHUNK_WEIGHTS, Matrix, References};
use crate::accounting::Accounting;
use crate::bits::BitWriter;
use crate::bytes::CountingWriter;
use crate::entropy::entropy_bits;
use crate::error::EncodeError;
use crate::float::FloatLayout;
use crate::float_unit::{write_if_constant, write_shorter};
use crate::octaves::{Beside, Split, UPPER_BITS, exponent_and_upper};
use crate::rans::{self, Frequencies};
use crate::scales::{PHASES, Scales, fit, fit_one};

/// Space for encoding, used again from chunk to chunk.
#[derive(Default)]
pub(super) struct Encoder {
    symbols: Vec<u8>,
    classes: Vec<u8>,
    words: Vec<u16>,
    coded: Vec<u8>,
    beside: Vec<u8>,
    escaped: Vec<u8>,
    rest: Vec<u8>,
}

type Counts = [[u32; 256]; PHASES];

impl Encoder {
    pub(super) fn tensor(
        &mut self,
        matrix: Matrix,
        words: &[[u8; 2]],
        out: &mut CountingWriter<'_>,
    ) -> Result<Accounting, EncodeError> {
        let mut accounting = Accounting::default();
        let mut scales = None;
        let mut header = Vec::new();
        if matrix.may_have_scales() {
            let (rows, columns) = fit(matrix.layout, words, matrix.columns as usize);
            if self.pays(matrix, words, &rows, &columns) {
                scales = Some((rows, columns));
            }
        }
        header.push(u8::from(scales.is_some()));
        if let Some((_, columns)) = &scales {
            columns.write(&mut header);
        }
        out.put(&header)?;
        accounting.container += 1;
        accounting.tables += header.len() as u64 - 1;
        let chunk = matrix.chunk(scales.is_some()) as usize;
        for (number, words) in words.chunks(chunk.max(1)).enumerate() {
            match &scales {
                Some((rows, columns)) => {
                    let of_chunk = chunk / columns.quarters.len();
                    let first = number * of_chunk;
                    let rows = &rows.quarters[first..first + words.len() / columns.quarters.len()];
                    accounting += self.chunk(matrix.layout, words, rows, &columns.quarters, out)?;
                }
                None => {
                    let scale = fit_one(matrix.layout, words).quarters;
                    accounting += self.chunk(matrix.layout, words, &scale, &[], out)?;
                }
            }
        }
        Ok(accounting)
    }

    /// Whether scales of rows and columns make a tensor smaller, by the entropies of the symbols.
    fn pays(&mut self, matrix: Matrix, words: &[[u8; 2]], rows: &Scales, columns: &Scales) -> bool {
        let chunks = words.len().div_ceil(CHUNK_WEIGHTS) as f64;
        let scale = fit_one(matrix.layout, words).quarters;
        let one = References {
            layout: matrix.layout,
            rows: &scale,
            columns: &[],
        };
        let both = References {
            layout: matrix.layout,
            rows: &rows.quarters,
            columns: &columns.quarters,
        };
        let mut written = Vec::new();
        rows.write(&mut written);
        columns.write(&mut written);
        let side = written.len() as f64 * 8.0;
        self.bits(words, &both, chunks) + side < self.bits(words, &one, chunks)
    }

    /// What symbols, tables, and what stands beside will take, in bits, in so many chunks.
    fn bits(&mut self, words: &[[u8; 2]], references: &References<'_>, chunks: f64) -> f64 {
        let mut bits = 0.0;
        let mut counts = [[0u64; 256]; PHASES];
        let mut next = words.iter();
        let mut uppers = 0u64;
        references.each(words.len(), |reference, class| {
            let Some(word) = next.next() else { return };
            let whole = exponent_and_upper(references.layout, u16::from_le_bytes(*word));
            let split = Split::of(whole, reference);
            counts[usize::from(class)][usize::from(split.symbol)] += 1;
            uppers += match split.beside {
                Beside::Nothing => 0,
                Beside::Upper(_) => u64::from(UPPER_BITS),
                Beside::Escaped(_) => 16,
            };
        });
        for of_class in &counts[..references.classes()] {
            let all: u64 = of_class.iter().sum();
            bits += entropy_bits(of_class) * all as f64;
            let mut table = Vec::new();
            let counts = of_class.map(|count| u32::try_from(count).unwrap_or(u32::MAX));
            if let Some(frequencies) = frequencies_of(&counts) {
                frequencies.write(&mut table);
            }
            bits += table.len() as f64 * 8.0 * chunks;
        }
        bits + uppers as f64
    }

    /// Encodes a chunk, which is not empty.
    fn chunk(
        &mut self,
        layout: FloatLayout,
        words: &[[u8; 2]],
        rows: &[i16],
        columns: &[i16],
        out: &mut CountingWriter<'_>,
    ) -> Result<Accounting, EncodeError> {
        if let Some(accounting) = write_if_constant(words, out)? {
            return Ok(accounting);
        }
        let references = References {
            layout,
            rows,
            columns,
        };
        let mut tables = Vec::new();
        let scales = Scales {
            quarters: rows.to_vec(),
        };
        scales.write(&mut tables);
        self.code(words, &references, &mut tables);
        let planes: [&[u8]; 4] = [&self.coded, &self.beside, &self.escaped, &self.rest];
        write_shorter(words, &tables, &planes, out)
    }

    /// Fills the planes, and appends the frequencies to `tables`.
    fn code(&mut self, words: &[[u8; 2]], references: &References<'_>, tables: &mut Vec<u8>) {
        let layout = references.layout;
        self.symbols.clear();
        self.classes.clear();
        self.beside.clear();
        self.escaped.clear();
        self.coded.clear();
        let mut counts: Counts = [[0; 256]; PHASES];
        let mut beside = BitWriter::new(&mut self.beside);
        let mut next = words.iter();
        references.each(words.len(), |reference, class| {
            let Some(word) = next.next() else { return };
            let whole = exponent_and_upper(layout, u16::from_le_bytes(*word));
            let split = Split::of(whole, reference);
            self.symbols.push(split.symbol);
            self.classes.push(class);
            counts[usize::from(class)][usize::from(split.symbol)] += 1;
            match split.beside {
                Beside::Nothing => {}
                Beside::Upper(upper) => beside.put(upper.into(), UPPER_BITS),
                Beside::Escaped(escaped) => self.escaped.extend(escaped.to_le_bytes()),
            }
        });
        beside.finish();
        let frequencies: Vec<Frequencies> = counts[..references.classes()]
            .iter()
            .filter_map(frequencies_of)
            .collect();
        frequencies
            .iter()
            .for_each(|of_class| of_class.write(tables));
        rans::encode_classed(
            &self.symbols,
            &self.classes,
            &frequencies,
            &mut self.words,
            &mut self.coded,
        );
        split_rest(layout, words, &mut self.rest);
    }
}

/// Frequencies of a class; those of one without weights are of no use, but must be some.
fn frequencies_of(counts: &[u32; 256]) -> Option<Frequencies> {
    Frequencies::fit(counts).or_else(|| {
        let mut one = [0; 256];
        one[0] = 1;
        Frequencies::fit(&one)
    })
}
