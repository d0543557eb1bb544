//! What is wrong with an expression before it runs.

use std::ops::Range;

use super::ast::BinaryOp;
use crate::value::Type;

/// A mistake in an expression, found by the parser or the type checker.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{kind}")]
pub struct ExprError {
    /// Where, in bytes of the expression's text; always on character boundaries.
    pub span: Range<usize>,
    /// What.
    pub kind: ExprErrorKind,
}

/// The kinds of mistake.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ExprErrorKind {
    /// The text is no expression.
    #[error(transparent)]
    Syntax(#[from] Syntax),
    /// No variable, column or table has this name.
    #[error("there is no `{name}` here")]
    UnknownName {
        /// The name.
        name: String,
        /// A known name that is near.
        suggestion: Option<String>,
        /// All known names.
        known: Vec<String>,
    },
    /// No value of the axis has this field.
    #[error("no value of the axis `{axis}` has a field `{field}`")]
    UnknownField {
        /// The axis.
        axis: String,
        /// The field.
        field: String,
        /// A known field that is near.
        suggestion: Option<String>,
        /// All known fields.
        known: Vec<String>,
    },
    /// A field was asked of what has none.
    #[error("`{path}` is {ty} and has no fields")]
    NoFields {
        /// What was asked.
        path: String,
        /// Its type.
        ty: Type,
    },
    /// The table has no such column.
    #[error("{} has no column `{column}`", named(table))]
    UnknownColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// A known column that is near.
        suggestion: Option<String>,
        /// All known columns.
        known: Vec<String>,
    },
    /// A column was named without its table where there are several tables.
    #[error("there are several tables here, so `{column}` needs its table's name")]
    Unqualified {
        /// The column.
        column: String,
        /// The tables that have it.
        tables: Vec<String>,
    },
    /// A table was named where a value must stand.
    #[error("`{table}` is a whole table, not a value")]
    WholeTable {
        /// The table.
        table: String,
    },
    /// A column was named where there are no rows.
    #[error("`{column}` is a column, and there are no rows here")]
    ColumnHere {
        /// The column.
        column: String,
    },
    /// A column was named outside of an aggregate where only aggregates see rows.
    #[error("`{column}` has a value for each row: which one is meant?")]
    BareColumn {
        /// The column.
        column: String,
    },
    /// No function has this name.
    #[error("there is no function `{name}`")]
    UnknownFunction {
        /// The name.
        name: String,
        /// A known function that is near.
        suggestion: Option<String>,
    },
    /// The function takes another number of arguments.
    #[error("`{function}` takes {usage}, not {found}")]
    WrongArity {
        /// The function.
        function: String,
        /// What it takes, in words.
        usage: &'static str,
        /// How many arguments there are.
        found: usize,
    },
    /// An aggregate stands where there are no rows, or where each row is looked at by itself.
    #[error("`{function}` is over the rows of a table and cannot be used here")]
    AggregateHere {
        /// The aggregate.
        function: String,
    },
    /// An aggregate stands inside of another.
    #[error("`{inner}` cannot stand inside `{outer}`: a statistic has no value for each row")]
    NestedAggregate {
        /// The outer aggregate.
        outer: String,
        /// The inner aggregate.
        inner: String,
    },
    /// The arguments of an aggregate come from several tables.
    #[error(
        "`{function}` is over the rows of one table, but its arguments are from `{first}` and `{second}`"
    )]
    TwoTables {
        /// The aggregate.
        function: String,
        /// One table.
        first: String,
        /// Another table.
        second: String,
    },
    /// It cannot be told which table an aggregate is over.
    #[error("it cannot be told which table `{function}` is over")]
    WhichTable {
        /// The aggregate.
        function: String,
    },
    /// A value has the wrong type.
    #[error("{expected} is needed here, and this is {found}")]
    WrongType {
        /// The type that is needed.
        expected: Type,
        /// The type that is there.
        found: Type,
    },
    /// The two sides of `==`, `!=`, `in` or `not in` can never be equal.
    #[error("{left} and {right} are never equal")]
    Incomparable {
        /// The type of the left side.
        left: Type,
        /// The type of the right side, or of its elements.
        right: Type,
    },
    /// The two sides of `<`, `<=`, `>` or `>=` have no order.
    #[error("{left} and {right} have no order")]
    Unordered {
        /// The type of the left side.
        left: Type,
        /// The type of the right side.
        right: Type,
    },
    /// A list holds values of different types.
    #[error("a list holds values of one type, and this one has {first} and {second}")]
    MixedList {
        /// The type of the elements before.
        first: Type,
        /// The type of the element that does not fit.
        second: Type,
    },
    /// `has` was asked about something else than a name.
    #[error("`has` takes a name or a field, such as `has(method.trained)`")]
    NotAPath,
}

