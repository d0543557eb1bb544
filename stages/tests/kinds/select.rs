//! `select`: which tensors are found, and what is said of them.

use std::collections::BTreeMap;

use llmcl_stages::kinds::select::KIND;
use llmcl_stages_api::artifact::{Artifact, ArtifactFile};
use llmcl_stages_api::kind::StageKind;
use llmcl_stages_api::param::{Presence, Scalar};
use llmcl_stages_api::task::{Host, TaskErrorKind};
use llmcl_stages_api::value::Type;
use serde_json::json;

use crate::support::host::TestHost;
use crate::support::tables::{axis, check_over, told};
use crate::support::weights::{Weight, ctranslate2, read_set, read_weights, safetensors, selected};

const WEIGHTS: &[Weight<'_>] = &[
    ("model.embed_tokens.weight", "BF16", &[4, 2], &[1; 16]),
    (
        "model.layers.0.self_attn.q_proj.weight",
        "F32",
        &[2, 2],
        &[2; 16],
    ),
    ("model.layers.1.mlp.down_proj.weight", "F32", &[3], &[3; 12]),
    ("model.norm.weight", "F32", &[], &[4; 4]),
    ("steps", "I64", &[1], &[5; 8]),
];

fn names(host: &TestHost, file: &Artifact, condition: &str) -> Vec<String> {
    let set = read_set(host, &selected(host, file, condition).unwrap());
    set.tensors.into_iter().map(|tensor| tensor.name).collect()
}

fn message(host: &TestHost, file: &Artifact, condition: &str) -> String {
    let error = selected(host, file, condition).unwrap_err();
    assert_eq!(error.kind, TaskErrorKind::Input);
    error.message
}

fn folder(host: &TestHost, files: &[(&str, &[u8])]) -> Artifact {
    let files = files.iter().map(|(name, content)| ArtifactFile {
        name: (*name).to_owned(),
        blob: host.put(content).unwrap(),
    });
    Artifact::new(files.collect(), Vec::new())
}

#[test]
fn every_column_can_be_asked_for() {
    let host = TestHost::new();
    let file = host.store("model.safetensors", &safetensors(WEIGHTS));
    let embed = "model.embed_tokens.weight";
    let (q, down) = (WEIGHTS[1].0, WEIGHTS[2].0);
    let (norm, steps) = ("model.norm.weight", "steps");
    for (condition, expected) in [
        ("true", vec![embed, q, down, norm, steps]),
        ("name == 'steps'", vec![steps]),
        ("dtype in ['BF16', 'I64']", vec![embed, steps]),
        ("shape == [2, 2]", vec![q]),
        ("rank == 0", vec![norm]),
        ("numel == 1", vec![norm, steps]),
        ("bytes < 12", vec![norm, steps]),
        ("category == 'norm'", vec![norm]),
        ("part == 'down'", vec![down]),
        ("!has(part)", vec![embed, norm, steps]),
        ("layer >= 0", vec![q, down]),
        ("layer == -1", vec![embed, norm, steps]),
        (
            "rank == 2 && layer >= 0 && category in ['attention', 'mlp']",
            vec![q],
        ),
        ("file == 'model.safetensors' && layer == 1", vec![down]),
    ] {
        assert_eq!(names(&host, &file, condition), expected, "{condition}");
    }
}

#[test]
fn a_set_points_into_the_file_and_copies_nothing() {
    let host = TestHost::new();
    let file = host.store("model.safetensors", &safetensors(WEIGHTS));
    let before = host.blobs();
    let set = selected(&host, &file, "dtype == 'F32'").unwrap();
    assert_eq!(host.blobs(), before + 1, "the set itself and no weights");
    assert_eq!(set.referents(), [file.files()[0].blob]);
    let weights = read_weights(&host, &set);
    let bytes: Vec<&[u8]> = weights.iter().map(|(_, bytes)| bytes.as_slice()).collect();
    assert_eq!(bytes, [&[2; 16][..], &[3; 12], &[4; 4]]);
    let tensors = read_set(&host, &set).tensors;
    assert_eq!(tensors[0].category, "attention");
    assert_eq!(tensors[0].part.as_deref(), Some("q"));
    assert_eq!((tensors[0].layer, tensors[2].layer), (Some(0), None));
    assert_eq!(tensors[2].shape, [0u64; 0]);
    assert_eq!(host.progress_told().last(), Some(&(32, Some(32))));
}

#[test]
fn ctranslate2_is_known_by_its_content() {
    let host = TestHost::new();
    let weights: &[Weight<'_>] = &[
        (
            "encoder/layer_3/ffn/linear_0/weight",
            "F16",
            &[2, 2],
            &[7; 8],
        ),
        ("decoder/num_heads", "I16", &[], &[6, 0]),
    ];
    let model = ctranslate2(weights);
    let file = folder(&host, &[("config.json", b"{}"), ("model.bin", &model)]);
    assert_eq!(
        names(&host, &file, "dtype == 'F16' && layer == 3"),
        [weights[0].0]
    );
    let set = selected(&host, &file, "true").unwrap();
    assert_eq!(read_weights(&host, &set)[1].1, [6, 0]);
}

