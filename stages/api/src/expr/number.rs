//! Numbers, whole or not, and how they meet.

use std::cmp::Ordering;

use crate::value::Value;

/// A finite number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    /// A whole number.
    Int(i64),
    /// Any number.
    Float(f64),
}

impl Number {
    /// Returns the number that a value is.
    pub(crate) fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Int(int) => Some(Self::Int(*int)),
            Value::Float(float) => Some(Self::Float(*float)),
            _ => None,
        }
    }

    /// Returns the nearest float.
    #[expect(
        clippy::cast_precision_loss,
        reason = "where a float is asked for, the nearest one is meant"
    )]
    pub(crate) fn float(self) -> f64 {
        match self {
            Self::Int(int) => int as f64,
            Self::Float(float) => float,
        }
    }

    /// Applies an operation: exactly on whole numbers, else on floats. Nothing if the result is too large.
    pub(crate) fn apply(
        self,
        other: Self,
        ints: fn(i64, i64) -> Option<i64>,
        floats: fn(f64, f64) -> f64,
    ) -> Option<Value> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => ints(a, b).map(Value::Int),
            (a, b) => Value::float(floats(a.float(), b.float())),
        }
    }

    /// Compares by value, exactly: no whole number is rounded.
    pub(crate) fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a.cmp(&b),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
            (Self::Int(a), Self::Float(b)) => compare_mixed(a, b),
            (Self::Float(a), Self::Int(b)) => compare_mixed(b, a).reverse(),
        }
    }

    /// Returns the value.
    pub(crate) fn value(self) -> Value {
        match self {
            Self::Int(int) => Value::Int(int),
            Self::Float(float) => Value::Float(float),
        }
    }
}

fn compare_mixed(int: i64, float: f64) -> Ordering {
    match whole(libm::floor(float)) {
        // With equal whole parts, what is left of the float decides.
        Some(floor) => int.cmp(&floor).then(if libm::floor(float) < float {
            Ordering::Less
        } else {
            Ordering::Equal
        }),
        None if float < 0.0 => Ordering::Greater,
        None => Ordering::Less,
    }
}

/// Returns the whole number that a float without fraction is, if it has 64 bits.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the float is whole and inside of the range"
)]
pub(crate) fn whole(float: f64) -> Option<i64> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    (libm::trunc(float) == float && (-LIMIT..LIMIT).contains(&float)).then_some(float as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_and_floats_compare_exactly() {
        let cases = [
            (1, 1.0, Ordering::Equal),
            (1, 1.5, Ordering::Less),
            (-1, -1.5, Ordering::Greater),
            (-2, -1.5, Ordering::Less),
            // 2^53 + 1 is no float; the nearest one is 2^53.
            (
                9_007_199_254_740_993,
                9_007_199_254_740_992.0,
                Ordering::Greater,
            ),
            (i64::MAX, 9_223_372_036_854_775_808.0, Ordering::Less),
            (i64::MIN, -9_223_372_036_854_775_808.0, Ordering::Equal),
            (0, 1e300, Ordering::Less),
            (0, -1e300, Ordering::Greater),
        ];
        for (int, float, expected) in cases {
            let (int, float) = (Number::Int(int), Number::Float(float));
            assert_eq!(int.compare(float), expected, "{int:?} {float:?}");
            assert_eq!(float.compare(int), expected.reverse(), "{float:?} {int:?}");
        }
    }
}
