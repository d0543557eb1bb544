//! A sequence of bytes as interleaved rANS states and words.
//!
//! Written form: the number of words as a variable-length integer, the lanes' states (`u32`), the words (`u16`), all
//! little-endian. The number of symbols and their frequencies are known beforehand.

use super::frequencies::{Frequencies, SCALE_BITS};
use crate::bytes::{ByteReader, write_varint};
use crate::error::DecodeError;

/// Lanes of sequences of [`WIDE_FROM`] symbols or more.
pub const WIDE_LANES: usize = 64;

/// Lanes of shorter sequences, for which 64 states would weigh too much.
pub const NARROW_LANES: usize = 4;

/// Symbols from which on a sequence has [`WIDE_LANES`] lanes.
pub const WIDE_FROM: usize = 1 << 14;

/// The smallest state, at which encoding begins and decoding ends.
const LEAST_STATE: u32 = 1 << 16;
pub(super) const SLOTS: usize = 1 << SCALE_BITS;
const WHAT: &str = "rANS stream";

/// Encodes `symbols` and appends the written form. `words` is scratch space that may be used again.
///
/// Each symbol that occurs must have a frequency; a stream with one that has none decodes to something else.
pub fn encode(symbols: &[u8], frequencies: &Frequencies, words: &mut Vec<u16>, out: &mut Vec<u8>) {
    if symbols.len() < WIDE_FROM {
        encode_lanes::<NARROW_LANES>(symbols, frequencies, words, out);
    } else {
        encode_lanes::<WIDE_LANES>(symbols, frequencies, words, out);
    }
}

/// Takes a written form and fills `symbols`.
///
/// # Errors
///
/// [`DecodeError::Truncated`] where bytes are missing, [`DecodeError::Field`] where states and words do not fit
/// together.
pub fn decode(
    reader: &mut ByteReader<'_>,
    frequencies: &Frequencies,
    symbols: &mut [u8],
) -> Result<(), DecodeError> {
    if symbols.len() < WIDE_FROM {
        decode_lanes::<NARROW_LANES>(reader, frequencies, symbols, |_, _, _, _| 0)
    } else {
        decode_lanes(reader, frequencies, symbols, decode_groups_of_vectors)
    }
}

/// Decodes whole groups with what the processor has beside its plain instructions, and returns how many. The others are
/// left to the portable loop, which decodes the same.
fn decode_groups_of_vectors(
    slots: &[u32; SLOTS],
    states: &mut [u32; WIDE_LANES],
    words: &mut &[[u8; 2]],
    groups: &mut [[u8; WIDE_LANES]],
) -> usize {
    #[cfg(target_arch = "x86_64")]
    return super::avx2::decode_groups(slots, states, words, groups);
    #[cfg(not(target_arch = "x86_64"))]
    0
}

/// What encoding needs to know of a symbol.
#[derive(Clone, Copy, Default)]
pub(super) struct EncoderSymbol {
    /// ⌈2^44 / frequency⌉, with which a product and a shift divide states: for x < frequency·2^20 and a frequency of
    /// 2^12 at most, the product is below 2^64 and the quotient exact.
    reciprocal: u64,
    frequency: u32,
    /// Frequencies of the symbols before.
    start: u32,
}

const RECIPROCAL_BITS: u32 = 44;

impl EncoderSymbol {
    /// Encodes the symbol into a state.
    #[inline(always)]
    pub(super) fn push(self, state: &mut u32, words: &mut Vec<u16>) {
        let mut x = *state;
        // Below frequency·2^20, the step stays within 32 bits.
        if u64::from(x) >= u64::from(self.frequency) << (32 - SCALE_BITS) {
            words.push(x as u16);
            x >>= 16;
        }
        let quotient = (u64::from(x).wrapping_mul(self.reciprocal) >> RECIPROCAL_BITS) as u32;
        // Wrapping matters for symbols without a frequency only.
        let remainder = x.wrapping_sub(quotient.wrapping_mul(self.frequency));
        *state = (quotient << SCALE_BITS)
            .wrapping_add(remainder)
            .wrapping_add(self.start);
    }
}

pub(super) fn encoder_symbols(frequencies: &Frequencies) -> [EncoderSymbol; 256] {
    let mut start = 0;
    frequencies.scaled().map(|frequency| {
        let symbol = EncoderSymbol {
            reciprocal: (1u64 << RECIPROCAL_BITS).div_ceil(u64::from(frequency.max(1))),
            frequency,
            start,
        };
        start += frequency;
        symbol
    })
}

/// The states with which encoding begins.
pub(super) fn start<const LANES: usize>() -> [u32; LANES] {
    [LEAST_STATE; LANES]
}

/// Appends the written form of states and words, of which the last one pushed is the first one taken.
pub(super) fn write<const LANES: usize>(states: &[u32; LANES], words: &[u16], out: &mut Vec<u8>) {
    write_varint(out, words.len() as u64);
    out.extend(states.iter().flat_map(|state| state.to_le_bytes()));
    out.extend(words.iter().rev().flat_map(|word| word.to_le_bytes()));
}

