//! Joining two tables on equal cells.

use std::collections::BTreeMap;

use super::key::{describe, key, places};
use super::{Table, TableError};
use crate::expr::equal;
use crate::value::Value;

/// Adds to each row of `left` the cells of the row of `right` that has equal cells in the columns `on`.
///
/// Rows of `left` stay in order; one without a match gets `none`. A cell of `on` that is `none` matches nothing.
/// Where both tables have another column of the same name, the result has it once: the cells of both must be
/// equal, or one of them `none`.
///
/// # Errors
///
/// Fails if a table lacks a column of `on`, if two rows of `right` have the same cells there, or if two matching
/// rows disagree about a column that both have.
pub fn join(left: &Table, right: &Table, on: &[String]) -> Result<Table, TableError> {
    let schema = left.schema.join(&right.schema, on)?;
    let left_key = places(left, on)?;
    let right_key = places(right, on)?;
    let matches = matches(left, &left_key, right, &right_key)?;
    let mut columns = left.columns.clone();
    columns.resize(schema.columns().len(), vec![Value::None; left.rows]);
    for (column, cells) in schema.columns().iter().zip(&mut columns) {
        // Columns of the key are equal where rows match.
        let Some(theirs) = right
            .schema
            .index(&column.name)
            .filter(|index| !right_key.contains(index))
        else {
            continue;
        };
        for (row, cell) in cells.iter_mut().enumerate() {
            let theirs = matches[row].map_or(&Value::None, |row| right.cell(row, theirs));
            if cell.is_none() {
                *cell = theirs.clone();
            } else if !theirs.is_none() && !equal(cell, theirs) {
                return Err(TableError::Disagreement {
                    column: column.name.clone(),
                    key: describe(left, row, &left_key).join(", "),
                    left: cell.to_string(),
                    right: theirs.to_string(),
                });
            }
        }
    }
    Ok(Table {
        schema: if left.is_empty() {
            schema
        } else {
            schema.closed()
        },
        columns,
        rows: left.rows,
    })
}

/// Finds for each row of `left` the row of `right` with the same key.
fn matches(
    left: &Table,
    left_key: &[usize],
    right: &Table,
    right_key: &[usize],
) -> Result<Vec<Option<usize>>, TableError> {
    let complete = |table: &Table, row: usize, columns: &[usize]| {
        columns
            .iter()
            .all(|column| !table.cell(row, *column).is_none())
    };
    let mut rows = BTreeMap::new();
    for row in (0..right.len()).filter(|row| complete(right, *row, right_key)) {
        if rows.insert(key(right, row, right_key), row).is_some() {
            return Err(TableError::DuplicateKey {
                key: describe(right, row, right_key).join(", "),
            });
        }
    }
    Ok((0..left.len())
        .map(|row| {
            let key = complete(left, row, left_key).then(|| key(left, row, left_key))?;
            rows.get(&key).copied()
        })
        .collect())
}
