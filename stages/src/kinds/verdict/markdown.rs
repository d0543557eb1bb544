//! The Markdown forms.

use std::fmt::Write;

use llmcl_stages_api::outcome::{Outcome, Possible};
use llmcl_stages_api::table::{Column, Schema, Style, Table, TableBuilder, render};
use llmcl_stages_api::task::TaskError;
use llmcl_stages_api::value::{Type, Value};

use crate::failure;

use super::MATCHES;
use super::gather::{columns, select};
use super::report::{
    Checked, Claim, Figures, Found, Gate, Labels, PrunedTask, Speeds, Standing, Verdict,
};

/// How many rows of a table are shown; the JSON form has all.
const SHOWN_ROWS: usize = 60;
/// How many rows of a check that do not match are shown.
const SHOWN_MISMATCHES: usize = 20;

type Text = Result<String, TaskError>;

/// Writes `verdict.md`.
pub(super) fn verdict(verdict: &Verdict, has_speeds: bool) -> Text {
    let mut text = format!("# {}\n", heading(&verdict.title, "Verdict"));
    if !verdict.outcomes.is_empty() {
        text.push_str("\n## Outcomes\n\n");
        text.push_str(&summary(&verdict.outcomes)?);
    }
    if !verdict.checks.is_empty() {
        text.push_str("\n## Checks\n\n");
        for checked in &verdict.checks {
            text.push_str(&check(checked));
        }
        for checked in &verdict.checks {
            text.push_str(&mismatches(checked)?);
        }
    }
    if !verdict.claims.is_empty() {
        text.push_str("\n## Claims\n\n");
        text.push_str(&claims(&verdict.claims)?);
    }
    if !verdict.pruned.is_empty() {
        text.push_str("\n## Pruned\n\n");
        text.push_str(&pruned(&verdict.pruned)?);
    }
    let found = verdict
        .outcomes
        .iter()
        .filter_map(|gate| match &gate.found {
            Found::Outcome(outcome) => Some((gate, outcome)),
            Found::Pruned(_) => None,
        });
    let mut first = true;
    for (gate, outcome) in found {
        if first {
            text.push_str("\n## Gates and findings\n");
            first = false;
        }
        text.push_str(&gate_section(gate, outcome)?);
    }
    text.push_str(&tables_section(&verdict.tables, "verdict.json")?);
    if has_speeds {
        text.push_str(
            "\n## Speeds\n\nMeasured times are in `speeds.md`, because no two runs measure the same. Nothing on this \
             page hangs on them.\n",
        );
    }
    let rows: usize = verdict.checks.iter().map(|checked| checked.rows).sum();
    if rows > 0 {
        let matches: usize = verdict.checks.iter().map(|checked| checked.matches).sum();
        text.push_str(&format!("\n**{matches}/{rows} passed**\n"));
    }
    Ok(text)
}

/// Writes `speeds.md`; it is empty where nothing was timed.
pub(super) fn speeds(speeds: &Speeds) -> Text {
    if speeds.is_empty() {
        return Ok(String::new());
    }
    let mut text = format!("# {}\n\n", heading(&speeds.title, "Speeds"));
    text.push_str(
        "Measured times and what is made from them. They are not reproducible to the byte: another machine, or \
         another run, measures others. No outcome hangs on them.\n",
    );
    text.push_str(&tables_section(&speeds.tables, "speeds.json")?);
    if !speeds.claims.is_empty() {
        text.push_str("\n## Claims\n\n");
        text.push_str(&claims(&speeds.claims)?);
    }
    Ok(text)
}

fn heading(title: &str, word: &str) -> String {
    match title {
        "" => word.to_owned(),
        title => format!("{word}: {}", one_line(title)),
    }
}

/// Keeps what a user wrote on its line.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Puts an expression between backticks; more of them if there are some inside.
fn code(text: &str) -> String {
    let text = one_line(text);
    if text.contains('`') {
        format!("`` {text} ``")
    } else {
        format!("`{text}`")
    }
}

fn text(text: impl Into<String>) -> Value {
    Value::Text(text.into())
}

fn label(label: &Value) -> String {
    match label {
        Value::Text(text) => text.clone(),
        other => other.to_string(),
    }
}

fn labels(labels: &Labels) -> Value {
    let parts: Vec<String> = labels
        .iter()
        .map(|(axis, value)| format!("{axis} = {}", label(value)))
        .collect();
    if parts.is_empty() {
        Value::None
    } else {
        text(parts.join(", "))
    }
}

