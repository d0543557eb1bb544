//! Making a table row by row.

use super::schema::infer;
use super::{Column, Schema, Table, TableError, check_cell, normalise};
use crate::value::{Type, Value};

/// Makes a table row by row.
#[derive(Debug, Clone)]
pub struct TableBuilder {
    table: Table,
    /// Whether rows may bring columns that are not there yet.
    open: bool,
    /// How many columns were there from the beginning.
    promised: usize,
}

impl TableBuilder {
    /// Begins a table with these columns. If the schema is open, rows may bring more.
    #[must_use]
    pub fn new(schema: &Schema) -> Self {
        Self {
            open: schema.is_open(),
            promised: schema.columns().len(),
            table: Table {
                schema: Schema::new(schema.columns().iter().cloned()),
                columns: vec![Vec::new(); schema.columns().len()],
                rows: 0,
            },
        }
    }

    /// Adds a row, with the cells in the order of the columns.
    ///
    /// # Errors
    ///
    /// Fails, and adds nothing, if there are too few or too many cells, or one does not have its column's type.
    pub fn push_row(&mut self, row: Vec<Value>) -> Result<(), TableError> {
        let columns = self.table.schema.columns();
        if row.len() != columns.len() {
            return Err(TableError::WrongWidth {
                expected: columns.len(),
                found: row.len(),
            });
        }
        for (column, value) in columns.iter().zip(&row) {
            check_cell(column, value)?;
        }
        for (cells, mut value) in self.table.columns.iter_mut().zip(row) {
            normalise(&mut value);
            cells.push(value);
        }
        self.table.rows += 1;
        Ok(())
    }

    /// Adds a row by the names of its columns; cells that are not named are `none`.
    ///
    /// In an open table, a name that is new makes a column at the end.
    ///
    /// # Errors
    ///
    /// Fails, and adds no row, if there is no such column, or one is named twice, or a cell does not have its
    /// column's type.
    pub fn push_named<N: Into<String>>(
        &mut self,
        cells: impl IntoIterator<Item = (N, Value)>,
    ) -> Result<(), TableError> {
        let mut row = vec![None; self.table.columns.len()];
        for (name, value) in cells {
            let name = name.into();
            let index = self.index_or_new(&name)?;
            row.resize(self.table.columns.len(), None);
            if row[index].replace(value).is_some() {
                return Err(TableError::DuplicateColumn { column: name });
            }
        }
        self.push_row(row.into_iter().map(Option::unwrap_or_default).collect())
    }

    /// Finds a column; in an open table it is made.
    fn index_or_new(&mut self, name: &str) -> Result<usize, TableError> {
        match self.table.schema.index(name) {
            Some(index) => Ok(index),
            None if self.open => {
                // What an open table brings was not promised, so nothing is known of its further cells.
                self.table
                    .schema
                    .push(Column::new(name, Type::Any, String::new()))?;
                self.table.columns.push(vec![Value::None; self.table.rows]);
                Ok(self.table.columns.len() - 1)
            }
            None => Err(TableError::UnknownColumn {
                column: name.to_owned(),
            }),
        }
    }

    /// Returns the number of rows so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.rows
    }

    /// Tells whether there are no rows so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.rows == 0
    }

    /// Returns the number of columns and of cells so far, counting absent ones.
    pub(super) fn size(&self) -> (usize, usize) {
        let columns = self.table.columns.len();
        (columns, self.table.rows.saturating_mul(columns))
    }

    /// Returns the table. Columns that were brought by rows get the least type that holds their cells.
    #[must_use]
    pub fn finish(mut self) -> Table {
        let columns = self.table.schema.columns().iter().cloned();
        let typed = columns.zip(&self.table.columns).enumerate();
        let schema = Schema::new(typed.map(|(index, (mut column, cells))| {
            if index >= self.promised {
                column.ty = infer(cells);
            }
            column
        }));
        self.table.schema = if self.open && self.table.rows == 0 {
            schema.open()
        } else {
            schema
        };
        self.table
    }
}
