//! What `fetch` says of a model before anything runs.

use std::collections::BTreeMap;

use llmcl_stages::kinds::fetch::KIND;
use llmcl_stages_api::kind::StageKind;
use llmcl_stages_api::param::{Param, ParamType};
use llmcl_stages_api::task::TaskErrorKind;
use serde_json::json;

use crate::support::{check, params, problems};

#[test]
fn a_model_that_is_not_pinned_passes_the_check_and_is_not_ready() {
    let model = json!({ "model": {
        "name": "gpt2", "pinned": false, "hf": { "repo": "openai-community/gpt2", "files": ["model.safetensors"] },
    } });
    assert!(problems(&check(&KIND, &model, &BTreeMap::new())).is_empty());
    let error = KIND.ready(&params(&model)).expect_err("not ready");
    assert_eq!(error.kind, TaskErrorKind::Outside);
    assert_eq!(
        error.message,
        "`gpt2` is not pinned: its corpus file gives no SHA-256 to hold its files against"
    );
    let hint = error.hint.unwrap();
    assert!(
        hint.contains("`openai-community/gpt2`") && hint.contains("[[model.file]]"),
        "{hint}"
    );
}

#[test]
fn mistakes_are_placed() {
    let model = json!({ "model": { "name": "m", "file": [
        { "name": "a", "bytes": 1, "sha256": "ab", "https": "https://host.example/a" },
    ] } });
    assert_eq!(
        problems(&check(&KIND, &model, &BTreeMap::new())),
        [
            "model.file.0.sha256: `ab` is no SHA-256 of 64 hexadecimal digits in lower case (of the model `m`)"
        ]
    );
}

#[test]
fn the_file_port_is_declared() {
    let model = json!({ "model": { "file": [
        { "name": "a", "bytes": 1, "sha256": "ab".repeat(32), "https": "https://host.example/a" },
    ] } });
    let result = check(&KIND, &model, &BTreeMap::new());
    assert!(problems(&result).is_empty());
    assert_eq!(result.outputs.len(), 1);
    assert!(KIND.ready(&params(&model)).is_ok());
}

#[test]
fn only_what_decides_over_the_files_is_in_the_key() {
    fn in_key(prefix: &str, fields: &[Param], found: &mut Vec<String>) {
        for field in fields.iter().filter(|field| field.in_key) {
            let name = format!("{prefix}{}", field.name);
            let mut ty = &field.ty;
            while let ParamType::List(element) = ty {
                ty = element;
            }
            match ty {
                ParamType::Record(inner) => in_key(&format!("{name}."), inner, found),
                _ => found.push(name),
            }
        }
    }
    let mut found = Vec::new();
    in_key("", KIND.params(), &mut found);
    assert_eq!(
        found,
        ["model.file.name", "model.file.bytes", "model.file.sha256"]
    );
}
