//! `block_context`: GGUF's quantised blocks, headers and quants by their frequencies in a tensor, the quants given what
//! the headers say and what the group has shown so far.
//!
//! Steps are chosen so that a group reaches an end of the range: once it has, it is less likely to be there again, and
//! as long as it has not, it becomes more so with every weight. Groups are decoded side by side, weight by weight, so
//! that what each has shown is known.
//!
//! # Format
//!
//! Chunks, tables and units are those of all methods for blocks, see [`block_coding`](crate::block_coding). The axes of
//! classes are those of the fields ([`headers`]), and then one for each *state* of a group, with the groups' classes; of
//! the 32 classes of zero points, those below 8 are one, and those above 22.
//!
//! | layout | ends | states |
//! | --- | --- | --- |
//! | `Q4_K`, `Q4_1` | 0 and 15 | both seen; none, by the weights left; 0 seen, by the weights left; 15 seen, by the weights left |
//! | `Q6_K`, `Q5_0` | 0 | seen; not, by the weights left |
//! | `Q8_0` | −127 and 127 | one seen; none, by the weights left |
//!
//! Weights left, the one in question among them: 1 to 2, to 8, to 16, more, where there are two ends; 1, 2, to 4, to 8,
//! to 16, more, where there is one.
//!
//! A window is first its fields. Then its groups, in the order of their classes and in it of the weights, by [`SIDE`] and
//! then those that are left; of these the first quant of each as a run, then the second, and so on.

use crate::block_coding::{
    Axis, BlockCoder, BlockFamily, ByTables, Pass, Shape, Window, all_classes, headers,
};
use crate::blocks::BlockLayout;

/// Groups that are coded side by side.
const SIDE: usize = 256;

pub(super) const FAMILY: BlockFamily<ByTables<Coder>> = BlockFamily::new();

pub(crate) struct Coder;

#[derive(Default)]
pub(crate) struct Scratch {
    /// Of each group.
    classes: Vec<u8>,
    /// The numbers of the groups, in the order of their classes.
    order: Vec<u32>,
}

/// Zero points of less, and of more, are of one class.
const LEAST_ZERO_POINT: u8 = 7;
const ZERO_POINTS: usize = 16;

/// What is particular to a layout.
struct Rules {
    /// Quants at the ends of the range.
    ends: [u8; 2],
    /// Whether both ends are waited for, and not either.
    both: bool,
    /// What is taken off a group's class, and how many classes that leaves.
    least: u8,
    classes: usize,
}

impl Rules {
    fn of(layout: BlockLayout) -> Rules {
        let classes = headers::classes(layout);
        match layout {
            BlockLayout::Q4K | BlockLayout::Q4_1 => Rules {
                ends: [0, 15],
                both: true,
                least: LEAST_ZERO_POINT,
                classes: ZERO_POINTS,
            },
            BlockLayout::Q6K | BlockLayout::Q5_0 => Rules {
                ends: [0, 0],
                both: false,
                least: 0,
                classes,
            },
            BlockLayout::Q8_0 => Rules {
                ends: [1, 255],
                both: false,
                least: 0,
                classes,
            },
        }
    }

    fn states(&self) -> usize {
        if self.both { 1 + 3 * 4 } else { 1 + 6 }
    }

    /// The state of groups that have seen none of the ends, the first, the second, or both, with so many weights left.
    fn state_of(&self, left: usize) -> [u8; 4] {
        if self.both {
            let bucket = match left {
                0..=2 => 1,
                3..=8 => 2,
                9..=16 => 3,
                _ => 4,
            };
            [bucket, bucket + 4, bucket + 8, 0]
        } else {
            let bucket = left.max(1).next_power_of_two().trailing_zeros().min(5);
            [1 + bucket as u8, 0, 0, 0]
        }
    }
}

impl BlockCoder for Coder {
    const NAME: &'static str = "block_context";
    const ABOUT: &'static str = "rANS over the headers and quants of GGUF's blocks, the quants given what the headers say and the group has shown";
    const LEAF: &'static str = "codecs/src/methods/block_context.rs";
    const VERSION: u8 = 1;
    type Scratch = Scratch;

    fn axes(layout: BlockLayout) -> Vec<Axis> {
        let mut axes = headers::axes(layout);
        let rules = Rules::of(layout);
        let axis = Axis {
            classes: rules.classes,
            symbols: headers::quants(layout),
        };
        axes.extend(vec![axis; rules.states()]);
        axes
    }

    fn walk(shape: Shape, window: &mut Window, scratch: &mut Scratch, pass: &mut impl Pass) {
        headers::walk(shape, window, &mut scratch.classes, pass);
        headers::group_classes(shape, window, &mut scratch.classes);
        let rules = Rules::of(shape.layout);
        for class in &mut scratch.classes {
            *class = class
                .saturating_sub(rules.least)
                .min(rules.classes as u8 - 1);
        }
        headers::sort(&scratch.classes, &mut scratch.order);
        let first = all_classes(&headers::axes(shape.layout));
        let walk = match shape.group() {
            16 => walk_quants::<16, _>,
            _ => walk_quants::<32, _>,
        };
        walk(&rules, first as u8, window, scratch, pass);
    }
}

fn walk_quants<const GROUP: usize, P: Pass>(
    rules: &Rules,
    first: u8,
    window: &mut Window,
    scratch: &Scratch,
    pass: &mut P,
) {
    let groups = window.quants.as_chunks_mut::<GROUP>().0;
    let mut side = [[0u8; SIDE]; GROUP];
    for numbers in scratch.order.chunks(SIDE) {
        let mut of_group = [first; SIDE];
        for (class, &number) in of_group.iter_mut().zip(numbers) {
            *class += scratch.classes.get(number as usize).copied().unwrap_or(0);
        }
        if !P::DECODES {
            for (place, &number) in numbers.iter().enumerate() {
                let Some(group) = groups.get(number as usize) else {
                    continue;
                };
                for (row, &quant) in side.iter_mut().zip(group) {
                    row[place % SIDE] = quant;
                }
            }
        }
        let mut seen = [0u8; SIDE];
        for (step, row) in side.iter_mut().enumerate() {
            let states = rules.state_of(GROUP - step);
            let starts = states.map(|state| state * rules.classes as u8);
            let mut classes = [0; SIDE];
            for ((class, own), seen) in classes.iter_mut().zip(&of_group).zip(&seen) {
                *class = own + starts[usize::from(seen & 3)];
            }
            pass.run_classed(&classes[..numbers.len()], &mut row[..numbers.len()]);
            let [one, other] = rules.ends;
            for (seen, quant) in seen.iter_mut().zip(row.iter()) {
                *seen |= u8::from(*quant == one) | u8::from(*quant == other) << 1;
            }
        }
        if P::DECODES {
            for (place, &number) in numbers.iter().enumerate() {
                let Some(group) = groups.get_mut(number as usize) else {
                    continue;
                };
                for (row, quant) in side.iter().zip(group) {
                    *quant = row[place % SIDE];
                }
            }
        }
    }
}
