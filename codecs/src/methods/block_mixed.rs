//! `block_mixed`: GGUF's quantised blocks, headers and quants by context mixing. Slow, and shorter than any table.
//!
//! Nothing is known of a chunk before its first symbol, and all is learnt on the way ([`mixing`](crate::mixing)); so its
//! chunks are large, and nothing is written but bits.
//!
//! # Format
//!
//! Chunks and units are those of all methods for blocks, see [`block_coding`](crate::block_coding), with nothing that
//! chunks share. A coded chunk is its windows, one after the other; a window is its fields, one after the other, of every
//! block, and then its quants. Symbols have these contexts, an input of the mixer each, and a set of its weights; *left* is
//! the same field of the block before in the row, *up* that of the block in the same place of the row before, each the
//! other one where it is not there.
//!
//! | symbol | contexts | set |
//! | --- | --- | --- |
//! | upper byte of a number | none; left; up; their mean | field |
//! | lower byte of a number | none; the upper byte | field |
//! | scale | the group, and whether the largest has been in the block; the scale before, and that; up; the mean of the block's so far; the group with up over 4 | as the first |
//! | minimum less what is likely, modulo 64 | likely; scale; the symbol before in the block; up; likely with scale | likely over 8 |
//!
//! Quants are coded row by row, in it by [`LANES`] groups side by side: the first quant of each, then the second, and so
//! on. A weight is the quant times the step of its group, plus its origin ([`given`]); of a row the *scale* is the mean of
//! its steps, of a column the *magnitude* the mean of its weights, each over the scale of its row, in which every row
//! counts for a 32nd. All that is in f32, in the order of the source. The contexts of a quant:
//!
//! * the group's class ([`headers`]), zero points in quarters, and which ends of the range the group has had;
//! * the class, zero points in halves; the same; and the quants left in the group, in octaves;
//! * the class, zero points in whole quants, with how large the weight is likely to be: magnitude of the column, times scale
//!   of the row, over step of the group, in quarters of an octave;
//! * the least quant of the group so far, the largest, and the quants left in octaves;
//! * the class, zero points in whole quants, with how far the quants before lay from zero, in half octaves;
//! * the place in the group, the ends it has had, and the class, zero points in twos.
//!
//! The set of weights is that of the ends, with how large the weight is likely to be. Of quants of more than four bits the
//! upper four count in contexts.
//!
//! Given a finer tensor, what is coded is the quant less what is likely, modulo the number of quants, by the class that
//! says where it lies ([`given`]); the class with the symbol before in the group; the class with the group's; and the class
//! with how large the weight is likely to be. The set is the class.

use crate::block_coding::headers::{self, Q4K_LARGEST, Q4K_NUMBERS, Q6K_LARGEST};
use crate::block_coding::{BlockCoding, BlockFamily, Given, Shape, Window, given, zero};
use crate::blocks::{BlockLayout, Q4K, Q6K};
use crate::bytes::ByteReader;
use crate::error::DecodeError;
use crate::mixing::{BitDecoder, BitEncoder, Bits, Context, Layout, Mixer};
use crate::simd::vectorized;

/// Groups whose quants are coded side by side.
const LANES: usize = 4;
/// What a column's magnitude goes of the way to that of the next row.
const COLUMN_STEP: f32 = 1.0 / 32.0;
/// Classes of how large a weight is likely to be, from a quarter of a step on, in quarters of an octave.
const SIZES: usize = 24;
const LEAST_SIZE: i32 = 125 << 2;
/// Classes of how far quants lay from zero, in half octaves; the last is that of the first quant of a group.
const DISTANCES: usize = 16;
/// Classes of how many quants of a group are left, in octaves.
const LEFT: usize = 8;
/// Classes of a group, in quarters of a quant where they are zero points.
const FINE: usize = 64;
/// What quants are taken for in contexts.
const COARSE_BITS: u32 = 4;

pub(super) const FAMILY: BlockFamily<Coding> = BlockFamily::new();

pub(crate) struct Coding;

#[derive(Default)]
pub(crate) struct Scratch {
    window: Window,
    /// The same weights at a finer precision.
    finer: Window,
    lines: given::Scratch,
    /// Of each group.
    classes: Vec<u8>,
    /// Of each block.
    likely: Vec<u8>,
    before: Vec<u8>,
}

