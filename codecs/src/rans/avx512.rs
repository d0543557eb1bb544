//! Encoding and decoding by AVX-512: four vectors of sixteen states.
//!
//! The bytes are those of the portable loops. As in the module for AVX2, `unsafe` code lets each state look up its own
//! slot; here a gather does that. Words are handed out and collected (VBMI2) without tables of shuffles.

#![allow(
    unsafe_code,
    reason = "a vector's lanes index a table, and a function of a CPU feature is called where it was detected"
)]

use std::arch::x86_64::{
    __m256i, __m512i, __mmask16, _mm_loadu_si128, _mm_min_epu8, _mm_set1_epi8, _mm256_loadu_si256,
    _mm256_mask_storeu_epi16, _mm256_maskz_compress_epi16, _mm256_storeu_si256, _mm512_add_epi32,
    _mm512_and_si512, _mm512_castsi512_si256, _mm512_cmpge_epu32_mask, _mm512_cmplt_epu32_mask,
    _mm512_cvtepi32_epi16, _mm512_cvtepu8_epi32, _mm512_cvtepu16_epi32, _mm512_extracti64x4_epi64,
    _mm512_i32gather_epi32, _mm512_i32gather_epi64, _mm512_loadu_si512, _mm512_mask_add_epi32,
    _mm512_mask_blend_epi32, _mm512_mask_or_epi32, _mm512_mask_srli_epi32,
    _mm512_maskz_expand_epi32, _mm512_mul_epu32, _mm512_mullo_epi32, _mm512_or_si512,
    _mm512_permutex2var_epi8, _mm512_permutex2var_epi32, _mm512_permutexvar_epi32,
    _mm512_set1_epi32, _mm512_setzero_si512, _mm512_slli_epi32, _mm512_srli_epi32,
    _mm512_srli_epi64, _mm512_storeu_si512, _mm512_sub_epi32,
};

use super::decode::{By, Lanes};
use super::encode::{EncoderTable, FEW, WordStack, are_few};
use super::frequencies::SCALE_BITS;
use super::{LEAST_STATE, SLOTS, WIDE_LANES};
use crate::simd::Vectors;

/// States of a vector.
const WIDTH: usize = 16;
const VECTORS: usize = WIDE_LANES / WIDTH;
const SCALE: u32 = SCALE_BITS;

/// For each of the first 32 bytes, the lowest byte of a number, out of two vectors of numbers.
static LOW_BYTES: [u8; 64] = {
    let mut places = [0; 64];
    let mut place = 0;
    while place < places.len() {
        places[place] = 4 * place as u8 % 128;
        place += 1;
    }
    places
};

/// For each number, the lower half of an entry, out of two vectors of entries.
static LOW_HALVES: [u32; WIDTH] = halves(0);

/// The same with the upper halves.
static HIGH_HALVES: [u32; WIDTH] = halves(1);

const fn halves(half: u32) -> [u32; WIDTH] {
    let mut places = [0; WIDTH];
    let mut place = 0;
    while place < places.len() {
        places[place] = 2 * place as u32 + half;
        place += 1;
    }
    places
}

/// Decodes groups as long as there are words enough for any of them, and returns how many that were: none without
/// AVX-512. States and words go on from there.
pub(super) fn decode_groups(
    by: By<'_>,
    lanes: &mut Lanes<'_, WIDE_LANES>,
    groups: &mut [[u8; WIDE_LANES]],
) -> usize {
    if Vectors::of_processor() < Vectors::Avx512 {
        return 0;
    }
    let groups = groups.iter_mut();
    match by {
        By::One { slots, .. } => {
            let slots = std::slice::from_ref(slots);
            let groups = groups.zip(std::iter::repeat(&[0; WIDE_LANES]));
            // SAFETY: the processor has AVX-512.
            unsafe { decode::<false>(slots, lanes, groups) }
        }
        By::Own { slots, classes } => {
            let groups = groups.zip(classes.as_chunks().0);
            // SAFETY: the processor has AVX-512.
            unsafe { decode::<true>(slots, lanes, groups) }
        }
    }
}

