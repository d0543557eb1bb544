//! Chunks of 16-bit words, whose exponent and upper mantissa bits are coded relative to a reference exponent.
//!
//! | field | bytes |
//! | --- | --- |
//! | 0 for four classes, 1 for two, 2 for one | 1 |
//! | frequencies of the symbols ([`octaves`](super::octaves)), see [`Frequencies`], of each class | |
//! | number of weights whose upper mantissa bits stand beside, and of escaped ones | two variable-length integers |
//! | upper mantissa bits that stand beside, three bits each | |
//! | what is escaped, as 16 bits each | 2 each |
//! | signs and lower mantissa bits, see [`rest`](super::rest) | |
//! | the symbols, see [`rans`](crate::rans) | |
//!
//! A scale is a number of quarters of an octave. The sum of a weight's two, that of its row and that of its column,
//! rounded down to whole octaves is its reference exponent, and what is left is its class, or with its neighbour, or with
//! all, where that takes less. Where there is one scale for all weights, all are of one class.

use super::octaves::{
    Beside, ESCAPE, FINE, RARE, Split, UPPER_BITS, coarse, exponent_and_upper, fine_base,
    lower_bits,
};
use super::rest::Rest;
use super::scales::{PHASE_BITS, PHASES};
use super::tensor::bias;
use crate::bits::{BitReader, BitWriter};
use crate::bytes::{ByteReader, write_varint};
use crate::entropy::entropy_bits;
use crate::error::DecodeError;
use crate::float::FloatLayout;
use crate::rans::{self, BLOCK, Consumer, DecoderTable, EncoderTable, Frequencies};
use crate::simd::vectorized;

/// What a chunk is referred to: a scale for each row, and those of the columns; or, without columns, one for all.
#[derive(Clone, Copy)]
pub(crate) struct References<'a> {
    pub(crate) rows: &'a [i16],
    pub(crate) columns: &'a [i16],
}

/// Space used again from chunk to chunk.
#[derive(Default)]
pub(crate) struct Scratch {
    symbols: Vec<u8>,
    classes: Vec<u8>,
    words: Vec<u16>,
    beside: Vec<u8>,
    escaped: Vec<u8>,
}

impl References<'_> {
    /// The sums of the scales of the weights from the number `at` on.
    fn sums(&self, at: usize, sums: &mut [i16]) {
        if self.columns.is_empty() {
            sums.fill(self.rows.first().copied().unwrap_or_default());
            return;
        }
        let (mut row, mut column) = (at / self.columns.len(), at % self.columns.len());
        let mut rest = sums;
        while !rest.is_empty() {
            let columns = self.columns.get(column..).unwrap_or(&[]);
            let (own, after) = rest.split_at_mut(columns.len().min(rest.len()));
            let scale = self.rows.get(row).copied().unwrap_or_default();
            add(scale, columns, own);
            rest = after;
            (row, column) = (row + 1, 0);
        }
    }
}

vectorized! {
    fn add(scale: i16, columns: &[i16], sums: &mut [i16]) {
        for (sum, column) in sums.iter_mut().zip(columns) {
            *sum = scale.wrapping_add(*column);
        }
    }
}

vectorized! {
    /// The classes of weights, by the sums of their scales, with 2^`shift` of them made one.
    fn fill_classes(sums: &[i16], shift: u32, classes: &mut [u8]) {
        for (class, sum) in classes.iter_mut().zip(sums) {
            *class = ((sum & (PHASES as i16 - 1)) >> shift) as u8;
        }
    }
}

vectorized! {
    /// The symbols of weights, where they are those of divided octaves; [`ESCAPE`] where not.
    fn fill_symbols(layout: FloatLayout, words: &[[u8; 2]], sums: &[i16], symbols: &mut [u8]) {
        let (lower, bias) = (lower_bits(layout), bias(layout) as i16);
        for ((symbol, word), sum) in symbols.iter_mut().zip(words).zip(sums) {
            let whole = (u16::from_le_bytes(*word) & 0x7fff) >> lower;
            let above = whole.wrapping_sub(fine_base(reference(*sum, bias)) as u16);
            *symbol = if above < FINE { above as u8 } else { ESCAPE };
        }
    }
}

