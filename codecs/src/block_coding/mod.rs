//! What methods for GGUF's quantised blocks have in common: blocks taken apart, classes and their tables, chunks.
//!
//! A block is headers, which its weights share, and a quant for each weight. How likely a quant is depends on what the
//! headers say, above all on where in the range of the quants the weight zero lies. So headers are coded first, and
//! each quant by the table of its class. A [`BlockCoder`] says which classes there are and walks through a window of
//! blocks in the order in which it is coded; the same walk counts, encodes and decodes. Tables are those of a tensor.

mod again;
mod chunk;
mod chunks;
mod family;
mod given;
pub(crate) mod headers;
mod pass;
mod tables;
mod window;
mod zero;

pub(crate) use family::BlockFamily;
pub(crate) use pass::Pass;
pub(crate) use window::{Shape, Window};

use crate::blocks::BlockLayout;

/// Weights of a window, unless a row has more and a block does not.
pub(crate) const WINDOW_WEIGHTS: usize = 1 << 17;
/// Weights of a chunk: some windows.
pub(crate) const CHUNK_WEIGHTS: usize = 1 << 20;
/// The most classes that a coder may have, headers' and quants' together.
pub(crate) const MOST_CLASSES: usize = 256;

/// Classes in a row. Neighbours resemble each other and may share a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Axis {
    /// How many there are.
    pub(crate) classes: usize,
    /// The symbols of each, from 0 on.
    pub(crate) symbols: usize,
}

/// How many classes axes have together.
pub(crate) fn all_classes(axes: &[Axis]) -> usize {
    axes.iter().map(|axis| axis.classes).sum()
}

/// Says of which class each symbol of a block is. A method is a coder and what is around it.
pub(crate) trait BlockCoder: Send + Sync + 'static {
    /// The method's name.
    const NAME: &'static str;
    /// What the method does, in a sentence.
    const ABOUT: &'static str;
    /// Its source file, relative to the workspace.
    const LEAF: &'static str;
    /// The version of its format.
    const VERSION: u8;
    /// Space used again from window to window.
    type Scratch: Default + Send;

    /// The classes of a layout. Their numbers go on from axis to axis; together they are [`MOST_CLASSES`] at most.
    fn axes(layout: BlockLayout) -> Vec<Axis>;

    /// Gives all symbols of a window to `pass`, whose runs may depend on the symbols of runs before, and on nothing
    /// else of the window.
    fn walk(shape: Shape, window: &mut Window, scratch: &mut Self::Scratch, pass: &mut impl Pass);
}
