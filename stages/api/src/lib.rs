//! The contract between the engine and the stage kinds.
