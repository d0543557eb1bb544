//! Groups of rows and statistics over them.

use super::bootstrap::{Bootstrap, interval};
use super::key::{describe, groups, places};
use super::row_wise::Context;
use super::schema::infer;
use super::{Column, Table, TableError};
use crate::expr::{Env, EvalError, Expr, Group, Program};
use crate::value::{Type, Value};

/// What to compute over groups of rows.
#[derive(Debug, Clone, Copy)]
pub struct Aggregates<'a> {
    /// The columns that have one value in each group; none makes one group of all rows.
    pub group_by: &'a [String],
    /// The statistics, by the name of their column.
    pub statistics: &'a [(String, Expr)],
    /// How to find an interval for each statistic that is a number, if one is wanted.
    pub bootstrap: Option<&'a Bootstrap>,
}

/// The column that says why a group has no intervals, absent where it has.
pub const INTERVAL_NOTE: &str = "interval_note";

/// Makes a table of one row for each group of rows.
///
/// Groups come in the order of their first rows. The columns are those of the groups, then the statistics, each
/// followed by `<name>_low` and `<name>_high` if there is a bootstrap, which adds [`INTERVAL_NOTE`] at the end. Without
/// columns to group by there is one row, even over an empty table.
///
/// # Errors
///
/// Fails if there is no column to group or cluster by, if two columns would have the same name, or if a statistic
/// has no value for a group; the error says which.
pub fn aggregate(
    table: &Table,
    aggregates: &Aggregates<'_>,
    context: &Context<'_>,
) -> Result<Table, TableError> {
    let group_columns = places(table, aggregates.group_by)?;
    let groups = if group_columns.is_empty() {
        vec![(0..table.len()).collect()]
    } else {
        groups(table, 0..table.len(), &group_columns)
    };
    let firsts: Vec<usize> = groups
        .iter()
        .filter_map(|group| group.first().copied())
        .collect();
    let mut result = Table {
        rows: groups.len(),
        ..Table::default()
    };
    for (name, index) in aggregates.group_by.iter().zip(&group_columns) {
        let cells = firsts
            .iter()
            .map(|row| table.cell(*row, *index).clone())
            .collect();
        let column = table.schema.columns().get(*index).cloned();
        result.add_column(
            column.unwrap_or_else(|| Column::new(name, Type::Any, "")),
            cells,
        )?;
    }
    let clusters = match aggregates.bootstrap {
        Some(bootstrap) => {
            bootstrap.check()?;
            places(table, std::slice::from_ref(&bootstrap.cluster))?
        }
        None => Vec::new(),
    };
    let tables = [(context.name.to_owned(), table)];
    let env = Env::tables(&tables, context.axes);
    let mut notes: Vec<Vec<String>> = vec![Vec::new(); groups.len()];
    for (name, expr) in aggregates.statistics {
        let failed = |group: &[usize], source: EvalError| TableError::Eval {
            name: name.clone(),
            group: group
                .first()
                .map(|row| describe(table, *row, &group_columns))
                .unwrap_or_default(),
            source: Box::new(source),
        };
        let program = Program::new(expr, &env).map_err(|source| failed(&[], source))?;
        let (mut values, mut lows, mut highs) = (Vec::new(), Vec::new(), Vec::new());
        for (rows, notes) in groups.iter().zip(&mut notes) {
            let group = Group::new(&program, Some(rows));
            let value = group.value().map_err(|source| failed(rows, source))?;
            if let Some(bootstrap) = aggregates.bootstrap {
                let found = value.as_number().map(|_| {
                    interval(table, rows, &clusters, bootstrap, |drawn| {
                        group.drawn(drawn).ok()?.as_number()
                    })
                });
                if let Some(Err(withheld)) = found {
                    let note = withheld.note(bootstrap, name);
                    if !notes.contains(&note) {
                        notes.push(note);
                    }
                }
                let (low, high) = found.and_then(Result::ok).unwrap_or_default();
                lows.push(low);
                highs.push(high);
            }
            values.push(value);
        }
        let about = expr.to_string();
        result.add_column(Column::new(name, infer(&values), about), values)?;
        if let Some(bootstrap) = aggregates.bootstrap {
            for (end, cells) in [("low", lows), ("high", highs)] {
                let about = format!("{end} end of the {} interval", bootstrap.level);
                result.add_column(
                    Column::new(format!("{name}_{end}"), Type::Float, about),
                    cells,
                )?;
            }
        }
    }
    if aggregates.bootstrap.is_some() {
        let cells = notes.into_iter().map(|notes| match notes.is_empty() {
            true => Value::None,
            false => Value::Text(notes.join("; ")),
        });
        let about = "why there is no interval";
        result.add_column(
            Column::new(INTERVAL_NOTE, Type::Text, about),
            cells.collect(),
        )?;
    }
    Ok(result)
}
