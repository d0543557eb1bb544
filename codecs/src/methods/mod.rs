//! The methods, one file a family. A family uses no other; what two share lies outside of this folder.

mod bf16_split;
mod bf16_split_ctx;
mod bf16_split_mixture;
mod bf16_split_xz;
mod bf16_split_zstd;
mod block_context;
mod block_mixed;
mod block_static;
mod by_type_context;
mod by_type_fast;
mod by_type_mixed;
mod byte_split_zstd;
mod decomp_perstream_zstd;
mod decomp_perstream_zstd19_bg;
mod decomp_qb_full;
mod exponent_mantissa_profiled;
mod exponent_mantissa_scaled;
mod exponent_mantissa_static;
mod exponent_static;
#[cfg(feature = "openzl")]
mod openzl_bfloat16_deconstruct;
#[cfg(feature = "openzl")]
mod openzl_float16_deconstruct;
#[cfg(feature = "openzl")]
mod openzl_le_u16;
mod qb_mixture_k4;
mod whole_zstd;
mod xz;
mod zstd;

use crate::method::MethodFamily;

/// Every family that there is: the `FAMILY` of each module.
pub static FAMILIES: &[&dyn MethodFamily] = include!(concat!(env!("OUT_DIR"), "/registration.rs"));
