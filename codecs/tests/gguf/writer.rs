//! Writes GGUF files, unsound ones too.

use llmcl_codecs::Dtype;
use llmcl_codecs::formats::gguf::{self, Gguf, Value, number_of};

/// A value to be written.
#[derive(Clone, Debug)]
pub(crate) enum Given {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    Text(Vec<u8>),
    /// The number of the type of its elements, and those.
    Array(u32, Vec<Given>),
    U64(u64),
    I64(i64),
    F64(f64),
}

impl Given {
    pub(crate) fn text(text: &str) -> Given {
        Given::Text(text.as_bytes().to_vec())
    }

    pub(crate) fn type_number(&self) -> u32 {
        match self {
            Given::U8(_) => 0,
            Given::I8(_) => 1,
            Given::U16(_) => 2,
            Given::I16(_) => 3,
            Given::U32(_) => 4,
            Given::I32(_) => 5,
            Given::F32(_) => 6,
            Given::Bool(_) => 7,
            Given::Text(_) => 8,
            Given::Array(..) => 9,
            Given::U64(_) => 10,
            Given::I64(_) => 11,
            Given::F64(_) => 12,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Given::U8(number) => out.extend(number.to_le_bytes()),
            Given::I8(number) => out.extend(number.to_le_bytes()),
            Given::U16(number) => out.extend(number.to_le_bytes()),
            Given::I16(number) => out.extend(number.to_le_bytes()),
            Given::U32(number) => out.extend(number.to_le_bytes()),
            Given::I32(number) => out.extend(number.to_le_bytes()),
            Given::F32(number) => out.extend(number.to_le_bytes()),
            Given::Bool(truth) => out.push(u8::from(*truth)),
            Given::Text(text) => write_text(text, out),
            Given::Array(element, values) => {
                out.extend(element.to_le_bytes());
                out.extend((values.len() as u64).to_le_bytes());
                for value in values {
                    value.write(out);
                }
            }
            Given::U64(number) => out.extend(number.to_le_bytes()),
            Given::I64(number) => out.extend(number.to_le_bytes()),
            Given::F64(number) => out.extend(number.to_le_bytes()),
        }
    }

    /// Whether a value that was read is this one; floats by their bits.
    pub(crate) fn is(&self, found: Value<'_>) -> bool {
        match (self, found) {
            (Given::U8(given), Value::U8(found)) => *given == found,
            (Given::I8(given), Value::I8(found)) => *given == found,
            (Given::U16(given), Value::U16(found)) => *given == found,
            (Given::I16(given), Value::I16(found)) => *given == found,
            (Given::U32(given), Value::U32(found)) => *given == found,
            (Given::I32(given), Value::I32(found)) => *given == found,
            (Given::F32(given), Value::F32(found)) => given.to_bits() == found.to_bits(),
            (Given::Bool(given), Value::Bool(found)) => *given == found,
            (Given::Text(given), Value::Text(found)) => given == found,
            (Given::Array(_, given), Value::Array(found)) => {
                let values: Vec<Value<'_>> = found.iter().collect();
                found.len == given.len() as u64
                    && values.len() == given.len()
                    && given
                        .iter()
                        .zip(values)
                        .all(|(given, found)| given.is(found))
            }
            (Given::U64(given), Value::U64(found)) => *given == found,
            (Given::I64(given), Value::I64(found)) => *given == found,
            (Given::F64(given), Value::F64(found)) => given.to_bits() == found.to_bits(),
            _ => false,
        }
    }
}

/// What describes a tensor, as it lies in the file.
#[derive(Clone, Debug)]
pub(crate) struct Info {
    pub(crate) name: Vec<u8>,
    /// The fastest first.
    pub(crate) dimensions: Vec<u64>,
    pub(crate) type_number: u32,
    pub(crate) offset: u64,
}

/// A file; what is `None` is what it must be.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) version: u32,
    pub(crate) tensor_count: Option<u64>,
    pub(crate) entry_count: Option<u64>,
    pub(crate) metadata: Vec<(Vec<u8>, Given)>,
    pub(crate) infos: Vec<Info>,
    pub(crate) alignment: usize,
    /// All that follows the padding after the infos.
    pub(crate) data: Vec<u8>,
}

impl Default for Model {
    fn default() -> Self {
        Model {
            version: 3,
            tensor_count: None,
            entry_count: None,
            metadata: Vec::new(),
            infos: Vec::new(),
            alignment: 32,
            data: Vec::new(),
        }
    }
}

impl Model {
    pub(crate) fn entry(mut self, key: &str, value: Given) -> Self {
        self.metadata.push((key.as_bytes().to_vec(), value));
        self
    }

