//! Quants of a tensor, given the same matrix at a finer precision.
//!
//! Where a model's embedding is its output as well, some files hold it twice, in two types. The finer one says nearly
//! where each weight of the coarser one must lie. Headers are coded as ever; then, for each weight, with both tensors'
//! headers, how far its quant is from what the finer weight would be rounded to, by a class that says how near that was
//! to being rounded otherwise.
//!
//! In units of 2⁻²⁴ a weight is *s*·q + *o*, of a *step* and an *origin* that its group has:
//!
//! | layout | step | origin |
//! | --- | --- | --- |
//! | `Q4_K` | `d`·scale | −`dmin`·minimum |
//! | `Q6_K` | `d`·scale | −32 steps |
//! | `Q5_0` | `d` | −16 steps |
//! | `Q8_0` | `d` | −128 steps |
//! | `Q4_1` | `d` | `m` |
//!
//! With *S*, *O* and *Q* those of the finer weight, and all quotients rounded to zero:
//!
//! * *a* = 2¹⁵·*S* / *s*, *b* = 2¹⁵·(*O* − *o*) / *s* + 2¹⁴
//! * *u* = (*a*·*Q* + *b*) >> 10
//!
//! The quant is likely to be *p* = *u* >> 5, and the class is *u* mod 32. If *p* is below 0, or above the largest quant, it
//! is that, and the class is 32 or 33. Where *s* is 0, a header is no number, or *a* or *b* is beyond ±2⁴⁸, *p* is 0 and the
//! class 34. What is coded is the quant less *p*, modulo the number of quants.

use super::headers;
use super::window::{Shape, Window};
use super::{Axis, Pass, all_classes};
use crate::blocks::{BlockLayout, Q4K, Q6K, f16_units};
use crate::simd::vectorized;

/// How many parts of a step are told apart.
const PARTS: i64 = 32;
/// Classes of what lies below, of what lies above, and of what cannot be said.
const BELOW: u8 = 32;
const ABOVE: u8 = 33;
const UNKNOWN: u8 = 34;
pub(crate) const CLASSES: usize = 35;
/// Bits below the parts of a step.
const FINE_BITS: u32 = 10;
/// Beyond which nothing is computed, so that nothing overflows.
const MOST: i64 = 1 << 48;
/// Weights that are looked at in one place to see whether tensors belong together, and in how many places.
const PIECE: usize = 256;
const PIECES: usize = 16;

/// Whether a tensor of one layout can be coded given one of another.
pub(super) fn can_be_given(layout: BlockLayout, given: BlockLayout) -> bool {
    headers::quants(given) > headers::quants(layout)
}

/// The axes of a layout that is coded so.
pub(super) fn axes(layout: BlockLayout) -> Vec<Axis> {
    let mut axes = headers::axes(layout);
    axes.push(Axis {
        classes: CLASSES,
        symbols: headers::quants(layout),
    });
    axes
}

/// A step and an origin, in units; `None` where they are no numbers.
type Line = Option<(i64, i64)>;

/// Space used again from window to window.
#[derive(Default)]
pub(crate) struct Scratch {
    lines: Vec<Line>,
    given: Vec<Line>,
    /// Steps and origins.
    pub(crate) floats: Vec<(f32, f32)>,
    /// Of each quant, and what it is likely to be.
    pub(crate) classes: Vec<u8>,
    pub(crate) likely: Vec<u8>,
}

/// The lines of all groups of a window.
fn lines(shape: Shape, window: &Window, lines: &mut Vec<Line>) {
    lines.clear();
    let units = |field, block| f16_units(window.number(field, block));
    for block in 0..window.blocks {
        let d = units(0, block);
        match shape.layout {
            BlockLayout::Q4K => {
                let both = d.zip(units(2, block));
                lines.extend((0..Q4K::GROUPS).map(|group| {
                    let scale = window.byte(4 + group, block);
                    let minimum = window.byte(4 + Q4K::GROUPS + group, block);
                    both.map(|(d, dmin)| (d * i64::from(scale), -dmin * i64::from(minimum)))
                }));
            }
            BlockLayout::Q6K => lines.extend((0..Q6K::GROUPS).map(|group| {
                let scale = i64::from(window.byte(2 + group, block)) - 128;
                d.map(|d| (d * scale, -32 * d * scale))
            })),
            BlockLayout::Q5_0 => lines.push(d.map(|d| (d, -16 * d))),
            BlockLayout::Q8_0 => lines.push(d.map(|d| (d, -128 * d))),
            BlockLayout::Q4_1 => lines.push(d.zip(units(2, block))),
        }
    }
}

/// Fills in the step and the origin of every group of a window, in units; both 0 where they are no numbers.
pub(crate) fn float_lines(shape: Shape, window: &Window, scratch: &mut Scratch) {
    lines(shape, window, &mut scratch.lines);
    let numbers = scratch.lines.iter().map(|line| line.unwrap_or((0, 0)));
    scratch.floats.clear();
    let floats = numbers.map(|(step, origin)| (step as f32, origin as f32));
    scratch.floats.extend(floats);
}

