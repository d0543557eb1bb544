//! Finding a slot's symbol by search, where a class has few symbols.
//!
//! A slot's symbol is the one whose range it lies in. With no more than 64 symbols the ends of their ranges fit a few
//! vectors, and a search among them is faster than a load for each state.

use super::frequencies::Frequencies;

/// The ends of the ranges of few symbols, arranged for a binary search by shuffles of 16 bytes.
///
/// A search has a level for each bit of the symbol, the highest first, and goes up or down at each. With 2^n symbols, the
/// bound of a level whose bits before are p is the start of symbol (2p + 1) · 2^(n − 1 − level). A bound's place says at
/// which of the levels before the search went down: the first is bit 0 of the place, the second bit 1, the third bit 2.
/// From the fifth level on there are more bounds than a shuffle reaches as numbers, so that their lower and upper bytes
/// stand apart; of the place, the fourth level is bit 0 then, and the first three bits 1 to 3.
#[derive(Clone, Debug)]
pub(super) struct Search {
    /// Levels: 4, 5 or 6.
    pub(super) levels: usize,
    /// The bounds of the first four.
    pub(super) first: [[u16; 8]; 4],
    /// The lower and the upper bytes of the bounds of the fifth.
    pub(super) fifth: [[u8; 16]; 2],
    /// Those of the sixth, where the fifth went up, and where it went down.
    pub(super) sixth: [[[u8; 16]; 2]; 2],
}

impl Search {
    /// `None` if there are more than 64 symbols, or above.
    pub(super) fn new(frequencies: &Frequencies) -> Option<Search> {
        let scaled = frequencies.scaled();
        let most = scaled.iter().rposition(|&frequency| frequency > 0)?;
        let levels = match most {
            0..16 => 4,
            16..32 => 5,
            32..64 => 6,
            _ => return None,
        };
        let mut starts = [0; 65];
        let mut start = 0;
        for (slot, frequency) in starts.iter_mut().zip(scaled) {
            *slot = start;
            start += frequency as u16;
        }
        let bound = |level: usize, before: usize| starts[(2 * before + 1) << (levels - 1 - level)];
        let mut search = Search {
            levels,
            first: [[0; 8]; 4],
            fifth: [[0; 16]; 2],
            sixth: [[[0; 16]; 2]; 2],
        };
        for (level, bounds) in search.first.iter_mut().enumerate() {
            for (place, slot) in bounds.iter_mut().enumerate().take(1 << level) {
                *slot = bound(level, before(place, level));
            }
        }
        if levels > 4 {
            for place in 0..16 {
                let four = before(place >> 1, 3) << 1 | usize::from(place & 1 == 0);
                let [low, high] = bound(4, four).to_le_bytes();
                (search.fifth[0][place], search.fifth[1][place]) = (low, high);
                if levels > 5 {
                    for (down, bytes) in search.sixth.iter_mut().enumerate() {
                        let [low, high] = bound(5, four << 1 | (1 - down)).to_le_bytes();
                        (bytes[0][place], bytes[1][place]) = (low, high);
                    }
                }
            }
        }
        Some(search)
    }
}

/// The bits that a search has found, whose place is this.
fn before(place: usize, levels: usize) -> usize {
    (0..levels).fold(0, |bits, level| {
        bits << 1 | usize::from(place >> level & 1 == 0)
    })
}
