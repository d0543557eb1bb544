//! The expression language of experiment files: `where`, `when`, `if`, `tensors`, `filter`, statistics, claims.
//!
//! An expression is a text such as `median(ratio, method.by == 'ours') >= 1.1`. It has no side effects. It is
//! parsed ([`parse`]), checked against what is in scope ([`check`]) and evaluated ([`eval`], [`eval_row`],
//! [`Program`]); errors of all three point into the text.
//!
//! # Language
//!
//! - Literals: `'text'` with the escapes `\'` and `\\`; `12`, `1_000`, `0.5`, `1e-3`; `true`, `false`, `none`;
//!   `[a, b]`.
//! - Names, with fields: `dtype`, `model.role`; with several tables in scope, `methods.ratio`,
//!   `methods.method.by`. A variable hides a column.
//! - Operators, the tightest first: `!` and unary `-`; `*` `/`; `+` `-`; the comparisons `==` `!=` `<` `<=` `>`
//!   `>=` `in` `not in`, which do not chain; `&&`; `||`. The last two do not look at their right side if the left
//!   one decides.
//! - Functions of one number: `abs`, `sqrt`, `log2`, `exp2`, and `round` (halves away from zero), `floor`, `ceil`,
//!   which give whole numbers. `has(x.f)` tells whether there is a value.
//! - Aggregates, over the rows of one table, each with a filter as optional last argument: `count()`, `sum(x)`,
//!   `min(x)`, `max(x)`, `mean(x)`, `median(x)`, `geomean(x)`, `quantile(x, q)`, and `byte_weighted(in, out)`,
//!   which is `sum(in) / sum(out)`. `count(f)` counts the rows where `f` is true. Over no rows, only `count` has a
//!   value. A sum of whole numbers is exact; any other is taken in the order of the rows, with compensation. A
//!   quantile is by linear interpolation at the position `(n - 1) q` (type 7, as numpy's), and the median is the
//!   quantile at 0.5.
//!
//! # Meaning
//!
//! A field or cell that is not there is `none`: false as a condition, equal to nothing but `none`, in no list;
//! arithmetic with it, or asking for its order, is an error. A value of an axis compares as its name. A whole
//! number and a float compare by value, exactly; arithmetic on whole numbers is exact and an overflow is an error;
//! a division always gives a float. No value is ever NaN or infinite: what would be is an error.

mod aggregate;
mod ast;
mod check;
mod error;
mod eval_error;
mod function;
mod lexer;
mod number;
mod operator;
mod parser;
mod program;
mod relation;
mod resolve;
mod scope;
mod statistic;

pub use aggregate::Group;
pub use ast::{BinaryOp, Expr, ExprKind, Name, UnaryOp};
pub use check::{check, check_condition, expect};
pub use error::{ExprError, ExprErrorKind, Syntax};
pub use eval_error::{EvalError, EvalErrorKind};
pub(crate) use number::{Number, whole};
pub(crate) use operator::equal;
pub use parser::{MAX_DEPTH, MAX_LENGTH, parse};
pub use program::{AxisFields, Env, Program, eval, eval_row, is_true};
pub use scope::{Checked, Mode, Scope};
pub(crate) use statistic::float_quantile;

#[cfg(test)]
mod tests;
