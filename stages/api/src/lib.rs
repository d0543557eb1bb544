//! The contract between the engine and the stage kinds.
//!
//! A stage kind implements [`kind::StageKind`]: it says what parameters and ports it has, checks a stage before
//! anything runs, and does the work of a task. The engine knows kinds only through this contract, and a kind
//! knows the engine only through [`task::Host`].

pub mod artifact;
pub mod expr;
pub mod fingerprint;
pub mod kind;
pub mod machine;
pub mod outcome;
pub mod param;
pub mod port;
pub mod registry;
pub mod suggest;
pub mod table;
pub mod task;
pub mod tensors;
pub mod value;
