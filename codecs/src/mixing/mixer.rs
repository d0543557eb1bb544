//! Counters, and weights that mix what they say.

use super::bits::Bits;
use super::logistic::Logistic;

/// Bits of a counter that say how many bits it has seen; the others are the probability of a one.
const SEEN_BITS: u32 = 10;
/// As many as a counter remembers having seen, and one: from then on older ones fade.
const MOST_SEEN: u32 = 1 << SEEN_BITS;
const MOST_PROBABILITY: i32 = (1 << (u32::BITS - SEEN_BITS)) - 1;
/// A counter that has seen nothing.
const NEW: u32 = 1 << (u32::BITS - 1);
/// Bits of a counter's probability that its log odds are looked up by.
const ODDS_BITS: u32 = 12;
/// How fast weights learn at first, and in the end.
const FIRST_RATE: f32 = 0.02;
const LAST_RATE: f32 = 0.005;
/// A rate goes such a part of the rest of the way with every symbol.
const RATE_STEP: f32 = 1.0 / 4096.0;
/// Bits of a symbol that are coded by one row of counters.
const DIGIT_BITS: u32 = 4;
/// Counters of a row: one for each node of the tree from 1 on.
const NODES: usize = 1 << DIGIT_BITS;

/// How many contexts there are for symbols of one kind.
#[derive(Clone, Debug)]
pub(crate) struct Layout<const INPUTS: usize> {
    /// Bits of a symbol, 8 at most.
    pub(crate) bits: u32,
    /// Of each input.
    pub(crate) contexts: [usize; INPUTS],
    /// Sets of weights.
    pub(crate) sets: usize,
}

/// What a symbol is predicted by: of each input, the number of its context; and its set of weights.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<const INPUTS: usize> {
    pub(crate) inputs: [usize; INPUTS],
    pub(crate) set: usize,
}

impl<const INPUTS: usize> Default for Context<INPUTS> {
    fn default() -> Self {
        Context {
            inputs: [0; INPUTS],
            set: 0,
        }
    }
}

/// Predicts the symbols of one kind by so many contexts each, and learns from them.
///
/// A symbol of more than four bits is two digits: the upper four bits, and the lower ones, whose contexts are those of the
/// symbol with the upper digit.
pub(crate) struct Mixer<const INPUTS: usize> {
    /// Bits of each digit; of the lower, none if there is but one.
    upper: u32,
    lower: u32,
    /// Rows of a context: one for the upper digit, and one for the lower one after each upper one.
    rows_of_context: usize,
    /// Of each input, where its rows begin.
    starts: [usize; INPUTS],
    rows: Vec<[u32; NODES]>,
    weights: Vec<[[f32; INPUTS]; NODES]>,
    rate: f32,
    logistic: &'static Logistic,
    tables: &'static Tables,
}

/// By how many bits a counter has seen.
struct Tables {
    /// What part of the way to the next bit it goes, in 65,536ths.
    steps: [i64; MOST_SEEN as usize],
    /// How far it is believed.
    trust: [f32; MOST_SEEN as usize],
}

static TABLES: Tables = {
    let mut tables = Tables {
        steps: [0; MOST_SEEN as usize],
        trust: [0.0; MOST_SEEN as usize],
    };
    let mut seen = 0;
    while seen < MOST_SEEN as usize {
        tables.steps[seen] = (131_072 / (2 * seen + 3)) as i64;
        tables.trust[seen] = seen as f32 / (seen as f32 + 1.5);
        seen += 1;
    }
    tables
};

impl<const INPUTS: usize> Mixer<INPUTS> {
    pub(crate) fn new(layout: &Layout<INPUTS>) -> Self {
        let upper = layout.bits.min(DIGIT_BITS);
        let lower = layout.bits - upper;
        let rows_of_context = if lower > 0 { 1 + (1 << upper) } else { 1 };
        let mut rows = 0;
        let starts = layout.contexts.map(|contexts| {
            let start = rows;
            rows += contexts * rows_of_context;
            start
        });
        let weights = [[1.0 / INPUTS as f32; INPUTS]; NODES];
        Mixer {
            upper,
            lower,
            rows_of_context,
            starts,
            rows: vec![[NEW; NODES]; rows],
            weights: vec![weights; layout.sets * rows_of_context],
            rate: FIRST_RATE,
            logistic: Logistic::get(),
            tables: &TABLES,
        }
    }