/// What a quant of the given line is multiplied by, and what is added, to have it in parts of a step, finely.
fn between(own: Line, given: Line) -> Option<(i64, i64)> {
    let ((step, origin), (finer, start)) = own.zip(given)?;
    let unit = PARTS << FINE_BITS;
    let factor = finer.checked_mul(unit)?.checked_div(step)?;
    let sum = (start - origin).checked_mul(unit)?.checked_div(step)?;
    let fits = factor.abs() < MOST && sum.abs() < MOST;
    fits.then_some((factor, sum + unit / 2))
}

/// Fills in what each quant of a window is likely to be, and its class. Headers of both are there, and the quants of
/// what is given.
pub(crate) fn predict(
    shape: Shape,
    window: &Window,
    given_shape: Shape,
    given: &Window,
    scratch: &mut Scratch,
) {
    lines(shape, window, &mut scratch.lines);
    lines(given_shape, given, &mut scratch.given);
    let weights = given.quants.len();
    scratch.classes.resize(weights, 0);
    scratch.likely.resize(weights, 0);
    let largest = (headers::quants(shape.layout) - 1) as i64;
    let side = shape.group().min(given_shape.group());
    let pieces = given.quants.chunks(side);
    let classes = scratch.classes.chunks_mut(side);
    let likely = scratch.likely.chunks_mut(side);
    for (number, ((quants, classes), likely)) in pieces.zip(classes).zip(likely).enumerate() {
        let at = number * side;
        let own = scratch.lines.get(at / shape.group()).copied().flatten();
        let finer = scratch
            .given
            .get(at / given_shape.group())
            .copied()
            .flatten();
        let Some((factor, sum)) = between(own, finer) else {
            classes.fill(UNKNOWN);
            likely.fill(0);
            continue;
        };
        let most = i64::from(u8::MAX) * factor.abs() + sum.abs();
        match (i32::try_from(factor), i32::try_from(sum)) {
            // Nearly always; vectors are twice as wide then, and can do it.
            (Ok(factor), Ok(sum)) if most <= i64::from(i32::MAX) => {
                place_small(factor, sum, largest as i32, quants, likely, classes);
            }
            _ => place(factor, sum, largest, quants, likely, classes),
        }
    }
}

vectorized! {
    /// [`place`], where numbers are small.
    fn place_small(factor: i32, sum: i32, largest: i32, quants: &[u8], likely: &mut [u8], classes: &mut [u8]) {
        for ((&quant, class), likely) in quants.iter().zip(classes).zip(likely) {
            let parts = (factor * i32::from(quant) + sum) >> FINE_BITS;
            let place = parts >> PARTS.trailing_zeros();
            *likely = place.clamp(0, largest) as u8;
            let part = (parts & (PARTS as i32 - 1)) as u8;
            let part = if place < 0 { BELOW } else { part };
            *class = if place > largest { ABOVE } else { part };
        }
    }
}

/// What each quant is likely to be, and its class, by the line between it and the finer one.
fn place(
    factor: i64,
    sum: i64,
    largest: i64,
    quants: &[u8],
    likely: &mut [u8],
    classes: &mut [u8],
) {
    for ((&quant, class), likely) in quants.iter().zip(classes).zip(likely) {
        let parts = (factor * i64::from(quant) + sum) >> FINE_BITS;
        let place = parts.div_euclid(PARTS);
        *likely = place.clamp(0, largest) as u8;
        *class = if place < 0 {
            BELOW
        } else if place > largest {
            ABOVE
        } else {
            parts.rem_euclid(PARTS) as u8
        };
    }
}

/// Gives all symbols of a window to `pass`. `given` are the same weights at a finer precision.
pub(super) fn walk<P: Pass>(
    shape: Shape,
    window: &mut Window,
    given_shape: Shape,
    given: &Window,
    scratch: &mut Scratch,
    pass: &mut P,
) {
    headers::walk(shape, window, &mut scratch.classes, pass);
    predict(shape, window, given_shape, given, scratch);
    let first = all_classes(&headers::axes(shape.layout)) as u8;
    for class in &mut scratch.classes {
        *class += first;
    }
    let mask = (headers::quants(shape.layout) - 1) as u8;
    if !P::DECODES {
        for (quant, likely) in window.quants.iter_mut().zip(&scratch.likely) {
            *quant = quant.wrapping_sub(*likely) & mask;
        }
    }
    pass.run_classed(&scratch.classes, &mut window.quants);
    for (quant, likely) in window.quants.iter_mut().zip(&scratch.likely) {
        *quant = quant.wrapping_add(*likely) & mask;
    }
}

