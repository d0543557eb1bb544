//! Containers of every version that there ever was: they must be read for ever, and be made again byte for byte.
//!
//! `LLMCL_UPDATE_GOLDEN=1` writes those that are missing. One that is there is never written again: whoever changes the
//! format gives it a new version, and a new file.

use std::path::PathBuf;

use llmcl_codecs::Dtype;
use llmcl_container::Form;

use crate::common::{
    Content, Files, restore, safetensors, scaled_matrix, small_tensors, with_header, write,
};

/// Files of tensors with and without scales, unsound ones, others, and nothing.
fn files() -> Files {
    let mut tensors = small_tensors();
    tensors.push(scaled_matrix("scaled", Dtype::Bf16, 48, 40));
    tensors.push(Content::Weights.tensor("even", Dtype::F16, &[500]));
    tensors.push(Content::Zeros.tensor("zeros", Dtype::F32, &[40, 40]));
    vec![
        ("config.json".to_owned(), b"{\"layers\": 2}\n".to_vec()),
        ("empty".to_owned(), Vec::new()),
        ("model.safetensors".to_owned(), safetensors(&tensors)),
        (
            "nested/unsound.safetensors".to_owned(),
            with_header("{\"a\":", &[1, 2, 3]),
        ),
    ]
}

/// A file of quantised blocks of four types, and of floats, with a matrix at two precisions.
fn blocks() -> Files {
    let file = include_bytes!("../../../fixtures/qwen2.5-coder-q4_k_m.gguf");
    vec![("model.gguf".to_owned(), file.to_vec())]
}

#[test]
fn golden_containers_are_read_and_made_again() {
    for (name, method, form, files) in [
        ("1", "exponent_mantissa_scaled", Form::Folder, files()),
        ("2-fast", "by_type_fast", Form::File, blocks()),
        ("2-context", "by_type_context", Form::File, blocks()),
    ] {
        let (made, _) = write(method, form, &files);
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join(format!("tests/containers/golden/{name}.llmcl"));
        if !path.exists() && std::env::var_os("LLMCL_UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &made).unwrap();
        }
        let golden = std::fs::read(&path).unwrap();
        assert!(restore(&golden).unwrap() == files, "version {name}");
        assert!(made == golden, "other bytes than version {name} made");
    }
}
