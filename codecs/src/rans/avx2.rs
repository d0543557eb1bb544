//! Decoding by AVX2: eight vectors of eight states.
//!
//! The bytes are those of the portable loop. This module is the only place of the crate with `unsafe` code: it saves
//! two thirds of the time of decoding, and no safe code does that, because each state looks up its own slot.

#![allow(
    unsafe_code,
    reason = "a gather takes a pointer, and a function of a CPU feature is called where it was detected"
)]

use std::arch::x86_64::{
    __m128i, __m256i, _mm_loadu_si128, _mm_set_epi64x, _mm256_add_epi32, _mm256_and_si256,
    _mm256_blendv_epi8, _mm256_castsi256_ps, _mm256_cmpeq_epi32, _mm256_cvtepu8_epi32,
    _mm256_cvtepu16_epi32, _mm256_i32gather_epi32, _mm256_loadu_si256, _mm256_min_epu32,
    _mm256_movemask_ps, _mm256_mullo_epi32, _mm256_or_si256, _mm256_packus_epi16,
    _mm256_packus_epi32, _mm256_permutevar8x32_epi32, _mm256_set1_epi32, _mm256_setr_epi32,
    _mm256_setzero_si256, _mm256_slli_epi32, _mm256_srli_epi32, _mm256_storeu_si256,
};

use super::frequencies::SCALE_BITS;
use super::stream::{SLOTS, WIDE_LANES};

/// States of a vector.
const WIDTH: usize = 8;
const VECTORS: usize = WIDE_LANES / WIDTH;

/// For each set of lanes that take a word, which of the next words each takes. Those that take none name the first.
static TAKES: [u64; 256] = takes();

const fn takes() -> [u64; 256] {
    let mut table = [0; 256];
    let mut set = 0;
    while set < 256 {
        let (mut lane, mut next) = (0, 0);
        while lane < WIDTH {
            if set >> lane & 1 == 1 {
                table[set] |= next << (8 * lane);
                next += 1;
            }
            lane += 1;
        }
        set += 1;
    }
    table
}

/// The bit from which on a class stands above a slot.
const CLASS_SHIFT: i32 = SCALE_BITS as i32;

/// Decodes groups as long as there are words enough for any of them, and returns how many that were. States and words
/// go on from there.
///
/// Without AVX2 that is none.
pub(super) fn decode_groups(
    slots: &[u32; SLOTS],
    states: &mut [u32; WIDE_LANES],
    words: &mut &[[u8; 2]],
    groups: &mut [[u8; WIDE_LANES]],
) -> usize {
    if !is_x86_feature_detected!("avx2") {
        return 0;
    }
    let class = [0; WIDE_LANES];
    let groups = groups.iter_mut().map(|group| (group, &class));
    // SAFETY: the processor has AVX2.
    unsafe { decode::<false>(slots, states, words, groups) }
}

/// As [`decode_groups`], with a class for each symbol. The slots of the classes stand one after the other.
pub(super) fn decode_classed_groups(
    slots: &[u32],
    states: &mut [u32; WIDE_LANES],
    words: &mut &[[u8; 2]],
    groups: &mut [[u8; WIDE_LANES]],
    classes: &[[u8; WIDE_LANES]],
) -> usize {
    if !is_x86_feature_detected!("avx2") || slots.is_empty() {
        return 0;
    }
    let groups = groups.iter_mut().zip(classes);
    // SAFETY: the processor has AVX2.
    unsafe { decode::<true>(slots, states, words, groups) }
}

