//! The key of a task: the digest of all that determines its outputs.
//!
//! One walk makes an ordered list of [`Part`]s. The [`key`] is the digest of that list, the record keeps it, and
//! `explain` holds two of them against each other, so that key and explanation cannot disagree. The [`shape`] is
//! the digest of the parts that are known before anything runs: tasks whose inputs are not known yet can be looked
//! for by it.
//!
//! Not among the parts are paths, the host, the time, jobs, the names of stages, experiments and files, and the
//! order in which a file says things that have no order.

use std::collections::BTreeMap;

use blake3::{Hash, Hasher};
use llmcl_stages_api::fingerprint::Fingerprints;
use llmcl_stages_api::param::{Param, ParamType, Params};
use llmcl_stages_api::task::PruneReason;
use llmcl_stages_api::value::Value;

use crate::model::{Experiment, InputMember, StageId, Task, TaskId};

/// The domain of keys. Whoever changes what the encoding means changes the number.
const KEY_CONTEXT: &str = "llmcl 2026 task key v1";
/// The domain of shapes.
const SHAPE_CONTEXT: &str = "llmcl 2026 task shape v1";

/// One part of a key.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// What sort of part it is.
    pub component: Component,
    /// Which one of its sort: a parameter's name, a source file, an input such as `tensors[0]`.
    pub name: String,
    /// What it is. A digest is a text of 64 hexadecimal digits.
    pub value: Value,
}

/// The sorts of parts, in the order in which they stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    /// The stage kind.
    Kind,
    /// A field of all values of an axis that the stage's expressions read.
    AxisField,
    /// The digest of code: of all that is shared, and of each leaf.
    Code,
    /// A parameter.
    Parameter,
    /// Something of the machine, as the stage kind told it.
    Environment,
    /// A member of an input: its title and its labels, or a file of the repository with its digest.
    Input,
    /// What another task put out at that member: its digest, or why it was pruned.
    Content,
}

impl Component {
    /// All of them, in order.
    pub const ALL: [Self; 7] = [
        Self::Kind,
        Self::AxisField,
        Self::Code,
        Self::Parameter,
        Self::Environment,
        Self::Input,
        Self::Content,
    ];

    /// The word for it in messages and files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kind => "kind",
            Self::AxisField => "axis field",
            Self::Code => "code",
            Self::Parameter => "parameter",
            Self::Environment => "environment",
            Self::Input => "input",
            Self::Content => "content",
        }
    }

    /// The byte that stands for it in encodings; 0 ends a list.
    pub(crate) fn tag(self) -> u8 {
        match self {
            Self::Kind => 1,
            Self::AxisField => 2,
            Self::Code => 3,
            Self::Parameter => 4,
            Self::Environment => 5,
            Self::Input => 6,
            Self::Content => 7,
        }
    }
}

/// The key that these parts make.
#[must_use]
pub fn key(parts: &[Part]) -> Hash {
    let mut encoder = Encoder::new(KEY_CONTEXT);
    parts.iter().for_each(|part| encoder.add(part));
    encoder.finish()
}

/// The shape that these parts make: the digest of all but what other tasks put out.
#[must_use]
pub fn shape(parts: &[Part]) -> Hash {
    let mut encoder = Encoder::new(SHAPE_CONTEXT);
    parts
        .iter()
        .filter(|part| part.component != Component::Content)
        .for_each(|part| encoder.add(part));
    encoder.finish()
}

/// Digests parts, each with its lengths before it.
#[derive(Clone)]
struct Encoder {
    hasher: Hasher,
    buffer: Vec<u8>,
}

impl Encoder {
    fn new(context: &str) -> Self {
        Self {
            hasher: Hasher::new_derive_key(context),
            buffer: Vec::new(),
        }
    }

    fn add(&mut self, part: &Part) {
        self.buffer.clear();
        self.buffer.push(part.component.tag());
        self.buffer
            .extend_from_slice(&(part.name.len() as u64).to_le_bytes());
        self.buffer.extend_from_slice(part.name.as_bytes());
        part.value.encode(&mut self.buffer);
        self.hasher.update(&self.buffer);
    }

