//! From states and words to symbols.

use super::frequencies::{Frequencies, SCALE_BITS};
use super::search::Search;
use super::{LEAST_STATE, NARROW_LANES, SLOTS, WIDE_FROM, WIDE_LANES};
use crate::bytes::ByteReader;
use crate::error::DecodeError;

/// Symbols that are decoded at a time; the last ones of a sequence are fewer.
pub const BLOCK: usize = 1 << 12;

const WHAT: &str = "rANS stream";

/// The slots of a class that has none.
static NOTHING: [u32; SLOTS] = [0; SLOTS];

/// What decoding by the frequencies of some classes needs to know of each slot.
///
/// For each slot of the scale its symbol (8 bits), and above it the frequency less one (12 bits) and the slot's
/// distance from the symbol's first (12 bits). The slots of one class stand after those of another.
#[derive(Clone, Debug)]
pub struct DecoderTable {
    slots: Vec<[u32; SLOTS]>,
    /// Where classes have few symbols.
    searches: Vec<Option<Search>>,
}

/// By which tables symbols are decoded.
#[derive(Clone, Copy)]
pub(super) enum By<'a> {
    /// All by that of one class.
    One {
        slots: &'a [u32; SLOTS],
        search: Option<&'a Search>,
    },
    /// Each by that of its own class, or by the last if that has none.
    Own {
        slots: &'a [[u32; SLOTS]],
        classes: &'a [u8],
    },
}

impl DecoderTable {
    /// Makes one of the frequencies of each class, of which there are 256 at most.
    pub fn new(classes: &[Frequencies]) -> DecoderTable {
        let slots = classes.iter().map(|frequencies| {
            let mut slots = [0; SLOTS];
            let mut rest = slots.as_mut_slice();
            for (symbol, frequency) in frequencies.scaled().into_iter().enumerate() {
                let (own, after) = rest.split_at_mut(frequency as usize);
                for (distance, slot) in own.iter_mut().enumerate() {
                    *slot = (distance as u32) << 20 | (frequency - 1) << 8 | symbol as u32;
                }
                rest = after;
            }
            slots
        });
        DecoderTable {
            slots: slots.collect(),
            searches: classes.iter().map(Search::new).collect(),
        }
    }

    /// Decoding by the table of a class, or by the last if it has none; `None` if there are no tables.
    #[inline]
    pub(super) fn of_class(&self, class: u8) -> Option<By<'_>> {
        let class = usize::from(class).min(self.slots.len().checked_sub(1)?);
        Some(By::One {
            slots: self.slots.get(class)?,
            search: self.searches.get(class)?.as_ref(),
        })
    }

    /// Decoding by the tables of these classes, one for each symbol; `None` if there are no tables.
    #[inline]
    pub(super) fn of_classes<'a>(&'a self, classes: &'a [u8]) -> Option<By<'a>> {
        (!self.slots.is_empty()).then_some(By::Own {
            slots: &self.slots,
            classes,
        })
    }
}

impl<'a> By<'a> {
    /// The same for the symbols after these many.
    fn after(self, count: usize) -> By<'a> {
        match self {
            By::One { .. } => self,
            By::Own { slots, classes } => By::Own {
                slots,
                classes: classes.get(count..).unwrap_or(&[]),
            },
        }
    }
}

/// Who says of which classes symbols are, and takes them, block by block.
pub trait Consumer {
    /// Whether there are several classes. If not, all symbols are of the first.
    const CLASSED: bool;

    /// Fills in the classes of the next symbols, of which `at` come before.
    ///
    /// One that has no frequencies decodes by the last.
    fn classes(&mut self, at: usize, classes: &mut [u8]);

    /// Takes the next symbols, of which `at` come before. Nobody reads them after that.
    ///
    /// # Errors
    ///
    /// Where what else is needed for them is damaged.
    fn take(&mut self, at: usize, symbols: &mut [u8]) -> Result<(), DecodeError>;
}

impl<F: FnMut(usize, &mut [u8]) -> Result<(), DecodeError>> Consumer for F {
    const CLASSED: bool = false;

    fn classes(&mut self, _at: usize, _classes: &mut [u8]) {}

    fn take(&mut self, at: usize, symbols: &mut [u8]) -> Result<(), DecodeError> {
        self(at, symbols)
    }
}

/// Takes the written form of `count` symbols and gives them to `consumer`.
///
/// # Errors
///
/// [`DecodeError::Truncated`] where bytes are missing, [`DecodeError::Field`] where states and words do not fit
/// together, and what the consumer fails with.
pub fn decode(
    reader: &mut ByteReader<'_>,
    table: &DecoderTable,
    count: usize,
    consumer: &mut impl Consumer,
) -> Result<(), DecodeError> {
    if count < WIDE_FROM {
        decode_lanes::<NARROW_LANES, _>(reader, table, count, consumer, |_, _, _| 0)
    } else {
        decode_lanes(reader, table, count, consumer, by_vectors)
    }
}

/// Decodes whole groups with what the processor has beside its plain instructions, and returns how many. The others are
/// left to the portable loop, which decodes the same.
#[cfg_attr(
    not(target_arch = "x86_64"),
    expect(unused_variables, reason = "there is nothing beside")
)]
pub(super) fn by_vectors(
    by: By<'_>,
    lanes: &mut Lanes<'_, WIDE_LANES>,
    groups: &mut [[u8; WIDE_LANES]],
) -> usize {
    #[cfg(target_arch = "x86_64")]
    return match super::avx512::decode_groups(by, lanes, groups) {
        0 => super::avx2::decode_groups(by, lanes, groups),
        done => done,
    };
    #[cfg(not(target_arch = "x86_64"))]
    0
}

