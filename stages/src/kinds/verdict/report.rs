//! What is reported: `verdict.json` and `speeds.json`, and what their Markdown forms are made from.

use std::collections::BTreeMap;

use llmcl_stages_api::outcome::Outcome;
use llmcl_stages_api::table::Table;
use llmcl_stages_api::task::PruneReason;
use llmcl_stages_api::value::Value;
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use serde_json::Value as Json;

/// The version of both forms.
pub(super) const VERSION: u32 = 1;

/// The value that a task has on each axis of its stage: the axis and the value's label.
pub(super) type Labels = Vec<(String, Value)>;

/// All that can be reproduced to the byte.
#[derive(Debug, Serialize)]
pub(super) struct Verdict {
    pub(super) version: u32,
    /// The heading; empty where none was given.
    pub(super) title: String,
    pub(super) outcomes: Vec<Gate>,
    pub(super) claims: Vec<Claim>,
    pub(super) checks: Vec<Checked>,
    pub(super) tables: Vec<Figures>,
    pub(super) pruned: Vec<PrunedTask>,
}

/// Measured times, and claims about them.
#[derive(Debug, Serialize)]
pub(super) struct Speeds {
    pub(super) version: u32,
    /// The heading of the verdict; empty where none was given.
    pub(super) title: String,
    pub(super) tables: Vec<Figures>,
    pub(super) claims: Vec<Claim>,
}

impl Speeds {
    /// Tells whether nothing was measured.
    pub(super) fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.claims.is_empty()
    }
}

/// A gate or a finding.
#[derive(Debug, Serialize)]
pub(super) struct Gate {
    pub(super) title: String,
    #[serde(serialize_with = "labels")]
    pub(super) labels: Labels,
    pub(super) found: Found,
}

/// What came of a gate.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Found {
    /// Its outcome, with the statistics and all conditions.
    Outcome(Outcome),
    /// It was ruled out itself.
    Pruned(Reason),
}

/// Why something was pruned.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Reason {
    /// The title of the gate that ruled it out.
    pub(super) gate: String,
    /// The outcome of that gate.
    pub(super) outcome: String,
}

impl Reason {
    pub(super) fn new(reason: &PruneReason) -> Self {
        Self {
            gate: reason.gate.clone(),
            outcome: reason.outcome.clone(),
        }
    }
}

/// A task that was pruned.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct PrunedTask {
    pub(super) title: String,
    #[serde(serialize_with = "labels")]
    pub(super) labels: Labels,
    pub(super) reason: Reason,
}

/// A table under its title.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    pub(super) title: String,
    #[serde(serialize_with = "table")]
    pub(super) table: Table,
}

/// Rows that must match.
#[derive(Debug, Serialize)]
pub(super) struct Checked {
    pub(super) title: String,
    /// How many rows there are.
    pub(super) rows: usize,
    /// How many of them match.
    pub(super) matches: usize,
    /// Those that do not.
    #[serde(serialize_with = "table")]
    pub(super) mismatches: Table,
}

/// A published figure and ours.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Claim {
    pub(super) name: String,
    pub(super) source: Option<String>,
    pub(super) published: Option<f64>,
    pub(super) tolerance: Option<f64>,
    /// The corpus that the published figure is about; none if it holds for any.
    pub(super) corpus: Option<String>,
    pub(super) standing: Standing,
    pub(super) ours: Option<f64>,
    /// Ours less the published one, where the two are compared.
    pub(super) difference: Option<f64>,
    /// Why it stands so, where that needs saying.
    pub(super) note: Option<String>,
}

/// How a claim came off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum Standing {
    /// The difference is within the tolerance.
    #[serde(rename = "agrees")]
    Agrees,
    /// It is not.
    #[serde(rename = "differs")]
    Differs,
    /// The published figure is about other models: both are shown, and not compared.
    #[serde(rename = "other corpus")]
    OtherCorpus,
    /// There is nothing here that it could be compared with.
    #[serde(rename = "not comparable")]
    NotComparable,
    /// A gate ruled out what our figure would be made from.
    #[serde(rename = "pruned")]
    Pruned,
    /// The statistic has no value.
    #[serde(rename = "no figure")]
    NoFigure,
}

impl Standing {
    /// Each of them, in the order in which they are counted.
    pub(super) const ALL: [Self; 6] = [
        Self::Agrees,
        Self::Differs,
        Self::OtherCorpus,
        Self::NotComparable,
        Self::Pruned,
        Self::NoFigure,
    ];

    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Agrees => "agrees",
            Self::Differs => "differs",
            Self::OtherCorpus => "other corpus",
            Self::NotComparable => "not comparable",
            Self::Pruned => "pruned",
            Self::NoFigure => "no figure",
        }
    }
}

/// Labels as an object.
fn labels<S: Serializer>(labels: &Labels, serializer: S) -> Result<S::Ok, S::Error> {
    let labels = labels.iter();
    let object: BTreeMap<&str, Json> = labels
        .map(|(axis, label)| (axis.as_str(), label.to_json()))
        .collect();
    object.serialize(serializer)
}

/// A table as the names of its columns and its rows, each a list of cells.
fn table<S: Serializer>(table: &Table, serializer: S) -> Result<S::Ok, S::Error> {
    let columns = table.schema().columns().iter();
    let columns: Vec<&str> = columns.map(|column| column.name.as_str()).collect();
    let rows: Vec<Vec<Json>> = table
        .rows()
        .map(|row| row.map(Value::to_json).collect())
        .collect();
    let mut object = serializer.serialize_struct("Table", 2)?;
    object.serialize_field("columns", &columns)?;
    object.serialize_field("rows", &rows)?;
    object.end()
}