    /// Codes a symbol.
    #[inline(always)]
    pub(crate) fn code_one(
        &mut self,
        bits: &mut impl Bits,
        symbol: u8,
        context: Context<INPUTS>,
    ) -> u8 {
        let mut symbols = [symbol];
        self.code(bits, &mut symbols, 1, &[context]);
        symbols[0]
    }

    /// Codes the first `count` symbols side by side: each bit of all, then the next. So none waits for what is learnt from
    /// the others, which saves a processor most of its waiting.
    #[inline(always)]
    pub(crate) fn code<const LANES: usize>(
        &mut self,
        bits: &mut impl Bits,
        symbols: &mut [u8; LANES],
        count: usize,
        contexts: &[Context<INPUTS>; LANES],
    ) {
        self.rate += (LAST_RATE - self.rate) * RATE_STEP;
        let mut places = contexts.map(|context| Context {
            inputs: std::array::from_fn(|input| {
                self.starts[input] + context.inputs[input] * self.rows_of_context
            }),
            set: context.set * self.rows_of_context,
        });
        let mut upper = symbols.map(|symbol| symbol >> self.lower);
        self.code_digits(bits, self.upper, &mut upper, count, &places);
        if self.lower == 0 {
            *symbols = upper;
            return;
        }
        for (place, &digit) in places.iter_mut().zip(&upper) {
            let row = 1 + usize::from(digit);
            place.set += row;
            for input in &mut place.inputs {
                *input += row;
            }
        }
        self.code_digits(bits, self.lower, symbols, count, &places);
        for (symbol, digit) in symbols.iter_mut().zip(upper) {
            *symbol |= digit << self.lower;
        }
    }

    /// Codes the lowest bits of digits by rows of counters and of weights.
    #[inline(always)]
    fn code_digits<const LANES: usize>(
        &mut self,
        bits: &mut impl Bits,
        width: u32,
        digits: &mut [u8; LANES],
        count: usize,
        places: &[Context<INPUTS>; LANES],
    ) {
        let count = count.min(LANES);
        let mut nodes = [1usize; LANES];
        let mut odds = [[0.0; INPUTS]; LANES];
        let mut probabilities = [0; LANES];
        for level in (0..width).rev() {
            for lane in 0..count {
                (odds[lane], probabilities[lane]) = self.predict(&places[lane], nodes[lane]);
            }
            for lane in 0..count {
                let bit = digits[lane] >> level & 1 == 1;
                let bit = bits.bit(bit, probabilities[lane]);
                let error =
                    f32::from(u8::from(bit)) - f32::from(probabilities[lane]) * (1.0 / 65_536.0);
                self.learn(&places[lane], nodes[lane], &odds[lane], error, bit);
                nodes[lane] = 2 * nodes[lane] + usize::from(bit);
            }
        }
        for (digit, node) in digits.iter_mut().zip(nodes) {
            *digit = (node & ((1 << width) - 1)) as u8;
        }
    }

    /// What each input says, and how likely a one is.
    #[inline(always)]
    fn predict(&self, place: &Context<INPUTS>, node: usize) -> ([f32; INPUTS], u16) {
        let odds = place.inputs.map(|row| {
            let counter = self.rows[row][node % NODES];
            let trust = self.tables.trust[(counter % MOST_SEEN) as usize];
            self.logistic.odds(counter >> (u32::BITS - ODDS_BITS)) * trust
        });
        let weights = &self.weights[place.set][node % NODES];
        let products: [f32; INPUTS] = std::array::from_fn(|input| odds[input] * weights[input]);
        (odds, self.logistic.probability(sum(products)))
    }

