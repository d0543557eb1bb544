//! Interleaved rANS over symbols of nine bits, each by the table of its context.
//!
//! The coder is that of [`rans`](crate::rans), with tables that are too wide for it, and few lanes in plain code: a
//! state is a `u32` from 2^16 on and takes or gives 16 bits at a time, and encoding starts every state at 2^16, where
//! decoding must end. What is different is which lane has which symbol. Of n symbols, lane l has those from l·⌊n/8⌋
//! on, ⌊n/8⌋ of them, one after the other, and then one of the last n mod 8, the l-th. So the context of a symbol, which
//! is what its lane had before, is known without waiting for another lane. A lane's first symbol has the context of
//! exponent 0.
//!
//! # Written form
//!
//! The number of words as a variable-length integer, the lanes' states (`u32`), the words (`u16`), all little-endian.
//! In each step every lane takes its word, if it needs one, in the order of the lanes.

use super::frequencies::{SCALE, SCALE_BITS, WideFrequencies};
use super::symbols::{SYMBOLS, join, take_mantissas};
use crate::bytes::{ByteReader, write_varint};
use crate::error::DecodeError;

/// Symbols that are coded side by side.
const LANES: usize = 8;

/// The smallest state, at which encoding begins and decoding ends.
const LEAST_STATE: u32 = 1 << 16;

/// The exponent of a symbol.
const EXPONENT: u16 = 0xff;

/// The table for each exponent that a symbol can come after. One that there is no table for means the first.
pub(crate) type Contexts = [u8; 256];

/// What encoding needs to know of each symbol: its frequency, and the frequencies of those before.
pub(crate) struct EncoderTable(Box<[[u16; 2]; SYMBOLS]>);

impl EncoderTable {
    /// Makes one.
    pub(crate) fn new(frequencies: &WideFrequencies) -> EncoderTable {
        EncoderTable(Box::new(entries(frequencies)))
    }
}

fn entries(frequencies: &WideFrequencies) -> [[u16; 2]; SYMBOLS] {
    let mut start = 0;
    frequencies.all().map(|frequency| {
        let entry = [frequency, start];
        start += frequency;
        entry
    })
}

/// What decoding needs to know: the symbol of each slot, and of each symbol what encoding needs.
pub(crate) struct DecoderTable {
    slots: Box<[u16; SCALE]>,
    entries: Box<[[u16; 2]; SYMBOLS]>,
}

impl DecoderTable {
    /// Makes one.
    pub(crate) fn new(frequencies: &WideFrequencies) -> DecoderTable {
        let mut slots = Box::new([0; SCALE]);
        let mut rest = slots.as_mut_slice().iter_mut();
        for (symbol, &frequency) in (0..).zip(frequencies.all()) {
            for slot in rest.by_ref().take(frequency.into()) {
                *slot = symbol;
            }
        }
        DecoderTable {
            slots,
            entries: Box::new(entries(frequencies)),
        }
    }
}

/// The place of the symbol that a lane has in a step, of `count` in all; none may be there in the last step.
#[inline(always)]
fn place(step: usize, lane: usize, count: usize) -> usize {
    let steps = count / LANES;
    if step < steps {
        lane * steps + step
    } else {
        LANES * steps + lane
    }
}

/// The exponent of the symbol that a lane had before a step.
#[inline(always)]
fn before(step: usize, lane: usize, symbols: &[u16]) -> u8 {
    let earlier = step
        .checked_sub(1)
        .and_then(|step| symbols.get(place(step, lane, symbols.len())));
    earlier.map_or(0, |symbol| (symbol & EXPONENT) as u8)
}

/// How often each symbol occurs in each of `tables` contexts.
pub(crate) fn count_in_contexts(
    symbols: &[u16],
    contexts: &Contexts,
    tables: usize,
) -> Vec<[u64; SYMBOLS]> {
    let mut counts = vec![[0; SYMBOLS]; tables];
    for step in 0..=symbols.len() / LANES {
        for lane in 0..LANES {
            let Some(&symbol) = symbols.get(place(step, lane, symbols.len())) else {
                break;
            };
            let context = contexts[usize::from(before(step, lane, symbols))];
            if let Some(counts) = counts.get_mut(usize::from(context)) {
                counts[usize::from(symbol) % SYMBOLS] += 1;
            }
        }
    }
    counts
}

