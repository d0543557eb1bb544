//! CTranslate2's `model.bin`, versions 1 to 6.
//!
//! Little-endian throughout. A text is a `u16` length and that many bytes, the last of which is a zero byte.
//!
//! | field | type | since version |
//! | --- | --- | --- |
//! | binary version | `u32` | |
//! | name of the specification | text | 2 |
//! | revision of the specification | `u32` | 2 |
//! | number of variables | `u32` | |
//! | per variable: name | text | |
//! | … number of dimensions | `u8` | |
//! | … dimensions | `u32` each | |
//! | … type (below) | `u8` | |
//! | … length of the data: bytes since version 4, elements before | `u32` | |
//! | … data | bytes | |
//! | number of aliases | `u32` | 3 |
//! | per alias: its name, the variable that it stands for | two texts | 3 |
//!
//! Types since version 4: 0 F32, 1 I8, 2 I16, 3 I32, 4 F16, 5 BF16. Before, the field is an element's size: 4 F32,
//! 2 I16, 1 I8. Versions 5 and 6 changed what files lie beside the model, not the model itself.
//!
//! Settings of the model (`decoder/num_heads`) are variables without dimensions, and are tensors like any other here.

use std::collections::HashSet;

use thiserror::Error;

use super::TensorEntry;
use super::fields::{self, Missing};
use crate::tensor::Dtype;

/// Newest version that is read.
pub const VERSION_MAX: u32 = 6;

/// What a CTranslate2 model holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ctranslate2 {
    /// Version of the file's layout, 1 to [`VERSION_MAX`].
    pub version: u32,
    /// The specification, such as `WhisperSpec`; `None` in version 1.
    pub spec: Option<String>,
    /// Revision of the specification; 1 where the file does not say.
    pub revision: u32,
    /// The variables, in file order. Offsets count from the start of the file.
    pub tensors: Vec<TensorEntry>,
    /// Second names of variables.
    pub aliases: Vec<Alias>,
}

/// A second name of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The second name.
    pub alias: String,
    /// The variable's own name.
    pub variable: String,
}

/// Why a file is not a CTranslate2 model, or not a sound one.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Ctranslate2Error {
    /// The file ends within a field.
    #[error("{what} at byte {at} takes {expected} bytes, {found} are left")]
    Truncated {
        /// The field.
        what: &'static str,
        /// Where it begins.
        at: u64,
        /// Bytes that it takes.
        expected: u64,
        /// Bytes that are left.
        found: u64,
    },
    /// The file is of a version that is not known.
    #[error("version {found} of the layout is not known, 1 to {most} are")]
    Version {
        /// The version that the file gives.
        found: u32,
        /// The newest known, [`VERSION_MAX`].
        most: u32,
    },
    /// A text does not end with its only zero byte, or is empty or not UTF-8.
    #[error("{what} at byte {at} is not a text that ends with a zero byte")]
    Text {
        /// The field.
        what: &'static str,
        /// Where it begins.
        at: u64,
    },
    /// A variable's type is not known.
    #[error("variable `{variable}` has the unknown type {found} at byte {at}")]
    UnknownType {
        /// The variable.
        variable: String,
        /// Where the type is.
        at: u64,
        /// The type.
        found: u8,
    },
    /// A variable's size does not fit 64 bits.
    #[error("variable `{variable}` at byte {at}: {dtype} of shape {shape:?} is too large")]
    ShapeSize {
        /// The variable.
        variable: String,
        /// Where its data begins.
        at: u64,
        /// Its type.
        dtype: Dtype,
        /// Its shape.
        shape: Vec<u64>,
    },
    /// A variable's data is not as long as its type and shape say.
    #[error(
        "variable `{variable}` at byte {at} has {found} bytes, its type and shape take {expected}"
    )]
    DataLength {
        /// The variable.
        variable: String,
        /// Where its data begins.
        at: u64,
        /// Bytes that type and shape take.
        expected: u64,
        /// Bytes that the file gives.
        found: u64,
    },
    /// Two variables or aliases share a name.
    #[error("the name `{name}` at byte {at} occurs before")]
    DuplicateName {
        /// The name.
        name: String,
        /// Where it occurs again.
        at: u64,
    },
    /// An alias stands for a variable that is not there.
    #[error("alias `{alias}` at byte {at} stands for `{variable}`, which is not there")]
    DanglingAlias {
        /// The alias.
        alias: String,
        /// Where it begins.
        at: u64,
        /// The variable.
        variable: String,
    },
    /// Bytes follow the end.
    #[error("{found} bytes follow the end of the model at byte {at}")]
    Trailing {
        /// Where the model ends.
        at: u64,
        /// Bytes that follow.
        found: u64,
    },
}

