//! Ratio and speed of methods on the tensors of a GGUF file, type by type.
//!
//! ```text
//! cargo run --release -p llmcl-codecs --example measure_gguf -- FILE [METHOD]...
//! ```
//!
//! All tensors of a type are one unit for every method that takes it; the file as bytes is one more. Every output is
//! decoded and compared. Speeds are of original bytes (MB are 10^6 bytes), in one thread, from memory to memory, the best
//! of the repetitions that fit two seconds.

#![expect(clippy::print_stdout, reason = "printing figures is what it is for")]

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::time::{Duration, Instant};

use llmcl_codecs::formats::gguf;
use llmcl_codecs::{Dtype, Method, TensorView, resolve};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments
        .next()
        .ok_or("usage: measure_gguf FILE [METHOD]...")?;
    let names: Vec<String> = arguments.collect();
    let file = std::fs::read(&path)?;
    let entries = gguf::read(&file)?.entries();
    let types: BTreeSet<Dtype> = entries.iter().map(|entry| entry.dtype).collect();
    println!("type method ratio payload tables container encode_MB/s decode_MB/s");
    for dtype in types {
        let of_type = entries.iter().filter(|entry| entry.dtype == dtype);
        let views: Option<Vec<TensorView<'_>>> = of_type.map(|entry| entry.view(&file)).collect();
        let views = views.ok_or("a tensor outside of the file")?;
        each(&names, dtype, &views)?;
    }
    let whole = TensorView {
        name: &path,
        dtype: Dtype::U8,
        shape: &[file.len() as u64],
        data: &file,
    };
    each(&names, Dtype::U8, &[whole])
}

fn each(names: &[String], dtype: Dtype, tensors: &[TensorView<'_>]) -> Result<(), Box<dyn Error>> {
    let bytes = tensors.iter().map(|tensor| tensor.data.len()).sum();
    for name in names {
        let method = resolve(name, &BTreeMap::new())?;
        if method.takes(dtype) {
            print!("{dtype} ");
            measure(&*method, tensors, bytes)?;
        }
    }
    Ok(())
}

fn measure(
    method: &dyn Method,
    tensors: &[TensorView<'_>],
    bytes: usize,
) -> Result<(), Box<dyn Error>> {
    let mut encoded = Vec::new();
    let mut accounting = Default::default();
    let encoding = best(|| {
        encoded.clear();
        accounting = method.encode(tensors, None, &mut encoded)?;
        Ok(())
    })?;
    let mut decoded = Vec::with_capacity(bytes);
    let decoding = best(|| {
        decoded.clear();
        Ok(method.decode(&encoded, None, &mut decoded)?)
    })?;
    let original = tensors.iter().flat_map(|tensor| tensor.data);
    if !original.eq(&decoded) {
        return Err(format!("{} lost a bit", method.name()).into());
    }
    let speed = |time: Duration| bytes as f64 / 1e6 / time.as_secs_f64();
    println!(
        "{} {:.4} {} {} {} {:.0} {:.0}",
        method.name(),
        bytes as f64 / encoded.len() as f64,
        accounting.payload,
        accounting.tables,
        accounting.container,
        speed(encoding),
        speed(decoding),
    );
    Ok(())
}

/// The shortest time of as many runs as fit two seconds, one at least.
fn best(mut run: impl FnMut() -> Result<(), Box<dyn Error>>) -> Result<Duration, Box<dyn Error>> {
    let begin = Instant::now();
    let mut best = Duration::MAX;
    while best == Duration::MAX || begin.elapsed() < Duration::from_secs(2) {
        let start = Instant::now();
        run()?;
        best = best.min(start.elapsed());
    }
    Ok(best)
}
