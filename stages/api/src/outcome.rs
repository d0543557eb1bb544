//! The artifact of a gate.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The name of the file in the artifact.
pub const FILE: &str = "outcome.json";

/// What a gate found: `outcome.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// The version of this form; now 1.
    pub version: u32,
    /// The gate's title; empty where it has none.
    pub title: String,
    /// The name of the first outcome whose condition holds.
    pub outcome: String,
    /// What that outcome's entry says beside.
    pub note: Option<String>,
    /// The statistics, by name.
    pub statistics: BTreeMap<String, f64>,
    /// The outcomes that could have been, in order.
    pub outcomes: Vec<Possible>,
}

/// An outcome that a gate can have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Possible {
    /// Its name.
    pub name: String,
    /// Its condition; none for the last one, which holds if no other does.
    pub condition: Option<String>,
    /// What the entry says beside.
    pub note: Option<String>,
}
