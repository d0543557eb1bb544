//! From symbols to states and words.
//!
//! Written form: the number of words as a variable-length integer, the lanes' states (`u32`), the words (`u16`), all
//! little-endian.

use super::frequencies::{Frequencies, SCALE_BITS};
use super::{LEAST_STATE, NARROW_LANES, WIDE_FROM, WIDE_LANES};
use crate::bytes::write_varint;

/// What encoding by the frequencies of a class needs to know of each symbol.
///
/// A number a symbol, so that one load brings all: from the lowest bit on, the reciprocal of the frequency f (32 bits:
/// ⌊2^32 / f⌋, or 2^32 − 1 for 1), the frequency (16 bits), and the frequencies of the symbols before (16 bits). Vectors
/// look up the entries of several tables as one array.
#[derive(Clone, Debug)]
#[repr(transparent)]
pub struct EncoderTable([u64; 256]);

impl EncoderTable {
    /// Makes one.
    pub fn new(frequencies: &Frequencies) -> EncoderTable {
        let mut start = 0;
        EncoderTable(frequencies.scaled().map(|frequency| {
            let reciprocal = (1u64 << 32) / u64::from(frequency.max(1));
            let reciprocal = reciprocal.min(u64::from(u32::MAX));
            let entry = reciprocal | u64::from(frequency) << 32 | start << 48;
            start += u64::from(frequency);
            entry
        }))
    }

    pub(super) fn entries(&self) -> &[u64; 256] {
        &self.0
    }
}

/// Encodes `symbols` and appends the written form. `words` is scratch space that may be used again.
///
/// Each symbol that occurs must have a frequency; a stream with one that has none decodes to something else.
pub fn encode(symbols: &[u8], table: &EncoderTable, words: &mut Vec<u16>, out: &mut Vec<u8>) {
    encode_any(symbols, &[], std::slice::from_ref(table), words, out);
}

/// The same, with a class for each symbol and a table for each class. A class without one is taken for the last.
pub fn encode_classed(
    symbols: &[u8],
    classes: &[u8],
    tables: &[EncoderTable],
    words: &mut Vec<u16>,
    out: &mut Vec<u8>,
) {
    encode_any(symbols, classes, tables, words, out);
}

/// Without classes there is one table.
fn encode_any(
    symbols: &[u8],
    classes: &[u8],
    tables: &[EncoderTable],
    words: &mut Vec<u16>,
    out: &mut Vec<u8>,
) {
    if symbols.len() < WIDE_FROM {
        encode_lanes::<NARROW_LANES>(symbols, classes, tables, words, out, |_, _, _| 0);
    } else {
        encode_lanes(symbols, classes, tables, words, out, |states, words, at| {
            by_vectors(symbols, classes, tables, states, words, at)
        });
    }
}

/// Encodes whole groups before the symbol `at` with what the processor has beside its plain instructions, last group
/// first, and returns how many. The others are left to the portable loop, which gives the same.
#[cfg_attr(
    not(target_arch = "x86_64"),
    expect(unused_variables, reason = "there is nothing beside")
)]
pub(super) fn by_vectors(
    symbols: &[u8],
    classes: &[u8],
    tables: &[EncoderTable],
    states: &mut [u32; WIDE_LANES],
    words: &mut WordStack<'_>,
    groups: usize,
) -> usize {
    #[cfg(target_arch = "x86_64")]
    {
        let groups = symbols.as_chunks().0.get(..groups).unwrap_or(&[]);
        let classes = classes.as_chunks().0;
        match super::avx512::encode_groups(groups, classes, tables, states, words) {
            0 => super::avx2::encode_groups(groups, classes, tables, states, words),
            done => done,
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    0
}

/// So many symbols are few: shuffles can look up what there is to know of them.
#[cfg(target_arch = "x86_64")]
pub(super) const FEW: usize = 16;

/// Whether all symbols are below [`FEW`]. It is compiled as what calls it is.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn are_few(groups: &[[u8; WIDE_LANES]]) -> bool {
    let all = groups.as_flattened().iter();
    all.fold(0, |all, symbol| all | symbol) < FEW as u8
}

/// Words in the order in which they are given, which is from the end of the space to its start, so that they stand in
/// the order in which they are taken.
pub(super) struct WordStack<'a> {
    space: &'a mut [u16],
    /// The last word that was given.
    first: usize,
}

