//! Times methods on the tensors of a safetensors file, one thread, from memory to memory, for `benches/peers`.
//!
//! ```text
//! cargo run --release -p llmcl-codecs --example times -- FILE REPETITIONS METHOD...
//! ```
//!
//! All tensors that a method takes are one unit. Each method gets one run that is not timed, then the repetitions, and
//! prints a line of JSON: `bytes` of the tensors, `stored` (the rest of the file, header and other tensors, which a
//! file needs as it is), `encoded` bytes, the `encode_seconds` and `decode_seconds` of each repetition, and
//! `differs_at`, the first offset at which a decoded unit is not the original, or null.
//!
//! Every call gets an output of its own that no call has touched before, as the calls of other libraries do that return
//! one: a buffer that is used again is faster.

#![expect(clippy::print_stdout, reason = "printing figures is what it is for")]

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Instant;

use llmcl_codecs::formats::safetensors;
use llmcl_codecs::{Method, TensorView, resolve};
use serde_json::json;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, repetitions, names @ ..] = arguments.as_slice() else {
        return Err("usage: times FILE REPETITIONS METHOD...".into());
    };
    let repetitions: usize = repetitions.parse()?;
    let file = std::fs::read(path)?;
    let entries = safetensors::read(&file)?.tensors;
    let mut views = Vec::new();
    for entry in &entries {
        views.push(entry.view(&file).ok_or("a tensor outside of the file")?);
    }
    for name in names {
        let method = resolve(name, &BTreeMap::new())?;
        let taken: Vec<TensorView<'_>> = views
            .iter()
            .filter(|view| method.takes(view.dtype))
            .copied()
            .collect();
        time(&*method, &taken, file.len(), repetitions)?;
    }
    Ok(())
}

/// Times one method and prints its line.
fn time(
    method: &dyn Method,
    tensors: &[TensorView<'_>],
    file_bytes: usize,
    repetitions: usize,
) -> Result<(), Box<dyn Error>> {
    let bytes: usize = tensors.iter().map(|tensor| tensor.data.len()).sum();
    let (mut encoded_bytes, mut differs_at) = (0, None);
    let (mut encode_seconds, mut decode_seconds) = (Vec::new(), Vec::new());
    for repetition in 0..=repetitions {
        let start = Instant::now();
        let mut encoded = Vec::new();
        method.encode(tensors, None, &mut encoded)?;
        let encoding = start.elapsed().as_secs_f64();

        let start = Instant::now();
        let mut decoded = Vec::with_capacity(bytes);
        method.decode(&encoded, None, &mut decoded)?;
        let decoding = start.elapsed().as_secs_f64();

        encoded_bytes = encoded.len();
        differs_at = differs_at.or_else(|| first_difference(tensors, &decoded));
        if repetition > 0 {
            encode_seconds.push(encoding);
            decode_seconds.push(decoding);
        }
    }
    println!(
        "{}",
        json!({
            "method": method.name(),
            "bytes": bytes,
            "stored": file_bytes - bytes,
            "encoded": encoded_bytes,
            "encode_seconds": encode_seconds,
            "decode_seconds": decode_seconds,
            "differs_at": differs_at,
        })
    );
    Ok(())
}

/// The first offset at which `decoded` is not the tensors' data, one after the other; where one of the two is shorter,
/// its end.
fn first_difference(tensors: &[TensorView<'_>], decoded: &[u8]) -> Option<usize> {
    let mut at = 0;
    for tensor in tensors {
        let there = decoded.get(at..).unwrap_or_default();
        let there = there.get(..tensor.data.len()).unwrap_or(there);
        if there != tensor.data {
            let same = tensor.data.iter().zip(there).take_while(|(a, b)| a == b);
            return Some(at + same.count());
        }
        at += tensor.data.len();
    }
    (decoded.len() > at).then_some(at)
}
