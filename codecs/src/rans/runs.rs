//! Runs of symbols, one after the other in one stream.
//!
//! The classes of a run may depend on all symbols of the runs before it, so whoever decodes says run by run what comes
//! next. Each run begins in the first lane: symbol i of it belongs to lane i mod L, whatever was before. How many lanes
//! there are depends on the symbols of all runs together, as it does for a single sequence, which is one run.

use super::decode::{self, By, DecoderTable, LaneDecoder};
use super::encode::{self, EncoderTable, LaneEncoder};
use super::{NARROW_LANES, WIDE_FROM, WIDE_LANES};
use crate::bytes::ByteReader;
use crate::error::DecodeError;

/// Runs to be encoded.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    symbols: Vec<u8>,
    /// Of the symbols whose runs are of several classes.
    classes: Vec<u8>,
    runs: Vec<Run>,
    words: Vec<u16>,
}

#[derive(Debug)]
struct Run {
    symbols: usize,
    /// The class of all symbols; `None` if each has its own.
    class: Option<u8>,
}

impl Runs {
    /// Forgets all runs and keeps the space.
    pub(crate) fn clear(&mut self) {
        self.symbols.clear();
        self.classes.clear();
        self.runs.clear();
    }

    /// Adds a run of a single class.
    pub(crate) fn add(&mut self, class: u8, symbols: &[u8]) {
        self.symbols.extend_from_slice(symbols);
        self.runs.push(Run {
            symbols: symbols.len(),
            class: Some(class),
        });
    }

    /// Adds a run with a class for each symbol; as many of the one as of the other.
    pub(crate) fn add_classed(&mut self, classes: &[u8], symbols: &[u8]) {
        let both = symbols.len().min(classes.len());
        self.symbols
            .extend_from_slice(symbols.get(..both).unwrap_or(&[]));
        self.classes
            .extend_from_slice(classes.get(..both).unwrap_or(&[]));
        self.runs.push(Run {
            symbols: both,
            class: None,
        });
    }

    /// Encodes the runs by a table for each class and appends the written form. A class without a table is taken for the
    /// last, and each symbol must have a frequency in its class.
    pub(crate) fn encode(&mut self, tables: &[EncoderTable], out: &mut Vec<u8>) {
        if self.symbols.len() < WIDE_FROM {
            self.encode_lanes::<NARROW_LANES>(tables, out, |_, _, _, _, _, _| 0);
        } else {
            self.encode_lanes::<WIDE_LANES>(tables, out, encode::by_vectors);
        }
    }

    fn encode_lanes<const LANES: usize>(
        &mut self,
        tables: &[EncoderTable],
        out: &mut Vec<u8>,
        by_vectors: impl Fn(
            &[u8],
            &[u8],
            &[EncoderTable],
            &mut [u32; LANES],
            &mut encode::WordStack<'_>,
            usize,
        ) -> usize,
    ) {
        let mut encoder = LaneEncoder::<LANES>::new(self.symbols.len(), &mut self.words);
        let (mut symbols, mut classes) = (self.symbols.as_slice(), self.classes.as_slice());
        for run in self.runs.iter().rev() {
            let own;
            (symbols, own) = symbols.split_at(symbols.len() - run.symbols);
            let (of_run, tables) = match run.class {
                Some(class) => {
                    let table = tables.get(usize::from(class)).or(tables.last());
                    (&[][..], table.map_or(&[][..], std::slice::from_ref))
                }
                None => {
                    let own;
                    (classes, own) = classes.split_at(classes.len() - run.symbols);
                    (own, tables)
                }
            };
            encoder.run(own, of_run, tables, |states, words, groups| {
                by_vectors(own, of_run, tables, states, words, groups)
            });
        }
        encoder.finish(out);
    }
}

/// Runs on their way to symbols.
pub(crate) struct RunDecoder<'a, 't> {
    table: &'t DecoderTable,
    lanes: EitherLanes<'a>,
}

