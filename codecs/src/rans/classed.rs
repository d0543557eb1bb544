//! Sequences whose symbols are of several classes, each with frequencies of its own.
//!
//! The written form is that of [`encode`](super::encode). The classes are known beforehand, like the frequencies.

use super::frequencies::Frequencies;
use super::stream::{
    EncoderSymbol, NARROW_LANES, SLOTS, Step, WIDE_FROM, WIDE_LANES, decoder_slots,
    encoder_symbols, finish, start, take_words, write,
};
use crate::bytes::ByteReader;
use crate::error::DecodeError;

/// Encodes `symbols`, each by the frequencies of its class, and appends the written form. `words` is scratch space that
/// may be used again.
///
/// Each symbol that occurs must have a frequency in its class; a stream with one that has none decodes to something
/// else. There must be frequencies for each class, of which there are 256 at most.
pub fn encode_classed(
    symbols: &[u8],
    classes: &[u8],
    frequencies: &[Frequencies],
    words: &mut Vec<u16>,
    out: &mut Vec<u8>,
) {
    let tables: Vec<[EncoderSymbol; 256]> = frequencies.iter().map(encoder_symbols).collect();
    if symbols.len() < WIDE_FROM {
        encode_lanes::<NARROW_LANES>(symbols, classes, &tables, words, out);
    } else {
        encode_lanes::<WIDE_LANES>(symbols, classes, &tables, words, out);
    }
}

fn encode_lanes<const LANES: usize>(
    symbols: &[u8],
    classes: &[u8],
    tables: &[[EncoderSymbol; 256]],
    words: &mut Vec<u16>,
    out: &mut Vec<u8>,
) {
    let mut states = start::<LANES>();
    words.clear();
    let groups = symbols.chunks(LANES).zip(classes.chunks(LANES));
    for (group, classes) in groups.rev() {
        for ((state, &symbol), &class) in states.iter_mut().zip(group).zip(classes).rev() {
            let table = tables.get(usize::from(class));
            let symbol = table.map_or(EncoderSymbol::default(), |table| table[usize::from(symbol)]);
            symbol.push(state, words);
        }
    }
    write(&states, words, out);
}

/// The frequencies of all classes, ready for decoding.
pub struct ClassedDecoder {
    /// The slots of one class after those of another.
    slots: Vec<u32>,
}

impl ClassedDecoder {
    /// Makes one; there are 256 classes at most.
    pub fn new(frequencies: &[Frequencies]) -> ClassedDecoder {
        let slots = frequencies
            .iter()
            .flat_map(|of_class| *decoder_slots(of_class));
        ClassedDecoder {
            slots: slots.collect(),
        }
    }

    /// Takes a written form and fills `symbols`, each by the frequencies of its class. A class without frequencies
    /// decodes to anything.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] where bytes are missing, [`DecodeError::Field`] where states and words do not fit
    /// together.
    pub fn decode(
        &self,
        reader: &mut ByteReader<'_>,
        classes: &[u8],
        symbols: &mut [u8],
    ) -> Result<(), DecodeError> {
        if symbols.len() < WIDE_FROM {
            self.decode_lanes::<NARROW_LANES>(reader, classes, symbols, |_, _, _, _, _| 0)
        } else {
            self.decode_lanes(reader, classes, symbols, decode_groups_of_vectors)
        }
    }

    fn decode_lanes<const LANES: usize>(
        &self,
        reader: &mut ByteReader<'_>,
        classes: &[u8],
        symbols: &mut [u8],
        by_vectors: impl FnOnce(
            &[u32],
            &mut [u32; LANES],
            &mut &[[u8; 2]],
            &mut [[u8; LANES]],
            &[[u8; LANES]],
        ) -> usize,
    ) -> Result<(), DecodeError> {
        let at = reader.at();
        let (count, mut states, mut words) = take_words::<LANES>(reader)?;
        let (groups, of_groups) = (symbols.as_chunks_mut().0, classes.as_chunks().0);
        let done = by_vectors(&self.slots, &mut states, &mut words, groups, of_groups);
        // What a class without frequencies decodes by.
        let last = self.slots.last().copied().unwrap_or_default();
        let mut missing = false;
        let groups = symbols.chunks_mut(LANES).zip(classes.chunks(LANES));
        for (group, classes) in groups.skip(done) {
            let mut step = Step::<LANES>::new(&mut words);
            for ((state, symbol), &class) in states.iter_mut().zip(group).zip(classes) {
                let place = usize::from(class) * SLOTS + *state as usize % SLOTS;
                let slot = self.slots.get(place).copied().unwrap_or(last);
                *symbol = step.pop(slot, state);
            }
            missing |= step.end();
        }
        finish(at, count, &states, missing || !words.is_empty())
    }
}

