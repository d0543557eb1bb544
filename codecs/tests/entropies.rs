//! Entropies of floats: by hand, against each other, and in any order.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use llmcl_codecs::entropy::{EntropyError, FloatEntropy, FloatLayout, WordHistogram, entropy_bits};
use proptest::prelude::*;

fn close(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-12, "{a} is not {b}");
}

fn measure(layout: FloatLayout, words: &[u16]) -> FloatEntropy {
    let data: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    FloatEntropy::measure(layout, &data).unwrap()
}

#[test]
fn nothing_and_half_a_word() {
    let layout = FloatLayout::Bf16;
    assert_eq!(FloatEntropy::measure(layout, &[]), Err(EntropyError::Empty));
    assert_eq!(
        FloatEntropy::measure(layout, &[1]),
        Err(EntropyError::Length { found: 1 })
    );
}

#[test]
fn a_constant_has_no_bound() {
    let found = measure(FloatLayout::Bf16, &[0x3f80; 1000]);
    assert_eq!(
        (found.weights, found.distinct, found.r_marginal),
        (1000, 1, None)
    );
    close(found.h_joint, 0.0);
    assert!(found.cl_joint > 0.0 && found.cl_joint < 0.12);
}

#[test]
fn four_words_by_hand() {
    // 1, 2, -1, 1.5: exponents 127, 128, 127, 127; mantissas 0, 0, 0, 64.
    let found = measure(FloatLayout::Bf16, &[0x3f80, 0x4000, 0xbf80, 0x3fc0]);
    let quarter = 0.75 * (4f64 / 3.0).log2() + 0.5;
    close(found.h_sign, quarter);
    close(found.h_exponent, quarter);
    close(found.h_mantissa, quarter);
    close(found.h_sign_exponent, 1.5);
    close(
        found.h_mantissa_given_exponent,
        0.75 * entropy_bits(&[2, 1]),
    );
    close(found.h_joint, 2.0);
    // High bytes 3f, 40, bf, 3f; low bytes 80, 00, 80, c0.
    close(found.h_high, 1.5);
    close(found.h_low, 1.5);
    close(found.r_marginal.unwrap(), 16.0 / 3.0);
    assert_eq!(found.distinct, 4);
}

#[test]
fn fields_of_fp16() {
    // 1, 2, -1 and 1 + 2^-10.
    let found = measure(FloatLayout::F16, &[0x3c00, 0x4000, 0xbc00, 0x3c01]);
    let quarter = 0.75 * (4f64 / 3.0).log2() + 0.5;
    close(found.h_exponent, quarter);
    close(found.h_mantissa, quarter);
    close(
        found.h_mantissa_given_exponent,
        0.75 * entropy_bits(&[2, 1]),
    );
}

#[test]
fn every_word_once_has_sixteen_bits() {
    let words: Vec<u16> = (0..=u16::MAX).collect();
    for layout in [FloatLayout::Bf16, FloatLayout::F16] {
        let found = measure(layout, &words);
        close(found.h_joint, 16.0);
        close(found.r_marginal.unwrap(), 1.0);
        close(
            found.h_sign_exponent + f64::from(layout.mantissa_bits()),
            16.0,
        );
        // Noise costs no more than a bit, in all.
        assert!(found.cl_joint * 65536.0 <= 16.0 * 65536.0 + 1.0);
    }
}

#[test]
fn pieces_add_up() {
    let words: Vec<u8> = (0..20_000u32).map(|i| ((i * i) >> 5) as u8).collect();
    let mut pieces = WordHistogram::default();
    pieces.add(&words[..7778]).unwrap();
    pieces.add(&words[7778..]).unwrap();
    let whole = FloatEntropy::measure(FloatLayout::F16, &words).unwrap();
    assert_eq!(FloatEntropy::of(FloatLayout::F16, &pieces).unwrap(), whole);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn figures_agree_with_each_other(
        words in prop::collection::vec(prop_oneof![any::<u16>(), 0x3c00u16..0x3d00, Just(0u16)], 1..600),
        f16 in any::<bool>(),
    ) {
        let layout = if f16 { FloatLayout::F16 } else { FloatLayout::Bf16 };
        let found = measure(layout, &words);
        let small = 1e-9;
        // No code is shorter than the plug-in entropy.
        prop_assert!(found.cl_high >= found.h_high - small);
        prop_assert!(found.cl_low >= found.h_low - small);
        prop_assert!(found.cl_exponent >= found.h_exponent - small);
        prop_assert!(found.cl_sign_exponent >= found.h_sign_exponent - small);
        prop_assert!(found.cl_mantissa_given_exponent >= found.h_mantissa_given_exponent - small);
        prop_assert!(found.cl_joint >= found.h_joint - small);
        // The chain rule, and that conditions and joining never add.
        prop_assert!(found.h_joint <= 16.0 + small);
        prop_assert!(found.h_joint <= (words.len() as f64).log2() + small);
        prop_assert!(found.h_joint <= found.h_high + found.h_low + small);
        prop_assert!(found.h_mantissa_given_exponent <= found.h_mantissa + small);
        prop_assert!(found.h_joint <= found.h_sign_exponent + found.h_mantissa_given_exponent + small);
        prop_assert!(found.h_joint >= found.h_exponent + found.h_mantissa_given_exponent - small);
        prop_assert!(found.h_joint <= found.h_sign + found.h_exponent + found.h_mantissa_given_exponent + small);

        let mut shuffled = words;
        shuffled.sort_unstable_by_key(|word| word.wrapping_mul(40_503));
        prop_assert_eq!(measure(layout, &shuffled), found);
    }
}