/// A published number as it stands in the experiment file.
fn as_written(number: f64) -> Value {
    text(format!("{number}"))
}

/// How many decimals a number has as it stands in the experiment file.
fn decimals(number: Option<f64>) -> usize {
    let text = number.map(|number| format!("{number}")).unwrap_or_default();
    text.split_once('.')
        .map_or(0, |(_, decimals)| decimals.len())
}

/// A number of ours beside a published one: one decimal more than what was published, or than the tolerance has.
/// A whole number beside whole ones stays whole.
fn beside(number: f64, claim: &Claim, sign: bool) -> Value {
    let published = decimals(claim.published).max(decimals(claim.tolerance));
    let decimals = match published {
        0 if number % 1.0 == 0.0 => 0,
        published => published + 1,
    };
    let mut shown = format!("{number:+.decimals$}");
    // What is rounded to zero has no sign.
    if !sign || !shown.contains(|c: char| ('1'..='9').contains(&c)) {
        shown = shown.trim_start_matches('+').to_owned();
    }
    if !shown.contains(|c: char| ('1'..='9').contains(&c)) {
        shown = shown.trim_start_matches('-').to_owned();
    }
    text(shown)
}

/// A number that counts something as a whole number, any other as it is.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the number is whole and below 2^53"
)]
fn figure(number: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.abs() < EXACT && number % 1.0 == 0.0 {
        Value::Int(number as i64)
    } else {
        Value::float(number).unwrap_or_default()
    }
}

/// A table of these rows; columns without any cell are left out.
fn grid(head: &[&str], rows: Vec<Vec<Value>>) -> Text {
    let columns = head.iter().map(|name| Column::new(*name, Type::Any, ""));
    let mut builder = TableBuilder::new(&Schema::new(columns));
    for row in rows {
        builder
            .push_row(row)
            .map_err(|error| failure::row(&error))?;
    }
    Ok(render(&filled(&builder.finish())?, Style::Markdown))
}

/// The table without columns that have no cell.
fn filled(table: &Table) -> Result<Table, TaskError> {
    let has_cells = |column: &&Column| {
        let mut cells = table.column(&column.name).into_iter().flatten();
        cells.any(|cell| !cell.is_none())
    };
    let columns: Vec<&Column> = table.schema().columns().iter().filter(has_cells).collect();
    select(table, 0..table.len(), &columns)
}

fn summary(gates: &[Gate]) -> Text {
    let rows = gates.iter().map(|gate| {
        let (outcome, note) = match &gate.found {
            Found::Outcome(outcome) => (
                outcome.outcome.clone(),
                outcome.note.clone().map_or(Value::None, text),
            ),
            Found::Pruned(reason) => (
                Standing::Pruned.text().to_owned(),
                text(format!("{} is {}", reason.gate, reason.outcome)),
            ),
        };
        vec![text(&gate.title), labels(&gate.labels), text(outcome), note]
    });
    grid(&["gate", "for", "outcome", "note"], rows.collect())
}

fn gate_section(gate: &Gate, outcome: &Outcome) -> Text {
    let place = match labels(&gate.labels) {
        Value::Text(labels) => format!(" ({labels})"),
        _ => String::new(),
    };
    let mut section = format!(
        "\n### {}{place}: {}\n\n",
        one_line(&gate.title),
        outcome.outcome
    );
    let statistics = outcome.statistics.iter();
    let rows = statistics.map(|(name, value)| vec![text(name), figure(*value)]);
    section.push_str(&grid(&["statistic", "figure"], rows.collect())?);
    section.push('\n');
    for possible in &outcome.outcomes {
        section.push_str(&condition(possible, outcome));
    }
    Ok(section)
}

fn condition(possible: &Possible, outcome: &Outcome) -> String {
    let chosen = possible.name == outcome.outcome && possible.note == outcome.note;
    let emphasis = if chosen { "**" } else { "" };
    let condition = match &possible.condition {
        Some(condition) => format!("if {}", code(condition)),
        None => "otherwise".to_owned(),
    };
    let note = possible
        .note
        .as_deref()
        .map_or_else(String::new, |note| format!(": {}", one_line(note)));
    format!(
        "- {emphasis}{}{emphasis} {condition}{note}\n",
        possible.name
    )
}

fn check(checked: &Checked) -> String {
    let title = one_line(&checked.title);
    match checked.rows {
        0 => format!("- {title}: no rows, so nothing was checked\n"),
        rows => format!("- {title}: {} of {rows} match\n", checked.matches),
    }
}