fn encode_lanes<const LANES: usize>(
    symbols: &[u8],
    frequencies: &Frequencies,
    words: &mut Vec<u16>,
    out: &mut Vec<u8>,
) {
    let table = encoder_symbols(frequencies);
    let mut states = start::<LANES>();
    words.clear();
    // A stack: what is encoded last is decoded first.
    for group in symbols.chunks(LANES).rev() {
        for (state, &symbol) in states.iter_mut().zip(group).rev() {
            table[usize::from(symbol)].push(state, words);
        }
    }
    write(&states, words, out);
}

/// For each slot of the scale its symbol (8 bits), and above it the frequency less one (12 bits) and the slot's
/// distance from the symbol's first (12 bits).
pub(super) fn decoder_slots(frequencies: &Frequencies) -> Box<[u32; SLOTS]> {
    let mut slots = Box::new([0; SLOTS]);
    let mut rest = slots.as_mut_slice();
    for (symbol, frequency) in frequencies.scaled().into_iter().enumerate() {
        let (own, after) = rest.split_at_mut(frequency as usize);
        for (distance, slot) in own.iter_mut().enumerate() {
            *slot = (distance as u32) << 20 | (frequency - 1) << 8 | symbol as u32;
        }
        rest = after;
    }
    slots
}

/// How many words there are, the states, and the words.
type Written<'a, const LANES: usize> = (u64, [u32; LANES], &'a [[u8; 2]]);

/// Takes a written form.
pub(super) fn take_words<'a, const LANES: usize>(
    reader: &mut ByteReader<'a>,
) -> Result<Written<'a, LANES>, DecodeError> {
    let count = reader.varint("number of words")?;
    let mut states = [0; LANES];
    for state in &mut states {
        *state = u32::from_le_bytes(reader.array("rANS state")?);
    }
    let bytes = reader.take(count.saturating_mul(2), "rANS words")?;
    Ok((count, states, bytes.as_chunks().0))
}

/// Holds what is there after the last symbol against what must be. `wrong` says that there were other than `count`
/// words.
pub(super) fn finish(at: u64, count: u64, states: &[u32], wrong: bool) -> Result<(), DecodeError> {
    let refuse = |expected, found| DecodeError::Field {
        what: WHAT,
        at,
        expected,
        found,
    };
    if wrong {
        return Err(refuse("of as many words as its symbols take", count));
    }
    match states.iter().find(|&&state| state != LEAST_STATE) {
        Some(&state) => Err(refuse("such that every state ends at 65536", state.into())),
        None => Ok(()),
    }
}

fn decode_lanes<const LANES: usize>(
    reader: &mut ByteReader<'_>,
    frequencies: &Frequencies,
    symbols: &mut [u8],
    by_vectors: impl FnOnce(
        &[u32; SLOTS],
        &mut [u32; LANES],
        &mut &[[u8; 2]],
        &mut [[u8; LANES]],
    ) -> usize,
) -> Result<(), DecodeError> {
    let at = reader.at();
    let (count, mut states, mut words) = take_words::<LANES>(reader)?;
    let slots = decoder_slots(frequencies);
    let (groups, last) = symbols.as_chunks_mut::<LANES>();
    let done = by_vectors(&slots, &mut states, &mut words, groups);
    let mut missing = false;
    for group in groups.iter_mut().skip(done) {
        missing |= decode_group(&slots, &mut states, &mut words, group);
    }
    missing |= decode_group(&slots, &mut states, &mut words, last);
    finish(at, count, &states, missing || !words.is_empty())
}

/// Decodes up to one symbol a lane. Returns whether words were missing; they were zero then.
#[inline(always)]
fn decode_group<const LANES: usize>(
    slots: &[u32; SLOTS],
    states: &mut [u32; LANES],
    words: &mut &[[u8; 2]],
    symbols: &mut [u8],
) -> bool {
    let mut step = Step::<LANES>::new(words);
    for (state, symbol) in states.iter_mut().zip(symbols) {
        *symbol = step.pop(slots[*state as usize % SLOTS], state);
    }
    step.end()
}

/// The decoding of up to one symbol a lane.
pub(super) struct Step<'w, 'a, const LANES: usize> {
    words: &'w mut &'a [[u8; 2]],
    /// What the lanes may take: a word each at most, so that no lane needs to look whether there is one.
    window: [[u8; 2]; LANES],
    taken: usize,
}

impl<'w, 'a, const LANES: usize> Step<'w, 'a, LANES> {
    #[inline(always)]
    pub(super) fn new(words: &'w mut &'a [[u8; 2]]) -> Self {
        let mut window = [[0; 2]; LANES];
        match words.first_chunk() {
            Some(whole) => window = *whole,
            None => {
                for (slot, word) in window.iter_mut().zip(words.iter()) {
                    *slot = *word;
                }
            }
        }
        Step {
            words,
            window,
            taken: 0,
        }
    }

