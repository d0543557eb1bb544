//! What a method is, and how one is found by its name.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;

use crate::accounting::{Accounting, StreamBytes};
use crate::chunked::ChunkedMethod;
use crate::error::{DecodeError, EncodeError, MethodError, ProfileProblem};
use crate::methods::FAMILIES;
use crate::tensor::{Dtype, TensorView};

/// A lossless method with its parameters: what [`resolve`] makes of a name such as `zstd_19`.
///
/// A *unit* is what is encoded together: one tensor, all tensors of a file, or a whole file as bytes.
pub trait Method: Send + Sync {
    /// The full name, such as `zstd_19`.
    fn name(&self) -> String;

    /// Encodes the tensors, in order, as one unit, to `out`.
    ///
    /// The bytes depend on the tensors' types, shapes and data and on nothing else.
    ///
    /// # Errors
    ///
    /// Where a tensor is of a type that the method does not take or is not as long as it says, where the profile is
    /// missing, unusable or not needed, and where `out` fails.
    fn encode(
        &self,
        tensors: &[TensorView<'_>],
        profile: Option<&[u8]>,
        out: &mut dyn Write,
    ) -> Result<Accounting, EncodeError>;

    /// Decodes a unit from nothing but its encoded bytes and the profile, and writes the tensors' data, one after the
    /// other.
    ///
    /// # Errors
    ///
    /// Where the bytes were not made by this method, or are damaged in a way that shows. Some data may have been
    /// written to `out` by then.
    fn decode(
        &self,
        encoded: &[u8],
        profile: Option<&[u8]>,
        out: &mut dyn Write,
    ) -> Result<(), DecodeError>;

    /// The streams of an encoding, for a method that parts what it is given; others have none.
    ///
    /// Every byte of the original is in one of them. What the encoding has beside them is container.
    ///
    /// # Errors
    ///
    /// Where the bytes were not made by this method, or are damaged in a way that shows before they are decoded.
    fn streams(&self, _encoded: &[u8]) -> Result<Vec<StreamBytes>, DecodeError> {
        Ok(Vec::new())
    }

    /// Whether tensors of this type can be encoded.
    fn takes(&self, dtype: Dtype) -> bool;

    /// An upper estimate of the working memory in bytes that encoding `bytes` bytes takes.
    fn encode_memory(&self, bytes: u64) -> u64;

    /// An upper estimate of the working memory in bytes that decoding to `bytes` bytes takes.
    fn decode_memory(&self, bytes: u64) -> u64;
}

impl fmt::Debug for dyn Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Method").field(&self.name()).finish()
    }
}

/// Methods that share an implementation and differ in a number or in parameters.
pub trait MethodFamily: Sync {
    /// The shape of its names: `zstd_N`, or the name itself where there is but one.
    fn pattern(&self) -> &'static str;

    /// What the method does, in a sentence.
    fn about(&self) -> &'static str;

    /// The source file of the family, relative to the workspace: `codecs/src/methods/zstd.rs`.
    fn leaf(&self) -> &'static str;

    /// The names of other methods that it is made of; most are of none.
    fn made_of(&self) -> &'static [&'static str] {
        &[]
    }

    /// Named parameters beside the name; most have none.
    fn parameters(&self) -> &'static [MethodParameter] {
        &[]
    }

    /// Whether its methods need a profile to encode and decode; most do not.
    fn needs_profile(&self) -> bool {
        false
    }

    /// The method of this name, or `None` if the name is not one of this family's.
    ///
    /// [`resolve`] has already held the parameters against [`parameters`](Self::parameters): only known names come
    /// here, with values of the right kind.
    fn resolve(
        &self,
        name: &str,
        parameters: &BTreeMap<String, ParameterValue>,
    ) -> Option<Result<Box<dyn Method>, MethodError>>;

    /// The method of this name as containers use it, with its profile, if it works in chunks.
    fn chunked(
        &self,
        _name: &str,
        _profile: Option<&[u8]>,
    ) -> Option<Result<Box<dyn ChunkedMethod>, ProfileProblem>> {
        None
    }

    /// Learns a profile for the method of this name from tensors, if the method learns.
    fn train(
        &self,
        _name: &str,
        _tensors: &[TensorView<'_>],
    ) -> Option<Result<Vec<u8>, EncodeError>> {
        None
    }

    /// Whether the method of this name learns from tensors of this type; if nothing else is said, of those that it takes.
    fn learns_from(&self, name: &str, dtype: Dtype) -> bool {
        let method = self.resolve(name, &BTreeMap::new());
        method.is_some_and(|method| method.is_ok_and(|method| method.takes(dtype)))
    }

    /// Every name, or a few telling ones where there are too many.
    fn examples(&self) -> Vec<String>;
}

