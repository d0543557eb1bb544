//! What the tests of containers share: methods, files to try them on, and the way there and back.

use std::sync::LazyLock;
use std::sync::atomic::AtomicBool;

use llmcl_codecs::bytes::LimitedWriter;
use llmcl_codecs::chunked::{self, ChunkedMethod};
use llmcl_codecs::methods::FAMILIES;
use llmcl_codecs::{Dtype, TensorView, cast};
use llmcl_container::{Container, ContainerError, Form, Source, Summary, WriteError, compress};

/// Nobody asks for an end.
pub(crate) static NEVER: AtomicBool = AtomicBool::new(false);

/// The method that learns.
pub(crate) const PROFILED: &str = "exponent_mantissa_profiled";

/// What it learnt from weights.
pub(crate) static PROFILE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let data = Content::Weights.bytes(Dtype::Bf16, &[64, 1000]);
    let view = TensorView {
        name: "weights",
        dtype: Dtype::Bf16,
        shape: &[64, 1000],
        data: &data,
    };
    let mut families = FAMILIES.iter();
    let learnt = families.find_map(|family| family.train(PROFILED, &[view]));
    learnt.unwrap().unwrap()
});

/// A method, with the profile if it needs one.
pub(crate) fn method(name: &str) -> Box<dyn ChunkedMethod> {
    match chunked::resolve(name, None).unwrap() {
        Ok(method) => method,
        Err(_) => chunked::resolve(name, Some(&PROFILE)).unwrap().unwrap(),
    }
}

/// All methods that are not zstd's, and of those the first, one in between and the last.
pub(crate) fn methods() -> Vec<String> {
    let few = ["zstd_1", "zstd_3", "zstd_22"];
    let mut names = chunked::names();
    names.retain(|name| !name.starts_with("zstd_") || few.contains(&name.as_str()));
    assert!(names.len() > few.len());
    names
}

/// Files with their names.
pub(crate) type Files = Vec<(String, Vec<u8>)>;

/// A file by itself.
pub(crate) fn one(data: &[u8]) -> Files {
    vec![("model.safetensors".to_owned(), data.to_vec())]
}

/// Compresses files.
pub(crate) fn try_write(
    name: &str,
    form: Form,
    files: &[(String, Vec<u8>)],
    out: &mut dyn std::io::Write,
    stop: &AtomicBool,
) -> Result<Summary, WriteError> {
    let sources: Vec<Source<'_>> = files
        .iter()
        .map(|(name, data)| Source { name, data })
        .collect();
    compress(&sources, form, method(name), out, stop)
}

/// Compresses files, which must go well.
pub(crate) fn write(name: &str, form: Form, files: &[(String, Vec<u8>)]) -> (Vec<u8>, Summary) {
    let mut bytes = Vec::new();
    let summary = try_write(name, form, files, &mut bytes, &NEVER).unwrap();
    assert_eq!(summary.encoded, bytes.len() as u64);
    let all: usize = files.iter().map(|(_, data)| data.len()).sum();
    assert_eq!(summary.bytes, all as u64);
    (bytes, summary)
}

/// Opens a container; the profile is at hand.
pub(crate) fn open(bytes: &[u8]) -> Result<Container<'_>, ContainerError> {
    Container::open_with(bytes, &[PROFILE.as_slice()])
}

/// Restores every file of a container, but no more bytes of one than it says it has.
pub(crate) fn restore(bytes: &[u8]) -> Result<Files, ContainerError> {
    let container = open(bytes)?;
    let files = container.files().iter().map(|file| {
        let mut out = LimitedWriter::new(Vec::new(), file.bytes);
        container.restore(file, &mut out, &NEVER)?;
        Ok((file.name.clone(), out.into_inner()))
    });
    files.collect()
}

/// Compresses files, restores them and compares bytes.
pub(crate) fn round_trip(
    name: &str,
    form: Form,
    files: &[(String, Vec<u8>)],
) -> (Vec<u8>, Summary) {
    let (bytes, summary) = write(name, form, files);
    let restored = restore(&bytes).unwrap();
    // Without the bytes in the message, which may be many.
    assert!(restored == files, "{name} lost a bit");
    assert_eq!(open(&bytes).unwrap().form(), form);
    (bytes, summary)
}

/// An error with all that it comes from.
pub(crate) fn text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// Numbers that look random and are the same everywhere (SplitMix64).
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The bits of a float that is distributed as weights are: four uniform numbers less two, scaled.
    pub(crate) fn weight(&mut self) -> u32 {
        let sum: f64 = (0..4)
            .map(|_| (self.next() >> 11) as f64 / 2f64.powi(53))
            .sum();
        ((sum - 2.0) as f32 * 0.04).to_bits()
    }
}

/// What a tensor can hold.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Content {
    Zeros,
    Noise,
    Weights,
    Ramp,
}

impl Content {
    pub(crate) const ALL: [Content; 4] = [
        Content::Zeros,
        Content::Noise,
        Content::Weights,
        Content::Ramp,
    ];

