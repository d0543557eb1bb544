//! The information in blocks of quantised weights, field by field.

use super::counts::entropy_bits;
use super::float::EntropyError;
use crate::blocks::{BlockLayout, Q4_1, Q4K, Q5_0, Q6K, Q8_0, f16_units};

/// Classes of how far the weights before lie from the middle, the first weight's aside.
const SPREADS: usize = 16;
/// What of the extremes was seen: neither, the least, the greatest, both.
const SEEN: usize = 4;

/// A field of the part of a block that is not quants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlockField {
    /// The high byte of `d`.
    DHigh,
    /// The low byte of `d`.
    DLow,
    /// The high byte of `dmin`.
    DminHigh,
    /// The low byte of `dmin`.
    DminLow,
    /// The high byte of `m`.
    MHigh,
    /// The low byte of `m`.
    MLow,
    /// A group's scale.
    GroupScale,
    /// A group's minimum.
    GroupMin,
}

impl BlockLayout {
    /// The fields beside the quants, in the order in which they are counted.
    pub fn fields(self) -> &'static [BlockField] {
        use BlockField::{DHigh, DLow, DminHigh, DminLow, GroupMin, GroupScale, MHigh, MLow};
        match self {
            BlockLayout::Q4K => &[DHigh, DLow, DminHigh, DminLow, GroupScale, GroupMin],
            BlockLayout::Q6K => &[DHigh, DLow, GroupScale],
            BlockLayout::Q5_0 | BlockLayout::Q8_0 => &[DHigh, DLow],
            BlockLayout::Q4_1 => &[DHigh, DLow, MHigh, MLow],
        }
    }

    /// How many numbers a quant can be.
    fn symbols(self) -> usize {
        match self {
            BlockLayout::Q4K | BlockLayout::Q4_1 => 16,
            BlockLayout::Q5_0 => 32,
            BlockLayout::Q6K => 64,
            BlockLayout::Q8_0 => 256,
        }
    }

    /// How many classes of weights there are.
    fn classes(self) -> usize {
        match self {
            BlockLayout::Q4K => Q4K::ZERO_POINTS,
            // The amount of a signed byte.
            BlockLayout::Q6K => 129,
            BlockLayout::Q5_0 | BlockLayout::Q8_0 | BlockLayout::Q4_1 => SPREADS + 1,
        }
    }
}

/// What blocks are made of, counted: under a megabyte, whatever is counted.
///
/// The quants of a weight are counted by the quant before it, by its class and by which extremes were seen. What these
/// are is said at [`BlockEntropy`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockHistogram {
    layout: BlockLayout,
    /// By class, by what was seen, by quant.
    classed: Vec<u64>,
    /// By the quant before, by quant.
    pairs: Vec<u64>,
    before: Option<u8>,
    /// By field, in the layout's order, by its value.
    fields: Vec<Vec<u64>>,
    scales: Neighbours,
}

impl BlockHistogram {
    /// Nothing counted yet.
    pub fn new(layout: BlockLayout) -> BlockHistogram {
        let symbols = layout.symbols();
        BlockHistogram {
            layout,
            classed: vec![0; layout.classes() * SEEN * symbols],
            pairs: vec![0; symbols * symbols],
            before: None,
            fields: vec![vec![0; 256]; layout.fields().len()],
            scales: Neighbours::default(),
        }
    }

    /// Counts the blocks of `data`, which follow on those counted before.
    ///
    /// # Errors
    ///
    /// [`EntropyError::Blocks`] where `data` is no whole number of blocks; nothing is counted then.
    pub fn add(&mut self, data: &[u8]) -> Result<(), EntropyError> {
        match self.layout {
            BlockLayout::Q4K => self.each(data, Self::q4_k),
            BlockLayout::Q6K => self.each(data, Self::q6_k),
            BlockLayout::Q5_0 => self.each(data, Self::q5_0),
            BlockLayout::Q8_0 => self.each(data, Self::q8_0),
            BlockLayout::Q4_1 => self.each(data, Self::q4_1),
        }
    }

