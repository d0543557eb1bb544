//! `exponent_static`: the exponents of floats coded by their frequencies in a chunk, two at a time; signs and mantissas
//! stored.
//!
//! This is order-0 coding of the whole exponent, made fast: a step of the decoder yields two weights. Most exponents of
//! a tensor are among fifteen neighbours, so that two of them are a byte, and few of the pairs are so rare that they
//! cannot have a frequency of their own.
//!
//! # Format
//!
//! Units, tensors and the modes of chunks are those of all float methods. A coded chunk is
//!
//! | field | bytes |
//! | --- | --- |
//! | the least of the fifteen exponents | 1 |
//! | frequencies of the pairs, see [`Frequencies`] | |
//! | number of escaped pairs | variable-length integer |
//! | their exponents | 2 each |
//! | signs and mantissas, see [`rest`](crate::floats::rest) | |
//! | the pairs, see [`rans`] | |
//!
//! A pair is the distance of its first exponent from the least in its lower half, and that of the second in its upper
//! one; 255 is an escaped pair. If the number of weights is odd, the second exponent of the last pair means nothing.

use crate::bytes::{ByteReader, write_varint};
use crate::error::{DecodeError, ProfileProblem};
use crate::float::FloatLayout;
use crate::floats::rest::Rest;
use crate::floats::{FloatCoder, FloatFamily, Matrix, without_profile};
use crate::rans::{self, BLOCK, DecoderTable, EncoderTable, Frequencies, SCALE_BITS};
use crate::simd::vectorized;

/// Weights of a chunk.
const CHUNK_WEIGHTS: u64 = 1 << 19;
/// Exponents that have a distance.
const NEIGHBOURS: usize = 15;
const ESCAPE: u8 = 0xff;
/// Exponents are counted on one piece of so many.
const COUNTED_PIECES: usize = 8;
const PIECE: usize = 64;

pub(super) const FAMILY: FloatFamily<Coder> = FloatFamily::new();

pub(crate) struct Coder;

#[derive(Default)]
pub(crate) struct Scratch {
    pairs: Vec<u8>,
    escaped: Vec<[u8; 2]>,
    words: Vec<u16>,
}

#[inline(always)]
fn exponent(layout: FloatLayout, word: [u8; 2]) -> u8 {
    ((u16::from_le_bytes(word) & 0x7fff) >> layout.mantissa_bits()) as u8
}

fn rest_of(layout: FloatLayout) -> Rest {
    match layout {
        FloatLayout::Bf16 => Rest::Byte,
        FloatLayout::F16 => Rest::TenAndSign,
    }
}

/// The first of the neighbours that hold the most weights, by a sample.
fn least_exponent(layout: FloatLayout, words: &[[u8; 2]]) -> u8 {
    let mut counts = [0u32; 256];
    for piece in words.chunks(PIECE).step_by(COUNTED_PIECES) {
        for word in piece {
            counts[usize::from(exponent(layout, *word))] += 1;
        }
    }
    let mut held: u32 = counts.iter().take(NEIGHBOURS).sum();
    let (mut best, mut most) = (0, held);
    let steps = counts.iter().zip(counts.iter().skip(NEIGHBOURS));
    for (least, (leaves, enters)) in (1..).zip(steps) {
        held = held - leaves + enters;
        if held > most {
            (best, most) = (least, held);
        }
    }
    best
}

/// The pairs of words, of which an odd last one is paired with itself.
fn pair_up(layout: FloatLayout, least: u8, words: &[[u8; 2]], pairs: &mut Vec<u8>) {
    pairs.resize(words.len().div_ceil(2), 0);
    for (words, pairs) in words.chunks(2 * BLOCK).zip(pairs.chunks_mut(BLOCK)) {
        pair_block(layout, least, words, pairs);
    }
}

