//! TOML as a tree in which every key and value knows its place.
//!
//! The derive macros of serde stop at the first mistake and lose places inside tagged and flattened tables, so
//! the checker reads this tree by hand.

use llmcl_stages_api::value::Value;
use toml::de::{DeTable, DeValue};

use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::source::{FileId, Place, Sources};

/// A value and its place.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Where it is written.
    pub(crate) place: Place,
    /// What it is.
    pub(crate) kind: NodeKind,
}

/// What a value is.
#[derive(Debug, Clone)]
pub(crate) enum NodeKind {
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A finite number.
    Float(f64),
    /// A text.
    Text(String),
    /// An array.
    List(Vec<Node>),
    /// A table, in the order of the file.
    Table(Vec<(Name, Node)>),
}

/// A name and its place.
#[derive(Debug, Clone)]
pub(crate) struct Name {
    /// The name.
    pub(crate) text: String,
    /// Where it is written.
    pub(crate) place: Place,
}

impl Node {
    /// The text, if it is one.
    #[must_use]
    pub(crate) fn as_text(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The table, if it is one.
    #[must_use]
    pub(crate) fn as_table(&self) -> Option<&[(Name, Node)]> {
        match &self.kind {
            NodeKind::Table(entries) => Some(entries),
            _ => None,
        }
    }

    /// The list, if it is one.
    #[must_use]
    pub(crate) fn as_list(&self) -> Option<&[Node]> {
        match &self.kind {
            NodeKind::List(list) => Some(list),
            _ => None,
        }
    }

    /// The entry of a table.
    #[must_use]
    pub(crate) fn get(&self, name: &str) -> Option<&Node> {
        self.as_table()?
            .iter()
            .find(|(key, _)| key.text == name)
            .map(|(_, node)| node)
    }

    /// What it is, for messages.
    #[must_use]
    pub(crate) fn type_name(&self) -> &'static str {
        match self.kind {
            NodeKind::Bool(_) => "a truth value",
            NodeKind::Int(_) => "a whole number",
            NodeKind::Float(_) => "a number",
            NodeKind::Text(_) => "a text",
            NodeKind::List(_) => "a list",
            NodeKind::Table(_) => "a table",
        }
    }

    /// The value without places.
    #[must_use]
    pub(crate) fn value(&self) -> Value {
        match &self.kind {
            NodeKind::Bool(bool) => Value::Bool(*bool),
            NodeKind::Int(int) => Value::Int(*int),
            NodeKind::Float(float) => Value::float(*float).unwrap_or_default(),
            NodeKind::Text(text) => Value::Text(text.clone()),
            NodeKind::List(list) => Value::List(list.iter().map(Node::value).collect()),
            NodeKind::Table(entries) => Value::Record(
                entries
                    .iter()
                    .map(|(name, node)| (name.text.clone(), node.value()))
                    .collect(),
            ),
        }
    }

    /// The place of some bytes of a text: inside the quotes if it is written without escapes, else the whole.
    #[must_use]
    pub(crate) fn inside(&self, sources: &Sources, span: std::ops::Range<usize>) -> Place {
        let whole = || self.place.clone();
        let (Some(text), Some(raw)) = (
            self.as_text(),
            sources
                .file(self.place.file)
                .text
                .get(self.place.start..self.place.end),
        ) else {
            return whole();
        };
        let quotes = if raw.starts_with("\"\"\"") || raw.starts_with("'''") {
            3
        } else {
            1
        };
        let Some(inner) = raw.get(quotes..raw.len().saturating_sub(quotes)) else {
            return whole();
        };
        if inner != text || span.end > inner.len() {
            return whole();
        }
        let start = self.place.start + quotes;
        // A caret needs something to stand under.
        let end = span.end.max(span.start + 1).min(inner.len().max(span.end));
        Place {
            file: self.place.file,
            start: start + span.start,
            end: start + end,
        }
    }
}

/// Reads a TOML file. Every mistake in it is reported, the first of each line.
pub(crate) fn parse(sources: &Sources, file: FileId, problems: &mut Vec<Diagnostic>) -> Node {
    let text = &sources.file(file).text;
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut lines = Vec::new();
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        let place = Place::new(file, span);
        let line = sources.line(&place);
        if !lines.contains(&line) {
            lines.push(line);
            problems.push(Diagnostic::new(
                Code::Syntax,
                format!("this is not TOML: {}", error.message()),
                &place,
                "",
            ));
        }
    }
    let span = table.span();
    Node {
        place: Place::new(file, span),
        kind: NodeKind::Table(entries(file, table.get_ref(), problems)),
    }
}

/// Reads one TOML value, as it stands to the right of `--set NAME=`; a bare word is a text.
pub(crate) fn parse_value(
    sources: &Sources,
    file: FileId,
    offset: usize,
    problems: &mut Vec<Diagnostic>,
) -> Node {
    let text = &sources.file(file).text;
    let right = text.get(offset..).unwrap_or_default();
    let span = 0..right.len();
    let mut node = match DeValue::parse(right) {
        Ok(value) if !matches!(value.get_ref(), DeValue::Datetime(_)) => {
            convert(file, value.get_ref(), span, problems)
        }
        _ => Node {
            place: Place::new(file, span),
            kind: NodeKind::Text(right.to_owned()),
        },
    };
    move_places(&mut node, offset);
    node
}

fn move_places(node: &mut Node, by: usize) {
    node.place.start += by;
    node.place.end += by;
    match &mut node.kind {
        NodeKind::List(list) => list.iter_mut().for_each(|node| move_places(node, by)),
        NodeKind::Table(entries) => {
            for (name, node) in entries {
                name.place.start += by;
                name.place.end += by;
                move_places(node, by);
            }
        }
        _ => {}
    }
}

fn entries(file: FileId, table: &DeTable<'_>, problems: &mut Vec<Diagnostic>) -> Vec<(Name, Node)> {
    let mut entries: Vec<(Name, Node)> = table
        .iter()
        .map(|(key, value)| {
            let name = Name {
                text: key.get_ref().to_string(),
                place: Place::new(file, key.span()),
            };
            (name, convert(file, value.get_ref(), value.span(), problems))
        })
        .collect();
    entries.sort_by_key(|(name, _)| name.place.start);
    entries
}

fn convert(
    file: FileId,
    value: &DeValue<'_>,
    span: std::ops::Range<usize>,
    problems: &mut Vec<Diagnostic>,
) -> Node {
    let place = Place::new(file, span);
    let mut wrong = |message: &str| {
        problems.push(Diagnostic::new(Code::WrongType, message, &place, ""));
        NodeKind::Text(String::new())
    };
    let kind = match value {
        DeValue::String(text) => NodeKind::Text(text.to_string()),
        DeValue::Integer(int) => match i64::from_str_radix(int.as_str(), int.radix()) {
            Ok(int) => NodeKind::Int(int),
            Err(_) => wrong("this whole number does not fit 64 bits"),
        },
        DeValue::Float(float) => match float.as_str().parse::<f64>() {
            Ok(float) if float.is_finite() => NodeKind::Float(float),
            _ => wrong("a number must be finite"),
        },
        DeValue::Boolean(bool) => NodeKind::Bool(*bool),
        DeValue::Datetime(_) => wrong("dates and times have no use here; write a text in quotes"),
        DeValue::Array(list) => NodeKind::List(
            list.iter()
                .map(|value| convert(file, value.get_ref(), value.span(), problems))
                .collect(),
        ),
        DeValue::Table(table) => NodeKind::Table(entries(file, table, problems)),
    };
    Node { place, kind }
}
