//! The values of GGUF's metadata.

use super::error::GgufError;
use super::fields::Fields;

/// As many arrays as may lie in one another.
pub const ARRAY_MAX_DEPTH: usize = 8;

/// An entry of the metadata.
#[derive(Clone, Debug, PartialEq)]
pub struct MetadataEntry<'a> {
    /// Its key, unique in the file.
    pub key: &'a str,
    /// Its value.
    pub value: Value<'a>,
    /// Offset of its first byte from the start of the file.
    pub offset: u64,
}

/// A value; texts and arrays point into the file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Unsigned 8-bit integer.
    U8(u8),
    /// Signed 8-bit integer.
    I8(i8),
    /// Unsigned 16-bit integer.
    U16(u16),
    /// Signed 16-bit integer.
    I16(i16),
    /// Unsigned 32-bit integer.
    U32(u32),
    /// Signed 32-bit integer.
    I32(i32),
    /// IEEE 754 binary32.
    F32(f32),
    /// A truth value.
    Bool(bool),
    /// A text. It should be UTF-8, but tokens are known that are not.
    Text(&'a [u8]),
    /// Values of one type.
    Array(Array<'a>),
    /// Unsigned 64-bit integer.
    U64(u64),
    /// Signed 64-bit integer.
    I64(i64),
    /// IEEE 754 binary64.
    F64(f64),
}

/// A type of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// [`Value::U8`].
    U8,
    /// [`Value::I8`].
    I8,
    /// [`Value::U16`].
    U16,
    /// [`Value::I16`].
    I16,
    /// [`Value::U32`].
    U32,
    /// [`Value::I32`].
    I32,
    /// [`Value::F32`].
    F32,
    /// [`Value::Bool`].
    Bool,
    /// [`Value::Text`].
    Text,
    /// [`Value::Array`].
    Array,
    /// [`Value::U64`].
    U64,
    /// [`Value::I64`].
    I64,
    /// [`Value::F64`].
    F64,
}

/// An array whose elements have been checked and are read again when they are asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Array<'a> {
    /// The type of each element.
    pub element: ValueType,
    /// How many elements there are.
    pub len: u64,
    /// The elements as they are in the file, after the type and the length.
    pub bytes: &'a [u8],
}

impl<'a> Value<'a> {
    /// The number, of an integer that is not negative.
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Value::U8(number) => Some(number.into()),
            Value::U16(number) => Some(number.into()),
            Value::U32(number) => Some(number.into()),
            Value::U64(number) => Some(number),
            Value::I8(number) => number.try_into().ok(),
            Value::I16(number) => number.try_into().ok(),
            Value::I32(number) => number.try_into().ok(),
            Value::I64(number) => number.try_into().ok(),
            _ => None,
        }
    }

    /// The text, if it is one and UTF-8.
    pub fn as_str(&self) -> Option<&'a str> {
        match *self {
            Value::Text(text) => std::str::from_utf8(text).ok(),
            _ => None,
        }
    }
}

impl<'a> Array<'a> {
    /// Its elements.
    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let (element, mut fields) = (self.element, Fields::new(self.bytes));
        (0..self.len).map_while(move |_| value(&mut fields, element, 0).ok())
    }
}

impl ValueType {
    /// The types in the order of their numbers.
    const ALL: [ValueType; 13] = [
        ValueType::U8,
        ValueType::I8,
        ValueType::U16,
        ValueType::I16,
        ValueType::U32,
        ValueType::I32,
        ValueType::F32,
        ValueType::Bool,
        ValueType::Text,
        ValueType::Array,
        ValueType::U64,
        ValueType::I64,
        ValueType::F64,
    ];

    /// The fewest bytes that a value takes: those of its number, of a text's length, of an array's type and length.
    fn least_bytes(self) -> u64 {
        match self {
            ValueType::U8 | ValueType::I8 | ValueType::Bool => 1,
            ValueType::U16 | ValueType::I16 => 2,
            ValueType::U32 | ValueType::I32 | ValueType::F32 => 4,
            ValueType::U64 | ValueType::I64 | ValueType::F64 | ValueType::Text => 8,
            ValueType::Array => 12,
        }
    }

    fn read(fields: &mut Fields<'_>) -> Result<Self, GgufError> {
        let at = fields.at();
        let found = fields.u32("type of a value")?;
        usize::try_from(found)
            .ok()
            .and_then(|number| ValueType::ALL.get(number).copied())
            .ok_or(GgufError::ValueType { at, found })
    }
}

/// Reads a type and the value after it.
pub(super) fn typed_value<'a>(fields: &mut Fields<'a>) -> Result<Value<'a>, GgufError> {
    let kind = ValueType::read(fields)?;
    value(fields, kind, 0)
}

/// Reads a value that lies in `depth` arrays.
fn value<'a>(
    fields: &mut Fields<'a>,
    kind: ValueType,
    depth: usize,
) -> Result<Value<'a>, GgufError> {
    const WHAT: &str = "value";
    Ok(match kind {
        ValueType::U8 => Value::U8(u8::from_le_bytes(fields.array(WHAT)?)),
        ValueType::I8 => Value::I8(i8::from_le_bytes(fields.array(WHAT)?)),
        ValueType::U16 => Value::U16(u16::from_le_bytes(fields.array(WHAT)?)),
        ValueType::I16 => Value::I16(i16::from_le_bytes(fields.array(WHAT)?)),
        ValueType::U32 => Value::U32(u32::from_le_bytes(fields.array(WHAT)?)),
        ValueType::I32 => Value::I32(i32::from_le_bytes(fields.array(WHAT)?)),
        ValueType::F32 => Value::F32(f32::from_le_bytes(fields.array(WHAT)?)),
        ValueType::U64 => Value::U64(u64::from_le_bytes(fields.array(WHAT)?)),
        ValueType::I64 => Value::I64(i64::from_le_bytes(fields.array(WHAT)?)),
        ValueType::F64 => Value::F64(f64::from_le_bytes(fields.array(WHAT)?)),
        ValueType::Text => Value::Text(fields.text("text")?),
        ValueType::Array => Value::Array(array(fields, depth)?),
        ValueType::Bool => {
            let at = fields.at();
            match fields.array(WHAT)? {
                [0] => Value::Bool(false),
                [1] => Value::Bool(true),
                [found] => return Err(GgufError::Bool { at, found }),
            }
        }
    })
}

/// Reads an array that lies in `depth` others, and checks each of its elements.
fn array<'a>(fields: &mut Fields<'a>, depth: usize) -> Result<Array<'a>, GgufError> {
    if depth >= ARRAY_MAX_DEPTH {
        return Err(GgufError::ArrayDepth {
            at: fields.at(),
            limit: ARRAY_MAX_DEPTH,
        });
    }
    let element = ValueType::read(fields)?;
    let at = fields.at();
    let len = fields.u64("length of an array")?;
    let least = element.least_bytes();
    fields.check_count(len, least, at, "length of an array")?;
    let mut all = fields.clone();
    match element {
        ValueType::Bool | ValueType::Text | ValueType::Array => {
            for _ in 0..len {
                value(fields, element, depth + 1)?;
            }
        }
        _ => {
            // Any bytes are a number.
            fields.take(len * least, "array")?;
        }
    }
    let bytes = all.take(fields.at() - all.at(), "array")?;
    Ok(Array {
        element,
        len,
        bytes,
    })
}
