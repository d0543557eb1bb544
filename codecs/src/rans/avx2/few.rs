//! Encoding of symbols below 16, of which shuffles look up what there is to know, sixteen at a time.

use std::arch::x86_64::{
    __m128i, __m256i, _mm_loadu_si128, _mm_shuffle_epi32, _mm256_cvtepu8_epi16, _mm256_or_si256,
    _mm256_set1_epi16, _mm256_shuffle_epi8, _mm256_slli_epi16, _mm256_unpackhi_epi16,
    _mm256_unpacklo_epi16,
};

use super::super::encode::{EncoderTable, FEW as SYMBOLS, WordStack};
use super::{WIDE_LANES, load_states, push, store_states, twice};

/// Bytes of an entry.
const BYTES: usize = 8;

/// Encodes groups, of few symbols, the last one first, and returns how many: all.
#[target_feature(enable = "avx2,popcnt")]
pub(super) fn encode(
    groups: &[[u8; WIDE_LANES]],
    table: &EncoderTable,
    states: &mut [u32; WIDE_LANES],
    words: &mut WordStack<'_>,
) -> usize {
    let entries = bytes_of(table);
    let mut vectors = load_states(states);
    for group in groups.iter().rev() {
        let pairs = vectors.as_chunks_mut::<2>().0.iter_mut();
        let symbols = group.as_chunks::<SYMBOLS>().0.iter();
        for ([one, other], symbols) in pairs.zip(symbols).rev() {
            let [first, second] = look_up(&entries, symbols);
            *other = push(*other, second.reciprocal, second.both, words);
            *one = push(*one, first.reciprocal, first.both, words);
        }
    }
    store_states(&vectors, states);
    groups.len()
}

/// The first bytes of all entries, the second, and so on.
#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn bytes_of(table: &EncoderTable) -> [__m256i; BYTES] {
    let mut bytes = [[0u8; SYMBOLS]; BYTES];
    for (symbol, entry) in table.entries().iter().take(SYMBOLS).enumerate() {
        for (bytes, byte) in bytes.iter_mut().zip(entry.to_le_bytes()) {
            bytes[symbol] = byte;
        }
    }
    bytes.map(|bytes| twice(&bytes))
}

/// The halves of eight entries.
struct Entries {
    reciprocal: __m256i,
    both: __m256i,
}

/// The entries of sixteen symbols.
#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn look_up(bytes: &[__m256i; BYTES], symbols: &[u8; SYMBOLS]) -> [Entries; 2] {
    // SAFETY: 16 bytes are read from an array of as many.
    let symbols: __m128i = unsafe { _mm_loadu_si128(symbols.as_ptr().cast()) };
    // Such that unpacking, which works in halves of vectors, leaves the order as it is.
    let symbols = _mm_shuffle_epi32::<0b11_01_10_00>(symbols);
    let symbols = _mm256_cvtepu8_epi16(symbols);
    // A byte of which the highest bit is set is shuffled to zero.
    let low = _mm256_or_si256(symbols, _mm256_set1_epi16(0x8000_u16.cast_signed()));
    let high = _mm256_or_si256(_mm256_slli_epi16::<8>(symbols), _mm256_set1_epi16(0x0080));
    let number = |lower: __m256i, upper: __m256i| {
        _mm256_or_si256(
            _mm256_shuffle_epi8(lower, low),
            _mm256_shuffle_epi8(upper, high),
        )
    };
    let [a, b, c, d, e, f, g, h] = *bytes;
    let (reciprocal_low, reciprocal_high) = (number(a, b), number(c, d));
    let (frequency, start) = (number(e, f), number(g, h));
    [
        Entries {
            reciprocal: _mm256_unpacklo_epi16(reciprocal_low, reciprocal_high),
            both: _mm256_unpacklo_epi16(frequency, start),
        },
        Entries {
            reciprocal: _mm256_unpackhi_epi16(reciprocal_low, reciprocal_high),
            both: _mm256_unpackhi_epi16(frequency, start),
        },
    ]
}
