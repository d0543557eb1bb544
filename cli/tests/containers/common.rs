//! What the tests of containers share: how commands are run, and what there is afterwards.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use llmcl_container::{Container, Segment};

use crate::support::Space;

pub(crate) const MINILM: &str = "fixtures/minilm-attention-bf16.safetensors";
pub(crate) const WHISPER: &str = "fixtures/whisper-tiny-attention-f16.safetensors";
pub(crate) const QWEN: &str = "fixtures/qwen2.5-coder-q4_k_m.gguf";
/// A tensor of each of them, in that order.
pub(crate) const KEY: &str = "encoder.layer.5.attention.self.key.weight";
pub(crate) const LINEAR: &str = "encoder/layer_0/self_attention/linear_0/weight";
pub(crate) const EMBD: &str = "token_embd.weight";

pub(crate) fn read(space: &Space, path: &str) -> Vec<u8> {
    fs::read(space.path(path)).unwrap()
}

pub(crate) fn exists(space: &Space, path: &str) -> bool {
    space.path(path).symlink_metadata().is_ok()
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs a command that must go well.
pub(crate) fn well(space: &Space, arguments: &[&str]) -> Output {
    let output = space.call(arguments);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{arguments:?}: {}",
        said(&output)
    );
    output
}

/// Runs a command that must end otherwise, and returns what it said.
pub(crate) fn refused(space: &Space, arguments: &[&str], code: i32) -> String {
    let output = space.call(arguments);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    assert!(output.stdout.is_empty());
    assert!(!said.contains("panicked"), "{said}");
    said
}

/// Every file below a folder, links followed, with its content.
pub(crate) fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_owned();
                files.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    files
}

/// What was begun and not ended, with the bytes that it has.
pub(crate) fn begun(space: &Space) -> Vec<(PathBuf, u64)> {
    let entries = fs::read_dir(space.path(".")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let hidden = paths.filter(|path| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(".llmcl-"))
    });
    let with_bytes = hidden.map(|path| {
        // All of it may have got another name meanwhile.
        let files = fs::read_dir(&path).into_iter().flatten().flatten();
        let within = files.filter_map(|file| Some(file.metadata().ok()?.len()));
        let bytes = match path.metadata() {
            Ok(metadata) if metadata.is_file() => metadata.len(),
            _ => within.sum(),
        };
        (path, bytes)
    });
    with_bytes.collect()
}

/// Flips a bit in the middle of a tensor of the only file of a container.
pub(crate) fn damage(space: &Space, container: &str, tensor: &str) {
    let mut bytes = read(space, container);
    let at = {
        let opened = Container::open(&bytes).unwrap();
        let (file, found) = opened.tensors(tensor).next().unwrap();
        let before = file.segments.iter().take_while(|one| *one != found);
        16 + before.map(Segment::encoded_bytes).sum::<u64>() + found.encoded_bytes() / 2
    };
    bytes[at as usize] ^= 8;
    fs::write(space.path(container), bytes).unwrap();
}

/// A safetensors file with a header of one's own.
pub(crate) fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
    let length = (header.len() as u64).to_le_bytes();
    [&length, header.as_bytes(), data].concat()
}
