//! Decoding by a search among few symbols, sixteen states at a time.
//!
//! Bounds are numbers of 16 bits, so that two vectors of states are searched as one.

use std::arch::x86_64::{
    __m256i, _mm256_add_epi8, _mm256_add_epi32, _mm256_and_si256, _mm256_andnot_si256,
    _mm256_blendv_epi8, _mm256_cmpgt_epi16, _mm256_mullo_epi32, _mm256_or_si256,
    _mm256_packs_epi16, _mm256_packus_epi16, _mm256_packus_epi32, _mm256_permutevar8x32_epi32,
    _mm256_set1_epi8, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_setr_epi32,
    _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_slli_epi16, _mm256_srli_epi32,
    _mm256_storeu_si256, _mm256_sub_epi16, _mm256_unpackhi_epi16, _mm256_unpacklo_epi16,
};

use super::super::search::Search;
use super::super::{SLOTS, WIDE_LANES};
use super::{Lanes, SCALE, load_states, refill, store_states, twice};

/// By the levels before the fifth, as places of its bounds say them, the upper four bits of a symbol.
const UPPER: [u8; 16] = {
    let mut symbols = [0; 16];
    let mut place = 0;
    while place < symbols.len() {
        // Bit 1 of the place is the first level, bit 0 the fourth.
        let down = (place >> 1 & 1) << 3 | (place >> 2 & 1) << 2 | (place >> 3) << 1 | place & 1;
        symbols[place] = 15 - down as u8;
        place += 1;
    }
    symbols
};

/// Decodes groups as long as there are words enough for any of them, and returns how many that were. The processor must
/// have AVX2.
pub(super) fn decode_groups(
    search: &Search,
    lanes: &mut Lanes<'_, WIDE_LANES>,
    groups: &mut [[u8; WIDE_LANES]],
) -> usize {
    // SAFETY: the processor has AVX2.
    unsafe {
        match search.levels {
            4 => decode::<4>(search, lanes, groups),
            5 => decode::<5>(search, lanes, groups),
            _ => decode::<6>(search, lanes, groups),
        }
    }
}

/// The bounds of a search in vectors.
struct Bounds {
    first: [__m256i; 4],
    fifth: [__m256i; 2],
    sixth: [[__m256i; 2]; 2],
}

impl Bounds {
    #[inline]
    #[target_feature(enable = "avx2,popcnt")]
    fn load(search: &Search) -> Bounds {
        let [one, two, three, four] = &search.first;
        let [up, down] = &search.sixth;
        Bounds {
            first: [
                _mm256_set1_epi16(one[0].cast_signed()),
                twice(two),
                twice(three),
                twice(four),
            ],
            fifth: [twice(&search.fifth[0]), twice(&search.fifth[1])],
            sixth: [
                [twice(&up[0]), twice(&up[1])],
                [twice(&down[0]), twice(&down[1])],
            ],
        }
    }
}

/// What a search finds of sixteen slots.
struct Found {
    /// Their symbols' frequencies, and how far they are from their symbols' first slots.
    frequency: __m256i,
    distance: __m256i,
    /// The place of a bound of the fifth level.
    place: __m256i,
    /// Whether the fifth and the sixth level went down: all bits, or none.
    fifth: __m256i,
    sixth: __m256i,
}

#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn find<const LEVELS: usize>(bounds: &Bounds, slot: __m256i) -> Found {
    let [one, two, three, four] = bounds.first;
    let number = |number: i16| _mm256_set1_epi16(number);
    // A slot lies below a bound, or not; then the bound is the end of where its symbol can be, or the start.
    let down = _mm256_cmpgt_epi16(one, slot);
    let mut start = _mm256_andnot_si256(down, one);
    let mut end = _mm256_blendv_epi8(number(SLOTS as i16), one, down);
    // Where bounds lie in a vector: of both of their bytes.
    let mut bytes = _mm256_or_si256(number(0x0100), _mm256_and_si256(down, number(0x0202)));

    let bound = _mm256_shuffle_epi8(two, bytes);
    let down = _mm256_cmpgt_epi16(bound, slot);
    start = _mm256_blendv_epi8(bound, start, down);
    end = _mm256_blendv_epi8(end, bound, down);
    bytes = _mm256_or_si256(bytes, _mm256_and_si256(down, number(0x0404)));

    let bound = _mm256_shuffle_epi8(three, bytes);
    let down = _mm256_cmpgt_epi16(bound, slot);
    start = _mm256_blendv_epi8(bound, start, down);
    end = _mm256_blendv_epi8(end, bound, down);
    bytes = _mm256_or_si256(bytes, _mm256_and_si256(down, number(0x0808)));

    let bound = _mm256_shuffle_epi8(four, bytes);
    let down = _mm256_cmpgt_epi16(bound, slot);
    start = _mm256_blendv_epi8(bound, start, down);
    end = _mm256_blendv_epi8(end, bound, down);
    let place = _mm256_or_si256(
        _mm256_and_si256(bytes, number(0x000e)),
        _mm256_and_si256(down, number(1)),
    );

    let (mut fifth, mut sixth) = (down, down);
    if LEVELS > 4 {
        // A byte of which the highest bit is set is shuffled to zero.
        let low = _mm256_or_si256(place, number(0x8000_u16.cast_signed()));
        let high = _mm256_or_si256(_mm256_slli_epi16::<8>(place), number(0x0080));
        let bound = shuffle_both(bounds.fifth, low, high);
        fifth = _mm256_cmpgt_epi16(bound, slot);
        start = _mm256_blendv_epi8(bound, start, fifth);
        end = _mm256_blendv_epi8(end, bound, fifth);
        if LEVELS > 5 {
            let [up, down] = bounds.sixth;
            let bound = _mm256_blendv_epi8(
                shuffle_both(up, low, high),
                shuffle_both(down, low, high),
                fifth,
            );
            sixth = _mm256_cmpgt_epi16(bound, slot);
            start = _mm256_blendv_epi8(bound, start, sixth);
            end = _mm256_blendv_epi8(end, bound, sixth);
        }
    }
    Found {
        frequency: _mm256_sub_epi16(end, start),
        distance: _mm256_sub_epi16(slot, start),
        place,
        fifth,
        sixth,
    }
}