impl WordStack<'_> {
    /// Room for `count` words before those that are there. They are given with [`keep`](Self::keep).
    #[inline(always)]
    pub(super) fn room<const COUNT: usize>(&mut self) -> Option<&mut [u16; COUNT]> {
        self.space.get_mut(..self.first)?.last_chunk_mut()
    }

    /// Keeps the last `count` words of the room.
    #[inline(always)]
    pub(super) fn keep(&mut self, count: usize) {
        self.first = self.first.saturating_sub(count);
    }

    #[inline(always)]
    fn push(&mut self, word: u16, is_given: bool) {
        if let Some([last]) = self.room() {
            *last = word;
        }
        self.keep(usize::from(is_given));
    }
}

pub(super) fn encode_lanes<const LANES: usize>(
    symbols: &[u8],
    classes: &[u8],
    tables: &[EncoderTable],
    words: &mut Vec<u16>,
    out: &mut Vec<u8>,
    by_vectors: impl FnOnce(&mut [u32; LANES], &mut WordStack<'_>, usize) -> usize,
) {
    let mut encoder = LaneEncoder::<LANES>::new(symbols.len(), words);
    encoder.run(symbols, classes, tables, by_vectors);
    encoder.finish(out);
}

/// What has been encoded into lanes: from the last symbol on.
pub(super) struct LaneEncoder<'a, const LANES: usize> {
    states: [u32; LANES],
    stack: WordStack<'a>,
}

impl<'a, const LANES: usize> LaneEncoder<'a, LANES> {
    /// Gets ready for `most` symbols. `words` is scratch space.
    pub(super) fn new(most: usize, words: &'a mut Vec<u16>) -> Self {
        // A symbol gives a word at most, and vectors need room for those that they do not give.
        let room = most + LANES;
        if words.len() < room {
            words.resize(room, 0);
        }
        LaneEncoder {
            states: [LEAST_STATE; LANES],
            stack: WordStack {
                first: words.len(),
                space: words,
            },
        }
    }

    /// Encodes symbols, the first of them in the first lane, that come before those which were encoded until now.
    pub(super) fn run(
        &mut self,
        symbols: &[u8],
        classes: &[u8],
        tables: &[EncoderTable],
        by_vectors: impl FnOnce(&mut [u32; LANES], &mut WordStack<'_>, usize) -> usize,
    ) {
        let LaneEncoder { states, stack } = self;
        let last = tables.last();
        let portable = |states: &mut [u32; LANES], stack: &mut WordStack<'_>, group: usize| {
            let at = group * LANES;
            let group = symbols.get(at..).unwrap_or(&[]).iter().take(LANES);
            let classes = classes.get(at..).unwrap_or(&[]);
            for (lane, (state, &symbol)) in states.iter_mut().zip(group).enumerate().rev() {
                let class = classes.get(lane).copied().unwrap_or_default();
                let Some(table) = tables.get(usize::from(class)).or(last) else {
                    continue;
                };
                push(table.0[usize::from(symbol)], state, stack);
            }
        };
        // A stack: what is encoded last is decoded first.
        let groups = symbols.len() / LANES;
        portable(states, stack, groups);
        let left = groups - by_vectors(states, stack, groups);
        for group in (0..left).rev() {
            portable(states, stack, group);
        }
    }

    /// Appends the written form.
    pub(super) fn finish(self, out: &mut Vec<u8>) {
        let given = self.stack.space.get(self.stack.first..).unwrap_or(&[]);
        write_varint(out, given.len() as u64);
        out.extend(self.states.iter().flat_map(|state| state.to_le_bytes()));
        out.extend(given.iter().flat_map(|word| word.to_le_bytes()));
    }
}

/// Encodes a symbol into a state.
///
/// With x below f·2^20 and the reciprocal rounded down, x·⌊2^32/f⌋ / 2^32 is less than one below x/f, so that the
/// quotient is what is found or one more.
#[inline(always)]
fn push(entry: u64, state: &mut u32, stack: &mut WordStack<'_>) {
    let (reciprocal, frequency) = (entry & 0xffff_ffff, (entry >> 32) as u32 & 0xffff);
    let start = (entry >> 48) as u32;
    let mut x = *state;
    let is_long = x >> (32 - SCALE_BITS) >= frequency;
    stack.push(x as u16, is_long);
    if is_long {
        x >>= 16;
    }
    let mut quotient = ((u64::from(x) * reciprocal) >> 32) as u32;
    // Wrapping matters for symbols without a frequency only.
    let remainder = x.wrapping_sub(quotient.wrapping_mul(frequency));
    quotient += u32::from(remainder >= frequency);
    let gap = (1u32 << SCALE_BITS).wrapping_sub(frequency);
    *state = x
        .wrapping_add(start)
        .wrapping_add(quotient.wrapping_mul(gap));
}
