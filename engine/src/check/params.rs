//! Parameters: literals, values of axes, defaults; checked against what the kind takes.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use llmcl_stages_api::expr;
use llmcl_stages_api::kind::StageKind;
use llmcl_stages_api::param::{Param, ParamType, Params, Presence};
use llmcl_stages_api::registry::{MethodInfo, MethodProblem};
use llmcl_stages_api::suggest::closest;
use llmcl_stages_api::value::Value;

use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::experiment::{STAGE_KEYS, wrong_type};
use crate::model::AxisId;
use crate::toml_tree::{Name, Node, NodeKind};

use super::Checker;
use super::binding::{Bound, is_bound};
use super::stage::{Combination, share};

/// The parameters of all tasks of a stage. Tasks that differ in no parameter share them.
#[derive(Default)]
pub(super) struct StageParams {
    sets: Vec<ParamSet>,
    written: Vec<Arc<Params>>,
    /// Which set each task has.
    of_task: Vec<usize>,
}

struct ParamSet {
    bound: Arc<Params>,
    leaves: Arc<[&'static str]>,
    needs_profile: bool,
}

impl StageParams {
    /// The distinct parameters as they are written: the stage's own axes still stand in expressions by name.
    pub(super) fn written(&self) -> &[Arc<Params>] {
        &self.written
    }

    /// The parameters of a task, with its axis values put into expressions.
    pub(super) fn bound(&self, task: usize) -> Arc<Params> {
        self.set(task)
            .map(|set| set.bound.clone())
            .unwrap_or_default()
    }

    /// The leaves of the code that a task runs.
    pub(super) fn leaves(&self, task: usize) -> Arc<[&'static str]> {
        self.set(task)
            .map_or_else(|| share(Vec::new()), |set| set.leaves.clone())
    }

    /// Whether a task's method decodes only with a profile.
    pub(super) fn needs_profile(&self, task: usize) -> bool {
        self.set(task).is_some_and(|set| set.needs_profile)
    }

    /// Adds a parameter that the engine itself gives.
    pub(super) fn add(&mut self, name: &str, value: &Value) {
        let (name, value) = (Arc::<str>::from(name), Arc::new(value.clone()));
        for set in &mut self.sets {
            Arc::make_mut(&mut set.bound).set(Arc::clone(&name), Arc::clone(&value));
        }
        for params in &mut self.written {
            Arc::make_mut(params).set(Arc::clone(&name), Arc::clone(&value));
        }
    }

    fn set(&self, task: usize) -> Option<&ParamSet> {
        self.sets.get(*self.of_task.get(task)?)
    }
}

/// A parameter as it is written for one stage.
struct Given<'a> {
    spec: &'a Param,
    name: Arc<str>,
    origin: Origin,
    /// What it is where it is left out.
    default: Option<Arc<Value>>,
}

/// Where a parameter's value comes from.
enum Origin {
    /// Written out: the same for all tasks.
    Literal(Checked),
    /// The value of an own axis, or a field of it, or a value with such inside.
    Axes(Bound),
    /// Left out.
    Absent,
}

/// A parameter's value that has been checked, and what it brings. Tasks share it.
pub(super) struct Checked {
    value: Arc<Value>,
    methods: Vec<MethodInfo>,
    /// Whether expressions stand in it.
    expressions: bool,
}

/// A value in the course of being checked.
#[derive(Clone, Default)]
pub(super) struct Converted {
    value: Value,
    methods: Vec<MethodInfo>,
    /// Whether expressions stand in it.
    expressions: bool,
}

