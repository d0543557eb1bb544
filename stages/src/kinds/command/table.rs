//! A table as a program writes it: JSON Lines, one object a row.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use llmcl_stages_api::table::{MAX_CELLS, MAX_LINE, Schema, Table, TableBuilder};
use llmcl_stages_api::value::Value;
use serde_json::Map;

use super::spec::Output;

/// Reads the rows and holds them against the declared columns. The error says what is wrong, and in which line.
pub(super) fn read(path: &Path, output: &Output) -> Result<Table, String> {
    let file = File::open(path).map_err(|error| format!("cannot be read ({error})"))?;
    let mut input = BufReader::new(file);
    let mut rows = TableBuilder::new(&Schema::new(output.columns.clone()));
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let count = (&mut input)
            .take(MAX_LINE as u64 + 1)
            .read_until(b'\n', &mut line)
            .map_err(|error| format!("cannot be read ({error})"))?;
        if count == 0 {
            break;
        }
        let wrong = |problem: &str| format!("is wrong in line {number}, {problem}");
        if count > MAX_LINE {
            return Err(wrong("which is too long"));
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let row: Map<String, serde_json::Value> = serde_json::from_slice(&line)
            .map_err(|error| wrong(&format!("which is no JSON object ({error})")))?;
        let cells = row
            .iter()
            .map(|(name, cell)| (name, Value::from_json(cell)));
        rows.push_named(cells)
            .map_err(|error| wrong(&error.to_string()))?;
        if rows.len().saturating_mul(output.columns.len()) > MAX_CELLS {
            return Err(wrong("where the table becomes too large"));
        }
    }
    Ok(rows.finish())
}
