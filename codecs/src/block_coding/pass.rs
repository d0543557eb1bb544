//! What is done on a walk through the symbols of blocks: counting, encoding, decoding.

use super::MOST_CLASSES;
use crate::rans::{RunDecoder, Runs};
use crate::simd::vectorized;

/// What takes the runs of a walk.
pub(crate) trait Pass {
    /// Whether symbols are filled in. If not, they are read.
    const DECODES: bool;

    /// A run of symbols of one class.
    fn run(&mut self, class: u8, symbols: &mut [u8]);

    /// A run of symbols with a class for each, as many of the one as of the other.
    fn run_classed(&mut self, classes: &[u8], symbols: &mut [u8]);
}

/// How often each symbol occurs in each class.
pub(super) type Counts = Vec<[u64; 256]>;

/// Symbols are few if all are below this.
const FEW: usize = 16;
/// From so many on it pays to have several tables and to add them up.
const MANY: usize = 1 << 11;
/// As many as a byte can count, in whole vectors.
const COUNTED: usize = 7 * 32;

vectorized! {
    /// Counts symbols by comparing all with each, which is faster than to look up where each is counted. Returns whether
    /// they are few; if not, nothing is counted.
    fn count_few(symbols: &[u8], counts: &mut [u64; FEW]) -> bool {
        if symbols.iter().fold(0, |all, symbol| all | symbol) >= FEW as u8 {
            return false;
        }
        let (pieces, rest) = symbols.as_chunks::<COUNTED>();
        for piece in pieces {
            for (symbol, count) in (0..).zip(counts.iter_mut()) {
                let found = piece.iter().map(|&other| u8::from(other == symbol));
                *count += u64::from(found.fold(0, u8::wrapping_add));
            }
        }
        for &symbol in rest {
            counts[usize::from(symbol) % FEW] += 1;
        }
        true
    }
}

fn count(symbols: &[u8], counts: &mut [u64; 256]) {
    if symbols.len() < MANY {
        for &symbol in symbols {
            counts[usize::from(symbol)] += 1;
        }
        return;
    }
    // Four tables, so that equal neighbours do not wait for one another.
    let mut four = [[0u32; 256]; 4];
    let (quads, rest) = symbols.as_chunks::<4>();
    for quad in quads {
        for (counts, &symbol) in four.iter_mut().zip(quad) {
            counts[usize::from(symbol)] += 1;
        }
    }
    for &symbol in rest {
        four[0][usize::from(symbol)] += 1;
    }
    for counted in &four {
        for (count, &more) in counts.iter_mut().zip(counted) {
            *count += u64::from(more);
        }
    }
}

/// Counts symbols by their classes.
pub(super) struct Counting<'a>(pub(super) &'a mut Counts);

impl Pass for Counting<'_> {
    const DECODES: bool = false;

    fn run(&mut self, class: u8, symbols: &mut [u8]) {
        let Some(counts) = self.0.get_mut(usize::from(class)) else {
            return;
        };
        let few = counts.first_chunk_mut();
        if !few.is_some_and(|few| count_few(symbols, few)) {
            count(symbols, counts);
        }
    }

    fn run_classed(&mut self, classes: &[u8], symbols: &mut [u8]) {
        for (&class, &symbol) in classes.iter().zip(symbols.iter()) {
            if let Some(counts) = self.0.get_mut(usize::from(class)) {
                counts[usize::from(symbol)] += 1;
            }
        }
    }
}

/// The table of each class.
pub(super) type TableOf = [u8; MOST_CLASSES];

/// Collects runs to be encoded.
pub(super) struct Encoding<'a> {
    pub(super) table_of: &'a TableOf,
    pub(super) runs: &'a mut Runs,
    /// Space.
    pub(super) tables: Vec<u8>,
}

impl Pass for Encoding<'_> {
    const DECODES: bool = false;

    fn run(&mut self, class: u8, symbols: &mut [u8]) {
        self.runs.add(self.table_of[usize::from(class)], symbols);
    }

    fn run_classed(&mut self, classes: &[u8], symbols: &mut [u8]) {
        look_up(self.table_of, classes, &mut self.tables);
        self.runs.add_classed(&self.tables, symbols);
    }
}

/// Decodes runs.
pub(super) struct Decoding<'a, 'd, 't> {
    pub(super) table_of: &'a TableOf,
    pub(super) decoder: &'a mut RunDecoder<'d, 't>,
    /// Space.
    pub(super) tables: Vec<u8>,
}

impl Pass for Decoding<'_, '_, '_> {
    const DECODES: bool = true;

    fn run(&mut self, class: u8, symbols: &mut [u8]) {
        self.decoder
            .take(self.table_of[usize::from(class)], symbols);
    }

    fn run_classed(&mut self, classes: &[u8], symbols: &mut [u8]) {
        look_up(self.table_of, classes, &mut self.tables);
        self.decoder.take_classed(&self.tables, symbols);
    }
}

fn look_up(table_of: &TableOf, classes: &[u8], tables: &mut Vec<u8>) {
    tables.clear();
    tables.extend(classes.iter().map(|&class| table_of[usize::from(class)]));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Vectors;

    #[test]
    fn many_symbols_are_counted_as_each_is() {
        for length in [0, 5, MANY - 1, MANY, 3 * MANY + 3] {
            let mut symbols: Vec<u8> = (0..length).map(|i| (i * i / 3) as u8).collect();
            let mut expected = [1; 256];
            for &symbol in &symbols {
                expected[usize::from(symbol)] += 1;
            }
            let mut counts = vec![[1; 256]; 2];
            Counting(&mut counts).run(1, &mut symbols);
            assert_eq!(counts, [[1; 256], expected]);
        }
    }

    #[test]
    fn few_symbols_are_counted_as_many_are() {
        for length in [0, 1, COUNTED - 1, COUNTED, 3 * COUNTED + 77] {
            let mut symbols: Vec<u8> = (0..length).map(|i| (i * i / 3 % 16) as u8).collect();
            let mut expected = [1; 256];
            count(&symbols, &mut expected);
            for vectors in Vectors::present() {
                let mut counts = vec![[1; 256]; 2];
                vectors.at_most(|| Counting(&mut counts).run(1, &mut symbols));
                assert_eq!(counts, [[1; 256], expected]);
            }
        }
    }
}
