//! A file of little-endian fields, one after the other.

use std::marker::PhantomData;

/// A field that the file ends before or in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    /// What it is.
    pub(super) what: &'static str,
    /// Where it begins.
    pub(super) at: u64,
    /// Its bytes.
    pub(super) expected: u64,
    /// How many are left.
    pub(super) found: u64,
}

/// A file from a position on, whose format says by `E` what is wrong with it.
pub(super) struct Fields<'a, E> {
    file: &'a [u8],
    at: u64,
    error: PhantomData<E>,
}

// Derived, it would ask the same of the error.
impl<E> Clone for Fields<'_, E> {
    fn clone(&self) -> Self {
        Fields { ..*self }
    }
}

impl<'a, E: From<Missing>> Fields<'a, E> {
    pub(super) fn new(file: &'a [u8]) -> Self {
        Fields {
            file,
            at: 0,
            error: PhantomData,
        }
    }

    pub(super) fn at(&self) -> u64 {
        self.at
    }

    pub(super) fn left(&self) -> u64 {
        self.file.len() as u64 - self.at
    }

    pub(super) fn take(&mut self, count: u64, what: &'static str) -> Result<&'a [u8], E> {
        let range = usize::try_from(self.at)
            .ok()
            .zip(usize::try_from(self.at.saturating_add(count)).ok());
        let taken = range
            .and_then(|(start, end)| self.file.get(start..end))
            .ok_or(Missing {
                what,
                at: self.at,
                expected: count,
                found: self.left(),
            })?;
        self.at += count;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], E> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64, what)?);
        Ok(array)
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, E> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub(super) fn u64(&mut self, what: &'static str) -> Result<u64, E> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }
}
