//! Inputs: which tasks of other stages go into which task of this one.

use std::collections::{BTreeMap, HashMap};

use llmcl_stages_api::expr::{Env, Expr, eval, is_true};
use llmcl_stages_api::kind::{InputSchema, StageKind};
use llmcl_stages_api::port::{Arity, InputPort, PortType};
use llmcl_stages_api::suggest::closest;
use llmcl_stages_api::table::Schema;

use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::experiment::{Element, ElementSource, InputDecl};
use crate::expression;
use crate::model::{AxisId, Input, InputMember, StageId, TaskId};
use crate::source::Place;
use crate::toml_tree::{Name, Node};

use super::Checker;

/// An input port of a stage, with all that may come in.
pub(super) struct ResolvedInput {
    pub(super) port: Name,
    pub(super) spec: InputPort,
    pub(super) sources: Vec<Source>,
}

/// One thing that may come in at a port.
pub(super) enum Source {
    /// The tasks of another stage.
    Stage(Join),
    /// A file of the repository, the same for every task.
    File(InputMember),
    /// Files that a field of an axis value names: own axis, and the members of each of its values.
    Field(AxisId, Vec<Vec<InputMember>>),
}

/// How the tasks of another stage are joined and gathered.
pub(super) struct Join {
    pub(super) stage: StageId,
    pub(super) port: usize,
    place: Place,
    condition: Option<(Node, Expr)>,
    /// For each of our axes that is joined: its position in `each`, and for each of its values the value of the
    /// other stage's axis with the same label.
    joined: Vec<(usize, Vec<Option<usize>>)>,
    /// The other stage's tasks by their values on the joined axes, in the order of `joined`.
    index: HashMap<Vec<usize>, Vec<TaskId>>,
}

/// An axis of ours that is joined with one of theirs: our position in `each`, their position, and for each of our
/// values theirs with the same label.
type JoinedAxis = (usize, usize, Vec<Option<usize>>);

/// What was noticed while tasks were joined, told once for each stage.
#[derive(Default)]
pub(super) struct Found {
    /// Ports that take one and got more: the port, the task's values, the members.
    too_many: Option<(usize, Vec<usize>, Vec<InputMember>)>,
    /// Gathered ports that got nothing.
    empty: Option<(usize, Vec<usize>)>,
    /// A `where` that could not be evaluated.
    failed: Option<Diagnostic>,
}

impl Source {
    pub(super) fn stage(&self) -> Option<StageId> {
        match self {
            Self::Stage(join) => Some(join.stage),
            _ => None,
        }
    }
}