fn mismatches(checked: &Checked) -> Text {
    let wrong = &checked.mismatches;
    if wrong.is_empty() {
        return Ok(String::new());
    }
    let shown = wrong.len().min(SHOWN_MISMATCHES);
    let mut columns = columns(wrong);
    columns.retain(|column| column.name != MATCHES);
    let rows = filled(&select(wrong, 0..shown, &columns)?)?;
    Ok(format!(
        "\nWhat does not match in {}:\n\n{}{}",
        one_line(&checked.title),
        render(&rows, Style::Markdown),
        rest(wrong.len(), shown, "verdict.json")
    ))
}

fn claims(claims: &[Claim]) -> Text {
    let count = |standing| {
        let count = claims.iter().filter(|claim| claim.standing == standing);
        (count.count(), standing.text())
    };
    let counts: Vec<String> = Standing::ALL
        .into_iter()
        .map(count)
        .filter(|(count, _)| *count > 0)
        .map(|(count, standing)| format!("{standing}: {count}"))
        .collect();
    let rows = claims.iter().map(|claim| {
        let compared = claim.difference;
        vec![
            text(&claim.name),
            claim.published.map_or(Value::None, as_written),
            claim
                .ours
                .map_or(Value::None, |ours| beside(ours, claim, false)),
            claim
                .difference
                .map_or(Value::None, |by| beside(by, claim, true)),
            compared
                .and(claim.tolerance)
                .map_or(Value::None, as_written),
            text(claim.standing.text()),
            claim.note.clone().map_or(Value::None, text),
            claim.source.clone().map_or(Value::None, text),
        ]
    });
    let head = [
        "claim",
        "published",
        "ours",
        "difference",
        "tolerance",
        "standing",
        "note",
        "source",
    ];
    let table = grid(&head, rows.collect())?;
    Ok(format!(
        "{} in all; {}.\n\n{table}",
        claims.len(),
        counts.join(", ")
    ))
}

/// One row for what has the same title and reason; the JSON form lists each task.
fn pruned(tasks: &[PrunedTask]) -> Text {
    let mut groups: Vec<Vec<&PrunedTask>> = Vec::new();
    for task in tasks {
        let same = groups.iter_mut().find(|group| {
            let first = group.first();
            first.is_some_and(|first| first.title == task.title && first.reason == task.reason)
        });
        match same {
            Some(group) => group.push(task),
            None => groups.push(vec![task]),
        }
    }
    let rows = groups.iter().filter_map(|group| {
        let first = group.first()?;
        Some(vec![
            text(&first.title),
            Value::Int(i64::try_from(group.len()).unwrap_or(i64::MAX)),
            values_of_axes(group),
            text(&first.reason.gate),
            text(&first.reason.outcome),
        ])
    });
    grid(&["what", "tasks", "for", "gate", "outcome"], rows.collect())
}

/// The distinct labels of some tasks, axis by axis.
fn values_of_axes(tasks: &[&PrunedTask]) -> Value {
    let mut axes: Vec<(&str, Vec<String>)> = Vec::new();
    for (axis, value) in tasks.iter().flat_map(|task| &task.labels) {
        let value = label(value);
        match axes.iter_mut().find(|(known, _)| known == axis) {
            Some((_, values)) if values.contains(&value) => {}
            Some((_, values)) => values.push(value),
            None => axes.push((axis, vec![value])),
        }
    }
    if axes.is_empty() {
        return Value::None;
    }
    let axes = axes.iter();
    let parts: Vec<String> = axes
        .map(|(axis, values)| format!("{axis}: {}", values.join(", ")))
        .collect();
    text(parts.join("; "))
}

fn tables_section(tables: &[Figures], json: &str) -> Text {
    let mut section = String::new();
    if !tables.is_empty() {
        section.push_str("\n## Tables\n");
    }
    for Figures { title, table } in tables {
        let _ = writeln!(section, "\n### {}\n", one_line(title));
        if table.is_empty() {
            section.push_str("No rows.\n");
            continue;
        }
        let shown = table.len().min(SHOWN_ROWS);
        let head = select(table, 0..shown, &columns(table))?;
        section.push_str(&render(&head, Style::Markdown));
        section.push_str(&rest(table.len(), shown, json));
    }
    Ok(section)
}

fn rest(all: usize, shown: usize, json: &str) -> String {
    match all - shown {
        0 => String::new(),
        more => format!("\n{more} more of {all} rows are in `{json}`.\n"),
    }
}
