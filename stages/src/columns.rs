//! Columns that several kinds' tables have, and their cells.

use llmcl_stages_api::table::Column;
use llmcl_stages_api::tensors::Tensor;
use llmcl_stages_api::value::{Type, Value};

/// A column of texts.
#[must_use]
pub fn text(name: &str, about: &str) -> Column {
    Column::new(name, Type::Text, about)
}

/// A column of whole numbers.
#[must_use]
pub fn whole(name: &str, about: &str) -> Column {
    Column::new(name, Type::Int, about)
}

/// A column of numbers.
#[must_use]
pub fn number(name: &str, about: &str) -> Column {
    Column::new(name, Type::Float, about)
}

/// A column of truth values.
#[must_use]
pub fn truth(name: &str, about: &str) -> Column {
    Column::new(name, Type::Bool, about)
}

/// What a row about a tensor begins with: `tensor`, `dtype`, `category`, `part`, `layer`, `numel`.
#[must_use]
pub fn of_tensor() -> Vec<Column> {
    vec![
        text("tensor", "the tensor's name in its checkpoint"),
        text("dtype", "the type of its elements"),
        text(
            "category",
            "what it is: embedding, attention, mlp, norm, head, other",
        ),
        text(
            "part",
            "which part of an attention or mlp it is: q, k, v, o, gate, up, down, …; none elsewhere",
        ),
        whole(
            "layer",
            "the layer that it is in, counted from 0; none outside of the layers",
        ),
        whole("numel", "how many elements it has"),
    ]
}

/// The cells of [`of_tensor`].
#[must_use]
pub fn tensor_cells(tensor: &Tensor) -> Vec<Value> {
    vec![
        Value::Text(tensor.name.clone()),
        Value::Text(tensor.dtype.clone()),
        Value::Text(tensor.category.clone()),
        optional_text(tensor.part.as_deref()),
        tensor
            .layer
            .map_or(Value::None, |layer| Value::Int(i64::from(layer))),
        count(tensor.numel()),
    ]
}

/// What a row says of a unit that a program of somebody else's has not brought back: `first_difference`, `failure`.
#[must_use]
pub fn of_difference() -> [Column; 2] {
    [
        whole(
            "first_difference",
            "the first decoded byte that is not the original's; none where they are the same, or there are none",
        ),
        text(
            "failure",
            "why a program of somebody else's has decoded nothing; none elsewhere",
        ),
    ]
}

/// A count, or `none`.
#[must_use]
pub fn optional_count(number: Option<u64>) -> Value {
    number.map_or(Value::None, count)
}

/// A text, or `none`.
#[must_use]
pub fn optional_text(text: Option<&str>) -> Value {
    text.map_or(Value::None, |text| Value::Text(text.to_owned()))
}

/// A count or a size. What is beyond 2^63 − 1, which nothing in a file can be, becomes that.
#[must_use]
pub fn count(count: u64) -> Value {
    Value::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

/// A number that is `none` where it is not finite, or not there.
#[must_use]
pub fn finite(number: impl Into<Option<f64>>) -> Value {
    number.into().and_then(Value::float).unwrap_or_default()
}

/// `dividend / divisor`, or `none` where the divisor is zero.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "counts and sizes stay far below 2^53"
)]
pub fn quotient(dividend: u64, divisor: u64) -> Value {
    finite((divisor > 0).then(|| dividend as f64 / divisor as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotients_by_zero_are_none() {
        assert_eq!(quotient(3, 2), Value::Float(1.5));
        assert_eq!(quotient(3, 0), Value::None);
        assert_eq!(finite(None), Value::None);
        assert_eq!(finite(f64::NAN), Value::None);
    }

    #[test]
    fn a_tensor_without_a_layer_says_so() {
        let tensor = Tensor {
            name: "a".to_owned(),
            dtype: "BF16".to_owned(),
            shape: vec![2, 3],
            category: "norm".to_owned(),
            part: None,
            layer: None,
            digest: blake3::hash(b""),
            blob: llmcl_stages_api::artifact::BlobRef {
                digest: blake3::hash(b""),
                bytes: 0,
            },
            offset: 0,
            bytes: 12,
        };
        let cells = tensor_cells(&tensor);
        assert_eq!(cells.len(), of_tensor().len());
        assert_eq!(cells.last(), Some(&Value::Int(6)));
        assert_eq!(cells.iter().filter(|cell| cell.is_none()).count(), 2);
    }
}