impl BlockCoding for Coding {
    const NAME: &'static str = "block_mixed";
    const ABOUT: &'static str =
        "context mixing over the headers and quants of GGUF's blocks: slow, and the shortest";
    const LEAF: &'static str = "codecs/src/methods/block_mixed.rs";
    const VERSION: u8 = 1;
    const CHUNK_WEIGHTS: usize = 1 << 22;
    type Scratch = Scratch;

    fn fit(
        _shape: Shape,
        _data: &[u8],
        _given: Option<Given<'_>>,
        _scratch: &mut Scratch,
    ) -> Option<(Self, Vec<u8>)> {
        Some((Coding, Vec::new()))
    }

    fn open(
        _layout: BlockLayout,
        _given: Option<BlockLayout>,
        written: &[u8],
    ) -> Result<Option<Self>, DecodeError> {
        match written.len() {
            0 => Ok(Some(Coding)),
            found => Err(DecodeError::Field {
                what: "what chunks share",
                at: 0,
                expected: "nothing",
                found: found as u64,
            }),
        }
    }

    fn encode(
        &self,
        shape: Shape,
        data: &[u8],
        given: Option<Given<'_>>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) {
        let mut bits = BitEncoder::new(out);
        let mut model = Model::new(shape, given.is_some());
        let windows = data.chunks(shape.window() * shape.layout.bytes());
        for (number, data) in windows.enumerate() {
            scratch.window.split(shape, data);
            let finer = given.map(|given| given.part(number, given.shape.window()));
            encode_window(shape, finer, &mut model, scratch, &mut bits);
        }
        bits.finish();
    }

    fn decode(
        &self,
        shape: Shape,
        reader: &mut ByteReader<'_>,
        given: Option<Given<'_>>,
        scratch: &mut Scratch,
        data: &mut [u8],
    ) -> Result<(), DecodeError> {
        let mut bits = BitDecoder::new(reader)?;
        let mut model = Model::new(shape, given.is_some());
        let windows = data.chunks_mut(shape.window() * shape.layout.bytes());
        for (number, data) in windows.enumerate() {
            let blocks = data.len() / shape.layout.bytes();
            scratch.window.resize(shape, blocks);
            let finer = given.map(|given| given.part(number, given.shape.window()));
            decode_window(shape, finer, &mut model, scratch, &mut bits);
            scratch.window.join(shape, data);
        }
        bits.finish()
    }
}

vectorized! {
    fn encode_window(shape: Shape, given: Option<Given<'_>>, model: &mut Model, scratch: &mut Scratch, bits: &mut BitEncoder<'_>) {
        walk(shape, given, model, scratch, bits);
    }
}

vectorized! {
    fn decode_window(shape: Shape, given: Option<Given<'_>>, model: &mut Model, scratch: &mut Scratch, bits: &mut BitDecoder<'_>) {
        walk(shape, given, model, scratch, bits);
    }
}

/// What is learnt of a chunk.
struct Model {
    numbers: Mixer<4>,
    scales: Mixer<5>,
    minima: Mixer<5>,
    quants: Quants,
    /// Of each column, the mean magnitude of its weights over the scales of their rows.
    columns: Vec<f32>,
}

/// There is a model of quants by themselves, or given others.
enum Quants {
    Alone(Mixer<6>),
    Given(Mixer<4>),
}

impl Model {
    fn new(shape: Shape, is_given: bool) -> Model {
        let is_q6 = shape.layout == BlockLayout::Q6K;
        let bits = headers::quants(shape.layout).trailing_zeros();
        Model {
            numbers: Mixer::new(&Layout {
                bits: 8,
                contexts: [4, 4 << 8, 4 << 8, 4 << 8],
                sets: 4,
            }),
            scales: Mixer::new(&Layout {
                bits: if is_q6 { 8 } else { 6 },
                contexts: [32, 2 << 8, 1 << 8, 1 << 8, 16 << 6],
                sets: 32,
            }),
            minima: Mixer::new(&Layout {
                bits: 6,
                contexts: [64, 64, 64, 64, 64 << 6],
                sets: 8,
            }),
            quants: match is_given {
                false => Quants::Alone(Mixer::new(&Layout {
                    bits,
                    contexts: [
                        FINE * 4,
                        FINE / 2 * 4 * LEFT,
                        FINE / 4 * SIZES,
                        LEFT << (2 * COARSE_BITS),
                        FINE / 4 * DISTANCES,
                        32 * 4 * FINE / 8,
                    ],
                    sets: 4 * SIZES,
                })),
                true => Quants::Given(Mixer::new(&Layout {
                    bits,
                    contexts: [
                        given::CLASSES,
                        given::CLASSES << 8,
                        given::CLASSES * FINE,
                        given::CLASSES * SIZES,
                    ],
                    sets: given::CLASSES,
                })),
            },
            columns: vec![1.0; shape.row * shape.layout.weights()],
        }
    }
}