vectorized! {
    /// The coded part of words, where their symbols are those of divided octaves; anything where not.
    fn fill_words(layout: FloatLayout, symbols: &[u8], sums: &[i16], words: &mut [[u8; 2]]) {
        let (lower, bias) = (lower_bits(layout), bias(layout) as i16);
        for ((word, symbol), sum) in words.iter_mut().zip(symbols).zip(sums) {
            let base = fine_base(reference(*sum, bias));
            let whole = base.wrapping_add(i16::from(*symbol)) as u16;
            *word = (whole << lower & 0x7fff).to_le_bytes();
        }
    }
}

/// The reference exponent of a sum of scales.
#[inline(always)]
fn reference(sum: i16, bias: i16) -> i16 {
    (sum >> PHASE_BITS) + bias
}

/// What is stored of words of a layout.
fn rest_of(layout: FloatLayout) -> Rest {
    match layout {
        FloatLayout::Bf16 => Rest::FourAndSign,
        FloatLayout::F16 => Rest::Byte,
    }
}

/// Which symbols have frequencies. Others are escaped.
pub(crate) type Known = [bool; 256];

/// How often each symbol occurs in each class.
pub(crate) type Counts = [[u32; 256]; PHASES];

/// Symbols of a block of words, and their classes if there are several, appended to what is in `scratch`.
fn split_block(
    references: References<'_>,
    layout: FloatLayout,
    at: usize,
    words: &[[u8; 2]],
    known: Option<&Known>,
    scratch: &mut Scratch,
    beside: &mut impl FnMut(Beside),
) {
    let mut sums = [0; BLOCK];
    let sums = &mut sums[..words.len()];
    references.sums(at, sums);
    let start = scratch.symbols.len();
    scratch.symbols.resize(start + words.len(), 0);
    let symbols = scratch.symbols.get_mut(start..).unwrap_or(&mut []);
    fill_symbols(layout, words, sums, symbols);
    let is_known = |symbol: u8| known.is_none_or(|known| known[usize::from(symbol)]);
    if known.is_some() {
        for symbol in symbols.iter_mut().filter(|symbol| !is_known(**symbol)) {
            *symbol = ESCAPE;
        }
    }
    if !references.columns.is_empty() {
        scratch.classes.resize(start + words.len(), 0);
        let classes = scratch.classes.get_mut(start..).unwrap_or(&mut []);
        fill_classes(sums, 0, classes);
    }
    let bias = bias(layout) as i16;
    each_rare(symbols, |place, symbol| {
        let (Some(word), Some(sum)) = (words.get(place), sums.get(place)) else {
            return;
        };
        let whole = exponent_and_upper(layout, u16::from_le_bytes(*word));
        let split = Split::of(whole, reference(*sum, bias).into());
        if is_known(split.symbol) {
            *symbol = split.symbol;
            beside(split.beside);
        } else {
            *symbol = ESCAPE;
            beside(Beside::Escaped(whole));
        }
    });
}

/// Calls `each` for every symbol from [`RARE`] on.
#[inline(always)]
fn each_rare(symbols: &mut [u8], mut each: impl FnMut(usize, &mut u8)) {
    let (eights, left) = symbols.as_chunks_mut::<8>();
    let whole = eights.len() * 8;
    for (number, eight) in eights.iter_mut().enumerate() {
        let mut rare = u64::from_le_bytes(*eight) & u64::from_le_bytes([RARE; 8]);
        while rare != 0 {
            let place = rare.trailing_zeros() as usize / 8;
            rare &= rare - 1;
            each(number * 8 + place, &mut eight[place]);
        }
    }
    for (place, symbol) in left.iter_mut().enumerate() {
        if *symbol >= RARE {
            each(whole + place, symbol);
        }
    }
}

/// Adds the symbols to the counts. Four tables, so that equal neighbours do not wait for each other.
#[inline(always)]
fn count(symbols: &[u8], classes: &[u8], counts: &mut Counts) {
    if !classes.is_empty() {
        // Neighbours are of different classes often enough.
        for (&symbol, &class) in symbols.iter().zip(classes) {
            counts[usize::from(class) % PHASES][usize::from(symbol)] += 1;
        }
        return;
    }
    let mut tables = [[0u32; 256]; 4];
    let (fours, left) = symbols.as_chunks::<4>();
    for four in fours {
        for (table, &symbol) in tables.iter_mut().zip(four) {
            table[usize::from(symbol)] += 1;
        }
    }
    for &symbol in left {
        tables[0][usize::from(symbol)] += 1;
    }
    for table in tables {
        for (sum, count) in counts[0].iter_mut().zip(table) {
            *sum += count;
        }
    }
}