/// Encodes symbols, each below 512, and appends the written form. Returns how many of its bytes are the number of
/// words. Without contexts, all symbols are coded by the first table. `words` is scratch space.
pub(crate) fn encode(
    symbols: &[u16],
    contexts: Option<&Contexts>,
    tables: &[EncoderTable],
    words: &mut Vec<u16>,
    out: &mut Vec<u8>,
) -> u64 {
    words.clear();
    let mut states = [LEAST_STATE; LANES];
    let first = tables.first();
    // What is encoded last is decoded first.
    for step in (0..=symbols.len() / LANES).rev() {
        for (lane, state) in states.iter_mut().enumerate().rev() {
            let Some(&symbol) = symbols.get(place(step, lane, symbols.len())) else {
                continue;
            };
            let of_context = contexts.and_then(|contexts| {
                let context = contexts[usize::from(before(step, lane, symbols))];
                tables.get(usize::from(context))
            });
            let Some(table) = of_context.or(first) else {
                continue;
            };
            let [frequency, start] = table.0[usize::from(symbol) % SYMBOLS].map(u32::from);
            if *state >> (32 - SCALE_BITS) >= frequency {
                words.push(*state as u16);
                *state >>= 16;
            }
            let quotient = *state / frequency.max(1);
            let remainder = *state - quotient * frequency;
            *state = (quotient << SCALE_BITS) + remainder + start;
        }
    }
    let before = out.len();
    write_varint(out, words.len() as u64);
    let length = out.len() - before;
    out.extend(states.iter().flat_map(|state| state.to_le_bytes()));
    out.extend(words.iter().rev().flat_map(|word| word.to_le_bytes()));
    length as u64
}

/// Takes the written form of as many symbols as `symbols` holds, and fills it.
///
/// # Errors
///
/// [`DecodeError::Truncated`] where bytes are missing, [`DecodeError::Field`] where states and words do not fit
/// together.
pub(super) fn decode(
    reader: &mut ByteReader<'_>,
    contexts: Option<&Contexts>,
    tables: &[DecoderTable],
    symbols: &mut [u16],
) -> Result<(), DecodeError> {
    let start = reader.at();
    let refuse = |expected, found| DecodeError::Field {
        what: "rANS stream",
        at: start,
        expected,
        found,
    };
    let count = reader.varint("number of words")?;
    let mut lanes = Lanes {
        states: [0; LANES],
        before: [0; LANES],
        words: &[],
        missing: false,
    };
    for state in &mut lanes.states {
        *state = u32::from_le_bytes(reader.array("rANS state")?);
    }
    let words = reader.take(count.saturating_mul(2), "rANS words")?;
    lanes.words = words.as_chunks().0;
    let Some(first) = tables.first() else {
        return Err(refuse("of symbols that have a table", 0));
    };
    match contexts {
        None => lanes.run(symbols, |_| first),
        Some(contexts) => lanes.run(symbols, |before| {
            let context = contexts[usize::from(before & EXPONENT)];
            tables.get(usize::from(context)).unwrap_or(first)
        }),
    }
    if lanes.missing || !lanes.words.is_empty() {
        return Err(refuse("of as many words as its symbols take", count));
    }
    match lanes.states.iter().find(|&&state| state != LEAST_STATE) {
        Some(&state) => Err(refuse("such that every state ends at 65536", state.into())),
        None => Ok(()),
    }
}

/// Takes what follows the tables of a coded chunk, mantissas and symbols, and fills its weights. `symbols` is space.
///
/// # Errors
///
/// Where bytes are missing, or are not what [`encode`] writes.
pub(crate) fn decode_weights(
    reader: &mut ByteReader<'_>,
    contexts: Option<&Contexts>,
    tables: &[DecoderTable],
    symbols: &mut Vec<u16>,
    words: &mut [[u8; 2]],
) -> Result<(), DecodeError> {
    let packed = take_mantissas(reader, words.len())?;
    symbols.resize(words.len(), 0);
    decode(reader, contexts, tables, symbols)?;
    join(symbols, packed, words);
    Ok(())
}

/// How far decoding has come.
struct Lanes<'a> {
    states: [u32; LANES],
    /// The symbol that each lane had last.
    before: [u16; LANES],
    /// Words that have not been taken.
    words: &'a [[u8; 2]],
    /// Whether words were taken that are not there; they were zero.
    missing: bool,
}

