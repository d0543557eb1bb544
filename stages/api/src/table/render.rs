//! Tables for people.

use super::Table;
use crate::value::Value;

/// How a table is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// For a terminal: columns two spaces apart.
    Plain,
    /// For a Markdown page.
    Markdown,
}

/// Writes a table as aligned text, a line for each row after one for the names; each line ends with a newline.
///
/// Numbers stand at the right. Floats have five significant digits, but never more than four decimals unless they
/// are very small; they are rounded for the eye, so nothing should be computed from them. Absent cells are `-`.
#[must_use]
pub fn render(table: &Table, style: Style) -> String {
    let columns: Vec<Rendered> = table
        .schema
        .columns()
        .iter()
        .zip(&table.columns)
        .map(|(column, cells)| Rendered::new(&column.name, cells, style))
        .collect();
    let mut text = String::new();
    write_line(&mut text, style, columns.iter().map(|c| c.padded(&c.head)));
    if style == Style::Markdown {
        write_line(&mut text, style, columns.iter().map(Rendered::rule));
    }
    for row in 0..table.len() {
        let cells = columns
            .iter()
            .map(|c| c.padded(c.cells.get(row).map_or("", String::as_str)));
        write_line(&mut text, style, cells);
    }
    text
}

fn write_line(text: &mut String, style: Style, cells: impl Iterator<Item = String>) {
    let cells: Vec<String> = cells.collect();
    let line = match style {
        Style::Plain => cells.join("  "),
        Style::Markdown => format!("| {} |", cells.join(" | ")),
    };
    text.push_str(line.trim_end());
    text.push('\n');
}

/// A column as text.
struct Rendered {
    head: String,
    cells: Vec<String>,
    width: usize,
    right: bool,
}

impl Rendered {
    fn new(name: &str, cells: &[Value], style: Style) -> Self {
        let right = cells
            .iter()
            .all(|cell| cell.is_none() || cell.as_number().is_some());
        let head = escaped(name, style);
        let cells: Vec<String> = cells
            .iter()
            .map(|cell| escaped(&cell_text(cell), style))
            .collect();
        let width = cells
            .iter()
            .chain([&head])
            .map(|text| text.chars().count())
            .max()
            .unwrap_or(0)
            // Markdown wants three dashes under a name.
            .max(3);
        Self {
            head,
            cells,
            width,
            right,
        }
    }

    fn padded(&self, text: &str) -> String {
        let width = self.width;
        if self.right {
            format!("{text:>width$}")
        } else {
            format!("{text:<width$}")
        }
    }

    fn rule(&self) -> String {
        let mut rule = "-".repeat(self.width);
        if self.right {
            rule.pop();
            rule.push(':');
        }
        rule
    }
}

fn cell_text(value: &Value) -> String {
    match value {
        Value::None => "-".to_owned(),
        Value::Text(text) => text.clone(),
        Value::Float(float) => float_text(*float),
        other => other.to_string(),
    }
}

fn float_text(float: f64) -> String {
    let size = float.abs();
    let decimals = match size {
        0.0 => 4,
        _ if !(0.001..1e15).contains(&size) => return format!("{float:.3e}"),
        _ if size < 10.0 => 4,
        _ if size < 100.0 => 3,
        _ if size < 1000.0 => 2,
        _ => 1,
    };
    format!("{float:.decimals$}")
}

/// Keeps a cell on its line and, in Markdown, in its column.
fn escaped(text: &str, style: Style) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' if style == Style::Markdown => escaped.push_str("\\|"),
            c if c.is_control() => escaped.extend(c.escape_default()),
            c => escaped.push(c),
        }
    }
    escaped
}
