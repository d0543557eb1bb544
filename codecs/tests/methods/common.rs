//! What the tests of all methods share: the methods, tensors to try them on, and a decoder that stops.

#[path = "made.rs"]
mod made;
#[path = "../gguf/writer.rs"]
#[expect(dead_code, reason = "shared with the tests of the reader")]
pub(crate) mod writer;

use std::collections::BTreeMap;
use std::sync::Mutex;

use llmcl_codecs::blocks::BlockLayout;
use llmcl_codecs::bytes::LimitedWriter;
use llmcl_codecs::method::family_of;
use llmcl_codecs::methods::FAMILIES;
use llmcl_codecs::{Accounting, DecodeError, Dtype, Method, TensorView, resolve};

/// Of each family the methods at both ends of its range.
pub(crate) fn methods() -> Vec<Box<dyn Method>> {
    let names = FAMILIES.iter().flat_map(|family| {
        let mut names = family.examples();
        let last = names.pop();
        names.truncate(1);
        names.into_iter().chain(last)
    });
    names
        .map(|name| resolve(&name, &BTreeMap::new()).unwrap())
        .collect()
}

/// A profile for a method that needs one, learnt from other weights than those that it is tried on.
pub(crate) fn profile(method: &dyn Method) -> Option<Vec<u8>> {
    static LEARNT: Mutex<BTreeMap<String, Vec<u8>>> = Mutex::new(BTreeMap::new());
    let name = method.name();
    let family = family_of(&name).unwrap();
    family.needs_profile().then(|| {
        let mut learnt = LEARNT.lock().unwrap();
        let profile = learnt.entry(name.clone()).or_insert_with(|| {
            // What a method does not learn from, it passes over.
            let tensors: Vec<Tensor> = match method.takes(Dtype::Bf16) {
                true => vec![Content::Weights.tensor(Dtype::Bf16, &[30_011])],
                false => BlockLayout::ALL
                    .map(|layout| weights_of(layout.dtype(), &[30_011]))
                    .into(),
            };
            let views: Vec<_> = tensors.iter().map(Tensor::view).collect();
            family.train(&name, &views).unwrap().unwrap()
        });
        profile.clone()
    })
}

/// Types that the method takes and is made for, one at least: floats of two bytes and blocks, or else plain bytes. One
/// that takes plain bytes as well takes all types alike, so that floats are enough.
pub(crate) fn types(method: &dyn Method) -> Vec<Dtype> {
    let blocks = BlockLayout::ALL.map(BlockLayout::dtype);
    let mut types = vec![Dtype::Bf16, Dtype::F16];
    if !method.takes(Dtype::U8) {
        types.extend(blocks);
    }
    types.retain(|dtype| method.takes(*dtype));
    if types.is_empty() {
        types.push(Dtype::U8);
    }
    assert!(method.takes(types[0]), "{}", method.name());
    types
}

/// A shape with its rows filled up to whole blocks of the type.
pub(crate) fn fitting(dtype: Dtype, shape: &[u64]) -> Vec<u64> {
    let mut shape = shape.to_vec();
    if let Some(row) = shape.last_mut() {
        *row = row.next_multiple_of(dtype.block().elements.into());
    }
    shape
}

/// Weights, of a shape as near to this one as the type allows.
pub(crate) fn weights_of(dtype: Dtype, shape: &[u64]) -> Tensor {
    Content::Weights.tensor(dtype, &fitting(dtype, shape))
}

/// A tensor that owns what it is made of.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<u64>,
    pub(crate) data: Vec<u8>,
}

impl Tensor {
    pub(crate) fn view(&self) -> TensorView<'_> {
        TensorView {
            name: "tensor",
            dtype: self.dtype,
            shape: &self.shape,
            data: &self.data,
        }
    }
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

    /// The bits of a float that is distributed as weights are: twelve uniform numbers less six, scaled.
    pub(crate) fn weight(&mut self) -> u32 {
        let sum: f64 = (0..12)
            .map(|_| (self.next() >> 11) as f64 / 2f64.powi(53))
            .sum();
        ((sum - 6.0) as f32 * 0.02).to_bits()
    }
}

/// What a tensor can hold.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Content {
    Zeros,
    Constant,
    Noise,
    Weights,
    Nans,
    Ramp,
    /// A sound GGUF file, filled up to the length; only of plain bytes, and not if there are too few for a file.
    File,
}

impl Content {
    /// Every content that tensors of any type can have.
    pub(crate) const ALL: [Content; 6] = [
        Content::Zeros,
        Content::Constant,
        Content::Noise,
        Content::Weights,
        Content::Nans,
        Content::Ramp,
    ];

    /// Every content that tensors of this type can have.
    pub(crate) fn of(dtype: Dtype) -> Vec<Content> {
        let file = (dtype == Dtype::U8).then_some(Content::File);
        Content::ALL.into_iter().chain(file).collect()
    }

    /// A tensor of this content.
    pub(crate) fn tensor(self, dtype: Dtype, shape: &[u64]) -> Tensor {
        let bytes = dtype.bytes_for(shape).unwrap() as usize;
        let mut noise = Noise(bytes as u64);
        let data = match (self, BlockLayout::of(dtype)) {
            (Content::Weights, Some(layout)) => made::blocks(layout, bytes, &mut noise),
            _ => self.bytes(bytes, &mut noise),
        };
        Tensor {
            dtype,
            shape: shape.to_vec(),
            data,
        }
    }

