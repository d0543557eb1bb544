//! What can go wrong when an expression is evaluated.

use std::ops::Range;

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{kind}{}", in_row(.row))]
pub struct EvalError {
    /// The part of the expression, in bytes of its text.
    pub span: Range<usize>,
    /// What went wrong.
    pub kind: EvalErrorKind,
    /// The row of the table, from 0, where it is about one row.
    pub row: Option<usize>,
}

/// The ways in which an evaluation fails.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EvalErrorKind {
    /// A name stands for nothing: the expression was not checked, or against something else.
    #[error("there is no `{0}`")]
    Unknown(String),
    /// An expression was asked to be used in a way for which it was not checked.
    #[error("`{0}` cannot be used here")]
    Misplaced(String),
    /// Arithmetic, or asking for the order, with what is not there.
    #[error("`{0}` is none")]
    None(String),
    /// A value of the wrong type, where types were not known before the run.
    #[error("{expected} is needed, and `{path}` is {found}")]
    WrongType {
        /// The type that is needed, in words.
        expected: &'static str,
        /// The expression that has the wrong type.
        path: String,
        /// The value, as the expression language writes it.
        found: String,
    },
    /// A division by zero.
    #[error("division by zero")]
    DivisionByZero,
    /// A result that is too large.
    #[error("the result of `{0}` is too large")]
    Overflow(String),
    /// A result that is no number, such as the root of a negative one.
    #[error("`{function}` of {argument} is not a number")]
    NotANumber {
        /// The function.
        function: String,
        /// Its argument.
        argument: String,
    },
    /// A cell that is NaN or infinite.
    #[error("`{0}` is NaN or infinite")]
    NotFinite(String),
    /// A statistic over no rows.
    #[error("`{function}` is over no rows{}", if *.filtered { ": none passes the filter" } else { "" })]
    NoRows {
        /// The aggregate.
        function: String,
        /// Whether there were rows before the filter.
        filtered: bool,
    },
    /// A geometric mean of a number that is not above zero.
    #[error("`geomean` needs numbers above zero, and there is {0}")]
    NotPositive(String),
    /// A quantile at a share outside of 0 to 1.
    #[error("a quantile is at a share from 0 to 1, not at {0}")]
    BadShare(String),
}

impl EvalError {
    pub(super) fn new(span: &Range<usize>, kind: EvalErrorKind) -> Self {
        Self {
            span: span.clone(),
            kind,
            row: None,
        }
    }

    /// Says which row it is about, unless that is known.
    pub(super) fn in_row(mut self, row: usize) -> Self {
        self.row.get_or_insert(row);
        self
    }
}

fn in_row(row: &Option<usize>) -> String {
    row.map_or_else(String::new, |row| format!(" in row {}", row + 1))
}
