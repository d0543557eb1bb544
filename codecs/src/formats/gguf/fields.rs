//! The fields that GGUF has beside numbers.

use super::NAME_MAX_BYTES;
use super::error::GgufError;
use crate::formats::fields::{self, Missing};

/// A file from a position on.
pub(super) type Fields<'a> = fields::Fields<'a, GgufError>;

impl From<Missing> for GgufError {
    fn from(missing: Missing) -> Self {
        let Missing {
            what,
            at,
            expected,
            found,
        } = missing;
        GgufError::Truncated {
            what,
            at,
            expected,
            found,
        }
    }
}

impl<'a> fields::Fields<'a, GgufError> {
    /// A text: its length and its bytes, in whatever encoding.
    pub(super) fn text(&mut self, what: &'static str) -> Result<&'a [u8], GgufError> {
        let length = self.u64(what)?;
        self.take(length, what)
    }

    /// A key or the name of a tensor.
    pub(super) fn name(&mut self, what: &'static str) -> Result<&'a str, GgufError> {
        let at = self.at();
        let found = self.u64(what)?;
        if found > NAME_MAX_BYTES {
            return Err(GgufError::NameTooLong {
                what,
                at,
                found,
                limit: NAME_MAX_BYTES,
            });
        }
        let start = self.at();
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
