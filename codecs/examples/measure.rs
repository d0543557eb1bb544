//! Ratio and speed of methods on a model file, its floats cast to bf16.
//!
//! ```text
//! cargo run --release -p llmcl-codecs --example measure -- FILE [METHOD]...
//! ```
//!
//! Each tensor of F32, F16 or BF16 is cast to BF16; all of them are one unit. Every method's output is decoded and
//! compared. Speeds are of original bytes (MB are 10^6 bytes), in one thread, from memory to memory, the best of the
//! repetitions that fit two seconds.

#![expect(clippy::print_stdout, reason = "printing figures is what it is for")]

use std::collections::BTreeMap;
use std::error::Error;
use std::time::{Duration, Instant};

use llmcl_codecs::cast::Cast;
use llmcl_codecs::entropy::{FloatEntropy, FloatLayout};
use llmcl_codecs::formats::{Format, TensorEntry, ctranslate2, detect, gguf, safetensors};
use llmcl_codecs::methods::FAMILIES;
use llmcl_codecs::{Dtype, Method, TensorView, resolve};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: measure FILE [METHOD]...")?;
    let mut names: Vec<String> = arguments.collect();
    if names.is_empty() {
        names = ["exponent_static", "zstd_3", "byte_split_zstd_3"]
            .map(str::to_owned)
            .to_vec();
    }
    let file = std::fs::read(&path)?;
    let entries = match detect(&file) {
        Some(Format::Safetensors) => safetensors::read(&file)?.tensors,
        Some(Format::Ctranslate2) => ctranslate2::read(&file)?.tensors,
        Some(Format::Gguf) => gguf::read(&file)?.entries(),
        None => return Err("a file of no format that is read".into()),
    };
    let unit = cast_all(&file, &entries)?;
    let tensors: Vec<TensorView<'_>> = unit
        .iter()
        .map(|(entry, data)| TensorView {
            name: &entry.name,
            dtype: Dtype::Bf16,
            shape: &entry.shape,
            data,
        })
        .collect();
    let bytes: usize = unit.iter().map(|(_, data)| data.len()).sum();
    println!("{path}: {} tensors, {bytes} bytes as bf16", unit.len());
    print_entropies(&tensors)?;
    println!("{} families: {}", FAMILIES.len(), patterns().join(", "));
    println!("method ratio payload tables container encode_MB/s decode_MB/s");
    for name in names {
        measure(&*resolve(&name, &BTreeMap::new())?, &tensors, bytes)?;
    }
    Ok(())
}

fn patterns() -> Vec<&'static str> {
    FAMILIES.iter().map(|family| family.pattern()).collect()
}

/// A tensor and its data, cast.
type CastTensor<'a> = (&'a TensorEntry, Vec<u8>);

fn cast_all<'a>(
    file: &[u8],
    entries: &'a [TensorEntry],
) -> Result<Vec<CastTensor<'a>>, Box<dyn Error>> {
    let mut unit = Vec::new();
    for entry in entries {
        let data = entry.view(file).ok_or("a tensor outside of the file")?.data;
        let mut cast = Vec::new();
        match Cast::between(entry.dtype, Dtype::Bf16) {
            Some(rounding) => rounding.write(data, &mut cast)?,
            None if entry.dtype == Dtype::Bf16 => cast.extend(data),
            None => continue,
        }
        unit.push((entry, cast));
    }
    Ok(unit)
}

/// Byte-weighted means of the tensors' own figures, as ratios.
fn print_entropies(tensors: &[TensorView<'_>]) -> Result<(), Box<dyn Error>> {
    let (mut raw, mut bytewise, mut split, mut learnt, mut joint) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for tensor in tensors.iter().filter(|tensor| !tensor.data.is_empty()) {
        let found = FloatEntropy::measure(FloatLayout::Bf16, tensor.data)?;
        let weights = found.weights as f64;
        raw += 16.0 * weights;
        bytewise += weights * (found.h_high + found.h_low);
        split += weights * (8.0 + found.h_exponent);
        learnt += weights * (8.0 + found.cl_exponent);
        joint += weights * found.cl_joint;
    }
    println!(
        "bytewise bound, plug-in by tensor        {:.4}",
        raw / bytewise
    );
    println!(
        "whole exponent, plug-in by tensor        {:.4}",
        raw / split
    );
    println!(
        "whole exponent, learnt by tensor         {:.4}",
        raw / learnt
    );
    println!(
        "whole word, learnt by tensor             {:.4}",
        raw / joint
    );
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