    /// Takes the symbol of a slot out of a state.
    #[inline(always)]
    pub(super) fn pop(&mut self, slot: u32, state: &mut u32) -> u8 {
        let frequency = (slot >> 8 & (SLOTS as u32 - 1)) + 1;
        let x = frequency * (*state >> SCALE_BITS) + (slot >> 20);
        let word = u32::from(u16::from_le_bytes(self.window[self.taken % LANES]));
        let short = x < LEAST_STATE;
        *state = if short { x << 16 | word } else { x };
        self.taken += usize::from(short);
        slot as u8
    }

    /// Gives up the words that were taken, and says whether any were missing.
    #[inline(always)]
    pub(super) fn end(self) -> bool {
        let missing = self.taken > self.words.len();
        *self.words = self.words.get(self.taken..).unwrap_or(&[]);
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frequencies_of(symbols: &[u8]) -> Frequencies {
        let mut counts = [0; 256];
        for &symbol in symbols {
            counts[usize::from(symbol)] += 1;
        }
        Frequencies::fit(&counts).unwrap()
    }

    /// Both ways decode the same, be it whole, be it damaged.
    fn decode_both(bytes: &[u8], frequencies: &Frequencies, length: usize) -> Option<Vec<u8>> {
        let mut decoded = [vec![0; length], vec![0; length]];
        let [portable, by_vectors] = &mut decoded;
        let [mut one, mut other] = [ByteReader::new(bytes), ByteReader::new(bytes)];
        let by_loop = decode_lanes::<WIDE_LANES>(&mut one, frequencies, portable, |_, _, _, _| 0);
        let by_both = decode_lanes(
            &mut other,
            frequencies,
            by_vectors,
            decode_groups_of_vectors,
        );
        assert_eq!(by_loop.is_ok(), by_both.is_ok());
        assert_eq!(portable, by_vectors);
        assert_eq!(one.at(), other.at());
        by_loop.ok().map(|()| decoded[0].clone())
    }

    fn round_trip(symbols: &[u8]) -> usize {
        let frequencies = frequencies_of(symbols);
        let mut bytes = Vec::new();
        encode(symbols, &frequencies, &mut vec![7; 3], &mut bytes);
        let mut decoded = vec![0; symbols.len()];
        let mut reader = ByteReader::new(&bytes);
        decode(&mut reader, &frequencies, &mut decoded).unwrap();
        reader.finish().unwrap();
        assert_eq!(decoded, symbols);
        bytes.len()
    }

    #[test]
    fn lengths_around_the_lanes() {
        for lanes in [NARROW_LANES, WIDE_LANES, WIDE_FROM] {
            for length in [lanes - 1, lanes, lanes + 1, 3 * lanes + 2] {
                let symbols: Vec<u8> = (0..length).map(|i| (i * i / 7 % 11) as u8).collect();
                round_trip(&symbols);
            }
        }
    }

    #[test]
    fn one_symbol_costs_no_words() {
        assert_eq!(round_trip(&[42; 1000]), 1 + 4 * NARROW_LANES);
    }

    #[test]
    fn a_rare_symbol_in_a_sea_of_another() {
        let mut symbols = vec![0; 1 << 17];
        symbols[77_777] = 255;
        round_trip(&symbols);
    }

    #[test]
    fn reciprocals_divide_exactly() {
        for frequency in 1..=1u64 << SCALE_BITS {
            let reciprocal = (1u64 << RECIPROCAL_BITS).div_ceil(frequency);
            let most = (frequency << 20) - 1;
            for x in [0, 1, frequency, most / 2, most - frequency, most - 1, most] {
                let product = x.checked_mul(reciprocal).unwrap();
                assert_eq!(product >> RECIPROCAL_BITS, x / frequency);
            }
            // The last multiple and its predecessor are where an inexact reciprocal would show first.
            let multiple = most / frequency * frequency;
            for x in [multiple, multiple - 1] {
                assert_eq!((x * reciprocal) >> RECIPROCAL_BITS, x / frequency);
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
        assert!((round_trip(&symbols) as f64) < ideal * 1.002 + 4.0 * WIDE_LANES as f64);
    }

    proptest! {
        #[test]
        fn vectors_decode_what_the_loop_decodes(
            symbols in prop::collection::vec(0u8..40, 1..5000),
            damage in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
            cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let frequencies = frequencies_of(&symbols);
            let mut bytes = Vec::new();
            encode_lanes::<WIDE_LANES>(&symbols, &frequencies, &mut Vec::new(), &mut bytes);
            if damage.is_none() && cut.is_none() {
                prop_assert_eq!(decode_both(&bytes, &frequencies, symbols.len()), Some(symbols.clone()));
            }
            if let Some((place, byte)) = damage {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            decode_both(&bytes, &frequencies, symbols.len());
        }

        #[test]
        fn any_sequence_comes_back(symbols in prop::collection::vec(any::<u8>(), 1..3000)) {
            round_trip(&symbols);
        }

        #[test]
        fn hostile_streams_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), length in 0usize..300) {
            let frequencies = frequencies_of(b"hostile streams");
            let mut symbols = vec![0; length];
            let _ = decode(&mut ByteReader::new(&bytes), &frequencies, &mut symbols);
        }
    }
}