    fn each<const N: usize>(
        &mut self,
        data: &[u8],
        block: impl Fn(&mut Self, &[u8; N]),
    ) -> Result<(), EntropyError> {
        let (blocks, rest) = data.as_chunks();
        if !rest.is_empty() {
            return Err(EntropyError::Blocks {
                dtype: self.layout.dtype(),
                found: data.len() as u64,
            });
        }
        for bytes in blocks {
            block(self, bytes);
        }
        Ok(())
    }

    fn q4_k(&mut self, bytes: &[u8; Q4K::BYTES]) {
        let block = Q4K::from_bytes(bytes);
        self.scale(block.d);
        self.word(2, block.dmin);
        for (&scale, &minimum) in block.scales.iter().zip(&block.minima) {
            self.field(4, scale);
            self.field(5, minimum);
        }
        let groups = block.quants.chunks_exact(Q4K::GROUP_WEIGHTS);
        for (quants, class) in groups.zip(block.zero_points()) {
            self.quants(quants, Extremes::new(0, 15), |_| class.into());
        }
    }

    fn q6_k(&mut self, bytes: &[u8; Q6K::BYTES]) {
        let block = Q6K::from_bytes(bytes);
        self.scale(block.d);
        let groups = block.quants.chunks_exact(Q6K::GROUP_WEIGHTS);
        for (quants, scale) in groups.zip(block.scales) {
            self.field(2, scale.cast_unsigned());
            let class = scale.unsigned_abs().into();
            self.quants(quants, Extremes::new(0, 63), |_| class);
        }
    }

    fn q5_0(&mut self, bytes: &[u8; Q5_0::BYTES]) {
        let block = Q5_0::from_bytes(bytes);
        self.scale(block.d);
        self.quants(&block.quants, Extremes::new(0, 31), spread(32));
    }

    fn q8_0(&mut self, bytes: &[u8; Q8_0::BYTES]) {
        let block = Q8_0::from_bytes(bytes);
        self.scale(block.d);
        let quants = block.quants.map(|quant| quant.cast_unsigned() ^ 0x80);
        // From -127 on, which is as far as those who write blocks go.
        self.quants(&quants, Extremes::new(1, 255), spread(256));
    }

    fn q4_1(&mut self, bytes: &[u8; Q4_1::BYTES]) {
        let block = Q4_1::from_bytes(bytes);
        self.scale(block.d);
        self.word(2, block.m);
        self.quants(&block.quants, Extremes::new(0, 15), spread(15));
    }

    /// Counts `d`, which is the first field of every type.
    fn scale(&mut self, d: u16) {
        self.word(0, d);
        self.scales.add(d);
    }

    /// Counts a number of two bytes, whose fields are at `place` and after it.
    fn word(&mut self, place: usize, word: u16) {
        let [low, high] = word.to_le_bytes();
        self.field(place, high);
        self.field(place + 1, low);
    }

    fn field(&mut self, place: usize, value: u8) {
        let count = self
            .fields
            .get_mut(place)
            .and_then(|counts| counts.get_mut(usize::from(value)));
        if let Some(count) = count {
            *count += 1;
        }
    }

    /// Counts the quants of a group. `class` is asked for each, and is told the one before it in the group.
    fn quants(
        &mut self,
        quants: &[u8],
        mut extremes: Extremes,
        mut class: impl FnMut(Option<u8>) -> usize,
    ) {
        let symbols = self.layout.symbols();
        let mut before = None;
        for &quant in quants {
            let symbol = usize::from(quant);
            let place = (class(before) * SEEN + extremes.seen) * symbols + symbol;
            if let Some(count) = self.classed.get_mut(place) {
                *count += 1;
            }
            let last = before.or(self.before).map(usize::from);
            if let Some(count) = last.and_then(|last| self.pairs.get_mut(last * symbols + symbol)) {
                *count += 1;
            }
            extremes.pass(quant);
            before = Some(quant);
        }
        self.before = before.or(self.before);
    }
}