/// How many quants of a sample, of a hundred, are what those of another tensor of the same shape say.
pub(super) fn agreement(shape: Shape, data: &[u8], given_shape: Shape, given: &[u8]) -> usize {
    let bytes = |shape: Shape| PIECE / shape.layout.weights() * shape.layout.bytes();
    let (own, finer) = (bytes(shape), bytes(given_shape));
    let pieces = (data.len() / own).min(given.len() / finer);
    let (mut windows, mut scratch) = ([Window::default(), Window::default()], Scratch::default());
    let (mut agree, mut all) = (0, 0);
    for piece in (0..pieces).step_by(pieces.div_ceil(PIECES).max(1)) {
        let place = |length: usize| piece * length..(piece + 1) * length;
        let both = data.get(place(own)).zip(given.get(place(finer)));
        let Some((data, given)) = both else { continue };
        let [window, finer] = &mut windows;
        window.split(shape, data);
        finer.split(given_shape, given);
        predict(shape, window, given_shape, finer, &mut scratch);
        let both = window.quants.iter().zip(&scratch.likely);
        agree += both.filter(|(quant, likely)| quant == likely).count();
        all += window.quants.len();
    }
    (100 * agree).checked_div(all).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::{Q4_1, Q5_0, Q8_0};

    const ONE: u16 = 0x3c00;

    fn predicted(shape: Shape, own: &[u8], given_shape: Shape, given: &[u8]) -> Vec<(u8, u8)> {
        let mut windows = [Window::default(), Window::default()];
        windows[0].split(shape, own);
        windows[1].split(given_shape, given);
        let mut scratch = Scratch::default();
        predict(shape, &windows[0], given_shape, &windows[1], &mut scratch);
        let both = scratch.likely.iter().copied();
        both.zip(scratch.classes.iter().copied()).collect()
    }

    fn shape(layout: BlockLayout) -> Shape {
        Shape::of(layout, &[32])
    }

    #[test]
    fn finer_weights_say_where_quants_lie() {
        // An eighth a step: 8·q is a whole step of the coarser.
        let mut quants = [0; 32];
        quants[..6].copy_from_slice(&[0, 8, -8, 12, 3, 122]);
        let finer = Q8_0 { d: 0x3000, quants };
        let coarse = Q5_0 {
            d: ONE,
            quants: [0; 32],
        };
        let (own, given) = (shape(BlockLayout::Q5_0), shape(BlockLayout::Q8_0));
        let found = predicted(own, &coarse.to_bytes(), given, &finer.to_bytes());
        assert_eq!(
            found[..6],
            [(16, 16), (17, 16), (15, 16), (18, 0), (16, 28), (31, 24)]
        );
        // A quarter a step: the largest are beyond the range.
        let coarse = Q5_0 {
            d: 0x3800,
            quants: [0; 32],
        };
        let found = predicted(own, &coarse.to_bytes(), given, &finer.to_bytes());
        assert_eq!(found[5], (31, ABOVE));
    }

    #[test]
    fn small_numbers_are_placed_as_large_ones_are() {
        let quants: Vec<u8> = (0..=255).collect();
        for factor in [-8_000_000i32, -40_000, -1, 0, 3, 1024, 32_768, 8_000_000] {
            for sum in [-70_000_000, -16_384, 0, 16_384, 70_000_000] {
                let mut small = (vec![0; 256], vec![0; 256]);
                let mut large = small.clone();
                let (likely, classes) = (&mut small.0, &mut small.1);
                place_small(factor, sum, 31, &quants, likely, classes);
                let (likely, classes) = (&mut large.0, &mut large.1);
                place(factor.into(), sum.into(), 31, &quants, likely, classes);
                assert_eq!(small, large, "{factor} {sum}");
            }
        }
    }

    #[test]
    fn minima_move_the_range() {
        let finer = Q5_0 {
            d: ONE,
            quants: [20; 32],
        };
        // 4 = 1·q − 2.
        let coarse = Q4_1 {
            d: ONE,
            m: 0xc000,
            quants: [0; 32],
        };
        let (own, given) = (shape(BlockLayout::Q4_1), shape(BlockLayout::Q5_0));
        let found = predicted(own, &coarse.to_bytes(), given, &finer.to_bytes());
        assert_eq!(found[0], (6, 16));
    }

    #[test]
    fn what_is_no_number_says_nothing() {
        let (own, given) = (shape(BlockLayout::Q5_0), shape(BlockLayout::Q8_0));
        for (d, finer) in [(0, ONE), (0x8000, ONE), (0x7c00, ONE), (ONE, 0x7e00)] {
            let coarse = Q5_0 { d, quants: [3; 32] };
            let finer = Q8_0 {
                d: finer,
                quants: [5; 32],
            };
            let found = predicted(own, &coarse.to_bytes(), given, &finer.to_bytes());
            assert_eq!(found, vec![(0, UNKNOWN); 32]);
        }
        // The least and the largest numbers that there are.
        let coarse = Q5_0 {
            d: 1,
            quants: [3; 32],
        };
        let finer = Q8_0 {
            d: 0x7bff,
            quants: [127; 32],
        };
        let found = predicted(own, &coarse.to_bytes(), given, &finer.to_bytes());
        assert!(found.iter().all(|&(_, class)| class == UNKNOWN));
    }
}
