//! The stage kinds, each in a file or folder of its own.

pub mod atlas;
pub mod bench;
pub mod cast;
pub mod command;
pub mod fetch;
pub mod select;
pub mod time;
pub mod verify;

use llmcl_stages_api::kind::StageKind;

/// Every stage kind.
pub static KINDS: &[&dyn StageKind] = &[
    &atlas::KIND,
    &bench::KIND,
    &cast::KIND,
    &command::KIND,
    &fetch::KIND,
    &select::KIND,
    &time::KIND,
    &verify::KIND,
];