vectorized! {
    fn pair_block(layout: FloatLayout, least: u8, words: &[[u8; 2]], pairs: &mut [u8]) {
        let mut distances = [0; 2 * BLOCK];
        let shift = layout.mantissa_bits();
        for (distance, word) in distances.iter_mut().zip(words) {
            let exponent = (u16::from_le_bytes(*word) & 0x7fff) >> shift;
            // Below the least it wraps, to far above.
            let above = exponent.wrapping_sub(least.into());
            *distance = above.min(NEIGHBOURS as u16) as u8;
        }
        if words.len() % 2 == 1 {
            distances[words.len()] = distances[words.len() - 1];
        }
        for (pair, two) in pairs.iter_mut().zip(distances.as_chunks::<2>().0) {
            let two = u16::from_le_bytes(*two);
            let (first, second) = (two & 15, two >> 8);
            let is_escaped = first.max(second) == NEIGHBOURS as u16;
            *pair = if is_escaped { ESCAPE } else { (first | second << 4) as u8 };
        }
    }
}

/// How often each pair occurs. Four tables, so that equal neighbours do not wait for each other.
#[inline(always)]
fn count(pairs: &[u8]) -> [u32; 256] {
    let mut counts = [[0u32; 256]; 4];
    let (fours, left) = pairs.as_chunks::<4>();
    for four in fours {
        for (table, &pair) in counts.iter_mut().zip(four) {
            table[usize::from(pair)] += 1;
        }
    }
    let [mut sums, others @ ..] = counts;
    for &pair in left {
        sums[usize::from(pair)] += 1;
    }
    for table in others {
        for (sum, count) in sums.iter_mut().zip(table) {
            *sum += count;
        }
    }
    sums
}

/// Counts pairs that are too rare to have a frequency among those that are escaped.
fn drop_rare(counts: &mut [u32; 256]) {
    let all: u64 = counts.iter().map(|&count| u64::from(count)).sum();
    let [pairs @ .., escaped] = counts;
    for count in pairs {
        // One slot of the scale is worth more than a quarter of what it takes; an escaped pair takes two bytes.
        if u64::from(*count) << (SCALE_BITS + 2) < all {
            *escaped += std::mem::take(count);
        }
    }
}

/// Calls `each` with the place of every escaped pair.
#[inline(always)]
fn each_escaped(pairs: &[u8], mut each: impl FnMut(usize)) {
    const LOW: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = LOW << 7;
    let (eights, left) = pairs.as_chunks::<8>();
    for (number, eight) in eights.iter().enumerate() {
        // A zero byte for each escaped pair; the lowest set bit belongs to the first of them.
        let mut zeros = !u64::from_le_bytes(*eight);
        let mut found = zeros.wrapping_sub(LOW) & !zeros & HIGH;
        while found != 0 {
            let place = found.trailing_zeros() as usize / 8;
            each(number * 8 + place);
            zeros |= 0xff << (8 * place);
            found = zeros.wrapping_sub(LOW) & !zeros & HIGH;
        }
    }
    for (place, _) in left.iter().enumerate().filter(|(_, pair)| **pair == ESCAPE) {
        each(eights.len() * 8 + place);
    }
}

impl FloatCoder for Coder {
    const NAME: &'static str = "exponent_static";
    const ABOUT: &'static str = "order-0 rANS over the exponents of floats, two at a time, chunk by chunk; signs and mantissas stored";
    const LEAF: &'static str = "codecs/src/methods/exponent_static.rs";
    const VERSION: u8 = 1;
    const MEMORY: u64 = 16 * CHUNK_WEIGHTS;
    type Scratch = Scratch;

    fn with_profile(profile: Option<&[u8]>) -> Result<Coder, ProfileProblem> {
        without_profile(profile, Coder)
    }

    fn chunk_weights(_matrix: Matrix) -> u64 {
        CHUNK_WEIGHTS
    }

