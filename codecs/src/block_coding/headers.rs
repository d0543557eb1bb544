//! The headers of blocks: how they are coded, and what they say of the quants.
//!
//! # Fields
//!
//! A window's fields are coded one after the other, a run each, every block's in it. Their axes of classes:
//!
//! | layout | fields | axes |
//! | --- | --- | --- |
//! | all | the bytes of `d`, `dmin` and `m` | one class each |
//! | `Q4_K` | scales | one for blocks none of whose scales is 63 so far, one for the others; a class for each group |
//! | `Q4_K` | minima, less what is likely, modulo 64 | the likely minimum over 8 |
//! | `Q6_K` | scales | one for blocks none of whose scales is −128 so far, one for the others; a class for each group |
//!
//! The largest scale of a block is 63 or −128, since `d` is chosen so. The likely minimum of a group is
//! 7.5·`d`·scale / `dmin`, with which the weight zero lies in the middle of the range.
//!
//! # Classes of groups
//!
//! Each group of weights that share a scale has a class:
//!
//! | layout | class | classes |
//! | --- | --- | --- |
//! | `Q4_K`, `Q4_1` | where the weight zero lies in the range of the quants, in halves of a quant | 32 |
//! | `Q6_K` | the magnitude of the group's scale over 16 | 9 |
//! | `Q5_0`, `Q8_0` | how much smaller the block's `d` is than those of its row, in half octaves | 8 |
//!
//! A quant is a weight over a step, and the step is made for the largest weight of the group. Where all weights of a
//! group are on one side of zero, or few are near it, the zero point tells; where a step is small for its row, the
//! weights are likely to be large in it.

use super::window::{Shape, Window};
use super::zero::{self, Units};
use super::{Axis, Pass};
use crate::blocks::{BlockLayout, Q4K, Q6K};

/// Classes of zero points.
const ZERO_POINTS: usize = Q4K::ZERO_POINTS / 2;
/// Classes of scales, of which the last is that of −128.
const SCALES: usize = 9;
/// Classes of how small a step is.
const STEPS: usize = 8;
/// Classes of likely minima.
const MINIMA: usize = 8;
/// `d` and `dmin` of a block of `Q4_K` as bytes, and `d` of one of `Q6_K`.
pub(crate) const Q4K_NUMBERS: usize = 4;
const Q6K_NUMBERS: usize = 2;
/// The largest scales, as fields.
pub(crate) const Q4K_LARGEST: u8 = 63;
pub(crate) const Q6K_LARGEST: u8 = 0;

/// The axes of a layout's fields.
pub(crate) fn axes(layout: BlockLayout) -> Vec<Axis> {
    let axis = |classes, symbols| Axis { classes, symbols };
    let byte = axis(1, 256);
    match layout {
        BlockLayout::Q4K => {
            let scales = axis(Q4K::GROUPS, 64);
            vec![byte, byte, byte, byte, scales, scales, axis(MINIMA, 64)]
        }
        BlockLayout::Q6K => {
            let scales = axis(Q6K::GROUPS, 256);
            vec![byte, byte, scales, scales]
        }
        BlockLayout::Q5_0 | BlockLayout::Q8_0 => vec![byte; 2],
        BlockLayout::Q4_1 => vec![byte; 4],
    }
}

/// How many quants a layout has.
pub(crate) fn quants(layout: BlockLayout) -> usize {
    match layout {
        BlockLayout::Q4K | BlockLayout::Q4_1 => 16,
        BlockLayout::Q5_0 => 32,
        BlockLayout::Q6K => 64,
        BlockLayout::Q8_0 => 256,
    }
}

/// How many of a block's first fields are bytes of its numbers.
pub(crate) fn numbers(shape: Shape) -> usize {
    match shape.layout {
        BlockLayout::Q4K => Q4K_NUMBERS,
        BlockLayout::Q6K => Q6K_NUMBERS,
        BlockLayout::Q5_0 | BlockLayout::Q8_0 | BlockLayout::Q4_1 => shape.header(),
    }
}

