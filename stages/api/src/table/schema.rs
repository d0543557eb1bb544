//! The columns of a table.

use super::TableError;
use crate::value::{Type, Value};

/// A column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The name.
    pub name: String,
    /// The type of its cells; each may be `none` too. A column of an axis holds the labels of its values.
    pub ty: Type,
    /// What it holds, in which unit, for the reader of a report.
    pub about: String,
}

impl Column {
    /// Makes a column.
    pub fn new(name: impl Into<String>, ty: Type, about: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ty,
            about: about.into(),
        }
    }
}

/// The columns of a table, in order. No two have the same name.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Schema {
    columns: Vec<Column>,
    open: bool,
}

impl Schema {
    /// Makes a schema; a column replaces an earlier one of the same name.
    pub fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        let mut schema = Self::default();
        for column in columns {
            match schema.index(&column.name) {
                Some(index) => schema.columns[index] = column,
                None => schema.columns.push(column),
            }
        }
        schema
    }

    /// Says that there may be more columns, which are known only once the table is there.
    #[must_use]
    pub fn open(mut self) -> Self {
        self.open = true;
        self
    }

    /// Tells whether there may be more columns than are listed.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Returns the columns.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Finds a column.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Finds the place of a column.
    #[must_use]
    pub fn index(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// Adds a column.
    ///
    /// # Errors
    ///
    /// Fails if there is a column of that name.
    pub fn push(&mut self, column: Column) -> Result<(), TableError> {
        if self.index(&column.name).is_some() {
            return Err(TableError::DuplicateColumn {
                column: column.name,
            });
        }
        self.columns.push(column);
        Ok(())
    }

    /// Says that there are no more columns than are listed.
    pub(super) fn closed(mut self) -> Self {
        self.open = false;
        self
    }

    /// Returns the schema of [`join`](super::join): these columns, then those of `right` that are new. A column of
    /// both has the least type that holds both.
    ///
    /// # Errors
    ///
    /// Fails if a side lacks a column of `on` and is not open, or if the types of a column have nothing in common.
    pub fn join(&self, right: &Self, on: &[String]) -> Result<Self, TableError> {
        for side in [self, right] {
            if let Some(missing) = on
                .iter()
                .find(|name| side.column(name).is_none() && !side.open)
            {
                return Err(TableError::UnknownColumn {
                    column: missing.clone(),
                });
            }
        }
        Self::union([self, right])
    }

    /// Returns the schema of rows from all the inputs: their columns by name, in order of first appearance, each
    /// of the least type that holds all. Cells of columns that an input lacks are `none`.
    ///
    /// # Errors
    ///
    /// Fails if the types of a column have nothing in common.
    pub fn union<'s>(inputs: impl IntoIterator<Item = &'s Self>) -> Result<Self, TableError> {
        let mut union = Self::default();
        for input in inputs {
            union.open |= input.open;
            for column in &input.columns {
                match union.index(&column.name) {
                    None => union.columns.push(column.clone()),
                    Some(index) => {
                        let joined = &mut union.columns[index].ty;
                        *joined = joined.join(&column.ty).ok_or_else(|| TableError::Clash {
                            column: column.name.clone(),
                            first: joined.clone(),
                            second: column.ty.clone(),
                        })?;
                    }
                }
            }
        }
        Ok(union)
    }
}

/// Returns the least type that holds all the cells; `Any` if nothing else does, or all are `none`.
pub(super) fn infer(cells: &[Value]) -> Type {
    cells
        .iter()
        .filter(|cell| !cell.is_none())
        .map(Type::of)
        .reduce(|joined, next| joined?.join(&next?))
        .flatten()
        .unwrap_or(Type::Any)
}

/// Tells whether a value may be a cell of a column of this type.
pub(super) fn holds(ty: &Type, value: &Value) -> bool {
    match (ty, value) {
        (_, Value::None)
        | (Type::Bool, Value::Bool(_))
        | (Type::Int | Type::Float, Value::Int(_))
        | (Type::Text, Value::Text(_))
        | (Type::Record, Value::Record(_)) => true,
        (Type::Any | Type::Float | Type::Axis(_), Value::Float(float)) => float.is_finite(),
        (Type::Any, Value::List(list)) => list.iter().all(|value| holds(ty, value)),
        (Type::Any, Value::Record(record)) => record.values().all(|value| holds(ty, value)),
        (Type::Any, _) => true,
        (Type::List(element), Value::List(list)) => list.iter().all(|value| holds(element, value)),
        (Type::Axis(_), label) => !matches!(label, Value::List(_) | Value::Record(_)),
        _ => false,
    }
}
