//! Ratio and speed of methods on a model file.
//!
//! ```text
//! cargo run --release -p llmcl-codecs --example measure -- FILE[:TYPE] [METHOD[=PROFILE]]...
//! ```
//!
//! Each tensor of F32, F16 or BF16 is cast to BF16; all of them are one unit. Of a GGUF file, the tensors of each type, or
//! of the one that is named, are a unit as they are; without a name the whole file as bytes is one more, for the methods
//! that take it. What methods say of their streams is printed. Every method's output is decoded and compared. The median
//! is that of the ratios of tensors by themselves. Speeds are of original bytes (MB are 10^6 bytes), in one thread, from
//! memory to memory, the best of the repetitions that fit two seconds.

#![expect(clippy::print_stdout, reason = "printing figures is what it is for")]

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::time::{Duration, Instant};

use llmcl_codecs::cast::Cast;
use llmcl_codecs::entropy::{FloatEntropy, FloatLayout};
use llmcl_codecs::formats::{Format, TensorEntry, ctranslate2, detect, gguf, safetensors};
use llmcl_codecs::methods::FAMILIES;
use llmcl_codecs::{Dtype, Method, StreamBytes, TensorView, resolve};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments
        .next()
        .ok_or("usage: measure FILE[:TYPE] [METHOD]...")?;
    let (path, only) = match path.split_once(':') {
        Some((path, only)) => (path, Some(only)),
        None => (path.as_str(), None),
    };
    let mut names: Vec<String> = arguments.collect();
    if names.is_empty() {
        names = ["exponent_static", "zstd_3", "byte_split_zstd_3"]
            .map(str::to_owned)
            .to_vec();
    }
    let file = std::fs::read(path)?;
    let format = detect(&file);
    let entries = match format {
        Some(Format::Safetensors) => safetensors::read(&file)?.tensors,
        Some(Format::Ctranslate2) => ctranslate2::read(&file)?.tensors,
        Some(Format::Gguf) => gguf::read(&file)?.entries(),
        None => return Err("a file of no format that is read".into()),
    };
    println!("{} families: {}", FAMILIES.len(), patterns().join(", "));
    println!("type method ratio median payload tables container encode_MB/s decode_MB/s");
    if format == Some(Format::Gguf) {
        return measure_gguf(&file, &entries, &names, only);
    }
    if only.is_some() {
        return Err("a type can be named for GGUF files only".into());
    }
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
    print_entropies(&tensors)?;
    measure_each(&names, Dtype::Bf16, &tensors)
}

/// The tensors of each type, and the file.
fn measure_gguf(
    file: &[u8],
    entries: &[TensorEntry],
    names: &[String],
    only: Option<&str>,
) -> Result<(), Box<dyn Error>> {
    let types: BTreeSet<Dtype> = entries.iter().map(|entry| entry.dtype).collect();
    let only = match only {
        Some(name) => Some(named(name, &types)?),
        None => None,
    };
    for dtype in types
        .into_iter()
        .filter(|&dtype| only.is_none_or(|only| only == dtype))
    {
        let of_type = entries.iter().filter(|entry| entry.dtype == dtype);
        let views: Option<Vec<TensorView<'_>>> = of_type.map(|entry| entry.view(file)).collect();
        let views = views.ok_or("a tensor outside of the file")?;
        measure_each(names, dtype, &views)?;
    }
    if only.is_some() {
        return Ok(());
    }
    let whole = TensorView {
        name: "file",
        dtype: Dtype::U8,
        shape: &[file.len() as u64],
        data: file,
    };
    measure_each(names, Dtype::U8, &[whole])
}

/// The type of this name, of those that a file has.
fn named(name: &str, types: &BTreeSet<Dtype>) -> Result<Dtype, String> {
    let found = Dtype::from_name(name).filter(|dtype| types.contains(dtype));
    found.ok_or_else(|| format!("the file has no tensors of type {name:?}, it has {types:?}"))
}

/// The methods that take tensors of a type.
fn measure_each(
    names: &[String],
    dtype: Dtype,
    tensors: &[TensorView<'_>],
) -> Result<(), Box<dyn Error>> {
    for name in names {
        let (name, profile) = match name.split_once('=') {
            Some((name, path)) => (name, Some(std::fs::read(path)?)),
            None => (name.as_str(), None),
        };
        let method = resolve(name, &BTreeMap::new())?;
        if method.takes(dtype) {
            print!("{dtype} ");
            measure(&*method, profile.as_deref(), tensors)?;
        }
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
    profile: Option<&[u8]>,
    tensors: &[TensorView<'_>],
) -> Result<(), Box<dyn Error>> {
    let bytes: usize = tensors.iter().map(|tensor| tensor.data.len()).sum();
    let mut encoded = Vec::new();
    let mut accounting = Default::default();
    let encoding = best(|| {
        encoded.clear();
        accounting = method.encode(tensors, profile, &mut encoded)?;
        Ok(())
    })?;
    let mut decoded = Vec::with_capacity(bytes);
    let decoding = best(|| {
        decoded.clear();
        Ok(method.decode(&encoded, profile, &mut decoded)?)
    })?;
    let original = tensors.iter().flat_map(|tensor| tensor.data);
    if !original.eq(&decoded) {
        return Err(format!("{} lost a bit", method.name()).into());
    }
    let mut ratios = vec![bytes as f64 / encoded.len() as f64];
    if tensors.len() > 1 {
        ratios.clear();
        let mut out = Vec::new();
        for tensor in tensors.iter().filter(|tensor| !tensor.data.is_empty()) {
            out.clear();
            method.encode(&[*tensor], profile, &mut out)?;
            ratios.push(tensor.data.len() as f64 / out.len() as f64);
        }
        ratios.sort_by(f64::total_cmp);
    }
    let median = ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN);
    let speed = |time: Duration| bytes as f64 / 1e6 / time.as_secs_f64();
    println!(
        "{} {:.4} {median:.4} {} {} {} {:.1} {:.1}",
        method.name(),
        bytes as f64 / encoded.len() as f64,
        accounting.payload,
        accounting.tables,
        accounting.container,
        speed(encoding),
        speed(decoding),
    );
    for stream in method.streams(&encoded)? {
        let ratio = stream.bytes_in as f64 / stream.bytes_out as f64;
        let StreamBytes {
            name,
            bytes_in,
            bytes_out,
        } = stream;
        println!("  {name} {bytes_in} {bytes_out} {ratio:.4}");
    }
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
