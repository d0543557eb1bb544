//! Experiment file to plan, plan to schedule, schedule to records.
//!
//! The engine knows no tensor, no codec and no model: what a stage does is behind the contract in
//! `llmcl_stages_api`. It prints nothing: what happens is told as a stream of [`events`].

pub mod check;
pub mod codes;
pub mod diagnostic;
mod experiment;
mod expression;
pub mod model;
pub mod schema;
pub mod source;
mod toml_tree;
