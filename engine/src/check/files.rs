//! Inputs that are files of the repository.

use std::path::PathBuf;

use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::experiment::wrong_type;
use crate::model::{AxisId, InputMember};
use crate::source::Place;
use crate::toml_tree::{Name, Node};

use super::Checker;
use super::join::Source;

impl Checker<'_> {
    /// The file of `{ path = "…" }`.
    pub(super) fn file(&mut self, path: &Node) -> Option<InputMember> {
        let text = path.as_text()?;
        let full = self.sources.folder(path.place.file).join(text);
        self.existing(full, &path.place)
    }

    fn existing(&mut self, full: PathBuf, place: &Place) -> Option<InputMember> {
        let name = full
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        if let Some(name) = name
            && full.is_file()
        {
            return Some(InputMember::File { path: full, name });
        }
        self.problems.push(
            Diagnostic::new(Code::MissingFile, "there is no such file", place, "")
                .help(format!("looked for {}", full.display())),
        );
        None
    }

    /// The files that a field of our axis names: `{ axis = "method.shipped" }`.
    pub(super) fn field_files(&mut self, path: &Name, each: &[AxisId]) -> Option<Source> {
        let (axis, field) = self.axis_field(path, each)?;
        let Some(field) = field else {
            self.problems.push(Diagnostic::new(
                Code::WrongType,
                "an input from an axis names a field that holds a file",
                &path.place,
                "such as `method.shipped`",
            ));
            return None;
        };
        let nodes: Vec<Option<Node>> = self.axes.fields[axis]
            .iter()
            .map(|value| value.get(&field).cloned())
            .collect();
        let mut files = Vec::with_capacity(nodes.len());
        for node in nodes {
            files.push(match node {
                None => None,
                Some(node) => match node.get("path").filter(|path| path.as_text().is_some()) {
                    Some(path) => self.file(&path.clone()),
                    None => {
                        self.problems.push(
                            wrong_type(&node, "a file, written { path = \"…\" }")
                                .also(&path.place, "asked for here"),
                        );
                        None
                    }
                },
            });
        }
        Some(Source::Field(axis, files))
    }
}
