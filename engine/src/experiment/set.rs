//! `--set a.b=value`: changes to the file, made before it is read.

use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::source::{Place, Sources};
use crate::toml_tree::{Name, Node, NodeKind, parse_value};

/// Puts the value of one `--set` into the tree.
///
/// The last part of the path may be new; everything above it must be there, so that a misspelt path is found.
/// A number picks an element of a list.
pub(crate) fn apply(
    sources: &mut Sources,
    root: &mut Node,
    setting: &str,
    problems: &mut Vec<Diagnostic>,
) {
    let file = sources.add_beside("--set", root.place.file, setting.to_owned());
    let Some((path, _)) = setting.split_once('=') else {
        problems.push(
            Diagnostic::new(
                Code::BadSet,
                "a setting has no `=`",
                &Place::new(file, 0..setting.len()),
                "",
            )
            .help("write --set stages.NAME.KEY=VALUE or --set axes.NAME.corpus=PATH"),
        );
        return;
    };
    let value = parse_value(sources, file, path.len() + 1, problems);
    let mut node = root;
    let mut start = 0;
    let parts: Vec<&str> = path.split('.').collect();
    for (index, part) in parts.iter().enumerate() {
        let place = Place::new(file, start..start + part.len());
        start += part.len() + 1;
        let last = index + 1 == parts.len();
        let next = match &mut node.kind {
            NodeKind::Table(entries) => {
                let found = entries.iter().position(|(name, _)| name.text == *part);
                match found {
                    Some(found) => entries.get_mut(found).map(|(_, node)| node),
                    None if last && !part.is_empty() => {
                        let name = Name {
                            text: (*part).to_owned(),
                            place,
                        };
                        entries.push((name, value));
                        return;
                    }
                    None => None,
                }
            }
            NodeKind::List(list) => part
                .parse::<usize>()
                .ok()
                .and_then(|number| list.get_mut(number)),
            _ => None,
        };
        let Some(next) = next else {
            problems.push(Diagnostic::new(
                Code::BadSet,
                format!("the file has nothing called `{part}` here"),
                &place,
                "not found",
            ));
            return;
        };
        node = next;
    }
    *node = value;
}
