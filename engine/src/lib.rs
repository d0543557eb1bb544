//! Experiment file to plan, plan to schedule, schedule to records.
//!
//! The engine knows no tensor, no codec and no model: what a stage does is behind the contract in
//! `llmcl_stages_api`. It prints nothing: what happens is told as a stream of [`events`].

mod bytes;
pub mod check;
pub mod clock;
pub mod codes;
pub mod compare;
pub mod diagnostic;
pub mod diff;
pub mod events;
mod experiment;
pub mod explain;
mod expression;
pub mod history;
pub mod key;
pub mod model;
pub mod outputs;
pub mod phases;
pub mod plan;
pub mod project;
pub mod record;
pub mod resolve;
pub mod roots;
pub mod run;
pub mod runs;
pub mod schema;
pub mod snapshot;
pub mod source;
pub mod status;
pub mod story;
pub mod timings;
mod toml_tree;
pub mod trace;
