//! The contract between the engine and the stage kinds.

pub mod expr;
pub mod table;
pub mod value;