/// What [`decode_groups`] does. `groups` are symbols and their classes.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,popcnt")]
fn decode<'g, const CLASSED: bool>(
    slots: &[[u32; SLOTS]],
    lanes: &mut Lanes<'_, WIDE_LANES>,
    groups: impl Iterator<Item = (&'g mut [u8; WIDE_LANES], &'g [u8; WIDE_LANES])>,
) -> usize {
    let Some(last) = slots.len().checked_sub(1) else {
        return 0;
    };
    // A class without slots decodes by the last.
    let last = last.min(u8::MAX.into()) as u8;
    let mut vectors = load_states(&lanes.states);
    let mut words = lanes.words;
    let mut done = 0;
    for (group, classes) in groups {
        // A group takes a word a lane at most.
        let Some(window) = words.first_chunk::<WIDE_LANES>() else {
            break;
        };
        let mut taken = 0;
        let mut symbols = [_mm512_setzero_si512(); VECTORS];
        let parts = symbols.iter_mut().zip(classes.as_chunks::<WIDTH>().0);
        for (state, (symbol, classes)) in vectors.iter_mut().zip(parts) {
            // SAFETY: each vector before has taken sixteen at most, so sixteen are left for this one.
            let next = unsafe { _mm256_loadu_si256(window.as_ptr().add(taken).cast()) };
            let mut place = _mm512_and_si512(*state, number(SLOTS as u32 - 1));
            if CLASSED {
                let class = widen(classes, last);
                place = _mm512_or_si512(place, _mm512_slli_epi32::<SCALE>(class));
            }
            let slots = slots.as_flattened().as_ptr().cast();
            // SAFETY: every place is below the number of slots.
            *symbol = unsafe { _mm512_i32gather_epi32::<4>(place, slots) };
            let (after, count) = step(*state, *symbol, next);
            *state = after;
            taken += count;
        }
        pack(&symbols, group);
        words = &words[taken..];
        done += 1;
    }
    lanes.words = words;
    store_states(&vectors, &mut lanes.states);
    done
}

/// Takes the symbols of these slots out of the states. Returns the states after that, and how many words were taken.
#[inline]
#[target_feature(enable = "avx512f,popcnt")]
fn step(state: __m512i, slot: __m512i, next: __m256i) -> (__m512i, usize) {
    let less_one = _mm512_and_si512(_mm512_srli_epi32::<8>(slot), number(SLOTS as u32 - 1));
    let frequency = _mm512_add_epi32(less_one, number(1));
    let distance = _mm512_srli_epi32::<20>(slot);
    let whole = _mm512_srli_epi32::<SCALE>(state);
    let x = _mm512_add_epi32(_mm512_mullo_epi32(frequency, whole), distance);

    let is_short = _mm512_cmplt_epu32_mask(x, number(LEAST_STATE));
    let words = _mm512_maskz_expand_epi32(is_short, _mm512_cvtepu16_epi32(next));
    let after = _mm512_mask_or_epi32(x, is_short, _mm512_slli_epi32::<16>(x), words);
    (after, is_short.count_ones() as usize)
}

/// Writes the low byte of each of 64 numbers.
#[inline]
#[target_feature(enable = "avx512f,avx512vbmi")]
fn pack(numbers: &[__m512i; VECTORS], bytes: &mut [u8; WIDE_LANES]) {
    let (pairs, _) = numbers.as_chunks::<2>();
    for ([a, b], out) in pairs.iter().zip(bytes.as_chunks_mut::<{ 2 * WIDTH }>().0) {
        let packed = _mm512_permutex2var_epi8(*a, load(&LOW_BYTES), *b);
        let packed = _mm512_castsi512_si256(packed);
        // SAFETY: 32 bytes are written to an array of 32.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), packed) };
    }
}