/// Gives the fields of a window to `pass`. `classes` is space.
pub(crate) fn walk(shape: Shape, window: &mut Window, classes: &mut Vec<u8>, pass: &mut impl Pass) {
    let numbers = numbers(shape);
    for field in 0..numbers {
        pass.run(field as u8, window.field_mut(field));
    }
    match shape.layout {
        BlockLayout::Q4K => {
            walk_scales(numbers, Q4K::GROUPS, Q4K_LARGEST, window, classes, pass);
            walk_minima(window, classes, pass);
        }
        BlockLayout::Q6K => walk_scales(numbers, Q6K::GROUPS, Q6K_LARGEST, window, classes, pass),
        BlockLayout::Q5_0 | BlockLayout::Q8_0 | BlockLayout::Q4_1 => {}
    }
}

/// Scales, whose fields come after those of as many numbers, as their classes do.
fn walk_scales(
    numbers: usize,
    groups: usize,
    largest: u8,
    window: &mut Window,
    classes: &mut Vec<u8>,
    pass: &mut impl Pass,
) {
    classes.clear();
    classes.resize(window.blocks, numbers as u8);
    for group in 0..groups {
        let scales = window.field_mut(numbers + group);
        pass.run_classed(classes, scales);
        for (class, scale) in classes.iter_mut().zip(scales) {
            // The class of the next group, and of the other axis once the largest has been there.
            let has_largest = usize::from(*class) >= numbers + groups;
            let turns = *scale == largest && !has_largest;
            *class += 1 + if turns { groups as u8 } else { 0 };
        }
    }
}

/// Minima of `Q4_K`, each less what is likely.
fn walk_minima<P: Pass>(window: &mut Window, classes: &mut Vec<u8>, pass: &mut P) {
    let first = Q4K_NUMBERS + 2 * Q4K::GROUPS;
    let units = Units::of(window);
    let mut likely = vec![0; window.blocks];
    for group in 0..Q4K::GROUPS {
        let scales = window.field(Q4K_NUMBERS + group);
        zero::likely_minima(&units, scales, &mut likely);
        classes.clear();
        classes.extend(likely.iter().map(|likely| first as u8 + likely / 8));
        let minima = window.field_mut(Q4K_NUMBERS + Q4K::GROUPS + group);
        if !P::DECODES {
            for (minimum, likely) in minima.iter_mut().zip(&likely) {
                *minimum = minimum.wrapping_sub(*likely) & 63;
            }
        }
        pass.run_classed(classes, minima);
        for (minimum, likely) in minima.iter_mut().zip(&likely) {
            *minimum = minimum.wrapping_add(*likely) & 63;
        }
    }
}

/// How many classes the groups of a layout have.
pub(crate) fn classes(layout: BlockLayout) -> usize {
    match layout {
        BlockLayout::Q4K | BlockLayout::Q4_1 => ZERO_POINTS,
        BlockLayout::Q6K => SCALES,
        BlockLayout::Q5_0 | BlockLayout::Q8_0 => STEPS,
    }
}

/// Fills in the class of every group of a window, whose headers are there, block by block.
pub(crate) fn group_classes(shape: Shape, window: &Window, classes: &mut Vec<u8>) {
    fine_classes(shape, window, classes);
    if has_zero_points(shape.layout) {
        for class in classes {
            *class = halves(*class);
        }
    }
}

/// Whether the classes of groups are zero points.
pub(crate) fn has_zero_points(layout: BlockLayout) -> bool {
    matches!(layout, BlockLayout::Q4K | BlockLayout::Q4_1)
}