/// How often each symbol occurs, and how many bits stand beside.
pub(crate) fn survey(
    references: References<'_>,
    layout: FloatLayout,
    words: &[[u8; 2]],
    scratch: &mut Scratch,
    counts: &mut Counts,
) -> u64 {
    let mut bits = 0;
    for (number, words) in words.chunks(BLOCK).enumerate() {
        scratch.symbols.clear();
        scratch.classes.clear();
        split_block(
            references,
            layout,
            number * BLOCK,
            words,
            None,
            scratch,
            &mut |beside| {
                bits += match beside {
                    Beside::Nothing => 0,
                    Beside::Upper(_) => u64::from(UPPER_BITS),
                    Beside::Escaped(_) => 16,
                };
            },
        );
        count(&scratch.symbols, &scratch.classes, counts);
    }
    bits
}

/// How many classes of weights are made one, as a power of two, and what symbols and tables then take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Classing {
    shift: u32,
    pub(crate) symbol_bits: f64,
    pub(crate) table_bits: f64,
}

impl Classing {
    /// The one that takes the fewest bits in all: tables of more classes say more, and take more.
    ///
    /// Symbols were counted on `part` of the weights.
    pub(crate) fn best(counts: &Counts, part: f64) -> Classing {
        let mut best: Option<Classing> = None;
        for shift in 0..=PHASE_BITS {
            let (mut symbol_bits, mut table_bits) = (0.0, 0.0);
            for counts in merge(counts, shift).iter().take(PHASES >> shift) {
                let wide = counts.map(u64::from);
                symbol_bits += entropy_bits(&wide) * wide.iter().sum::<u64>() as f64 / part;
                let mut table = Vec::new();
                if let Some(frequencies) = frequencies_of(counts) {
                    frequencies.write(&mut table);
                }
                table_bits += 8.0 * table.len() as f64;
            }
            let next = Classing {
                shift,
                symbol_bits,
                table_bits,
            };
            if best.is_none_or(|best| next.bits() < best.bits()) {
                best = Some(next);
            }
        }
        best.unwrap_or(Classing {
            shift: PHASE_BITS,
            symbol_bits: 0.0,
            table_bits: 0.0,
        })
    }

    pub(crate) fn bits(&self) -> f64 {
        self.symbol_bits + self.table_bits
    }
}

/// The counts of classes made of 2^`shift` neighbours each.
fn merge(counts: &Counts, shift: u32) -> Counts {
    let mut merged = [[0; 256]; PHASES];
    for (class, counts) in counts.iter().enumerate() {
        for (sum, count) in merged[class >> shift].iter_mut().zip(counts) {
            *sum += count;
        }
    }
    merged
}

/// Frequencies of a class; those of one without weights are of no use, but must be some.
fn frequencies_of(counts: &[u32; 256]) -> Option<Frequencies> {
    Frequencies::fit(counts).or_else(|| {
        let mut one = [0; 256];
        one[0] = 1;
        Frequencies::fit(&one)
    })
}

/// Fills `scratch` with what words are made of, and returns how many upper mantissa bits stand beside.
fn split(
    references: References<'_>,
    layout: FloatLayout,
    words: &[[u8; 2]],
    known: Option<&Known>,
    scratch: &mut Scratch,
) -> u64 {
    scratch.symbols.clear();
    scratch.classes.clear();
    let (mut beside, mut escaped) = (
        std::mem::take(&mut scratch.beside),
        std::mem::take(&mut scratch.escaped),
    );
    beside.clear();
    escaped.clear();
    let mut uppers = 0;
    let mut bits = BitWriter::new(&mut beside);
    let mut stand_beside = |beside| match beside {
        Beside::Nothing => {}
        Beside::Upper(upper) => {
            uppers += 1;
            bits.put(u32::from(upper), UPPER_BITS);
        }
        Beside::Escaped(whole) => escaped.extend(whole.to_le_bytes()),
    };
    for (number, words) in words.chunks(BLOCK).enumerate() {
        let at = number * BLOCK;
        split_block(
            references,
            layout,
            at,
            words,
            known,
            scratch,
            &mut stand_beside,
        );
    }
    bits.finish();
    (scratch.beside, scratch.escaped) = (beside, escaped);
    uppers
}

