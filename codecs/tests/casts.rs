//! Casts against the `half` crate, for every 16-bit word and for binary32 around every boundary and in between.

use half::{bf16, f16};
use llmcl_codecs::Dtype;
use llmcl_codecs::cast::{
    Cast, CastError, bf16_to_f16, bf16_to_f32, f16_to_bf16, f16_to_f32, f32_to_bf16, f32_to_f16,
};

fn check_f32(bits: u32) {
    let value = f32::from_bits(bits);
    assert_eq!(
        f32_to_bf16(bits),
        bf16::from_f32(value).to_bits(),
        "{bits:#x}"
    );
    assert_eq!(
        f32_to_f16(bits),
        f16::from_f32(value).to_bits(),
        "{bits:#x}"
    );
}

#[test]
fn binary32_on_a_stride() {
    // A prime, so that all low bits are met.
    for bits in (0..=u32::MAX).step_by(1009) {
        check_f32(bits);
    }
}

#[test]
fn binary32_around_every_exponent_and_every_tie() {
    for sign in [0, 1 << 31] {
        for exponent in 0..=255u32 {
            // Ties of bf16 are at bit 15, of fp16 at bit 12 and, for its subnormals, at any bit above.
            for mantissa_bit in 0..23 {
                for around in [-2i32, -1, 0, 1, 2] {
                    let base = sign | exponent << 23 | 1 << mantissa_bit;
                    check_f32(base.wrapping_add_signed(around));
                    check_f32((base | 0x007f_ffff >> 2).wrapping_add_signed(around));
                    check_f32((base | 0x007f_ffff).wrapping_add_signed(around));
                }
            }
        }
    }
}

#[test]
fn every_word_widens_and_comes_back() {
    for bits in 0..=u16::MAX {
        let (wide_f16, wide_bf16) = (f16_to_f32(bits), bf16_to_f32(bits));
        if !f16::from_bits(bits).is_nan() {
            assert_eq!(wide_f16, f16::from_bits(bits).to_f32().to_bits());
            assert_eq!(f32_to_f16(wide_f16), bits);
        }
        if !bf16::from_bits(bits).is_nan() {
            assert_eq!(wide_bf16, bf16::from_bits(bits).to_f32().to_bits());
            assert_eq!(f32_to_bf16(wide_bf16), bits);
        }
    }
}

#[test]
fn every_word_between_the_16_bit_types() {
    for bits in 0..=u16::MAX {
        let (from_bf16, from_f16) = (bf16::from_bits(bits), f16::from_bits(bits));
        if !from_bf16.is_nan() {
            let expected = f16::from_f32(from_bf16.to_f32()).to_bits();
            assert_eq!(bf16_to_f16(bits), expected, "{bits:#x}");
        }
        if !from_f16.is_nan() {
            let expected = bf16::from_f32(from_f16.to_f32()).to_bits();
            assert_eq!(f16_to_bf16(bits), expected, "{bits:#x}");
        }
    }
}

#[test]
fn nans_keep_sign_and_top_of_the_payload() {
    // Every payload of the narrow types under both signs, and payloads that would vanish.
    for sign in [0u32, 1 << 31] {
        for payload in (1..1u32 << 23)
            .step_by(511)
            .chain([1, 1 << 12, 1 << 15, 1 << 22])
        {
            let bits = sign | 0x7f80_0000 | payload;
            let upper = (sign >> 16) as u16;
            assert_eq!(f32_to_bf16(bits), upper | 0x7fc0 | (payload >> 16) as u16);
            assert_eq!(f32_to_f16(bits), upper | 0x7e00 | (payload >> 13) as u16);
        }
    }
    for sign in [0u16, 0x8000] {
        for payload in 1..1u16 << 7 {
            assert_eq!(
                bf16_to_f16(sign | 0x7f80 | payload),
                sign | 0x7e00 | payload << 3
            );
        }
        for payload in 1..1u16 << 10 {
            assert_eq!(
                f16_to_bf16(sign | 0x7c00 | payload),
                sign | 0x7fc0 | payload >> 3
            );
        }
    }
}

#[test]
fn limits() {
    let (infinity, largest) = (f32::INFINITY.to_bits(), f32::MAX.to_bits());
    assert_eq!(f32_to_bf16(infinity), 0x7f80);
    assert_eq!(f32_to_bf16(largest), 0x7f80);
    assert_eq!(f32_to_f16(infinity), 0x7c00);
    assert_eq!(f32_to_f16(largest), 0x7c00);
    // 65504 is the largest fp16; halfway to 65536 rounds to infinity, anything less does not.
    assert_eq!(f32_to_f16(65519.996f32.to_bits()), 0x7bff);
    assert_eq!(f32_to_f16(65520f32.to_bits()), 0x7c00);
    assert_eq!(bf16_to_f16(0x7f7f), 0x7c00);
    // 2^-24 is the smallest subnormal; half of it ties to zero, anything more does not.
    assert_eq!(f32_to_f16(2f32.powi(-24).to_bits()), 1);
    assert_eq!(f32_to_f16(2f32.powi(-25).to_bits()), 0);
    assert_eq!(f32_to_f16(2f32.powi(-25).to_bits() + 1), 1);
    assert_eq!(f32_to_f16(0x8000_0001), 0x8000);
}

#[test]
fn streams_in_pieces() {
    let values: Vec<u32> = (0..100_000u32)
        .map(|i| i.wrapping_mul(2_654_435_761))
        .collect();
    let data: Vec<u8> = values.iter().flat_map(|bits| bits.to_le_bytes()).collect();
    let mut out = Vec::new();
    Cast::F32ToBf16.write(&data, &mut out).unwrap();
    let expected: Vec<u8> = values
        .iter()
        .flat_map(|&bits| f32_to_bf16(bits).to_le_bytes())
        .collect();
    assert!(out == expected);
    let odd = Cast::F32ToF16.write(&data[..5], &mut out);
    assert!(matches!(
        odd,
        Err(CastError::Length {
            dtype: Dtype::F32,
            found: 5
        })
    ));
}

#[test]
fn casts_by_type() {
    for from in Dtype::ALL {
        for to in Dtype::ALL {
            if let Some(cast) = Cast::between(from, to) {
                assert_eq!((cast.from(), cast.to()), (from, to));
            }
        }
    }
    assert_eq!(Cast::between(Dtype::Bf16, Dtype::Bf16), None);
    assert_eq!(Cast::between(Dtype::F16, Dtype::F32), None);
}
