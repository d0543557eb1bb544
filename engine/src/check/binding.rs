//! Values of axes in the place of parameters: `{ axis = "…" }` as a whole, or inside of a list or a table.

use std::collections::HashMap;

use llmcl_stages_api::param::{Param, ParamType};
use llmcl_stages_api::suggest::closest;
use llmcl_stages_api::value::Type;

use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::model::AxisId;
use crate::toml_tree::{Name, Node, NodeKind};

use super::Checker;
use super::params::Checked;
use super::stage::Combination;

/// A parameter that hangs on the stage's own axes.
pub(super) struct Bound {
    axes: Vec<AxisId>,
    /// The parameter for the values of these axes, in their order; none where nothing could be read or a value
    /// lacks the field.
    of_values: HashMap<Vec<usize>, Option<Checked>>,
}

impl Bound {
    /// Whether it differs with the values of this axis.
    pub(super) fn hangs_on(&self, axis: AxisId) -> bool {
        self.axes.contains(&axis)
    }

    /// Everything that it can be.
    pub(super) fn values(&self) -> impl Iterator<Item = &Checked> {
        self.of_values.values().flatten()
    }

    /// What it is for a task with these values on the axes of the stage.
    pub(super) fn value(&self, each: &[AxisId], values: &[usize]) -> Option<&Checked> {
        let chosen = chosen(&self.axes, each, values)?;
        self.of_values.get(&chosen)?.as_ref()
    }
}

/// The values that a task has on some of the axes of its stage.
fn chosen(axes: &[AxisId], each: &[AxisId], values: &[usize]) -> Option<Vec<usize>> {
    axes.iter()
        .map(|axis| Some(values[each.iter().position(|own| own == axis)?]))
        .collect()
}

/// Whether a value is bound to an axis, or has something inside that is.
pub(super) fn is_bound(node: &Node, ty: &ParamType) -> bool {
    if binding(node).is_some() {
        return true;
    }
    match (ty, &node.kind) {
        (ParamType::List(element), NodeKind::List(list)) => {
            list.iter().any(|node| is_bound(node, element))
        }
        (ParamType::Map(element), NodeKind::Table(entries)) => {
            entries.iter().any(|(_, node)| is_bound(node, element))
        }
        _ => false,
    }
}

/// A value with every axis value put in; none if it is bound to a field that the axis value lacks. A table leaves
/// such an entry out. A list cannot, as its other elements would move up: they are noted as `lacking`.
fn put_in(
    node: &Node,
    ty: &ParamType,
    value_of: &dyn Fn(&Name) -> Option<Node>,
    lacking: &mut Vec<Name>,
) -> Option<Node> {
    if let Some(path) = binding(node) {
        return value_of(&path);
    }
    let mut element = |node: &Node, ty: &ParamType, in_list: bool| {
        let put = put_in(node, ty, value_of, lacking);
        if in_list && put.is_none() {
            lacking.extend(binding(node));
        }
        let put = put?;
        Some(match binding(node) {
            Some(_) => as_written(put, ty),
            None => put,
        })
    };
    let kind = match (ty, &node.kind) {
        (ParamType::List(ty), NodeKind::List(list)) => NodeKind::List(
            list.iter()
                .filter_map(|node| element(node, ty, true))
                .collect(),
        ),
        (ParamType::Map(ty), NodeKind::Table(entries)) => NodeKind::Table(
            entries
                .iter()
                .filter_map(|(name, node)| Some((name.clone(), element(node, ty, false)?)))
                .collect(),
        ),
        _ => return Some(node.clone()),
    };
    Some(Node {
        place: node.place.clone(),
        kind,
    })
}

/// A whole number or a truth value that stands for a text, such as an argument of a program, is its own text.
fn as_written(node: Node, ty: &ParamType) -> Node {
    let text = match (ty, &node.kind) {
        (ParamType::Text, NodeKind::Int(int)) => int.to_string(),
        (ParamType::Text, NodeKind::Bool(bool)) => bool.to_string(),
        _ => return node,
    };
    Node {
        kind: NodeKind::Text(text),
        ..node
    }
}

/// The bindings in a value, in their order.
fn bindings(node: &Node, found: &mut Vec<Name>) {
    if let Some(path) = binding(node) {
        found.push(path);
        return;
    }
    match &node.kind {
        NodeKind::List(list) => list.iter().for_each(|node| bindings(node, found)),
        NodeKind::Table(entries) => entries.iter().for_each(|(_, node)| bindings(node, found)),
        _ => {}
    }
}

/// `{ axis = "…" }` and nothing else.
fn binding(node: &Node) -> Option<Name> {
    match node.as_table()? {
        [(key, value)] if key.text == "axis" => Some(Name {
            text: value.as_text()?.to_owned(),
            place: value.place.clone(),
        }),
        _ => None,
    }
}