#[expect(
    clippy::large_enum_variant,
    reason = "there is one at a time, on the stack"
)]
enum EitherLanes<'a> {
    Narrow(LaneDecoder<'a, NARROW_LANES>),
    Wide(LaneDecoder<'a, WIDE_LANES>),
}

impl<'a, 't> RunDecoder<'a, 't> {
    /// Takes the written form of runs of `count` symbols together.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] where bytes are missing.
    pub(crate) fn start(
        reader: &mut ByteReader<'a>,
        table: &'t DecoderTable,
        count: usize,
    ) -> Result<Self, DecodeError> {
        let lanes = if count < WIDE_FROM {
            EitherLanes::Narrow(LaneDecoder::start(reader)?)
        } else {
            EitherLanes::Wide(LaneDecoder::start(reader)?)
        };
        Ok(RunDecoder { table, lanes })
    }

    /// Decodes a run of a single class.
    #[inline]
    pub(crate) fn take(&mut self, class: u8, symbols: &mut [u8]) {
        self.run(self.table.of_class(class), symbols);
    }

    /// Decodes a run with a class for each symbol.
    #[inline]
    pub(crate) fn take_classed(&mut self, classes: &[u8], symbols: &mut [u8]) {
        self.run(self.table.of_classes(classes), symbols);
    }

    #[inline]
    fn run(&mut self, by: Option<By<'_>>, symbols: &mut [u8]) {
        match &mut self.lanes {
            EitherLanes::Narrow(lanes) => lanes.run(by, symbols, &|_, _, _| 0),
            EitherLanes::Wide(lanes) => lanes.run(by, symbols, &decode::by_vectors),
        }
    }

    /// Checks that these were all runs of the stream.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Field`] where states and words do not fit together.
    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        match self.lanes {
            EitherLanes::Narrow(lanes) => lanes.finish(),
            EitherLanes::Wide(lanes) => lanes.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Frequencies;
    use super::*;
    use proptest::prelude::*;

    const CLASSES: usize = 3;

    /// A run: its class, or `None` for classes in turn, and its symbols.
    type Plan = Vec<(Option<u8>, Vec<u8>)>;

    fn classes_of(symbols: &[u8]) -> Vec<u8> {
        (0..symbols.len())
            .map(|i| (i / 5 % CLASSES) as u8)
            .collect()
    }

    fn frequencies(plan: &Plan) -> Vec<Frequencies> {
        let mut counts = [[0; 256]; CLASSES];
        for (class, symbols) in plan {
            for (symbol, of_symbol) in symbols.iter().zip(classes_of(symbols)) {
                let class = class.unwrap_or(of_symbol);
                counts[usize::from(class)][usize::from(*symbol)] += 1;
            }
        }
        let fit = |counts: &[u32; 256]| Frequencies::fit(counts).or(Frequencies::fit(&[1; 256]));
        counts.iter().filter_map(fit).collect()
    }

    fn encode(plan: &Plan, frequencies: &[Frequencies]) -> Vec<u8> {
        let mut runs = Runs::default();
        // What was there before must not show.
        runs.add(1, &[1, 2, 3]);
        runs.clear();
        for (class, symbols) in plan {
            match class {
                Some(class) => runs.add(*class, symbols),
                None => runs.add_classed(&classes_of(symbols), symbols),
            }
        }
        let tables: Vec<_> = frequencies.iter().map(EncoderTable::new).collect();
        let mut out = Vec::new();
        runs.encode(&tables, &mut out);
        out
    }

    fn decode(plan: &Plan, frequencies: &[Frequencies], bytes: &[u8]) -> Result<Plan, DecodeError> {
        let table = DecoderTable::new(frequencies);
        let mut reader = ByteReader::new(bytes);
        let count = plan.iter().map(|(_, symbols)| symbols.len()).sum();
        let mut decoder = RunDecoder::start(&mut reader, &table, count)?;
        let mut found = Vec::new();
        for (class, symbols) in plan {
            let mut decoded = vec![0; symbols.len()];
            match class {
                Some(class) => decoder.take(*class, &mut decoded),
                None => decoder.take_classed(&classes_of(symbols), &mut decoded),
            }
            found.push((*class, decoded));
        }
        decoder.finish()?;
        reader.finish()?;
        Ok(found)
    }

    #[test]
    fn a_single_run_is_a_sequence() {
        for length in [100, WIDE_FROM + 77] {
            let symbols: Vec<u8> = (0..length).map(|i| (i * i % 13) as u8).collect();
            let plan = vec![(Some(0), symbols.clone())];
            let frequencies = frequencies(&plan);
            let mut sequence = Vec::new();
            let table = EncoderTable::new(&frequencies[0]);
            super::super::encode(&symbols, &table, &mut Vec::new(), &mut sequence);
            assert!(encode(&plan, &frequencies) == sequence);
        }
    }

    #[test]
    fn long_runs_of_all_lengths_come_back() {
        let symbols = |length: usize| (0..length).map(|i| (i * i / 3 % 200) as u8).collect();
        let plan: Plan = (0..200)
            .map(|i| ((i % 4 < 3).then_some(i as u8 % 4), symbols(i * 2)))
            .collect();
        let frequencies = frequencies(&plan);
        let bytes = encode(&plan, &frequencies);
        assert!(decode(&plan, &frequencies, &bytes).unwrap() == plan);
        // In every kind of vectors, the same.
        for vectors in crate::simd::Vectors::present() {
            vectors.at_most(|| {
                assert!(encode(&plan, &frequencies) == bytes);
                assert!(decode(&plan, &frequencies, &bytes).unwrap() == plan);
            });
        }
    }

    proptest! {
        #[test]
        fn runs_come_back(
            plan in prop::collection::vec(
                (prop::option::of(0u8..3), prop::collection::vec(any::<u8>(), 0..90)), 0..20)
        ) {
            let frequencies = frequencies(&plan);
            let bytes = encode(&plan, &frequencies);
            prop_assert_eq!(decode(&plan, &frequencies, &bytes).unwrap(), plan.clone());
            for cut in 0..bytes.len() {
                prop_assert!(decode(&plan, &frequencies, &bytes[..cut]).is_err());
            }
        }

        #[test]
        fn hostile_streams_are_errors_or_symbols(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let plan = vec![(Some(0), vec![0; 40]), (None, vec![0; 30])];
            let _ = decode(&plan, &frequencies(&plan), &bytes);
        }
    }
}
