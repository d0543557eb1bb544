//! The key of a task: the digest of all that determines its outputs.
//!
//! One walk makes an ordered list of [`Part`]s. The [`key`] is the digest of that list, the record keeps it, and
//! `explain` holds two of them against each other, so that key and explanation cannot disagree. The [`shape`] is
//! the digest of the parts that are known before anything runs: tasks whose inputs are not known yet can be looked
//! for by it.
//!
//! Not among the parts are paths, the host, the time, jobs, the names of stages, experiments and files, and the
//! order in which a file says things that have no order.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use blake3::{Hash, Hasher};
use llmcl_stages_api::fingerprint::Fingerprints;
use llmcl_stages_api::param::ParamType;
use llmcl_stages_api::task::PruneReason;
use llmcl_stages_api::value::Value;

use crate::model::{Experiment, Input, InputMember, StageId, Task, TaskId};

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
    for part in parts {
        encoder.add(part.component, &part.name, &part.value);
    }
    encoder.finish()
}

/// The shape that these parts make: the digest of all but what other tasks put out.
#[must_use]
pub fn shape(parts: &[Part]) -> Hash {
    let mut encoder = Encoder::new(SHAPE_CONTEXT);
    for part in parts {
        if part.component != Component::Content {
            encoder.add(part.component, &part.name, &part.value);
        }
    }
    encoder.finish()
}

/// How many bytes of parts are digested at a time.
const BUFFERED: usize = 8 << 10;

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

    fn add(&mut self, component: Component, name: &str, value: &Value) {
        self.buffer.push(component.tag());
        self.buffer
            .extend_from_slice(&(name.len() as u64).to_le_bytes());
        self.buffer.extend_from_slice(name.as_bytes());
        value.encode(&mut self.buffer);
        if self.buffer.len() >= BUFFERED {
            self.hasher.update(&self.buffer);
            self.buffer.clear();
        }
    }

    fn finish(mut self) -> Hash {
        self.buffer.push(0);
        self.hasher.update(&self.buffer);
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
        for Part {
            component,
            name,
            value,
        } in &parts
        {
            key.add(*component, name, value);
            shape.add(*component, name, value);
        }
        Self { parts, key, shape }
    }
}

/// The digests of code as values.
pub(crate) struct Code {
    shared: Value,
    leaves: BTreeMap<String, Value>,
}

impl Code {
    pub(crate) fn of(fingerprints: &Fingerprints) -> Self {
        Self {
            shared: fingerprints.shared.map_or(Value::None, hex),
            leaves: fingerprints
                .leaves
                .iter()
                .map(|(leaf, digest)| (leaf.clone(), hex(*digest)))
                .collect(),
        }
    }
}

/// A walk over all that determines a task's outputs, as far as it is known. Each digest takes it anew, so that
/// nothing is kept or copied for the tasks of which only the key is asked.
pub(crate) struct Walk<'a> {
    pub(crate) experiment: &'a Experiment,
    pub(crate) stage: &'a StageParts,
    pub(crate) code: &'a Code,
    pub(crate) task: &'a Task,
    pub(crate) environment: BTreeMap<String, Value>,
    /// The task's inputs, ordered by port, and what is known of each member.
    pub(crate) inputs: Vec<(&'a Input, Vec<Content>)>,
}

