//! Leaks: a profile that has seen the model, or a model of the family, that it is tested on.
//!
//! What a task has seen are the values of corpus axes that its parameters and those of all its inputs are bound
//! to. A profile carries what the task that made it has seen; what was merely coded with a profile carries the
//! weights that were coded, not the profile's.

use std::collections::{BTreeMap, BTreeSet};

use llmcl_stages_api::port::PortType;
use llmcl_stages_api::value::Value;

use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::model::{AxisId, InputMember, TaskId};

use super::Checker;

/// A value of a corpus axis.
type Model = (AxisId, usize);

impl Checker<'_> {
    /// Reports every stage in which a profile meets what it was made from; one pair a stage.
    pub(super) fn check_leaks(&mut self) {
        let profiles = self.stages.iter().any(|built| {
            built
                .outputs
                .iter()
                .any(|port| port.ty == PortType::Profile)
        });
        if !profiles {
            return;
        }
        let mut seen: Vec<BTreeSet<Model>> = Vec::with_capacity(self.tasks.len());
        let mut reported = BTreeSet::new();
        for task in 0..self.tasks.len() {
            let (data, learnt) = self.inputs_seen(task, &seen);
            if reported.insert(self.tasks[task].stage) {
                let leak = self.meeting(&data, &learnt);
                match leak {
                    Some((tested, trained)) => self.report_leak(task, tested, trained, &seen),
                    None => {
                        reported.remove(&self.tasks[task].stage);
                    }
                }
            }
            let makes_profile = self.stages[self.tasks[task].stage]
                .outputs
                .iter()
                .any(|port| port.ty == PortType::Profile);
            let mut own = data;
            own.extend(self.own_models(task));
            if makes_profile {
                own.extend(learnt);
            }
            seen.push(own);
        }
    }

    /// What has been seen by what comes in: as weights, and by profiles.
    fn inputs_seen(
        &self,
        task: TaskId,
        seen: &[BTreeSet<Model>],
    ) -> (BTreeSet<Model>, BTreeSet<Model>) {
        let mut data = BTreeSet::new();
        let mut learnt = BTreeSet::new();
        for (upstream, is_profile) in self.upstream(task) {
            let into = if is_profile { &mut learnt } else { &mut data };
            into.extend(seen[upstream].iter().copied());
        }
        (data, learnt)
    }

    fn upstream(&self, task: TaskId) -> Vec<(TaskId, bool)> {
        let inputs = self.tasks[task]
            .inputs
            .iter()
            .flat_map(|input| &input.members);
        inputs
            .filter_map(|member| match member {
                InputMember::Task { task, port } => {
                    let outputs = &self.stages[self.tasks[*task].stage].outputs;
                    Some((*task, outputs[*port].ty == PortType::Profile))
                }
                InputMember::File { .. } => None,
            })
            .collect()
    }

    /// The corpus values that a task's own parameters are bound to: those of its axes, if it reads from outside.
    fn own_models(&self, task: TaskId) -> Vec<Model> {
        let task = &self.tasks[task];
        if !task.inputs.is_empty() {
            return Vec::new();
        }
        let each = &self.stages[task.stage].each;
        each.iter()
            .zip(&task.values)
            .filter(|(axis, _)| self.axes.axes[**axis].corpus.is_some())
            .map(|(&axis, &value)| (axis, value))
            .collect()
    }

    /// A model of the weights and a model of the profile that are the same or of one family.
    fn meeting(&self, data: &BTreeSet<Model>, learnt: &BTreeSet<Model>) -> Option<(Model, Model)> {
        let mut families: BTreeMap<String, Model> = BTreeMap::new();
        for &model in learnt {
            for name in self.identities(model) {
                families.entry(name).or_insert(model);
            }
        }
        data.iter().find_map(|&model| {
            let names = self.identities(model);
            let trained = names.iter().find_map(|name| families.get(name))?;
            Some((model, *trained))
        })
    }

    /// What makes two models one for this purpose: the name and the family.
    fn identities(&self, (axis, value): Model) -> Vec<String> {
        let value = &self.axes.axes[axis].values[value];
        let mut names = vec![format!("model {}", value.label)];
        if let Value::Text(family) = value.value.field("family") {
            names.push(format!("family {family}"));
        }
        names
    }

    fn report_leak(
        &mut self,
        task: TaskId,
        tested: Model,
        trained: Model,
        seen: &[BTreeSet<Model>],
    ) {
        let label = |(axis, value): Model| self.axes.axes[axis].values[value].label.clone();
        let family = |(axis, value): Model| {
            self.axes.axes[axis].values[value]
                .value
                .field("family")
                .clone()
        };
        let way = self.way(task, trained, seen).join(" ← ");
        let name = self.task_name(task);
        let place = self
            .declaration(self.stages[self.tasks[task].stage].declaration)
            .name
            .place
            .clone();
        let (axis, value) = trained;
        let trained_place = self.axes.axes[axis].values[value].place.clone();
        let what = if label(tested) == label(trained) {
            format!("the model {}", label(tested))
        } else {
            format!(
                "the model {}, of the family {} as is {}",
                label(trained),
                family(trained),
                label(tested)
            )
        };
        let problem = Diagnostic::new(
            Code::Leak,
            format!("`{name}` tests a profile on what it was trained on: {what}"),
            &place,
            "train and test meet here",
        )
        .also(&trained_place, "this model was trained on")
        .help(format!("it came this way: {way}"))
        .help("choose the training set by role or by family: { from = \"…\", where = \"model.family != held_out.family\" }");
        self.problems.push(problem);
    }

    /// The chain of tasks by which a model came into the profile of a task.
    fn way(&self, task: TaskId, model: Model, seen: &[BTreeSet<Model>]) -> Vec<String> {
        let mut way = vec![self.task_name(task)];
        let mut at = task;
        let mut through_profile = true;
        loop {
            let next = self
                .upstream(at)
                .into_iter()
                .find(|(upstream, is_profile)| {
                    seen[*upstream].contains(&model) && (!through_profile || *is_profile)
                });
            let Some((next, _)) = next else { break };
            through_profile = false;
            way.push(self.task_name(next));
            at = next;
        }
        way
    }
}
