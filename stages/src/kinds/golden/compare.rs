//! The comparison, row by row.

use std::collections::{BTreeMap, BTreeSet};

use llmcl_stages_api::table::{Schema, Table, TableBuilder};
use llmcl_stages_api::task::{Member, TaskContext, TaskError};
use llmcl_stages_api::value::{Type, Value};

use crate::columns::{text, truth};
use crate::failure;

use super::ROWS;
use super::list::{Entry, Identity, List, describe};

/// The column with the digest of the encoding.
const SHA256: &str = "encoded_sha256";
/// The column with the bytes before encoding.
const BYTES_IN: &str = "bytes_in";
/// The column with the bytes after.
const BYTES_OUT: &str = "bytes_out";
/// The column that says whether the encoding decoded to what was encoded.
const ROUNDTRIP: &str = "roundtrip";
/// The column with the tensor's name, which rows about whole files lack.
const TENSOR: &str = "tensor";

/// The columns that rows must have.
pub(super) const READ: [(&str, Type); 4] = [
    (SHA256, Type::Text),
    (BYTES_IN, Type::Int),
    (BYTES_OUT, Type::Int),
    (ROUNDTRIP, Type::Bool),
];

/// The columns that are added.
pub(super) const ADDED: [&str; 4] = ["state", "expected", "found", "matches"];

/// How a row, or an entry of the list, came off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The bytes are those of the list.
    Equal,
    /// They are not.
    Different,
    /// The encoding did not decode to what was encoded, whatever its bytes.
    NoRoundTrip,
    /// The list has no entry for the row.
    NotListed,
    /// There is no row for the entry of the list.
    NoRow,
}

impl State {
    fn text(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Different => "different",
            Self::NoRoundTrip => "no round trip",
            Self::NotListed => "not in the list",
            Self::NoRow => "no row",
        }
    }
}

/// What a comparison yields.
pub(super) struct Comparison {
    /// A row for each row that came in, then one for each entry of the list without a row.
    pub(super) rows: TableBuilder,
    /// The list as this run would have it; what did not decode is left out.
    pub(super) found: Vec<Entry>,
}

/// The columns of the comparison: those of the rows without the digest, which is `found`, and what is added.
pub(super) fn output_columns(rows: &Schema) -> Schema {
    let columns = rows.columns().iter();
    let kept = columns.filter(|column| column.name != SHA256).cloned();
    let added = [
        text(
            "state",
            "equal, different, no round trip, not in the list, or no row",
        ),
        text(
            "expected",
            "the SHA-256 in the list; none where the list lacks the row",
        ),
        text(
            "found",
            "the SHA-256 of this run; none where there is no row",
        ),
        truth(
            "matches",
            "whether the bytes are those of the list and decode",
        ),
    ];
    let schema = Schema::new(kept.chain(added));
    if rows.is_open() {
        schema.open()
    } else {
        schema
    }
}

/// The rows of one member, with its labels.
struct Part {
    labels: BTreeMap<String, Value>,
    table: Table,
}

