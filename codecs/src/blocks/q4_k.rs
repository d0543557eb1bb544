//! `Q4_K`: 256 weights in 144 bytes, 8 groups of 32.
//!
//! | bytes | |
//! | --- | --- |
//! | 0, 1 | `d`, fp16: what the groups' scales are multiples of |
//! | 2, 3 | `dmin`, fp16: what the groups' minima are multiples of |
//! | 4 … 15 | scales and minima, 6 bits each |
//! | 16 … 143 | quants, 4 bits each |
//!
//! Of the 12 bytes s of scales and minima, for g = 0 … 3:
//!
//! | bits | |
//! | --- | --- |
//! | `s[g]`, lower 6 | scale of group g |
//! | `s[g + 4]`, lower 6 | minimum of group g |
//! | `s[g + 8]`, lower 4, and above them the upper 2 of `s[g]` | scale of group g + 4 |
//! | `s[g + 8]`, upper 4, and above them the upper 2 of `s[g + 4]` | minimum of group g + 4 |
//!
//! The quants of two groups share 32 bytes: in byte i of the k-th 32, the lower half is weight i of group 2k, the upper
//! half weight i of group 2k + 1.

use super::{f16_units, join_nibbles, nibbles};

/// A block of type `Q4_K`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Q4K {
    /// What the scales are multiples of, the bits of an fp16.
    pub d: u16,
    /// What the minima are multiples of, the bits of an fp16.
    pub dmin: u16,
    /// Each group's scale, 0 … 63.
    pub scales: [u8; Q4K::GROUPS],
    /// What is taken off each group, 0 … 63.
    pub minima: [u8; Q4K::GROUPS],
    /// The weights' numbers, 0 … 15.
    pub quants: [u8; Q4K::WEIGHTS],
}

impl Q4K {
    /// Bytes of a block.
    pub const BYTES: usize = 144;
    /// Weights of a block.
    pub const WEIGHTS: usize = 256;
    /// Groups of a block.
    pub const GROUPS: usize = 8;
    /// Weights of a group.
    pub const GROUP_WEIGHTS: usize = 32;
    /// How many classes [`zero_point`] has.
    pub const ZERO_POINTS: usize = 64;

    /// Takes a block apart.
    #[inline(always)]
    pub fn from_bytes(bytes: &[u8; Q4K::BYTES]) -> Q4K {
        let mut block = Q4K {
            d: u16::from_le_bytes([bytes[0], bytes[1]]),
            dmin: u16::from_le_bytes([bytes[2], bytes[3]]),
            scales: [0; Q4K::GROUPS],
            minima: [0; Q4K::GROUPS],
            quants: [0; Q4K::WEIGHTS],
        };
        for g in 0..4 {
            let (low, high, both) = (bytes[4 + g], bytes[8 + g], bytes[12 + g]);
            block.scales[g] = low & 63;
            block.minima[g] = high & 63;
            block.scales[g + 4] = both & 15 | low >> 6 << 4;
            block.minima[g + 4] = both >> 4 | high >> 6 << 4;
        }
        let pairs = block.quants.as_chunks_mut::<64>().0;
        for (packed, quants) in bytes[16..].chunks_exact(32).zip(pairs) {
            nibbles(packed, quants);
        }
        block
    }

    /// Puts a block together. Bits above those that a field has are left out.
    #[inline(always)]
    pub fn to_bytes(&self) -> [u8; Q4K::BYTES] {
        let mut bytes = [0; Q4K::BYTES];
        [bytes[0], bytes[1]] = self.d.to_le_bytes();
        [bytes[2], bytes[3]] = self.dmin.to_le_bytes();
        for g in 0..4 {
            let (scale, minimum) = (self.scales[g + 4] & 63, self.minima[g + 4] & 63);
            bytes[4 + g] = self.scales[g] & 63 | scale >> 4 << 6;
            bytes[8 + g] = self.minima[g] & 63 | minimum >> 4 << 6;
            bytes[12 + g] = scale & 15 | minimum << 4;
        }
        let pairs = self.quants.as_chunks::<64>().0;
        for (packed, quants) in bytes[16..].chunks_exact_mut(32).zip(pairs) {
            join_nibbles(quants, packed);
        }
        bytes
    }

    /// [`zero_point`] of each group.
    pub fn zero_points(&self) -> [u8; Q4K::GROUPS] {
        let mut classes = [0; Q4K::GROUPS];
        let groups = self.scales.iter().zip(&self.minima);
        for (class, (&scale, &minimum)) in classes.iter_mut().zip(groups) {
            *class = zero_point(self.d, self.dmin, scale, minimum);
        }
        classes
    }
}

