//! Blocks and files that look like real ones.

use llmcl_codecs::Dtype;
use llmcl_codecs::blocks::{BlockLayout, Q4_1, Q4K, Q5_0, Q6K, Q8_0, f16_units};
use llmcl_codecs::cast::f32_to_f16;

use super::writer::{Given, Model};
use super::{Content, Noise, weights_of};

/// Blocks of weights, `bytes` long together, quantised as simply as can be.
pub(super) fn blocks(layout: BlockLayout, bytes: usize, noise: &mut Noise) -> Vec<u8> {
    let count = bytes / layout.bytes();
    (0..count)
        .flat_map(|_| {
            let weights: Vec<f32> = (0..layout.weights())
                .map(|_| f32::from_bits(noise.weight()))
                .collect();
            match layout {
                BlockLayout::Q4K => q4_k(&weights).to_bytes().to_vec(),
                BlockLayout::Q6K => q6_k(&weights).to_bytes().to_vec(),
                BlockLayout::Q5_0 => {
                    let d = half(largest(&weights) / 16.0);
                    let quants = quants(&weights, value(d), 0.0).map(|quant| quant + 16.0);
                    Q5_0 {
                        d,
                        quants: within(quants, 31.0),
                    }
                    .to_bytes()
                    .to_vec()
                }
                BlockLayout::Q8_0 => {
                    let d = half(largest(&weights) / 127.0);
                    let quants = quants(&weights, value(d), 0.0);
                    Q8_0 {
                        d,
                        quants: quants.map(|quant| quant.clamp(-127.0, 127.0) as i8),
                    }
                    .to_bytes()
                    .to_vec()
                }
                BlockLayout::Q4_1 => {
                    let (least, most) = ends(&weights);
                    let (d, m) = (half((most - least) / 15.0), half(least));
                    let quants = quants(&weights, value(d), value(m));
                    Q4_1 {
                        d,
                        m,
                        quants: within(quants, 15.0),
                    }
                    .to_bytes()
                    .to_vec()
                }
            }
        })
        .collect()
}

fn q4_k(weights: &[f32]) -> Q4K {
    let groups = weights.chunks(Q4K::GROUP_WEIGHTS).map(|group| {
        let (least, most) = ends(group);
        ((most - least.min(0.0)) / 15.0, -least.min(0.0))
    });
    let (steps, minima): (Vec<f32>, Vec<f32>) = groups.unzip();
    let (d, dmin) = (half(largest(&steps) / 63.0), half(largest(&minima) / 63.0));
    let scales: [u8; 8] = within(quants(&steps, value(d), 0.0), 63.0);
    let minima: [u8; 8] = within(quants(&minima, value(dmin), 0.0), 63.0);
    let mut block = Q4K {
        d,
        dmin,
        scales,
        minima,
        quants: [0; 256],
    };
    let groups = weights.chunks(Q4K::GROUP_WEIGHTS);
    for (group, own) in groups
        .zip(block.quants.chunks_mut(Q4K::GROUP_WEIGHTS))
        .enumerate()
    {
        let step = value(d) * f32::from(scales[group]);
        let least = -value(dmin) * f32::from(minima[group]);
        let (weights, quants) = own;
        quants.copy_from_slice(&within::<32>(self::quants(weights, step, least), 15.0));
    }
    block
}

fn q6_k(weights: &[f32]) -> Q6K {
    let steps: Vec<f32> = weights
        .chunks(16)
        .map(|group| largest(group) / 32.0)
        .collect();
    let d = half(largest(&steps) / 127.0);
    let scales: [f32; 16] = quants(&steps, value(d), 0.0);
    let mut block = Q6K {
        d,
        scales: scales.map(|scale| scale.clamp(0.0, 127.0) as i8),
        quants: [0; 256],
    };
    let groups = weights.chunks(16).zip(block.quants.chunks_mut(16));
    for ((weights, quants), scale) in groups.zip(block.scales) {
        let found = self::quants::<16>(weights, value(d) * f32::from(scale), 0.0);
        quants.copy_from_slice(&within(found.map(|quant| quant + 32.0), 63.0));
    }
    block
}

/// Whole numbers of steps from `least` to each weight.
fn quants<const N: usize>(weights: &[f32], step: f32, least: f32) -> [f32; N] {
    std::array::from_fn(|at| match step == 0.0 {
        true => 0.0,
        false => ((weights[at] - least) / step).round(),
    })
}

fn within<const N: usize>(quants: [f32; N], most: f32) -> [u8; N] {
    quants.map(|quant| quant.clamp(0.0, most) as u8)
}

fn largest(weights: &[f32]) -> f32 {
    weights
        .iter()
        .fold(0.0, |largest, weight| weight.abs().max(largest))
}

fn ends(weights: &[f32]) -> (f32, f32) {
    let least = weights.iter().copied().fold(f32::MAX, f32::min);
    let most = weights.iter().copied().fold(f32::MIN, f32::max);
    (least, most)
}

fn half(weight: f32) -> u16 {
    f32_to_f16(weight.to_bits())
}

fn value(half: u16) -> f32 {
    f16_units(half).unwrap_or_default() as f32 / 16_777_216.0
}

/// A sound GGUF file of tensors of every block type and others, with gaps, filled up to `bytes`; cut short if that is
/// less than the smallest file.
pub(super) fn file(bytes: usize) -> Vec<u8> {
    let mut model = Model::default()
        .entry("general.architecture", Given::text("test"))
        .entry("general.alignment", Given::U32(64));
    model.alignment = 64;
    let texts = (0..20).map(|number| Given::text(&format!("token {number}")));
    model = model.entry("tokenizer.ggml.tokens", Given::Array(8, texts.collect()));
    // Half of the bytes are of Q4_K, as in real files; there is one block of each type at least.
    let left = bytes.saturating_sub(1100) as u64;
    let tensors = [
        (Dtype::Q4K, left / 2 / 144 / 2),
        (Dtype::F32, 7),
        (Dtype::Q6K, left / 8 / 210),
        // One less, so that it holds other weights than the first.
        (Dtype::Q4K, (left / 2 / 144 / 2).saturating_sub(1)),
        (Dtype::Q5_0, left / 16 / 22),
        (Dtype::Q8_0, left / 16 / 34),
        (Dtype::Q4_1, left / 16 / 20),
        (Dtype::F16, left / 32),
    ];
    for (number, (dtype, blocks)) in tensors.into_iter().enumerate() {
        // The smallest of files have fewer tensors.
        if blocks == 0 && dtype != Dtype::Q4K {
            continue;
        }
        let row = blocks.max(1) * u64::from(dtype.block().elements);
        model = model.tensor(&format!("tensor.{number}"), dtype, &[row]);
        let content = match dtype {
            Dtype::F32 | Dtype::F16 => Content::Weights.tensor(dtype, &[row]),
            _ => weights_of(dtype, &[row]),
        };
        let at = model.infos.last().unwrap().offset as usize;
        model.data[at..at + content.data.len()].copy_from_slice(&content.data);
    }
    let mut file = model.bytes();
    file.resize(bytes, 0);
    file
}
