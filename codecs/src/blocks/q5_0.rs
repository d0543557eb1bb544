//! `Q5_0`: 32 weights in 22 bytes.
//!
//! | bytes | |
//! | --- | --- |
//! | 0, 1 | `d`, fp16: the scale |
//! | 2 … 5 | upper bits of the quants: bit i, from the lowest of byte 2 on, is that of weight i |
//! | 6 … 21 | lower 4 bits of the quants: in byte i, the lower half is of weight i, the upper half of weight i + 16 |

use super::{join_nibbles, nibbles};

/// A block of type `Q5_0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Q5_0 {
    /// The scale, the bits of an fp16.
    pub d: u16,
    /// The weights' numbers, 0 … 31, of which 16 is the weight zero.
    pub quants: [u8; Q5_0::WEIGHTS],
}

impl Q5_0 {
    /// Bytes of a block.
    pub const BYTES: usize = 22;
    /// Weights of a block.
    pub const WEIGHTS: usize = 32;

    /// Takes a block apart.
    #[inline(always)]
    pub fn from_bytes(bytes: &[u8; Q5_0::BYTES]) -> Q5_0 {
        let mut quants = [0; Q5_0::WEIGHTS];
        nibbles(&bytes[6..], &mut quants);
        let upper = u32::from_le_bytes([bytes[2], bytes[3], bytes[4], bytes[5]]);
        for (place, quant) in quants.iter_mut().enumerate() {
            *quant |= ((upper >> place & 1) as u8) << 4;
        }
        Q5_0 {
            d: u16::from_le_bytes([bytes[0], bytes[1]]),
            quants,
        }
    }

    /// Puts a block together. Bits above those that a field has are left out.
    #[inline(always)]
    pub fn to_bytes(&self) -> [u8; Q5_0::BYTES] {
        let mut bytes = [0; Q5_0::BYTES];
        [bytes[0], bytes[1]] = self.d.to_le_bytes();
        let eights = self.quants.as_chunks().0;
        for (byte, eight) in bytes[2..6].iter_mut().zip(eights) {
            // One bit of each of eight bytes; multiplied, that of byte i comes to stand at bit 56 + i.
            let bits = u64::from_le_bytes(*eight) >> 4 & 0x0101_0101_0101_0101;
            *byte = (bits.wrapping_mul(0x0102_0408_1020_4080) >> 56) as u8;
        }
        join_nibbles(&self.quants, &mut bytes[6..]);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_by_hand() {
        let mut bytes = [0; Q5_0::BYTES];
        bytes[..2].copy_from_slice(&[0x34, 0x12]);
        // Upper bits of weights 0, 9 and 31.
        bytes[2..6].copy_from_slice(&[1, 2, 0, 0x80]);
        bytes[6] = 0x21;
        bytes[21] = 0x43;
        let block = Q5_0::from_bytes(&bytes);
        let mut quants = [0; 32];
        (quants[0], quants[16]) = (17, 2);
        (quants[15], quants[31]) = (3, 20);
        quants[9] = 16;
        assert_eq!((block.d, block.quants), (0x1234, quants));
        assert_eq!(block.to_bytes(), bytes);
    }

    #[test]
    fn too_large_fields_are_cut() {
        let block = Q5_0 {
            d: 1,
            quants: [0xe5; 32],
        };
        assert_eq!(Q5_0::from_bytes(&block.to_bytes()).quants, [5; 32]);
    }
}
