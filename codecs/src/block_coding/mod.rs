//! What methods for GGUF's quantised blocks have in common: blocks taken apart, classes and their tables, chunks.
//!
//! A block is headers, which its weights share, and a quant for each weight. How likely a quant is depends on what the
//! headers say, above all on where in the range of the quants the weight zero lies. So headers are coded first, and
//! each quant by the table of its class. A [`BlockCoder`] says which classes there are and walks through a window of
//! blocks in the order in which it is coded; the same walk counts, encodes and decodes. Tables are those of a tensor. A
//! [`BlockCoding`] that learns as it goes has none.

mod again;
mod by_tables;
mod chunk;
mod chunks;
mod family;
pub(crate) mod given;
pub(crate) mod headers;
mod pass;
mod tables;
mod window;
pub(crate) mod zero;

pub(crate) use by_tables::ByTables;
pub(crate) use family::BlockFamily;
pub(crate) use pass::Pass;
pub(crate) use window::{Shape, Window};

use crate::blocks::BlockLayout;
use crate::bytes::ByteReader;
use crate::error::DecodeError;

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

/// The same weights as those of a chunk, or a tensor, at a finer precision.
#[derive(Clone, Copy)]
pub(crate) struct Given<'a> {
    pub(crate) shape: Shape,
    pub(crate) data: &'a [u8],
}

impl<'a> Given<'a> {
    /// The part that has the weights of `number`-th part of so many blocks, where a part of its own has `blocks`.
    pub(crate) fn part(self, number: usize, blocks: usize) -> Given<'a> {
        let length = blocks * self.shape.layout.bytes();
        let start = (number * length).min(self.data.len());
        let end = (start + length).min(self.data.len());
        Given {
            shape: self.shape,
            data: self.data.get(start..end).unwrap_or(&[]),
        }
    }
}

/// What the blocks of a tensor are coded by. A method is one of these and what is around it.
pub(crate) trait BlockCoding: Send + Sync + Sized + 'static {
    /// The method's name.
    const NAME: &'static str;
    /// What the method does, in a sentence.
    const ABOUT: &'static str;
    /// Its source file, relative to the workspace.
    const LEAF: &'static str;
    /// The version of its format.
    const VERSION: u8;
    /// Weights of a chunk: those of some windows, of less than 8 MiB.
    const CHUNK_WEIGHTS: usize;
    /// Space used again from chunk to chunk.
    type Scratch: Default + Send;

    /// Looks at a tensor, by itself or given another; also says what its chunks share, written. `None` if it is better
    /// stored.
    fn fit(
        shape: Shape,
        data: &[u8],
        given: Option<Given<'_>>,
        scratch: &mut Self::Scratch,
    ) -> Option<(Self, Vec<u8>)>;

    /// Takes what chunks share.
    ///
    /// # Errors
    ///
    /// Where it is not what [`fit`](Self::fit) says of such a tensor.
    fn open(
        layout: BlockLayout,
        given: Option<BlockLayout>,
        written: &[u8],
    ) -> Result<Option<Self>, DecodeError>;

    /// Appends some blocks, by themselves or given others.
    fn encode(
        &self,
        shape: Shape,
        data: &[u8],
        given: Option<Given<'_>>,
        scratch: &mut Self::Scratch,
        out: &mut Vec<u8>,
    );

    /// Takes what [`encode`](Self::encode) writes and fills `data` with whole blocks.
    ///
    /// # Errors
    ///
    /// Where bytes are missing, or are not what is written.
    fn decode(
        &self,
        shape: Shape,
        reader: &mut ByteReader<'_>,
        given: Option<Given<'_>>,
        scratch: &mut Self::Scratch,
        data: &mut [u8],
    ) -> Result<(), DecodeError>;
}

/// Says of which class each symbol of a block is, for blocks that are coded [by tables](ByTables).
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
