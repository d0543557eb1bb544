//! Learns a profile: `train METHOD PROFILE FILE…` learns from all tensors of the files, which are safetensors,
//! CTranslate2 or GGUF files, and writes PROFILE.

#![expect(clippy::print_stdout, reason = "an example prints what it has done")]

use std::error::Error;

use llmcl_codecs::TensorView;
use llmcl_codecs::formats::{self, Format, ctranslate2, gguf, safetensors};
use llmcl_codecs::method::family_of;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [method, profile, paths @ ..] = arguments.as_slice() else {
        return Err("usage: train METHOD PROFILE FILE…".into());
    };
    let files = paths
        .iter()
        .map(std::fs::read)
        .collect::<Result<Vec<_>, _>>()?;
    let mut entries = Vec::new();
    for file in &files {
        entries.push(match formats::detect(file) {
            Some(Format::Safetensors) => safetensors::read(file)?.tensors,
            Some(Format::Ctranslate2) => ctranslate2::read(file)?.tensors,
            Some(Format::Gguf) => gguf::read(file)?.entries(),
            None => return Err("a file is of no format that is read".into()),
        });
    }
    let views: Vec<TensorView<'_>> = files
        .iter()
        .zip(&entries)
        .flat_map(|(file, entries)| entries.iter().filter_map(|entry| entry.view(file)))
        .collect();
    let family = family_of(method).ok_or("there is no such method")?;
    let learnt = family.train(method, &views).ok_or("it learns nothing")??;
    std::fs::write(profile, &learnt)?;
    println!(
        "{profile}: {} bytes, of {} tensors",
        learnt.len(),
        views.len()
    );
    Ok(())
}
