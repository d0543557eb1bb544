//! What is done with each row by itself: keeping it, and adding columns to it.

use super::schema::infer;
use super::{Column, Table, TableError};
use crate::expr::{AxisFields, Env, EvalError, Expr, Program};

/// What expressions over a table may use besides its columns.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// What expressions may call the table, as in `rows.ratio`.
    pub name: &'a str,
    /// The fields of the labels in axis columns.
    pub axes: &'a AxisFields,
}

/// Keeps the rows for which the condition is true.
///
/// # Errors
///
/// Fails if the condition can not be evaluated for a row.
pub fn filter(table: &Table, condition: &Expr, context: &Context<'_>) -> Result<Table, TableError> {
    let tables = [(context.name.to_owned(), table)];
    let failed = |source| failed("filter", source);
    let program = Program::new(condition, &Env::tables(&tables, context.axes)).map_err(failed)?;
    let mut kept = Vec::new();
    for row in 0..table.len() {
        if program.holds(row).map_err(failed)? {
            kept.push(row);
        }
    }
    Ok(table.select(&kept))
}

/// Adds columns, each computed from the columns of the same row that were there before, so that the order of the
/// new ones does not matter.
///
/// # Errors
///
/// Fails if there is a column of a new name, or if an expression cannot be evaluated for a row.
pub fn compute(
    table: &Table,
    columns: &[(String, Expr)],
    context: &Context<'_>,
) -> Result<Table, TableError> {
    let tables = [(context.name.to_owned(), table)];
    let env = Env::tables(&tables, context.axes);
    let mut computed = table.clone();
    for (name, expr) in columns {
        let failed = |source| failed(name, source);
        let program = Program::new(expr, &env).map_err(failed)?;
        let cells = (0..table.len())
            .map(|row| program.row(row))
            .collect::<Result<Vec<_>, _>>()
            .map_err(failed)?;
        let column = Column::new(name, infer(&cells), expr.to_string());
        computed.add_column(column, cells)?;
    }
    Ok(computed)
}

fn failed(name: &str, source: EvalError) -> TableError {
    TableError::Eval {
        name: name.to_owned(),
        group: Vec::new(),
        source: Box::new(source),
    }
}
