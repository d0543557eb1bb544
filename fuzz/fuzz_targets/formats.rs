//! Any bytes are a file of weights whose tensors lie in it, or are refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use llmcl_codecs::formats::{ctranslate2, safetensors, sharded};

fuzz_target!(|bytes: &[u8]| {
    let length = bytes.len() as u64;
    if let Ok(file) = safetensors::read(bytes) {
        assert!(file.tensors.iter().all(|tensor| tensor.offset + tensor.bytes <= length));
    }
    if let Ok(file) = ctranslate2::read(bytes) {
        assert!(file.tensors.iter().all(|tensor| tensor.offset + tensor.bytes <= length));
    }
    if let Ok(index) = sharded::Index::read(bytes) {
        let _ = index.tensors(|_| Some(bytes));
    }
});
