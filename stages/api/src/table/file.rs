//! The file form of a table: JSON Lines under zstd.
//!
//! One line a row, each an object with the cells in the order of the columns. The first row names all columns, the
//! absent cells as `null`; later rows leave absent cells out. So a table without rows has no columns in its file.
//! Floats are written with the fewest digits that read back to the same bits, a whole float with a point. The same
//! table always gives the same bytes. Types are not written: on reading, a column has the least type that holds its
//! cells.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value as Json;
use zstd::bulk::Compressor;

use super::{LineProblem, Schema, Table, TableBuilder, TableError, check_cell};
use crate::value::Value;

/// How the name of a table file ends.
pub const EXTENSION: &str = ".jsonl.zst";

/// The level of compression; it is part of what makes the bytes the same.
const LEVEL: i32 = 6;

/// A table of at most so many bytes of text is compressed at its end, when its length is known: the compressor then
/// prepares for no more than that, which for the many small ones is most of the work.
const SMALL: usize = 1 << 16;

/// The largest window of a file that is read, as a power of two; what is written needs less.
const WINDOW_LOG: u32 = 23;

/// The longest line, in bytes.
pub const MAX_LINE: usize = 1 << 20;

/// The most columns of a table that is read.
pub const MAX_COLUMNS: usize = 1000;

/// The most cells of a table that is read, counting absent ones.
pub const MAX_CELLS: usize = 50_000_000;

/// Writes a table row by row.
pub struct TableWriter<W: Write> {
    schema: Schema,
    text: Text<W>,
    first: bool,
}

/// Where the text of a table goes.
enum Text<W: Write> {
    /// It is still small.
    Kept { text: Vec<u8>, out: W },
    /// It goes on as it comes.
    Compressed(zstd::Encoder<'static, W>),
    /// It could not be begun.
    Failed,
}

impl<W: Write> Text<W> {
    fn add(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            Text::Kept { text, .. } if text.len() + line.len() <= SMALL => {
                text.extend_from_slice(line);
                return Ok(());
            }
            Text::Kept { .. } => {
                if let Text::Kept { text, out } = std::mem::replace(self, Text::Failed) {
                    let mut out = encoder(out)?;
                    out.write_all(&text)?;
                    *self = Text::Compressed(out);
                }
            }
            Text::Compressed(_) | Text::Failed => {}
        }
        match self {
            Text::Compressed(out) => out.write_all(line),
            Text::Kept { .. } | Text::Failed => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn finish(self) -> io::Result<W> {
        match self {
            Text::Kept { text, mut out } => {
                out.write_all(&compressed(&text)?)?;
                Ok(out)
            }
            Text::Compressed(out) => out.finish(),
            Text::Failed => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

/// A compressor of a text of which nobody knows how long it is.
fn encoder<W: Write>(out: W) -> io::Result<zstd::Encoder<'static, W>> {
    let mut out = zstd::Encoder::new(out, LEVEL)?;
    out.include_checksum(true)?;
    Ok(out)
}

thread_local! {
    /// Making a compressor takes longer than it takes to compress a small table.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
}

/// A whole text, compressed.
fn compressed(text: &[u8]) -> io::Result<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|compressor| {
        let compressor = match compressor {
            Some(compressor) => compressor,
            None => {
                let mut new = Compressor::new(LEVEL)?;
                new.include_checksum(true)?;
                compressor.insert(new)
            }
        };
        compressor.compress(text)
    })
}

impl<W: Write> TableWriter<W> {
    /// Begins a file. Nothing is written yet.
    pub fn new(schema: &Schema, out: W) -> Self {
        Self {
            schema: schema.clone(),
            text: Text::Kept {
                text: Vec::new(),
                out,
            },
            first: true,
        }
    }