    fn finish(mut self) -> Hash {
        self.hasher.update(&[0]);
        self.hasher.finalize()
    }
}

/// What is known of the content of a member of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// It is there, with this digest.
    Present(Hash),
    /// A gate ruled it out.
    Pruned(PruneReason),
    /// It hangs on a task whose outputs are not known yet.
    Unknown(TaskId),
}

/// The parts that all tasks of a stage have in common, and the digests up to there.
pub(crate) struct StageParts {
    parts: Vec<Part>,
    key: Encoder,
    shape: Encoder,
}

impl StageParts {
    /// Walks over what a stage's tasks have in common.
    pub(crate) fn of(experiment: &Experiment, stage: StageId) -> Self {
        let stage = &experiment.stages[stage];
        let mut parts = vec![part(Component::Kind, "kind", text(stage.kind.name()))];
        for (axis_name, field) in &stage.axis_reads {
            let Some(axis) = experiment.axes.iter().find(|axis| axis.name == *axis_name) else {
                continue;
            };
            let mut values: Vec<Value> = axis
                .values
                .iter()
                .map(|value| {
                    Value::List(vec![value.label.clone(), value.value.field(field).clone()])
                })
                .collect();
            // The order of an axis's values shows in the order of gathered inputs, where it matters.
            values.sort_by_cached_key(encoded);
            parts.push(part(
                Component::AxisField,
                format!("{axis_name}.{field}"),
                Value::List(values),
            ));
        }
        let (mut key, mut shape) = (Encoder::new(KEY_CONTEXT), Encoder::new(SHAPE_CONTEXT));
        for part in &parts {
            key.add(part);
            shape.add(part);
        }
        Self { parts, key, shape }
    }
}

/// What the walk over a task found.
pub(crate) struct Walk<'a> {
    stage: &'a StageParts,
    parts: Vec<Part>,
    /// The members whose content is not known: what they are called, and the task that they hang on.
    pub(crate) unknown: Vec<(String, TaskId)>,
}

impl<'a> Walk<'a> {
    /// Walks over all that determines a task's outputs. `contents` has an entry for each member of each input, in
    /// the task's order.
    pub(crate) fn over(
        experiment: &Experiment,
        fingerprints: &Fingerprints,
        stage: &'a StageParts,
        task: &Task,
        environment: &BTreeMap<String, Value>,
        contents: &[Vec<Content>],
    ) -> Self {
        let mut walk = Self {
            stage,
            parts: Vec::new(),
            unknown: Vec::new(),
        };
        walk.code(fingerprints, &task.leaves);
        walk.parameters(experiment.stages[task.stage].kind.params(), &task.params);
        for (name, value) in environment {
            walk.add(Component::Environment, name.clone(), value.clone());
        }
        let mut ports: Vec<usize> = (0..task.inputs.len()).collect();
        ports.sort_by(|&a, &b| task.inputs[a].port.cmp(&task.inputs[b].port));
        for port in ports {
            let input = &task.inputs[port];
            for (index, member) in input.members.iter().enumerate() {
                let name = format!("{}[{index}]", input.port);
                walk.member(experiment, name, member, &contents[port][index]);
            }
        }
        walk
    }

    /// The key; none as long as something is not known.
    pub(crate) fn key(&self) -> Option<Hash> {
        self.unknown.is_empty().then(|| {
            let mut encoder = self.stage.key.clone();
            self.parts.iter().for_each(|part| encoder.add(part));
            encoder.finish()
        })
    }

    /// The shape.
    pub(crate) fn shape(&self) -> Hash {
        let mut encoder = self.stage.shape.clone();
        self.parts
            .iter()
            .filter(|part| part.component != Component::Content)
            .for_each(|part| encoder.add(part));
        encoder.finish()
    }

    /// All parts that are known, in order.
    pub(crate) fn into_parts(self) -> Vec<Part> {
        let mut parts = self.stage.parts.clone();
        parts.extend(self.parts);
        parts
    }

    fn add(&mut self, component: Component, name: impl Into<String>, value: Value) {
        self.parts.push(part(component, name, value));
    }

