//! Every method gives back what it was given, bit by bit, over types, shapes and contents.

use crate::common::{
    Content, Noise, Tensor, decode, encode, fitting, methods, profile, repeated, round_trip,
    small_unit, types, was_bf16, weights_of,
};
use llmcl_codecs::formats::gguf;
use llmcl_codecs::{Accounting, DecodeError, Dtype, EncodeError};
use proptest::prelude::*;

#[test]
fn files_that_are_made_up_are_sound() {
    for (bytes, types) in [(1500, 1), (20_000, 8), (20_001, 8), (300_000, 8)] {
        let file = Content::File.tensor(Dtype::U8, &[bytes]).data;
        assert_eq!(file.len() as u64, bytes);
        let found = gguf::read(&file).unwrap();
        assert!(found.tensors.len() >= types, "{bytes}");
        let is_four = |tensor: &&gguf::GgufTensor<'_>| tensor.dtype == Some(Dtype::Q4K);
        assert!(found.tensors.iter().filter(is_four).count() > 0);
        assert!(found.alignment == 64 && found.data_offset.is_multiple_of(32));
    }
}

#[test]
fn no_tensors_at_all() {
    for method in methods() {
        round_trip(&*method, &[]);
    }
}

#[test]
fn every_type_and_shape() {
    let shapes: [&[u64]; 7] = [&[], &[0], &[1], &[8], &[3, 5, 8], &[2, 0, 4], &[12, 1024]];
    for method in methods() {
        for dtype in Dtype::ALL.into_iter().filter(|dtype| method.takes(*dtype)) {
            let tensors: Vec<Tensor> = shapes
                .iter()
                .filter(|shape| dtype.bytes_for(shape).is_some())
                .map(|shape| Content::Weights.tensor(dtype, shape))
                .collect();
            // Each on its own, and all in one unit.
            for tensor in &tensors {
                round_trip(&*method, std::slice::from_ref(tensor));
            }
            round_trip(&*method, &tensors);
        }
    }
}

#[test]
fn every_content() {
    for method in methods() {
        for dtype in types(&*method) {
            for content in Content::of(dtype) {
                round_trip(
                    &*method,
                    &[content.tensor(dtype, &fitting(dtype, &[20_000]))],
                );
            }
        }
    }
}

#[test]
fn more_than_a_chunk_of_anything() {
    for method in methods() {
        for dtype in types(&*method) {
            let large = weights_of(dtype, &[3, 100_003]);
            let constant = Content::Constant.tensor(dtype, &fitting(dtype, &[300_000]));
            round_trip(&*method, &[large, constant]);
        }
    }
}

#[test]
fn mixed_types_in_one_unit() {
    for method in methods() {
        let floats = [Dtype::Bf16, Dtype::F32, Dtype::F64, Dtype::F16, Dtype::I8];
        let tensors: Vec<Tensor> = floats
            .into_iter()
            .chain(types(&*method))
            .cycle()
            .take(13)
            .filter(|dtype| method.takes(*dtype))
            .map(|dtype| weights_of(dtype, &[9, 77]))
            .collect();
        round_trip(&*method, &tensors);
    }
}

#[test]
fn the_same_bytes_every_time() {
    for method in methods() {
        let (tensors, _) = small_unit(&*method);
        assert_eq!(encode(&*method, &tensors), encode(&*method, &tensors));
    }
}

