use proptest::prelude::*;

use super::decode::{by_vectors, decode_lanes};
use super::encode::encode_lanes;
use super::*;
use crate::bytes::ByteReader;
use crate::error::DecodeError;
use crate::simd::Vectors;

#[cfg(target_arch = "x86_64")]
mod vectors;

/// Symbols and the class of each.
struct Sequence {
    symbols: Vec<u8>,
    /// Empty if there is but one.
    classes: Vec<u8>,
}

/// Takes what is decoded.
struct Taken<'a> {
    classes: &'a [u8],
    symbols: Vec<u8>,
}

impl Consumer for Taken<'_> {
    const CLASSED: bool = true;

    fn classes(&mut self, at: usize, classes: &mut [u8]) {
        classes.copy_from_slice(&self.classes[at..at + classes.len()]);
    }

    fn take(&mut self, at: usize, symbols: &mut [u8]) -> Result<(), DecodeError> {
        assert_eq!(at, self.symbols.len());
        self.symbols.extend_from_slice(symbols);
        Ok(())
    }
}

impl Sequence {
    fn plain(symbols: Vec<u8>) -> Sequence {
        Sequence {
            symbols,
            classes: Vec::new(),
        }
    }

    /// Frequencies of each class; one that does not occur has some too.
    fn frequencies(&self) -> Vec<Frequencies> {
        let count = self
            .classes
            .iter()
            .max()
            .map_or(1, |most| usize::from(*most) + 1);
        let mut counts = vec![[0; 256]; count];
        for (place, &symbol) in self.symbols.iter().enumerate() {
            let class = self.classes.get(place).copied().unwrap_or(0);
            counts[usize::from(class)][usize::from(symbol)] += 1;
        }
        let fit = |mut counts: [u32; 256]| {
            counts[0] += u32::from(counts == [0; 256]);
            Frequencies::fit(&counts).unwrap()
        };
        counts.into_iter().map(fit).collect()
    }

    fn tables(&self) -> Vec<EncoderTable> {
        self.frequencies().iter().map(EncoderTable::new).collect()
    }

    fn encode(&self) -> Vec<u8> {
        let (mut words, mut out) = (vec![7; 3], Vec::new());
        match self.classes.as_slice() {
            [] => encode(&self.symbols, &self.tables()[0], &mut words, &mut out),
            classes => encode_classed(&self.symbols, classes, &self.tables(), &mut words, &mut out),
        }
        out
    }

    /// Encodes with many lanes, with all vectors there are and without, which must give the same.
    fn encode_wide(&self) -> Vec<u8> {
        let tables = self.tables();
        let with = |vectors: Vectors| {
            let (mut words, mut out) = (Vec::new(), Vec::new());
            vectors.at_most(|| {
                encode_lanes(
                    &self.symbols,
                    &self.classes,
                    &tables,
                    &mut words,
                    &mut out,
                    |states, words, groups| {
                        encode::by_vectors(
                            &self.symbols,
                            &self.classes,
                            &tables,
                            states,
                            words,
                            groups,
                        )
                    },
                );
            });
            out
        };
        let portable = with(Vectors::Portable);
        for vectors in Vectors::present() {
            assert!(portable == with(vectors), "{vectors:?} encode otherwise");
        }
        portable
    }

    fn decode(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let table = DecoderTable::new(&self.frequencies());
        let mut reader = ByteReader::new(bytes);
        let (mut taken, mut plain) = (self.taken(), Vec::new());
        let result = if self.classes.is_empty() {
            decode(
                &mut reader,
                &table,
                self.symbols.len(),
                &mut |at, symbols: &mut [u8]| {
                    assert_eq!(at, plain.len());
                    plain.extend_from_slice(symbols);
                    Ok(())
                },
            )
        } else {
            decode(&mut reader, &table, self.symbols.len(), &mut taken)
        };
        let symbols = if self.classes.is_empty() {
            plain
        } else {
            taken.symbols
        };
        result.and_then(|()| reader.finish()).ok().map(|()| symbols)
    }