impl Checker<'_> {
    /// Finds what the inputs of a stage name, and reports what does not fit.
    pub(super) fn resolve_inputs(
        &mut self,
        declaration: usize,
        kind: Option<&'static dyn StageKind>,
        each: &[AxisId],
    ) -> Vec<ResolvedInput> {
        let declared = self.declarations;
        let decl = &declared.stages[declaration];
        let mut inputs = Vec::new();
        for input in &decl.inputs {
            let spec = match kind {
                Some(kind) => self.port(kind, input),
                None => Some(ANY_PORT),
            };
            let sources = input
                .elements
                .iter()
                .flat_map(|element| self.element(element, spec.as_ref(), each))
                .collect();
            if let Some(spec) = spec {
                inputs.push(ResolvedInput {
                    port: input.port.clone(),
                    spec,
                    sources,
                });
            }
        }
        if let Some(kind) = kind {
            self.missing_inputs(declaration, kind);
        }
        inputs
    }

    fn port(&mut self, kind: &'static dyn StageKind, input: &InputDecl) -> Option<InputPort> {
        let ports = kind.inputs();
        let fixed = ports.fixed.iter().find(|port| port.name == input.port.text);
        if let Some(mut port) = fixed.copied().or(ports.open) {
            // Of ports that stand for one another the one that is given is needed, and so is one that the user
            // named.
            let chosen = ports
                .one_of
                .iter()
                .flat_map(|set| set.iter())
                .any(|name| *name == port.name);
            port.required |= chosen || fixed.is_none();
            return Some(port);
        }
        let names = ports.fixed.iter().map(|port| port.name);
        let problem = Diagnostic::new(
            Code::UnknownPort,
            format!(
                "a stage of kind `{}` has no input port `{}`",
                kind.name(),
                input.port.text
            ),
            &input.port.place,
            "no such port",
        );
        let problem = match closest(&input.port.text, names.clone()) {
            Some(name) => problem.did_you_mean(Some(name)),
            None => problem.help(format!(
                "its ports are {}",
                names.collect::<Vec<_>>().join(", ")
            )),
        };
        self.problems.push(problem);
        None
    }

    fn missing_inputs(&mut self, declaration: usize, kind: &'static dyn StageKind) {
        let declared = self.declarations;
        let decl = &declared.stages[declaration];
        let given = |name: &str| decl.inputs.iter().any(|input| input.port.text == name);
        let mut missing = |message: String| {
            self.problems.push(Diagnostic::new(
                Code::MissingInput,
                message,
                &decl.name.place,
                "in this stage",
            ));
        };
        let ports = kind.inputs();
        for port in ports.fixed {
            if port.required && !given(port.name) {
                missing(format!(
                    "a stage of kind `{}` needs an input at the port `{}`: {}",
                    kind.name(),
                    port.name,
                    port.about
                ));
            }
        }
        for set in ports.one_of {
            let count = set.iter().filter(|name| given(name)).count();
            if count != 1 {
                missing(format!(
                    "a stage of kind `{}` takes an input at exactly one of the ports {}; it has {count}",
                    kind.name(),
                    set.join(", ")
                ));
            }
        }
        if let Some(open) = ports.open
            && open.required
            && decl.inputs.is_empty()
        {
            missing(format!(
                "a stage of kind `{}` needs at least one input: {}",
                kind.name(),
                open.about
            ));
        }
    }

    fn element(
        &mut self,
        element: &Element,
        spec: Option<&InputPort>,
        each: &[AxisId],
    ) -> Vec<Source> {
        match &element.source {
            ElementSource::Stages {
                from,
                port,
                condition,
                map,
            } => from
                .iter()
                .filter_map(|name| {
                    self.join(name, port.as_ref(), condition.as_ref(), map, spec, each)
                })
                .collect(),
            ElementSource::Path(path) => {
                self.expect_file(spec, &element.place);
                self.file(path).map(Source::File).into_iter().collect()
            }
            ElementSource::Axis(path) => {
                self.expect_file(spec, &element.place);
                self.field_files(path, each).into_iter().collect()
            }
        }
    }

    fn expect_file(&mut self, spec: Option<&InputPort>, place: &Place) {
        if let Some(spec) = spec
            && !PortType::File.fits(spec.ty)
        {
            self.problems.push(wrong_port(PortType::File, spec, place));
        }
    }

    fn join(
        &mut self,
        name: &Name,
        port: Option<&Name>,
        condition: Option<&Node>,
        map: &[(Name, Name)],
        spec: Option<&InputPort>,
        each: &[AxisId],
    ) -> Option<Source> {
        let stage = *self.by_name.get(&name.text)?;
        let index = self.output_index(stage, name, port)?;
        let output = &self.stages[stage].outputs[index];
        if let Some(spec) = spec
            && !output.ty.fits(spec.ty)
        {
            let place = port.map_or(&name.place, |port| &port.place);
            let problem = wrong_port(output.ty, spec, place);
            self.problems.push(problem);
            return None;
        }
        let theirs = self.stages[stage].each.clone();
        let joined = self.joined_axes(name, &theirs, each, map)?;
        let condition = match condition {
            Some(node) => {
                let mut variables = self.axis_types(each);
                variables.extend(self.axis_types(&theirs));
                let (expr, _) =
                    expression::condition(self.sources, node, variables, &mut self.problems)?;
                Some((node.clone(), expr))
            }
            None => None,
        };
        let mut by_values: HashMap<Vec<usize>, Vec<TaskId>> = HashMap::new();
        for task in self.stages[stage].tasks.clone() {
            let values = &self.tasks[task].values;
            let key = joined
                .iter()
                .map(|(_, theirs, _)| values[*theirs])
                .collect();
            by_values.entry(key).or_default().push(task);
        }
        Some(Source::Stage(Join {
            stage,
            port: index,
            place: name.place.clone(),
            condition,
            joined: joined
                .into_iter()
                .map(|(ours, _, values)| (ours, values))
                .collect(),
            index: by_values,
        }))
    }

    fn output_index(&mut self, stage: StageId, name: &Name, port: Option<&Name>) -> Option<usize> {
        let built = &self.stages[stage];
        let outputs = &built.outputs;
        if built.stage.is_none() {
            return Some(0);
        }
        // The outputs of some kinds hang on parameters; if those are wrong, there may be none.
        if outputs.is_empty() {
            if !built.broken {
                let problem = Diagnostic::new(
                    Code::UnknownPort,
                    format!("the stage `{}` puts nothing out", name.text),
                    &name.place,
                    "asked for an output here",
                );
                self.problems.push(problem);
            }
            return None;
        }
        let Some(port) = port else {
            return Some(0);
        };
        let found = outputs.iter().position(|output| output.name == port.text);
        if found.is_none() {
            let names = outputs.iter().map(|output| output.name.as_str());
            let problem = Diagnostic::new(
                Code::UnknownPort,
                format!("the stage has no output port `{}`", port.text),
                &port.place,
                "no such port",
            )
            .help(format!(
                "its ports are {}",
                names.collect::<Vec<_>>().join(", ")
            ));
            self.problems.push(problem);
        }
        found
    }

    /// Which of our axes are joined to which of theirs.
    fn joined_axes(
        &mut self,
        name: &Name,
        theirs: &[AxisId],
        ours: &[AxisId],
        map: &[(Name, Name)],
    ) -> Option<Vec<JoinedAxis>> {
        let before = self.problems.len();
        let mut joined = Vec::new();
        for (their_name, our_name) in map {
            let position = |axes: &[AxisId], name: &str| {
                axes.iter()
                    .position(|&axis| self.axes.axes[axis].name == name)
            };
            let their = position(theirs, &their_name.text);
            let our = position(ours, &our_name.text);
            if their.is_none() {
                let message = format!(
                    "the stage `{}` is not repeated over `{}`",
                    name.text, their_name.text
                );
                let problem = Diagnostic::new(
                    Code::BadMap,
                    message,
                    &their_name.place,
                    "an axis of the other stage stands here",
                );
                self.problems
                    .push(problem.also(&name.place, "the other stage"));
            }
            if our.is_none() {
                self.problems.push(Diagnostic::new(
                    Code::BadMap,
                    format!("this stage is not repeated over `{}`", our_name.text),
                    &our_name.place,
                    "an axis of this stage stands here",
                ));
            }
            if let (Some(their), Some(our)) = (their, our) {
                joined.push((our, their));
            }
        }
        for (their, axis) in theirs.iter().enumerate() {
            let mapped = map
                .iter()
                .any(|(name, _)| name.text == self.axes.axes[*axis].name);
            if !mapped && let Some(our) = ours.iter().position(|other| other == axis) {
                joined.push((our, their));
            }
        }
        let matched = joined
            .into_iter()
            .map(|(our, their)| (our, their, self.matching(ours[our], theirs[their])))
            .collect();
        (self.problems.len() == before).then_some(matched)
    }

    /// For each value of one axis the value of another with the same label.
    fn matching(&self, ours: AxisId, theirs: AxisId) -> Vec<Option<usize>> {
        let theirs = &self.axes.axes[theirs].values;
        let labels: BTreeMap<String, usize> = theirs
            .iter()
            .enumerate()
            .map(|(index, value)| (value.label.to_string(), index))
            .collect();
        self.axes.axes[ours]
            .values
            .iter()
            .map(|value| labels.get(&value.label.to_string()).copied())
            .collect()
    }

    /// The inputs of the task with these values; nothing if the task does not exist.
    pub(super) fn members(
        &self,
        inputs: &[ResolvedInput],
        each: &[AxisId],
        values: &[usize],
        found: &mut Found,
    ) -> Option<Vec<Input>> {
        let mut result = Vec::with_capacity(inputs.len());
        for (number, input) in inputs.iter().enumerate() {
            let mut members = Vec::new();
            let mut exists = false;
            for source in &input.sources {
                match source {
                    Source::File(member) => {
                        exists = true;
                        members.push(member.clone());
                    }
                    Source::Field(axis, files) => {
                        let position = each.iter().position(|own| own == axis);
                        let files = position.and_then(|at| files.get(values[at]));
                        let files = files.map(Vec::as_slice).unwrap_or_default();
                        exists |= !files.is_empty();
                        members.extend_from_slice(files);
                    }
                    Source::Stage(join) => {
                        exists |= self.gather(join, each, values, &mut members, found);
                    }
                }
            }
            if input.spec.required && !exists {
                return None;
            }
            if input.spec.arity == Arity::One && members.len() > 1 {
                found
                    .too_many
                    .get_or_insert_with(|| (number, values.to_vec(), members.clone()));
            }
            if members.is_empty() {
                if input.spec.required {
                    if input.spec.arity == Arity::One {
                        return None;
                    }
                    found.empty.get_or_insert_with(|| (number, values.to_vec()));
                }
                continue;
            }
            result.push(Input {
                port: input.port.text.clone(),
                members,
            });
        }
        Some(result)
    }

    /// Adds the tasks that a join yields, and tells whether there were any before its `where`.
    fn gather(
        &self,
        join: &Join,
        each: &[AxisId],
        values: &[usize],
        members: &mut Vec<InputMember>,
        found: &mut Found,
    ) -> bool {
        let key: Option<Vec<usize>> = join
            .joined
            .iter()
            .map(|(ours, theirs)| theirs[values[*ours]])
            .collect();
        let Some(tasks) = key.and_then(|key| join.index.get(&key)) else {
            return false;
        };
        let Some((node, expr)) = &join.condition else {
            members.extend(super::stage::task_members(tasks.iter().copied(), join.port));
            return !tasks.is_empty();
        };
        let own = self.axis_values(each, values);
        for &task in tasks {
            let mut variables = own.clone();
            let theirs = &self.stages[join.stage].each;
            variables.extend(self.axis_values(theirs, &self.tasks[task].values));
            match eval(expr, &Env::variables(&variables)) {
                Ok(value) if is_true(&value) => members.push(InputMember::Task {
                    task,
                    port: join.port,
                }),
                Ok(_) => {}
                Err(error) => {
                    found.failed.get_or_insert_with(|| {
                        let place = node.inside(self.sources, error.span.clone());
                        Diagnostic::new(Code::ExpressionType, error.to_string(), &place, "")
                    });
                }
            }
        }
        !tasks.is_empty()
    }

    /// Reports what was noticed while the tasks of a stage were joined.
    pub(super) fn report_found(&mut self, inputs: &[ResolvedInput], each: &[AxisId], found: Found) {
        self.problems.extend(found.failed);
        if let Some((number, values, members)) = found.too_many {
            let input = &inputs[number];
            let names: Vec<String> = members
                .iter()
                .take(3)
                .map(|member| self.member_name(member))
                .collect();
            let for_task = self.for_task(each, &values);
            let problem = Diagnostic::new(
                Code::TooMany,
                format!(
                    "the port `{}` takes one artifact, and {} come in{for_task}",
                    input.port.text,
                    members.len()
                ),
                &input.port.place,
                "takes one",
            )
            .help(format!("such as {}", names.join(" and ")))
            .help("repeat the stage over the same axes (`each`), join axes of other names with `map`, or choose with `where`");
            self.problems.push(problem);
        }
        if let Some((number, values)) = found.empty {
            let input = &inputs[number];
            let for_task = self.for_task(each, &values);
            let mut problem = Diagnostic::new(
                Code::EmptyGather,
                format!(
                    "nothing comes in at the port `{}`{for_task}",
                    input.port.text
                ),
                &input.port.place,
                "needs at least one artifact",
            );
            for source in &input.sources {
                if let Source::Stage(join) = source
                    && let Some((node, _)) = &join.condition
                {
                    problem = problem.also(&node.place, "this lets none of them through");
                }
            }
            self.problems.push(problem);
        }
    }

    /// Which task a message is about: ` for model = x, method = y`.
    fn for_task(&self, each: &[AxisId], values: &[usize]) -> String {
        let parts: Vec<String> = each
            .iter()
            .zip(values)
            .map(|(&axis, &value)| {
                let axis = &self.axes.axes[axis];
                format!("{} = {}", axis.name, axis.values[value].label)
            })
            .collect();
        match parts.is_empty() {
            true => String::new(),
            false => format!(" for {}", parts.join(", ")),
        }
    }

    /// What a member is called in messages.
    pub(super) fn member_name(&self, member: &InputMember) -> String {
        match member {
            InputMember::File { path, .. } => format!("the file {}", path.display()),
            InputMember::Task { task, .. } => format!("`{}`", self.task_name(*task)),
        }
    }

    /// The name of a task that has been built.
    pub(super) fn task_name(&self, task: TaskId) -> String {
        let built = &self.stages[self.tasks[task].stage];
        let mut name = self.declaration(built.declaration).name.text.clone();
        for (&axis, &value) in built.each.iter().zip(&self.tasks[task].values) {
            name.push('/');
            match &self.axes.axes[axis].values[value].label {
                llmcl_stages_api::value::Value::Text(text) => name.push_str(text),
                other => name.push_str(&other.to_string()),
            }
        }
        name
    }

    /// What comes in at each port, as far as it is known.
    pub(super) fn input_schemas(
        &mut self,
        inputs: &[ResolvedInput],
    ) -> BTreeMap<String, InputSchema> {
        let mut schemas = BTreeMap::new();
        for input in inputs {
            let mut seen = Vec::new();
            for source in &input.sources {
                seen.push(match source {
                    Source::Stage(join) => (self.seen_schema(join.stage, join.port), &join.place),
                    _ => {
                        let file = InputSchema {
                            ty: PortType::File,
                            schema: Schema::default(),
                            volatile: false,
                        };
                        (file, &input.port.place)
                    }
                });
            }
            let union = Schema::union(seen.iter().map(|(input, _)| &input.schema));
            let schema = match union {
                Ok(schema) => schema,
                Err(error) => {
                    let problem = Diagnostic::new(
                        Code::WrongType,
                        format!(
                            "the tables at the port `{}` do not go together: {error}",
                            input.port.text
                        ),
                        &input.port.place,
                        "",
                    );
                    self.problems
                        .push(seen.iter().fold(problem, |problem, (_, place)| {
                            problem.also(place, "one of them")
                        }));
                    Schema::default().open()
                }
            };
            let Some((first, _)) = seen.first() else {
                continue;
            };
            schemas.insert(
                input.port.text.clone(),
                InputSchema {
                    ty: first.ty,
                    schema,
                    volatile: seen.iter().any(|(input, _)| input.volatile),
                },
            );
        }
        schemas
    }
}

/// The port of a kind that does not exist yet: takes everything.
const ANY_PORT: InputPort = InputPort {
    name: "",
    ty: PortType::Any,
    arity: Arity::Many,
    required: false,
    about: "",
};

fn wrong_port(found: PortType, spec: &InputPort, place: &Place) -> Diagnostic {
    Diagnostic::new(
        Code::WrongPort,
        format!(
            "the port `{}` takes {}, and this is {}",
            spec.name,
            spec.ty.name(),
            found.name()
        ),
        place,
        format!("puts out {}", found.name()),
    )
    .help("another output is chosen with `port`: { from = \"…\", port = \"…\" }")
}
