//! Blocks taken apart, some rows of them at a time.

use crate::blocks::{BlockLayout, Q4_1, Q4K, Q5_0, Q6K, Q8_0};

use super::WINDOW_WEIGHTS;
use crate::simd::vectorized;

/// How the blocks of a tensor lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) layout: BlockLayout,
    /// Blocks of a row.
    pub(crate) row: usize,
}

impl Shape {
    /// Rows are those of the last axis. A row of more blocks than a window holds counts as one of as many.
    pub(crate) fn of(layout: BlockLayout, shape: &[u64]) -> Shape {
        let most = WINDOW_WEIGHTS / layout.weights();
        let columns = shape.last().copied().unwrap_or(1);
        let row = usize::try_from(columns).map_or(most, |columns| columns / layout.weights());
        Shape {
            layout,
            row: row.clamp(1, most),
        }
    }

    /// Blocks of every window of a chunk but the last: whole rows.
    pub(crate) fn window(self) -> usize {
        WINDOW_WEIGHTS / self.layout.weights() / self.row * self.row
    }

    /// Blocks of every chunk of a tensor but the last, which has so many weights or nearly: whole windows.
    pub(crate) fn chunk(self, weights: usize) -> usize {
        weights / WINDOW_WEIGHTS * self.window()
    }

    /// Numbers of eight bits that the headers of a block are taken apart into.
    pub(crate) fn header(self) -> usize {
        match self.layout {
            BlockLayout::Q4K => 4 + 2 * Q4K::GROUPS,
            BlockLayout::Q6K => 2 + Q6K::GROUPS,
            BlockLayout::Q5_0 | BlockLayout::Q8_0 => 2,
            BlockLayout::Q4_1 => 4,
        }
    }

    /// Weights that share a scale.
    pub(crate) fn group(self) -> usize {
        match self.layout {
            BlockLayout::Q4K => Q4K::GROUP_WEIGHTS,
            BlockLayout::Q6K => Q6K::GROUP_WEIGHTS,
            BlockLayout::Q5_0 | BlockLayout::Q8_0 | BlockLayout::Q4_1 => self.layout.weights(),
        }
    }

    /// Symbols of a block.
    pub(crate) fn symbols(self) -> usize {
        self.header() + self.layout.weights()
    }
}

/// Some blocks, taken apart.
///
/// Their headers are *fields*, one number of eight bits each, and lie field by field: the first of every block, then the
/// second. In this order, for each layout:
///
/// | layout | fields |
/// | --- | --- |
/// | `Q4_K` | upper and lower byte of `d`, the same of `dmin`, 8 scales, 8 minima |
/// | `Q6_K` | upper and lower byte of `d`, 16 scales, each with 128 added |
/// | `Q5_0`, `Q8_0` | upper and lower byte of `d` |
/// | `Q4_1` | upper and lower byte of `d`, the same of `m` |
///
/// Quants are a byte each, in the order of the weights; those of `Q8_0` have 128 added.
#[derive(Debug, Default)]
pub(crate) struct Window {
    pub(crate) blocks: usize,
    fields: Vec<u8>,
    pub(crate) quants: Vec<u8>,
}

impl Window {
    /// Makes room for as many blocks.
    pub(crate) fn resize(&mut self, shape: Shape, blocks: usize) {
        self.blocks = blocks;
        self.fields.resize(shape.header() * blocks, 0);
        self.quants.resize(shape.layout.weights() * blocks, 0);
    }

    /// A field of every block.
    pub(crate) fn field(&self, number: usize) -> &[u8] {
        let start = number * self.blocks;
        self.fields.get(start..start + self.blocks).unwrap_or(&[])
    }

    /// A field of every block, to be changed.
    pub(crate) fn field_mut(&mut self, number: usize) -> &mut [u8] {
        let start = number * self.blocks;
        self.fields
            .get_mut(start..start + self.blocks)
            .unwrap_or(&mut [])
    }

    /// A field of a block.
    #[inline]
    pub(crate) fn byte(&self, field: usize, block: usize) -> u8 {
        self.field(field).get(block).copied().unwrap_or(0)
    }

