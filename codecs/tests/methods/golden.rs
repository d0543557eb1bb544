//! Encodings of every version that there ever was: they must decode for ever, and be made again byte for byte.
//!
//! `LLMCL_UPDATE_GOLDEN=1` writes those that are missing. One that is there is never written again: whoever changes a
//! format gives it a new version, and a new file.

use std::path::PathBuf;

use llmcl_codecs::{Dtype, cast, resolve};

use crate::common::{Content, Noise, Tensor, decode, encode, profile, repeated, was_bf16};

const METHODS: &[(&str, u32)] = &[
    ("block_static", 1),
    ("block_context", 1),
    ("block_mixed", 1),
    ("by_type_fast", 1),
    ("by_type_context", 1),
    ("by_type_mixed", 1),
    ("qb_mixture_k4", 1),
    ("decomp_perstream_zstd19", 1),
    ("decomp_perstream_zstd19_bg", 1),
    ("decomp_qb_full", 1),
    ("bf16_split", 1),
    ("bf16_split_ctx", 1),
    ("bf16_split_mixture_k4", 1),
    ("bf16_split_xz_9", 1),
    ("bf16_split_zstd_19", 1),
    ("exponent_static", 1),
    ("exponent_mantissa_static", 1),
    ("exponent_mantissa_scaled", 1),
    ("exponent_mantissa_profiled", 1),
    #[cfg(feature = "openzl")]
    ("openzl_bfloat16_deconstruct", 1),
    #[cfg(feature = "openzl")]
    ("openzl_float16_deconstruct", 1),
    #[cfg(feature = "openzl")]
    ("openzl_le_u16", 1),
];

/// Chunks of every mode, with and without scales, of all types, and tensors without weights.
fn tensors() -> Vec<Tensor> {
    let mut noise = Noise(7);
    let (rows, columns) = (48u64, 40u64);
    let matrix = |dtype: Dtype, noise: &mut Noise| Tensor {
        dtype,
        shape: vec![rows, columns],
        data: (0..rows * columns)
            .flat_map(|place| {
                let weight = f32::from_bits(noise.weight());
                let scaled =
                    weight * 2f32.powi((place / columns % 3) as i32 + (place % columns % 4) as i32);
                let bits = scaled.to_bits();
                match dtype {
                    Dtype::Bf16 => cast::f32_to_bf16(bits).to_le_bytes(),
                    _ => cast::f32_to_f16(bits).to_le_bytes(),
                }
            })
            .collect(),
    };
    vec![
        matrix(Dtype::Bf16, &mut noise),
        matrix(Dtype::F16, &mut noise),
        Content::Weights.tensor(Dtype::Bf16, &[500]),
        Content::Constant.tensor(Dtype::F16, &[40, 40]),
        Content::Noise.tensor(Dtype::Bf16, &[40, 40]),
        Content::Nans.tensor(Dtype::F16, &[33]),
        Content::Zeros.tensor(Dtype::Bf16, &[0, 3]),
        was_bf16(Dtype::F16, 3000),
        was_bf16(Dtype::F32, 3000),
        Content::Noise.tensor(Dtype::F32, &[600]),
        repeated(Dtype::Bf16, 700, 9),
        repeated(Dtype::Q4K, 20 * 256, 12),
        Content::Nans.tensor(Dtype::Q4K, &[2, 512]),
        Content::Weights.tensor(Dtype::Q6K, &[3, 2, 1024]),
        Content::Weights.tensor(Dtype::Q5_0, &[40, 96]),
        Content::Weights.tensor(Dtype::Q8_0, &[40, 96]),
        Content::Weights.tensor(Dtype::Q4_1, &[40, 96]),
        Content::Noise.tensor(Dtype::Q8_0, &[64]),
        Content::Noise.tensor(Dtype::U8, &[300]),
        Content::File.tensor(Dtype::U8, &[30_000]),
    ]
}

/// What stands in a file; it is made of `bytes` if it is not there and may be made.
fn golden(name: &str, bytes: &[u8]) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/methods/golden");
    let path = folder.join(name);
    if !path.exists() && std::env::var_os("LLMCL_UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, bytes).unwrap();
    }
    std::fs::read(&path).unwrap()
}

#[test]
fn golden_encodings_decode_and_are_made_again() {
    for (name, version) in METHODS {
        let method = resolve(name, &Default::default()).unwrap();
        let mut tensors = tensors();
        tensors.retain(|tensor| method.takes(tensor.dtype));
        let original: Vec<u8> = tensors
            .iter()
            .flat_map(|tensor| tensor.data.clone())
            .collect();
        let (encoded, _) = encode(&*method, &tensors);
        let golden = golden(&format!("{name}.{version}"), &encoded);
        if let Some(profile) = profile(&*method) {
            let kept = self::golden(&format!("{name}.{version}.profile"), &profile);
            assert!(profile == kept, "{name} learns another profile");
        }
        let decoded = decode(&*method, &golden, original.len()).unwrap();
        assert!(decoded == original, "{name}, version {version}");
        assert!(
            encoded == golden,
            "{name} makes other bytes than version {version} did"
        );
    }
}