impl Checker<'_> {
    /// Checks the parameters of a stage and puts them together for each of its tasks.
    pub(super) fn params(
        &mut self,
        declaration: usize,
        kind: &'static dyn StageKind,
        each: &[AxisId],
        tasks: &[Combination],
    ) -> StageParams {
        let declared = self.declarations;
        let decl = &declared.stages[declaration];
        self.unknown_params(decl, kind);
        let mut given = Vec::new();
        for spec in kind.params() {
            let node = decl.params.iter().find(|(name, _)| name.text == spec.name);
            let origin = match node {
                Some((_, node)) if is_bound(node, &spec.ty) => {
                    Some(Origin::Axes(self.bound_param(spec, node, each, tasks)))
                }
                Some((_, node)) => {
                    let converted = self.convert(node, &spec.ty, false);
                    converted.map(|converted| Origin::Literal(converted.into()))
                }
                None => {
                    if spec.presence == Presence::Required {
                        self.problems.push(
                            Diagnostic::new(
                                Code::MissingKey,
                                format!(
                                    "a stage of kind `{}` needs the key `{}`",
                                    kind.name(),
                                    spec.name
                                ),
                                &decl.name.place,
                                "in this stage",
                            )
                            .help(format!("`{}`: {}", spec.name, spec.about)),
                        );
                    }
                    Some(Origin::Absent)
                }
            };
            // What could not be read has been reported and is treated as left out.
            let origin = origin.unwrap_or(Origin::Absent);
            let name = spec.name.into();
            let default = match spec.presence {
                Presence::Default(scalar) => Some(Arc::new(scalar.into())),
                Presence::Required | Presence::Optional => None,
            };
            given.push(Given {
                spec,
                name,
                origin,
                default,
            });
        }
        self.assemble(kind, each, &given, tasks)
    }

    fn unknown_params(&mut self, decl: &crate::experiment::StageDecl, kind: &dyn StageKind) {
        for (name, _) in &decl.params {
            let specs = kind.params();
            if specs.iter().any(|spec| spec.name == name.text) {
                continue;
            }
            let known = specs
                .iter()
                .map(|spec| spec.name)
                .chain(STAGE_KEYS.iter().copied());
            let problem = Diagnostic::new(
                Code::UnknownKey,
                format!(
                    "unknown key `{}` in a stage of kind `{}`",
                    name.text,
                    kind.name()
                ),
                &name.place,
                "not known here",
            );
            let problem = match closest(&name.text, known.clone()) {
                Some(suggestion) => problem.did_you_mean(Some(suggestion)),
                None => problem.help(format!(
                    "known keys: {}",
                    known.collect::<Vec<_>>().join(", ")
                )),
            };
            self.problems.push(problem);
        }
    }

    /// Checks a value against a type. `from_axis`: it is a whole axis value, which may have fields of other uses.
    pub(super) fn convert(
        &mut self,
        node: &Node,
        ty: &ParamType,
        from_axis: bool,
    ) -> Option<Converted> {
        let plain = |value| {
            Some(Converted {
                value,
                ..Converted::default()
            })
        };
        match (ty, &node.kind) {
            (ParamType::Bool, NodeKind::Bool(bool)) => plain(Value::Bool(*bool)),
            (ParamType::Int { min, max }, NodeKind::Int(int)) => {
                if int < min || int > max {
                    let bounds = if *max == i64::MAX {
                        format!("at least {min}")
                    } else {
                        format!("from {min} to {max}")
                    };
                    self.problems.push(Diagnostic::new(
                        Code::BadValue,
                        format!("{int} is out of range"),
                        &node.place,
                        format!("a whole number {bounds}"),
                    ));
                    return None;
                }
                plain(Value::Int(*int))
            }
            (ParamType::Float, NodeKind::Int(_) | NodeKind::Float(_)) => {
                plain(Value::float(node.value().as_number()?)?)
            }
            (ParamType::Text, NodeKind::Text(text)) => plain(Value::Text(text.clone())),
            (ParamType::Expression, NodeKind::Text(text)) => Some(Converted {
                value: Value::Text(text.clone()),
                expressions: true,
                ..Converted::default()
            }),
            (ParamType::Choice(choices), NodeKind::Text(text)) => {
                if choices.contains(&text.as_str()) {
                    return plain(Value::Text(text.clone()));
                }
                let problem = Diagnostic::new(
                    Code::BadValue,
                    format!("`{text}` is not one of {}", choices.join(", ")),
                    &node.place,
                    "",
                )
                .did_you_mean(closest(text, choices.iter().copied()));
                self.problems.push(problem);
                None
            }
            (ParamType::FilePath, NodeKind::Text(text)) => {
                let folder: &Path = self.sources.folder(node.place.file);
                let full = folder.join(text).display().to_string();
                plain(Value::Text(full))
            }
            (ParamType::List(element), NodeKind::List(list)) => {
                let mut all = Converted::default();
                let mut values = Vec::with_capacity(list.len());
                for node in list {
                    values.push(all.take(self.convert(node, element, false)?));
                }
                all.value = Value::List(values);
                Some(all)
            }
            // One value stands for a list of one.
            (ParamType::List(element), _) => {
                let mut all = self.convert(node, element, false)?;
                all.value = Value::List(vec![std::mem::take(&mut all.value)]);
                Some(all)
            }
            (ParamType::Map(element), NodeKind::Table(entries)) => {
                let mut all = Converted::default();
                let mut values = BTreeMap::new();
                for (name, node) in entries {
                    let value = all.take(self.convert(node, element, false)?);
                    values.insert(name.text.clone(), value);
                }
                all.value = Value::Record(values);
                Some(all)
            }
            (ParamType::Record(fields), NodeKind::Table(entries)) => {
                self.record(node, entries, fields, from_axis)
            }
            (ParamType::Method, NodeKind::Text(_) | NodeKind::Table(_)) => {
                self.method(node, from_axis)
            }
            _ => {
                self.problems.push(wrong_type(node, &describe(ty)));
                None
            }
        }
    }

    fn record(
        &mut self,
        node: &Node,
        entries: &[(Name, Node)],
        fields: &'static [Param],
        from_axis: bool,
    ) -> Option<Converted> {
        let mut all = Converted::default();
        let mut values = BTreeMap::new();
        let mut good = true;
        if !from_axis {
            let known: Vec<&str> = fields.iter().map(|field| field.name).collect();
            crate::experiment::unknown_keys(node, "this table", &known, &mut self.problems);
        }
        for field in fields {
            let entry = entries.iter().find(|(name, _)| name.text == field.name);
            match (entry, field.presence) {
                (Some((_, node)), _) => match self.convert(node, &field.ty, false) {
                    Some(converted) => {
                        values.insert(field.name.to_owned(), all.take(converted));
                    }
                    None => good = false,
                },
                (None, Presence::Default(scalar)) => {
                    values.insert(field.name.to_owned(), scalar.into());
                }
                (None, Presence::Optional) => {}
                (None, Presence::Required) => {
                    good = false;
                    self.problems.push(
                        Diagnostic::new(
                            Code::MissingKey,
                            format!("the key `{}` is missing", field.name),
                            &node.place,
                            "in this table",
                        )
                        .help(format!("`{}`: {}", field.name, field.about)),
                    );
                }
            }
        }
        all.value = Value::Record(values);
        good.then_some(all)
    }

    fn method(&mut self, node: &Node, from_axis: bool) -> Option<Converted> {
        let (name, place, fields) = match &node.kind {
            NodeKind::Text(text) => (text.clone(), node.place.clone(), BTreeMap::new()),
            _ => {
                let named = node.get("use").or_else(|| node.get("name"));
                let Some(named) = named else {
                    self.problems.push(Diagnostic::new(
                        Code::MissingKey,
                        "a method lacks the key `name`",
                        &node.place,
                        "",
                    ));
                    return None;
                };
                let Some(name) = named.as_text() else {
                    self.problems
                        .push(wrong_type(named, "the name of a method"));
                    return None;
                };
                let fields = node.value().as_record().cloned().unwrap_or_default();
                (name.to_owned(), named.place.clone(), fields)
            }
        };
        match self.registry.methods.resolve(&name, &fields) {
            Ok(info) => {
                self.unused_fields(node, &info, from_axis);
                Some(Converted {
                    value: info.value(),
                    methods: vec![info],
                    expressions: false,
                })
            }
            Err(MethodProblem::Unknown) => {
                let names = self.registry.methods.names();
                let suggestion = closest(&name, names.iter().map(String::as_str));
                let problem = Diagnostic::new(
                    Code::UnknownMethod,
                    format!("unknown method `{name}`"),
                    &place,
                    "no method has this name",
                )
                .did_you_mean(suggestion);
                self.problems.push(problem);
                None
            }
            Err(MethodProblem::Parameter { name, message }) => {
                // The number in a name such as `zstd_19` is a parameter too.
                let (place, message) = match node.get(&name).filter(|_| name != "name") {
                    Some(node) => (
                        &node.place,
                        format!("the method's parameter `{name}`: {message}"),
                    ),
                    None => (&place, message),
                };
                self.problems
                    .push(Diagnostic::new(Code::BadValue, message, place, ""));
                None
            }
        }
    }

    /// A method that is written out has no fields but its parameters; an axis value may have labels beside.
    fn unused_fields(&mut self, node: &Node, info: &MethodInfo, from_axis: bool) {
        if from_axis {
            return;
        }
        let mut known: Vec<&str> = info.parameters.keys().map(String::as_str).collect();
        known.extend(["name", "use"]);
        crate::experiment::unknown_keys(node, "this method", &known, &mut self.problems);
    }

    fn assemble(
        &mut self,
        kind: &'static dyn StageKind,
        each: &[AxisId],
        given: &[Given<'_>],
        tasks: &[Combination],
    ) -> StageParams {
        let expressions = given.iter().any(|param| param.origin.has_expressions());
        // The positions in `each` that make a difference: tasks that agree there share their parameters.
        let differ: Vec<usize> = (0..each.len())
            .filter(|&at| {
                expressions
                    || given.iter().any(
                        |param| matches!(&param.origin, Origin::Axes(bound) if bound.hangs_on(each[at])),
                    )
            })
            .collect();
        let mut result = StageParams::default();
        let mut known: HashMap<Vec<usize>, usize> = HashMap::new();
        for (values, _, _) in tasks {
            let key: Vec<usize> = differ.iter().map(|&at| values[at]).collect();
            let set = *known.entry(key).or_insert_with(|| {
                let own = expressions.then(|| self.axis_values(each, values));
                let (written, set) = put_together(kind, each, values, given, own.as_ref());
                result.written.push(written);
                result.sets.push(set);
                result.sets.len() - 1
            });
            result.of_task.push(set);
        }
        result.written.dedup();
        result
    }
}