/// Whether the first bytes look like a CTranslate2 model of version 2 or later: a version, and the name of a
/// specification.
pub fn looks_like(file: &[u8]) -> bool {
    let mut fields = Fields::new(file);
    let version = fields.u32("version");
    let spec = fields.text("specification");
    matches!(version, Ok(2..=VERSION_MAX))
        && spec.is_ok_and(|(_, name)| name.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// Reads all that describes the variables of `file`. Their data is not touched.
///
/// # Errors
///
/// One for each way in which a file can be unsound, see [`Ctranslate2Error`].
pub fn read(file: &[u8]) -> Result<Ctranslate2, Ctranslate2Error> {
    let mut fields = Fields::new(file);
    let version = fields.u32("version")?;
    if !(1..=VERSION_MAX).contains(&version) {
        return Err(Ctranslate2Error::Version {
            found: version,
            most: VERSION_MAX,
        });
    }
    let (spec, revision) = if version >= 2 {
        let (_, spec) = fields.text("name of the specification")?;
        (Some(spec), fields.u32("revision of the specification")?)
    } else {
        (None, 1)
    };

    let mut variables = HashSet::new();
    let mut tensors = Vec::new();
    // The count is not trusted with an allocation; the file ends before a lie can do harm.
    for _ in 0..fields.u32("number of variables")? {
        let (at, name) = fields.text("name of a variable")?;
        if !variables.insert(name.clone()) {
            return Err(Ctranslate2Error::DuplicateName { name, at });
        }
        tensors.push(variable(&mut fields, version, name)?);
    }

    let mut names = variables.clone();
    let mut aliases = Vec::new();
    if version >= 3 {
        for _ in 0..fields.u32("number of aliases")? {
            let (at, alias) = fields.text("name of an alias")?;
            let (_, variable) = fields.text("variable of an alias")?;
            if !variables.contains(&variable) {
                return Err(Ctranslate2Error::DanglingAlias {
                    alias,
                    at,
                    variable,
                });
            }
            if !names.insert(alias.clone()) {
                return Err(Ctranslate2Error::DuplicateName { name: alias, at });
            }
            aliases.push(Alias { alias, variable });
        }
    }
    match fields.left() {
        0 => Ok(Ctranslate2 {
            version,
            spec,
            revision,
            tensors,
            aliases,
        }),
        found => Err(Ctranslate2Error::Trailing {
            at: fields.at(),
            found,
        }),
    }
}

/// Reads the rest of a variable, from its number of dimensions on.
fn variable(
    fields: &mut Fields<'_>,
    version: u32,
    name: String,
) -> Result<TensorEntry, Ctranslate2Error> {
    let [rank] = fields.array("number of dimensions")?;
    let mut shape = Vec::with_capacity(usize::from(rank));
    for _ in 0..rank {
        shape.push(u64::from(fields.u32("dimension")?));
    }
    let at = fields.at();
    let [id] = fields.array("type")?;
    let dtype = match (version >= 4, id) {
        (true, 0) | (false, 4) => Dtype::F32,
        (true, 1) | (false, 1) => Dtype::I8,
        (true, 2) | (false, 2) => Dtype::I16,
        (true, 3) => Dtype::I32,
        (true, 4) => Dtype::F16,
        (true, 5) => Dtype::Bf16,
        _ => {
            return Err(Ctranslate2Error::UnknownType {
                variable: name,
                at,
                found: id,
            });
        }
    };
    let length = u64::from(fields.u32("length of the data")?);
    let found = if version >= 4 {
        length
    } else {
        length * u64::from(id)
    };
    let offset = fields.at();
    let Some(expected) = dtype.bytes_for(&shape) else {
        return Err(Ctranslate2Error::ShapeSize {
            variable: name,
            at: offset,
            dtype,
            shape,
        });
    };
    if expected != found {
        return Err(Ctranslate2Error::DataLength {
            variable: name,
            at: offset,
            expected,
            found,
        });
    }
    fields.take(found, "data of a variable")?;
    Ok(TensorEntry {
        name,
        dtype,
        shape,
        offset,
        bytes: found,
    })
}

/// The file from a position on.
type Fields<'a> = fields::Fields<'a, Ctranslate2Error>;

impl From<Missing> for Ctranslate2Error {
    fn from(missing: Missing) -> Self {
        let Missing {
            what,
            at,
            expected,
            found,
        } = missing;
        Ctranslate2Error::Truncated {
            what,
            at,
            expected,
            found,
        }
    }
}

impl fields::Fields<'_, Ctranslate2Error> {
    /// A text, and where it begins.
    fn text(&mut self, what: &'static str) -> Result<(u64, String), Ctranslate2Error> {
        let at = self.at();
        let length = u16::from_le_bytes(self.array(what)?);
        let bytes = self.take(u64::from(length), what)?;
        match bytes.split_last() {
            Some((0, text)) if !text.is_empty() && !text.contains(&0) => {
                let text = std::str::from_utf8(text).map(str::to_owned);
                text.map(|text| (at, text))
                    .map_err(|_| Ctranslate2Error::Text { what, at })
            }
            _ => Err(Ctranslate2Error::Text { what, at }),
        }
    }
}
