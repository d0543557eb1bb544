//! Encoding and decoding by AVX2: eight vectors of eight states.
//!
//! The bytes are those of the portable loops. Of the coder only the modules for vectors have `unsafe` code: it takes the
//! better part of the time away (`cargo bench`), and no safe code does that, because each state looks up its own slot, and
//! words are handed out by shuffles.

#![allow(
    unsafe_code,
    reason = "a vector's lanes index a table, and a function of a CPU feature is called where it was detected"
)]

use std::arch::x86_64::{
    __m128i, __m256i, _mm_loadu_si128, _mm_packus_epi32, _mm_shuffle_epi8, _mm_storeu_si128,
    _mm256_add_epi32, _mm256_and_si256, _mm256_blend_epi32, _mm256_broadcastsi128_si256,
    _mm256_castps_si256, _mm256_castsi256_ps, _mm256_castsi256_si128, _mm256_cmpeq_epi32,
    _mm256_cmpgt_epi32, _mm256_cvtepu8_epi32, _mm256_cvtepu16_epi32, _mm256_extract_epi64,
    _mm256_extracti128_si256, _mm256_loadu_si256, _mm256_max_epu32, _mm256_movemask_ps,
    _mm256_mul_epu32, _mm256_mullo_epi32, _mm256_or_si256, _mm256_packus_epi16,
    _mm256_packus_epi32, _mm256_permutevar8x32_epi32, _mm256_set1_epi32, _mm256_setr_epi32,
    _mm256_setr_epi64x, _mm256_setzero_si256, _mm256_shuffle_ps, _mm256_slli_epi32,
    _mm256_sllv_epi32, _mm256_srli_epi32, _mm256_srli_epi64, _mm256_srlv_epi32,
    _mm256_storeu_si256, _mm256_sub_epi32,
};

use super::decode::{By, Lanes};
use super::encode::{EncoderTable, WordStack, are_few};
use super::frequencies::SCALE_BITS;
use super::{SLOTS, WIDE_LANES};
use crate::simd::Vectors;

mod few;
mod search;

/// States of a vector.
const WIDTH: usize = 8;
const VECTORS: usize = WIDE_LANES / WIDTH;
const SCALE: i32 = SCALE_BITS as i32;
/// A shuffle's index of nothing.
const NONE: u8 = 0x80;

/// For each set of lanes that take a word, how the next words are shuffled to them. The others get zero.
static TAKE: [[u8; 16]; 256] = shuffles(true);

/// For each set of lanes that give a word, how their words are shuffled to the end of eight.
static GIVE: [[u8; 16]; 256] = shuffles(false);

const fn shuffles(is_take: bool) -> [[u8; 16]; 256] {
    let mut table = [[NONE; 16]; 256];
    let mut set: usize = 0;
    while set < 256 {
        let mut lane = 0;
        let mut place = if is_take {
            0
        } else {
            WIDTH - set.count_ones() as usize
        };
        while lane < WIDTH {
            if set >> lane & 1 == 1 {
                let (from, to) = if is_take {
                    (place, lane)
                } else {
                    (lane, place)
                };
                table[set][2 * to] = 2 * from as u8;
                table[set][2 * to + 1] = 2 * from as u8 + 1;
                place += 1;
            }
            lane += 1;
        }
        set += 1;
    }
    table
}

/// Decodes groups as long as there are words enough for any of them, and returns how many that were: none without AVX2,
/// or without slots. States and words go on from there.
pub(super) fn decode_groups(
    by: By<'_>,
    lanes: &mut Lanes<'_, WIDE_LANES>,
    groups: &mut [[u8; WIDE_LANES]],
) -> usize {
    if Vectors::of_processor() < Vectors::Avx2 {
        return 0;
    }
    match by {
        By::One {
            search: Some(search),
            ..
        } => search::decode_groups(search, lanes, groups),
        // SAFETY: the processor has AVX2.
        By::One { slots, .. } => unsafe { decode_plain(slots, lanes, groups) },
        By::Own { slots: [], .. } => 0,
        // SAFETY: the processor has AVX2, and there are slots.
        By::Own { slots, classes } => unsafe {
            decode_classed(slots, lanes, groups, classes.as_chunks().0)
        },
    }
}