#[test]
fn noise_hardly_grows() {
    for method in methods() {
        for dtype in types(&*method) {
            let noise = Content::Noise.tensor(dtype, &fitting(dtype, &[300_000]));
            let (encoded, _) = encode(&*method, std::slice::from_ref(&noise));
            assert!(
                encoded.len() < noise.data.len() + noise.data.len() / 1000 + 100,
                "{} of {dtype:?}",
                method.name()
            );
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    for method in methods() {
        let profile = profile(&*method);
        let mut tensor = weights_of(types(&*method)[0], &[5]);
        let bytes = tensor.data.len() as u64;
        let mut out = Vec::new();
        tensor.data.pop();
        let found = method.encode(&[tensor.view()], profile.as_deref(), &mut out);
        assert!(matches!(
            found,
            Err(EncodeError::TensorLength { expected: Some(expected), found, .. })
                if expected == bytes && found == bytes - 1
        ));
        tensor.shape = fitting(tensor.dtype, &[u64::MAX, 200]);
        let found = method.encode(&[tensor.view()], profile.as_deref(), &mut out);
        assert!(matches!(
            found,
            Err(EncodeError::TensorLength { expected: None, .. })
        ));
        assert!(out.is_empty());
        for dtype in Dtype::ALL.into_iter().filter(|dtype| !method.takes(*dtype)) {
            let tensor = Content::Zeros.tensor(dtype, &[256]);
            let found = method.encode(&[tensor.view()], profile.as_deref(), &mut out);
            assert!(matches!(found, Err(EncodeError::Dtype { .. })));
        }
    }
}

#[test]
fn a_profile_that_is_not_needed_is_refused() {
    for method in methods() {
        let (encoded, _) = encode(&*method, &[]);
        let mut out = Vec::new();
        if profile(&*method).is_some() {
            continue;
        }
        let found = method.encode(&[], Some(&[]), &mut out);
        assert!(matches!(found, Err(EncodeError::Profile { .. })));
        let found = method.decode(&encoded, Some(&[]), &mut out);
        assert!(matches!(found, Err(DecodeError::Profile { .. })));
    }
}

#[test]
fn a_profile_that_is_needed_must_be_sound() {
    for method in methods() {
        let Some(profile) = profile(&*method) else {
            continue;
        };
        assert!(profile.len() <= 9000, "{}", method.name());
        let (encoded, _) = encode(&*method, &[]);
        let cut = &profile[..profile.len() - 1];
        let longer: Vec<u8> = profile.iter().chain(&[0]).copied().collect();
        for wrong in [
            None,
            Some(&[][..]),
            Some(cut),
            Some(&longer),
            Some(&[2; 500]),
        ] {
            let mut out = Vec::new();
            let found = method.encode(&[], wrong, &mut out);
            assert!(matches!(found, Err(EncodeError::Profile { .. })));
            let found = method.decode(&encoded, wrong, &mut out);
            assert!(matches!(found, Err(DecodeError::Profile { .. })));
        }
    }
}

#[test]
fn a_full_disk_is_an_error() {
    for method in methods() {
        let (tensors, bytes) = small_unit(&*method);
        let (encoded, _) = encode(&*method, &tensors);
        let views: Vec<_> = tensors.iter().map(Tensor::view).collect();
        let mut full =
            llmcl_codecs::bytes::LimitedWriter::new(Vec::new(), encoded.len() as u64 - 1);
        let found = method.encode(&views, profile(&*method).as_deref(), &mut full);
        assert!(matches!(found, Err(EncodeError::Write(_))));
        let found = decode(&*method, &encoded, bytes - 1);
        assert!(matches!(found, Err(DecodeError::Write(_))));
    }
}

#[test]
fn exponents_of_weights_are_worth_coding() {
    let method = llmcl_codecs::resolve("exponent_static", &Default::default()).unwrap();
    let weights = Content::Weights.tensor(Dtype::Bf16, &[600, 1000]);
    let (encoded, accounting) = round_trip(&*method, std::slice::from_ref(&weights));
    assert!(weights.data.len() as f64 / encoded.len() as f64 > 1.5);
    assert!((10..300).contains(&accounting.tables), "{accounting:?}");
    let constant = Content::Constant.tensor(Dtype::F16, &[600, 1000]);
    let (encoded, _) = round_trip(&*method, &[constant]);
    assert!(encoded.len() < 20);
    let (_, accounting) = encode(&*method, &[]);
    assert_eq!(
        accounting,
        Accounting {
            container: 3,
            ..Accounting::default()
        }
    );
}

/// The float methods, which all have the same modes of chunks.
const FLOATS: [&str; 4] = [
    "exponent_static",
    "exponent_mantissa_static",
    "exponent_mantissa_scaled",
    "exponent_mantissa_profiled",
];

#[test]
fn what_was_bf16_once_is_coded_as_that() {
    for name in FLOATS {
        let method = llmcl_codecs::resolve(name, &Default::default()).unwrap();
        let ratio = |tensor: &Tensor| {
            let (encoded, _) = round_trip(&*method, std::slice::from_ref(tensor));
            tensor.data.len() as f64 / encoded.len() as f64
        };
        let itself = ratio(&Content::Weights.tensor(Dtype::Bf16, &[200_000]));
        let as_half = ratio(&was_bf16(Dtype::F16, 200_000));
        let as_single = ratio(&was_bf16(Dtype::F32, 200_000));
        assert!(as_half > itself - 0.01, "{name}: {as_half} and {itself}");
        assert!(as_single > 2.0 * itself - 0.02, "{name}: {as_single}");
        // One weight among them that bf16 cannot hold is a matter of its chunk alone.
        let mut other = was_bf16(Dtype::F16, 200_000);
        other.data[77] = 0x3c;
        other.data[76] = 0x01;
        round_trip(&*method, &[other]);
    }
}

#[test]
fn what_repeats_does_not_lose_to_zstd() {
    let zstd = llmcl_codecs::resolve("zstd_3", &Default::default()).unwrap();
    let mut noise = Noise(5);
    // Few values, as of weights that were quantised and are floats again.
    let few = Tensor {
        dtype: Dtype::Bf16,
        shape: vec![100_000],
        data: (0..100_000)
            .flat_map(|_| {
                let steps = (f32::from_bits(noise.weight()) * 200.0).round();
                llmcl_codecs::cast::f32_to_bf16((steps * 0.011).to_bits()).to_le_bytes()
            })
            .collect(),
    };
    for tensor in [
        repeated(Dtype::Bf16, 3000, 40),
        repeated(Dtype::F16, 900, 99),
        few,
    ] {
        let (by_zstd, _) = round_trip(&*zstd, std::slice::from_ref(&tensor));
        // The blocks of the last one are too short for that.
        for name in &FLOATS[..3] {
            let method = llmcl_codecs::resolve(name, &Default::default()).unwrap();
            let (encoded, _) = round_trip(&*method, std::slice::from_ref(&tensor));
            assert!(
                encoded.len() < by_zstd.len() + 20,
                "{name}: {} and {}",
                encoded.len(),
                by_zstd.len()
            );
        }
    }
}

#[test]
fn scales_of_rows_and_columns_are_worth_knowing() {
    let (rows, columns) = (400usize, 600usize);
    let mut noise = Noise(1);
    let data = (0..rows * columns)
        .flat_map(|place| {
            let (row, column) = (place / columns, place % columns);
            let weight = f32::from_bits(noise.weight());
            // Scales from 1 to 4, and from 1 to 8.
            let scaled = weight * 2f32.powf(row as f32 / 200.0 + (column % 7) as f32 / 2.0);
            llmcl_codecs::cast::f32_to_bf16(scaled.to_bits()).to_le_bytes()
        })
        .collect();
    let scaled = Tensor {
        dtype: Dtype::Bf16,
        shape: vec![rows as u64, columns as u64],
        data,
    };
    let even = Content::Weights.tensor(Dtype::Bf16, &[rows as u64, columns as u64]);
    let bits = |method: &str, tensor: &Tensor| {
        let method = llmcl_codecs::resolve(method, &Default::default()).unwrap();
        let (encoded, _) = round_trip(&*method, std::slice::from_ref(tensor));
        8.0 * encoded.len() as f64 / (rows * columns) as f64
    };
    let known = bits("exponent_mantissa_scaled", &scaled);
    assert!(known < bits("exponent_static", &scaled) - 0.3, "{known}");
    // With the scales known, the weights are as good as those that have none.
    let without = bits("exponent_mantissa_scaled", &even);
    assert!((known - without).abs() < 0.08, "{known} and {without}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn anything_comes_back(
        units in prop::collection::vec((prop::sample::select(Dtype::ALL.to_vec()), prop::collection::vec(any::<u8>(), 0..400)), 0..4)
    ) {
        for method in methods() {
            let tensors: Vec<Tensor> = units
                .iter()
                .filter(|(dtype, _)| method.takes(*dtype))
                .map(|(dtype, data)| {
                    let block = dtype.block();
                    let blocks = data.len() / block.bytes as usize;
                    let elements = blocks as u64 * u64::from(block.elements);
                    let bytes = dtype.bytes_for(&[elements]).unwrap() as usize;
                    Tensor { dtype: *dtype, shape: vec![elements], data: data[..bytes].to_vec() }
                })
                .collect();
            round_trip(&*method, &tensors);
        }
    }
}
