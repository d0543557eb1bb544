//! One stage: its kind, its axes, its inputs, its tasks, and what its kind has to say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use llmcl_stages_api::expr::{Env, eval, is_true};
use llmcl_stages_api::kind::{
    Check, CheckResult, InputSchema, OutputSchema, Problem, ProblemKind, StageKind,
};
use llmcl_stages_api::port::PortType;
use llmcl_stages_api::suggest::closest;
use llmcl_stages_api::table::{Column, Schema};
use llmcl_stages_api::value::{Type, Value};

use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::expression;
use crate::model::{AxisId, Input, InputMember, Stage, Task};
use crate::toml_tree::Node;

use super::join::Found;
use super::{Built, Checker};

/// The most combinations of axis values of a stage, and the most tasks of an experiment: a slip in `each` must not
/// fill the memory.
const TASK_LIMIT: usize = 1_000_000;

impl Checker<'_> {
    /// Builds a stage whose upstream stages have been built.
    pub(super) fn build(&mut self, declaration: usize) {
        let before = self.problems.len();
        let declared = self.declarations;
        let decl = &declared.stages[declaration];
        let kind = self.kind(declaration);
        let each = self.each(declaration);
        let each_is_whole = each.len() == decl.each.len();
        let inputs = self.resolve_inputs(declaration, kind, &each);
        let gates = self.resolve_gates(declaration, &each);
        let mut combinations = match each_is_whole {
            true => self.combinations(declaration, &each),
            false => Vec::new(),
        };
        let first_task = self.tasks.len();
        let mut found = Found::default();
        let mut built = Vec::new();
        for values in combinations.drain(..) {
            let Some(members) = self.members(&inputs, &each, &values, &mut found) else {
                continue;
            };
            let Some(asked) = gates.tasks(&values) else {
                continue;
            };
            built.push((values, members, asked));
        }
        self.report_found(&inputs, &each, found);
        let mut schemas = self.input_schemas(&inputs);
        let mut params = match kind {
            Some(kind) => self.params(declaration, kind, &each, &built),
            None => super::params::StageParams::default(),
        };
        let mut claims = super::claims::OwnClaims::default();
        if kind.is_some_and(StageKind::owns_claims) {
            claims = self.own_claims(&mut schemas);
            params.add("claims", &claims.value);
        }
        let broken = self.problems.len() > before;
        let result = kind.map(|kind| self.ask_kind(declaration, kind, &each, &schemas, &params));
        let (outputs, mut axis_reads) = self.outputs(kind, result);
        axis_reads.extend(claims.axis_reads.iter().cloned());
        let index = self.stages.len();
        for (number, (values, mut members, gates)) in built.into_iter().enumerate() {
            members.extend(claims.inputs.iter().map(|(port, members)| Input {
                port: port.clone(),
                members: members.clone(),
            }));
            self.tasks.push(Task {
                stage: index,
                params: params.bound(number),
                leaves: params.leaves(number),
                values,
                inputs: members,
                gates,
            });
        }
        let tasks = first_task..self.tasks.len();
        if tasks.is_empty() && !broken && each_is_whole {
            self.report_no_tasks(declaration, &inputs);
        }
        self.check_profiles(declaration, kind, &params, tasks.clone());
        let stage = kind.map(|kind| Stage {
            name: decl.name.text.clone(),
            place: decl.name.place.clone(),
            kind,
            title: title(decl).unwrap_or_else(|| kind.name().to_owned()),
            each: each.clone(),
            when: gates.when(),
            reports_pruned: decl.reports_pruned.is_some(),
            outputs: outputs.clone(),
            param_places: decl
                .params
                .iter()
                .map(|(name, node)| (name.text.clone(), node.place.clone()))
                .collect(),
            axis_reads,
            tasks: tasks.clone(),
        });
        self.by_name.insert(decl.name.text.clone(), index);
        self.stages.push(Built {
            declaration,
            stage,
            each,
            outputs,
            tasks,
            broken: self.problems.len() > before,
        });
    }

    fn kind(&mut self, declaration: usize) -> Option<&'static dyn StageKind> {
        let declared = self.declarations;
        let decl = &declared.stages[declaration];
        let name = decl.kind.as_ref()?;
        let Some(kind) = self.registry.kind(&name.text) else {
            let kinds = self.registry.kinds.iter().map(|kind| kind.name());
            let problem = Diagnostic::new(
                Code::UnknownKind,
                format!("unknown stage kind `{}`", name.text),
                &name.place,
                "no kind has this name",
            );
            let problem = match closest(&name.text, kinds.clone()) {
                Some(kind) => problem.did_you_mean(Some(kind)),
                None => problem.help(format!(
                    "the kinds are {}",
                    kinds.collect::<Vec<_>>().join(", ")
                )),
            };
            self.problems.push(problem);
            return None;
        };
        if let Some(place) = &decl.reports_pruned
            && !kind.reports_pruned()
        {
            self.problems.push(
                Diagnostic::new(
                    Code::CannotReport,
                    format!(
                        "a stage of kind `{}` cannot report what was pruned",
                        name.text
                    ),
                    place,
                    "",
                )
                .help("leave the key out: the stage is then pruned with its inputs"),
            );
        }
        Some(kind)
    }

    fn each(&mut self, declaration: usize) -> Vec<AxisId> {
        let declared = self.declarations;
        let mut each = Vec::new();
        for name in &declared.stages[declaration].each {
            let Some(axis) = self.axes.find(name, &mut self.problems) else {
                continue;
            };
            if each.contains(&axis) {
                self.problems.push(Diagnostic::new(
                    Code::BadName,
                    format!("the axis `{}` stands twice in `each`", name.text),
                    &name.place,
                    "again here",
                ));
            } else {
                each.push(axis);
            }
        }
        each
    }

    /// The types of a stage's own axes, as variables of its expressions.
    pub(super) fn axis_types(&self, each: &[AxisId]) -> BTreeMap<String, Type> {
        each.iter()
            .map(|&axis| {
                let axis = &self.axes.axes[axis];
                (axis.name.clone(), axis.ty.clone())
            })
            .collect()
    }

    /// The values of a stage's own axes for one task, as variables of its expressions.
    pub(super) fn axis_values(&self, each: &[AxisId], values: &[usize]) -> BTreeMap<String, Value> {
        each.iter()
            .zip(values)
            .map(|(&axis, &value)| {
                let axis = &self.axes.axes[axis];
                (axis.name.clone(), axis.values[value].value.clone())
            })
            .collect()
    }

    /// All combinations of axis values for which `where` holds, the last axis running fastest.
    fn combinations(&mut self, declaration: usize, each: &[AxisId]) -> Vec<Vec<usize>> {
        let declared = self.declarations;
        let decl = &declared.stages[declaration];
        let condition = match &decl.condition {
            Some(node) => {
                let variables = self.axis_types(each);
                let compiled =
                    expression::condition(self.sources, node, variables, &mut self.problems);
                match compiled {
                    Some((expr, _)) => Some((node, expr)),
                    None => return Vec::new(),
                }
            }
            None => None,
        };
        let sizes: Vec<usize> = each
            .iter()
            .map(|&axis| self.axes.axes[axis].values.len())
            .collect();
        let total = sizes
            .iter()
            .try_fold(1usize, |product, &size| product.checked_mul(size))
            .filter(|&total| total <= TASK_LIMIT);
        let Some(total) = total else {
            self.problems.push(Diagnostic::new(
                Code::BadValue,
                format!("the axes of the stage have more than {TASK_LIMIT} combinations"),
                &decl.name.place,
                "",
            ));
            return Vec::new();
        };
        let mut combinations = Vec::new();
        for number in 0..total {
            let mut rest = number;
            let mut values = vec![0; sizes.len()];
            for (value, size) in values.iter_mut().zip(&sizes).rev() {
                *value = rest % size;
                rest /= size;
            }
            if let Some((node, expr)) = &condition {
                let variables = self.axis_values(each, &values);
                match eval(expr, &Env::variables(&variables)) {
                    Ok(value) if is_true(&value) => {}
                    Ok(_) => continue,
                    Err(error) => {
                        let place = node.inside(self.sources, error.span.clone());
                        self.problems.push(Diagnostic::new(
                            Code::ExpressionType,
                            error.to_string(),
                            &place,
                            "",
                        ));
                        return Vec::new();
                    }
                }
            }
            combinations.push(values);
        }
        if self.tasks.len() + combinations.len() > TASK_LIMIT {
            self.problems.push(Diagnostic::new(
                Code::BadValue,
                format!("with this stage the experiment has more than {TASK_LIMIT} tasks"),
                &decl.name.place,
                "",
            ));
            return Vec::new();
        }
        combinations
    }

    fn ask_kind(
        &mut self,
        declaration: usize,
        kind: &'static dyn StageKind,
        each: &[AxisId],
        schemas: &BTreeMap<String, InputSchema>,
        params: &super::params::StageParams,
    ) -> CheckResult {
        let declared = self.declarations;
        let decl = &declared.stages[declaration];
        for (port, input) in schemas {
            if input.volatile && !kind.reads_volatile() {
                let place = decl
                    .inputs
                    .iter()
                    .find(|input| input.port.text == *port)
                    .map_or(&decl.name.place, |input| &input.port.place);
                self.problems.push(
                    Diagnostic::new(
                        Code::Volatile,
                        format!("a stage of kind `{}` cannot read speeds", kind.name()),
                        place,
                        "what comes in here is measured time, or made from it",
                    )
                    .help("a timing never decides anything; show it in a table and in the verdict"),
                );
            }
        }
        let axes = self.axis_types(each);
        let mut check = Check::new(&axes, params.written(), schemas);
        kind.check(&mut check);
        let result = check.finish();
        for problem in &result.problems {
            let problem = self.place_problem(declaration, problem);
            self.problems.push(problem);
        }
        result
    }

    fn place_problem(&self, declaration: usize, problem: &Problem) -> Diagnostic {
        let decl = self.declaration(declaration);
        let node = problem.path.split_first().and_then(|(first, rest)| {
            let (_, node) = decl.params.iter().find(|(name, _)| name.text == *first)?;
            Some(descend(node, rest))
        });
        let place = node.map_or(&decl.name.place, |node| &node.place);
        match &problem.kind {
            ProblemKind::Expression(error) => match node {
                Some(node) => expression::diagnostic(self.sources, node, error),
                None => Diagnostic::new(Code::ExpressionType, error.to_string(), place, ""),
            },
            ProblemKind::UnknownColumn { name, suggestion } => Diagnostic::new(
                Code::UnknownColumn,
                format!("the table has no column `{name}`"),
                place,
                "",
            )
            .did_you_mean(suggestion.as_deref()),
            ProblemKind::Value { message, help } => {
                let problem = Diagnostic::new(Code::BadValue, message, place, "");
                match help {
                    Some(help) => problem.help(help),
                    None => problem,
                }
            }
        }
    }

    /// The outputs of a stage: what its kind always has, and what it declared for this stage.
    fn outputs(
        &self,
        kind: Option<&'static dyn StageKind>,
        result: Option<CheckResult>,
    ) -> (Vec<OutputSchema>, BTreeSet<(String, String)>) {
        let open = |name: &str, ty, volatile| OutputSchema {
            name: name.to_owned(),
            ty,
            schema: Schema::default().open(),
            volatile,
        };
        let (Some(kind), Some(result)) = (kind, result) else {
            return (vec![open("", PortType::Any, false)], BTreeSet::new());
        };
        let mut outputs: Vec<OutputSchema> = kind
            .outputs()
            .iter()
            .map(|port| open(port.name, port.ty, port.volatile))
            .collect();
        for declared in result.outputs {
            match outputs.iter_mut().find(|port| port.name == declared.name) {
                Some(port) => *port = declared,
                None => outputs.push(declared),
            }
        }
        (outputs, result.axis_reads)
    }

    /// What an output looks like to a stage that takes it in: with a column for each axis.
    pub(super) fn seen_schema(&self, stage: usize, port: usize) -> InputSchema {
        let built = &self.stages[stage];
        let output = &built.outputs[port];
        let mut schema = output.schema.clone();
        for &axis in &built.each {
            let axis = &self.axes.axes[axis];
            if schema.column(&axis.name).is_none() {
                let column = Column::new(&axis.name, axis.ty.clone(), "the axis value");
                // A name that is not there cannot be there twice.
                let _ = schema.push(column);
            }
        }
        InputSchema {
            ty: output.ty,
            schema,
            volatile: output.volatile,
        }
    }

    fn check_profiles(
        &mut self,
        declaration: usize,
        kind: Option<&'static dyn StageKind>,
        params: &super::params::StageParams,
        tasks: std::ops::Range<usize>,
    ) {
        let Some(kind) = kind else { return };
        let ports = kind.inputs().fixed;
        let Some(port) = ports.iter().find(|port| port.ty == PortType::Profile) else {
            return;
        };
        let without = tasks.clone().find(|&task| {
            params.needs_profile(task - tasks.start)
                && !self.tasks[task]
                    .inputs
                    .iter()
                    .any(|input| input.port == port.name && !input.members.is_empty())
        });
        if let Some(task) = without {
            let place = self.declaration(declaration).name.place.clone();
            let method = self.tasks[task].params.get("method").field("name").clone();
            self.problems.push(
                Diagnostic::new(
                    Code::MissingProfile,
                    format!("the method {method} needs a profile and gets none"),
                    &place,
                    "in this stage",
                )
                .help(format!("give one at the port `{}`", port.name)),
            );
        }
    }

    fn report_no_tasks(&mut self, declaration: usize, inputs: &[super::join::ResolvedInput]) {
        // Where an upstream stage has none either, its report is enough.
        let upstream_empty = inputs
            .iter()
            .flat_map(|input| &input.sources)
            .any(|source| {
                source
                    .stage()
                    .is_some_and(|stage| self.stages[stage].tasks.is_empty())
            });
        let upstream_broken = inputs
            .iter()
            .flat_map(|input| &input.sources)
            .filter_map(super::join::Source::stage)
            .any(|stage| self.stages[stage].broken);
        // An input of which nothing is left had a mistake, which was reported where it was read.
        let input_broken = inputs.iter().any(|input| input.sources.is_empty());
        if upstream_empty || upstream_broken || input_broken {
            return;
        }
        let decl = self.declaration(declaration);
        let problem = Diagnostic::new(
            Code::NoTasks,
            format!("the stage `{}` has no task", decl.name.text),
            &decl.name.place,
            "never runs",
        );
        let problem = match &decl.condition {
            Some(condition) => problem.also(
                &condition.place,
                "no combination of axis values passes, or none whose inputs exist",
            ),
            None => problem.help("for no combination of its axis values do all its inputs exist"),
        };
        self.problems.push(problem);
    }
}

/// Follows a path into a value as far as it goes; a binding to an axis is the end of it.
fn descend<'a>(node: &'a Node, path: &[String]) -> &'a Node {
    let mut node = node;
    for part in path {
        let next = match part.parse::<usize>() {
            Ok(number) => node.as_list().and_then(|list| list.get(number)),
            Err(_) => node.get(part),
        };
        match next {
            Some(next) => node = next,
            None => break,
        }
    }
    node
}

fn title(decl: &crate::experiment::StageDecl) -> Option<String> {
    let (_, node) = decl.params.iter().find(|(name, _)| name.text == "title")?;
    node.as_text().map(str::to_owned)
}

/// What a task of a stage was built from: axis values, inputs, gates.
pub(super) type Combination = (Vec<usize>, Vec<Input>, Vec<usize>);

/// The members of an input that come from one task each.
pub(super) fn task_members(
    tasks: impl IntoIterator<Item = usize>,
    port: usize,
) -> Vec<InputMember> {
    tasks
        .into_iter()
        .map(|task| InputMember::Task { task, port })
        .collect()
}

/// Shares equal slices of leaves.
pub(super) fn share(leaves: Vec<&'static str>) -> Arc<[&'static str]> {
    leaves.into()
}