/// Codes a window.
#[inline(always)]
fn walk(
    shape: Shape,
    given: Option<Given<'_>>,
    model: &mut Model,
    scratch: &mut Scratch,
    bits: &mut impl Bits,
) {
    walk_numbers(shape, model, &mut scratch.window, bits);
    match shape.layout {
        BlockLayout::Q4K => {
            walk_scales::<{ Q4K::GROUPS }>(shape, Q4K_LARGEST, model, &mut scratch.window, bits);
            walk_minima(shape, model, scratch, bits);
        }
        BlockLayout::Q6K => {
            walk_scales::<{ Q6K::GROUPS }>(shape, Q6K_LARGEST, model, &mut scratch.window, bits);
        }
        BlockLayout::Q5_0 | BlockLayout::Q8_0 | BlockLayout::Q4_1 => {}
    }
    let Scratch {
        window,
        finer,
        lines,
        classes,
        ..
    } = scratch;
    headers::fine_classes(shape, window, classes);
    given::float_lines(shape, window, lines);
    if let Some(given) = given {
        finer.split(given.shape, given.data);
        given::predict(shape, window, given.shape, finer, lines);
    }
    walk_quants(shape, model, window, lines, classes, bits);
}

/// A field of the block before in the row, and of the one in the same place of the row before; each the other one where
/// it is not there, and 0 where neither is.
#[inline(always)]
fn neighbours(shape: Shape, window: &Window, field: usize, block: usize) -> (usize, usize) {
    let byte = |block| usize::from(window.byte(field, block));
    let left = (!block.is_multiple_of(shape.row)).then(|| byte(block - 1));
    let up = block.checked_sub(shape.row).map(byte);
    let either = left.or(up).unwrap_or(0);
    (either, up.unwrap_or(either))
}

fn set(window: &mut Window, field: usize, block: usize, value: u8) {
    if let Some(slot) = window.field_mut(field).get_mut(block) {
        *slot = value;
    }
}

#[inline(always)]
fn walk_numbers(shape: Shape, model: &mut Model, window: &mut Window, bits: &mut impl Bits) {
    for field in 0..headers::numbers(shape) {
        let of_field = field << 8;
        for block in 0..window.blocks {
            let inputs = if field % 2 == 0 {
                let (left, up) = neighbours(shape, window, field, block);
                let mean = usize::midpoint(left, up);
                [field, of_field | left, of_field | up, of_field | mean]
            } else {
                let upper = usize::from(window.byte(field - 1, block));
                [field, of_field | upper, of_field, of_field]
            };
            let context = Context { inputs, set: field };
            let byte = window.byte(field, block);
            let byte = model.numbers.code_one(bits, byte, context);
            set(window, field, block, byte);
        }
    }
}

#[inline(always)]
fn walk_scales<const GROUPS: usize>(
    shape: Shape,
    largest: u8,
    model: &mut Model,
    window: &mut Window,
    bits: &mut impl Bits,
) {
    let first = headers::numbers(shape);
    for group in 0..GROUPS {
        for block in 0..window.blocks {
            let (mut has_largest, mut last, mut sum) = (0, 0, 0);
            for field in first..first + group {
                let scale = window.byte(field, block);
                has_largest |= usize::from(scale == largest);
                last = usize::from(scale);
                sum += last;
            }
            let (_, up) = neighbours(shape, window, first + group, block);
            let of_group = has_largest << 4 | group;
            let context = Context {
                inputs: [
                    of_group,
                    has_largest << 8 | last,
                    up,
                    sum / group.max(1),
                    group << 6 | up >> 2,
                ],
                set: of_group,
            };
            let scale = window.byte(first + group, block);
            let scale = model.scales.code_one(bits, scale, context);
            set(window, first + group, block, scale);
        }
    }
}

