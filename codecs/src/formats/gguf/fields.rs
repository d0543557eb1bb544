//! A file, field by field.

use super::NAME_MAX_BYTES;
use super::error::GgufError;

/// A file from a position on.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    file: &'a [u8],
    at: u64,
}

impl<'a> Fields<'a> {
    pub(super) fn new(file: &'a [u8]) -> Self {
        Fields { file, at: 0 }
    }

    pub(super) fn at(&self) -> u64 {
        self.at
    }

    pub(super) fn left(&self) -> u64 {
        self.file.len() as u64 - self.at
    }

    pub(super) fn take(&mut self, count: u64, what: &'static str) -> Result<&'a [u8], GgufError> {
        let range = usize::try_from(self.at)
            .ok()
            .zip(usize::try_from(self.at.saturating_add(count)).ok());
        let taken = range
            .and_then(|(start, end)| self.file.get(start..end))
            .ok_or(GgufError::Truncated {
                what,
                at: self.at,
                expected: count,
                found: self.left(),
            })?;
        self.at += count;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(
        &mut self,
        what: &'static str,
    ) -> Result<[u8; N], GgufError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64, what)?);
        Ok(array)
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, GgufError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub(super) fn u64(&mut self, what: &'static str) -> Result<u64, GgufError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// A text: its length and its bytes, in whatever encoding.
    pub(super) fn text(&mut self, what: &'static str) -> Result<&'a [u8], GgufError> {
        let length = self.u64(what)?;
        self.take(length, what)
    }

    /// A key or the name of a tensor.
    pub(super) fn name(&mut self, what: &'static str) -> Result<&'a str, GgufError> {
        let at = self.at;
        let found = self.u64(what)?;
        if found > NAME_MAX_BYTES {
            return Err(GgufError::NameTooLong {
                what,
                at,
                found,
                limit: NAME_MAX_BYTES,
            });
        }
        let start = self.at;
        std::str::from_utf8(self.take(found, what)?).map_err(|error| GgufError::NameUtf8 {
            what,
            at: start + error.valid_up_to() as u64,
        })
    }

    /// Holds a count at `at` against what is left, if each of what is counted takes `least` bytes or more. So no loop
    /// and no list grows beyond the file.
    pub(super) fn check_count(
        &self,
        found: u64,
        least: u64,
        at: u64,
        what: &'static str,
    ) -> Result<(), GgufError> {
        let left = self.left();
        let most = left / least;
        if found > most {
            return Err(GgufError::Count {
                what,
                at,
                found,
                left,
                most,
            });
        }
        Ok(())
    }
}
