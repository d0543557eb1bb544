//! Whole files, tensor by tensor: with a matrix at two precisions.

use llmcl_codecs::bytes::LimitedWriter;
use llmcl_codecs::{Dtype, TensorView, resolve};

const FILE: &[u8] = include_bytes!("../../../fixtures/qwen2.5-coder-q4_k_m.gguf");

/// The fixture by a method, and the method.
fn encoded(name: &str) -> (Box<dyn llmcl_codecs::Method>, Vec<u8>) {
    let method = resolve(name, &Default::default()).unwrap();
    let view = TensorView {
        name: "file",
        dtype: Dtype::U8,
        shape: &[FILE.len() as u64],
        data: FILE,
    };
    let mut encoded = Vec::new();
    let accounting = method.encode(&[view], None, &mut encoded).unwrap();
    assert_eq!(accounting.total(), encoded.len() as u64);
    (method, encoded)
}

#[test]
fn a_file_is_coded_tensor_by_tensor_and_a_matrix_once() {
    // Without the pair it takes more than 536,000.
    for (name, most) in [
        ("by_type_fast", 472_000),
        ("by_type_context", 472_000),
        ("by_type_mixed", 466_000),
    ] {
        let (method, encoded) = encoded(name);
        let mut decoded = Vec::new();
        method.decode(&encoded, None, &mut decoded).unwrap();
        assert!(decoded == FILE, "{name} lost a bit");
        assert!(encoded.len() < most, "{name}: {}", encoded.len());
    }
}

#[test]
fn damaged_files_are_errors_or_of_the_right_length() {
    let (method, encoded) = encoded("by_type_fast");
    let decode = |bytes: &[u8]| {
        let mut out = LimitedWriter::new(Vec::new(), FILE.len() as u64);
        method.decode(bytes, None, &mut out)?;
        Ok::<_, llmcl_codecs::DecodeError>(out.into_inner())
    };
    for at in (0..encoded.len()).step_by(9973) {
        assert!(decode(&encoded[..at]).is_err(), "cut at byte {at}");
        let mut changed = encoded.clone();
        changed[at] ^= 0x24;
        if let Ok(decoded) = decode(&changed) {
            assert_eq!(decoded.len(), FILE.len(), "byte {at}");
        }
    }
}