/// Holds the rows against the list.
pub(super) fn compare(task: &TaskContext<'_>, list: &List) -> Result<Comparison, TaskError> {
    let members = task.members(ROWS).iter();
    let parts: Vec<Part> = members
        .map(|member| part(task, member))
        .collect::<Result<_, _>>()?;
    let mut comparison = Comparison {
        rows: TableBuilder::new(&Schema::default().open()),
        found: Vec::new(),
    };
    let columns = columns(&parts);
    let entries: BTreeMap<Identity, &Entry> = list
        .entries()
        .iter()
        .map(|entry| (entry.identity(), entry))
        .collect();
    let mut seen = BTreeSet::new();
    for part in &parts {
        task.host.checkpoint()?;
        for row in 0..part.table.len() {
            let cell = |name: &str| {
                let column = part.table.column(name);
                column.and_then(|cells| cells.get(row)).cloned()
            };
            let tensor = cell(TENSOR).unwrap_or_default();
            let tensor = tensor.as_text();
            let identity = Identity::new(part.labels.clone(), tensor);
            let entry = entries.get(&identity).copied();
            if !seen.insert(identity) {
                return Err(TaskError::input(format!(
                    "two rows have {}, so a list could not tell them apart",
                    describe(&part.labels, tensor)
                ))
                .with_hint("give the stages that put them out another axis"));
            }
            let found = found(&part.labels, tensor, &cell)?;
            let state = match (&found, entry) {
                (None, _) => State::NoRoundTrip,
                (Some(_), None) => State::NotListed,
                (Some(found), Some(entry)) if found == entry => State::Equal,
                (Some(_), Some(_)) => State::Different,
            };
            let cells = columns
                .iter()
                .map(|name| (*name, cell(name).unwrap_or_default()));
            let digest = cell(SHA256).unwrap_or_default();
            comparison.push(cells, state, entry, digest)?;
            comparison.found.extend(found);
        }
    }
    for entry in list.entries() {
        if !seen.contains(&entry.identity()) {
            let labels = entry.labels();
            let tensor = entry.tensor.clone().map_or(Value::None, Value::Text);
            let named: BTreeMap<&str, Value> = columns
                .iter()
                .map(|name| (*name, Value::None))
                .chain(
                    labels
                        .iter()
                        .map(|(axis, label)| (axis.as_str(), label.clone())),
                )
                .chain((!tensor.is_none()).then_some((TENSOR, tensor)))
                .collect();
            comparison.push(named, State::NoRow, Some(entry), Value::None)?;
        }
    }
    Ok(comparison)
}

impl Comparison {
    fn push<'n>(
        &mut self,
        cells: impl IntoIterator<Item = (&'n str, Value)>,
        state: State,
        entry: Option<&Entry>,
        found: Value,
    ) -> Result<(), TaskError> {
        let expected = entry.map_or(Value::None, |entry| Value::Text(entry.sha256.clone()));
        let added = [
            Value::Text(state.text().to_owned()),
            expected,
            found,
            Value::Bool(state == State::Equal),
        ];
        let cells = cells.into_iter().chain(ADDED.into_iter().zip(added));
        self.rows
            .push_named(cells)
            .map_err(|error| failure::row(&error))
    }
}

fn part(task: &TaskContext<'_>, member: &Member) -> Result<Part, TaskError> {
    Ok(Part {
        labels: member.labels.iter().cloned().collect(),
        table: task.union(std::slice::from_ref(member))?,
    })
}

/// The columns that pass through, in order of first appearance.
fn columns(parts: &[Part]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for part in parts {
        for column in part.table.schema().columns() {
            if column.name != SHA256 && !names.contains(&column.name.as_str()) {
                names.push(&column.name);
            }
        }
    }
    names
}

/// The entry that a list should have for a row; none if what it is about did not decode, so that its bytes are
/// worth nothing.
fn found(
    labels: &BTreeMap<String, Value>,
    tensor: Option<&str>,
    cell: &dyn Fn(&str) -> Option<Value>,
) -> Result<Option<Entry>, TaskError> {
    if cell(ROUNDTRIP).as_ref().and_then(Value::as_bool) != Some(true) {
        return Ok(None);
    }
    let missing = |name: &str| {
        TaskError::input(format!(
            "the row with {} has no usable cell in the column `{name}`",
            describe(labels, tensor)
        ))
    };
    let bytes = |name: &str| {
        let cell = cell(name).as_ref().and_then(Value::as_int);
        cell.and_then(|bytes| u64::try_from(bytes).ok())
            .ok_or_else(|| missing(name))
    };
    let sha256 = cell(SHA256);
    let sha256 = sha256.as_ref().and_then(Value::as_text);
    Ok(Some(Entry {
        labels: labels
            .iter()
            .map(|(axis, label)| (axis.clone(), label.to_json()))
            .collect(),
        tensor: tensor.map(str::to_owned),
        input_bytes: bytes(BYTES_IN)?,
        compressed_bytes: bytes(BYTES_OUT)?,
        sha256: sha256.ok_or_else(|| missing(SHA256))?.to_owned(),
    }))
}