#[inline(always)]
fn walk_minima(shape: Shape, model: &mut Model, scratch: &mut Scratch, bits: &mut impl Bits) {
    let Scratch {
        window,
        likely,
        before,
        ..
    } = scratch;
    let units = zero::Units::of(window);
    likely.resize(window.blocks, 0);
    before.clear();
    before.resize(window.blocks, 0);
    for group in 0..Q4K::GROUPS {
        let of_scale = Q4K_NUMBERS + group;
        let field = of_scale + Q4K::GROUPS;
        zero::likely_minima(&units, window.field(of_scale), likely);
        for (block, (&likely, before)) in likely.iter().zip(before.iter_mut()).enumerate() {
            let scale = usize::from(window.byte(of_scale, block));
            let (_, up) = neighbours(shape, window, field, block);
            let first = usize::from(likely);
            let context = Context {
                inputs: [first, scale, usize::from(*before), up, first << 6 | scale],
                set: first / 8,
            };
            let symbol = window.byte(field, block).wrapping_sub(likely) & 63;
            let symbol = model.minima.code_one(bits, symbol, context);
            set(window, field, block, symbol.wrapping_add(likely) & 63);
            *before = symbol;
        }
    }
}

/// A group of weights on its way.
#[derive(Clone, Copy, Default)]
struct Group {
    step: f32,
    origin: f32,
    /// The row's scale over the step.
    steps: f32,
    class: usize,
    /// The class, zero points in halves, and in whole quants.
    half: usize,
    whole: usize,
    /// Where zero lies, in quarters of a quant.
    zero: i32,
    /// Which ends of the range there have been, as bits.
    ends: usize,
    least: u8,
    most: u8,
    /// How far quants lay from zero, in quarters: of the last eight, about.
    distance: i32,
    /// The symbol before.
    before: u8,
}

#[inline(always)]
fn walk_quants(
    shape: Shape,
    model: &mut Model,
    window: &mut Window,
    lines: &given::Scratch,
    classes: &[u8],
    bits: &mut impl Bits,
) {
    let length = shape.group();
    let row = shape.row * shape.layout.weights();
    let width = headers::quants(shape.layout).trailing_zeros();
    let halves = u32::from(headers::has_zero_points(shape.layout));
    let ends = match shape.layout {
        BlockLayout::Q4K | BlockLayout::Q4_1 => [0, 15],
        BlockLayout::Q6K | BlockLayout::Q5_0 => [0, 0],
        BlockLayout::Q8_0 => [1, 255],
    };
    let Model {
        quants: mixer,
        columns,
        ..
    } = model;
    let mut first = 0;
    for quants in window.quants.chunks_mut(row) {
        let groups = first..first + quants.len() / length;
        let of_row = lines.floats.get(groups.clone()).unwrap_or(&[]);
        let scale = of_row.iter().map(|(step, _)| step.abs()).sum::<f32>() / of_row.len() as f32;
        let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        let sides = quants.chunks_mut(LANES * length);
        for ((number, quants), columns) in sides.enumerate().zip(columns.chunks_mut(LANES * length))
        {
            let number = groups.start + number * LANES;
            let count = quants.len() / length;
            let mut side: [Group; LANES] = std::array::from_fn(|lane| {
                let (step, origin) = match lane < count {
                    true => lines.floats[number + lane],
                    false => (0.0, 0.0),
                };
                let class = classes.get(number + lane).copied().unwrap_or(0);
                Group {
                    step,
                    origin,
                    steps: if step == 0.0 { 0.0 } else { scale / step.abs() },
                    class: class.into(),
                    half: usize::from(class.div_ceil(1 << halves)).min(FINE / 2 - 1),
                    whole: usize::from(class >> (2 * halves)),
                    zero: match halves {
                        0 => 2 << width,
                        _ => class.into(),
                    },
                    least: u8::MAX >> (u8::BITS - width),
                    ..Group::default()
                }
            });
            for place in 0..length {
                let mut symbols = [0; LANES];
                let mut sizes = [0; LANES];
                for lane in 0..count {
                    let at = lane * length + place;
                    // A float's bits are a logarithm, drawn with straight lines.
                    let size = (columns[at] * side[lane].steps).to_bits() >> 21;
                    sizes[lane] = (size as i32 - LEAST_SIZE).clamp(0, SIZES as i32 - 1) as usize;
                    symbols[lane] = quants[at];
                }
                let left = (length - place).next_power_of_two().trailing_zeros() as usize;
                match mixer {
                    Quants::Alone(mixer) => {
                        let contexts = std::array::from_fn(|lane| {
                            side[lane].context(place, left, sizes[lane], width)
                        });
                        mixer.code(bits, &mut symbols, count, &contexts);
                        for lane in 0..count {
                            quants[lane * length + place] = symbols[lane];
                        }
                    }
                    Quants::Given(mixer) => {
                        let mask = u8::MAX >> (u8::BITS - width);
                        let mut likely = [0; LANES];
                        let contexts = std::array::from_fn(|lane| {
                            let at = (number + lane) * length + place;
                            let class = lines.classes.get(at).copied().unwrap_or(0).into();
                            likely[lane] = lines.likely.get(at).copied().unwrap_or(0);
                            symbols[lane] = symbols[lane].wrapping_sub(likely[lane]) & mask;
                            let group = &side[lane];
                            Context {
                                inputs: [
                                    class,
                                    class << 8 | usize::from(group.before),
                                    class * FINE + group.class,
                                    class * SIZES + sizes[lane],
                                ],
                                set: class,
                            }
                        });
                        mixer.code(bits, &mut symbols, count, &contexts);
                        for lane in 0..count {
                            side[lane].before = symbols[lane];
                            symbols[lane] = symbols[lane].wrapping_add(likely[lane]) & mask;
                            quants[lane * length + place] = symbols[lane];
                        }
                    }
                }
                for lane in 0..count {
                    let weight = side[lane].take(symbols[lane], place, ends) * inverse;
                    let column = &mut columns[lane * length + place];
                    *column += (weight.abs() - *column) * COLUMN_STEP;
                }
            }
        }
        first = groups.end;
    }
}