    fn taken(&self) -> Taken<'_> {
        Taken {
            classes: &self.classes,
            symbols: Vec::new(),
        }
    }

    /// Decodes many lanes, with all vectors there are and without, which must do the same also with what is damaged.
    fn decode_wide(&self, bytes: &[u8], classes: &[u8]) -> Option<Vec<u8>> {
        let table = DecoderTable::new(&self.frequencies());
        let length = self.symbols.len();
        let with = |vectors: Vectors| {
            let mut reader = ByteReader::new(bytes);
            let mut symbols = Vec::new();
            let result = vectors.at_most(|| {
                if classes.is_empty() {
                    let mut plain = |_, decoded: &mut [u8]| {
                        symbols.extend_from_slice(decoded);
                        Ok(())
                    };
                    decode_lanes(&mut reader, &table, length, &mut plain, by_vectors)
                } else {
                    let mut taken = Taken {
                        classes,
                        symbols: Vec::new(),
                    };
                    let result = decode_lanes(&mut reader, &table, length, &mut taken, by_vectors);
                    symbols = taken.symbols;
                    result
                }
            });
            (result.is_ok(), reader.at(), symbols)
        };
        let portable = with(Vectors::Portable);
        for vectors in Vectors::present() {
            assert!(portable == with(vectors), "{vectors:?} decode otherwise");
        }
        let (is_ok, _, symbols) = portable;
        is_ok.then_some(symbols)
    }

    /// The length of its encoding.
    fn round_trip(&self) -> usize {
        let bytes = self.encode();
        assert!(self.decode(&bytes).as_ref() == Some(&self.symbols));
        bytes.len()
    }
}

#[test]
fn lengths_around_the_lanes_and_blocks() {
    for around in [NARROW_LANES, WIDE_LANES, BLOCK, WIDE_FROM, 5 * BLOCK] {
        for length in [around - 1, around, around + 1, around + 67] {
            let symbols: Vec<u8> = (0..length).map(|i| (i * i / 7 % 11) as u8).collect();
            let classes = (0..length).map(|i| (i / 3 % 4) as u8).collect();
            Sequence::plain(symbols.clone()).round_trip();
            Sequence { symbols, classes }.round_trip();
        }
    }
}

#[test]
fn no_symbols_at_all() {
    let nothing = Sequence::plain(Vec::new());
    assert_eq!(nothing.round_trip(), 1 + 4 * NARROW_LANES);
}

#[test]
fn one_symbol_costs_no_words() {
    assert_eq!(
        Sequence::plain(vec![42; 1000]).round_trip(),
        1 + 4 * NARROW_LANES
    );
    let long = Sequence::plain(vec![42; 100_000]);
    assert_eq!(long.round_trip(), 1 + 4 * WIDE_LANES);
    long.encode_wide();
}

#[test]
fn a_rare_symbol_in_a_sea_of_another() {
    let mut symbols = vec![0; 1 << 17];
    symbols[77_777] = 255;
    let sequence = Sequence::plain(symbols);
    sequence.round_trip();
    sequence.encode_wide();
}

#[test]
fn one_class_gives_what_none_gives() {
    let symbols: Vec<u8> = (0..40_000usize).map(|i| (i * i / 7 % 11) as u8).collect();
    let classed = Sequence {
        classes: vec![0; symbols.len()],
        symbols: symbols.clone(),
    };
    assert!(classed.encode() == Sequence::plain(symbols).encode());
}

