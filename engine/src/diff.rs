//! What two lists of key parts differ in.

use std::collections::HashMap;

use llmcl_stages_api::value::Value;

use crate::key::{Component, Part};

/// A part of a key that is not what it was.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// What sort of part it is.
    pub component: Component,
    /// Which one of its sort.
    pub name: String,
    /// What it was; none if it was not there.
    pub old: Option<Value>,
    /// What it is; none if it is not there.
    pub new: Option<Value>,
}

impl Change {
    /// Whether this is about the content of the member of that name.
    pub(crate) fn is_content_of(&self, member: &str) -> bool {
        self.component == Component::Content && self.name == member
    }
}

/// The parts that differ: first those of `new` in their order, then those that only `old` has.
#[must_use]
pub fn changes(old: &[Part], new: &[Part]) -> Vec<Change> {
    let mut left: HashMap<(Component, &str), &Part> = old
        .iter()
        .map(|part| ((part.component, part.name.as_str()), part))
        .collect();
    let mut changes: Vec<Change> = new
        .iter()
        .filter_map(|part| {
            let old = left.remove(&(part.component, part.name.as_str()));
            (old != Some(part)).then(|| Change {
                component: part.component,
                name: part.name.clone(),
                old: old.map(|part| part.value.clone()),
                new: Some(part.value.clone()),
            })
        })
        .collect();
    changes.extend(
        old.iter()
            .filter(|part| left.contains_key(&(part.component, part.name.as_str())))
            .map(|part| Change {
                component: part.component,
                name: part.name.clone(),
                old: Some(part.value.clone()),
                new: None,
            }),
    );
    changes
}
