//! Reading tables key by key, with every mistake reported.

use llmcl_stages_api::suggest::closest;

use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::toml_tree::{Name, Node};

/// Reports keys that are not known.
pub(crate) fn unknown_keys(
    node: &Node,
    what: &str,
    known: &[&str],
    problems: &mut Vec<Diagnostic>,
) {
    for (name, _) in node.as_table().unwrap_or_default() {
        if !known.contains(&name.text.as_str()) {
            problems.push(unknown_key(name, what, known));
        }
    }
}

fn unknown_key(name: &Name, what: &str, known: &[&str]) -> Diagnostic {
    let problem = Diagnostic::new(
        Code::UnknownKey,
        format!("unknown key `{}` in {what}", name.text),
        &name.place,
        "not known here",
    );
    match closest(&name.text, known.iter().copied()) {
        Some(suggestion) => problem.did_you_mean(Some(suggestion)),
        None => problem.help(format!("known keys: {}", known.join(", "))),
    }
}

/// Makes the mistake of a value that is not what it should be.
pub(crate) fn wrong_type(node: &Node, expected: &str) -> Diagnostic {
    Diagnostic::new(
        Code::WrongType,
        format!("expected {expected}, found {}", node.type_name()),
        &node.place,
        format!("this is {}", node.type_name()),
    )
}

/// A table that is being read.
pub(crate) struct Reader<'a> {
    node: &'a Node,
    what: String,
}

impl<'a> Reader<'a> {
    /// Starts reading; reports a value that is no table, and keys that are not known.
    pub(crate) fn new(
        node: &'a Node,
        what: impl Into<String>,
        known: &[&str],
        problems: &mut Vec<Diagnostic>,
    ) -> Option<Self> {
        let what = what.into();
        if node.as_table().is_none() {
            problems.push(wrong_type(node, &format!("a table for {what}")));
            return None;
        }
        unknown_keys(node, &what, known, problems);
        Some(Self { node, what })
    }

    /// The value of a key, if it is there.
    pub(crate) fn optional(&self, key: &str) -> Option<&'a Node> {
        self.node.get(key)
    }

    /// The value of a key; a missing one is reported at `place`.
    pub(crate) fn required(
        &self,
        key: &str,
        place: &crate::source::Place,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<&'a Node> {
        let node = self.node.get(key);
        if node.is_none() {
            problems.push(Diagnostic::new(
                Code::MissingKey,
                format!("{} lacks the key `{key}`", self.what),
                place,
                format!("`{key}` must be given"),
            ));
        }
        node
    }

    /// A text, if it is there and is one.
    pub(crate) fn text(&self, key: &str, problems: &mut Vec<Diagnostic>) -> Option<Name> {
        text(self.optional(key)?, problems)
    }

    /// A text that must be there.
    pub(crate) fn required_text(
        &self,
        key: &str,
        place: &crate::source::Place,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<Name> {
        text(self.required(key, place, problems)?, problems)
    }

    /// A number, if it is there and is one.
    pub(crate) fn number(&self, key: &str, problems: &mut Vec<Diagnostic>) -> Option<f64> {
        let node = self.optional(key)?;
        let number = node.value().as_number();
        if number.is_none() {
            problems.push(wrong_type(node, "a number"));
        }
        number
    }
}

/// A text with its place; anything else is reported.
pub(crate) fn text(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Name> {
    match node.as_text() {
        Some(text) => Some(Name {
            text: text.to_owned(),
            place: node.place.clone(),
        }),
        None => {
            problems.push(wrong_type(node, "a text"));
            None
        }
    }
}

/// A text or a list of texts; anything else is reported.
pub(crate) fn texts(node: &Node, problems: &mut Vec<Diagnostic>) -> Vec<Name> {
    match node.as_list() {
        Some(list) => list
            .iter()
            .filter_map(|node| text(node, problems))
            .collect(),
        None if node.as_text().is_some() => text(node, problems).into_iter().collect(),
        None => {
            problems.push(wrong_type(node, "a text or a list of texts"));
            Vec::new()
        }
    }
}

/// Reports a name that cannot stand in expressions and paths.
pub(crate) fn check_name(name: &Name, what: &str, problems: &mut Vec<Diagnostic>) {
    let mut letters = name.text.bytes();
    let good = letters
        .next()
        .is_some_and(|first| first.is_ascii_lowercase())
        && letters.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if !good {
        problems.push(
            Diagnostic::new(
                Code::BadName,
                format!("`{}` cannot be the name of {what}", name.text),
                &name.place,
                "",
            )
            .help("a name starts with a lower-case letter, and holds such letters, digits and `_`"),
        );
    }
}
