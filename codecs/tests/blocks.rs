//! Blocks of quantised weights: any bytes come back, and the weights are those that the `gguf` package finds.

use llmcl_codecs::blocks::{Q4_1, Q4K, Q5_0, Q6K, Q8_0, f16_units};
use proptest::prelude::*;

/// Fills bytes with ones that look random.
fn random<const N: usize>(seed: u64) -> [u8; N] {
    let mut state = seed;
    std::array::from_fn(|_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    })
}

proptest! {
    #[test]
    fn any_bytes_come_back(seed: u64) {
        let bytes = random(seed);
        prop_assert_eq!(Q4K::from_bytes(&bytes).to_bytes(), bytes);
        let bytes = random(seed);
        prop_assert_eq!(Q6K::from_bytes(&bytes).to_bytes(), bytes);
        let bytes = random(seed);
        prop_assert_eq!(Q5_0::from_bytes(&bytes).to_bytes(), bytes);
        let bytes = random(seed);
        prop_assert_eq!(Q8_0::from_bytes(&bytes).to_bytes(), bytes);
        let bytes = random(seed);
        prop_assert_eq!(Q4_1::from_bytes(&bytes).to_bytes(), bytes);
    }

    #[test]
    fn any_fields_come_back(d: u16, m: u16, seed: u64) {
        let few = |mask: u8| move |byte: u8| byte & mask;
        let block = Q4K {
            d,
            dmin: m,
            scales: random(seed).map(few(63)),
            minima: random(seed ^ 1).map(few(63)),
            quants: random(seed ^ 2).map(few(15)),
        };
        prop_assert_eq!(Q4K::from_bytes(&block.to_bytes()), block);
        let block = Q6K {
            d,
            scales: random(seed).map(u8::cast_signed),
            quants: random(seed ^ 1).map(few(63)),
        };
        prop_assert_eq!(Q6K::from_bytes(&block.to_bytes()), block);
        let block = Q5_0 { d, quants: random(seed).map(few(31)) };
        prop_assert_eq!(Q5_0::from_bytes(&block.to_bytes()), block);
        let block = Q8_0 { d, quants: random(seed).map(u8::cast_signed) };
        prop_assert_eq!(Q8_0::from_bytes(&block.to_bytes()), block);
        let block = Q4_1 { d, m, quants: random(seed).map(few(15)) };
        prop_assert_eq!(Q4_1::from_bytes(&block.to_bytes()), block);
    }

    #[test]
    fn zero_points_are_rounded_quotients(d in 1u16..0x7c00, dmin in 0u16..0x7c00, scale in 1u8..64, minimum in 0u8..64) {
        let number = |bits| half::f16::from_bits(bits).to_f64();
        let quotient = 4.0 * number(dmin) * f64::from(minimum) / (number(d) * f64::from(scale));
        let expected = (quotient + 0.5).floor().min(63.0);
        let class = llmcl_codecs::blocks::q4_k::zero_point(d, dmin, scale, minimum);
        prop_assert_eq!(f64::from(class), expected);
    }
}

/// FNV-1a over the bits of weights.
fn digest(weights: impl IntoIterator<Item = f32>) -> u64 {
    weights
        .into_iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, weight| {
            weight.to_le_bytes().into_iter().fold(hash, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            })
        })
}

/// What fp16 bits stand for; none of those here is infinite.
fn number(bits: u16) -> f32 {
    f16_units(bits).unwrap_or_default() as f32 / 16_777_216.0
}

/// Blocks that look random, with the exponents of the scales at `scales` in between.
fn blocks<const N: usize>(scales: &[usize]) -> Vec<[u8; N]> {
    (0..64)
        .map(|seed| {
            let mut bytes = random(seed);
            for &high in scales {
                bytes[high] &= 0xbf;
            }
            bytes
        })
        .collect()
}

// The digests are those of version 0.19.0 of the package; `experiments/checks/blocks_gguf_package.py` prints them.
#[test]
fn weights_are_those_of_the_gguf_package() {
    let q4_k = blocks(&[1, 3]).into_iter().flat_map(|bytes| {
        let block = Q4K::from_bytes(&bytes);
        (0..256).map(move |at| {
            let scale = number(block.d) * f32::from(block.scales[at / 32]);
            let minimum = number(block.dmin) * f32::from(block.minima[at / 32]);
            scale * f32::from(block.quants[at]) - minimum
        })
    });
    let q6_k = blocks(&[209]).into_iter().flat_map(|bytes| {
        let block = Q6K::from_bytes(&bytes);
        (0..256).map(move |at| {
            let scale = number(block.d) * f32::from(block.scales[at / 16]);
            scale * (f32::from(block.quants[at]) - 32.0)
        })
    });
    let q5_0 = blocks(&[1]).into_iter().flat_map(|bytes| {
        let block = Q5_0::from_bytes(&bytes);
        block
            .quants
            .map(|quant| number(block.d) * (f32::from(quant) - 16.0))
    });
    let q8_0 = blocks(&[1]).into_iter().flat_map(|bytes| {
        let block = Q8_0::from_bytes(&bytes);
        block.quants.map(|quant| number(block.d) * f32::from(quant))
    });
    let q4_1 = blocks(&[1, 3]).into_iter().flat_map(|bytes| {
        let block = Q4_1::from_bytes(&bytes);
        block
            .quants
            .map(|quant| number(block.d) * f32::from(quant) + number(block.m))
    });
    assert_eq!(digest(q4_k), 0xd3e8_a84d_6849_c820);
    assert_eq!(digest(q6_k), 0xd9a1_fe2d_5cec_1343);
    assert_eq!(digest(q5_0), 0x54b9_2073_1d51_5cde);
    assert_eq!(digest(q8_0), 0x0a48_0a36_7644_7c30);
    assert_eq!(digest(q4_1), 0xb874_867a_8295_04f4);
}