impl Lanes<'_> {
    /// Decodes all symbols.
    #[inline(always)]
    fn run<'t>(&mut self, symbols: &mut [u16], table: impl Fn(u16) -> &'t DecoderTable) {
        let steps = symbols.len() / LANES;
        let (striped, last) = symbols.split_at_mut(LANES * steps);
        if steps > 0 {
            let mut stripes: [&mut [u16]; LANES] = Default::default();
            for (stripe, part) in stripes.iter_mut().zip(striped.chunks_exact_mut(steps)) {
                *stripe = part;
            }
            for step in 0..steps {
                self.step(LANES, &table);
                for (stripe, &symbol) in stripes.iter_mut().zip(&self.before) {
                    if let Some(slot) = stripe.get_mut(step) {
                        *slot = symbol;
                    }
                }
            }
        }
        self.step(last.len(), &table);
        for (slot, &symbol) in last.iter_mut().zip(&self.before) {
            *slot = symbol;
        }
    }

    /// Decodes a symbol in each of the first `active` lanes.
    #[inline(always)]
    fn step<'t>(&mut self, active: usize, table: &impl Fn(u16) -> &'t DecoderTable) {
        // A word a lane at most, so that no lane needs to look whether there is one.
        let mut window = [[0; 2]; LANES];
        match self.words.first_chunk() {
            Some(whole) => window = *whole,
            None => {
                for (slot, word) in window.iter_mut().zip(self.words) {
                    *slot = *word;
                }
            }
        }
        let mut taken = 0;
        let lanes = self.states.iter_mut().zip(&mut self.before);
        for (state, before) in lanes.take(active) {
            let table = table(*before);
            let slot = *state as usize % SCALE;
            let symbol = table.slots[slot];
            let [frequency, start] = table.entries[usize::from(symbol) % SYMBOLS].map(u32::from);
            // A symbol's slots begin at its start, and the state is below 2^32, so nothing wraps.
            let x = frequency
                .wrapping_mul(*state >> SCALE_BITS)
                .wrapping_add((slot as u32).wrapping_sub(start));
            let word = u32::from(u16::from_le_bytes(window[taken % LANES]));
            let is_short = x < LEAST_STATE;
            *state = if is_short { x << 16 | word } else { x };
            taken += usize::from(is_short);
            *before = symbol;
        }
        self.missing |= taken > self.words.len();
        self.words = self.words.get(taken..).unwrap_or(&[]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn contexts() -> Contexts {
        std::array::from_fn(|exponent| (exponent / 50) as u8)
    }

    /// Encodes by tables fitted to the symbols, and decodes again.
    fn round_trip(symbols: &[u16], contexts: Option<&Contexts>) -> Vec<u8> {
        let counts = count_in_contexts(symbols, contexts.unwrap_or(&[0; 256]), 6);
        let fitted: Vec<_> = counts.iter().map(WideFrequencies::fit).collect();
        let encoders: Vec<_> = fitted.iter().map(EncoderTable::new).collect();
        let decoders: Vec<_> = fitted.iter().map(DecoderTable::new).collect();
        let mut out = Vec::new();
        let length = encode(symbols, contexts, &encoders, &mut Vec::new(), &mut out);
        assert!((1..4).contains(&length));
        let mut reader = ByteReader::new(&out);
        let mut decoded = vec![0; symbols.len()];
        decode(&mut reader, contexts, &decoders, &mut decoded).unwrap();
        reader.finish().unwrap();
        assert!(decoded == symbols);
        for cut in 0..out.len().min(60) {
            let mut reader = ByteReader::new(&out[..cut]);
            assert!(decode(&mut reader, contexts, &decoders, &mut decoded).is_err());
        }
        out
    }

    #[test]
    fn the_code_is_as_long_as_the_tables_say() {
        let symbols: Vec<u16> = (0..100_000u32)
            .map(|i| 100 + (i.wrapping_mul(0x9e37_79b9) >> 16).leading_zeros() as u16)
            .collect();
        let encoded = round_trip(&symbols, None);
        let mut counts = [0; SYMBOLS];
        for &symbol in &symbols {
            counts[usize::from(symbol)] += 1;
        }
        let costs = WideFrequencies::fit(&counts).costs();
        let bits: u64 = symbols
            .iter()
            .map(|&s| u64::from(costs[usize::from(s)]))
            .sum();
        let bytes = (bits >> 19) as usize;
        assert!(
            (bytes..bytes + 64).contains(&encoded.len()),
            "{} and {bytes}",
            encoded.len()
        );
    }

    #[test]
    fn contexts_are_worth_what_they_tell() {
        // Each symbol says what the next one is, but for a stripe's first.
        let symbols: Vec<u16> = (0..60_000u16).map(|i| i % 6 * 50).collect();
        let without = round_trip(&symbols, None).len();
        let with = round_trip(&symbols, Some(&contexts())).len();
        // Nothing is without cost, as unused symbols have frequencies.
        assert!(
            3 * with < 2 * without && with > 1000,
            "{with} and {without}"
        );
    }

    proptest! {
        #[test]
        fn anything_comes_back(symbols in prop::collection::vec(0u16..512, 0..300), with in any::<bool>()) {
            round_trip(&symbols, with.then_some(&contexts()));
        }

        #[test]
        fn hostile_streams_are_errors_or_symbols(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            words in 0u8..128,
            count in 0usize..200,
        ) {
            let tables: Vec<_> = [WideFrequencies::fit(&[0; SYMBOLS])].iter().map(DecoderTable::new).collect();
            let bytes: Vec<u8> = [words].into_iter().chain(bytes).collect();
            let mut symbols = vec![0; count];
            let found = decode(&mut ByteReader::new(&bytes), Some(&contexts()), &tables, &mut symbols);
            prop_assert!(found.is_err() || symbols.iter().all(|&symbol| symbol < 512));
        }
    }
}
