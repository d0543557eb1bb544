//! Values of parameters, axis fields and table cells, and their types.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::{Number, Value as Json};

/// A value of a parameter, of a field of an axis value, or of a table cell.
///
/// Floats are never NaN and never infinite: whoever makes one checks that (see [`Value::float`]).
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// A field that is absent: false as a condition, in no list, equal to nothing but itself.
    #[default]
    None,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A finite number.
    Float(f64),
    /// A text.
    Text(String),
    /// An ordered list.
    List(Vec<Value>),
    /// Named values, ordered by name.
    Record(BTreeMap<String, Value>),
}

impl Value {
    /// Makes a float, or nothing if `number` is NaN or infinite.
    #[must_use]
    pub fn float(number: f64) -> Option<Self> {
        // `-0.0` and `0.0` are one number and must give one key.
        number
            .is_finite()
            .then_some(Self::Float(if number == 0.0 { 0.0 } else { number }))
    }

    /// Tells whether this is [`Value::None`].
    #[must_use]
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Returns the text, if this is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the whole number, if this is one.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(int) => Some(*int),
            _ => None,
        }
    }

    /// Returns the truth value, if this is one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(bool) => Some(*bool),
            _ => None,
        }
    }

    /// Returns the number, whole or not, as a float.
    #[must_use]
    pub fn as_number(&self) -> Option<f64> {
        match self {
            #[expect(
                clippy::cast_precision_loss,
                reason = "counts and sizes stay far below 2^53"
            )]
            Self::Int(int) => Some(*int as f64),
            Self::Float(float) => Some(*float),
            _ => None,
        }
    }

    /// Returns the elements, if this is a list.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }

    /// Returns the fields, if this is a record.
    #[must_use]
    pub fn as_record(&self) -> Option<&BTreeMap<String, Value>> {
        match self {
            Self::Record(record) => Some(record),
            _ => None,
        }
    }

    /// Returns a field of a record; [`Value::None`] where there is no such field or no record.
    #[must_use]
    pub fn field(&self, name: &str) -> &Value {
        const NONE: &Value = &Value::None;
        self.as_record()
            .and_then(|record| record.get(name))
            .unwrap_or(NONE)
    }

    /// Writes the canonical encoding to `out`: a tag byte, then a little-endian 64-bit length or number.
    ///
    /// Two values have the same encoding exactly if they are equal; no encoding is a prefix of another.
    pub fn encode(&self, out: &mut Vec<u8>) {
        fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
            out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            out.extend_from_slice(bytes);
        }
        match self {
            Self::None => out.push(0),
            Self::Bool(bool) => out.extend_from_slice(&[1, u8::from(*bool)]),
            Self::Int(int) => {
                out.push(2);
                out.extend_from_slice(&int.to_le_bytes());
            }
            Self::Float(float) => {
                out.push(3);
                out.extend_from_slice(&float.to_bits().to_le_bytes());
            }
            Self::Text(text) => {
                out.push(4);
                bytes(out, text.as_bytes());
            }
            Self::List(list) => {
                out.push(5);
                out.extend_from_slice(&(list.len() as u64).to_le_bytes());
                for value in list {
                    value.encode(out);
                }
            }
            Self::Record(record) => {
                out.push(6);
                out.extend_from_slice(&(record.len() as u64).to_le_bytes());
                for (name, value) in record {
                    bytes(out, name.as_bytes());
                    value.encode(out);
                }
            }
        }
    }

    /// Converts to JSON; [`Value::None`] becomes `null`.
    #[must_use]
    pub fn to_json(&self) -> Json {
        match self {
            Self::None => Json::Null,
            Self::Bool(bool) => Json::Bool(*bool),
            Self::Int(int) => Json::Number((*int).into()),
            Self::Float(float) => Number::from_f64(*float).map_or(Json::Null, Json::Number),
            Self::Text(text) => Json::String(text.clone()),
            Self::List(list) => Json::Array(list.iter().map(Self::to_json).collect()),
            Self::Record(record) => Json::Object(
                record
                    .iter()
                    .map(|(name, value)| (name.clone(), value.to_json()))
                    .collect(),
            ),
        }
    }

    /// Converts from JSON; a number that is not a whole 64-bit one becomes a float.
    #[must_use]
    pub fn from_json(json: &Json) -> Self {
        match json {
            Json::Null => Self::None,
            Json::Bool(bool) => Self::Bool(*bool),
            Json::Number(number) => number.as_i64().map_or_else(
                || number.as_f64().and_then(Self::float).unwrap_or_default(),
                Self::Int,
            ),
            Json::String(text) => Self::Text(text.clone()),
            Json::Array(list) => Self::List(list.iter().map(Self::from_json).collect()),
            Json::Object(record) => Self::Record(
                record
                    .iter()
                    .map(|(name, value)| (name.clone(), Self::from_json(value)))
                    .collect(),
            ),
        }
    }
}

/// Prints the value as the expression language writes it: `'text'`, `[1, 2]`, `none`.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Bool(bool) => write!(f, "{bool}"),
            Self::Int(int) => write!(f, "{int}"),
            // `{:?}` keeps the point of a whole float, so that it reads back as a float.
            Self::Float(float) => write!(f, "{float:?}"),
            Self::Text(text) => {
                write!(f, "'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
            }
            Self::List(list) => {
                f.write_str("[")?;
                for (index, value) in list.iter().enumerate() {
                    if index > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{value}")?;
                }
                f.write_str("]")
            }
            Self::Record(record) => {
                f.write_str("{")?;
                for (index, (name, value)) in record.iter().enumerate() {
                    let comma = if index > 0 { "," } else { "" };
                    write!(f, "{comma} {name} = {value}")?;
                }
                f.write_str(" }")
            }
        }
    }
}

