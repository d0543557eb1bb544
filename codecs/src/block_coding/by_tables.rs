//! Blocks coded by tables: each symbol by the frequencies of its class in the tensor.
//!
//! The symbols of a chunk are those of its windows, in one stream ([`Runs`]); given other blocks, as [`given`] has them.
//! What the chunks of a tensor share are the tables, or nothing if they would not pay: it is stored then.

use std::marker::PhantomData;
use std::sync::OnceLock;

use super::again::Again;
use super::chunk::may_repeat;
use super::given;
use super::pass::{Counting, Counts, Decoding, Encoding, Pass};
use super::tables::Tables;
use super::{Axis, BlockCoder, BlockCoding, CHUNK_WEIGHTS, Given, Shape, Window, all_classes};
use crate::blocks::BlockLayout;
use crate::bytes::ByteReader;
use crate::error::DecodeError;
use crate::rans::{DecoderTable, EncoderTable, RunDecoder, Runs};

/// The tables of a tensor, for the classes of a coder.
pub(crate) struct ByTables<C> {
    tables: Tables,
    /// Made when they are needed: they are large beside what they are made of.
    encoder: OnceLock<Vec<EncoderTable>>,
    decoder: OnceLock<DecoderTable>,
    coder: PhantomData<C>,
}

/// Space used again from chunk to chunk.
#[derive(Default)]
pub(crate) struct Scratch<S> {
    own: S,
    window: Window,
    /// The same weights at a finer precision.
    given: Window,
    by_given: given::Scratch,
    runs: Runs,
    /// Blocks that do not come again.
    kept: Vec<u8>,
}

impl<C: BlockCoder> ByTables<C> {
    fn of(tables: Tables) -> Self {
        ByTables {
            tables,
            encoder: OnceLock::new(),
            decoder: OnceLock::new(),
            coder: PhantomData,
        }
    }
}

impl<C: BlockCoder> BlockCoding for ByTables<C> {
    const NAME: &'static str = C::NAME;
    const ABOUT: &'static str = C::ABOUT;
    const LEAF: &'static str = C::LEAF;
    const VERSION: u8 = C::VERSION;
    const CHUNK_WEIGHTS: usize = CHUNK_WEIGHTS;
    type Scratch = Scratch<C::Scratch>;

    fn fit(
        shape: Shape,
        data: &[u8],
        given: Option<Given<'_>>,
        scratch: &mut Self::Scratch,
    ) -> Option<(Self, Vec<u8>)> {
        let axes = axes::<C>(shape.layout, given.is_some());
        let mut counts = vec![[0; 256]; all_classes(&axes)];
        count::<C>(shape, data, given, scratch, &mut counts);
        let (tables, bits) = Tables::fit(&axes, &counts);
        (bits < 8.0 * data.len() as f64).then(|| {
            let mut written = Vec::new();
            tables.write(&axes, &mut written);
            (Self::of(tables), written)
        })
    }

    fn open(
        layout: BlockLayout,
        given: Option<BlockLayout>,
        written: &[u8],
    ) -> Result<Option<Self>, DecodeError> {
        if written.is_empty() {
            return Ok(None);
        }
        let mut reader = ByteReader::new(written);
        let tables = Tables::read(&axes::<C>(layout, given.is_some()), &mut reader)?;
        reader.finish()?;
        Ok(Some(Self::of(tables)))
    }

    fn encode(
        &self,
        shape: Shape,
        data: &[u8],
        given: Option<Given<'_>>,
        scratch: &mut Self::Scratch,
        out: &mut Vec<u8>,
    ) {
        let tables = self.encoder.get_or_init(|| {
            let frequencies = self.tables.frequencies.iter();
            frequencies.map(EncoderTable::new).collect()
        });
        let mut runs = std::mem::take(&mut scratch.runs);
        runs.clear();
        let mut pass = Encoding {
            table_of: &self.tables.of_class,
            runs: &mut runs,
            tables: Vec::new(),
        };
        walk_blocks::<C>(shape, data, given, scratch, &mut pass);
        runs.encode(tables, out);
        scratch.runs = runs;
    }

    fn decode(
        &self,
        shape: Shape,
        reader: &mut ByteReader<'_>,
        given: Option<Given<'_>>,
        scratch: &mut Self::Scratch,
        data: &mut [u8],
    ) -> Result<(), DecodeError> {
        let table = self
            .decoder
            .get_or_init(|| DecoderTable::new(&self.tables.frequencies));
        let blocks = data.len() / shape.layout.bytes();
        let symbols = blocks * shape.symbols();
        let mut runs = RunDecoder::start(reader, table, symbols)?;
        let mut pass = Decoding {
            table_of: &self.tables.of_class,
            decoder: &mut runs,
            tables: Vec::new(),
        };
        let windows = data.chunks_mut(shape.window() * shape.layout.bytes());
        for (number, data) in windows.enumerate() {
            let blocks = data.len() / shape.layout.bytes();
            scratch.window.resize(shape, blocks);
            walk_window::<C>(shape, number, given, scratch, &mut pass);
            scratch.window.join(shape, data);
        }
        runs.finish()
    }
}

/// The axes of a layout, by itself or given another tensor.
fn axes<C: BlockCoder>(layout: BlockLayout, is_given: bool) -> Vec<Axis> {
    match is_given {
        true => given::axes(layout),
        false => C::axes(layout),
    }
}

/// Counts the symbols of a tensor, which are coded in these chunks.
fn count<C: BlockCoder>(
    shape: Shape,
    data: &[u8],
    given: Option<Given<'_>>,
    scratch: &mut Scratch<C::Scratch>,
    counts: &mut Counts,
) {
    let chunks = data.chunks(shape.chunk(CHUNK_WEIGHTS) * shape.layout.bytes());
    for (number, data) in chunks.enumerate() {
        let mut pass = Counting(counts);
        let given = given.map(|given| given.part(number, given.shape.chunk(CHUNK_WEIGHTS)));
        if given.is_none() && may_repeat(shape, data) {
            let mut kept = std::mem::take(&mut scratch.kept);
            let again = Again::find(data, shape.layout.bytes());
            again.leave_out(data, shape.layout.bytes(), &mut kept);
            walk_blocks::<C>(shape, &kept, None, scratch, &mut pass);
            scratch.kept = kept;
        } else {
            walk_blocks::<C>(shape, data, given, scratch, &mut pass);
        }
    }
}

/// Gives the symbols of blocks to `pass`.
fn walk_blocks<C: BlockCoder>(
    shape: Shape,
    data: &[u8],
    given: Option<Given<'_>>,
    scratch: &mut Scratch<C::Scratch>,
    pass: &mut impl Pass,
) {
    let windows = data.chunks(shape.window() * shape.layout.bytes());
    for (number, data) in windows.enumerate() {
        scratch.window.split(shape, data);
        walk_window::<C>(shape, number, given, scratch, pass);
    }
}

/// Gives the symbols of a window to `pass`, or has it fill them in.
fn walk_window<C: BlockCoder>(
    shape: Shape,
    number: usize,
    given: Option<Given<'_>>,
    scratch: &mut Scratch<C::Scratch>,
    pass: &mut impl Pass,
) {
    let Some(given) = given else {
        C::walk(shape, &mut scratch.window, &mut scratch.own, pass);
        return;
    };
    let part = given.part(number, given.shape.window());
    scratch.given.split(given.shape, part.data);
    let Scratch {
        window,
        given: finer,
        by_given,
        ..
    } = scratch;
    given::walk(shape, window, given.shape, finer, by_given, pass);
}
