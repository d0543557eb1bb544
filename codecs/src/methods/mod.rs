//! The methods, one file a family. A family uses no other; what two share lies outside of this folder.

mod zstd;

use crate::method::MethodFamily;

/// Every family that there is.
pub static FAMILIES: &[&dyn MethodFamily] = &[&zstd::Family];
