//! Tables: rows of values under named, typed columns.
//!
//! A [`Table`] lives in memory, column by column; [`TableWriter`] and [`TableReader`] are for its file form, JSON
//! Lines under zstd. [`join`], [`compute`], [`filter`] and [`aggregate`] make tables from tables, and [`render`]
//! writes one for people.

mod aggregate;
mod bootstrap;
mod builder;
mod error;
mod file;
mod join;
mod key;
mod render;
mod row_wise;
mod schema;

pub use aggregate::{Aggregates, INTERVAL_NOTE, aggregate};
pub use bootstrap::Bootstrap;
pub use builder::TableBuilder;
pub use error::{LineProblem, TableError};
pub use file::{EXTENSION, MAX_CELLS, MAX_COLUMNS, MAX_LINE, TableReader, TableWriter};
pub use join::join;
pub use render::{Style, render};
pub use row_wise::{Context, compute, filter};
pub use schema::{Column, Schema};

use crate::value::{Type, Value};

/// A table in memory.
///
/// Each cell has the type of its column, or is `none`, and no cell is NaN or infinite. The schema is open only for a
/// table without rows that was read from a file, which then does not name its columns.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    schema: Schema,
    columns: Vec<Vec<Value>>,
    rows: usize,
}

impl Table {
    /// Returns the columns' names and types.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Returns the number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Tells whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Returns the cells of a column.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&[Value]> {
        self.schema
            .index(name)
            .and_then(|index| self.columns.get(index))
            .map(Vec::as_slice)
    }

    /// Returns a cell; `none` outside of the table.
    #[must_use]
    pub fn cell(&self, row: usize, column: usize) -> &Value {
        const NONE: &Value = &Value::None;
        self.columns
            .get(column)
            .and_then(|cells| cells.get(row))
            .unwrap_or(NONE)
    }

    /// Returns the cells of a row, in the order of the columns.
    pub fn row(&self, row: usize) -> impl Iterator<Item = &Value> {
        (0..self.columns.len()).map(move |column| self.cell(row, column))
    }

    /// Returns the rows, each as the cells in the order of the columns.
    pub fn rows(&self) -> impl Iterator<Item = impl Iterator<Item = &Value>> {
        (0..self.rows).map(|row| self.row(row))
    }

    /// Adds a column that has the same value in each row, such as the label of an axis value.
    ///
    /// # Errors
    ///
    /// Fails if there is a column of that name, or if the value is NaN or infinite.
    pub fn add_constant(&mut self, name: &str, value: Value) -> Result<(), TableError> {
        let ty = Type::of(&value).unwrap_or(Type::Any);
        let cells = vec![value; self.rows];
        self.add_column(Column::new(name, ty, String::new()), cells)
    }

    /// Adds a column.
    pub(super) fn add_column(
        &mut self,
        column: Column,
        mut cells: Vec<Value>,
    ) -> Result<(), TableError> {
        if cells.len() != self.rows {
            return Err(TableError::WrongWidth {
                expected: self.rows,
                found: cells.len(),
            });
        }
        for cell in &mut cells {
            check_cell(&column, cell)?;
            normalise(cell);
        }
        self.schema.push(column)?;
        self.columns.push(cells);
        Ok(())
    }

    /// Keeps some rows, in the order given; a row may come more than once.
    pub(super) fn select(&self, rows: &[usize]) -> Self {
        let columns = (0..self.columns.len())
            .map(|column| {
                rows.iter()
                    .map(|row| self.cell(*row, column).clone())
                    .collect()
            })
            .collect();
        Self {
            schema: self.schema.clone(),
            columns,
            rows: rows.len(),
        }
    }

    /// Puts another table under this one: columns by name, as [`Schema::union`] says.
    ///
    /// # Errors
    ///
    /// Fails, and changes nothing, if the types of a column have nothing in common.
    pub fn append(&mut self, mut other: Self) -> Result<(), TableError> {
        let schema = Schema::union([&self.schema, &other.schema])?;
        let rows = self.rows + other.rows;
        self.schema = if rows > 0 { schema.closed() } else { schema };
        self.columns
            .resize_with(self.schema.columns().len(), || vec![Value::None; self.rows]);
        for (column, cells) in self.schema.columns().iter().zip(&mut self.columns) {
            if let Some(index) = other.schema.index(&column.name) {
                cells.append(&mut other.columns[index]);
            }
            cells.resize(rows, Value::None);
        }
        self.rows = rows;
        Ok(())
    }
}

fn check_cell(column: &Column, value: &Value) -> Result<(), TableError> {
    if schema::holds(&column.ty, value) {
        return Ok(());
    }
    Err(TableError::WrongType {
        column: column.name.clone(),
        ty: column.ty.clone(),
        value: value.to_string(),
    })
}

/// Makes equal values the same bytes: zero has no sign.
fn normalise(value: &mut Value) {
    match value {
        Value::Float(float) if *float == 0.0 => *float = 0.0,
        Value::List(list) => list.iter_mut().for_each(normalise),
        Value::Record(record) => record.values_mut().for_each(normalise),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