/// As [`group_classes`] does, but with zero points in quarters of a quant, of which there are 64.
pub(crate) fn fine_classes(shape: Shape, window: &Window, classes: &mut Vec<u8>) {
    let groups = shape.layout.weights() / shape.group();
    classes.resize(window.blocks * groups, 0);
    match shape.layout {
        BlockLayout::Q4K => {
            let units = Units::of(window);
            let mut of_group = vec![0; window.blocks];
            for group in 0..Q4K::GROUPS {
                let scales = window.field(Q4K_NUMBERS + group);
                let minima = window.field(Q4K_NUMBERS + Q4K::GROUPS + group);
                zero::zero_points(&units, scales, minima, &mut of_group);
                let places = classes.iter_mut().skip(group).step_by(Q4K::GROUPS);
                for (class, &quarters) in places.zip(&of_group) {
                    *class = quarters;
                }
            }
        }
        BlockLayout::Q4_1 => {
            // A weight is d·q + m, so that it is a minimum of −m which is taken off.
            let units = Units::of(window).with_negative_minima();
            let ones = vec![1; window.blocks];
            zero::zero_points(&units, &ones, &ones, classes);
        }
        BlockLayout::Q6K => {
            for group in 0..Q6K::GROUPS {
                let scales = window.field(Q6K_NUMBERS + group);
                let places = classes.iter_mut().skip(group).step_by(Q6K::GROUPS);
                for (class, scale) in places.zip(scales) {
                    *class = scale.abs_diff(0x80) / 16;
                }
            }
        }
        BlockLayout::Q5_0 | BlockLayout::Q8_0 => {
            let rows = window
                .field(0)
                .chunks(shape.row)
                .zip(window.field(1).chunks(shape.row));
            for ((upper, lower), classes) in rows.zip(classes.chunks_mut(shape.row)) {
                let logs = || {
                    let both = upper.iter().zip(lower);
                    both.map(|(&upper, &lower)| log(u16::from_be_bytes([upper, lower])))
                };
                let mean = logs().sum::<i32>() / (upper.len() as i32).max(1);
                for (class, log) in classes.iter_mut().zip(logs()) {
                    let below = mean - log;
                    *class =
                        (((below + 256) >> 9) + STEPS as i32 / 2).clamp(0, STEPS as i32 - 1) as u8;
                }
            }
        }
    }
}

/// Puts the numbers of groups in the order of their classes, of which there are [`ZERO_POINTS`] at most, and returns where
/// each class begins, and the end.
pub(crate) fn sort(classes: &[u8], order: &mut Vec<u32>) -> [usize; ZERO_POINTS + 1] {
    // In four parts side by side: groups of one class wait for one another.
    const PARTS: usize = 4;
    let length = classes.len().div_ceil(PARTS).max(1);
    let mut parts = classes.chunks(length);
    let parts: [&[u8]; PARTS] = std::array::from_fn(|_| parts.next().unwrap_or(&[]));
    let mut next = [[0u32; ZERO_POINTS]; PARTS];
    in_turns(parts, |part, _, class| next[part][class] += 1);
    let mut starts = [0; ZERO_POINTS + 1];
    let mut sum = 0;
    for (class, start) in starts.iter_mut().enumerate() {
        *start = sum as usize;
        for part in &mut next {
            if let Some(count) = part.get_mut(class) {
                sum += std::mem::replace(count, sum);
            }
        }
    }
    order.resize(classes.len(), 0);
    in_turns(parts, |part, place, class| {
        let slot = &mut next[part][class];
        if let Some(slot) = order.get_mut(*slot as usize) {
            *slot = (part * length + place) as u32;
        }
        *slot += 1;
    });
    starts
}

/// Gives each class to `take`, with its part and its place in it: the first of every part, then the second.
#[inline(always)]
fn in_turns<const PARTS: usize>(parts: [&[u8]; PARTS], mut take: impl FnMut(usize, usize, usize)) {
    let whole = parts.iter().map(|part| part.len()).min().unwrap_or(0);
    for place in 0..whole {
        for (number, part) in parts.iter().enumerate() {
            take(number, place, usize::from(part[place]) % ZERO_POINTS);
        }
    }
    for (number, part) in parts.iter().enumerate() {
        for (place, &class) in part.iter().enumerate().skip(whole) {
            take(number, place, usize::from(class) % ZERO_POINTS);
        }
    }
}