/// Appends what stands beside the symbols.
fn write_beside(
    layout: FloatLayout,
    words: &[[u8; 2]],
    uppers: u64,
    scratch: &Scratch,
    out: &mut Vec<u8>,
) {
    write_varint(out, uppers);
    write_varint(out, scratch.escaped.len() as u64 / 2);
    out.extend_from_slice(&scratch.beside);
    out.extend_from_slice(&scratch.escaped);
    rest_of(layout).split(words, out);
}

/// Appends a chunk. Returns how many bytes of it are tables.
pub(crate) fn encode(
    references: References<'_>,
    layout: FloatLayout,
    words: &[[u8; 2]],
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> u64 {
    let uppers = split(references, layout, words, None, scratch);
    let mut counts = [[0; 256]; PHASES];
    count(&scratch.symbols, &scratch.classes, &mut counts);
    let shift = match references.columns.is_empty() {
        true => PHASE_BITS,
        false => Classing::best(&counts, 1.0).shift,
    };
    scratch
        .classes
        .iter_mut()
        .for_each(|class| *class >>= shift);
    let before = out.len();
    out.push(shift as u8);
    let mut tables = Vec::new();
    for counts in merge(&counts, shift).iter().take(PHASES >> shift) {
        if let Some(frequencies) = frequencies_of(counts) {
            frequencies.write(out);
            tables.push(EncoderTable::new(&frequencies));
        }
    }
    let table_bytes = (out.len() - before) as u64;
    write_beside(layout, words, uppers, scratch, out);
    let Scratch {
        symbols,
        classes,
        words,
        ..
    } = scratch;
    if shift < PHASE_BITS {
        rans::encode_classed(symbols, classes, &tables, words, out);
    } else if let Some(table) = tables.first() {
        rans::encode(symbols, table, words, out);
    }
    table_bytes
}

/// Counts the symbols of words that share a scale, by the class of the scale.
pub(crate) fn count_words(
    scale: i16,
    layout: FloatLayout,
    words: &[[u8; 2]],
    scratch: &mut Scratch,
    counts: &mut Counts,
) {
    let references = References {
        rows: &[scale],
        columns: &[],
    };
    split(references, layout, words, None, scratch);
    for &symbol in &scratch.symbols {
        counts[class_of(scale)][usize::from(symbol)] += 1;
    }
}

/// The class of weights of a scale.
pub(crate) fn class_of(scale: i16) -> usize {
    (scale & (PHASES as i16 - 1)) as usize
}

/// Appends a chunk of words that share a scale and whose frequencies are known beforehand: what [`encode`] writes, but
/// for classes and frequencies.
pub(crate) fn encode_known(
    scale: i16,
    layout: FloatLayout,
    words: &[[u8; 2]],
    (table, known): (&EncoderTable, &Known),
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) {
    let references = References {
        rows: &[scale],
        columns: &[],
    };
    let uppers = split(references, layout, words, Some(known), scratch);
    write_beside(layout, words, uppers, scratch, out);
    rans::encode(&scratch.symbols, table, &mut scratch.words, out);
}

/// Takes a chunk that [`encode_known`] wrote and fills `words`.
///
/// # Errors
///
/// Where bytes are missing, or are not what it writes.
pub(crate) fn decode_known(
    scale: i16,
    layout: FloatLayout,
    table: &DecoderTable,
    reader: &mut ByteReader<'_>,
    words: &mut [[u8; 2]],
) -> Result<(), DecodeError> {
    let references = References {
        rows: &[scale],
        columns: &[],
    };
    decode_symbols(references, layout, PHASE_BITS, table, reader, words)
}

/// Takes a chunk and fills `words`.
///
/// # Errors
///
/// Where bytes are missing, or are not what [`encode`] writes.
pub(crate) fn decode(
    references: References<'_>,
    layout: FloatLayout,
    reader: &mut ByteReader<'_>,
    words: &mut [[u8; 2]],
) -> Result<(), DecodeError> {
    let at = reader.at();
    let shift = u32::from(reader.byte("classes")?);
    if shift > PHASE_BITS || (references.columns.is_empty() && shift < PHASE_BITS) {
        return Err(DecodeError::Field {
            what: "classes",
            at,
            expected: "0, 1 or 2, and 2 without scales of columns",
            found: shift.into(),
        });
    }
    let frequencies = (0..PHASES >> shift)
        .map(|_| Frequencies::read(reader))
        .collect::<Result<Vec<_>, _>>()?;
    let table = DecoderTable::new(&frequencies);
    decode_symbols(references, layout, shift, &table, reader, words)
}

fn decode_symbols(
    references: References<'_>,
    layout: FloatLayout,
    shift: u32,
    table: &DecoderTable,
    reader: &mut ByteReader<'_>,
    words: &mut [[u8; 2]],
) -> Result<(), DecodeError> {
    let at = reader.at();
    let uppers = reader.varint("number of upper mantissa bits")?;
    let escapes = reader.varint("number of escaped weights")?;
    let weights = words.len();
    let bytes = uppers.saturating_mul(u64::from(UPPER_BITS)).div_ceil(8);
    let beside = reader.take(bytes, "upper mantissa bits")?;
    let escaped = reader.take(escapes.saturating_mul(2), "escaped weights")?;
    let stored = reader.take(
        rest_of(layout).bytes(weights) as u64,
        "signs and lower mantissa bits",
    )?;
    let mut joiner = Joiner {
        references,
        layout,
        words,
        shift,
        sums: [0; BLOCK],
        stored,
        beside: ByteReader::new(beside),
        bits: BitReader::new("upper mantissa bits"),
        escaped: escaped.as_chunks().0,
        uppers: 0,
        escapes: 0,
    };
    if shift < PHASE_BITS {
        rans::decode(reader, table, weights, &mut joiner)?;
    } else {
        references.sums(0, &mut joiner.sums);
        rans::decode(reader, table, weights, &mut |at, symbols: &mut [u8]| {
            // Without columns they are the same for every block.
            if !references.columns.is_empty() {
                references.sums(at, &mut joiner.sums[..symbols.len()]);
            }
            joiner.join(at, symbols);
            Ok(())
        })?;
    }
    if (joiner.uppers, joiner.escapes) != (uppers, escapes) || joiner.bits.rest() != 0 {
        return Err(DecodeError::Field {
            what: "number of upper mantissa bits",
            at,
            expected: "as many, with as many escaped weights, as the symbols ask for",
            found: uppers,
        });
    }
    Ok(())
}

/// Puts words together as symbols come.
struct Joiner<'a> {
    references: References<'a>,
    layout: FloatLayout,
    words: &'a mut [[u8; 2]],
    /// How many classes are one, as a power of two.
    shift: u32,
    /// Of the scales, for the weights of a block.
    sums: [i16; BLOCK],
    stored: &'a [u8],
    beside: ByteReader<'a>,
    bits: BitReader,
    escaped: &'a [[u8; 2]],
    /// How many upper mantissa bits and escaped weights were asked for. What is not there is zero.
    uppers: u64,
    escapes: u64,
}