    /// The number of a block whose upper byte is in a field, and the lower one in the next.
    #[inline]
    pub(crate) fn number(&self, field: usize, block: usize) -> u16 {
        u16::from_be_bytes([self.byte(field, block), self.byte(field + 1, block)])
    }

    /// Takes blocks apart: whole ones.
    pub(crate) fn split(&mut self, shape: Shape, data: &[u8]) {
        self.resize(shape, data.len() / shape.layout.bytes());
        split(self, shape.layout, data);
    }

    /// Puts the blocks together.
    pub(crate) fn join(&self, shape: Shape, data: &mut [u8]) {
        join(self, shape.layout, data);
    }

    #[inline(always)]
    fn split_blocks<
        B: Fields<BYTES, WEIGHTS, HEADER>,
        const BYTES: usize,
        const WEIGHTS: usize,
        const HEADER: usize,
    >(
        &mut self,
        data: &[u8],
    ) {
        let all = self.blocks;
        let blocks = data.as_chunks::<BYTES>().0.iter();
        let quants = self.quants.as_chunks_mut::<WEIGHTS>().0;
        for (number, (block, quants)) in blocks.zip(quants).enumerate() {
            let fields;
            (fields, *quants) = B::split(block);
            for (place, field) in fields.into_iter().enumerate() {
                if let Some(slot) = self.fields.get_mut(place * all + number) {
                    *slot = field;
                }
            }
        }
    }

    #[inline(always)]
    fn join_blocks<
        B: Fields<BYTES, WEIGHTS, HEADER>,
        const BYTES: usize,
        const WEIGHTS: usize,
        const HEADER: usize,
    >(
        &self,
        data: &mut [u8],
    ) {
        let all = self.blocks;
        let blocks = data.as_chunks_mut::<BYTES>().0.iter_mut();
        let quants = self.quants.as_chunks::<WEIGHTS>().0;
        for (number, (block, quants)) in blocks.zip(quants).enumerate() {
            let mut fields = [0; HEADER];
            for (place, field) in fields.iter_mut().enumerate() {
                *field = self.fields.get(place * all + number).copied().unwrap_or(0);
            }
            *block = B::join(fields, quants);
        }
    }
}

vectorized! {
    fn split(window: &mut Window, layout: BlockLayout, data: &[u8]) {
        match layout {
            BlockLayout::Q4K => window.split_blocks::<Q4K, _, _, _>(data),
            BlockLayout::Q6K => window.split_blocks::<Q6K, _, _, _>(data),
            BlockLayout::Q5_0 => window.split_blocks::<Q5_0, _, _, _>(data),
            BlockLayout::Q8_0 => window.split_blocks::<Q8_0, _, _, _>(data),
            BlockLayout::Q4_1 => window.split_blocks::<Q4_1, _, _, _>(data),
        }
    }
}

vectorized! {
    fn join(window: &Window, layout: BlockLayout, data: &mut [u8]) {
        match layout {
            BlockLayout::Q4K => window.join_blocks::<Q4K, _, _, _>(data),
            BlockLayout::Q6K => window.join_blocks::<Q6K, _, _, _>(data),
            BlockLayout::Q5_0 => window.join_blocks::<Q5_0, _, _, _>(data),
            BlockLayout::Q8_0 => window.join_blocks::<Q8_0, _, _, _>(data),
            BlockLayout::Q4_1 => window.join_blocks::<Q4_1, _, _, _>(data),
        }
    }
}

/// A layout, as its fields and quants.
trait Fields<const BYTES: usize, const WEIGHTS: usize, const HEADER: usize> {
    fn split(block: &[u8; BYTES]) -> ([u8; HEADER], [u8; WEIGHTS]);
    fn join(fields: [u8; HEADER], quants: &[u8; WEIGHTS]) -> [u8; BYTES];
}

