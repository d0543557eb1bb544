//! Any bytes are a GGUF file that is cut up without gaps and whose tensors are as long as they say, or are refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use llmcl_codecs::formats::gguf::{self, Value, split};

fn count_all(value: Value<'_>) {
    if let Value::Array(array) = value {
        assert_eq!(array.iter().count() as u64, array.len);
        array.iter().for_each(count_all);
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = gguf::read(bytes) else {
        return;
    };
    let mut at = 0;
    for section in file.sections() {
        assert!(section.range.start == at && section.range.end > at);
        at = section.range.end;
    }
    assert_eq!(at, bytes.len() as u64);
    for entry in file.entries() {
        assert!(entry.view(bytes).is_some());
        assert_eq!(entry.dtype.bytes_for(&entry.shape), Some(entry.bytes));
    }
    for entry in &file.metadata {
        count_all(entry.value);
    }
    let _ = split::check(&[("model-00001-of-00002.gguf", file)]);
});