    /// Writes a row, with the cells in the order of the columns.
    ///
    /// # Errors
    ///
    /// Fails if there are too few or too many cells, if one does not have its column's type, if the line is longer
    /// than any reader takes, or if `out` cannot be written.
    pub fn push_row<'v>(
        &mut self,
        row: impl IntoIterator<Item = &'v Value>,
    ) -> Result<(), TableError> {
        let columns = self.schema.columns();
        let row: Vec<&Value> = row.into_iter().collect();
        if row.len() != columns.len() {
            return Err(TableError::WrongWidth {
                expected: columns.len(),
                found: row.len(),
            });
        }
        let mut line = vec![b'{'];
        for (column, value) in columns.iter().zip(row) {
            check_cell(column, value)?;
            if value.is_none() && !self.first {
                continue;
            }
            if line.len() > 1 {
                line.push(b',');
            }
            serde_json::to_writer(&mut line, &column.name).map_err(io::Error::from)?;
            line.push(b':');
            serde_json::to_writer(&mut line, &value.to_json()).map_err(io::Error::from)?;
        }
        line.extend_from_slice(b"}\n");
        if line.len() > MAX_LINE {
            return Err(TableError::LongRow { limit: MAX_LINE });
        }
        self.text.add(&line)?;
        self.first = false;
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    ///
    /// Fails if `out` cannot be written.
    pub fn finish(self) -> Result<W, TableError> {
        Ok(self.text.finish()?)
    }
}

/// Reads a table row by row. It needs little memory whatever it reads.
pub struct TableReader<R: Read> {
    input: BufReader<zstd::Decoder<'static, BufReader<R>>>,
    line: u64,
    ended: bool,
}

impl<R: Read> TableReader<R> {
    /// Begins to read a file.
    ///
    /// # Errors
    ///
    /// Fails if `input` is empty or cannot be read.
    pub fn new(input: R) -> Result<Self, TableError> {
        let mut input = BufReader::new(input);
        if input.fill_buf()?.is_empty() {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let mut decoder = zstd::Decoder::with_buffer(input)?;
        decoder.window_log_max(WINDOW_LOG)?;
        Ok(Self {
            input: BufReader::new(decoder),
            line: 0,
            ended: false,
        })
    }

    fn read_row(&mut self) -> Result<Option<Vec<(String, Value)>>, TableError> {
        let mut line = Vec::new();
        // One byte more than the longest line tells a longer one.
        let limit = MAX_LINE as u64 + 1;
        (&mut self.input).take(limit).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(None);
        }
        self.line += 1;
        let problem = |problem| self.problem(problem);
        if line.len() > MAX_LINE {
            return Err(problem(LineProblem::TooLong { limit: MAX_LINE }));
        }
        if line.pop() != Some(b'\n') {
            return Err(problem(LineProblem::Cut));
        }
        let Row(cells) = serde_json::from_slice(&line)
            .map_err(|error| problem(LineProblem::NotAnObject(error.to_string())))?;
        let mut names = BTreeSet::new();
        if let Some((name, _)) = cells.iter().find(|(name, _)| !names.insert(name)) {
            return Err(problem(LineProblem::Repeated(name.clone())));
        }
        Ok(Some(cells))
    }

    fn problem(&self, problem: LineProblem) -> TableError {
        TableError::Line {
            line: self.line,
            problem,
        }
    }
}

/// Yields the rows, each as the named cells that it has; nothing follows an error.
impl<R: Read> Iterator for TableReader<R> {
    type Item = Result<Vec<(String, Value)>, TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let row = self.read_row().transpose();
        self.ended = !matches!(row, Some(Ok(_)));
        row
    }
}

impl Table {
    /// Writes the table to a file.
    ///
    /// # Errors
    ///
    /// Fails if `out` cannot be written, or if a row is longer than any reader takes.
    pub fn write<W: Write>(&self, out: W) -> Result<W, TableError> {
        let mut writer = TableWriter::new(&self.schema, out);
        for row in self.rows() {
            writer.push_row(row)?;
        }
        writer.finish()
    }

    /// Reads a table from a file.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read, is no table, or has more than [`MAX_COLUMNS`] columns or [`MAX_CELLS`]
    /// cells. It names the line.
    pub fn read<R: Read>(input: R) -> Result<Self, TableError> {
        Self::read_limited(input, MAX_CELLS)
    }

    pub(super) fn read_limited<R: Read>(input: R, max_cells: usize) -> Result<Self, TableError> {
        let mut reader = TableReader::new(input)?;
        let mut builder = TableBuilder::new(&Schema::default().open());
        while let Some(row) = reader.next() {
            builder.push_named(row?)?;
            let (columns, cells) = builder.size();
            if columns > MAX_COLUMNS {
                let limit = MAX_COLUMNS;
                return Err(reader.problem(LineProblem::TooWide { limit }));
            }
            if cells > max_cells {
                let limit = max_cells;
                return Err(reader.problem(LineProblem::TooLarge { limit }));
            }
        }
        Ok(builder.finish())
    }
}

/// An object as it stands in a line: in order, and with repeated names.
struct Row(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Cells;

        impl<'de> Visitor<'de> for Cells {
            type Value = Row;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row, A::Error> {
                let mut cells = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Json>()? {
                    cells.push((name, Value::from_json(&value)));
                }
                Ok(Row(cells))
            }
        }

        deserializer.deserialize_map(Cells)
    }
}
