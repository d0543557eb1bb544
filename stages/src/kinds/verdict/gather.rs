//! Reading the inputs.
//!
//! The tables at a port come from several stages, and are shown stage by stage. The name of a stage is not known
//! here; what comes from one stage stands together, has one title and one set of axes, and no labels twice.

use llmcl_stages_api::table::{Column, Schema, Table, TableBuilder};
use llmcl_stages_api::task::{Member, MemberState, TaskContext, TaskError};
use llmcl_stages_api::value::Value;

use crate::failure;

use super::report::{Checked, Figures, Found, Gate, PrunedTask, Reason};
use super::{CHECKS, INPUTS, MATCHES, OUTCOMES};

/// The gates and findings, in order.
pub(super) fn gates(task: &TaskContext<'_>) -> Result<Vec<Gate>, TaskError> {
    task.members(OUTCOMES)
        .iter()
        .map(|member| {
            let found = match &member.state {
                MemberState::Present(artifact) => Found::Outcome(task.outcome(artifact)?),
                MemberState::Pruned(reason) => Found::Pruned(Reason::new(reason)),
            };
            Ok(Gate {
                title: member.title.clone(),
                labels: member.labels.clone(),
                found,
            })
        })
        .collect()
}

/// The tables at a port, one for each stage of which anything is there.
pub(super) fn tables(task: &TaskContext<'_>, port: &str) -> Result<Vec<Figures>, TaskError> {
    let mut tables = Vec::new();
    for group in stages(task.members(port)) {
        task.host.checkpoint()?;
        match figures(task, group) {
            Ok(whole) => tables.push(whole),
            // Tables that do not go together stand one by one; what else is wrong will show again.
            Err(_) => {
                for member in group
                    .chunks(1)
                    .filter(|member| member.iter().any(is_present))
                {
                    tables.push(figures(task, member)?);
                }
            }
        }
    }
    Ok(tables)
}

/// The rows that must match, counted for each stage.
pub(super) fn checks(task: &TaskContext<'_>) -> Result<Vec<Checked>, TaskError> {
    let tables = tables(task, CHECKS)?.into_iter();
    tables
        .map(|Figures { title, table }| {
            let cells = match table.column(MATCHES) {
                Some(cells) => cells,
                None if table.is_empty() => &[],
                None => {
                    let message = format!("the table `{title}` has no column `{MATCHES}`");
                    return Err(TaskError::input(message));
                }
            };
            let wrong: Vec<usize> = cells
                .iter()
                .enumerate()
                .filter(|(_, cell)| **cell != Value::Bool(true))
                .map(|(row, _)| row)
                .collect();
            Ok(Checked {
                title,
                rows: table.len(),
                matches: table.len() - wrong.len(),
                mismatches: select(&table, wrong, &columns(&table))?,
            })
        })
        .collect()
}

/// The pruned tasks at all ports, in order.
pub(super) fn pruned(task: &TaskContext<'_>) -> Vec<PrunedTask> {
    let ports = INPUTS.iter().map(|port| port.name);
    let mut pruned: Vec<PrunedTask> = ports
        .flat_map(|port| task.members(port))
        .filter_map(pruned_task)
        .collect();
    // The tables of claims are often shown as well.
    let is_claims = |port: &&String| INPUTS.iter().all(|known| known.name != port.as_str());
    for port in task.inputs.keys().filter(is_claims) {
        for found in task.members(port).iter().filter_map(pruned_task) {
            if !pruned.contains(&found) {
                pruned.push(found);
            }
        }
    }
    pruned
}

fn pruned_task(member: &Member) -> Option<PrunedTask> {
    match &member.state {
        MemberState::Pruned(reason) => Some(PrunedTask {
            title: member.title.clone(),
            labels: member.labels.clone(),
            reason: Reason::new(reason),
        }),
        MemberState::Present(_) => None,
    }
}

/// Some rows of a table, and some of its columns in this order.
pub(super) fn select(
    table: &Table,
    rows: impl IntoIterator<Item = usize>,
    columns: &[&Column],
) -> Result<Table, TaskError> {
    let schema = Schema::new(columns.iter().map(|column| (*column).clone()));
    let places: Vec<usize> = columns
        .iter()
        .filter_map(|column| table.schema().index(&column.name))
        .collect();
    let mut selected = TableBuilder::new(&schema);
    for row in rows {
        let cells = places.iter().map(|column| table.cell(row, *column).clone());
        selected
            .push_row(cells.collect())
            .map_err(|error| failure::row(&error))?;
    }
    Ok(selected.finish())
}

/// All columns of a table.
pub(super) fn columns(table: &Table) -> Vec<&Column> {
    table.schema().columns().iter().collect()
}

/// The table of some members of one stage, the columns of its axes first.
fn figures(task: &TaskContext<'_>, members: &[Member]) -> Result<Figures, TaskError> {
    let (title, labels) = members.first().map_or(("", &[][..]), |member| {
        (member.title.as_str(), member.labels.as_slice())
    });
    let table = task.union(members)?;
    let place = |column: &Column| {
        let axis = labels.iter().position(|(axis, _)| *axis == column.name);
        axis.unwrap_or(labels.len())
    };
    let mut columns = columns(&table);
    columns.sort_by_key(|column| place(column));
    Ok(Figures {
        title: title.to_owned(),
        table: select(&table, 0..table.len(), &columns)?,
    })
}

fn is_present(member: &Member) -> bool {
    matches!(member.state, MemberState::Present(_))
}

/// Parts members by the stages that they come from, as far as can be told; stages that were pruned as a whole are
/// left out.
fn stages(members: &[Member]) -> Vec<&[Member]> {
    let axes = |member: &Member| -> Vec<String> {
        member.labels.iter().map(|(axis, _)| axis.clone()).collect()
    };
    let mut groups = Vec::new();
    let mut rest = members;
    while let Some(first) = rest.first() {
        let same = |(index, member): &(usize, &Member)| {
            member.title == first.title
                && axes(member) == axes(first)
                && rest[..*index]
                    .iter()
                    .all(|earlier| earlier.labels != member.labels)
        };
        let length = rest.iter().enumerate().take_while(same).count().max(1);
        let (group, others) = rest.split_at(length);
        if group.iter().any(is_present) {
            groups.push(group);
        }
        rest = others;
    }
    groups
}
