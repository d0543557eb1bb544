//! Where the weight zero lies in the groups of many blocks.
//!
//! By f64 and without a branch, so that vectors do it. All numbers are whole and below 2^53, so that products and sums are
//! exact, and quotients, which are rounded once, are rounded down to what exact ones are: one that is just below a whole
//! number n up to 64 is at least 2^−47 below it, and f64 has numbers in between.

use super::window::Window;
use crate::blocks::Q4K;
use crate::simd::vectorized;

/// The largest zero point, and the largest minimum.
const MOST: f64 = (Q4K::ZERO_POINTS - 1) as f64;

/// The two numbers of every block: `d`, and `dmin` or `m`, in units of 2⁻²⁴. If one of them is none, both are 0.
pub(crate) struct Units {
    d: Vec<f64>,
    dmin: Vec<f64>,
}

impl Units {
    /// Those of a window whose layout has two.
    pub(crate) fn of(window: &Window) -> Units {
        let mut units = Units {
            d: vec![0.0; window.blocks],
            dmin: vec![0.0; window.blocks],
        };
        fill(
            [0, 1, 2, 3].map(|number| window.field(number)),
            &mut units.d,
            &mut units.dmin,
        );
        units
    }

    /// The same with the other sign of `m`.
    pub(super) fn with_negative_minima(mut self) -> Units {
        for m in &mut self.dmin {
            *m = -*m;
        }
        self
    }
}

vectorized! {
    fn fill(fields: [&[u8]; 4], d: &mut [f64], dmin: &mut [f64]) {
        let [d_upper, d_lower, dmin_upper, dmin_lower] = fields;
        let first = d_upper.iter().zip(d_lower);
        let second = dmin_upper.iter().zip(dmin_lower);
        for (((first, second), d), dmin) in first.zip(second).zip(d).zip(dmin) {
            let one = u16::from_be_bytes([*first.0, *first.1]);
            let other = u16::from_be_bytes([*second.0, *second.1]);
            let are_numbers = is_number(one) & is_number(other);
            *d = if are_numbers { units(one) } else { 0.0 };
            *dmin = if are_numbers { units(other) } else { 0.0 };
        }
    }
}

vectorized! {
    /// Fills in the [zero point](crate::blocks::q4_k::zero_point) of a group of each block.
    pub(super) fn zero_points(units: &Units, scales: &[u8], minima: &[u8], points: &mut [u8]) {
        let numbers = units.d.iter().zip(&units.dmin);
        let small = scales.iter().zip(minima);
        for (((d, dmin), (&scale, &minimum)), point) in numbers.zip(small).zip(points) {
            let whole = d * f64::from(scale);
            let part = dmin * f64::from(minimum);
            *point = quotient(8.0 * part + whole, 2.0 * whole);
        }
    }
}

vectorized! {
    /// Fills in what the minimum of a group of each block would be, if the weight zero lay in the middle of its range:
    /// 7.5·`d`·`scale` / `dmin`, rounded down, and 63 at most. Where that has no meaning it is 0.
    pub(crate) fn likely_minima(units: &Units, scales: &[u8], likely: &mut [u8]) {
        let numbers = units.d.iter().zip(&units.dmin);
        for (((d, dmin), &scale), likely) in numbers.zip(scales).zip(likely) {
            *likely = quotient(15.0 * d.abs() * f64::from(scale), 2.0 * dmin.abs());
        }
    }
}

/// A quotient of whole numbers, rounded down: 0 at least and where there is none, and 63 at most.
#[inline(always)]
fn quotient(of: f64, by: f64) -> u8 {
    // From here on all numbers are whole, so that adding it rounds.
    const WHOLE: f64 = (1u64 << 52) as f64;
    let (of, by) = if by == 0.0 { (0.0, 1.0) } else { (of, by) };
    let quotient = of / by;
    let quotient = if quotient > 0.0 { quotient } else { 0.0 };
    let quotient = if quotient < MOST { quotient } else { MOST };
    let rounded = quotient + WHOLE;
    let is_above = rounded - WHOLE > quotient;
    rounded.to_bits() as u8 - u8::from(is_above)
}

#[inline(always)]
fn is_number(bits: u16) -> bool {
    bits >> 10 & 31 < 31
}

