//! Axes: from a corpus, from another axis, from a list.

use std::collections::BTreeMap;
use std::sync::Arc;

use llmcl_stages_api::expr::{Env, eval, is_true};
use llmcl_stages_api::suggest::closest;
use llmcl_stages_api::value::{AxisType, Type, Value};

use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::expression;
use crate::model::{Axis, AxisValue};
use crate::source::{Place, Sources};
use crate::toml_tree::{self, Name, Node, NodeKind};

use super::read::{Reader, text, wrong_type};

/// The largest corpus file that is read, in bytes.
const CORPUS_LIMIT: u64 = 64 << 20;

/// The axes of an experiment, and what is known of the broken ones.
#[derive(Default)]
pub(crate) struct AxisInfo {
    /// The axes that could be resolved, in the order of the file.
    pub(crate) axes: Vec<Axis>,
    /// The nodes behind the fields of each value, for messages: axis, value, field.
    pub(crate) fields: Vec<Vec<Node>>,
    /// The names of the others: what hangs on them is not checked.
    pub(crate) broken: Vec<String>,
}

impl AxisInfo {
    /// The index of an axis; an unknown one is reported unless it is only broken.
    pub(crate) fn find(
        &self,
        name: &Name,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<crate::model::AxisId> {
        let found = self.axes.iter().position(|axis| axis.name == name.text);
        if found.is_none() && !self.broken.contains(&name.text) {
            let known = self.axes.iter().map(|axis| axis.name.as_str());
            problems.push(
                Diagnostic::new(
                    Code::UnknownAxis,
                    format!("unknown axis `{}`", name.text),
                    &name.place,
                    "no axis has this name",
                )
                .did_you_mean(closest(&name.text, known)),
            );
        }
        found
    }
}

struct Resolver<'a> {
    sources: &'a mut Sources,
    declared: &'a [(Name, Node)],
    done: BTreeMap<String, Option<(Axis, Vec<Node>)>>,
    under_way: Vec<String>,
}

/// Resolves all axes. Every mistake is reported.
pub(crate) fn resolve_axes(
    sources: &mut Sources,
    declared: &[(Name, Node)],
    problems: &mut Vec<Diagnostic>,
) -> AxisInfo {
    let mut resolver = Resolver {
        sources,
        declared,
        done: BTreeMap::new(),
        under_way: Vec::new(),
    };
    for (name, node) in declared {
        resolver.resolve(name, node, problems);
    }
    let mut info = AxisInfo::default();
    for (name, _) in declared {
        match resolver.done.remove(&name.text).flatten() {
            Some((axis, fields)) => {
                info.axes.push(axis);
                info.fields.push(fields);
            }
            None => info.broken.push(name.text.clone()),
        }
    }
    info
}

