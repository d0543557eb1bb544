//! What a name means: the one rule that the type checker and the evaluator share.

use super::ast::Name;
use crate::table::Schema;

/// What a path begins with, and the fields asked of it.
#[derive(Debug, PartialEq)]
pub(super) enum Target<'p> {
    /// A variable.
    Variable(&'p Name, &'p [Name]),
    /// A column of a table; the column need not exist if it was named with its table, or the table is open.
    Column {
        table: usize,
        column: &'p Name,
        fields: &'p [Name],
    },
    /// A table.
    Table(usize),
    /// A column without its table, where there are several tables.
    Unqualified(&'p Name),
    /// Nothing that is known.
    Unknown(&'p Name),
}

/// Finds what a path means: a variable first, then a column of the only table, then `table.column`.
pub(super) fn resolve<'p>(
    path: &'p [Name],
    is_variable: impl Fn(&str) -> bool,
    tables: &[(&str, &Schema)],
) -> Option<Target<'p>> {
    let (first, rest) = path.split_first()?;
    if is_variable(&first.text) {
        return Some(Target::Variable(first, rest));
    }
    let unqualified = Target::Column {
        table: 0,
        column: first,
        fields: rest,
    };
    let has = |schema: &Schema| schema.column(&first.text).is_some();
    if let [(_, only)] = tables
        && has(only)
    {
        return Some(unqualified);
    }
    let named = tables.iter().position(|(name, _)| *name == first.text);
    Some(match (named, rest.split_first(), tables) {
        (Some(table), Some((column, fields)), _) => Target::Column {
            table,
            column,
            fields,
        },
        (Some(table), None, _) => Target::Table(table),
        (None, _, [(_, only)]) if only.is_open() => unqualified,
        (None, _, [_, _, ..]) if tables.iter().any(|(_, schema)| has(schema)) => {
            Target::Unqualified(first)
        }
        _ => Target::Unknown(first),
    })
}