    /// Shared code and each leaf stand by themselves, so that an explanation can say which file it was.
    fn code(&mut self, fingerprints: &Fingerprints, leaves: &[&str]) {
        let value = |digest: Option<&Hash>| digest.map_or(Value::None, |digest| hex(*digest));
        self.add(
            Component::Code,
            "shared",
            value(fingerprints.shared.as_ref()),
        );
        for leaf in leaves {
            self.add(
                Component::Code,
                *leaf,
                value(fingerprints.leaves.get(*leaf)),
            );
        }
    }

    fn parameters(&mut self, described: &[Param], params: &Params) {
        for (name, value) in params.iter() {
            let param = described.iter().find(|param| param.name == name);
            let value = match param {
                Some(param) if !param.in_key => None,
                Some(param) => in_key(value, &param.ty),
                None => Some(value.clone()),
            };
            if let Some(value) = value.filter(|value| !value.is_none()) {
                self.add(Component::Parameter, name, value);
            }
        }
    }

    fn member(
        &mut self,
        experiment: &Experiment,
        name: String,
        member: &InputMember,
        content: &Content,
    ) {
        match member {
            InputMember::File { name: file, .. } => {
                let mut record = BTreeMap::from([("file".to_owned(), text(file))]);
                if let Content::Present(digest) = content {
                    record.insert("content".to_owned(), hex(*digest));
                }
                self.add(Component::Input, name, Value::Record(record));
            }
            InputMember::Task { task, .. } => {
                let task = &experiment.tasks[*task];
                let labels = experiment
                    .labels(task)
                    .map(|(axis, label)| Value::List(vec![text(axis), label.clone()]))
                    .collect();
                let about = Value::Record(BTreeMap::from([
                    ("labels".to_owned(), Value::List(labels)),
                    (
                        "title".to_owned(),
                        text(&experiment.stages[task.stage].title),
                    ),
                ]));
                self.add(Component::Input, name.clone(), about);
                let value = match content {
                    Content::Present(digest) => hex(*digest),
                    Content::Pruned(reason) => Value::Record(BTreeMap::from([
                        ("pruned_by".to_owned(), text(&reason.gate)),
                        ("outcome".to_owned(), text(&reason.outcome)),
                    ])),
                    Content::Unknown(task) => {
                        self.unknown.push((name, *task));
                        return;
                    }
                };
                self.add(Component::Content, name, value);
            }
        }
    }
}

fn part(component: Component, name: impl Into<String>, value: Value) -> Part {
    Part {
        component,
        name: name.into(),
        value,
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn hex(digest: Hash) -> Value {
    Value::Text(digest.to_hex().as_str().to_owned())
}

fn encoded(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.encode(&mut bytes);
    bytes
}

/// What of a value is in the key: no paths, and no fields that are marked as not in the key.
fn in_key(value: &Value, ty: &ParamType) -> Option<Value> {
    if !has_key_content(ty) {
        return None;
    }
    Some(match (ty, value) {
        (ParamType::List(element), Value::List(items)) => Value::List(
            items
                .iter()
                .filter_map(|item| in_key(item, element))
                .collect(),
        ),
        (ParamType::Map(element), Value::Record(entries)) => Value::Record(
            entries
                .iter()
                .filter_map(|(name, entry)| Some((name.clone(), in_key(entry, element)?)))
                .collect(),
        ),
        (ParamType::Record(fields), Value::Record(entries)) => Value::Record(
            entries
                .iter()
                .filter(|(_, entry)| !entry.is_none())
                .filter_map(|(name, entry)| {
                    let entry = match fields.iter().find(|field| field.name == name) {
                        Some(field) if !field.in_key => return None,
                        Some(field) => in_key(entry, &field.ty)?,
                        None => entry.clone(),
                    };
                    Some((name.clone(), entry))
                })
                .collect(),
        ),
        _ => value.clone(),
    })
}

/// Whether any value of this type has something that is in the key.
fn has_key_content(ty: &ParamType) -> bool {
    match ty {
        ParamType::FilePath => false,
        ParamType::List(element) | ParamType::Map(element) => has_key_content(element),
        _ => true,
    }
}
