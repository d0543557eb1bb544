//! `llmcl inspect`.

use std::fmt::Write as _;

use llmcl_container::{Container, Segment};

use super::InspectArgs;
use super::decompress::with_container;
use crate::exit::Exit;
use crate::size;
use crate::text;

pub(crate) fn inspect(arguments: &InspectArgs) -> Result<(), Exit> {
    with_container(&arguments.input, &arguments.profiles, |container| {
        let mut rows = vec![
            [
                "what", "type", "shape", "bytes", "encoded", "ratio", "method", "chunks",
            ]
            .map(str::to_owned),
        ];
        let mut lines = vec![None];
        for file in container.files() {
            let encoded = file.segments.iter().map(Segment::encoded_bytes_with_tables);
            let encoded = encoded.sum();
            lines.push(Some(format!(
                "{}  {} in {}, BLAKE3 {}",
                printable(&file.name),
                size::bytes(file.bytes),
                size::bytes(encoded),
                file.digest.to_hex()
            )));
            rows.push(Default::default());
            for segment in &file.segments {
                rows.push(row(container, segment));
                lines.push(None);
            }
        }
        let mut widths = [0; 8];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut out = String::new();
        for (row, line) in rows.iter().zip(&lines) {
            if let Some(line) = line {
                out.push_str(line);
                out.push('\n');
                continue;
            }
            let mut text = String::new();
            for (place, (cell, width)) in row.iter().zip(widths).enumerate() {
                // Numbers to the right.
                let _ = match place {
                    3 | 4 | 5 | 7 => write!(text, "{cell:>width$}  "),
                    _ => write!(text, "{cell:width$}  "),
                };
            }
            out.push_str(text.trim_end());
            out.push('\n');
        }
        text::print(&out)
    })
}

fn row(container: &Container<'_>, segment: &Segment) -> [String; 8] {
    let (what, dtype, shape) = match &segment.tensor {
        Some(tensor) => {
            let axes: Vec<String> = tensor.shape.iter().map(u64::to_string).collect();
            (printable(&tensor.name), tensor.dtype.name(), axes.join("×"))
        }
        None => ("(other bytes)".to_owned(), "", String::new()),
    };
    let encoded = segment.encoded_bytes_with_tables();
    #[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
    let ratio = match encoded {
        0 => String::new(),
        _ => format!("{:.4}", segment.bytes as f64 / encoded as f64),
    };
    let method = container.methods().get(segment.method);
    [
        what,
        dtype.to_owned(),
        shape,
        segment.bytes.to_string(),
        encoded.to_string(),
        ratio,
        method.map(|method| method.name.clone()).unwrap_or_default(),
        segment.chunks().to_string(),
    ]
}

/// A name that does nothing to a terminal.
fn printable(name: &str) -> String {
    let mut printable = String::new();
    for letter in name.chars() {
        match letter.is_control() {
            true => printable.extend(letter.escape_default()),
            false => printable.push(letter),
        }
    }
    printable
}