#[test]
fn shards_are_found_through_their_index() {
    let host = TestHost::new();
    let (one, two) = (safetensors(&WEIGHTS[3..]), safetensors(&WEIGHTS[..2]));
    let map: BTreeMap<&str, &str> = WEIGHTS
        .iter()
        .enumerate()
        .filter(|(index, _)| *index != 2)
        .map(|(index, weight)| {
            let shard = if index < 2 {
                "b.safetensors"
            } else {
                "a.safetensors"
            };
            (weight.0, shard)
        })
        .collect();
    let index = json!({ "metadata": {}, "weight_map": map }).to_string();
    let index = ("model.safetensors.index.json", index.as_bytes());
    let stray = safetensors(&WEIGHTS[2..3]);
    let all = [
        ("a.safetensors", &one[..]),
        ("b.safetensors", &two),
        index,
        ("stray.safetensors", &stray),
    ];
    let file = folder(&host, &all);
    assert_eq!(
        names(&host, &file, "true"),
        [WEIGHTS[3].0, WEIGHTS[4].0, WEIGHTS[0].0, WEIGHTS[1].0],
        "the shards in order, and nothing that the index does not name"
    );
    assert_eq!(names(&host, &file, "file == 'b.safetensors'").len(), 2);
    let set = selected(&host, &file, "true").unwrap();
    assert_eq!(set.referents().len(), 2);
    assert_eq!(read_weights(&host, &set)[2].1, [1; 16]);

    let lacking = folder(&host, &[all[0], index]);
    let told = message(&host, &lacking, "true");
    assert!(told.contains("`b.safetensors` is missing"), "{told}");
}

#[test]
fn finding_nothing_is_an_error_that_says_what_there_is() {
    let host = TestHost::new();
    let file = host.store("model.safetensors", &safetensors(WEIGHTS));
    assert_eq!(
        message(&host, &file, "dtype == 'F16'"),
        "no tensor fits `dtype == 'F16'`; there are 1 of BF16, 3 of F32, 1 of I64"
    );
    let empty = host.store("model.safetensors", &safetensors(&[]));
    assert_eq!(message(&host, &empty, "true"), "the files hold no tensor");
}

#[test]
fn files_that_are_no_models_are_told() {
    let host = TestHost::new();
    let file = host.store("model.gguf", b"GGUF\x03\0\0\0");
    let told = message(&host, &file, "true");
    assert_eq!(
        told,
        "model.gguf: number of tensors at byte 8 takes 8 bytes, 0 are left"
    );
    let file = folder(&host, &[("README.md", b"#"), ("config.json", b"{}")]);
    let told = message(&host, &file, "true");
    assert!(told.ends_with("README.md, config.json"), "{told}");
    let mut cut = safetensors(WEIGHTS);
    cut.pop();
    let file = host.store("model.safetensors", &cut);
    let told = message(&host, &file, "true");
    assert!(told.starts_with("model.safetensors: "), "{told}");
}

#[test]
fn a_name_in_two_files_must_be_told_apart() {
    let host = TestHost::new();
    let (one, two) = (safetensors(&WEIGHTS[..2]), safetensors(&WEIGHTS[1..]));
    let file = folder(&host, &[("a.safetensors", &one), ("b.safetensors", &two)]);
    let told = message(&host, &file, "true");
    assert!(
        told.contains(WEIGHTS[1].0) && told.contains("`b.safetensors`"),
        "{told}"
    );
    assert_eq!(names(&host, &file, "file == 'b.safetensors'").len(), 4);
}

#[test]
fn a_stopped_task_stops() {
    let host = TestHost::new();
    let file = host.store("model.safetensors", &safetensors(WEIGHTS));
    host.stop();
    let error = selected(&host, &file, "true").unwrap_err();
    assert_eq!(error.kind, TaskErrorKind::Cancelled);
}

#[test]
fn conditions_are_checked_before_anything_runs() {
    let axes = [("content", axis("content", &[("name", Type::Text)]))];
    let told = |condition: &str| {
        told(&check_over(
            &KIND,
            &axes,
            &[],
            &json!({ "tensors": condition }),
        ))
    };
    assert_eq!(told("dtype == content.name && layer >= 0"), [""; 0]);
    let misspelt = told("dtpye == 'F32'");
    assert!(
        misspelt[0].starts_with("tensors[0..5]: ") && misspelt[0].contains("dtype"),
        "{misspelt:?}"
    );
    assert_eq!(told("numel").len(), 1, "no condition");
    assert_eq!(told("median(numel) > 3").len(), 1, "no aggregates");
}

#[test]
fn the_default_is_every_tensor() {
    let [param] = KIND.params() else {
        panic!("one parameter");
    };
    assert_eq!(param.presence, Presence::Default(Scalar::Text("true")));
}