#[test]
fn every_state_divides_exactly() {
    // Through the loop that encodes: a symbol of each frequency, in states around those where a quotient changes.
    for frequency in (1..=300).chain([1023, 1024, 2047, 3001, 4094, 4095u32]) {
        let mut counts = [0; 256];
        counts[0] = frequency;
        counts[1] = SLOTS as u32 - frequency;
        let symbols: Vec<u8> = (0..3000u32)
            .map(|i| (i * 7919 % 4096 >= frequency) as u8)
            .collect();
        let table = EncoderTable::new(&Frequencies::fit(&counts).unwrap());
        let mut bytes = Vec::new();
        encode(&symbols, &table, &mut Vec::new(), &mut bytes);
        let decoder = DecoderTable::new(&[Frequencies::fit(&counts).unwrap()]);
        let mut decoded = Vec::new();
        let mut reader = ByteReader::new(&bytes);
        decode(
            &mut reader,
            &decoder,
            symbols.len(),
            &mut |_, symbols: &mut [u8]| {
                decoded.extend_from_slice(symbols);
                Ok(())
            },
        )
        .unwrap();
        assert!(decoded == symbols, "{frequency}");
    }
    for frequency in 1..=1u64 << SCALE_BITS {
        let reciprocal = ((1u64 << 32) / frequency).min(u64::from(u32::MAX));
        let most = (frequency << 20) - 1;
        let multiple = most / frequency * frequency;
        for x in [
            0,
            1,
            frequency,
            most / 2,
            most - 1,
            most,
            multiple,
            multiple.saturating_sub(1),
        ] {
            let estimate = (x * reciprocal) >> 32;
            let is_one_less = x - estimate * frequency >= frequency;
            assert_eq!(estimate + u64::from(is_one_less), x / frequency);
        }
    }
}

#[test]
fn skewed_sequences_come_near_their_entropy() {
    let symbols: Vec<u8> = (0u32..200_000)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 8).trailing_zeros() as u8)
        .collect();
    let mut counts = [0u64; 256];
    for &symbol in &symbols {
        counts[usize::from(symbol)] += 1;
    }
    let ideal = crate::entropy::entropy_bits(&counts) * symbols.len() as f64 / 8.0;
    let found = Sequence::plain(symbols).round_trip() as f64;
    assert!(found < ideal * 1.002 + 4.0 * WIDE_LANES as f64);
}

proptest! {
    #[test]
    fn vectors_do_what_the_loops_do(
        pairs in prop::collection::vec((any::<u8>(), 0u8..4), 1..9000),
        // Few enough for every kind of search, and too many.
        most in prop::sample::select(vec![0u8, 1, 7, 15, 16, 31, 32, 63, 64, 255]),
        classed in any::<bool>(),
        damage in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
        cut in prop::option::of(any::<prop::sample::Index>()),
        wrong_class in prop::option::of(any::<u8>()),
    ) {
        let (mut symbols, mut classes): (Vec<u8>, Vec<u8>) = pairs.into_iter().unzip();
        for symbol in &mut symbols {
            // Small ones are more frequent, and some do not occur.
            *symbol = (u32::from(*symbol).pow(2) * u32::from(most) / 65025) as u8;
        }
        if !classed {
            classes.clear();
        }
        let sequence = Sequence { symbols, classes };
        let mut bytes = sequence.encode_wide();
        let mut classes = sequence.classes.clone();
        let decoded = sequence.decode_wide(&bytes, &classes);
        prop_assert_eq!(decoded.as_ref(), Some(&sequence.symbols));
        if let Some((place, byte)) = damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let (Some(class), Some(first)) = (wrong_class, classes.first_mut()) {
            *first = class;
        }
        sequence.decode_wide(&bytes, &classes);
    }

    #[test]
    fn any_sequence_comes_back(pairs in prop::collection::vec((any::<u8>(), 0u8..5), 1..3000)) {
        let (symbols, classes): (Vec<u8>, Vec<u8>) = pairs.into_iter().unzip();
        Sequence { symbols, classes }.round_trip();
    }

    #[test]
    fn hostile_streams_do_not_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        classes in prop::collection::vec(0u8..3, 1..300),
    ) {
        let symbols = vec![0; classes.len()];
        Sequence::plain(symbols.clone()).decode(&bytes);
        Sequence { symbols, classes }.decode(&bytes);
    }
}