    /// Learns what the bit was: weights by the gradient of its length, counters by how many they have seen.
    #[inline(always)]
    fn learn(
        &mut self,
        place: &Context<INPUTS>,
        node: usize,
        odds: &[f32; INPUTS],
        error: f32,
        bit: bool,
    ) {
        let learnt = self.rate * error;
        let weights = &mut self.weights[place.set][node % NODES];
        for (weight, odds) in weights.iter_mut().zip(odds) {
            *weight += learnt * odds;
        }
        let to = if bit { MOST_PROBABILITY } else { 0 };
        for row in place.inputs {
            let counter = &mut self.rows[row][node % NODES];
            let seen = *counter % MOST_SEEN;
            let old = (*counter >> SEEN_BITS) as i32;
            let new = old + ((i64::from(to - old) * self.tables.steps[seen as usize]) >> 16) as i32;
            let more = u32::from(seen < MOST_SEEN - 1);
            *counter = (new as u32) << SEEN_BITS | (seen + more);
        }
    }
}

/// Pairs first, so that the order is that of vectors.
#[inline(always)]
fn sum<const N: usize>(mut numbers: [f32; N]) -> f32 {
    let mut length = N;
    while length > 1 {
        let half = length.div_ceil(2);
        for place in half..length {
            numbers[place - half] += numbers[place];
        }
        length = half;
    }
    numbers.first().copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::super::{BitDecoder, BitEncoder};
    use super::*;
    use crate::bytes::ByteReader;
    use proptest::prelude::*;

    const LANES: usize = 4;

    fn layout(bits: u32) -> Layout<3> {
        Layout {
            bits,
            contexts: [1, 5, 256],
            sets: 2,
        }
    }

    /// Codes symbols by their places and those before them, four at a time.
    fn pass(bits: &mut impl Bits, width: u32, symbols: &mut [u8]) {
        let mut mixer = Mixer::new(&layout(width));
        let mut last = 0;
        for (number, symbols) in symbols.chunks_mut(LANES).enumerate() {
            let mut side = [0; LANES];
            side[..symbols.len()].copy_from_slice(symbols);
            let contexts = std::array::from_fn(|lane| Context {
                inputs: [0, (number + lane) % 5, last],
                set: number % 2,
            });
            mixer.code(bits, &mut side, symbols.len(), &contexts);
            symbols.copy_from_slice(&side[..symbols.len()]);
            last = usize::from(symbols[0]);
        }
    }

    fn encoded(width: u32, symbols: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut bits = BitEncoder::new(&mut out);
        pass(&mut bits, width, &mut symbols.to_vec());
        bits.finish();
        out
    }

    #[test]
    fn what_contexts_tell_is_learnt() {
        // The place tells all: what is left is what it takes to learn that.
        let symbols: Vec<u8> = (0..40_000)
            .map(|i| ((i / 4 + i % 4) % 5 * 50) as u8)
            .collect();
        assert!(encoded(8, &symbols).len() < 500);
        // A quarter of the symbols, each as likely as another: two bits a symbol, and little more.
        let symbols: Vec<u8> = (0u32..40_000)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 30) as u8)
            .collect();
        let length = encoded(4, &symbols).len();
        assert!((9_000..10_300).contains(&length), "{length}");
    }

    #[test]
    fn counters_stay_in_range() {
        let mut mixer = Mixer::<1>::new(&Layout {
            bits: 1,
            contexts: [1],
            sets: 1,
        });
        for bit in [true, false] {
            for _ in 0..5000 {
                let mut out = Vec::new();
                let mut bits = BitEncoder::new(&mut out);
                mixer.code_one(&mut bits, bit.into(), Context::default());
            }
            let counter = mixer.rows[0][1];
            let probability = f64::from(counter) / f64::from(u32::MAX);
            assert!((probability - f64::from(u8::from(bit))).abs() < 0.02);
        }
    }

    proptest! {
        #[test]
        fn symbols_come_back(width in 1u32..=8, seed in prop::collection::vec(any::<u8>(), 0..600)) {
            let symbols: Vec<u8> = seed.iter().map(|byte| byte >> (8 - width)).collect();
            let bytes = encoded(width, &symbols);
            let mut decoder = BitDecoder::new(&mut ByteReader::new(&bytes)).unwrap();
            let mut found = vec![0; symbols.len()];
            pass(&mut decoder, width, &mut found);
            decoder.finish().unwrap();
            prop_assert_eq!(found, symbols);
        }
    }
}