    fn encode(
        &self,
        _matrix: Matrix,
        layout: FloatLayout,
        words: &[[u8; 2]],
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> u64 {
        let Scratch {
            pairs,
            escaped,
            words: given,
        } = scratch;
        let least = least_exponent(layout, words);
        pair_up(layout, least, words, pairs);
        let mut counts = count(pairs);
        drop_rare(&mut counts);
        // A table, because it is asked for every pair.
        let becomes: [u8; 256] = std::array::from_fn(|pair| match counts[pair] {
            0 => ESCAPE,
            _ => pair as u8,
        });
        for pair in pairs.iter_mut() {
            *pair = becomes[usize::from(*pair)];
        }
        escaped.clear();
        each_escaped(pairs, |place| {
            let of = |word: Option<&[u8; 2]>| word.map_or(0, |word| exponent(layout, *word));
            escaped.push([of(words.get(2 * place)), of(words.get(2 * place + 1))]);
        });
        let before = out.len();
        out.push(least);
        let Some(frequencies) = Frequencies::fit(&counts) else {
            return 0;
        };
        frequencies.write(out);
        let table_bytes = (out.len() - before) as u64;
        write_varint(out, escaped.len() as u64);
        out.extend_from_slice(escaped.as_flattened());
        rest_of(layout).split(words, out);
        rans::encode(pairs, &EncoderTable::new(&frequencies), given, out);
        table_bytes
    }

    fn decode(
        &self,
        _matrix: Matrix,
        layout: FloatLayout,
        reader: &mut ByteReader<'_>,
        _scratch: &mut Scratch,
        words: &mut [[u8; 2]],
    ) -> Result<(), DecodeError> {
        let least = reader.byte("least exponent")?;
        let table = DecoderTable::new(&[Frequencies::read(reader)?]);
        let at = reader.at();
        let count = reader.varint("number of escaped pairs")?;
        let escaped = reader.take(count.saturating_mul(2), "escaped pairs")?;
        let mut escaped = escaped.as_chunks::<2>().0.iter();
        let weights = words.len();
        let stored = reader.take(rest_of(layout).bytes(weights) as u64, "signs and mantissas")?;
        let mut missing = false;
        rans::decode(
            reader,
            &table,
            weights.div_ceil(2),
            &mut |at, pairs: &mut [u8]| {
                let words = words.get_mut(2 * at..).unwrap_or(&mut []);
                let words = match words.split_at_mut_checked(2 * BLOCK) {
                    Some((block, _)) => block,
                    None => words,
                };
                join(layout, least, pairs, words);
                each_escaped(pairs, |place| {
                    let exponents = escaped.next();
                    missing |= exponents.is_none();
                    let words = words.iter_mut().skip(2 * place);
                    for (word, exponent) in words.zip(exponents.unwrap_or(&[0; 2])) {
                        let whole = u16::from(*exponent) << layout.mantissa_bits();
                        *word = (whole & 0x7fff).to_le_bytes();
                    }
                });
                rest_of(layout).join(stored, weights, 2 * at, words);
                Ok(())
            },
        )?;
        if missing || escaped.next().is_some() {
            return Err(DecodeError::Field {
                what: "number of escaped pairs",
                at,
                expected: "as many as are among the pairs",
                found: count,
            });
        }
        Ok(())
    }
}

vectorized! {
    /// Fills words with their exponents.
    fn join(layout: FloatLayout, least: u8, pairs: &[u8], words: &mut [[u8; 2]]) {
        let shift = layout.mantissa_bits();
        let least = u32::from(least);
        let both_least = (least | least << 16) << shift;
        let (twos, left) = words.as_flattened_mut().as_chunks_mut::<4>();
        for (two, &pair) in twos.iter_mut().zip(pairs) {
            let pair = u32::from(pair);
            let distances = pair & 15 | (pair & 0xf0) << 12;
            let both = (distances << shift).wrapping_add(both_least);
            *two = (both & 0x7fff_7fff).to_le_bytes();
        }
        if let (Some(&pair), [low, high]) = (pairs.last(), left) {
            let whole = (u32::from(pair & 15) + least) << shift & 0x7fff;
            [*low, *high] = (whole as u16).to_le_bytes();
        }
    }
}
