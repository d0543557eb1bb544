//! The stage kinds, each in a file or folder of its own.

pub mod atlas;
pub mod bench;
pub mod cast;
pub mod command;
pub mod fetch;
pub mod gate;
pub mod golden;
pub mod install;
pub mod load_profile;
pub mod select;
pub mod table;
pub mod time;
pub mod train_profile;
pub mod verdict;
pub mod verify;

use llmcl_stages_api::kind::StageKind;

/// Every stage kind: the `KIND` of each module.
pub static KINDS: &[&dyn StageKind] = include!(concat!(env!("OUT_DIR"), "/registration.rs"));
