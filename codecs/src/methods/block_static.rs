//! `block_static`: GGUF's quantised blocks, headers and quants by their frequencies in a tensor, the quants given what
//! the headers say.
//!
//! No quant depends on another, so a decoder goes through those of one class after those of another, each by a table
//! that fits the fastest cache.
//!
//! # Format
//!
//! Chunks, tables and units are those of all methods for blocks, see [`block_coding`](crate::block_coding). The axes of
//! classes are those of the fields, and one with the classes of groups ([`headers`]).
//!
//! A window is first its fields. Then its quants, a run for each class that there is, in the order of the classes; in it
//! the groups of the class, in the order of the weights.

use crate::block_coding::{
    Axis, BlockCoder, BlockFamily, ByTables, Pass, Shape, Window, all_classes, headers,
};
use crate::blocks::BlockLayout;

/// Quants that are passed at a time, so that they are put into their places while they are near.
const PIECE: usize = 1 << 12;

pub(super) const FAMILY: BlockFamily<ByTables<Coder>> = BlockFamily::new();

pub(crate) struct Coder;

#[derive(Default)]
pub(crate) struct Scratch {
    /// Of each group.
    classes: Vec<u8>,
    /// The numbers of the groups, in the order of their classes.
    order: Vec<u32>,
    /// The quants of a piece.
    piece: Vec<u8>,
}

impl BlockCoder for Coder {
    const NAME: &'static str = "block_static";
    const ABOUT: &'static str =
        "rANS over the headers and quants of GGUF's blocks, the quants given what the headers say";
    const LEAF: &'static str = "codecs/src/methods/block_static.rs";
    const VERSION: u8 = 1;
    type Scratch = Scratch;

    fn axes(layout: BlockLayout) -> Vec<Axis> {
        let mut axes = headers::axes(layout);
        axes.push(Axis {
            classes: headers::classes(layout),
            symbols: headers::quants(layout),
        });
        axes
    }

    fn walk(shape: Shape, window: &mut Window, scratch: &mut Scratch, pass: &mut impl Pass) {
        headers::walk(shape, window, &mut scratch.classes, pass);
        headers::group_classes(shape, window, &mut scratch.classes);
        match shape.group() {
            16 => walk_quants::<16>(shape, window, scratch, pass),
            _ => walk_quants::<32>(shape, window, scratch, pass),
        }
    }
}

fn walk_quants<const GROUP: usize>(
    shape: Shape,
    window: &mut Window,
    scratch: &mut Scratch,
    pass: &mut impl Pass,
) {
    let Scratch {
        classes,
        order,
        piece,
    } = scratch;
    piece.resize(PIECE, 0);
    let starts = headers::sort(classes, order);
    let first = all_classes(&headers::axes(shape.layout));
    let groups = window.quants.as_chunks_mut::<GROUP>().0;
    for (class, ends) in (first..).zip(starts.windows(2)) {
        let of_class = order.get(ends[0]..ends[1]).unwrap_or(&[]);
        if of_class.is_empty() {
            continue;
        }
        pass_groups(class as u8, of_class, groups, piece, pass);
    }
}

/// A run of groups, in pieces: all but the last are multiples of all lanes, so that each begins in the first lane, as the
/// run does. `piece` is space for one.
fn pass_groups<const GROUP: usize, P: Pass>(
    class: u8,
    numbers: &[u32],
    groups: &mut [[u8; GROUP]],
    piece: &mut [u8],
    pass: &mut P,
) {
    for numbers in numbers.chunks(PIECE / GROUP) {
        let Some(quants) = piece.get_mut(..numbers.len() * GROUP) else {
            continue;
        };
        if P::DECODES {
            pass.run(class, quants);
            for (&number, quants) in numbers.iter().zip(quants.as_chunks().0) {
                if let Some(group) = groups.get_mut(number as usize) {
                    *group = *quants;
                }
            }
        } else {
            for (&number, quants) in numbers.iter().zip(quants.as_chunks_mut().0) {
                if let Some(group) = groups.get(number as usize) {
                    *quants = *group;
                }
            }
            pass.run(class, quants);
        }
    }
}
