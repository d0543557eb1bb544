//! `select`: which tensors are found, and what is said of them.

use std::collections::{BTreeMap, BTreeSet};

use llmcl_stages::kinds::select::KIND;
use llmcl_stages_api::artifact::{Artifact, ArtifactFile};
use llmcl_stages_api::kind::StageKind;
use llmcl_stages_api::param::{Presence, Scalar};
use llmcl_stages_api::task::{Host, TaskErrorKind};
use llmcl_stages_api::value::Type;
use serde_json::json;

use crate::support::host::TestHost;
use crate::support::tables::{axis, check_over, told};
use crate::support::weights::{
    Weight, ctranslate2, gguf, read_set, read_weights, safetensors, selected,
};

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

const BLOCKS: &[Weight<'_>] = &[
    ("output.weight", "Q8_0", &[2, 64], &[1; 4 * 34]),
    ("token_embd.weight", "Q5_0", &[2, 64], &[2; 4 * 22]),
    ("blk.3.ffn_down.weight", "Q4_K", &[3, 512], &[3; 6 * 144]),
    ("blk.3.attn_norm.weight", "F32", &[5], &[4; 20]),
];

#[test]
fn gguf_files_have_types_of_blocks() {
    let host = TestHost::new();
    let file = host.store("model.gguf", &gguf(&[], BLOCKS));
    let [output, embd, down, norm] = BLOCKS else {
        panic!("four tensors");
    };
    for (condition, expected) in [
        ("true", vec![output.0, embd.0, down.0, norm.0]),
        ("dtype == 'Q4_K'", vec![down.0]),
        ("dtype in ['Q8_0', 'F32']", vec![output.0, norm.0]),
        ("category == 'head'", vec![output.0]),
        ("category == 'embedding'", vec![embd.0]),
        ("part == 'down' && layer == 3", vec![down.0]),
        ("shape == [3, 512]", vec![down.0]),
        ("numel == 128", vec![output.0, embd.0]),
        ("bytes == 864", vec![down.0]),
        ("rank == 1", vec![norm.0]),
    ] {
        assert_eq!(names(&host, &file, condition), expected, "{condition}");
    }
    let set = selected(&host, &file, "true").unwrap();
    assert_eq!(set.referents(), [file.files()[0].blob]);
    for (read, written) in read_weights(&host, &set).iter().zip(BLOCKS) {
        assert_eq!((read.0.as_str(), read.1.as_slice()), (written.0, written.3));
    }
    assert_eq!(
        message(&host, &file, "dtype == 'Q6_K'"),
        "no tensor fits `dtype == 'Q6_K'`; there are 1 of F32, 1 of Q4_K, 1 of Q5_0, 1 of Q8_0"
    );
}

#[test]
fn a_type_that_is_not_known_is_plain_bytes() {
    let host = TestHost::new();
    let file = gguf(&[], &[("odd", "Q99", &[7, 9], &[5; 40]), BLOCKS[3]]);
    let file = host.store("model.gguf", &file);
    let set = selected(&host, &file, "dtype == 'U8'").unwrap();
    let tensors = read_set(&host, &set).tensors;
    assert_eq!(tensors[0].shape, [64], "up to the next tensor");
    assert_eq!(read_weights(&host, &set)[0].1[..40], [5; 40]);
}

#[test]
fn a_gguf_model_may_be_in_several_files() {
    let host = TestHost::new();
    let part = |number, weights| gguf(&[("split.no", number), ("split.count", 2)], weights);
    let (one, two) = (part(0, &BLOCKS[..2]), part(1, &BLOCKS[2..]));
    let all = [
        ("m-00001-of-00002.gguf", &one[..]),
        ("m-00002-of-00002.gguf", &two),
    ];
    let file = folder(&host, &all);
    assert_eq!(
        names(&host, &file, "true"),
        BLOCKS.iter().map(|weight| weight.0).collect::<Vec<_>>()
    );
    assert_eq!(
        names(&host, &file, "file == 'm-00002-of-00002.gguf'").len(),
        2
    );
    let told = message(&host, &folder(&host, &all[1..]), "true");
    assert_eq!(told, "`m-00001-of-00002.gguf` is missing");
    let renamed = folder(&host, &[all[0], ("b.gguf", &two)]);
    let told = message(&host, &renamed, "true");
    assert!(
        told.starts_with("`b.gguf` is file 2 of 2 and must have"),
        "{told}"
    );
}

#[test]
fn the_gguf_fixture_holds_the_same_tokens_at_two_precisions() {
    let host = TestHost::new();
    let content = include_bytes!("../../../fixtures/qwen2.5-coder-q4_k_m.gguf");
    let file = host.store("qwen.gguf", content);
    let set = read_set(&host, &selected(&host, &file, "true").unwrap());
    let dtypes: BTreeSet<&str> = set.tensors.iter().map(|t| t.dtype.as_str()).collect();
    assert!(
        dtypes
            .into_iter()
            .eq(["F32", "Q4_K", "Q5_0", "Q6_K", "Q8_0"])
    );
    let shape = |name: &str| {
        let tensor = set.tensors.iter().find(|tensor| tensor.name == name);
        tensor.unwrap().shape.clone()
    };
    assert_eq!(shape("output.weight"), [128, 896]);
    assert_eq!(shape("token_embd.weight"), [128, 896]);

    // Both are near one another where they are dequantised: q8 · scale, and (q5 − 16) · scale.
    let weights = read_weights(
        &host,
        &selected(&host, &file, "shape == [128, 896]").unwrap(),
    );
    let half = |bytes: &[u8]| {
        let bits = u16::from_le_bytes([bytes[0], bytes[1]]);
        let (sign, exponent) = (bits >> 15, i32::from(bits >> 10 & 31));
        let fraction = f64::from(bits & 1023) / 1024.0;
        let size = match exponent {
            0 => fraction * 2f64.powi(-14),
            _ => (1.0 + fraction) * 2f64.powi(exponent - 15),
        };
        if sign == 1 { -size } else { size }
    };
    let output = weights[0].1.chunks_exact(34).flat_map(|block| {
        let scale = half(block);
        let values = block[2..].iter().map(move |q| f64::from(*q as i8) * scale);
        values.collect::<Vec<f64>>()
    });
    let embd = weights[1].1.chunks_exact(22).flat_map(|block| {
        let scale = half(block);
        let high = u32::from_le_bytes([block[2], block[3], block[4], block[5]]);
        let value = |at: usize| {
            let low = block[6 + at % 16] >> (4 * (at / 16)) & 15;
            let number = i32::from(low) | (((high >> at & 1) as i32) << 4);
            f64::from(number - 16) * scale
        };
        (0..32).map(value).collect::<Vec<f64>>()
    });
    let (mut apart, mut power) = (0.0, 0.0);
    for (output, embd) in output.zip(embd) {
        apart += (output - embd).powi(2);
        power += output.powi(2);
    }
    assert!(apart < 0.01 * power, "{apart} of {power}");
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