/// Encodes groups, the last one first, and returns how many: all, or none without AVX-512, tables, or a class for each
/// symbol where there are several.
pub(super) fn encode_groups(
    groups: &[[u8; WIDE_LANES]],
    classes: &[[u8; WIDE_LANES]],
    tables: &[EncoderTable],
    states: &mut [u32; WIDE_LANES],
    words: &mut WordStack<'_>,
) -> usize {
    if Vectors::of_processor() < Vectors::Avx512 {
        return 0;
    }
    match tables {
        // SAFETY: the processor has AVX-512.
        [table] if unsafe { few(groups) } => unsafe { encode_few(groups, table, states, words) },
        [_] => {
            let symbols = groups.iter().rev();
            let symbols = symbols.zip(std::iter::repeat(&[0; WIDE_LANES]));
            // SAFETY: the processor has AVX-512.
            unsafe { encode::<false>(symbols, tables, states, words) }
        }
        _ if classes.len() < groups.len() => 0,
        _ => {
            let symbols = groups.iter().zip(&classes[..groups.len()]).rev();
            // SAFETY: the processor has AVX-512.
            unsafe { encode::<true>(symbols, tables, states, words) }
        }
    }
}

/// What [`encode_groups`] does. `groups` are symbols and their classes in the order of encoding.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,popcnt")]
fn encode<'g, const CLASSED: bool>(
    groups: impl Iterator<Item = (&'g [u8; WIDE_LANES], &'g [u8; WIDE_LANES])>,
    tables: &[EncoderTable],
    states: &mut [u32; WIDE_LANES],
    words: &mut WordStack<'_>,
) -> usize {
    let Some(last) = tables.len().checked_sub(1) else {
        return 0;
    };
    // A class without a table is taken for the last.
    let last = last.min(u8::MAX.into()) as u8;
    let mut vectors = load_states(states);
    let mut done = 0;
    for (symbols, classes) in groups {
        let parts = symbols.as_chunks::<WIDTH>().0.iter();
        let parts = parts.zip(classes.as_chunks::<WIDTH>().0);
        for (state, (symbols, classes)) in vectors.iter_mut().zip(parts).rev() {
            let mut place = widen(symbols, u8::MAX);
            if CLASSED {
                let class = widen(classes, last);
                place = _mm512_or_si512(place, _mm512_slli_epi32::<8>(class));
            }
            // SAFETY: every class has a table.
            let (reciprocal, both) = unsafe { look_up(tables, place) };
            *state = push(*state, reciprocal, both, words);
        }
        done += 1;
    }
    store_states(&vectors, states);
    done
}

#[target_feature(enable = "avx512f,avx512bw")]
fn few(groups: &[[u8; WIDE_LANES]]) -> bool {
    are_few(groups)
}

/// What [`encode_groups`] does, for few symbols, whose entries two vectors hold.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,popcnt")]
fn encode_few(
    groups: &[[u8; WIDE_LANES]],
    table: &EncoderTable,
    states: &mut [u32; WIDE_LANES],
    words: &mut WordStack<'_>,
) -> usize {
    let (mut reciprocals, mut both) = ([0u32; FEW], [0u32; FEW]);
    for (symbol, entry) in table.entries().iter().take(FEW).enumerate() {
        reciprocals[symbol] = *entry as u32;
        both[symbol] = (*entry >> 32) as u32;
    }
    let (reciprocals, both) = (load(&reciprocals), load(&both));
    let mut vectors = load_states(states);
    for group in groups.iter().rev() {
        let parts = group.as_chunks::<WIDTH>().0.iter();
        for (state, symbols) in vectors.iter_mut().zip(parts).rev() {
            let place = widen(symbols, FEW as u8 - 1);
            let reciprocal = _mm512_permutexvar_epi32(place, reciprocals);
            let both = _mm512_permutexvar_epi32(place, both);
            *state = push(*state, reciprocal, both, words);
        }
    }
    store_states(&vectors, states);
    groups.len()
}