/// Where in the range of its quants a group has the weight zero, in quarters of a quant: round(4·`dmin`·`minimum` /
/// (`d`·`scale`)), halves up, and no less than 0 and no more than 63.
///
/// `d` and `dmin` are the bits of fp16 numbers, subnormal or not, and count as what they stand for. Only integers are
/// used, so that every machine gets the same. A negative quotient is 0 as all below it are. Where the quotient has no
/// meaning the class is 0 too: if `d` or `scale` is zero, of either sign, or if `d` or `dmin` is infinite or not a
/// number.
///
/// # Examples
///
/// ```
/// use llmcl_codecs::blocks::q4_k::zero_point;
///
/// let (one, two) = (0x3c00, 0x4000);
/// assert_eq!(zero_point(one, one, 4, 30), 30); // 7.5
/// assert_eq!(zero_point(two, one, 8, 3), 1); // 0.1875, three quarters of a quarter
/// assert_eq!(zero_point(one, two, 1, 63), 63); // 126
/// ```
pub fn zero_point(d: u16, dmin: u16, scale: u8, minimum: u8) -> u8 {
    let (Some(d), Some(dmin)) = (f16_units(d), f16_units(dmin)) else {
        return 0;
    };
    if d == 0 || scale == 0 || (d < 0) != (dmin < 0) {
        return 0;
    }
    // Below 2^40 · 2^8, and 2^3 times that.
    let whole = d.unsigned_abs() * u64::from(scale);
    let part = dmin.unsigned_abs() * u64::from(minimum);
    ((8 * part + whole) / (2 * whole)).min(63) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_and_minima_by_hand() {
        let mut bytes = [0; Q4K::BYTES];
        // Group 1: scale 5, minimum 6. Group 5: scale 0b10_0011, minimum 0b01_1100.
        bytes[5] = 0b1000_0101;
        bytes[9] = 0b0100_0110;
        bytes[13] = 0b1100_0011;
        let block = Q4K::from_bytes(&bytes);
        assert_eq!(block.scales, [0, 5, 0, 0, 0, 0b10_0011, 0, 0]);
        assert_eq!(block.minima, [0, 6, 0, 0, 0, 0b01_1100, 0, 0]);
        assert_eq!(block.to_bytes(), bytes);
    }

    #[test]
    fn quants_by_hand() {
        let mut bytes = [0; Q4K::BYTES];
        bytes[..4].copy_from_slice(&[0x01, 0x02, 0x03, 0x04]);
        bytes[16] = 0x21;
        bytes[16 + 33] = 0x43;
        bytes[16 + 127] = 0x65;
        let block = Q4K::from_bytes(&bytes);
        assert_eq!((block.d, block.dmin), (0x0201, 0x0403));
        let mut quants = [0; 256];
        // Byte 33 is byte 1 of the second pair: groups 2 and 3.
        (quants[0], quants[32]) = (1, 2);
        (quants[65], quants[97]) = (3, 4);
        (quants[223], quants[255]) = (5, 6);
        assert_eq!(block.quants, quants);
        assert_eq!(block.to_bytes(), bytes);
    }

    #[test]
    fn too_large_fields_are_cut() {
        let block = Q4K {
            d: 1,
            dmin: 2,
            scales: [0xff; 8],
            minima: [0xc1; 8],
            quants: [0x27; 256],
        };
        let back = Q4K::from_bytes(&block.to_bytes());
        assert_eq!(
            back,
            Q4K {
                scales: [63; 8],
                minima: [1; 8],
                quants: [7; 256],
                ..block
            }
        );
    }

    #[test]
    fn zero_points_by_hand() {
        let (one, two, least) = (0x3c00, 0x4000, 0x0001);
        // 4·m/s: halves go up.
        assert_eq!(zero_point(one, one, 8, 1), 1);
        assert_eq!(zero_point(one, one, 9, 1), 0);
        assert_eq!(zero_point(one, one, 8, 3), 2);
        assert_eq!(zero_point(one, one, 1, 15), 60);
        assert_eq!(zero_point(one, two, 1, 8), 63);
        assert_eq!(zero_point(one, one, 63, 63), 4);
        assert_eq!(zero_point(one, one, 63, 0), 0);
        // Subnormal: half of, and equal to, one another; far below one.
        assert_eq!(zero_point(0x0002, least, 1, 1), 2);
        assert_eq!(zero_point(least, least, 1, 1), 4);
        assert_eq!(zero_point(one, least, 1, 63), 0);
        assert_eq!(zero_point(least, 0x7bff, 63, 63), 63);
    }

    #[test]
    fn zero_points_of_strange_scales() {
        let (one, minus) = (0x3c00, 0xbc00);
        assert_eq!(zero_point(minus, minus, 1, 3), 12);
        for (d, dmin, scale, minimum) in [
            (minus, one, 1, 3),
            (one, minus, 1, 3),
            (0x0000, one, 1, 3),
            (0x8000, one, 1, 3),
            (one, 0x0000, 1, 3),
            (one, 0x8000, 1, 3),
            (one, one, 0, 3),
            (0x7c00, one, 1, 3),
            (one, 0x7c00, 1, 3),
            (0xfc00, 0xfc00, 1, 3),
            (0x7e00, one, 1, 3),
            (one, 0x7c01, 1, 3),
        ] {
            assert_eq!(zero_point(d, dmin, scale, minimum), 0, "{d:04x} {dmin:04x}");
        }
    }
}