impl Group {
    /// Of the quant that comes next.
    #[inline(always)]
    fn context(&self, place: usize, left: usize, size: usize, width: u32) -> Context<6> {
        let shift = width - COARSE_BITS;
        let distance = match place {
            0 => DISTANCES - 1,
            _ => half_octaves((self.distance / place.min(8) as i32) as u32).min(DISTANCES - 1),
        };
        let range =
            usize::from(self.least >> shift) << COARSE_BITS | usize::from(self.most >> shift);
        Context {
            inputs: [
                self.class * 4 + self.ends,
                (self.half * 4 + self.ends) * LEFT + left,
                self.whole * SIZES + size,
                range * LEFT + left,
                self.whole * DISTANCES + distance,
                (place * 4 + self.ends) * (FINE / 8) + self.whole / 2,
            ],
            set: self.ends * SIZES + size,
        }
    }

    /// Takes a quant and returns its weight.
    #[inline(always)]
    fn take(&mut self, quant: u8, place: usize, ends: [u8; 2]) -> f32 {
        self.ends |= usize::from(quant == ends[0]) | usize::from(quant == ends[1]) << 1;
        self.least = self.least.min(quant);
        self.most = self.most.max(quant);
        if place >= 8 {
            self.distance -= self.distance / 8;
        }
        self.distance += (4 * i32::from(quant) - self.zero).abs();
        f32::from(quant) * self.step + self.origin
    }
}

/// Twice the logarithm of a number to the base of 2, and 2, rounded down, about; of 0, 0.
#[inline(always)]
fn half_octaves(number: u32) -> usize {
    match number.checked_ilog2() {
        Some(octave) => (2 * (octave + 1) + (number << 1 >> octave & 1)) as usize,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_half_octaves() {
        let found = [0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 15, 16].map(half_octaves);
        assert_eq!(found, [0, 2, 4, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10]);
    }

    #[test]
    fn chunks_share_nothing() {
        let open = |written| Coding::open(BlockLayout::Q4K, None, written);
        assert!(matches!(open(&[]), Ok(Some(_))));
        assert!(matches!(
            open(&[0]),
            Err(DecodeError::Field { found: 1, .. })
        ));
    }
}
