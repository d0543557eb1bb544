//! Models made by hand, and tasks on them.

use std::collections::BTreeMap;

use llmcl_codecs::Dtype;
use llmcl_codecs::formats::gguf::number_of;
use llmcl_stages::kinds::{cast, select};
use llmcl_stages_api::artifact::Artifact;
use llmcl_stages_api::kind::StageKind;
use llmcl_stages_api::table::Table;
use llmcl_stages_api::task::{Host, Member, TaskError};
use llmcl_stages_api::tensors::{self, TensorSet};
use llmcl_stages_api::value::Value;
use serde_json::{Value as Json, json};

use super::host::TestHost;
use super::{member, run_with};

/// A tensor: name, dtype, shape, bytes.
pub(crate) type Weight<'a> = (&'a str, &'a str, &'a [u64], &'a [u8]);

/// A safetensors file.
pub(crate) fn safetensors(weights: &[Weight<'_>]) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    let mut data = Vec::new();
    for (name, dtype, shape, bytes) in weights {
        let begin = data.len();
        data.extend_from_slice(bytes);
        let entry = json!({ "dtype": dtype, "shape": shape, "data_offsets": [begin, data.len()] });
        header.insert((*name).to_owned(), entry);
    }
    let header = Json::Object(header).to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.extend_from_slice(&data);
    file
}

/// A CTranslate2 model of version 6.
pub(crate) fn ctranslate2(weights: &[Weight<'_>]) -> Vec<u8> {
    fn text(file: &mut Vec<u8>, text: &str) {
        file.extend_from_slice(&(text.len() as u16 + 1).to_le_bytes());
        file.extend_from_slice(text.as_bytes());
        file.push(0);
    }
    let mut file = 6u32.to_le_bytes().to_vec();
    text(&mut file, "WhisperSpec");
    file.extend_from_slice(&3u32.to_le_bytes());
    file.extend_from_slice(&(weights.len() as u32).to_le_bytes());
    for (name, dtype, shape, bytes) in weights {
        text(&mut file, name);
        file.push(shape.len() as u8);
        for dim in *shape {
            file.extend_from_slice(&(*dim as u32).to_le_bytes());
        }
        file.push(match *dtype {
            "F32" => 0,
            "I8" => 1,
            "I16" => 2,
            "I32" => 3,
            "F16" => 4,
            _ => 5,
        });
        file.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        file.extend_from_slice(bytes);
    }
    file.extend_from_slice(&0u32.to_le_bytes());
    file
}

/// A GGUF file of version 3, with numbers as metadata.
pub(crate) fn gguf(metadata: &[(&str, u32)], weights: &[Weight<'_>]) -> Vec<u8> {
    fn text(file: &mut Vec<u8>, text: &str) {
        file.extend_from_slice(&(text.len() as u64).to_le_bytes());
        file.extend_from_slice(text.as_bytes());
    }
    let mut file = b"GGUF\x03\0\0\0".to_vec();
    file.extend_from_slice(&(weights.len() as u64).to_le_bytes());
    file.extend_from_slice(&(metadata.len() as u64).to_le_bytes());
    for (key, number) in metadata {
        text(&mut file, key);
        file.extend_from_slice(&4u32.to_le_bytes());
        file.extend_from_slice(&number.to_le_bytes());
    }
    let mut data: Vec<u8> = Vec::new();
    for (name, dtype, shape, bytes) in weights {
        text(&mut file, name);
        file.extend_from_slice(&(shape.len() as u32).to_le_bytes());
        for dim in shape.iter().rev() {
            file.extend_from_slice(&dim.to_le_bytes());
        }
        // A number that no type has stands for one that is not known.
        let number = Dtype::from_name(dtype).and_then(number_of).unwrap_or(999);
        file.extend_from_slice(&number.to_le_bytes());
        file.extend_from_slice(&(data.len() as u64).to_le_bytes());
        data.extend_from_slice(bytes);
        data.resize(data.len().next_multiple_of(32), 0);
    }
    file.resize(file.len().next_multiple_of(32), 0);
    file.extend_from_slice(&data);
    file
}

/// Little-endian words.
pub(crate) fn words(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Little-endian words of 32 bits.
pub(crate) fn long_words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Bytes of `count` bf16 weights that look like a trained tensor's: a sum of uniform numbers, and so about normal.
pub(crate) fn bf16_weights(count: usize, seed: u32) -> Vec<u8> {
    let mut state = u64::from(seed).wrapping_mul(2_654_435_761) + 1;
    let mut uniform = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u32 << 24) as f32 - 0.5
    };
    (0..count)
        .flat_map(|_| {
            let sum: f32 = (0..6).map(|_| uniform()).sum();
            ((0.02 * sum).to_bits() >> 16).to_le_bytes()[..2].to_vec()
        })
        .collect()
}

/// Inputs of a task, each port with one artifact.
pub(crate) fn inputs(ports: &[(&str, &Artifact)]) -> BTreeMap<String, Vec<Member>> {
    ports
        .iter()
        .map(|(port, artifact)| ((*port).to_owned(), vec![member(&[], (*artifact).clone())]))
        .collect()
}

/// Runs a task and returns what came out of a port.
pub(crate) fn output(
    kind: &dyn StageKind,
    host: &TestHost,
    json: &Json,
    ports: &[(&str, &Artifact)],
    port: &str,
) -> Result<Artifact, TaskError> {
    let mut outputs = run_with(kind, host, json, &inputs(ports))?;
    Ok(outputs.remove(port).expect("an output at that port"))
}

/// Selects tensors.
pub(crate) fn selected(
    host: &TestHost,
    file: &Artifact,
    condition: &str,
) -> Result<Artifact, TaskError> {
    let json = json!({ "tensors": condition });
    output(&select::KIND, host, &json, &[("file", file)], "tensors")
}

/// All tensors of a safetensors file made of these.
pub(crate) fn set_of(host: &TestHost, weights: &[Weight<'_>]) -> Artifact {
    let file = host.store("model.safetensors", &safetensors(weights));
    selected(host, &file, "true").unwrap()
}

/// Casts tensors.
pub(crate) fn cast_to(host: &TestHost, set: &Artifact, dtype: &str) -> Result<Artifact, TaskError> {
    output(
        &cast::KIND,
        host,
        &json!({ "dtype": dtype }),
        &[("tensors", set)],
        "tensors",
    )
}

/// The tensor set in an artifact.
pub(crate) fn read_set(host: &TestHost, artifact: &Artifact) -> TensorSet {
    serde_json::from_slice(&host.read(artifact, tensors::FILE)).unwrap()
}

/// The bytes of each tensor, by its name. Their digests are held against them.
pub(crate) fn read_weights(host: &TestHost, artifact: &Artifact) -> Vec<(String, Vec<u8>)> {
    let set = read_set(host, artifact);
    let read = |tensor: &llmcl_stages_api::tensors::Tensor| {
        let blob = host.blob(tensor.blob).unwrap();
        let at = tensor.offset as usize;
        let bytes = blob.bytes()[at..at + tensor.bytes as usize].to_vec();
        assert_eq!(blake3::hash(&bytes), tensor.digest, "{}", tensor.name);
        assert!(
            artifact.referents().contains(&tensor.blob),
            "{}",
            tensor.name
        );
        (tensor.name.clone(), bytes)
    };
    set.tensors.iter().map(read).collect()
}

/// The table in an artifact.
pub(crate) fn read_table(host: &TestHost, artifact: &Artifact) -> Table {
    let [file] = artifact.files() else {
        panic!("one file, not {:?}", artifact.files());
    };
    Table::read(host.blob(file.blob).unwrap().bytes()).unwrap()
}

/// A cell by the name of its column.
pub(crate) fn cell<'t>(table: &'t Table, row: usize, column: &str) -> &'t Value {
    &table
        .column(column)
        .unwrap_or_else(|| panic!("no column {column}"))[row]
}

/// A whole number by the name of its column.
pub(crate) fn int(table: &Table, row: usize, column: &str) -> i64 {
    cell(table, row, column)
        .as_int()
        .unwrap_or_else(|| panic!("{column} is no whole number"))
}

/// A number by the name of its column.
pub(crate) fn number(table: &Table, row: usize, column: &str) -> f64 {
    cell(table, row, column)
        .as_number()
        .unwrap_or_else(|| panic!("{column} is no number"))
}
