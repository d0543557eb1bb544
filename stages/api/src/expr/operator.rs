//! What the operators and the functions of one number do with values.

use std::cmp::Ordering;

use super::ast::{BinaryOp, label};
use super::eval_error::{EvalError, EvalErrorKind};
use super::function::Scalar;
use super::number::{Number, whole};
use super::program::Node;
use crate::value::Value;

/// A node and its value.
type Operand<'o, 'a> = (&'o Node<'a>, &'o Value);

/// Returns whether a condition with this value holds.
pub(super) fn truth(node: &Node<'_>, value: &Value) -> Result<bool, EvalError> {
    match value {
        Value::Bool(bool) => Ok(*bool),
        Value::None => Ok(false),
        other => Err(wrong_type(node, "a truth value", other)),
    }
}

/// Returns the number that a node has as its value.
pub(super) fn number(node: &Node<'_>, value: &Value) -> Result<Number, EvalError> {
    match Number::of(value) {
        Some(Number::Float(float)) if !float.is_finite() => {
            Err(node.error(EvalErrorKind::NotFinite(node.expr.to_string())))
        }
        Some(number) => Ok(number),
        None => Err(wrong_type(node, "a number", value)),
    }
}

fn wrong_type(node: &Node<'_>, expected: &'static str, found: &Value) -> EvalError {
    let path = node.expr.to_string();
    node.error(match found {
        Value::None => EvalErrorKind::None(path),
        found => EvalErrorKind::WrongType {
            expected,
            path,
            found: found.to_string(),
        },
    })
}

fn overflow(node: &Node<'_>) -> EvalError {
    node.error(EvalErrorKind::Overflow(node.expr.to_string()))
}

/// `-a`.
pub(super) fn negated(
    node: &Node<'_>,
    operand: &Node<'_>,
    value: &Value,
) -> Result<Value, EvalError> {
    match number(operand, value)? {
        Number::Int(int) => int.checked_neg().map(Value::Int),
        Number::Float(float) => Value::float(-float),
    }
    .ok_or_else(|| overflow(node))
}

/// All operators with two operands but `&&` and `||`, which do not always look at the second.
pub(super) fn binary_value(
    node: &Node<'_>,
    op: BinaryOp,
    left: Operand<'_, '_>,
    right: Operand<'_, '_>,
) -> Result<Value, EvalError> {
    let arithmetic = |ints: fn(i64, i64) -> Option<i64>, floats: fn(f64, f64) -> f64| {
        number(left.0, left.1)?
            .apply(number(right.0, right.1)?, ints, floats)
            .ok_or_else(|| overflow(node))
    };
    let ordered = |holds: fn(Ordering) -> bool| order(left, right).map(holds).map(Value::Bool);
    match op {
        BinaryOp::Add => arithmetic(i64::checked_add, |a, b| a + b),
        BinaryOp::Subtract => arithmetic(i64::checked_sub, |a, b| a - b),
        BinaryOp::Multiply => arithmetic(i64::checked_mul, |a, b| a * b),
        BinaryOp::Divide => {
            let dividend = number(left.0, left.1)?.float();
            let divisor = number(right.0, right.1)?.float();
            if divisor == 0.0 {
                return Err(node.error(EvalErrorKind::DivisionByZero));
            }
            Value::float(dividend / divisor).ok_or_else(|| overflow(node))
        }
        BinaryOp::Less => ordered(Ordering::is_lt),
        BinaryOp::LessEqual => ordered(Ordering::is_le),
        BinaryOp::Greater => ordered(Ordering::is_gt),
        BinaryOp::GreaterEqual => ordered(Ordering::is_ge),
        BinaryOp::Equal => Ok(Value::Bool(equal(left.1, right.1))),
        BinaryOp::NotEqual => Ok(Value::Bool(!equal(left.1, right.1))),
        BinaryOp::In => contains(left, right).map(Value::Bool),
        BinaryOp::NotIn => contains(left, right).map(|found| Value::Bool(!found)),
        BinaryOp::And => Ok(Value::Bool(
            truth(left.0, left.1)? && truth(right.0, right.1)?,
        )),
        BinaryOp::Or => Ok(Value::Bool(
            truth(left.0, left.1)? || truth(right.0, right.1)?,
        )),
    }
}

fn order(left: Operand<'_, '_>, right: Operand<'_, '_>) -> Result<Ordering, EvalError> {
    match (left.1, right.1) {
        (Value::Text(a), Value::Text(b)) => Ok(a.cmp(b)),
        (Value::Text(_), other) => Err(wrong_type(right.0, "a text", other)),
        _ => Ok(number(left.0, left.1)?.compare(number(right.0, right.1)?)),
    }
}

/// Tells whether two values are equal: numbers by value, values of axes by name.
pub(crate) fn equal(left: &Value, right: &Value) -> bool {
    match (label(left), label(right)) {
        (Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (a, b) => match (Number::of(a), Number::of(b)) {
            (Some(a), Some(b)) => a.compare(b).is_eq(),
            _ => a == b,
        },
    }
}

fn contains(left: Operand<'_, '_>, right: Operand<'_, '_>) -> Result<bool, EvalError> {
    match right.1 {
        Value::None => Ok(false),
        Value::List(list) => {
            Ok(!left.1.is_none() && list.iter().any(|element| equal(left.1, element)))
        }
        other => Err(wrong_type(right.0, "a list", other)),
    }
}

/// The functions of one number.
pub(super) fn scalar_value(
    node: &Node<'_>,
    name: &str,
    scalar: Scalar,
    operand: &Node<'_>,
    value: &Value,
) -> Result<Value, EvalError> {
    let argument = number(operand, value)?;
    let rounded = |round: fn(f64) -> f64| match argument {
        Number::Int(int) => Some(Value::Int(int)),
        Number::Float(float) => whole(round(float)).map(Value::Int),
    };
    let float = argument.float();
    let no_number = match scalar {
        Scalar::Sqrt => float < 0.0,
        Scalar::Log2 => float <= 0.0,
        _ => false,
    };
    if no_number {
        return Err(node.error(EvalErrorKind::NotANumber {
            function: name.to_owned(),
            argument: value.to_string(),
        }));
    }
    match scalar {
        Scalar::Abs => match argument {
            Number::Int(int) => int.checked_abs().map(Value::Int),
            Number::Float(float) => Value::float(float.abs()),
        },
        Scalar::Sqrt => Value::float(libm::sqrt(float)),
        Scalar::Log2 => Value::float(libm::log2(float)),
        Scalar::Exp2 => Value::float(libm::exp2(float)),
        Scalar::Round => rounded(libm::round),
        Scalar::Floor => rounded(libm::floor),
        Scalar::Ceil => rounded(libm::ceil),
    }
    .ok_or_else(|| overflow(node))
}