    fn bytes(self, bytes: usize, noise: &mut Noise) -> Vec<u8> {
        match self {
            Content::Zeros => vec![0; bytes],
            Content::Constant => [0x3d, 0xbc].into_iter().cycle().take(bytes).collect(),
            Content::Noise => (0..bytes).map(|_| noise.next() as u8).collect(),
            Content::Weights => (0..bytes.div_ceil(2))
                .flat_map(|_| llmcl_codecs::cast::f32_to_bf16(noise.weight()).to_le_bytes())
                .take(bytes)
                .collect(),
            // Quiet and signalling, both signs, payloads: for bf16 and fp16 alike.
            Content::Nans => (0..bytes.div_ceil(2))
                .flat_map(|_| ((noise.next() as u16) | 0x7f81).to_le_bytes())
                .take(bytes)
                .collect(),
            Content::Ramp => (0..bytes)
                .map(|i| ((i / 2) >> (8 * (i % 2))) as u8)
                .collect(),
            Content::File => made::file(bytes),
        }
    }
}

/// Weights of another type that were bf16 once.
pub(crate) fn was_bf16(dtype: Dtype, weights: u64) -> Tensor {
    let once = Content::Weights.tensor(Dtype::Bf16, &[weights]);
    let data = once.data.as_chunks::<2>().0.iter().flat_map(|word| {
        let single = u32::from(u16::from_le_bytes(*word)) << 16;
        match dtype {
            Dtype::F32 => single.to_le_bytes().to_vec(),
            _ => llmcl_codecs::cast::f32_to_f16(single)
                .to_le_bytes()
                .to_vec(),
        }
    });
    Tensor {
        dtype,
        data: data.collect(),
        shape: vec![weights],
    }
}

/// Rows of weights that come again.
pub(crate) fn repeated(dtype: Dtype, weights: u64, times: u64) -> Tensor {
    let row = Content::Weights.tensor(dtype, &[weights]);
    Tensor {
        dtype,
        shape: vec![times, weights],
        data: row.data.repeat(times as usize),
    }
}

/// Encodes tensors as a unit and checks that every byte is accounted for.
pub(crate) fn encode(method: &dyn Method, tensors: &[Tensor]) -> (Vec<u8>, Accounting) {
    let views: Vec<_> = tensors.iter().map(Tensor::view).collect();
    let mut encoded = Vec::new();
    let accounting = method
        .encode(&views, profile(method).as_deref(), &mut encoded)
        .unwrap();
    assert_eq!(
        accounting.total(),
        encoded.len() as u64,
        "{}",
        method.name()
    );
    (encoded, accounting)
}

/// Decodes, taking no more than `limit` bytes.
pub(crate) fn decode(
    method: &dyn Method,
    encoded: &[u8],
    limit: usize,
) -> Result<Vec<u8>, DecodeError> {
    let mut out = LimitedWriter::new(Vec::new(), limit as u64);
    method.decode(encoded, profile(method).as_deref(), &mut out)?;
    Ok(out.into_inner())
}

/// Encodes and decodes tensors, and compares bytes.
pub(crate) fn round_trip(method: &dyn Method, tensors: &[Tensor]) -> (Vec<u8>, Accounting) {
    let (encoded, accounting) = encode(method, tensors);
    let original: Vec<u8> = tensors
        .iter()
        .flat_map(|tensor| tensor.data.clone())
        .collect();
    let decoded = decode(method, &encoded, original.len()).unwrap();
    // Without the bytes in the message, which may be many.
    assert!(decoded == original, "{} lost a bit", method.name());
    (encoded, accounting)
}

/// A few small tensors of types that the method takes, and their bytes together.
pub(crate) fn small_unit(method: &dyn Method) -> (Vec<Tensor>, usize) {
    let types = types(method);
    let is_for_files = types == [Dtype::U8];
    let tensors: Vec<Tensor> = [
        (Dtype::Bf16, vec![8, 11], Content::Weights),
        (Dtype::Bf16, vec![3], Content::Noise),
        (Dtype::F16, vec![70], Content::Ramp),
        (Dtype::F16, vec![0], Content::Zeros),
        (Dtype::Bf16, vec![40], Content::Constant),
        (Dtype::F32, vec![12], Content::Weights),
        (Dtype::U8, vec![17], Content::Ramp),
        (Dtype::Q4K, vec![2, 256], Content::Weights),
        (Dtype::Q4K, vec![256], Content::Nans),
        (Dtype::Q6K, vec![256], Content::Weights),
        (Dtype::Q5_0, vec![3, 32], Content::Weights),
        (Dtype::Q8_0, vec![2, 64], Content::Weights),
        (Dtype::Q4_1, vec![5, 32], Content::Weights),
    ]
    .into_iter()
    .filter(|(dtype, _, _)| match dtype.is_block_quantised() {
        true => types.contains(dtype),
        false => method.takes(*dtype),
    })
    .map(|(dtype, shape, content)| content.tensor(dtype, &shape))
    .chain(is_for_files.then(|| Content::File.tensor(Dtype::U8, &[1500])))
    .collect();
    let bytes = tensors.iter().map(|tensor| tensor.data.len()).sum();
    (tensors, bytes)
}
