//! Methods for GGUF's blocks and files: what is encoded comes back, and what is not an encoding is refused or decodes to
//! no more than is taken.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use llmcl_codecs::bytes::LimitedWriter;
use llmcl_codecs::{Dtype, TensorView, chunked, resolve};

/// Those that need no profile.
const METHODS: [&str; 9] = [
    "block_static",
    "block_context",
    "block_mixed",
    "by_type_fast",
    "by_type_context",
    "by_type_mixed",
    "whole_zstd3",
    "decomp_perstream_zstd3",
    "decomp_perstream_zstd19_bg",
];
/// A type, and each that can be given for it.
const TYPES: [(Dtype, &[Dtype]); 6] = [
    (Dtype::Q4K, &[Dtype::Q6K, Dtype::Q8_0, Dtype::Q5_0]),
    (Dtype::Q4_1, &[Dtype::Q5_0, Dtype::Q8_0]),
    (Dtype::Q5_0, &[Dtype::Q6K, Dtype::Q8_0]),
    (Dtype::Q6K, &[Dtype::Q8_0]),
    (Dtype::Q8_0, &[]),
    (Dtype::U8, &[]),
];
/// Weights of a row of blocks: a block of the largest types.
const ROW: u64 = 256;
const MOST_BYTES: u64 = 1 << 20;

fuzz_target!(|input: &[u8]| {
    let Some((&[chosen, of_type, change, value], bytes)) = input.split_first_chunk() else {
        return;
    };
    let name = METHODS[usize::from(chosen) % METHODS.len()];
    let Ok(method) = resolve(name, &BTreeMap::new()) else {
        panic!("there is no method {name}");
    };
    // As an encoding.
    let mut out = LimitedWriter::new(Vec::new(), MOST_BYTES);
    let _ = method.decode(bytes, None, &mut out);

    // As a tensor, by itself.
    let (dtype, finer) = TYPES[usize::from(of_type) % TYPES.len()];
    let (shape, data) = tensor(dtype, bytes);
    let view = TensorView {
        name: "tensor",
        dtype,
        shape: &shape,
        data,
    };
    if method.takes(dtype) {
        let mut encoded = Vec::new();
        let accounting = method
            .encode(&[view], None, &mut encoded)
            .expect("it takes this");
        assert_eq!(accounting.total(), encoded.len() as u64);
        let mut decoded = Vec::new();
        method
            .decode(&encoded, None, &mut decoded)
            .expect("its own encoding");
        assert!(decoded == data, "{name} lost a bit");
        let at = usize::from(change) * encoded.len() / 256;
        if let Some(byte) = encoded.get_mut(at) {
            *byte = value;
            let mut out = LimitedWriter::new(Vec::new(), MOST_BYTES);
            let _ = method.decode(&encoded, None, &mut out);
        }
    }

    // And given another, whatever that holds.
    let Some(&given) = finer.get(usize::from(change) % finer.len().max(1)) else {
        return;
    };
    let Some(Ok(chunked)) = chunked::resolve(name, None) else {
        return;
    };
    if !chunked.takes_given(dtype, given) {
        return;
    }
    let rows = shape[0];
    let length = given.bytes_for(&[rows, ROW]).expect("a few rows") as usize;
    let finer: Vec<u8> = bytes.iter().rev().copied().cycle().take(length).collect();
    if finer.len() < length || rows == 0 {
        return;
    }
    let finer_view = TensorView {
        name: "finer",
        dtype: given,
        shape: &shape,
        data: &finer,
    };
    let fitted = chunked
        .fit(&view, Some(&finer_view))
        .expect("it takes this");
    // So few weights are one chunk.
    let mut encoded = Vec::new();
    fitted
        .encode(0, data, &finer, &mut encoded)
        .expect("a chunk");
    let mut decoded = vec![0; data.len()];
    let opened = chunked
        .open(dtype, &shape, Some(given), fitted.tables())
        .expect("its own tables");
    opened
        .decode(0, &encoded, &finer, &mut decoded)
        .expect("its own chunk");
    assert!(decoded == data, "{name} lost a bit of a pair");
});

/// As many rows as there are bytes for, up to what one chunk holds.
fn tensor(dtype: Dtype, bytes: &[u8]) -> (Vec<u64>, &[u8]) {
    if dtype == Dtype::U8 {
        return (vec![bytes.len() as u64], bytes);
    }
    let row = dtype.bytes_for(&[ROW]).expect("a row") as usize;
    let rows = (bytes.len() / row).min(64);
    (vec![rows as u64, ROW], &bytes[..rows * row])
}