impl Walk<'_> {
    /// The key; none as long as something is not known.
    pub(crate) fn key(&self) -> Option<Hash> {
        self.waits_for().is_none().then(|| {
            let mut encoder = self.stage.key.clone();
            self.visit(&mut |component, name, value| encoder.add(component, name, value));
            encoder.finish()
        })
    }

    /// The shape.
    pub(crate) fn shape(&self) -> Hash {
        let mut encoder = self.stage.shape.clone();
        self.visit(&mut |component, name, value| {
            if component != Component::Content {
                encoder.add(component, name, value);
            }
        });
        encoder.finish()
    }

    /// All parts that are known, in order.
    pub(crate) fn parts(&self) -> Vec<Part> {
        let mut parts = self.stage.parts.clone();
        self.visit(&mut |component, name, value| parts.push(part(component, name, value.clone())));
        parts
    }

    /// The first task whose outputs are not known.
    pub(crate) fn waits_for(&self) -> Option<TaskId> {
        self.contents().find_map(|(_, _, content)| match content {
            Content::Unknown(task) => Some(*task),
            Content::Present(_) | Content::Pruned(_) => None,
        })
    }

    /// The members whose content is not known: what they are called, and the task that they hang on.
    pub(crate) fn unknown(&self) -> Vec<(String, TaskId)> {
        let open = self.contents().filter_map(|(port, index, content)| {
            let Content::Unknown(task) = content else {
                return None;
            };
            Some((format!("{port}[{index}]"), *task))
        });
        open.collect()
    }

    fn contents(&self) -> impl Iterator<Item = (&str, usize, &Content)> {
        self.inputs.iter().flat_map(|(input, contents)| {
            let contents = contents.iter().enumerate();
            contents.map(|(index, content)| (input.port.as_str(), index, content))
        })
    }

    fn visit(&self, part: &mut dyn FnMut(Component, &str, &Value)) {
        // Shared code and each leaf stand by themselves, so that an explanation can say which file it was.
        part(Component::Code, "shared", &self.code.shared);
        for leaf in &*self.task.leaves {
            let digest = self.code.leaves.get(*leaf).unwrap_or(&Value::None);
            part(Component::Code, leaf, digest);
        }
        let described = self.experiment.stages[self.task.stage].kind.params();
        for (name, value) in self.task.params.iter() {
            let param = described.iter().find(|param| param.name == name);
            let value = match param {
                Some(param) if !param.in_key => None,
                Some(param) => in_key(value, &param.ty),
                None => Some(Cow::Borrowed(value)),
            };
            if let Some(value) = value.filter(|value| !value.is_none()) {
                part(Component::Parameter, name, &value);
            }
        }
        for (name, value) in &self.environment {
            part(Component::Environment, name, value);
        }
        let mut name = String::new();
        for (input, contents) in &self.inputs {
            for (index, (member, content)) in input.members.iter().zip(contents).enumerate() {
                name.clear();
                // Writing to a text cannot fail.
                let _ = write!(name, "{}[{index}]", input.port);
                self.member(&name, member, content, part);
            }
        }
    }

    fn member(
        &self,
        name: &str,
        member: &InputMember,
        content: &Content,
        part: &mut dyn FnMut(Component, &str, &Value),
    ) {
        match member {
            InputMember::File { name: file, .. } => {
                let mut record = BTreeMap::from([("file".to_owned(), text(file))]);
                if let Content::Present(digest) = content {
                    record.insert("content".to_owned(), hex(*digest));
                }
                part(Component::Input, name, &Value::Record(record));
            }
            InputMember::Task { task, .. } => {
                let task = &self.experiment.tasks[*task];
                let labels = self
                    .experiment
                    .labels(task)
                    .map(|(axis, label)| Value::List(vec![text(axis), label.clone()]))
                    .collect();
                let about = Value::Record(BTreeMap::from([
                    ("labels".to_owned(), Value::List(labels)),
                    (
                        "title".to_owned(),
                        text(&self.experiment.stages[task.stage].title),
                    ),
                ]));
                part(Component::Input, name, &about);
                let value = match content {
                    Content::Present(digest) => hex(*digest),
                    Content::Pruned(reason) => Value::Record(BTreeMap::from([
                        ("pruned_by".to_owned(), text(&reason.gate)),
                        ("outcome".to_owned(), text(&reason.outcome)),
                    ])),
                    Content::Unknown(_) => return,
                };
                part(Component::Content, name, &value);
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
fn in_key<'a>(value: &'a Value, ty: &ParamType) -> Option<Cow<'a, Value>> {
    if !has_key_content(ty) {
        return None;
    }
    if is_key_content(value, ty) {
        return Some(Cow::Borrowed(value));
    }
    let owned = |value: &Value, ty: &ParamType| in_key(value, ty).map(Cow::into_owned);
    Some(Cow::Owned(match (ty, value) {
        (ParamType::List(element), Value::List(items)) => Value::List(
            items
                .iter()
                .filter_map(|item| owned(item, element))
                .collect(),
        ),
        (ParamType::Map(element), Value::Record(entries)) => Value::Record(
            entries
                .iter()
                .filter_map(|(name, entry)| Some((name.clone(), owned(entry, element)?)))
                .collect(),
        ),
        (ParamType::Record(fields), Value::Record(entries)) => Value::Record(
            entries
                .iter()
                .filter(|(_, entry)| !entry.is_none())
                .filter_map(|(name, entry)| {
                    let entry = match fields.iter().find(|field| field.name == name) {
                        Some(field) if !field.in_key => return None,
                        Some(field) => owned(entry, &field.ty)?,
                        None => entry.clone(),
                    };
                    Some((name.clone(), entry))
                })
                .collect(),
        ),
        _ => value.clone(),
    }))
}

/// Whether all of a value is in the key as it is.
fn is_key_content(value: &Value, ty: &ParamType) -> bool {
    match (ty, value) {
        (ParamType::FilePath, _) => false,
        (ParamType::List(element), Value::List(items)) => {
            items.iter().all(|item| is_key_content(item, element))
        }
        (ParamType::Map(element), Value::Record(entries)) => {
            entries.values().all(|entry| is_key_content(entry, element))
        }
        (ParamType::Record(fields), Value::Record(entries)) => {
            entries.iter().all(|(name, entry)| {
                let field = fields.iter().find(|field| field.name == name);
                !entry.is_none()
                    && field.is_none_or(|field| field.in_key && is_key_content(entry, &field.ty))
            })
        }
        _ => true,
    }
}

/// Whether any value of this type has something that is in the key.
fn has_key_content(ty: &ParamType) -> bool {
    match ty {
        ParamType::FilePath => false,
        ParamType::List(element) | ParamType::Map(element) => has_key_content(element),
        _ => true,
    }
}
