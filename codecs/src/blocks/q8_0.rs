//! `Q8_0`: 32 weights in 34 bytes.
//!
//! | bytes | |
//! | --- | --- |
//! | 0, 1 | `d`, fp16: the scale |
//! | 2 … 33 | the quants, signed |

/// A block of type `Q8_0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Q8_0 {
    /// The scale, the bits of an fp16.
    pub d: u16,
    /// The weights' numbers. Those who write blocks leave −128 out.
    pub quants: [i8; Q8_0::WEIGHTS],
}

impl Q8_0 {
    /// Bytes of a block.
    pub const BYTES: usize = 34;
    /// Weights of a block.
    pub const WEIGHTS: usize = 32;

    /// Takes a block apart.
    #[inline(always)]
    pub fn from_bytes(bytes: &[u8; Q8_0::BYTES]) -> Q8_0 {
        let mut quants = [0; Q8_0::WEIGHTS];
        for (quant, byte) in quants.iter_mut().zip(&bytes[2..]) {
            *quant = byte.cast_signed();
        }
        Q8_0 {
            d: u16::from_le_bytes([bytes[0], bytes[1]]),
            quants,
        }
    }

    /// Puts a block together.
    #[inline(always)]
    pub fn to_bytes(&self) -> [u8; Q8_0::BYTES] {
        let mut bytes = [0; Q8_0::BYTES];
        [bytes[0], bytes[1]] = self.d.to_le_bytes();
        for (byte, quant) in bytes[2..].iter_mut().zip(&self.quants) {
            *byte = quant.cast_unsigned();
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_by_hand() {
        let mut bytes = [0; Q8_0::BYTES];
        bytes[..4].copy_from_slice(&[0x34, 0x12, 0xff, 0x7f]);
        bytes[33] = 0x80;
        let block = Q8_0::from_bytes(&bytes);
        let mut quants = [0; 32];
        (quants[0], quants[1], quants[31]) = (-1, 127, -128);
        assert_eq!((block.d, block.quants), (0x1234, quants));
        assert_eq!(block.to_bytes(), bytes);
    }
}
