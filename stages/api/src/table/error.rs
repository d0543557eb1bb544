//! What can go wrong with a table.

use std::io;

use crate::expr::EvalError;
use crate::value::Type;

/// Why a table could not be made, read or written.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// Two columns have the same name.
    #[error("there are two columns `{column}`")]
    DuplicateColumn {
        /// The column.
        column: String,
    },
    /// There is no such column.
    #[error("there is no column `{column}`")]
    UnknownColumn {
        /// The column.
        column: String,
    },
    /// The same column has types that have nothing in common.
    #[error("the column `{column}` is {first} in one table and {second} in another")]
    Clash {
        /// The column.
        column: String,
        /// One type.
        first: Type,
        /// The other type.
        second: Type,
    },
    /// A cell does not have the type of its column, or is NaN or infinite.
    #[error("the column `{column}` holds {ty}, not `{value}`")]
    WrongType {
        /// The column.
        column: String,
        /// Its type.
        ty: Type,
        /// The value, as the expression language writes it.
        value: String,
    },
    /// A row has another number of cells than there are columns.
    #[error("a row has {found} cells, and there are {expected} columns")]
    WrongWidth {
        /// How many columns there are.
        expected: usize,
        /// How many cells the row has.
        found: usize,
    },
    /// A row that is too long to be written.
    #[error("a row takes more than {limit} bytes")]
    LongRow {
        /// The limit, in bytes.
        limit: usize,
    },
    /// A line of a table file is wrong.
    #[error("line {line}: {problem}")]
    Line {
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        problem: LineProblem,
    },
    /// A table file could not be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// An expression could not be evaluated.
    #[error("in `{name}`{}: {source}", place(.group))]
    Eval {
        /// What the expression is for: a column, or `filter`.
        name: String,
        /// The group whose statistic it is, as `column = value`.
        group: Vec<String>,
        /// What went wrong.
        source: Box<EvalError>,
    },
    /// A table that is joined has the same key twice.
    #[error("two rows of the joined table have {key}")]
    DuplicateKey {
        /// The key, as `column = value, …`.
        key: String,
    },
    /// Two tables that are joined disagree about a cell.
    #[error("the joined tables disagree about `{column}` where {key}: {left} and {right}")]
    Disagreement {
        /// The column.
        column: String,
        /// The key, as `column = value, …`.
        key: String,
        /// The value on the left.
        left: String,
        /// The value on the right.
        right: String,
    },
    /// A bootstrap was asked for with numbers that make no sense.
    #[error("a bootstrap needs at least one resample and a level between 0 and 1")]
    BadBootstrap,
}

/// What can be wrong with a line of a table file.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LineProblem {
    /// The line is longer than any line may be.
    #[error("longer than {limit} bytes")]
    TooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The last line does not end, so the file was cut.
    #[error("the file ends in the middle of it")]
    Cut,
    /// The line is no JSON object.
    #[error("not a JSON object with a value for each name: {0}")]
    NotAnObject(String),
    /// A name is there twice.
    #[error("`{0}` is there twice")]
    Repeated(String),
    /// A file has more columns than a table in memory may have.
    #[error("the table has more than {limit} columns")]
    TooWide {
        /// The limit.
        limit: usize,
    },
    /// A file has more cells, counting absent ones, than a table in memory may have.
    #[error("the table has more than {limit} cells")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
}

fn place(group: &[String]) -> String {
    if group.is_empty() {
        String::new()
    } else {
        format!(" where {}", group.join(", "))
    }
}