/// Which extremes of a group's quants were passed.
struct Extremes {
    least: u8,
    greatest: u8,
    /// 1 for the least, 2 for the greatest.
    seen: usize,
}

impl Extremes {
    fn new(least: u8, greatest: u8) -> Extremes {
        Extremes {
            least,
            greatest,
            seen: 0,
        }
    }

    fn pass(&mut self, quant: u8) {
        self.seen |= usize::from(quant <= self.least) | usize::from(quant >= self.greatest) << 1;
    }
}

/// The class of each of a block's weights: how far those before it lie from the middle, on average, in sixteenths of
/// how far the quant 0 lies from it. `twice` is twice the middle. The first weight has a class of its own.
fn spread(twice: usize) -> impl FnMut(Option<u8>) -> usize {
    let (mut weights, mut distance) = (0, 0);
    move |before| {
        let Some(quant) = before else {
            return SPREADS;
        };
        weights += 1;
        distance += (2 * usize::from(quant)).abs_diff(twice);
        (SPREADS * distance / (weights * twice)).min(SPREADS - 1)
    }
}

/// Sums over the scales of blocks and of their neighbours, exact in units of 2⁻²⁴.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Neighbours {
    blocks: u64,
    first: i128,
    last: i128,
    sum: i128,
    squares: i128,
    products: i128,
    /// Whether a scale was infinite or not a number.
    strange: bool,
}

impl Neighbours {
    fn add(&mut self, d: u16) {
        let Some(scale) = f16_units(d).map(i128::from) else {
            self.strange = true;
            self.blocks += 1;
            return;
        };
        if self.blocks == 0 {
            self.first = scale;
        } else {
            self.products += self.last * scale;
        }
        self.blocks += 1;
        self.last = scale;
        self.sum += scale;
        self.squares += scale * scale;
    }

    /// Pearson's correlation of the scales of all blocks but the last with those of all but the first. `None` if it is
    /// not defined: one of the two does not vary, or there is a scale that is no number.
    fn correlation(&self) -> Option<f64> {
        let pairs = i128::from(self.blocks).checked_sub(1).filter(|&n| n > 0)?;
        if self.strange {
            return None;
        }
        let (left, right) = (self.sum - self.last, self.sum - self.first);
        let left_squares = self.squares - self.last * self.last;
        let right_squares = self.squares - self.first * self.first;
        let spread = moment(pairs, left_squares, left, left);
        let other_spread = moment(pairs, right_squares, right, right);
        if spread <= 0.0 || other_spread <= 0.0 {
            return None;
        }
        let common = moment(pairs, self.products, left, right);
        Some((common / spread.sqrt() / other_spread.sqrt()).clamp(-1.0, 1.0))
    }
}

/// n·Σxy − Σx·Σy, rounded once; only where that is beyond 2¹²⁷, which takes scales near 65,504 in millions of blocks,
/// rounded before the difference.
fn moment(pairs: i128, products: i128, left: i128, right: i128) -> f64 {
    let exact = pairs
        .checked_mul(products)
        .zip(left.checked_mul(right))
        .and_then(|(all, means)| all.checked_sub(means));
    exact.map_or_else(
        || pairs as f64 * products as f64 - left as f64 * right as f64,
        |exact| exact as f64,
    )
}

