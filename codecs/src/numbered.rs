//! Families whose methods differ in a number at the end of their names.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crate::chunked::{ChunkedMethod, without_profile};
use crate::error::{MethodError, ProfileProblem};
use crate::method::{Method, MethodFamily, ParameterValue};

/// A family whose names are a prefix and a number, such as `zstd_19`.
pub(crate) struct NumberedFamily {
    /// What stands before the number.
    pub(crate) prefix: &'static str,
    /// The prefix and an `N`.
    pub(crate) pattern: &'static str,
    /// What the methods do, in a sentence.
    pub(crate) about: &'static str,
    /// The source file, relative to the workspace.
    pub(crate) leaf: &'static str,
    /// The numbers that there are.
    pub(crate) numbers: RangeInclusive<u32>,
    /// The method of a number.
    pub(crate) method: fn(u32) -> Box<dyn Method>,
    /// The same as containers use it, if they can.
    pub(crate) chunked: Option<fn(u32) -> Box<dyn ChunkedMethod>>,
}

impl NumberedFamily {
    /// The number in a name.
    ///
    /// `None` where the name is not the prefix followed by a decimal number without leading zeros.
    ///
    /// # Errors
    ///
    /// Where there is no method of that number.
    fn number(&self, name: &str) -> Option<Result<u32, MethodError>> {
        let digits = name.strip_prefix(self.prefix)?;
        let canonical = digits == "0"
            || (!digits.is_empty()
                && !digits.starts_with('0')
                && digits.bytes().all(|byte| byte.is_ascii_digit()));
        if !canonical {
            return None;
        }
        let number = digits
            .parse()
            .ok()
            .filter(|number| self.numbers.contains(number));
        Some(number.ok_or_else(|| MethodError::NumberOutOfRange {
            name: name.to_owned(),
            pattern: self.pattern,
            least: *self.numbers.start(),
            most: *self.numbers.end(),
        }))
    }
}

impl MethodFamily for NumberedFamily {
    fn pattern(&self) -> &'static str {
        self.pattern
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn leaf(&self) -> &'static str {
        self.leaf
    }

    fn resolve(
        &self,
        name: &str,
        _parameters: &BTreeMap<String, ParameterValue>,
    ) -> Option<Result<Box<dyn Method>, MethodError>> {
        Some(self.number(name)?.map(self.method))
    }

    fn chunked(
        &self,
        name: &str,
        profile: Option<&[u8]>,
    ) -> Option<Result<Box<dyn ChunkedMethod>, ProfileProblem>> {
        let make = self.chunked?;
        let number = self.number(name)?.ok()?;
        Some(without_profile(profile, || make(number)))
    }

    fn examples(&self) -> Vec<String> {
        let numbers = self.numbers.clone();
        numbers
            .map(|number| format!("{}{number}", self.prefix))
            .collect()
    }
}
