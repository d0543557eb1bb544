//! The statistics over numbers. Their results have the same bits on every machine.
//!
//! - A sum of whole numbers is exact. Any other sum is taken in the order of the rows with Neumaier's compensation
//!   (A. Neumaier, "Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen", 1974), and is exact to
//!   the last bit or two whatever the order.
//! - A quantile is by linear interpolation between the two nearest values at the position `(n - 1) q`, which is
//!   type 7 of Hyndman and Fan (1996), the default of numpy and R. The median is the quantile at 0.5.
//! - A geometric mean is `exp(mean(ln x))`, with `exp` and `ln` from `libm`.
//!
//! Those that are undefined over no rows must not be called with none; the callers say so with the place.

use super::eval_error::EvalErrorKind;
use super::number::Number;
use crate::value::Value;

type Statistic<T> = Result<T, EvalErrorKind>;

fn overflow(function: &str) -> EvalErrorKind {
    EvalErrorKind::Overflow(function.to_owned())
}

/// The sum: whole if all the numbers are.
pub(super) fn sum(numbers: &[Number]) -> Statistic<Value> {
    match exact_sum(numbers) {
        Some(sum) => i64::try_from(sum).ok().map(Value::Int),
        None => Value::float(float_sum(numbers.iter().map(|number| number.float()))),
    }
    .ok_or_else(|| overflow("sum"))
}

/// The sum of whole numbers; nothing if one is a float. Fewer than 2^64 numbers cannot overflow it.
fn exact_sum(numbers: &[Number]) -> Option<i128> {
    numbers.iter().try_fold(0, |sum, number| match number {
        Number::Int(int) => Some(sum + i128::from(*int)),
        Number::Float(_) => None,
    })
}

/// The sum with Neumaier's compensation, in order.
fn float_sum(numbers: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut lost) = (0.0f64, 0.0f64);
    for number in numbers {
        let next = sum + number;
        lost += if sum.abs() >= number.abs() {
            (sum - next) + number
        } else {
            (number - next) + sum
        };
        sum = next;
    }
    sum + lost
}

/// The sum, rounded to a float at the end only.
#[expect(
    clippy::cast_precision_loss,
    reason = "the nearest float is what is meant"
)]
fn rounded_sum(numbers: &[Number]) -> f64 {
    match exact_sum(numbers) {
        Some(sum) => sum as f64,
        None => float_sum(numbers.iter().map(|number| number.float())),
    }
}

#[expect(clippy::cast_precision_loss, reason = "rows are fewer than 2^53")]
fn count(numbers: &[Number]) -> f64 {
    numbers.len() as f64
}

/// The arithmetic mean.
pub(super) fn mean(numbers: &[Number]) -> Statistic<Value> {
    Value::float(rounded_sum(numbers) / count(numbers)).ok_or_else(|| overflow("mean"))
}

/// The geometric mean.
pub(super) fn geomean(numbers: &[Number]) -> Statistic<Value> {
    if let Some(bad) = numbers.iter().find(|number| number.float() <= 0.0) {
        return Err(EvalErrorKind::NotPositive(bad.value().to_string()));
    }
    let logs = float_sum(numbers.iter().map(|number| libm::log(number.float())));
    Value::float(libm::exp(logs / count(numbers))).ok_or_else(|| overflow("geomean"))
}

/// `sum(bytes_in) / sum(bytes_out)`.
pub(super) fn byte_weighted(bytes_in: &[Number], bytes_out: &[Number]) -> Statistic<Value> {
    let out = rounded_sum(bytes_out);
    if out == 0.0 {
        return Err(EvalErrorKind::DivisionByZero);
    }
    Value::float(rounded_sum(bytes_in) / out).ok_or_else(|| overflow("byte_weighted"))
}

/// The least number, or the greatest; the first of equals.
pub(super) fn extreme(numbers: &[Number], greatest: bool) -> Option<Value> {
    let before = |a: Number, b: Number| {
        let order = a.compare(b);
        if greatest {
            order.is_gt()
        } else {
            order.is_lt()
        }
    };
    numbers
        .iter()
        .copied()
        .reduce(|best, next| if before(next, best) { next } else { best })
        .map(Number::value)
}

/// The quantile at a share from 0 to 1.
pub(super) fn quantile(numbers: &[Number], share: f64) -> Statistic<Value> {
    let mut floats: Vec<f64> = numbers.iter().map(|number| number.float()).collect();
    float_quantile(&mut floats, share)
        .and_then(Value::float)
        .ok_or_else(|| overflow("quantile"))
}

/// The quantile of floats, which are put in another order; nothing if there are none.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a position is between 0 and the number of rows"
)]
pub(crate) fn float_quantile(floats: &mut [f64], share: f64) -> Option<f64> {
    let last = floats.len().checked_sub(1)?;
    let position = last as f64 * share.clamp(0.0, 1.0);
    let below = (libm::floor(position) as usize).min(last);
    let (_, low, above) = floats.select_nth_unstable_by(below, f64::total_cmp);
    let low = *low;
    let Some(high) = above.iter().copied().min_by(f64::total_cmp) else {
        return Some(low);
    };
    let part = position - below as f64;
    // From the nearer end, as numpy does: then it is exact at both ends and never leaves them.
    Some(if part < 0.5 {
        low + (high - low) * part
    } else {
        high - (high - low) * (1.0 - part)
    })
}
