//! Models in several GGUF files.
//!
//! Each file says which one it is and how many there are, as `split.no`, from 0, and `split.count`, and has a name that
//! says the same, from 1: `model-00002-of-00003.gguf`. Where `split.count` is missing, 0 or 1, a file is a model of its
//! own. The first one holds the metadata, any of them tensors.

use std::collections::{BTreeMap, HashMap};

use thiserror::Error;

use super::Gguf;

const COUNT: &str = "split.count";
const NUMBER: &str = "split.no";
const TENSORS: &str = "split.tensors.count";

/// Why files are not all of a model.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SplitError {
    /// What says which file it is, is missing or no number.
    #[error("`{key}` of `{file}`, which is one of several files, must be a whole number")]
    Key {
        /// The file.
        file: String,
        /// The key.
        key: &'static str,
    },
    /// The file is beyond the last one.
    #[error("`{file}` says that it is file {number} of {count}")]
    Number {
        /// The file.
        file: String,
        /// Its number, from 1.
        number: u64,
        /// How many files there are.
        count: u64,
    },
    /// The name of a file says something else than its metadata.
    #[error(
        "`{file}` is file {number} of {count} and must have a name that ends with `{expected}`"
    )]
    Name {
        /// The file.
        file: String,
        /// Its number, from 1.
        number: u64,
        /// How many files there are.
        count: u64,
        /// How its name must end.
        expected: String,
    },
    /// A file is not there.
    #[error("`{file}` is missing")]
    Missing {
        /// The file.
        file: String,
    },
    /// Two files of a model hold a tensor of the same name.
    #[error("tensor `{tensor}` is in `{file}` and in `{other}`")]
    DuplicateTensor {
        /// The tensor.
        tensor: String,
        /// One of the files.
        file: String,
        /// The other.
        other: String,
    },
    /// The files hold another number of tensors than they say.
    #[error("the files of `{file}` hold {found} tensors, it says {expected}")]
    Tensors {
        /// The file that says how many there are.
        file: String,
        /// The number that it says.
        expected: u64,
        /// The number that there are.
        found: u64,
    },
}

/// Which file of a model a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// Its number, from 1.
    number: u64,
    /// How many there are; 2 at least.
    count: u64,
    /// Tensors of all files together, where the file says so.
    tensors: Option<u64>,
}

/// The files of a model by their numbers, each with its name and what it says.
type Model<'a> = BTreeMap<u64, (&'a str, &'a Gguf<'a>, Place)>;

/// Checks that of every model that is split among `files`, all files are there and belong together. The order is of no
/// matter, and files that are a model of their own may be among them.
///
/// # Errors
///
/// Where a file is missing or has a name or a number that cannot be, and where the tensors are not those of a model.
pub fn check(files: &[(&str, Gguf<'_>)]) -> Result<(), SplitError> {
    let mut models: BTreeMap<(&str, u64), Model<'_>> = BTreeMap::new();
    for (name, file) in files {
        if let Some(place) = Place::of(name, file)? {
            let stem = place.stem(name)?;
            let model = models.entry((stem, place.count)).or_default();
            model.insert(place.number, (name, file, place));
        }
    }
    for ((stem, count), model) in &models {
        check_model(stem, *count, model)?;
    }
    Ok(())
}

fn check_model(stem: &str, count: u64, model: &Model<'_>) -> Result<(), SplitError> {
    // No more steps than there are files, whatever the count.
    let missing = (1..=count).find(|number| !model.contains_key(number));
    if let Some(number) = missing {
        return Err(SplitError::Missing {
            file: format!("{stem}{}", ending(number, count)),
        });
    }
    let mut holders = HashMap::new();
    for (name, file, _) in model.values() {
        for tensor in &file.tensors {
            if let Some(other) = holders.insert(tensor.name, *name) {
                return Err(SplitError::DuplicateTensor {
                    tensor: tensor.name.to_owned(),
                    file: other.to_owned(),
                    other: (*name).to_owned(),
                });
            }
        }
    }
    let found = holders.len() as u64;
    for (name, _, place) in model.values() {
        if let Some(expected) = place.tensors.filter(|expected| *expected != found) {
            return Err(SplitError::Tensors {
                file: (*name).to_owned(),
                expected,
                found,
            });
        }
    }
    Ok(())
}

impl Place {
    /// What a file says; `None` if it is a model of its own.
    fn of(name: &str, file: &Gguf<'_>) -> Result<Option<Place>, SplitError> {
        let number = |key| match file.value(key) {
            None => Ok(None),
            Some(value) => value.as_u64().map(Some).ok_or_else(|| SplitError::Key {
                file: name.to_owned(),
                key,
            }),
        };
        let count = number(COUNT)?.unwrap_or_default();
        if count < 2 {
            return Ok(None);
        }
        let from_0 = number(NUMBER)?.ok_or_else(|| SplitError::Key {
            file: name.to_owned(),
            key: NUMBER,
        })?;
        let number_from_1 = from_0.saturating_add(1);
        if number_from_1 > count {
            return Err(SplitError::Number {
                file: name.to_owned(),
                number: number_from_1,
                count,
            });
        }
        Ok(Some(Place {
            number: number_from_1,
            count,
            tensors: number(TENSORS)?,
        }))
    }

    /// What the names of all files of the model begin with.
    fn stem<'a>(&self, name: &'a str) -> Result<&'a str, SplitError> {
        let expected = ending(self.number, self.count);
        name.strip_suffix(expected.as_str())
            .ok_or_else(|| SplitError::Name {
                file: name.to_owned(),
                number: self.number,
                count: self.count,
                expected: expected.clone(),
            })
    }
}

fn ending(number: u64, count: u64) -> String {
    format!("-{number:05}-of-{count:05}.gguf")
}