/// The information in blocks of quantised weights: plug-in entropies ([`entropy_bits`]) of the quants, which are bits a
/// weight, and of the fields beside them.
///
/// **Classes.** A decoder that has read the other fields of a block, and the quants before, knows the class of a weight:
///
/// * `Q4_K`: the [zero point](crate::blocks::q4_k::zero_point) of its group;
/// * `Q6_K`: the amount of its group's scale;
/// * `Q5_0`, `Q8_0`, `Q4_1`: how far the weights before it in the block lie from the middle (the quant 16, 0 and 7½), on
///   average, in sixteenths of how far the least quant lies from it, rounded down and 15 at most; the first weight of a
///   block is a class of its own.
///
/// **Seen.** Whether the least quant, and whether the greatest, has come before in the group, or in the block where there
/// are no groups: writers stretch the range so that the farthest weight comes to lie at an end of it. `Q8_0`: −127 or
/// −128, and 127.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockEntropy {
    /// How many blocks there are.
    pub blocks: u64,
    /// How many weights there are.
    pub weights: u64,
    /// Bits that a weight takes as it is: of the whole block, shared out.
    pub bits: f64,
    /// The quant.
    pub h_quant: f64,
    /// The quant where that of the weight before it in the tensor is known. The first weight is left out.
    pub h_quant_given_prev: f64,
    /// The quant where the class is known.
    pub h_quant_given_class: f64,
    /// The quant where the class is known, and which extremes were seen.
    pub h_quant_given_class_and_seen: f64,
    /// Whether the quant lies in the upper half of its range.
    pub h_sign: f64,
    /// |quant − 2ᵇ⁻¹| for quants of b bits, which as signed numbers have that taken off already.
    pub h_magnitude: f64,
    /// The fields beside the quants, each by itself: their entropies, as many as the block has of each, shared out over
    /// its weights.
    pub h_header: f64,
    /// `bits` / (`h_quant` + `h_header`); `None` where all blocks are the same and there is no bound.
    pub implied_ceiling: Option<f64>,
    /// `bits` / (`h_quant_given_class_and_seen` + `h_header`), as well.
    pub class_ceiling: Option<f64>,
    /// Pearson's correlation between `d` of blocks that follow on one another. `None` where it is not defined: `d` does
    /// not vary, or is infinite or not a number somewhere.
    pub adjacent_block_scale_correlation: Option<f64>,
    fields: Vec<(BlockField, f64)>,
}

impl BlockEntropy {
    /// Measures the blocks in `data`, in one pass.
    ///
    /// # Errors
    ///
    /// [`EntropyError::Blocks`] where `data` is no whole number of blocks, [`EntropyError::Empty`] where it has none.
    pub fn measure(layout: BlockLayout, data: &[u8]) -> Result<BlockEntropy, EntropyError> {
        let mut histogram = BlockHistogram::new(layout);
        histogram.add(data)?;
        BlockEntropy::of(&histogram)
    }

    /// Measures blocks that were counted.
    ///
    /// # Errors
    ///
    /// [`EntropyError::Empty`] where nothing was counted.
    pub fn of(counted: &BlockHistogram) -> Result<BlockEntropy, EntropyError> {
        let blocks = counted.scales.blocks;
        if blocks == 0 {
            return Err(EntropyError::Empty);
        }
        let layout = counted.layout;
        let symbols = layout.symbols();
        let per_block = layout.weights() as f64;
        let weights = blocks * layout.weights() as u64;

        let by_class: Vec<u64> = counted
            .classed
            .chunks_exact(SEEN * symbols)
            .flat_map(|class| summed(class, symbols))
            .collect();
        let quants = summed(&by_class, symbols);
        let (lower, upper) = quants.split_at(symbols / 2);
        let mut magnitudes = vec![0; symbols / 2 + 1];
        for (quant, count) in quants.iter().enumerate() {
            if let Some(sum) = magnitudes.get_mut(quant.abs_diff(symbols / 2)) {
                *sum += count;
            }
        }

        let mut h_header = 0.0;
        let mut fields = Vec::with_capacity(counted.fields.len());
        for (&field, counts) in layout.fields().iter().zip(&counted.fields) {
            let bits = entropy_bits(counts);
            // As many as the blocks have of it.
            let each = counts.iter().sum::<u64>() / blocks;
            h_header += each as f64 * bits / per_block;
            fields.push((field, bits));
        }
        let bits = 8.0 * layout.bytes() as f64 / per_block;
        let ceiling = |coded: f64| (coded > 0.0).then(|| bits / coded);
        let h_quant = entropy_bits(&quants);
        let h_quant_given_class_and_seen = given(&counted.classed, symbols);
        Ok(BlockEntropy {
            blocks,
            weights,
            bits,
            h_quant,
            h_quant_given_prev: given(&counted.pairs, symbols),
            h_quant_given_class: given(&by_class, symbols),
            h_quant_given_class_and_seen,
            h_sign: entropy_bits(&[lower.iter().sum(), upper.iter().sum()]),
            h_magnitude: entropy_bits(&magnitudes),
            h_header,
            implied_ceiling: ceiling(h_quant + h_header),
            class_ceiling: ceiling(h_quant_given_class_and_seen + h_header),
            adjacent_block_scale_correlation: counted.scales.correlation(),
            fields,
        })
    }