/// `slots` are those of one class at least.
#[target_feature(enable = "avx2")]
fn decode<'g, const CLASSED: bool>(
    slots: &[u32],
    states: &mut [u32; WIDE_LANES],
    words: &mut &[[u8; 2]],
    groups: impl Iterator<Item = (&'g mut [u8; WIDE_LANES], &'g [u8; WIDE_LANES])>,
) -> usize {
    let mut vectors = [_mm256_setzero_si256(); VECTORS];
    for (vector, lanes) in vectors.iter_mut().zip(states.as_chunks().0) {
        *vector = load(lanes);
    }
    let mut done = 0;
    for (group, classes) in groups {
        // A group takes a word a lane at most.
        let Some(window) = words.first_chunk::<WIDE_LANES>() else {
            break;
        };
        let mut taken = 0;
        let mut symbols = [_mm256_setzero_si256(); VECTORS];
        let lanes = vectors.iter_mut().zip(&mut symbols);
        for ((state, symbol), classes) in lanes.zip(classes.as_chunks().0) {
            // Each vector before has taken eight at most, so eight are left for this one.
            let next = window[taken..].first_chunk().unwrap_or(&[[0; 2]; WIDTH]);
            let mut place = _mm256_and_si256(*state, _mm256_set1_epi32(SLOTS as i32 - 1));
            if CLASSED {
                let class = _mm256_cvtepu8_epi32(load_classes(classes));
                place = _mm256_or_si256(place, _mm256_slli_epi32::<CLASS_SHIFT>(class));
                // A class without slots decodes to anything.
                place = _mm256_min_epu32(place, _mm256_set1_epi32(slots.len() as i32 - 1));
            }
            // SAFETY: every place is below the number of slots.
            let slot = unsafe { _mm256_i32gather_epi32::<4>(slots.as_ptr().cast(), place) };
            let (after, count) = step(*state, slot, next);
            *state = after;
            *symbol = _mm256_and_si256(slot, _mm256_set1_epi32(0xff));
            taken += count;
        }
        pack(&symbols, group);
        *words = &words[taken..];
        done += 1;
    }
    for (vector, lanes) in vectors.iter().zip(states.as_chunks_mut().0) {
        store(*vector, lanes);
    }
    done
}

/// Takes the symbols of these slots out of the states. Returns the states after that, and how many words were taken.
#[inline]
#[target_feature(enable = "avx2")]
fn step(state: __m256i, slot: __m256i, next: &[[u8; 2]; WIDTH]) -> (__m256i, usize) {
    let most = _mm256_set1_epi32(SLOTS as i32 - 1);
    let less_one = _mm256_and_si256(_mm256_srli_epi32::<8>(slot), most);
    let frequency = _mm256_add_epi32(less_one, _mm256_set1_epi32(1));
    let distance = _mm256_srli_epi32::<20>(slot);
    let whole = _mm256_srli_epi32::<{ SCALE_BITS as i32 }>(state);
    let x = _mm256_add_epi32(_mm256_mullo_epi32(frequency, whole), distance);

    let is_short = _mm256_cmpeq_epi32(_mm256_srli_epi32::<16>(x), _mm256_setzero_si256());
    let set = _mm256_movemask_ps(_mm256_castsi256_ps(is_short)) as usize;
    let takes = _mm256_cvtepu8_epi32(_mm_set_epi64x(0, TAKES[set & 0xff].cast_signed()));
    let words = _mm256_permutevar8x32_epi32(_mm256_cvtepu16_epi32(load_words(next)), takes);
    let longer = _mm256_or_si256(_mm256_slli_epi32::<16>(x), words);
    let after = _mm256_blendv_epi8(x, longer, is_short);
    (after, set.count_ones() as usize)
}

/// Writes the low byte of each of 64 numbers.
#[inline]
#[target_feature(enable = "avx2")]
fn pack(numbers: &[__m256i; VECTORS], bytes: &mut [u8; WIDE_LANES]) {
    // Packing works in halves of vectors, so that fours of bytes come out of order.
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    let (fours, _) = numbers.as_chunks::<4>();
    for ([a, b, c, d], out) in fours.iter().zip(bytes.as_chunks_mut::<32>().0) {
        let packed = _mm256_packus_epi16(_mm256_packus_epi32(*a, *b), _mm256_packus_epi32(*c, *d));
        let ordered = _mm256_permutevar8x32_epi32(packed, order);
        // SAFETY: 32 bytes are written to an array of 32.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), ordered) };
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(lanes: &[u32; WIDTH]) -> __m256i {
    // SAFETY: 32 bytes are read from an array of as many.
    unsafe { _mm256_loadu_si256(lanes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_words(words: &[[u8; 2]; WIDTH]) -> __m128i {
    // SAFETY: 16 bytes are read from an array of as many.
    unsafe { _mm_loadu_si128(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_classes(classes: &[u8; WIDTH]) -> __m128i {
    _mm_set_epi64x(0, i64::from_le_bytes(*classes))
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(vector: __m256i, lanes: &mut [u32; WIDTH]) {
    // SAFETY: 32 bytes are written to an array of as many.
    unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), vector) };
}