impl Checker<'_> {
    /// Reads a parameter for which [`is_bound`] holds, for all values that tasks have.
    pub(super) fn bound_param(
        &mut self,
        spec: &Param,
        node: &Node,
        each: &[AxisId],
        tasks: &[Combination],
    ) -> Bound {
        let mut bound = Bound {
            axes: Vec::new(),
            of_values: HashMap::new(),
        };
        let mut paths = Vec::new();
        bindings(node, &mut paths);
        let mut fields = HashMap::new();
        for path in &paths {
            // What is wrong with it has been reported; the parameter counts as left out.
            let Some((axis, field)) = self.axis_field(path, each) else {
                return bound;
            };
            if !bound.axes.contains(&axis) {
                bound.axes.push(axis);
            }
            fields.insert(path.text.clone(), (axis, field));
        }
        let whole = binding(node).is_some();
        let mut choices: Vec<Vec<usize>> = if whole {
            // Every value is checked, whether a task has it or not.
            let axis = bound.axes.first().map(|&axis| self.axes.fields[axis].len());
            (0..axis.unwrap_or_default())
                .map(|value| vec![value])
                .collect()
        } else {
            let tasks = tasks.iter();
            tasks
                .filter_map(|(values, _, _)| chosen(&bound.axes, each, values))
                .collect()
        };
        choices.sort_unstable();
        choices.dedup();
        for choice in choices {
            let value_of = |path: &Name| {
                let (axis, field) = fields.get(&path.text)?;
                let at = bound.axes.iter().position(|own| own == axis)?;
                let value = &self.axes.fields[*axis][choice[at]];
                match field {
                    Some(field) => value.get(field).cloned(),
                    None => Some(value.clone()),
                }
            };
            let from_axis = whole && fields.values().all(|(_, field)| field.is_none());
            let before = self.problems.len();
            let mut lacking = Vec::new();
            let node = put_in(node, &spec.ty, &value_of, &mut lacking);
            for path in &lacking {
                self.lacks_field(path, &bound.axes, &choice);
            }
            let converted = match node.filter(|_| lacking.is_empty()) {
                Some(node) => self.convert(&node, &spec.ty, from_axis),
                None => None,
            };
            if let ([path, ..], true) = (&paths[..], lacking.is_empty()) {
                for problem in &mut self.problems[before..] {
                    *problem = problem
                        .clone()
                        .also(&path.place, format!("taken as `{}` here", spec.name));
                }
            }
            bound.of_values.insert(choice, converted.map(Checked::from));
        }
        bound
    }

    fn lacks_field(&mut self, path: &Name, axes: &[AxisId], choice: &[usize]) {
        let (name, field) = path.text.split_once('.').unwrap_or((&path.text, ""));
        let value = axes.iter().zip(choice).find_map(|(&axis, &value)| {
            let axis = &self.axes.axes[axis];
            (axis.name == name).then(|| axis.values[value].label.to_string())
        });
        let value = value.unwrap_or_default();
        self.problems.push(
            Diagnostic::new(
                Code::UnknownField,
                format!("{value} of the axis `{name}` has no field `{field}`"),
                &path.place,
                "an element of a list must be there",
            )
            .help("give the value that field, or leave the task out with `where`"),
        );
    }

    /// Reads `axis` or `axis.field`, where the axis is one of the stage's own.
    pub(super) fn axis_field(
        &mut self,
        path: &Name,
        each: &[AxisId],
    ) -> Option<(AxisId, Option<String>)> {
        let (name, field) = match path.text.split_once('.') {
            Some((name, field)) => (name, Some(field.to_owned())),
            None => (path.text.as_str(), None),
        };
        let axis_name = Name {
            text: name.to_owned(),
            place: path.place.clone(),
        };
        let axis = self.axes.find(&axis_name, &mut self.problems)?;
        if !each.contains(&axis) {
            self.problems.push(
                Diagnostic::new(
                    Code::UnknownAxis,
                    format!("this stage is not repeated over the axis `{name}`"),
                    &path.place,
                    "",
                )
                .help(format!("add \"{name}\" to `each`")),
            );
            return None;
        }
        if let Some(field) = &field {
            let Type::Axis(ty) = &self.axes.axes[axis].ty else {
                self.problems.push(Diagnostic::new(
                    Code::UnknownField,
                    format!("the values of the axis `{name}` have no fields"),
                    &path.place,
                    "",
                ));
                return None;
            };
            if !ty.fields.contains_key(field) {
                let suggestion = closest(field, ty.fields.keys().map(String::as_str));
                let problem = Diagnostic::new(
                    Code::UnknownField,
                    format!("no value of the axis `{name}` has a field `{field}`"),
                    &path.place,
                    "",
                )
                .did_you_mean(suggestion);
                self.problems.push(problem);
                return None;
            }
        }
        Some((axis, field))
    }
}
