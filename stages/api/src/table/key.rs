//! Rows that belong together because their cells in some columns are equal.

use std::collections::BTreeMap;

use super::{Table, TableError};
use crate::expr::{Number, whole};
use crate::value::Value;

/// Finds columns by name. In an open table, which has no rows, an unknown one is a place outside of it.
pub(super) fn places(table: &Table, names: &[String]) -> Result<Vec<usize>, TableError> {
    names
        .iter()
        .map(|name| {
            table
                .schema
                .index(name)
                .or_else(|| table.schema.is_open().then_some(usize::MAX))
                .ok_or_else(|| TableError::UnknownColumn {
                    column: name.clone(),
                })
        })
        .collect()
}

/// Encodes the cells of a row in some columns, so that equal cells have equal bytes.
pub(super) fn key(table: &Table, row: usize, columns: &[usize]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for column in columns {
        let cell = table.cell(row, *column);
        // A whole float equals a whole number.
        match Number::of(cell) {
            Some(Number::Float(float)) => match whole(float) {
                Some(int) => Value::Int(int).encode(&mut bytes),
                None => cell.encode(&mut bytes),
            },
            _ => cell.encode(&mut bytes),
        }
    }
    bytes
}

/// Writes the cells of a row in some columns for an error: `model = 'a', layer = 3`.
pub(super) fn describe(table: &Table, row: usize, columns: &[usize]) -> Vec<String> {
    columns
        .iter()
        .filter_map(|column| Some((table.schema.columns().get(*column)?, column)))
        .map(|(column, index)| format!("{} = {}", column.name, table.cell(row, *index)))
        .collect()
}

/// Parts some rows into groups with equal cells in some columns: groups in the order of their first rows, each
/// with its rows in order.
pub(super) fn groups(
    table: &Table,
    rows: impl IntoIterator<Item = usize>,
    columns: &[usize],
) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut numbers = BTreeMap::new();
    for row in rows {
        let number = *numbers
            .entry(key(table, row, columns))
            .or_insert(groups.len());
        match groups.get_mut(number) {
            Some(group) => group.push(row),
            None => groups.push(vec![row]),
        }
    }
    groups
}