impl Origin {
    fn has_expressions(&self) -> bool {
        match self {
            Self::Literal(converted) => converted.expressions,
            Self::Axes(bound) => bound.values().any(|checked| checked.expressions),
            Self::Absent => false,
        }
    }
}

impl From<Converted> for Checked {
    fn from(converted: Converted) -> Self {
        Self {
            value: Arc::new(converted.value),
            methods: converted.methods,
            expressions: converted.expressions,
        }
    }
}

impl Converted {
    /// Takes over what a part brings, and returns the part's value.
    fn take(&mut self, part: Self) -> Value {
        self.methods.extend(part.methods);
        self.expressions |= part.expressions;
        part.value
    }
}

/// The parameters of a task as they are written, and with `own`, its axis values, put into the expressions, if any
/// are there.
fn put_together(
    kind: &'static dyn StageKind,
    each: &[AxisId],
    values: &[usize],
    given: &[Given<'_>],
    own: Option<&BTreeMap<String, Value>>,
) -> (Arc<Params>, ParamSet) {
    let mut written = Params::default();
    let mut expressions = Vec::new();
    let mut leaves: Vec<&'static str> = kind.leaves().to_vec();
    let mut needs_profile = false;
    for param in given {
        let checked = match &param.origin {
            Origin::Literal(checked) => Some(checked),
            Origin::Axes(bound) => bound.value(each, values),
            Origin::Absent => None,
        };
        if let Some(checked) = checked {
            for method in &checked.methods {
                leaves.extend(&method.leaves);
                needs_profile |= method.needs_profile;
            }
            if checked.expressions {
                expressions.push((param, checked));
            }
        }
        if let Some(value) = checked
            .map(|checked| &checked.value)
            .or(param.default.as_ref())
        {
            written.set(Arc::clone(&param.name), Arc::clone(value));
        }
    }
    let written = Arc::new(written);
    let mut bound = Arc::clone(&written);
    if let Some(own) = own {
        for (param, checked) in expressions {
            let value = Arc::new(bind(&checked.value, &param.spec.ty, own));
            Arc::make_mut(&mut bound).set(Arc::clone(&param.name), value);
        }
    }
    let set = ParamSet {
        bound,
        leaves: share(leaves),
        needs_profile,
    };
    (written, set)
}

/// Puts the values of the stage's own axes into expressions, in canonical form.
fn bind(value: &Value, ty: &ParamType, own: &BTreeMap<String, Value>) -> Value {
    match (ty, value) {
        (ParamType::Expression, Value::Text(text)) => match expr::parse(text) {
            Ok(expr) => Value::Text(expr.bind(own).to_string()),
            Err(_) => value.clone(),
        },
        (ParamType::List(element), Value::List(list)) => {
            Value::List(list.iter().map(|value| bind(value, element, own)).collect())
        }
        (ParamType::Map(element), Value::Record(record)) => Value::Record(
            record
                .iter()
                .map(|(name, value)| (name.clone(), bind(value, element, own)))
                .collect(),
        ),
        (ParamType::Record(fields), Value::Record(record)) => Value::Record(
            record
                .iter()
                .map(|(name, value)| {
                    let field = fields.iter().find(|field| field.name == name);
                    let value =
                        field.map_or_else(|| value.clone(), |field| bind(value, &field.ty, own));
                    (name.clone(), value)
                })
                .collect(),
        ),
        _ => value.clone(),
    }
}

/// What a type takes, for messages.
fn describe(ty: &ParamType) -> String {
    match ty {
        ParamType::Bool => "a truth value".to_owned(),
        ParamType::Int { .. } => "a whole number".to_owned(),
        ParamType::Float => "a number".to_owned(),
        ParamType::Text => "a text".to_owned(),
        ParamType::Choice(choices) => format!("one of {}", choices.join(", ")),
        ParamType::Expression => "an expression, written as a text".to_owned(),
        ParamType::List(element) => format!("a list, each {}", describe(element)),
        ParamType::Record(_) | ParamType::Map(_) => "a table".to_owned(),
        ParamType::Method => "a method: its name, or { axis = \"…\" }".to_owned(),
        ParamType::FilePath => "the path of a file".to_owned(),
    }
}
