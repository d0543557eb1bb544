//! What the type checker is told, and what it tells.

use std::collections::{BTreeMap, BTreeSet};

use crate::table::Schema;
use crate::value::Type;

/// Where an expression stands, which decides what it may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// There are no rows: `where` and `when` of a stage, `if` of an outcome.
    Scalar,
    /// Each row is looked at by itself: `tensors`, `filter`, `compute`.
    Row,
    /// Columns are seen by aggregates only: statistics and claims.
    Aggregate,
}

/// What an expression may use.
#[derive(Debug, Clone)]
pub struct Scope<'a> {
    /// Where the expression stands.
    pub mode: Mode,
    /// The variables. A variable hides a column of the same name.
    pub variables: BTreeMap<String, Type>,
    /// The tables. With one, its columns go by their own names too; with several, only as `table.column`.
    pub tables: Vec<(String, &'a Schema)>,
}

/// What an expression is, and what it reads.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// The type of its value.
    pub ty: Type,
    /// The fields of axis values that it reads, through variables or columns, as (axis, field); without `name`.
    pub axis_reads: BTreeSet<(String, String)>,
    /// The columns that it reads, as (table, column).
    pub column_reads: BTreeSet<(String, String)>,
    /// The variables that it reads, each with the fields read; no fields if only the value or its name is.
    pub variable_reads: BTreeMap<String, BTreeSet<String>>,
}