impl Consumer for Joiner<'_> {
    const CLASSED: bool = true;

    fn classes(&mut self, at: usize, classes: &mut [u8]) {
        let sums = &mut self.sums[..classes.len()];
        self.references.sums(at, sums);
        fill_classes(sums, self.shift, classes);
    }

    fn take(&mut self, at: usize, symbols: &mut [u8]) -> Result<(), DecodeError> {
        self.join(at, symbols);
        Ok(())
    }
}

impl Joiner<'_> {
    fn join(&mut self, at: usize, symbols: &mut [u8]) {
        let weights = self.words.len();
        let words = self
            .words
            .get_mut(at..at + symbols.len())
            .unwrap_or(&mut []);
        let bias = bias(self.layout) as i16;
        let lower = lower_bits(self.layout);
        fill_words(self.layout, symbols, &self.sums, words);
        each_rare(symbols, |place, symbol| {
            let whole = if *symbol == ESCAPE {
                let escaped = self.escaped.get(self.escapes as usize);
                self.escapes += 1;
                escaped.map_or(0, |bytes| u16::from_le_bytes(*bytes))
            } else {
                self.uppers += 1;
                let upper = self.bits.take(&mut self.beside, UPPER_BITS).unwrap_or(0);
                let sum = self.sums[place];
                coarse(*symbol, upper as u16, reference(sum, bias))
            };
            words[place] = (whole << lower & 0x7fff).to_le_bytes();
        });
        rest_of(self.layout).join(self.stored, weights, at, words);
    }
}