#[target_feature(enable = "avx2,popcnt")]
fn decode_plain(
    slots: &[u32; SLOTS],
    lanes: &mut Lanes<'_, WIDE_LANES>,
    groups: &mut [[u8; WIDE_LANES]],
) -> usize {
    let groups = groups.iter_mut().map(|group| (group, [0; WIDE_LANES]));
    decode::<false>(slots, lanes, groups)
}

/// There must be slots of one class at least.
#[target_feature(enable = "avx2,popcnt")]
fn decode_classed(
    slots: &[[u32; SLOTS]],
    lanes: &mut Lanes<'_, WIDE_LANES>,
    groups: &mut [[u8; WIDE_LANES]],
    classes: &[[u8; WIDE_LANES]],
) -> usize {
    let last = slots.len() - 1;
    let groups = groups.iter_mut().zip(classes).map(|(group, classes)| {
        // A class without slots decodes by the last.
        (group, classes.map(|class| class.min(last as u8)))
    });
    decode::<true>(slots.as_flattened(), lanes, groups)
}

/// `slots` are those of all classes.
#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn decode<'g, const CLASSED: bool>(
    slots: &[u32],
    lanes: &mut Lanes<'_, WIDE_LANES>,
    groups: impl Iterator<Item = (&'g mut [u8; WIDE_LANES], [u8; WIDE_LANES])>,
) -> usize {
    let mut vectors = load_states(&lanes.states);
    let mut words = lanes.words;
    let mut done = 0;
    for (group, classes) in groups {
        // A group takes a word a lane at most.
        let Some(window) = words.first_chunk::<WIDE_LANES>() else {
            break;
        };
        let mut taken = 0;
        let mut symbols = [_mm256_setzero_si256(); VECTORS];
        let vectors = vectors.iter_mut().zip(&mut symbols);
        for ((state, symbol), classes) in vectors.zip(classes.as_chunks().0) {
            // SAFETY: each vector before has taken eight at most, so eight are left for this one.
            let next = unsafe { window.as_ptr().add(taken) };
            let mut place = _mm256_and_si256(*state, _mm256_set1_epi32(SLOTS as i32 - 1));
            if CLASSED {
                let class = _mm256_cvtepu8_epi32(load_classes(classes));
                place = _mm256_or_si256(place, _mm256_slli_epi32::<SCALE>(class));
            }
            // SAFETY: every place is below the number of slots.
            let slot = unsafe { look_up(slots, place) };
            // SAFETY: eight words are there.
            let (after, count) = unsafe { refill(take(*state, slot), next) };
            *state = after;
            *symbol = _mm256_and_si256(slot, _mm256_set1_epi32(0xff));
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

/// Looks up eight slots. Single loads are a tenth faster here than a gather, which some processors do in microcode.
///
/// # Safety
///
/// Every place must be below the number of slots.
#[inline]
#[target_feature(enable = "avx2,popcnt")]
unsafe fn look_up(slots: &[u32], places: __m256i) -> __m256i {
    let two = [
        _mm256_extract_epi64::<0>(places),
        _mm256_extract_epi64::<1>(places),
        _mm256_extract_epi64::<2>(places),
        _mm256_extract_epi64::<3>(places),
    ];
    let slot = |lane: usize| {
        let place = two[lane / 2].cast_unsigned() >> (lane % 2 * 32) & 0xffff_ffff;
        // SAFETY: the caller's.
        unsafe { *slots.get_unchecked(place as usize) }.cast_signed()
    };
    _mm256_setr_epi32(
        slot(0),
        slot(1),
        slot(2),
        slot(3),
        slot(4),
        slot(5),
        slot(6),
        slot(7),
    )
}

/// Takes the symbols of these slots out of the states. What is left may be short of a word.
#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn take(state: __m256i, slot: __m256i) -> __m256i {
    let less_one = _mm256_and_si256(
        _mm256_srli_epi32::<8>(slot),
        _mm256_set1_epi32(SLOTS as i32 - 1),
    );
    let frequency = _mm256_add_epi32(less_one, _mm256_set1_epi32(1));
    let distance = _mm256_srli_epi32::<20>(slot);
    let whole = _mm256_srli_epi32::<SCALE>(state);
    _mm256_add_epi32(_mm256_mullo_epi32(frequency, whole), distance)
}

/// Gives the next words to those that are short of one. Returns the states after that, and how many words were taken.
///
/// # Safety
///
/// Eight words must be readable at `next`.
#[inline]
#[target_feature(enable = "avx2,popcnt")]
unsafe fn refill(x: __m256i, next: *const [u8; 2]) -> (__m256i, usize) {
    let is_short = _mm256_cmpeq_epi32(_mm256_srli_epi32::<16>(x), _mm256_setzero_si256());
    let set = _mm256_movemask_ps(_mm256_castsi256_ps(is_short)) as usize & 0xff;
    // SAFETY: the caller's for the words; the other 16 bytes are those of an array.
    let (words, shuffle) = unsafe {
        (
            _mm_loadu_si128(next.cast()),
            _mm_loadu_si128(TAKE[set].as_ptr().cast()),
        )
    };
    let words = _mm256_cvtepu16_epi32(_mm_shuffle_epi8(words, shuffle));
    let shift = _mm256_and_si256(is_short, _mm256_set1_epi32(16));
    let after = _mm256_or_si256(_mm256_sllv_epi32(x, shift), words);
    (after, set.count_ones() as usize)
}

/// Encodes groups, the last one first, and returns how many: all, or none without AVX2, tables, or a class for each
/// symbol where there are several.
pub(super) fn encode_groups(
    groups: &[[u8; WIDE_LANES]],
    classes: &[[u8; WIDE_LANES]],
    tables: &[EncoderTable],
    states: &mut [u32; WIDE_LANES],
    words: &mut WordStack<'_>,
) -> usize {
    if Vectors::of_processor() < Vectors::Avx2 {
        return 0;
    }
    let count = groups.len();
    match tables {
        [] => 0,
        // SAFETY: the processor has AVX2.
        [table] => unsafe {
            if are_few(groups) {
                return few::encode(groups, table, states, words);
            }
            let entries = table.entries();
            let entry = |group: usize, place: usize| entries[usize::from(groups[group][place])];
            encode(count, entry, states, words)
        },
        _ if classes.len() < count => 0,
        _ => {
            let last = tables.len() - 1;
            let entry = |group: usize, place: usize| {
                let class = usize::from(classes[group][place]).min(last);
                tables[class].entries()[usize::from(groups[group][place])]
            };
            // SAFETY: the processor has AVX2.
            unsafe { encode(count, entry, states, words) }
        }
    }
}

/// `entry` says what there is to know of a symbol: of which group, and which of it.
#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn encode(
    groups: usize,
    entry: impl Fn(usize, usize) -> u64,
    states: &mut [u32; WIDE_LANES],
    words: &mut WordStack<'_>,
) -> usize {
    let mut vectors = load_states(states);
    for group in (0..groups).rev() {
        for (number, state) in vectors.iter_mut().enumerate().rev() {
            let entry = |lane: usize| entry(group, number * WIDTH + lane).cast_signed();
            // Such that the halves of each come out in the order of the lanes.
            let one = _mm256_setr_epi64x(entry(0), entry(1), entry(4), entry(5));
            let other = _mm256_setr_epi64x(entry(2), entry(3), entry(6), entry(7));
            let (one, other) = (_mm256_castsi256_ps(one), _mm256_castsi256_ps(other));
            let reciprocal = _mm256_castps_si256(_mm256_shuffle_ps::<0b10_00_10_00>(one, other));
            let both = _mm256_castps_si256(_mm256_shuffle_ps::<0b11_01_11_01>(one, other));
            *state = push(*state, reciprocal, both, words);
        }
    }
    store_states(&vectors, states);
    groups
}

/// Encodes eight symbols into as many states, as the portable `push` does.
#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn push(state: __m256i, reciprocal: __m256i, both: __m256i, words: &mut WordStack<'_>) -> __m256i {
    let frequency = _mm256_and_si256(both, _mm256_set1_epi32(0xffff));
    let start = _mm256_srli_epi32::<16>(both);
    // Both are far below 2^31, so that a signed comparison will do.
    let upper = _mm256_srli_epi32::<{ 32 - SCALE }>(state);
    let fits = _mm256_cmpgt_epi32(frequency, upper);
    let set = !_mm256_movemask_ps(_mm256_castsi256_ps(fits)) as usize & 0xff;
    if let Some(room) = words.room::<WIDTH>() {
        let low = _mm256_and_si256(state, _mm256_set1_epi32(0xffff));
        let low = _mm_packus_epi32(
            _mm256_castsi256_si128(low),
            _mm256_extracti128_si256::<1>(low),
        );
        // SAFETY: 16 bytes are read from an array, and written to eight words.
        unsafe {
            let shuffle = _mm_loadu_si128(GIVE[set].as_ptr().cast());
            _mm_storeu_si128(room.as_mut_ptr().cast(), _mm_shuffle_epi8(low, shuffle));
        }
    }
    words.keep(set.count_ones() as usize);
    let sixteen = _mm256_set1_epi32(16);
    let shift = _mm256_sub_epi32(sixteen, _mm256_and_si256(fits, sixteen));
    let x = _mm256_srlv_epi32(state, shift);

    let even = _mm256_mul_epu32(x, reciprocal);
    let odd = _mm256_mul_epu32(
        _mm256_srli_epi64::<32>(x),
        _mm256_srli_epi64::<32>(reciprocal),
    );
    let estimate = _mm256_blend_epi32::<0b1010_1010>(_mm256_srli_epi64::<32>(even), odd);
    let remainder = _mm256_sub_epi32(x, _mm256_mullo_epi32(estimate, frequency));
    let most = _mm256_max_epu32(remainder, frequency);
    // All ones, which is −1, where one is missing.
    let one_more = _mm256_cmpeq_epi32(most, remainder);
    let quotient = _mm256_sub_epi32(estimate, one_more);
    let gap = _mm256_sub_epi32(_mm256_set1_epi32(SLOTS as i32), frequency);
    let x = _mm256_add_epi32(x, start);
    _mm256_add_epi32(x, _mm256_mullo_epi32(quotient, gap))
}