    /// The entropy of a field, in bits a field; `None` if the layout has none such.
    pub fn field(&self, field: BlockField) -> Option<f64> {
        let mut fields = self.fields.iter();
        fields.find_map(|&(known, bits)| (known == field).then_some(bits))
    }
}

/// The sum of tables of `symbols` counts that lie one after the other.
fn summed(tables: &[u64], symbols: usize) -> Vec<u64> {
    let mut sums = vec![0; symbols];
    for table in tables.chunks_exact(symbols) {
        for (sum, count) in sums.iter_mut().zip(table) {
            *sum += count;
        }
    }
    sums
}

/// The entropy of a symbol where it is known from which table it is, in bits a symbol; in the order of the tables.
fn given(tables: &[u64], symbols: usize) -> f64 {
    let total: u64 = tables.iter().sum();
    let mut bits = 0.0;
    for table in tables.chunks_exact(symbols) {
        let count: u64 = table.iter().sum();
        if count > 0 {
            bits += count as f64 / total as f64 * entropy_bits(table);
        }
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_by_hand() {
        let mut class = spread(32);
        // 0 lies 32 halves from 16; then 32 + 0 over two; 32 + 0 + 2 over three, 11⅓ of 32.
        let classes = [None, Some(0), Some(16), Some(17)].map(&mut class);
        assert_eq!(classes, [SPREADS, 15, 8, 5]);
        let mut class = spread(15);
        assert_eq!([None, Some(7), Some(15)].map(&mut class), [SPREADS, 1, 8]);
    }

    fn correlation(scales: &[u16]) -> Option<f64> {
        let mut neighbours = Neighbours::default();
        scales.iter().for_each(|&scale| neighbours.add(scale));
        neighbours.correlation()
    }

    #[test]
    fn correlations_by_hand() {
        let [one, two, three] = [0x3c00, 0x4000, 0x4200];
        assert_eq!(correlation(&[]), None);
        assert_eq!(correlation(&[one]), None);
        assert_eq!(correlation(&[one, two]), None);
        // All but the first, or all but the last, are the same.
        assert_eq!(correlation(&[one, one, two]), None);
        assert_eq!(correlation(&[one, two, two]), None);
        assert_eq!(correlation(&[one, two, one]), Some(-1.0));
        assert_eq!(correlation(&[one, two, three]), Some(1.0));
        // (1, 2), (2, 1), (1, 1): means 4/3, products of what is left -1/3, squares 2/3.
        let half = correlation(&[one, two, one, one]).unwrap();
        assert!((half + 0.5).abs() < 1e-15, "{half}");
        assert_eq!(correlation(&[one, two, 0x7c00, three]), None);
    }

    #[test]
    fn large_scales_do_not_overflow() {
        // Exact sums of these are within 2^127, n times them is not.
        let huge = i128::from(u64::MAX) << 60;
        let found = moment(1 << 20, huge, 0, 0);
        assert_eq!(found, (1u64 << 20) as f64 * huge as f64);
    }
}
