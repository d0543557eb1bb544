//! A weight relative to a reference exponent: its octave, the upper bits of its mantissa where they tell something, and
//! the rest, which does not.
//!
//! The weights of a matrix lie around a scale. Near it, the density falls within an octave, so that the upper mantissa
//! bits are worth coding; far below it is flat, so that they are not. A [`Split`] follows that: an octave from
//! [`FINE_FROM`] to [`FINE_TO`] above the reference has a symbol for each eighth of it, one further down has a single
//! symbol and the three bits beside, and what lies outside of that is escaped.

use crate::float::FloatLayout;

/// Mantissa bits that may be coded.
pub(crate) const UPPER_BITS: u32 = 3;
/// The first octave, relative to the reference, that is divided.
const FINE_FROM: i32 = -4;
/// The last octave.
const FINE_TO: i32 = 3;
/// The first octave that has a symbol.
const COARSE_FROM: i32 = -24;
const COARSE: i32 = FINE_FROM - COARSE_FROM;
/// The symbol of what lies outside.
pub(crate) const ESCAPE: u8 = (COARSE + ((FINE_TO - FINE_FROM + 1) << UPPER_BITS)) as u8;

/// A weight without its sign and its lower mantissa bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Split {
    /// What is coded.
    pub(crate) symbol: u8,
    /// What stands beside it.
    pub(crate) beside: Beside,
}

/// What a symbol leaves open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    /// Nothing.
    Nothing,
    /// The upper mantissa bits.
    Upper(u8),
    /// Exponent and upper mantissa bits.
    Escaped(u16),
}

/// What a symbol needs beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    Nothing,
    Upper,
    Escaped,
}

impl Split {
    /// Splits exponent and upper mantissa bits.
    pub(crate) fn of(exponent_and_upper: u16, reference: i32) -> Split {
        let upper = exponent_and_upper & ((1 << UPPER_BITS) - 1);
        let octave = i32::from(exponent_and_upper >> UPPER_BITS) - reference;
        if (FINE_FROM..=FINE_TO).contains(&octave) {
            let eighth = (octave - FINE_FROM) << UPPER_BITS | i32::from(upper);
            Split {
                symbol: (COARSE + eighth) as u8,
                beside: Beside::Nothing,
            }
        } else if (COARSE_FROM..FINE_FROM).contains(&octave) {
            Split {
                symbol: (octave - COARSE_FROM) as u8,
                beside: Beside::Upper(upper as u8),
            }
        } else {
            Split {
                symbol: ESCAPE,
                beside: Beside::Escaped(exponent_and_upper),
            }
        }
    }
}

/// What a symbol needs beside it. Symbols above [`ESCAPE`] are none, and count as escapes.
pub(crate) fn needs(symbol: u8) -> Needs {
    match symbol {
        symbol if i32::from(symbol) < COARSE => Needs::Upper,
        symbol if symbol < ESCAPE => Needs::Nothing,
        _ => Needs::Escaped,
    }
}

/// Exponent and upper mantissa bits of each symbol that is no escape, less those of the reference; the upper bits are 0
/// if they stand beside. Others have anything.
pub(crate) fn values() -> [i16; 256] {
    std::array::from_fn(|symbol| {
        let symbol = symbol as i32;
        let (octave, upper) = match symbol - COARSE {
            below if below < 0 => (symbol + COARSE_FROM, 0),
            eighth => (
                (eighth >> UPPER_BITS) + FINE_FROM,
                eighth & ((1 << UPPER_BITS) - 1),
            ),
        };
        (octave << UPPER_BITS | upper) as i16
    })
}

/// Exponent and upper mantissa bits of a word.
pub(crate) fn exponent_and_upper(layout: FloatLayout, word: u16) -> u16 {
    (word & 0x7fff) >> lower_bits(layout)
}

/// Mantissa bits that are stored.
pub(crate) fn lower_bits(layout: FloatLayout) -> u32 {
    layout.mantissa_bits() - UPPER_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_comes_back_from_every_reference() {
        let values = values();
        for reference in [-40, -1, 0, 1, 15, 100, 120, 127, 255, 300] {
            for whole in 0..1u16 << 11 {
                let Split { symbol, beside } = Split::of(whole, reference);
                let value = || values[usize::from(symbol)] + ((reference as i16) << UPPER_BITS);
                let back = match (beside, needs(symbol)) {
                    (Beside::Nothing, Needs::Nothing) => value() as u16,
                    (Beside::Upper(upper), Needs::Upper) => value() as u16 | u16::from(upper),
                    (Beside::Escaped(escaped), Needs::Escaped) => escaped,
                    other => panic!("{other:?}"),
                };
                assert_eq!(back, whole, "{reference}");
            }
        }
        assert_eq!(ESCAPE, 84);
    }
}
