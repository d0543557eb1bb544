//! Models in several safetensors files, with an index that says which tensor is where.
//!
//! The index, `model.safetensors.index.json`, is `{"metadata": …, "weight_map": {tensor: shard}}`. Nothing is opened
//! here: whoever calls fetches the [`shards`](Index::shards) and hands over their bytes.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use thiserror::Error;

use super::TensorEntry;
use super::safetensors::{self, SafetensorsError};

/// Longest index that is read, in bytes.
pub const INDEX_MAX_BYTES: u64 = 100_000_000;

/// A checked index: every tensor named once, every shard a plain file name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// Tensor and shard, sorted.
    weight_map: BTreeSet<(String, String)>,
    /// The shards, sorted, each once.
    shards: Vec<String>,
}

/// A tensor and the shard that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardedTensor {
    /// Place of its shard in [`Index::shards`].
    pub shard: usize,
    /// The tensor; its offset counts from the start of its shard.
    pub entry: TensorEntry,
}

/// Why an index, or what it points to, is unsound.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ShardedError {
    /// The index is longer than is sensible.
    #[error("the index is {found} bytes long, at most {limit} are read")]
    IndexTooLong {
        /// Bytes of the index.
        found: u64,
        /// The limit, [`INDEX_MAX_BYTES`].
        limit: u64,
    },
    /// The index is not JSON, or not of the right form.
    #[error("the index's JSON, column {column} of line {line}")]
    IndexJson {
        /// Line, from 1.
        line: usize,
        /// Column in that line, from 1.
        column: usize,
        /// What the JSON reader said.
        source: serde_json::Error,
    },
    /// The index names no tensor.
    #[error("the index names no tensor")]
    Empty,
    /// The index names a tensor twice.
    #[error("the index names tensor `{tensor}` twice")]
    DuplicateTensor {
        /// The tensor.
        tensor: String,
    },
    /// A shard's name could lead elsewhere than to a file beside the index.
    #[error("tensor `{tensor}` is said to be in `{shard}`, which is not a plain file name")]
    ShardName {
        /// The tensor.
        tensor: String,
        /// The name.
        shard: String,
    },
    /// A shard is not there.
    #[error("shard `{shard}` is missing")]
    MissingShard {
        /// The shard.
        shard: String,
    },
    /// A shard is unsound.
    #[error("shard `{shard}`")]
    Shard {
        /// The shard.
        shard: String,
        /// What is wrong with it.
        source: SafetensorsError,
    },
    /// A shard holds a tensor that the index does not place there.
    #[error("shard `{shard}` holds tensor `{tensor}`, which the index does not place there")]
    NotInIndex {
        /// The shard.
        shard: String,
        /// The tensor.
        tensor: String,
    },
    /// The index places a tensor in a shard that lacks it.
    #[error("the index places tensor `{tensor}` in shard `{shard}`, which lacks it")]
    NotInShard {
        /// The shard.
        shard: String,
        /// The tensor.
        tensor: String,
    },
}

impl Index {
    /// Reads an index.
    ///
    /// # Errors
    ///
    /// Where it is too long, no JSON of the right form, names nothing, a tensor twice, or a shard by a path.
    pub fn read(index: &[u8]) -> Result<Index, ShardedError> {
        let found = index.len() as u64;
        if found > INDEX_MAX_BYTES {
            return Err(ShardedError::IndexTooLong {
                found,
                limit: INDEX_MAX_BYTES,
            });
        }
        let raw: RawIndex =
            serde_json::from_slice(index).map_err(|source| ShardedError::IndexJson {
                line: source.line(),
                column: source.column(),
                source,
            })?;
        let RawWeightMap(mut pairs) = raw.weight_map;
        if pairs.is_empty() {
            return Err(ShardedError::Empty);
        }
        pairs.sort();
        let twice = pairs.windows(2).find_map(|pair| match pair {
            [(a, _), (b, _)] if a == b => Some(a.clone()),
            _ => None,
        });
        if let Some(tensor) = twice {
            return Err(ShardedError::DuplicateTensor { tensor });
        }
        if let Some((tensor, shard)) = pairs.iter().find(|(_, shard)| !is_plain(shard)) {
            return Err(ShardedError::ShardName {
                tensor: tensor.clone(),
                shard: shard.clone(),
            });
        }
        let shards: BTreeSet<String> = pairs.iter().map(|(_, shard)| shard.clone()).collect();
        Ok(Index {
            weight_map: pairs.into_iter().collect(),
            shards: shards.into_iter().collect(),
        })
    }

    /// Names of the shards, sorted. Each is a plain file name beside the index.
    pub fn shards(&self) -> &[String] {
        &self.shards
    }

    /// The tensors of all shards: shard by shard, in the order of [`shards`](Self::shards), and within a shard in the
    /// order of their data. `shard_bytes` gives the bytes of a shard, if it is there.
    ///
    /// # Errors
    ///
    /// Where a shard is missing or unsound, and where index and shards disagree on where a tensor is.
    pub fn tensors<'a>(
        &self,
        shard_bytes: impl Fn(&str) -> Option<&'a [u8]>,
    ) -> Result<Vec<ShardedTensor>, ShardedError> {
        let mut placed: BTreeSet<(String, String)> = BTreeSet::new();
        let mut tensors = Vec::new();
        for (place, shard) in self.shards.iter().enumerate() {
            let bytes = shard_bytes(shard).ok_or_else(|| ShardedError::MissingShard {
                shard: shard.clone(),
            })?;
            let file = safetensors::read(bytes).map_err(|source| ShardedError::Shard {
                shard: shard.clone(),
                source,
            })?;
            for entry in file.tensors {
                let pair = (entry.name.clone(), shard.clone());
                if !self.weight_map.contains(&pair) {
                    return Err(ShardedError::NotInIndex {
                        shard: shard.clone(),
                        tensor: entry.name,
                    });
                }
                placed.insert(pair);
                tensors.push(ShardedTensor {
                    shard: place,
                    entry,
                });
            }
        }
        match self.weight_map.difference(&placed).next() {
            Some((tensor, shard)) => Err(ShardedError::NotInShard {
                shard: shard.clone(),
                tensor: tensor.clone(),
            }),
            None => Ok(tensors),
        }
    }
}

/// Whether a name is that of a file and can be no path, on any system: letters, digits, `.`, `_` and `-`, beginning
/// with a letter or a digit, at most 255 bytes, ending in `.safetensors`.
fn is_plain(name: &str) -> bool {
    name.len() <= 255
        && name.ends_with(".safetensors")
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawIndex {
    // Writers put sizes here that are often wrong; nothing depends on them.
    #[serde(rename = "metadata", default)]
    _metadata: IgnoredAny,
    weight_map: RawWeightMap,
}

/// The map as written, names that occur twice included.
struct RawWeightMap(Vec<(String, String)>);

impl<'de> Deserialize<'de> for RawWeightMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RawWeightMapVisitor)
    }
}

struct RawWeightMapVisitor;

impl<'de> Visitor<'de> for RawWeightMapVisitor {
    type Value = RawWeightMap;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of tensors to shards")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawWeightMap, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(RawWeightMap(pairs))
    }
}
