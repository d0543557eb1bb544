//! Any bytes are a unit of openzl that takes no more than it may, or are refused; and any bytes are a profile that
//! weights come back from, or are refused.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use llmcl_codecs::bytes::{LimitedWriter, write_varint};
use llmcl_codecs::{Dtype, Method, TensorView, resolve};

/// The most bytes that are decoded of a unit.
const MOST_BYTES: u64 = 8 << 20;
/// The weights that profiles are tried on.
const WEIGHTS: u64 = 3000;

static METHODS: LazyLock<Vec<Box<dyn Method>>> = LazyLock::new(|| {
    ["openzl_bfloat16_deconstruct", "openzl_float16_deconstruct", "openzl_le_u16"]
        .map(|name| resolve(name, &Default::default()).expect("it is a method"))
        .into()
});

/// A profile that is sound, of openzl's own trainer.
static PROFILE: &[u8] = include_bytes!("../../profiles/reference/bf16-openzl.zl");

fn decode(method: &dyn Method, unit: &[u8], profile: Option<&[u8]>) {
    let mut out = LimitedWriter::new(std::io::sink(), MOST_BYTES);
    let _ = method.decode(unit, profile, &mut out);
}

/// What a unit of the profiled method begins with, for this profile.
fn beginning() -> Vec<u8> {
    let mut unit = Vec::new();
    METHODS[2].encode(&[], Some(PROFILE), &mut unit).expect("an empty unit");
    // The number of tensors.
    unit.pop();
    unit
}

/// Weights that look random, with few exponents.
fn weights() -> Vec<u8> {
    let words = (0..WEIGHTS).map(|place| 0x3c00 | (place.wrapping_mul(0x9e37_79b9) >> 11 & 0x83ff) as u16);
    words.flat_map(u16::to_le_bytes).collect()
}

fuzz_target!(|bytes: &[u8]| {
    let [which, bytes @ ..] = bytes else {
        return;
    };
    match which % 4 {
        // As they are.
        0 => {
            decode(&*METHODS[0], bytes, None);
            decode(&*METHODS[1], bytes, None);
            decode(&*METHODS[2], bytes, Some(PROFILE));
        }
        // As a frame of a unit whose lengths are right.
        1 | 2 => {
            let [low, high, frame @ ..] = bytes else {
                return;
            };
            let length = u64::from(u16::from_le_bytes([*low, *high])) & !1;
            for profile in [None, Some(PROFILE)] {
                let mut unit = profile.map_or_else(|| vec![1], |_| beginning());
                unit.push(1);
                write_varint(&mut unit, length);
                write_varint(&mut unit, frame.len() as u64);
                unit.extend_from_slice(frame);
                decode(&*METHODS[if profile.is_some() { 2 } else { 0 }], &unit, profile);
            }
        }
        // As a profile.
        _ => {
            let data = weights();
            let shape = [WEIGHTS];
            let tensor = TensorView { name: "weights", dtype: Dtype::Bf16, shape: &shape, data: &data };
            let mut unit = Vec::new();
            if METHODS[2].encode(&[tensor], Some(bytes), &mut unit).is_ok() {
                let mut decoded = Vec::new();
                METHODS[2].decode(&unit, Some(bytes), &mut decoded).expect("it was encoded");
                assert!(decoded == data);
            }
        }
    }
});
