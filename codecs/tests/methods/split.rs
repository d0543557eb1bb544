//! The study's methods for bf16: what their tables cost, their parameter, and damage beyond what all methods are put to.

use std::collections::BTreeMap;

use llmcl_codecs::{Dtype, Method, ParameterValue, resolve};
use proptest::prelude::*;

use crate::common::{Content, Tensor, decode, encode, round_trip};

/// The methods, those with a number at the one that is the fastest, and each number of classes.
fn split_methods() -> Vec<Box<dyn Method>> {
    let mut methods: Vec<_> = [
        "bf16_split",
        "bf16_split_mixture_k4",
        "bf16_split_zstd_1",
        "bf16_split_xz_0",
    ]
    .map(|name| resolve(name, &BTreeMap::new()).unwrap())
    .into();
    for k in [4, 8, 16] {
        let parameters = BTreeMap::from([("k".to_owned(), ParameterValue::Integer(k))]);
        methods.push(resolve("bf16_split_ctx", &parameters).unwrap());
    }
    methods
}

fn tensor(words: &[u16]) -> Tensor {
    Tensor {
        dtype: Dtype::Bf16,
        shape: vec![words.len() as u64],
        data: words.iter().flat_map(|word| word.to_le_bytes()).collect(),
    }
}

/// Bits of sign and exponent by their shares, and how many of them occur.
fn entropy(tensor: &Tensor) -> (f64, usize) {
    let mut counts = [0u32; 512];
    for word in tensor.data.as_chunks::<2>().0 {
        counts[usize::from(u16::from_le_bytes(*word) >> 7)] += 1;
    }
    let total = tensor.data.len() as f64 / 2.0;
    let occur = counts.iter().filter(|&&count| count > 0);
    let bits = occur.clone().map(|&count| {
        let share = f64::from(count) / total;
        -share * share.log2()
    });
    (bits.sum(), occur.count())
}

#[test]
fn the_table_loses_what_its_floor_takes() {
    let method = resolve("bf16_split", &BTreeMap::new()).unwrap();
    let weights = Content::Weights.tensor(Dtype::Bf16, &[1000, 1000]);
    let (_, accounting) = round_trip(&*method, std::slice::from_ref(&weights));
    let (entropy, used) = entropy(&weights);
    let lost = 8.0 * accounting.payload as f64 / 1e6 - entropy - 7.0;
    let floor = -(1.0 - (512 - used) as f64 / 4096.0).log2();
    assert!((lost - floor).abs() < 0.015, "{lost} and {floor}");
    assert!((0.15..0.2).contains(&lost), "{lost}");
    // What is not payload is less than a thousandth of the ratio.
    let all = 2e6 / accounting.total() as f64;
    let without = 2e6 / accounting.payload as f64;
    assert!(without - all < 0.001, "{accounting:?}");
}

#[test]
fn more_than_a_long_chunk() {
    // Whose last chunk begins within a tensor, and has a number of weights that is none of whole lanes.
    let tensors = [
        Content::Weights.tensor(Dtype::Bf16, &[1_048_000]),
        Content::Zeros.tensor(Dtype::Bf16, &[0]),
        Content::Weights.tensor(Dtype::Bf16, &[7, 1001]),
    ];
    for method in split_methods() {
        let (encoded, _) = round_trip(&*method, &tensors);
        let bytes: usize = tensors.iter().map(|tensor| tensor.data.len()).sum();
        let name = method.name();
        assert!(bytes as f64 / encoded.len() as f64 > 1.2, "{name}");
        for cut in [1, 2, 1000, 9000, 700_000] {
            assert!(decode(&*method, &encoded[..encoded.len() - cut], bytes).is_err());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_weights_come_back(
        few in prop::collection::vec(prop::collection::vec(any::<u16>(), 0..60), 0..4),
        mask in any::<u16>(),
    ) {
        // A mask makes some bits the same in all of them.
        let tensors: Vec<Tensor> = few
            .iter()
            .map(|words| tensor(&words.iter().map(|word| word & mask).collect::<Vec<_>>()))
            .collect();
        for method in split_methods() {
            round_trip(&*method, &tensors);
        }
    }

    #[test]
    fn damage_is_an_error_or_other_weights(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let weights = [Content::Weights.tensor(Dtype::Bf16, &[900])];
        for method in split_methods() {
            let (mut encoded, _) = encode(&*method, &weights);
            for (at, byte) in &changes {
                let at = at.index(encoded.len());
                encoded[at] = *byte;
            }
            if let Some(cut) = &cut {
                encoded.truncate(cut.index(encoded.len()));
            }
            // No more than a sound one is written, whatever it says.
            let found = decode(&*method, &encoded, 1800);
            prop_assert!(cut.is_none() || found.is_err());
        }
    }

    #[test]
    fn anything_is_refused_or_decodes(bytes in prop::collection::vec(any::<u8>(), 0..200), weights in 1u8..127, mode in 0u8..6) {
        let bytes: Vec<u8> = [1, weights, mode].into_iter().chain(bytes).collect();
        for method in split_methods() {
            if let Ok(decoded) = decode(&*method, &bytes, 254) {
                prop_assert_eq!(decoded.len(), 2 * usize::from(weights));
            }
        }
    }
}
