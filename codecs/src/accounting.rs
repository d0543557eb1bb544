//! What the bytes of an encoding are for.

use std::ops::AddAssign;

/// Bytes of an encoding by what they are for. Every byte that was written is in one of the three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accounting {
    /// Bytes that carry the tensors' content. A foreign format (zstd, xz) counts whole, its own headers included.
    pub payload: u64,
    /// Bytes of frequency tables and other parameters of a model.
    pub tables: u64,
    /// Bytes of headers, lengths and what else is needed to find the rest.
    pub container: u64,
}

impl Accounting {
    /// All bytes: what was written.
    pub fn total(&self) -> u64 {
        self.payload + self.tables + self.container
    }
}

impl AddAssign for Accounting {
    fn add_assign(&mut self, other: Self) {
        self.payload += other.payload;
        self.tables += other.tables;
        self.container += other.container;
    }
}

/// The name of the stream that says how the others are put together. It counts as container.
pub const RECIPE: &str = "recipe";

/// A stream of an encoding: what went into it, and what it became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamBytes {
    /// Its name.
    pub name: &'static str,
    /// Bytes of the original that went into it.
    pub bytes_in: u64,
    /// Its bytes in the encoding.
    pub bytes_out: u64,
}