/// A class of quarters, in halves.
fn halves(quarters: u8) -> u8 {
    quarters.div_ceil(2).min(ZERO_POINTS as u8 - 1)
}

/// The magnitude of an fp16 number in 1024ths of an octave, about: its bits, which are a logarithm drawn with straight
/// lines.
fn log(bits: u16) -> i32 {
    i32::from(bits & 0x7fff)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes_of(layout: BlockLayout, row: u64, data: &[u8]) -> Vec<u8> {
        let shape = Shape::of(layout, &[row * layout.weights() as u64]);
        let mut window = Window::default();
        window.split(shape, data);
        let mut found = vec![99];
        group_classes(shape, &window, &mut found);
        found
    }

    #[test]
    fn zero_points_in_halves() {
        let mut block = Q4K {
            d: 0x3c00,
            dmin: 0x3c00,
            scales: [1; 8],
            minima: [0, 1, 2, 7, 15, 16, 40, 63],
            quants: [0; 256],
        };
        let found = classes_of(BlockLayout::Q4K, 1, &block.to_bytes());
        assert_eq!(found, [0, 2, 4, 14, 30, 31, 31, 31]);
        block.scales = [4; 8];
        let found = classes_of(BlockLayout::Q4K, 1, &block.to_bytes());
        assert_eq!(found[..4], [0, 1, 1, 4]);
        // 1·q − 3: three quants.
        let block = crate::blocks::Q4_1 {
            d: 0x3c00,
            m: 0xc200,
            quants: [0; 32],
        };
        assert_eq!(classes_of(BlockLayout::Q4_1, 1, &block.to_bytes()), [6]);
    }

    #[test]
    fn steps_are_held_against_their_row() {
        let block = |d| crate::blocks::Q5_0 { d, quants: [0; 32] }.to_bytes();
        // One, one and two: the mean of the logarithms is a third of an octave.
        let row = [block(0x3c00), block(0x3c00), block(0xc000)].concat();
        assert_eq!(classes_of(BlockLayout::Q5_0, 3, &row), [5, 5, 3]);
        // Rows of their own.
        assert_eq!(classes_of(BlockLayout::Q5_0, 1, &row), [4, 4, 4]);
    }

    #[test]
    fn groups_are_sorted_by_class_and_number() {
        for length in [0, 1, 3, 4, 5, 64, 1001] {
            let classes: Vec<u8> = (0..length).map(|i| (i * i / 3 % 32) as u8).collect();
            let mut order = vec![7; 3];
            let starts = sort(&classes, &mut order);
            let mut expected: Vec<u32> = (0..length as u32).collect();
            expected.sort_by_key(|&number| classes[number as usize]);
            assert_eq!(order, expected);
            for (class, ends) in starts.windows(2).enumerate() {
                let of_class = &order[ends[0]..ends[1]];
                let is_of = |&number: &u32| usize::from(classes[number as usize]) == class;
                assert!(of_class.iter().all(is_of));
            }
            assert_eq!(starts[ZERO_POINTS], length);
        }
    }

    #[test]
    fn every_class_is_one_of_the_layout() {
        let mut state = 1u64;
        for layout in BlockLayout::ALL {
            for _ in 0..200 {
                let data: Vec<u8> = (0..3 * layout.bytes())
                    .map(|_| {
                        state = state
                            .wrapping_mul(6_364_136_223_846_793_005)
                            .wrapping_add(1);
                        (state >> 56) as u8
                    })
                    .collect();
                let found = classes_of(layout, 2, &data);
                let most = classes(layout);
                assert!(found.iter().all(|&class| usize::from(class) < most));
            }
        }
    }
}
