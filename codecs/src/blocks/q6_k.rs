//! `Q6_K`: 256 weights in 210 bytes, 16 groups of 16.
//!
//! | bytes | |
//! | --- | --- |
//! | 0 … 127 | lower 4 bits of the quants |
//! | 128 … 191 | upper 2 bits of the quants |
//! | 192 … 207 | the groups' scales, signed |
//! | 208, 209 | `d`, fp16: what the groups' scales are multiples of |
//!
//! Each half of the weights has 64 bytes l of lower bits and 32 bytes h of upper bits. Of a half's weights, for
//! i = 0 … 31:
//!
//! | weight | lower 4 bits | upper 2 bits |
//! | --- | --- | --- |
//! | i | `l[i]`, lower half | `h[i]`, bits 0 and 1 |
//! | i + 32 | `l[i + 32]`, lower half | `h[i]`, bits 2 and 3 |
//! | i + 64 | `l[i]`, upper half | `h[i]`, bits 4 and 5 |
//! | i + 96 | `l[i + 32]`, upper half | `h[i]`, bits 6 and 7 |

use super::{join_nibbles, nibbles};

/// A block of type `Q6_K`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Q6K {
    /// What the scales are multiples of, the bits of an fp16.
    pub d: u16,
    /// Each group's scale.
    pub scales: [i8; Q6K::GROUPS],
    /// The weights' numbers, 0 … 63, of which 32 is the weight zero.
    pub quants: [u8; Q6K::WEIGHTS],
}

impl Q6K {
    /// Bytes of a block.
    pub const BYTES: usize = 210;
    /// Weights of a block.
    pub const WEIGHTS: usize = 256;
    /// Groups of a block.
    pub const GROUPS: usize = 16;
    /// Weights of a group.
    pub const GROUP_WEIGHTS: usize = 16;

    /// Takes a block apart.
    #[inline(always)]
    pub fn from_bytes(bytes: &[u8; Q6K::BYTES]) -> Q6K {
        let mut block = Q6K {
            d: u16::from_le_bytes([bytes[208], bytes[209]]),
            scales: [0; Q6K::GROUPS],
            quants: [0; Q6K::WEIGHTS],
        };
        for (scale, byte) in block.scales.iter_mut().zip(&bytes[192..208]) {
            *scale = byte.cast_signed();
        }
        let (lower, upper) = (
            bytes[..128].chunks_exact(64),
            bytes[128..192].chunks_exact(32),
        );
        let halves = block.quants.as_chunks_mut::<128>().0;
        for ((half, lower), upper) in halves.iter_mut().zip(lower).zip(upper) {
            nibbles(lower, half);
            for (place, quants) in half.chunks_exact_mut(32).enumerate() {
                for (quant, byte) in quants.iter_mut().zip(upper) {
                    *quant |= (byte >> (2 * place) & 3) << 4;
                }
            }
        }
        block
    }

    /// Puts a block together. Bits above those that a field has are left out.
    #[inline(always)]
    pub fn to_bytes(&self) -> [u8; Q6K::BYTES] {
        let mut bytes = [0; Q6K::BYTES];
        [bytes[208], bytes[209]] = self.d.to_le_bytes();
        for (byte, scale) in bytes[192..208].iter_mut().zip(&self.scales) {
            *byte = scale.cast_unsigned();
        }
        let (lower, upper) = bytes[..192].split_at_mut(128);
        let halves = self.quants.as_chunks::<128>().0;
        let parts = lower.chunks_exact_mut(64).zip(upper.chunks_exact_mut(32));
        for (half, (lower, upper)) in halves.iter().zip(parts) {
            join_nibbles(half, lower);
            for (place, quants) in half.chunks_exact(32).enumerate() {
                for (byte, quant) in upper.iter_mut().zip(quants) {
                    *byte |= (quant >> 4 & 3) << (2 * place);
                }
            }
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_by_hand() {
        let mut bytes = [0; Q6K::BYTES];
        // Of the second half, place 3 of each quarter: lower bits 1, 3, 2, 4, upper bits 3, 2, 1, 0.
        bytes[64 + 3] = 0x21;
        bytes[64 + 35] = 0x43;
        bytes[128 + 32 + 3] = 0b00_01_10_11;
        bytes[192] = 0xff;
        bytes[207] = 0x80;
        bytes[208..].copy_from_slice(&[0x34, 0x12]);
        let block = Q6K::from_bytes(&bytes);
        let mut quants = [0; 256];
        quants[128 + 3] = 0b11_0001;
        quants[128 + 35] = 0b10_0011;
        quants[128 + 67] = 0b01_0010;
        quants[128 + 99] = 0b00_0100;
        assert_eq!(block.quants, quants);
        assert_eq!(
            (block.d, block.scales[0], block.scales[15]),
            (0x1234, -1, -128)
        );
        assert_eq!(block.to_bytes(), bytes);
    }

    #[test]
    fn too_large_fields_are_cut() {
        let block = Q6K {
            d: 1,
            scales: [1; 16],
            quants: [0xc5; 256],
        };
        let back = Q6K::from_bytes(&block.to_bytes());
        assert_eq!(back.quants, [5; 256]);
    }
}