/// What the bits of a finite fp16 number stand for, in units of 2⁻²⁴.
#[inline(always)]
fn units(bits: u16) -> f64 {
    let (exponent, mantissa) = (u64::from(bits >> 10 & 31), bits & 0x3ff);
    // An exponent of 1 is that of the least normal number, which is 2^10 units.
    let normal = f64::from_bits((exponent + 1032) << 52 | u64::from(mantissa) << 42);
    let magnitude = if exponent == 0 {
        f64::from(mantissa)
    } else {
        normal
    };
    if bits >> 15 == 1 {
        -magnitude
    } else {
        magnitude
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::f16_units;
    use crate::blocks::q4_k::zero_point;

    /// By whole numbers.
    fn likely_minimum(d: u16, dmin: u16, scale: u8) -> u8 {
        let (Some(d), Some(dmin)) = (f16_units(d), f16_units(dmin)) else {
            return 0;
        };
        let whole = 15 * d.unsigned_abs() * u64::from(scale);
        whole
            .checked_div(2 * dmin.unsigned_abs())
            .unwrap_or(0)
            .min(63) as u8
    }

    fn of(blocks: &[(u16, u16)]) -> Units {
        let byte = |upper: usize| {
            move |&(d, dmin): &(u16, u16)| {
                let bytes = [d.to_be_bytes(), dmin.to_be_bytes()].concat();
                bytes[upper]
            }
        };
        let fields = [0, 1, 2, 3].map(|number| blocks.iter().map(byte(number)).collect::<Vec<_>>());
        let mut units = Units {
            d: vec![0.0; blocks.len()],
            dmin: vec![0.0; blocks.len()],
        };
        fill(
            fields.each_ref().map(Vec::as_slice),
            &mut units.d,
            &mut units.dmin,
        );
        units
    }

    #[test]
    fn every_fp16_number_is_what_it_stands_for() {
        for bits in 0..=u16::MAX {
            let found = of(&[(bits, 0x3c00)]);
            let expected = f16_units(bits).unwrap_or(0) as f64;
            assert_eq!(found.d[0], expected, "{bits:04x}");
            assert_eq!(found.dmin[0] == 0.0, f16_units(bits).is_none());
        }
    }

    #[test]
    fn quotients_are_those_of_whole_numbers() {
        let mut state = 1u64;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u32
        };
        for _ in 0..3000 {
            let numbers: Vec<(u16, u16)> = (0..67)
                .map(|i| match i % 4 {
                    // Anything; near each other; quotients that are whole numbers, or nearly so.
                    0 => (next() as u16, next() as u16),
                    1 => (
                        next() as u16 & 0x83ff | 0x1800,
                        next() as u16 & 0x83ff | 0x2000,
                    ),
                    2 => (0x1c00 | next() as u16 & 3, 0x1c00 | next() as u16 & 3),
                    _ => (next() as u16 & 0x7fff, next() as u16 & 7),
                })
                .collect();
            let scales: Vec<u8> = numbers.iter().map(|_| next() as u8 & 63).collect();
            let minima: Vec<u8> = numbers.iter().map(|_| next() as u8 & 63).collect();
            let units = of(&numbers);
            let mut found = vec![0; numbers.len()];
            zero_points(&units, &scales, &minima, &mut found);
            let both = numbers.iter().zip(&scales).zip(&minima);
            for (((&(d, dmin), &scale), &minimum), &found) in both.zip(&found) {
                assert_eq!(found, zero_point(d, dmin, scale, minimum));
            }
            likely_minima(&units, &scales, &mut found);
            for ((&(d, dmin), &scale), &found) in numbers.iter().zip(&scales).zip(&found) {
                assert_eq!(found, likely_minimum(d, dmin, scale));
            }
        }
    }

    #[test]
    fn minima_that_are_likely() {
        let (one, two) = (0x3c00, 0x4000);
        let numbers = [(one, one), (one, two), (two, one), (one, 0), (0x7c00, one)];
        let mut found = [0; 5];
        likely_minima(&of(&numbers), &[2, 3, 63, 3, 3], &mut found);
        assert_eq!(found, [15, 11, 63, 0, 0]);
    }
}