/// Writes the low byte of each of 64 numbers.
#[inline]
#[target_feature(enable = "avx2,popcnt")]
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
#[target_feature(enable = "avx2,popcnt")]
fn load_states(states: &[u32; WIDE_LANES]) -> [__m256i; VECTORS] {
    let mut vectors = [_mm256_setzero_si256(); VECTORS];
    for (vector, lanes) in vectors.iter_mut().zip(states.as_chunks::<WIDTH>().0) {
        // SAFETY: 32 bytes are read from an array of as many.
        *vector = unsafe { _mm256_loadu_si256(lanes.as_ptr().cast()) };
    }
    vectors
}

#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn store_states(vectors: &[__m256i; VECTORS], states: &mut [u32; WIDE_LANES]) {
    for (vector, lanes) in vectors.iter().zip(states.as_chunks_mut::<WIDTH>().0) {
        // SAFETY: 32 bytes are written to an array of as many.
        unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), *vector) };
    }
}

#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn load_classes(classes: &[u8; WIDTH]) -> __m128i {
    // SAFETY: eight bytes are read from an array of as many.
    unsafe { std::arch::x86_64::_mm_loadl_epi64(classes.as_ptr().cast()) }
}

/// 16 bytes in both halves of a vector.
#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn twice<T, const COUNT: usize>(numbers: &[T; COUNT]) -> __m256i {
    const { assert!(size_of::<[T; COUNT]>() == 16) };
    // SAFETY: 16 bytes are read from an array of as many.
    let half: __m128i = unsafe { _mm_loadu_si128(numbers.as_ptr().cast()) };
    _mm256_broadcastsi128_si256(half)
}
