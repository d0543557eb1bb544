//! A weight relative to a reference exponent: its octave, the upper bits of its mantissa where they tell something, and
//! the rest, which does not.
//!
//! The weights of a matrix lie around a scale. Near it, the density falls within an octave, so that the upper mantissa
//! bits are worth coding; far below it is flat, so that they are not. A [`Split`] follows that: an octave from
//! [`FINE_FROM`] to [`FINE_TO`] above the reference has a symbol for each eighth of it, one further down or up, where there
//! are few weights, has a single symbol and the three bits beside, and what lies outside of that is escaped. What needs something beside its symbol is
//! rare, and its symbol has the highest bit set.

use crate::float::FloatLayout;

/// Mantissa bits that may be coded.
pub(crate) const UPPER_BITS: u32 = 3;
/// The first octave, relative to the reference, that is divided.
pub(crate) const FINE_FROM: i32 = -7;
/// The last octave.
const FINE_TO: i32 = 2;
/// How many symbols the divided octaves have, from 0 on.
pub(crate) const FINE: u16 = ((FINE_TO - FINE_FROM + 1) << UPPER_BITS) as u16;
/// The first octave that has a symbol.
const COARSE_FROM: i32 = -24;
/// The symbol of that octave. Those up to [`FINE_FROM`] follow, and then those from [`FINE_TO`] on.
const COARSE: u8 = RARE;
/// The last octave that has a symbol.
const COARSE_TO: i32 = 9;
/// The divided octaves, which those above them have no gap for.
const FINE_OCTAVES: i32 = FINE_TO - FINE_FROM + 1;
/// Symbols from here on need something beside them.
pub(crate) const RARE: u8 = 0x80;
/// The symbol of what lies outside.
pub(crate) const ESCAPE: u8 = 0xff;

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

impl Split {
    /// Splits exponent and upper mantissa bits.
    pub(crate) fn of(exponent_and_upper: u16, reference: i32) -> Split {
        let upper = exponent_and_upper & ((1 << UPPER_BITS) - 1);
        let octave = i32::from(exponent_and_upper >> UPPER_BITS) - reference;
        if (FINE_FROM..=FINE_TO).contains(&octave) {
            let eighth = (octave - FINE_FROM) << UPPER_BITS | i32::from(upper);
            Split {
                symbol: eighth as u8,
                beside: Beside::Nothing,
            }
        } else if (COARSE_FROM..=COARSE_TO).contains(&octave) {
            let above = if octave > FINE_TO { FINE_OCTAVES } else { 0 };
            Split {
                symbol: COARSE + (octave - COARSE_FROM - above) as u8,
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

/// What exponent and upper mantissa bits are above the symbol, for symbols of divided octaves.
#[inline(always)]
pub(crate) fn fine_base(reference: i16) -> i16 {
    reference.wrapping_add(FINE_FROM as i16) << UPPER_BITS
}

/// Exponent and upper mantissa bits of a weight whose symbol is that of an octave that is not divided, or of any other
/// symbol from [`RARE`] on but [`ESCAPE`].
pub(crate) fn coarse(symbol: u8, upper: u16, reference: i16) -> u16 {
    let octave = i16::from(symbol) - i16::from(COARSE) + COARSE_FROM as i16;
    let above = if octave >= FINE_FROM as i16 {
        FINE_OCTAVES as i16
    } else {
        0
    };
    ((octave + above + reference) << UPPER_BITS) as u16 | upper
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
        for reference in [-40, -1, 0, 1, 15, 100, 120, 127, 255, 300] {
            for whole in 0..1u16 << 11 {
                let Split { symbol, beside } = Split::of(whole, reference.into());
                let back = match beside {
                    Beside::Nothing => {
                        assert!(u16::from(symbol) < FINE);
                        (fine_base(reference) + i16::from(symbol)) as u16
                    }
                    Beside::Upper(upper) => {
                        assert!((RARE..ESCAPE).contains(&symbol));
                        coarse(symbol, upper.into(), reference)
                    }
                    Beside::Escaped(escaped) => {
                        assert_eq!(symbol, ESCAPE);
                        escaped
                    }
                };
                assert_eq!(back, whole, "{reference}");
            }
        }
    }
}