/// Looks up sixteen entries, and returns their lower and upper halves.
///
/// # Safety
///
/// Every place must be below the number of entries of all tables.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn look_up(tables: &[EncoderTable], place: __m512i) -> (__m512i, __m512i) {
    let [first, second] = [
        _mm512_castsi512_si256(place),
        _mm512_extracti64x4_epi64::<1>(place),
    ];
    let entries = tables.as_ptr().cast();
    // SAFETY: the caller's; a table is nothing but 256 entries.
    let [first, second] = unsafe {
        [
            _mm512_i32gather_epi64::<8>(first, entries),
            _mm512_i32gather_epi64::<8>(second, entries),
        ]
    };
    (
        _mm512_permutex2var_epi32(first, load(&LOW_HALVES), second),
        _mm512_permutex2var_epi32(first, load(&HIGH_HALVES), second),
    )
}

/// Encodes sixteen symbols into as many states, as the portable `push` does.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,popcnt")]
fn push(state: __m512i, reciprocal: __m512i, both: __m512i, words: &mut WordStack<'_>) -> __m512i {
    let frequency = _mm512_and_si512(both, number(0xffff));
    let start = _mm512_srli_epi32::<16>(both);
    let upper = _mm512_srli_epi32::<{ 32 - SCALE }>(state);
    let is_long = _mm512_cmpge_epu32_mask(upper, frequency);
    let count = is_long.count_ones() as usize;
    if let Some(room) = words.room::<WIDTH>() {
        let given = _mm256_maskz_compress_epi16(is_long, _mm512_cvtepi32_epi16(state));
        let first = ((1u32 << count) - 1) as __mmask16;
        // SAFETY: the count is 16 at most, and what is written are as many words at the end of 16.
        unsafe {
            let end = room.as_mut_ptr().add(WIDTH - count);
            _mm256_mask_storeu_epi16(end.cast(), first, given);
        }
    }
    words.keep(count);
    let x = _mm512_mask_srli_epi32::<16>(state, is_long, state);

    let even = _mm512_mul_epu32(x, reciprocal);
    let odd = _mm512_mul_epu32(
        _mm512_srli_epi64::<32>(x),
        _mm512_srli_epi64::<32>(reciprocal),
    );
    let estimate = _mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64::<32>(even), odd);
    let remainder = _mm512_sub_epi32(x, _mm512_mullo_epi32(estimate, frequency));
    let is_one_less = _mm512_cmpge_epu32_mask(remainder, frequency);
    let quotient = _mm512_mask_add_epi32(estimate, is_one_less, estimate, number(1));
    let gap = _mm512_sub_epi32(number(SLOTS as u32), frequency);
    let x = _mm512_add_epi32(x, start);
    _mm512_add_epi32(x, _mm512_mullo_epi32(quotient, gap))
}

/// A number in every lane.
#[inline]
#[target_feature(enable = "avx512f")]
fn number(number: u32) -> __m512i {
    _mm512_set1_epi32(number.cast_signed())
}

/// Sixteen bytes as numbers, none above the most.
#[inline]
#[target_feature(enable = "avx512f")]
fn widen(bytes: &[u8; WIDTH], most: u8) -> __m512i {
    // SAFETY: 16 bytes are read from an array of as many.
    let bytes = unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) };
    _mm512_cvtepu8_epi32(_mm_min_epu8(bytes, _mm_set1_epi8(most.cast_signed())))
}

/// A vector of numbers. They must be 64 bytes.
#[inline]
#[target_feature(enable = "avx512f")]
fn load<T, const COUNT: usize>(numbers: &[T; COUNT]) -> __m512i {
    const { assert!(size_of::<[T; COUNT]>() == 64) };
    // SAFETY: 64 bytes are read from an array of as many.
    unsafe { _mm512_loadu_si512(numbers.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_states(states: &[u32; WIDE_LANES]) -> [__m512i; VECTORS] {
    let mut vectors = [_mm512_setzero_si512(); VECTORS];
    for (vector, lanes) in vectors.iter_mut().zip(states.as_chunks::<WIDTH>().0) {
        *vector = load(lanes);
    }
    vectors
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store_states(vectors: &[__m512i; VECTORS], states: &mut [u32; WIDE_LANES]) {
    for (vector, lanes) in vectors.iter().zip(states.as_chunks_mut::<WIDTH>().0) {
        // SAFETY: 64 bytes are written to an array of as many.
        unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), *vector) };
    }
}
