//! The stage kinds, each in a file or folder of its own.

pub mod command;
pub mod fetch;

use llmcl_stages_api::kind::StageKind;

/// Every stage kind.
pub static KINDS: &[&dyn StageKind] = &[&command::KIND, &fetch::KIND];
