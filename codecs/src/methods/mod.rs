//! The methods, one file a family. A family uses no other; what two share lies outside of this folder.

mod byte_split_zstd;
mod exponent_mantissa_profiled;
mod exponent_mantissa_scaled;
mod exponent_mantissa_static;
mod exponent_static;
mod xz;
mod zstd;

use crate::method::MethodFamily;

/// Every family that there is.
pub static FAMILIES: &[&dyn MethodFamily] = &[
    &byte_split_zstd::Family,
    &exponent_mantissa_profiled::FAMILY,
    &exponent_mantissa_scaled::FAMILY,
    &exponent_mantissa_static::FAMILY,
    &exponent_static::FAMILY,
    &xz::Family,
    &zstd::Family,
];