/// The type of an expression, a column or a field. Every type also has the value `none`.
#[derive(Debug, Clone, PartialEq)]
pub enum Type {
    /// Not known before the run: anything goes.
    Any,
    /// A truth value.
    Bool,
    /// A whole number.
    Int,
    /// A number; a whole number is one too.
    Float,
    /// A text.
    Text,
    /// A list of values of one type.
    List(Box<Type>),
    /// A table in a TOML file that expressions only ask for with `has`.
    Record,
    /// A value of an axis. It compares with its name; `x.name` and the other fields can be asked for.
    Axis(Arc<AxisType>),
}

/// The type of the values of an axis that carry fields.
#[derive(Debug, Clone, PartialEq)]
pub struct AxisType {
    /// The axis.
    pub axis: String,
    /// The fields that at least one value of the axis has, `name` among them.
    pub fields: BTreeMap<String, Type>,
}

impl Type {
    /// Tells whether the type is a number.
    #[must_use]
    pub fn is_number(&self) -> bool {
        matches!(self, Self::Int | Self::Float | Self::Any)
    }

    /// Returns the least type that holds both, or nothing if there is none.
    #[must_use]
    pub fn join(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (a, b) if a == b => Some(a.clone()),
            (Self::Any, _) | (_, Self::Any) => Some(Self::Any),
            (Self::Int, Self::Float) | (Self::Float, Self::Int) => Some(Self::Float),
            (Self::Axis(_), Self::Text) | (Self::Text, Self::Axis(_)) => Some(Self::Text),
            (Self::Axis(_), Self::Axis(_)) => Some(Self::Text),
            (Self::List(a), Self::List(b)) => Some(Self::List(Box::new(a.join(b)?))),
            _ => None,
        }
    }

    /// Returns the type of a value as it stands in a TOML file; nothing for a list of mixed types.
    #[must_use]
    pub fn of(value: &Value) -> Option<Self> {
        Some(match value {
            Value::None => Self::Any,
            Value::Bool(_) => Self::Bool,
            Value::Int(_) => Self::Int,
            Value::Float(_) => Self::Float,
            Value::Text(_) => Self::Text,
            Value::Record(_) => Self::Record,
            Value::List(list) => {
                let mut element = Self::Any;
                for (index, value) in list.iter().enumerate() {
                    let next = Self::of(value)?;
                    element = if index == 0 {
                        next
                    } else {
                        element.join(&next)?
                    };
                }
                Self::List(Box::new(element))
            }
        })
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any value"),
            Self::Bool => f.write_str("a truth value"),
            Self::Int => f.write_str("a whole number"),
            Self::Float => f.write_str("a number"),
            Self::Text => f.write_str("a text"),
            Self::List(element) => match &**element {
                Self::Any => f.write_str("a list"),
                Self::Text => f.write_str("a list of texts"),
                Self::Int => f.write_str("a list of whole numbers"),
                Self::Float => f.write_str("a list of numbers"),
                _ => f.write_str("a list"),
            },
            Self::Record => f.write_str("a table"),
            Self::Axis(axis) => write!(f, "a value of the axis `{}`", axis.axis),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(value: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        value.encode(&mut out);
        out
    }

    #[test]
    fn encodings_keep_values_apart() {
        let values = [
            Value::None,
            Value::Bool(false),
            Value::Int(0),
            Value::Float(0.0),
            Value::Text(String::new()),
            Value::List(vec![]),
            Value::Record(BTreeMap::new()),
            Value::List(vec![Value::Text("ab".into())]),
            Value::List(vec![Value::Text("a".into()), Value::Text("b".into())]),
            Value::Record([("a".to_owned(), Value::Int(1))].into()),
        ];
        for (i, a) in values.iter().enumerate() {
            for (j, b) in values.iter().enumerate() {
                assert_eq!(encoded(a) == encoded(b), i == j, "{a} and {b}");
            }
        }
    }

    #[test]
    fn negative_zero_is_zero_and_nan_is_nothing() {
        assert_eq!(
            Value::float(-0.0).map(|v| encoded(&v)),
            Value::float(0.0).map(|v| encoded(&v))
        );
        assert_eq!(Value::float(f64::NAN), None);
        assert_eq!(Value::float(f64::INFINITY), None);
    }

    #[test]
    fn json_and_back() {
        let value = Value::Record(
            [
                (
                    "a".to_owned(),
                    Value::List(vec![Value::Int(1), Value::None]),
                ),
                ("b".to_owned(), Value::Float(0.1)),
                ("c".to_owned(), Value::Text("x".into())),
            ]
            .into(),
        );
        assert_eq!(Value::from_json(&value.to_json()), value);
    }

    #[test]
    fn mixed_lists_have_no_type() {
        let mixed = Value::List(vec![Value::Int(1), Value::Text("a".into())]);
        assert_eq!(Type::of(&mixed), None);
        let numbers = Value::List(vec![Value::Int(1), Value::Float(0.5)]);
        assert_eq!(Type::of(&numbers), Some(Type::List(Box::new(Type::Float))));
    }
}