/// How far decoding has come.
pub(super) struct Lanes<'a, const LANES: usize> {
    pub(super) states: [u32; LANES],
    /// Words that have not been taken.
    pub(super) words: &'a [[u8; 2]],
}

pub(super) fn decode_lanes<const LANES: usize, C: Consumer>(
    reader: &mut ByteReader<'_>,
    table: &DecoderTable,
    count: usize,
    consumer: &mut C,
    by_vectors: impl Fn(By<'_>, &mut Lanes<'_, LANES>, &mut [[u8; LANES]]) -> usize,
) -> Result<(), DecodeError> {
    let mut decoder = LaneDecoder::start(reader)?;
    let (mut symbols, mut classes) = ([0; BLOCK], [0; BLOCK]);
    for at in (0..count).step_by(BLOCK) {
        let length = BLOCK.min(count - at);
        let (symbols, classes) = (&mut symbols[..length], &mut classes[..length]);
        if C::CLASSED {
            consumer.classes(at, classes);
            decoder.run(table.of_classes(classes), symbols, &by_vectors);
        } else {
            decoder.run(table.of_class(0), symbols, &by_vectors);
        }
        consumer.take(at, symbols)?;
    }
    decoder.finish()
}

/// A stream on its way to symbols.
pub(super) struct LaneDecoder<'a, const LANES: usize> {
    lanes: Lanes<'a, LANES>,
    /// Whether words were missing; they were zero then.
    missing: bool,
    /// Where the stream begins, and of how many words it says that it is.
    start: u64,
    words: u64,
}

impl<'a, const LANES: usize> LaneDecoder<'a, LANES> {
    /// Takes a written form.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] where bytes are missing.
    pub(super) fn start(reader: &mut ByteReader<'a>) -> Result<Self, DecodeError> {
        let start = reader.at();
        let words = reader.varint("number of words")?;
        let mut lanes = Lanes {
            states: [0; LANES],
            words: &[],
        };
        for state in &mut lanes.states {
            *state = u32::from_le_bytes(reader.array("rANS state")?);
        }
        let taken = reader.take(words.saturating_mul(2), "rANS words")?;
        lanes.words = taken.as_chunks().0;
        Ok(LaneDecoder {
            lanes,
            missing: false,
            start,
            words,
        })
    }

    /// Decodes the next symbols, the first of them in the first lane. Without tables they are left as they are, and the
    /// stream is found to be damaged at its end.
    #[inline]
    pub(super) fn run(
        &mut self,
        by: Option<By<'_>>,
        symbols: &mut [u8],
        by_vectors: &impl Fn(By<'_>, &mut Lanes<'_, LANES>, &mut [[u8; LANES]]) -> usize,
    ) {
        let Some(by) = by else {
            self.missing = true;
            return;
        };
        let groups = symbols.as_chunks_mut().0;
        let done = LANES * by_vectors(by, &mut self.lanes, groups);
        let rest = symbols.get_mut(done..).unwrap_or(&mut []);
        for (number, symbols) in rest.chunks_mut(LANES).enumerate() {
            self.missing |= self
                .lanes
                .decode_group(by.after(done + number * LANES), symbols);
        }
    }

    /// Checks that this was all of the stream.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Field`] where states and words do not fit together.
    pub(super) fn finish(self) -> Result<(), DecodeError> {
        let refuse = |expected, found| DecodeError::Field {
            what: WHAT,
            at: self.start,
            expected,
            found,
        };
        if self.missing || !self.lanes.words.is_empty() {
            return Err(refuse("of as many words as its symbols take", self.words));
        }
        let mut states = self.lanes.states.iter();
        match states.find(|&&state| state != LEAST_STATE) {
            Some(&state) => Err(refuse("such that every state ends at 65536", state.into())),
            None => Ok(()),
        }
    }
}

impl<const LANES: usize> Lanes<'_, LANES> {
    /// Decodes up to one symbol a lane. Returns whether words were missing; they were zero then.
    #[inline]
    fn decode_group(&mut self, by: By<'_>, symbols: &mut [u8]) -> bool {
        match by {
            By::One { slots, .. } => self.decode_by(|_| slots, symbols),
            By::Own { slots, classes } => {
                let last = slots.last().unwrap_or(&NOTHING);
                self.decode_by(
                    |lane| {
                        let class = classes.get(lane).copied().unwrap_or_default();
                        slots.get(usize::from(class)).unwrap_or(last)
                    },
                    symbols,
                )
            }
        }
    }

    /// The same by the slots of each lane.
    #[inline(always)]
    fn decode_by<'s>(
        &mut self,
        slots: impl Fn(usize) -> &'s [u32; SLOTS],
        symbols: &mut [u8],
    ) -> bool {
        // A word a lane at most, so that no lane needs to look whether there is one.
        let mut window = [[0; 2]; LANES];
        let window = match self.words.first_chunk() {
            Some(whole) => whole,
            None => {
                for (slot, word) in window.iter_mut().zip(self.words) {
                    *slot = *word;
                }
                &window
            }
        };
        let mut taken = 0;
        for (lane, (state, symbol)) in self.states.iter_mut().zip(symbols).enumerate() {
            let slot = slots(lane)[*state as usize % SLOTS];
            let frequency = (slot >> 8 & (SLOTS as u32 - 1)) + 1;
            let x = frequency
                .wrapping_mul(*state >> SCALE_BITS)
                .wrapping_add(slot >> 20);
            let word = u32::from(u16::from_le_bytes(window[taken % LANES]));
            let is_short = x < LEAST_STATE;
            *state = if is_short { x << 16 | word } else { x };
            taken += usize::from(is_short);
            *symbol = slot as u8;
        }
        let missing = taken > self.words.len();
        self.words = self.words.get(taken..).unwrap_or(&[]);
        missing
    }
}