impl fmt::Debug for dyn MethodFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MethodFamily")
            .field(&self.pattern())
            .finish()
    }
}

/// A named parameter of a family.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MethodParameter {
    /// Its name.
    pub name: &'static str,
    /// The kind of its values.
    pub kind: ParameterKind,
    /// What it does, in a sentence that also says its range and default.
    pub about: &'static str,
}

/// The kind of a parameter's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    /// A whole number.
    Integer,
    /// A number.
    Float,
    /// True or false.
    Boolean,
    /// A text.
    Text,
}

impl fmt::Display for ParameterKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ParameterKind::Integer => "a whole number",
            ParameterKind::Float => "a number",
            ParameterKind::Boolean => "true or false",
            ParameterKind::Text => "a text",
        })
    }
}

/// The value of a parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum ParameterValue {
    /// A whole number.
    Integer(i64),
    /// A number.
    Float(f64),
    /// True or false.
    Boolean(bool),
    /// A text.
    Text(String),
}

impl ParameterValue {
    /// Its kind.
    pub fn kind(&self) -> ParameterKind {
        match self {
            ParameterValue::Integer(_) => ParameterKind::Integer,
            ParameterValue::Float(_) => ParameterKind::Float,
            ParameterValue::Boolean(_) => ParameterKind::Boolean,
            ParameterValue::Text(_) => ParameterKind::Text,
        }
    }
}

/// Finds the method of a name and checks its parameters.
///
/// # Errors
///
/// Where no family has the name (with names that resemble it), where the number in it is out of range, and where a
/// parameter is unknown, of the wrong kind, or out of range.
///
/// # Examples
///
/// ```
/// use std::collections::BTreeMap;
///
/// let method = llmcl_codecs::resolve("zstd_19", &BTreeMap::new())?;
/// assert_eq!(method.name(), "zstd_19");
/// # Ok::<(), llmcl_codecs::MethodError>(())
/// ```
pub fn resolve(
    name: &str,
    parameters: &BTreeMap<String, ParameterValue>,
) -> Result<Box<dyn Method>, MethodError> {
    for family in FAMILIES {
        // The parameters are judged after the name, so that a misspelt name is reported as such.
        let Some(found) = family.resolve(name, &BTreeMap::new()) else {
            continue;
        };
        if parameters.is_empty() || found.is_err() {
            return found;
        }
        check_parameters(*family, name, parameters)?;
        if let Some(method) = family.resolve(name, parameters) {
            return method;
        }
    }
    Err(MethodError::Unknown {
        name: name.to_owned(),
        similar: similar_names(name),
    })
}

/// The family that a name belongs to, whether or not the number in the name is in range.
pub fn family_of(name: &str) -> Option<&'static dyn MethodFamily> {
    FAMILIES
        .iter()
        .copied()
        .find(|family| family.resolve(name, &BTreeMap::new()).is_some())
}

