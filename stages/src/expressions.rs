//! What the kinds share that take expressions, or names of columns, in their parameters.

use llmcl_stages_api::expr::{self, Expr};
use llmcl_stages_api::kind::{Check, ProblemKind};
use llmcl_stages_api::param::Params;
use llmcl_stages_api::suggest::closest;
use llmcl_stages_api::table::{Schema, TableError};
use llmcl_stages_api::task::{Needs, TaskContext, TaskError};

/// Words of the expression language, which cannot name anything.
const RESERVED: [&str; 5] = ["false", "in", "none", "not", "true"];

/// The memory that a table takes, for each byte of its compressed file.
const BYTES_PER_FILE_BYTE: u64 = 64;

/// The memory that a task with small tables needs.
const MEMORY: u64 = 32 << 20;

/// What a task needs that keeps its input tables in memory.
#[must_use]
pub fn needs_of_tables(input_bytes: u64) -> Needs {
    Needs::memory(MEMORY + input_bytes.saturating_mul(BYTES_PER_FILE_BYTE))
}

/// Tells whether expressions can use this as the name of a column or a statistic: an ASCII letter or `_`, then
/// letters, digits and `_`, and no word of the language.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    text.starts_with(letter)
        && text.chars().all(|c| letter(c) || c.is_ascii_digit())
        && !RESERVED.contains(&text)
}

/// A mistake in a value, and what to do about it.
#[must_use]
pub fn wrong_value(message: impl Into<String>, help: Option<&str>) -> ProblemKind {
    ProblemKind::Value {
        message: message.into(),
        help: help.map(str::to_owned),
    }
}

/// A column that is not among those of a table.
#[must_use]
pub fn unknown_column(name: &str, schema: &Schema) -> ProblemKind {
    let known = schema.columns().iter().map(|column| column.name.as_str());
    ProblemKind::UnknownColumn {
        name: name.to_owned(),
        suggestion: closest(name, known).map(str::to_owned),
    }
}

/// Looks at each set of parameters that the tasks of a stage have, and stops after one with a mistake: others
/// that come from the same text would repeat it. `look` tells whether all is well.
pub fn each_set<'a>(
    check: &mut Check<'a>,
    mut look: impl FnMut(&mut Check<'a>, &'a Params) -> bool,
) {
    let tasks = check.tasks;
    for (index, params) in tasks.iter().enumerate() {
        let seen = tasks.iter().take(index).any(|earlier| earlier == params);
        if !seen && !look(check, params) {
            return;
        }
    }
}

/// Parses the expression of a task, whose stage has been checked.
///
/// # Errors
/// If it is no expression.
pub fn parse(about: &str, text: &str) -> Result<Expr, TaskError> {
    expr::parse(text).map_err(|errors| {
        let first = errors.first().map(ToString::to_string).unwrap_or_default();
        TaskError::input(format!("{about}: {first}"))
    })
}

/// Parses the expressions of a parameter that names them, in the order of the names.
///
/// # Errors
/// If one is no expression.
pub fn parse_named(params: &Params, parameter: &str) -> Result<Vec<(String, Expr)>, TaskError> {
    params
        .get(parameter)
        .as_record()
        .into_iter()
        .flatten()
        .map(|(name, text)| {
            let text = text.as_text().unwrap_or_default();
            Ok((name.clone(), parse(&format!("`{name}`"), text)?))
        })
        .collect()
}

/// An error of an operation on a table.
#[must_use]
pub fn table_error(error: &TableError) -> TaskError {
    // Its message has its causes in it.
    TaskError::input(error.to_string())
}

/// What the reader of an error should know of a task's inputs: that a gate ruled some of them out.
#[must_use]
pub fn pruned_hint(task: &TaskContext<'_>) -> Option<String> {
    use llmcl_stages_api::task::MemberState::Pruned;
    let members = || task.inputs.values().flatten();
    let mut reasons = members().filter_map(|member| match &member.state {
        Pruned(reason) => Some(reason),
        _ => None,
    });
    let reason = reasons.next()?;
    let pruned = 1 + reasons.count();
    Some(format!(
        "{pruned} of {} inputs were pruned, the first because the outcome of `{}` was {}",
        members().count(),
        reason.gate,
        reason.outcome
    ))
}

/// Adds a hint to an error, if there is one.
#[must_use]
pub fn hinted(error: TaskError, hint: Option<String>) -> TaskError {
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in ["ratio", "H_low", "_x", "n2"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "2n", "a-b", "a.b", "none", "größe", "a b"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
