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

    /// The files that a field of our axis names, one or several: `{ axis = "method.shipped" }`.
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
        let files = nodes
            .iter()
            .map(|node| {
                let elements = match node {
                    None => &[][..],
                    Some(node) => node.as_list().unwrap_or(std::slice::from_ref(node)),
                };
                let files = elements.iter();
                files
                    .filter_map(|element| self.field_file(element, path))
                    .collect()
            })
            .collect();
        Some(Source::Field(axis, files))
    }

    fn field_file(&mut self, element: &Node, asked: &Name) -> Option<InputMember> {
        match element.get("path").filter(|path| path.as_text().is_some()) {
            Some(path) => self.file(path),
            None => {
                self.problems.push(
                    wrong_type(element, "a file, written { path = \"…\" }")
                        .also(&asked.place, "asked for here"),
                );
                None
            }
        }
    }
}