/// As that of [`stream`](super::stream).
fn decode_groups_of_vectors(
    slots: &[u32],
    states: &mut [u32; WIDE_LANES],
    words: &mut &[[u8; 2]],
    groups: &mut [[u8; WIDE_LANES]],
    classes: &[[u8; WIDE_LANES]],
) -> usize {
    #[cfg(target_arch = "x86_64")]
    return super::avx2::decode_classed_groups(slots, states, words, groups, classes);
    #[cfg(not(target_arch = "x86_64"))]
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frequencies_of(symbols: &[u8], classes: &[u8], count: u8) -> Vec<Frequencies> {
        let of_class = |class: u8| {
            let mut counts = [0; 256];
            let own = symbols
                .iter()
                .zip(classes)
                .filter(|(_, own)| **own == class);
            own.for_each(|(&symbol, _)| counts[usize::from(symbol)] += 1);
            // A class that does not occur needs frequencies too.
            counts[0] += u32::from(counts == [0; 256]);
            Frequencies::fit(&counts).unwrap()
        };
        (0..count).map(of_class).collect()
    }

    fn round_trip(symbols: &[u8], classes: &[u8], count: u8) -> Vec<u8> {
        let frequencies = frequencies_of(symbols, classes, count);
        let mut bytes = Vec::new();
        encode_classed(symbols, classes, &frequencies, &mut vec![7; 3], &mut bytes);
        let mut decoded = vec![0; symbols.len()];
        let mut reader = ByteReader::new(&bytes);
        let decoder = ClassedDecoder::new(&frequencies);
        decoder.decode(&mut reader, classes, &mut decoded).unwrap();
        reader.finish().unwrap();
        assert_eq!(decoded, symbols);
        bytes
    }

    #[test]
    fn lengths_around_the_lanes() {
        for lanes in [NARROW_LANES, WIDE_LANES, WIDE_FROM] {
            for length in [lanes - 1, lanes, lanes + 1, 3 * lanes + 2] {
                let symbols: Vec<u8> = (0..length).map(|i| (i * i / 7 % 11) as u8).collect();
                let classes: Vec<u8> = (0..length).map(|i| (i / 3 % 4) as u8).collect();
                round_trip(&symbols, &classes, 4);
            }
        }
    }

    #[test]
    fn one_class_gives_what_none_gives() {
        let symbols: Vec<u8> = (0..40_000usize).map(|i| (i * i / 7 % 11) as u8).collect();
        let frequencies = frequencies_of(&symbols, &vec![0; symbols.len()], 1);
        let mut plain = Vec::new();
        super::super::encode(&symbols, &frequencies[0], &mut Vec::new(), &mut plain);
        assert_eq!(round_trip(&symbols, &vec![0; symbols.len()], 1), plain);
    }

    proptest! {
        #[test]
        fn vectors_decode_what_the_loop_decodes(
            pairs in prop::collection::vec((0u8..40, 0u8..4), 1..5000),
            damage in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
            wrong_class in prop::option::of(any::<u8>()),
        ) {
            let (symbols, mut classes): (Vec<u8>, Vec<u8>) = pairs.into_iter().unzip();
            let frequencies = frequencies_of(&symbols, &classes, 4);
            let tables: Vec<_> = frequencies.iter().map(encoder_symbols).collect();
            let mut bytes = Vec::new();
            encode_lanes::<WIDE_LANES>(&symbols, &classes, &tables, &mut Vec::new(), &mut bytes);
            if let Some((place, byte)) = damage {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            classes[0] = wrong_class.unwrap_or(classes[0]);
            let decoder = ClassedDecoder::new(&frequencies);
            let mut decoded = [vec![0; symbols.len()], vec![0; symbols.len()]];
            let [portable, by_vectors] = &mut decoded;
            let [mut one, mut other] = [ByteReader::new(&bytes), ByteReader::new(&bytes)];
            let by_loop =
                decoder.decode_lanes::<WIDE_LANES>(&mut one, &classes, portable, |_, _, _, _, _| 0);
            let by_both =
                decoder.decode_lanes(&mut other, &classes, by_vectors, decode_groups_of_vectors);
            prop_assert_eq!(by_loop.is_ok(), by_both.is_ok());
            prop_assert_eq!(one.at(), other.at());
            prop_assert_eq!(&decoded[0], &decoded[1]);
            if damage.is_none() && wrong_class.is_none() {
                prop_assert_eq!(&decoded[0], &symbols);
            }
        }

        #[test]
        fn any_sequence_comes_back(pairs in prop::collection::vec((any::<u8>(), 0u8..5), 1..3000)) {
            let (symbols, classes): (Vec<u8>, Vec<u8>) = pairs.into_iter().unzip();
            round_trip(&symbols, &classes, 5);
        }

        #[test]
        fn hostile_streams_do_not_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            classes in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let decoder = ClassedDecoder::new(&frequencies_of(b"hostile", &[0, 1, 0, 1, 2, 2, 2], 3));
            let mut symbols = vec![0; classes.len()];
            let _ = decoder.decode(&mut ByteReader::new(&bytes), &classes, &mut symbols);
        }
    }
}