fn check_parameters(
    family: &dyn MethodFamily,
    method: &str,
    parameters: &BTreeMap<String, ParameterValue>,
) -> Result<(), MethodError> {
    for (parameter, value) in parameters {
        let known = family.parameters();
        let Some(declared) = known.iter().find(|known| known.name == parameter) else {
            return Err(MethodError::UnknownParameter {
                method: method.to_owned(),
                parameter: parameter.clone(),
                known: known.iter().map(|known| known.name).collect(),
            });
        };
        if declared.kind != value.kind() {
            return Err(MethodError::ParameterKind {
                method: method.to_owned(),
                parameter: parameter.clone(),
                expected: declared.kind,
                found: value.kind(),
            });
        }
    }
    Ok(())
}

/// Up to three known names within a third of the length in edits, the closest first.
fn similar_names(name: &str) -> Vec<String> {
    let wanted: Vec<char> = name.chars().take(64).collect();
    let mut near: Vec<(usize, String)> = FAMILIES
        .iter()
        .flat_map(|family| family.examples())
        .map(|known| (edit_distance(&wanted, &known), known))
        .filter(|(distance, known)| *distance <= known.len().max(6) / 3)
        .collect();
    near.sort();
    near.into_iter().take(3).map(|(_, known)| known).collect()
}

/// Levenshtein's distance, one row at a time.
fn edit_distance(a: &[char], b: &str) -> usize {
    let mut row: Vec<usize> = (0..=a.len()).collect();
    for (i, there) in b.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (&here, slot) in a.iter().zip(row.iter_mut().skip(1)) {
            let above = *slot;
            left = (diagonal + usize::from(here != there))
                .min(above + 1)
                .min(left + 1);
            diagonal = above;
            *slot = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_resolves_to_itself_and_to_one_family_only() {
        for family in FAMILIES {
            assert!(!family.examples().is_empty());
            for name in family.examples() {
                let method = resolve(&name, &BTreeMap::new()).unwrap();
                assert_eq!(method.name(), name);
                let owners = FAMILIES
                    .iter()
                    .filter(|family| family.resolve(&name, &BTreeMap::new()).is_some());
                assert_eq!(owners.count(), 1, "{name}");
                assert_eq!(family_of(&name).unwrap().pattern(), family.pattern());
            }
        }
    }

    #[test]
    fn an_unknown_name_gets_near_ones() {
        let Err(MethodError::Unknown { similar, .. }) = resolve("zstd19", &BTreeMap::new()) else {
            panic!("not unknown");
        };
        assert_eq!(similar.first().map(String::as_str), Some("zstd_19"));
        let Err(MethodError::Unknown { similar, .. }) = resolve("brotli", &BTreeMap::new()) else {
            panic!("not unknown");
        };
        assert!(similar.is_empty());
    }

    #[test]
    fn numbers_in_names_are_canonical_and_in_range() {
        for name in ["zstd_", "zstd_019", "zstd_+1", "zstd_1 ", "zstd_x"] {
            let found = resolve(name, &BTreeMap::new());
            assert!(matches!(found, Err(MethodError::Unknown { .. })), "{name}");
        }
        for name in ["zstd_0", "zstd_23", "zstd_99999999999999999999"] {
            let found = resolve(name, &BTreeMap::new());
            assert!(
                matches!(found, Err(MethodError::NumberOutOfRange { .. })),
                "{name}"
            );
        }
    }

    #[test]
    fn a_parameter_nobody_declared_is_refused() {
        let parameters = BTreeMap::from([("k".to_owned(), ParameterValue::Integer(4))]);
        let found = resolve("zstd_3", &parameters);
        assert!(matches!(found, Err(MethodError::UnknownParameter { .. })));
    }

    #[test]
    fn distances() {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        assert_eq!(edit_distance(&chars("kitten"), "sitting"), 3);
        assert_eq!(edit_distance(&chars(""), "abc"), 3);
        assert_eq!(edit_distance(&chars("abc"), ""), 3);
        assert_eq!(edit_distance(&chars("abc"), "abc"), 0);
    }
}