    pub(crate) fn aligned(self, alignment: u32) -> Self {
        let mut model = self.entry("general.alignment", Given::U32(alignment));
        model.alignment = alignment as usize;
        model
    }

    /// Adds a tensor after all others, and pads it.
    pub(crate) fn tensor(self, name: &str, dtype: Dtype, shape: &[u64]) -> Self {
        let bytes = dtype.bytes_for(shape).unwrap() as usize;
        let number = number_of(dtype).unwrap();
        self.tensor_of(name, number, shape, bytes)
    }

    /// The same, of a type by its number and as many bytes.
    pub(crate) fn tensor_of(
        mut self,
        name: &str,
        type_number: u32,
        shape: &[u64],
        bytes: usize,
    ) -> Self {
        let offset = self.data.len();
        let seed = self.infos.len();
        self.infos.push(Info {
            name: name.as_bytes().to_vec(),
            dimensions: shape.iter().rev().copied().collect(),
            type_number,
            offset: offset as u64,
        });
        let data = (0..bytes).map(|place| (place * 7 + seed * 31 + 1) as u8);
        self.data.extend(data);
        let end = self.data.len().next_multiple_of(self.alignment);
        self.data.resize(end, 0);
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(self.version.to_le_bytes());
        let tensors = self.tensor_count.unwrap_or(self.infos.len() as u64);
        let entries = self.entry_count.unwrap_or(self.metadata.len() as u64);
        out.extend(tensors.to_le_bytes());
        out.extend(entries.to_le_bytes());
        for (key, value) in &self.metadata {
            write_text(key, &mut out);
            out.extend(value.type_number().to_le_bytes());
            value.write(&mut out);
        }
        for info in &self.infos {
            write_text(&info.name, &mut out);
            out.extend((info.dimensions.len() as u32).to_le_bytes());
            for dimension in &info.dimensions {
                out.extend(dimension.to_le_bytes());
            }
            out.extend(info.type_number.to_le_bytes());
            out.extend(info.offset.to_le_bytes());
        }
        out.resize(out.len().next_multiple_of(self.alignment), 0);
        out.extend_from_slice(&self.data);
        out
    }
}

fn write_text(text: &[u8], out: &mut Vec<u8>) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend_from_slice(text);
}

/// A file with a value of each kind and tensors of several types.
pub(crate) fn small() -> Model {
    let numbers = Given::Array(5, vec![Given::I32(-1), Given::I32(7)]);
    let texts = Given::Array(8, vec![Given::text("a"), Given::Text(vec![0xff, 0])]);
    let truths = Given::Array(7, vec![Given::Bool(true), Given::Bool(false)]);
    let nested = Given::Array(9, vec![numbers.clone(), texts.clone()]);
    Model::default()
        .entry("general.architecture", Given::text("test"))
        .entry("a", Given::U8(1))
        .entry("b", Given::I16(-2))
        .entry("c", Given::F64(0.5))
        .entry("d", Given::Bool(true))
        .entry("numbers", numbers)
        .entry("texts", texts)
        .entry("truths", truths)
        .entry("nested", nested)
        .tensor("token_embd.weight", Dtype::Q8_0, &[3, 64])
        .tensor("blk.0.attn_q.weight", Dtype::Q4K, &[1, 256])
        .tensor("blk.0.attn_norm.weight", Dtype::F32, &[3])
}

/// Reads a file, and where that can be done, holds what was found against the file: it is cut up without gaps, and
/// every tensor is as long as its type and shape say.
pub(crate) fn consistent(file: &[u8]) -> Option<Gguf<'_>> {
    let found = gguf::read(file).ok()?;
    let mut at = 0;
    for section in found.sections() {
        assert_eq!(section.range.start, at);
        assert!(section.range.end > at);
        at = section.range.end;
        if let gguf::Part::Tensor(index) = section.part {
            let tensor = &found.tensors[index];
            assert_eq!(section.range, tensor.offset..tensor.offset + tensor.bytes);
        }
    }
    assert_eq!(at, file.len() as u64);
    for (tensor, entry) in found.tensors.iter().zip(found.entries()) {
        assert!(entry.view(file).is_some());
        assert_eq!(entry.dtype.bytes_for(&entry.shape), Some(tensor.bytes));
        assert!((tensor.offset - found.data_offset).is_multiple_of(found.alignment));
    }
    for entry in &found.metadata {
        count_all(entry.value);
    }
    Some(found)
}

fn count_all(value: Value<'_>) {
    if let Value::Array(array) = value {
        assert_eq!(array.iter().count() as u64, array.len);
        array.iter().for_each(count_all);
    }
}