/// Numbers whose lower and upper bytes stand in two vectors.
#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn shuffle_both([lower, upper]: [__m256i; 2], low: __m256i, high: __m256i) -> __m256i {
    _mm256_or_si256(
        _mm256_shuffle_epi8(lower, low),
        _mm256_shuffle_epi8(upper, high),
    )
}

#[target_feature(enable = "avx2,popcnt")]
fn decode<const LEVELS: usize>(
    search: &Search,
    lanes: &mut Lanes<'_, WIDE_LANES>,
    groups: &mut [[u8; WIDE_LANES]],
) -> usize {
    let bounds = Bounds::load(search);
    let mut vectors = load_states(&lanes.states);
    let mut words = lanes.words;
    let mut done = 0;
    for group in groups {
        // A group takes a word a lane at most.
        let Some(window) = words.first_chunk::<WIDE_LANES>() else {
            break;
        };
        let mut taken = 0;
        let mut both = |one: &mut __m256i, other: &mut __m256i| {
            let (found, x) = take::<LEVELS>(&bounds, *one, *other);
            for (state, x) in [one, other].into_iter().zip(x) {
                // SAFETY: each vector before has taken eight at most, so eight are left for this one.
                let (after, count) = unsafe { refill(x, window.as_ptr().add(taken)) };
                *state = after;
                taken += count;
            }
            found
        };
        // Written out, so that the states stay in registers.
        let [a, b, c, d, e, f, g, h] = &mut vectors;
        let found = [both(a, b), both(c, d), both(e, f), both(g, h)];
        let [first, second, third, fourth] = &found;
        let symbols = [
            symbols::<LEVELS>(first, second),
            symbols::<LEVELS>(third, fourth),
        ];
        for (symbols, out) in symbols.iter().zip(group.as_chunks_mut::<32>().0) {
            // SAFETY: 32 bytes are written to an array of 32.
            unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), *symbols) };
        }
        words = &words[taken..];
        done += 1;
    }
    lanes.words = words;
    store_states(&vectors, &mut lanes.states);
    done
}

/// Finds the symbols of two vectors of states, and what is left of these without them.
#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn take<const LEVELS: usize>(
    bounds: &Bounds,
    one: __m256i,
    other: __m256i,
) -> (Found, [__m256i; 2]) {
    let slots = _mm256_set1_epi32(SLOTS as i32 - 1);
    let slot = _mm256_packus_epi32(_mm256_and_si256(one, slots), _mm256_and_si256(other, slots));
    let found = find::<LEVELS>(bounds, slot);
    // Unpacking undoes packing, also the order of the halves.
    let zero = _mm256_setzero_si256();
    let (frequency, distance) = (found.frequency, found.distance);
    let one = left(
        one,
        _mm256_unpacklo_epi16(frequency, zero),
        _mm256_unpacklo_epi16(distance, zero),
    );
    let other = left(
        other,
        _mm256_unpackhi_epi16(frequency, zero),
        _mm256_unpackhi_epi16(distance, zero),
    );
    (found, [one, other])
}

/// What is left of states without their symbols.
#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn left(state: __m256i, frequency: __m256i, distance: __m256i) -> __m256i {
    let whole = _mm256_srli_epi32::<SCALE>(state);
    _mm256_add_epi32(_mm256_mullo_epi32(frequency, whole), distance)
}

/// The symbols of 32 states in their order.
#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn symbols<const LEVELS: usize>(first: &Found, second: &Found) -> __m256i {
    let places = _mm256_packus_epi16(first.place, second.place);
    let mut symbols = _mm256_shuffle_epi8(twice(&UPPER), places);
    let one = _mm256_set1_epi8(1);
    // A bit is one less where the search went down, whose mask is −1.
    let add_bit = |symbols, first, second| {
        let down = _mm256_packs_epi16(first, second);
        let twice = _mm256_add_epi8(_mm256_add_epi8(symbols, symbols), one);
        _mm256_add_epi8(twice, down)
    };
    if LEVELS > 4 {
        symbols = add_bit(symbols, first.fifth, second.fifth);
    }
    if LEVELS > 5 {
        symbols = add_bit(symbols, first.sixth, second.sixth);
    }
    // Packing works in halves of vectors, so that fours of bytes come out of order.
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    _mm256_permutevar8x32_epi32(symbols, order)
}