/// The ways in which a text fails to be an expression.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Syntax {
    /// The text is empty.
    #[error("the expression is empty")]
    Empty,
    /// The text is too long.
    #[error("an expression has at most {limit} bytes")]
    TooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// There are too many levels.
    #[error("an expression has at most {limit} levels")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// A character that means nothing.
    #[error("`{0}` has no meaning here")]
    UnknownCharacter(char),
    /// A text without its closing quote.
    #[error("this text is not closed")]
    UnclosedText,
    /// A text in double quotes.
    #[error("texts are written in single quotes")]
    DoubleQuotes,
    /// A backslash before something else than a quote or a backslash.
    #[error("only `\\'` and `\\\\` are escapes")]
    UnknownEscape,
    /// Something that begins as a number and is none.
    #[error("`{0}` is not a number")]
    BadNumber(String),
    /// A number that is too large.
    #[error("the number {0} is too large")]
    LargeNumber(String),
    /// An operator of another language.
    #[error("`{written}` is written `{meant}` here")]
    Operator {
        /// What is written.
        written: &'static str,
        /// What is meant.
        meant: &'static str,
    },
    /// Two comparisons without parentheses: `a < b < c`.
    #[error("comparisons do not chain: `{first}` is followed by `{second}`")]
    Chained {
        /// The first operator.
        first: BinaryOp,
        /// The second operator.
        second: BinaryOp,
    },
    /// `!a == b`.
    #[error("`!` would apply to the left side of `{operator}` only")]
    NotBeforeComparison {
        /// The comparison.
        operator: BinaryOp,
    },
    /// A bracket without its match.
    #[error("this `{0}` is not closed")]
    Unclosed(char),
    /// Something else should stand here.
    #[error("{expected} is expected here, not {found}")]
    Expected {
        /// What should stand here.
        expected: &'static str,
        /// What stands here.
        found: String,
    },
}

impl ExprError {
    /// Returns a hint, where there is one: what was probably meant, or what to write.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match &self.kind {
            ExprErrorKind::UnknownName {
                suggestion, known, ..
            }
            | ExprErrorKind::UnknownField {
                suggestion, known, ..
            }
            | ExprErrorKind::UnknownColumn {
                suggestion, known, ..
            } => did_you_mean(suggestion.as_deref()).or_else(|| known_names(known)),
            ExprErrorKind::UnknownFunction { suggestion, .. } => {
                did_you_mean(suggestion.as_deref())
            }
            ExprErrorKind::Unqualified { column, tables } => {
                let forms: Vec<String> = tables
                    .iter()
                    .map(|table| format!("`{table}.{column}`"))
                    .collect();
                Some(format!("write {}", forms.join(" or ")))
            }
            ExprErrorKind::WholeTable { table } => {
                Some(format!("name one of its columns: `{table}.…`"))
            }
            ExprErrorKind::BareColumn { column } => Some(format!(
                "use an aggregate, such as `median({column})` or `max({column})`"
            )),
            ExprErrorKind::WhichTable { .. } => {
                Some("name a column with its table in an argument".to_owned())
            }
            ExprErrorKind::Syntax(syntax) => syntax.help(),
            _ => None,
        }
    }
}

impl Syntax {
    fn help(&self) -> Option<String> {
        match self {
            Self::Chained { .. } => {
                Some("join two comparisons with `&&`, or use parentheses".to_owned())
            }
            Self::NotBeforeComparison {
                operator: BinaryOp::In,
            } => Some("write `a not in b`".to_owned()),
            Self::NotBeforeComparison { operator } => Some(format!(
                "write `!(a {operator} b)`, or `(!a) {operator} b` if that is meant"
            )),
            Self::Operator { meant, .. } => Some(format!("did you mean `{meant}`?")),
            Self::UnclosedText => Some("a quote inside of a text is written `\\'`".to_owned()),
            _ => None,
        }
    }
}

fn did_you_mean(suggestion: Option<&str>) -> Option<String> {
    suggestion.map(|name| format!("did you mean `{name}`?"))
}

/// A table by its name, if it has one.
fn named(table: &str) -> String {
    match table {
        "" => "the table".to_owned(),
        table => format!("the table `{table}`"),
    }
}

/// Lists names for a hint; a long list is cut.
fn known_names(known: &[String]) -> Option<String> {
    const SHOWN: usize = 12;
    if known.is_empty() {
        return None;
    }
    let names: Vec<String> = known
        .iter()
        .take(SHOWN)
        .map(|name| format!("`{name}`"))
        .collect();
    let more = if known.len() > SHOWN { ", …" } else { "" };
    Some(format!("known here: {}{more}", names.join(", ")))
}