impl Fields<144, 256, 20> for Q4K {
    #[inline(always)]
    fn split(block: &[u8; 144]) -> ([u8; 20], [u8; 256]) {
        let block = Q4K::from_bytes(block);
        let mut fields = [0; 20];
        let (numbers, rest) = fields.split_at_mut(4);
        let [d_low, d_high] = block.d.to_le_bytes();
        let [dmin_low, dmin_high] = block.dmin.to_le_bytes();
        numbers.copy_from_slice(&[d_high, d_low, dmin_high, dmin_low]);
        let (scales, minima) = rest.split_at_mut(Q4K::GROUPS);
        scales.copy_from_slice(&block.scales);
        minima.copy_from_slice(&block.minima);
        (fields, block.quants)
    }

    #[inline(always)]
    fn join(fields: [u8; 20], quants: &[u8; 256]) -> [u8; 144] {
        let mut block = Q4K {
            d: u16::from_be_bytes([fields[0], fields[1]]),
            dmin: u16::from_be_bytes([fields[2], fields[3]]),
            scales: [0; Q4K::GROUPS],
            minima: [0; Q4K::GROUPS],
            quants: *quants,
        };
        block.scales.copy_from_slice(&fields[4..12]);
        block.minima.copy_from_slice(&fields[12..]);
        block.to_bytes()
    }
}

impl Fields<210, 256, 18> for Q6K {
    #[inline(always)]
    fn split(block: &[u8; 210]) -> ([u8; 18], [u8; 256]) {
        let block = Q6K::from_bytes(block);
        let mut fields = [0; 18];
        let [d_low, d_high] = block.d.to_le_bytes();
        (fields[0], fields[1]) = (d_high, d_low);
        for (field, scale) in fields[2..].iter_mut().zip(block.scales) {
            *field = scale.cast_unsigned() ^ 0x80;
        }
        (fields, block.quants)
    }

    #[inline(always)]
    fn join(fields: [u8; 18], quants: &[u8; 256]) -> [u8; 210] {
        let mut block = Q6K {
            d: u16::from_be_bytes([fields[0], fields[1]]),
            scales: [0; Q6K::GROUPS],
            quants: *quants,
        };
        for (scale, field) in block.scales.iter_mut().zip(&fields[2..]) {
            *scale = (field ^ 0x80).cast_signed();
        }
        block.to_bytes()
    }
}

impl Fields<22, 32, 2> for Q5_0 {
    #[inline(always)]
    fn split(block: &[u8; 22]) -> ([u8; 2], [u8; 32]) {
        let block = Q5_0::from_bytes(block);
        (block.d.to_be_bytes(), block.quants)
    }

    #[inline(always)]
    fn join(fields: [u8; 2], quants: &[u8; 32]) -> [u8; 22] {
        let d = u16::from_be_bytes(fields);
        Q5_0 { d, quants: *quants }.to_bytes()
    }
}

impl Fields<34, 32, 2> for Q8_0 {
    #[inline(always)]
    fn split(block: &[u8; 34]) -> ([u8; 2], [u8; 32]) {
        let block = Q8_0::from_bytes(block);
        let quants = block.quants.map(|quant| quant.cast_unsigned() ^ 0x80);
        (block.d.to_be_bytes(), quants)
    }

    #[inline(always)]
    fn join(fields: [u8; 2], quants: &[u8; 32]) -> [u8; 34] {
        let block = Q8_0 {
            d: u16::from_be_bytes(fields),
            quants: quants.map(|quant| (quant ^ 0x80).cast_signed()),
        };
        block.to_bytes()
    }
}

impl Fields<20, 32, 4> for Q4_1 {
    #[inline(always)]
    fn split(block: &[u8; 20]) -> ([u8; 4], [u8; 32]) {
        let block = Q4_1::from_bytes(block);
        let ([d_high, d_low], [m_high, m_low]) = (block.d.to_be_bytes(), block.m.to_be_bytes());
        ([d_high, d_low, m_high, m_low], block.quants)
    }

    #[inline(always)]
    fn join(fields: [u8; 4], quants: &[u8; 32]) -> [u8; 20] {
        let [d_high, d_low, m_high, m_low] = fields;
        let block = Q4_1 {
            d: u16::from_be_bytes([d_high, d_low]),
            m: u16::from_be_bytes([m_high, m_low]),
            quants: *quants,
        };
        block.to_bytes()
    }
}
