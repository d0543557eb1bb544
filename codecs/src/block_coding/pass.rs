//! What is done on a walk through the symbols of blocks: counting, encoding, decoding.

use super::MOST_CLASSES;
use crate::rans::{RunDecoder, Runs};

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

/// Counts symbols by their classes.
pub(super) struct Counting<'a>(pub(super) &'a mut Counts);

impl Pass for Counting<'_> {
    const DECODES: bool = false;

    fn run(&mut self, class: u8, symbols: &mut [u8]) {
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
        if let Some(counts) = self.0.get_mut(usize::from(class)) {
            for counted in &four {
                for (count, &more) in counts.iter_mut().zip(counted) {
                    *count += u64::from(more);
                }
            }
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