    /// As many bytes of it as a tensor has.
    pub(crate) fn bytes(self, dtype: Dtype, shape: &[u64]) -> Vec<u8> {
        let bytes = dtype.bytes_for(shape).unwrap() as usize;
        let mut noise = Noise(bytes as u64);
        match (self, dtype) {
            (Content::Zeros, _) => vec![0; bytes],
            (Content::Noise, _) => (0..bytes).map(|_| noise.next() as u8).collect(),
            (Content::Weights, Dtype::F32) => (0..bytes / 4)
                .flat_map(|_| noise.weight().to_le_bytes())
                .collect(),
            (Content::Weights, Dtype::F16) => (0..bytes / 2)
                .flat_map(|_| cast::f32_to_f16(noise.weight()).to_le_bytes())
                .collect(),
            (Content::Weights, _) => (0..bytes.div_ceil(2))
                .flat_map(|_| cast::f32_to_bf16(noise.weight()).to_le_bytes())
                .take(bytes)
                .collect(),
            (Content::Ramp, _) => (0..bytes)
                .map(|place| ((place / 2) >> (8 * (place % 2))) as u8)
                .collect(),
        }
    }

    pub(crate) fn tensor(self, name: &str, dtype: Dtype, shape: &[u64]) -> Tensor {
        Tensor {
            name: name.to_owned(),
            dtype,
            shape: shape.to_vec(),
            data: self.bytes(dtype, shape),
        }
    }
}

/// A tensor of a file that is to be made.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<u64>,
    pub(crate) data: Vec<u8>,
}

/// A safetensors file with a header of one's own.
pub(crate) fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.extend_from_slice(data);
    file
}

/// A safetensors file of tensors, whose names are of letters that JSON does not escape.
pub(crate) fn safetensors(tensors: &[Tensor]) -> Vec<u8> {
    let mut header = r#"{"__metadata__":{"format":"pt"}"#.to_owned();
    let mut data = Vec::new();
    for tensor in tensors {
        let begin = data.len();
        data.extend_from_slice(&tensor.data);
        header.push_str(&format!(
            r#","{}":{{"dtype":"{}","shape":{:?},"data_offsets":[{begin},{}]}}"#,
            tensor.name,
            tensor.dtype,
            tensor.shape,
            data.len()
        ));
    }
    header.push_str("}   ");
    with_header(&header, &data)
}

/// A CTranslate2 model, in which something lies between any two tensors.
pub(crate) fn ctranslate2(tensors: &[Tensor]) -> Vec<u8> {
    let mut file = 6u32.to_le_bytes().to_vec();
    let text = |text: &str, file: &mut Vec<u8>| {
        file.extend((text.len() as u16 + 1).to_le_bytes());
        file.extend_from_slice(text.as_bytes());
        file.push(0);
    };
    text("TestSpec", &mut file);
    file.extend(1u32.to_le_bytes());
    file.extend((tensors.len() as u32).to_le_bytes());
    for tensor in tensors {
        text(&tensor.name, &mut file);
        file.push(tensor.shape.len() as u8);
        for axis in &tensor.shape {
            file.extend((*axis as u32).to_le_bytes());
        }
        file.push(match tensor.dtype {
            Dtype::F32 => 0,
            Dtype::I8 => 1,
            Dtype::I16 => 2,
            Dtype::I32 => 3,
            Dtype::F16 => 4,
            _ => 5,
        });
        file.extend((tensor.data.len() as u32).to_le_bytes());
        file.extend_from_slice(&tensor.data);
    }
    file.extend(0u32.to_le_bytes());
    file
}

/// Tensors of many types: floats that methods take, others that they leave, nothing, and scalars.
pub(crate) fn small_tensors() -> Vec<Tensor> {
    vec![
        Content::Weights.tensor("a.weight", Dtype::Bf16, &[8, 11]),
        Content::Weights.tensor("a.bias", Dtype::F16, &[70]),
        Content::Zeros.tensor("a.nothing", Dtype::F32, &[0]),
        Content::Weights.tensor("b.weight", Dtype::F32, &[3, 4, 5]),
        Content::Ramp.tensor("b.positions", Dtype::I64, &[9]),
        Content::Noise.tensor("b.mask", Dtype::U8, &[17]),
        Content::Zeros.tensor("b.none", Dtype::Bf16, &[2, 0, 4]),
        Content::Noise.tensor("scalar", Dtype::F32, &[]),
        Content::Weights.tensor("half.scalar", Dtype::Bf16, &[]),
        Content::Noise.tensor("fours", Dtype::F4, &[6]),
    ]
}

/// A matrix whose rows and columns have scales of their own, so that these are written.
pub(crate) fn scaled_matrix(name: &str, dtype: Dtype, rows: u64, columns: u64) -> Tensor {
    let mut noise = Noise(7);
    let data = (0..rows * columns)
        .flat_map(|place| {
            let octaves = (place / columns % 3) as i32 + (place % columns % 4) as i32;
            let weight = f32::from_bits(noise.weight()) * 2f32.powi(octaves);
            match dtype {
                Dtype::Bf16 => cast::f32_to_bf16(weight.to_bits()).to_le_bytes(),
                _ => cast::f32_to_f16(weight.to_bits()).to_le_bytes(),
            }
        })
        .collect();
    Tensor {
        name: name.to_owned(),
        dtype,
        shape: vec![rows, columns],
        data,
    }
}

pub(crate) fn with_threads<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    pool.build().unwrap().install(work)
}
