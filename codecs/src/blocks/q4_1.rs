//! `Q4_1`: 32 weights in 20 bytes.
//!
//! | bytes | |
//! | --- | --- |
//! | 0, 1 | `d`, fp16: the scale |
//! | 2, 3 | `m`, fp16: the least weight |
//! | 4 … 19 | quants, 4 bits each: in byte i, the lower half is weight i, the upper half weight i + 16 |

use super::{join_nibbles, nibbles};

/// A block of type `Q4_1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Q4_1 {
    /// The scale, the bits of an fp16.
    pub d: u16,
    /// The weight whose number is zero, the bits of an fp16.
    pub m: u16,
    /// The weights' numbers, 0 … 15.
    pub quants: [u8; Q4_1::WEIGHTS],
}

impl Q4_1 {
    /// Bytes of a block.
    pub const BYTES: usize = 20;
    /// Weights of a block.
    pub const WEIGHTS: usize = 32;

    /// Takes a block apart.
    #[inline(always)]
    pub fn from_bytes(bytes: &[u8; Q4_1::BYTES]) -> Q4_1 {
        let mut quants = [0; Q4_1::WEIGHTS];
        nibbles(&bytes[4..], &mut quants);
        Q4_1 {
            d: u16::from_le_bytes([bytes[0], bytes[1]]),
            m: u16::from_le_bytes([bytes[2], bytes[3]]),
            quants,
        }
    }

    /// Puts a block together. Bits above those that a field has are left out.
    #[inline(always)]
    pub fn to_bytes(&self) -> [u8; Q4_1::BYTES] {
        let mut bytes = [0; Q4_1::BYTES];
        [bytes[0], bytes[1]] = self.d.to_le_bytes();
        [bytes[2], bytes[3]] = self.m.to_le_bytes();
        join_nibbles(&self.quants, &mut bytes[4..]);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_by_hand() {
        let mut bytes = [0; Q4_1::BYTES];
        bytes[..5].copy_from_slice(&[0x34, 0x12, 0x78, 0x56, 0x21]);
        bytes[19] = 0x43;
        let block = Q4_1::from_bytes(&bytes);
        let mut quants = [0; 32];
        (quants[0], quants[16]) = (1, 2);
        (quants[15], quants[31]) = (3, 4);
        assert_eq!((block.d, block.m, block.quants), (0x1234, 0x5678, quants));
        assert_eq!(block.to_bytes(), bytes);
    }

    #[test]
    fn too_large_fields_are_cut() {
        let block = Q4_1 {
            d: 1,
            m: 2,
            quants: [0xf5; 32],
        };
        assert_eq!(Q4_1::from_bytes(&block.to_bytes()).quants, [5; 32]);
    }
}