impl Resolver<'_> {
    fn resolve(&mut self, name: &Name, node: &Node, problems: &mut Vec<Diagnostic>) {
        if self.done.contains_key(&name.text) {
            return;
        }
        self.under_way.push(name.text.clone());
        let axis = self.values(name, node, problems);
        self.under_way.pop();
        self.done.insert(name.text.clone(), axis);
    }

    fn values(
        &mut self,
        name: &Name,
        node: &Node,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<(Axis, Vec<Node>)> {
        let (nodes, corpus) = match &node.kind {
            NodeKind::List(list) => (list.clone(), None),
            NodeKind::Table(_) => self.table(name, node, problems)?,
            _ => {
                problems.push(wrong_type(
                    node,
                    "a list of values, { corpus = \"…\" } or { axis = \"…\" }",
                ));
                return None;
            }
        };
        let mut axis = make_axis(name, &nodes, corpus, problems)?;
        let mut nodes = nodes;
        if let Some(condition) = node.get("where") {
            self.filter(&mut axis, &mut nodes, condition, problems)?;
        }
        if axis.values.is_empty() {
            problems.push(Diagnostic::new(
                Code::NoTasks,
                format!("the axis `{}` has no values", axis.name),
                &name.place,
                "nothing to repeat stages over",
            ));
            return None;
        }
        Some((axis, nodes))
    }

    fn table(
        &mut self,
        name: &Name,
        node: &Node,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<(Vec<Node>, Option<String>)> {
        let keys = ["corpus", "axis", "where"];
        let reader = Reader::new(node, format!("the axis `{}`", name.text), &keys, problems)?;
        match (reader.optional("corpus"), reader.optional("axis")) {
            (Some(path), None) => self.corpus(path, problems),
            (None, Some(other)) => {
                let other = text(other, problems)?;
                let declared = self.declared;
                let Some((other_name, other_node)) =
                    declared.iter().find(|(name, _)| name.text == other.text)
                else {
                    let known = declared.iter().map(|(name, _)| name.text.as_str());
                    problems.push(
                        Diagnostic::new(
                            Code::UnknownAxis,
                            format!("unknown axis `{}`", other.text),
                            &other.place,
                            "no axis has this name",
                        )
                        .did_you_mean(closest(&other.text, known)),
                    );
                    return None;
                };
                if self.under_way.contains(&other.text) {
                    problems.push(Diagnostic::new(
                        Code::Cycle,
                        format!("the axis `{}` takes its values from itself", other.text),
                        &other.place,
                        "this closes the ring",
                    ));
                    return None;
                }
                self.resolve(other_name, other_node, problems);
                let (axis, fields) = self.done.get(&other.text)?.as_ref()?;
                Some((fields.clone(), axis.corpus.clone()))
            }
            _ => {
                problems.push(
                    Diagnostic::new(
                        Code::BadValue,
                        format!(
                            "the axis `{}` has exactly one of `corpus` and `axis`",
                            name.text
                        ),
                        &node.place,
                        "",
                    )
                    .help("or write a plain list of values"),
                );
                None
            }
        }
    }

    fn corpus(
        &mut self,
        path: &Node,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<(Vec<Node>, Option<String>)> {
        let relative = text(path, problems)?;
        let folder = self.sources.folder(path.place.file).to_owned();
        let full = folder.join(&relative.text);
        let content = match read_corpus(&full) {
            Ok(content) => content,
            Err(error) => {
                problems.push(
                    Diagnostic::new(
                        Code::MissingFile,
                        format!("cannot read the corpus: {error}"),
                        &path.place,
                        "",
                    )
                    .help(format!("looked for {}", full.display())),
                );
                return None;
            }
        };
        let known = self.sources.find(&full);
        let file = known.unwrap_or_else(|| {
            let shown = full.display().to_string();
            self.sources.add(shown, Some(full), content)
        });
        let before = problems.len();
        let tree = toml_tree::parse(self.sources, file, problems);
        if problems.len() > before {
            // The same corpus may stand behind several axes; its mistakes are told once.
            if known.is_some() {
                problems.truncate(before);
            }
            return None;
        }
        let mut found = Vec::new();
        let corpus = read_models(&tree, &path.place, &mut found);
        if known.is_none() {
            problems.extend(found);
        }
        corpus
    }

    fn filter(
        &mut self,
        axis: &mut Axis,
        nodes: &mut Vec<Node>,
        condition: &Node,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<()> {
        text(condition, problems)?;
        let variables = BTreeMap::from([(axis.name.clone(), axis.ty.clone())]);
        let (expr, _) = expression::condition(self.sources, condition, variables, problems)?;
        let mut keep = Vec::with_capacity(axis.values.len());
        for value in &axis.values {
            let variables = BTreeMap::from([(axis.name.clone(), value.value.clone())]);
            match eval(&expr, &Env::variables(&variables)) {
                Ok(value) => keep.push(is_true(&value)),
                Err(error) => {
                    problems.push(Diagnostic::new(
                        Code::ExpressionType,
                        format!("for {}: {error}", value.label),
                        &condition.inside(self.sources, error.span.clone()),
                        "",
                    ));
                    return None;
                }
            }
        }
        let mut kept = keep.iter();
        axis.values
            .retain(|_| kept.next().copied().unwrap_or_default());
        let mut kept = keep.iter();
        nodes.retain(|_| kept.next().copied().unwrap_or_default());
        Some(())
    }
}

fn read_corpus(path: &std::path::Path) -> std::io::Result<String> {
    let metadata = std::fs::metadata(path)?;
    // A pipe would be waited for, a device has no end.
    if !metadata.is_file() {
        return Err(std::io::Error::other("it is not a file"));
    }
    let length = metadata.len();
    if length > CORPUS_LIMIT {
        return Err(std::io::Error::other(format!(
            "{length} bytes are more than a corpus file can have ({CORPUS_LIMIT})"
        )));
    }
    std::fs::read_to_string(path)
}

/// Reads `[corpus]` and `[[model]]`. The fields of a model are the stage kinds' to judge.
fn read_models(
    tree: &Node,
    asked: &Place,
    problems: &mut Vec<Diagnostic>,
) -> Option<(Vec<Node>, Option<String>)> {
    let reader = Reader::new(tree, "a corpus file", &["corpus", "model"], problems)?;
    let start = Place {
        end: tree.place.start,
        ..tree.place.clone()
    };
    let header = reader.required("corpus", &start, problems)?;
    let header_place = header.place.clone();
    let header = Reader::new(header, "[corpus]", &["name", "about", "licence"], problems)?;
    let name = header.required_text("name", &header_place, problems)?;
    let models = reader.required("model", &start, problems)?;
    let Some(list) = models.as_list() else {
        problems.push(
            wrong_type(models, "a list of tables, written [[model]]")
                .also(asked, "the corpus of this axis"),
        );
        return None;
    };
    Some((list.to_vec(), Some(name.text)))
}

fn make_axis(
    name: &Name,
    nodes: &[Node],
    corpus: Option<String>,
    problems: &mut Vec<Diagnostic>,
) -> Option<Axis> {
    let before = problems.len();
    let mut values: Vec<AxisValue> = Vec::with_capacity(nodes.len());
    let mut seen: BTreeMap<String, Place> = BTreeMap::new();
    for node in nodes {
        let Some((label, place)) = label(node, problems) else {
            continue;
        };
        if let Some(first) = seen.insert(label.to_string(), place.clone()) {
            problems.push(
                Diagnostic::new(
                    Code::BadName,
                    format!("the axis `{}` has the value {label} twice", name.text),
                    &place,
                    "again here",
                )
                .also(&first, "first here"),
            );
            continue;
        }
        values.push(AxisValue {
            label,
            value: node.value(),
            place,
        });
    }
    let tables = nodes
        .iter()
        .filter(|node| node.as_table().is_some())
        .count();
    if tables > 0 && tables < nodes.len() {
        problems.push(Diagnostic::new(
            Code::WrongType,
            format!("the axis `{}` mixes tables and plain values", name.text),
            &name.place,
            "",
        ));
    }
    let ty = if tables > 0 {
        fields_type(name, nodes, problems)
    } else {
        plain_type(name, nodes, problems)
    };
    (problems.len() == before).then_some(Axis {
        name: name.text.clone(),
        values,
        ty,
        corpus,
    })
}

/// What a value is called: its `name`, or the plain value itself.
fn label(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<(Value, Place)> {
    match &node.kind {
        NodeKind::Table(_) => {
            let Some(name) = node.get("name") else {
                problems.push(Diagnostic::new(
                    Code::MissingKey,
                    "a value of an axis lacks the key `name`",
                    &node.place,
                    "`name` must be given",
                ));
                return None;
            };
            let name = text(name, problems)?;
            check_label(&name, problems);
            Some((Value::Text(name.text), name.place))
        }
        NodeKind::Text(word) => {
            let name = Name {
                text: word.clone(),
                place: node.place.clone(),
            };
            check_label(&name, problems);
            Some((Value::Text(name.text), name.place))
        }
        NodeKind::Int(int) => Some((Value::Int(*int), node.place.clone())),
        NodeKind::Float(float) => Some((Value::float(*float)?, node.place.clone())),
        NodeKind::Bool(bool) => Some((Value::Bool(*bool), node.place.clone())),
        NodeKind::List(_) => {
            problems.push(wrong_type(
                node,
                "a text, a number or a table with a `name`",
            ));
            None
        }
    }
}

/// Labels stand in task names, which are split at `/` and typed into shells.
fn check_label(name: &Name, problems: &mut Vec<Diagnostic>) {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"_.+-".contains(&byte);
    if name.text.is_empty() || !name.text.bytes().all(good) {
        problems.push(
            Diagnostic::new(
                Code::BadName,
                format!("`{}` cannot be the name of an axis value", name.text),
                &name.place,
                "",
            )
            .help("use letters, digits and `_.+-`: the name stands in the names of tasks"),
        );
    }
}

fn plain_type(name: &Name, nodes: &[Node], problems: &mut Vec<Diagnostic>) -> Type {
    let mut ty = Type::Any;
    for (index, node) in nodes.iter().enumerate() {
        let next = Type::of(&node.value()).unwrap_or(Type::Any);
        match if index == 0 {
            Some(next.clone())
        } else {
            ty.join(&next)
        } {
            Some(joined) => ty = joined,
            None => problems.push(Diagnostic::new(
                Code::WrongType,
                format!("the axis `{}` mixes {ty} and {next}", name.text),
                &node.place,
                format!("this is {next}"),
            )),
        }
    }
    ty
}

fn fields_type(name: &Name, nodes: &[Node], problems: &mut Vec<Diagnostic>) -> Type {
    let mut fields: BTreeMap<String, (Type, Place)> = BTreeMap::new();
    for (key, node) in nodes.iter().filter_map(Node::as_table).flatten() {
        let Some(ty) = Type::of(&node.value()) else {
            problems.push(Diagnostic::new(
                Code::WrongType,
                format!("the field `{}` is a list of mixed types", key.text),
                &node.place,
                "",
            ));
            continue;
        };
        let Some((known, first)) = fields.get(&key.text) else {
            fields.insert(key.text.clone(), (ty, node.place.clone()));
            continue;
        };
        match known.join(&ty) {
            Some(joined) => {
                let first = first.clone();
                fields.insert(key.text.clone(), (joined, first));
            }
            None => problems.push(
                Diagnostic::new(
                    Code::WrongType,
                    format!(
                        "the field `{}` is {known} in one value and {ty} in another",
                        key.text
                    ),
                    &node.place,
                    format!("{ty} here"),
                )
                .also(first, format!("{known} here")),
            ),
        }
    }
    Type::Axis(Arc::new(AxisType {
        axis: name.text.clone(),
        fields: fields.into_iter().map(|(key, (ty, _))| (key, ty)).collect(),
    }))
}
