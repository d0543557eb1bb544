//! Leaks: a profile that has seen the model, or a model of the family, that it is tested on.
//!
//! What a task has seen are the values of corpus axes that its parameters and those of all its inputs are bound
//! to. A profile carries what the task that made it has seen, and so does whatever was made with a profile and might
//! hold it: files and tensors. What was merely coded or measured with a profile (encodings, tables, outcomes, reports)
//! carries the weights that were coded, not the profile's. A profile from outside says what it was trained on.

use std::collections::{BTreeMap, BTreeSet};

use llmcl_stages_api::port::PortType;
use llmcl_stages_api::value::Value;

use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::model::{AxisId, InputMember, TaskId};

use super::Checker;

/// What has been seen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    /// A value of a corpus axis.
    Model(AxisId, usize),
    /// Some model of a family.
    Family(String),
}

/// What a task has seen: as weights, and by profiles.
#[derive(Default)]
struct Sight {
    data: BTreeSet<Seen>,
    learnt: BTreeSet<Seen>,
}

impl Sight {
    fn has(&self, seen: &Seen) -> bool {
        self.data.contains(seen) || self.learnt.contains(seen)
    }
}

/// Whether what comes through a port may hold what was learnt.
fn carries(port: PortType) -> bool {
    match port {
        PortType::Profile | PortType::File | PortType::Tensors | PortType::Any => true,
        PortType::Table | PortType::Outcome | PortType::Encoded | PortType::Report => false,
    }
}

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
        let mut sights: Vec<Sight> = Vec::with_capacity(self.tasks.len());
        let mut reported = BTreeSet::new();
        for task in 0..self.tasks.len() {
            let mut sight = self.incoming(task, &sights);
            let stage = self.tasks[task].stage;
            if !reported.contains(&stage)
                && let Some((tested, trained)) = self.meeting(&sight)
            {
                reported.insert(stage);
                self.report_leak(task, tested, &trained, &sights);
            }
            sight.data.extend(self.own_models(task));
            sight.learnt.extend(self.own_families(task));
            sights.push(sight);
        }
    }

    /// What has been seen by what comes in.
    fn incoming(&self, task: TaskId, sights: &[Sight]) -> Sight {
        let mut sight = Sight::default();
        for (upstream, port) in self.upstream(task) {
            let Sight { data, learnt } = &sights[upstream];
            let into = match port {
                PortType::Profile => &mut sight.learnt,
                _ => &mut sight.data,
            };
            into.extend(data.iter().cloned());
            if carries(port) {
                sight.learnt.extend(learnt.iter().cloned());
            }
        }
        sight
    }

    fn upstream(&self, task: TaskId) -> Vec<(TaskId, PortType)> {
        let inputs = self.tasks[task]
            .inputs
            .iter()
            .flat_map(|input| &input.members);
        inputs
            .filter_map(|member| match member {
                InputMember::Task { task, port } => {
                    let outputs = &self.stages[self.tasks[*task].stage].outputs;
                    Some((*task, outputs[*port].ty))
                }
                InputMember::File { .. } => None,
            })
            .collect()
    }

    /// The corpus values that a task's own parameters are bound to: those of its axes, if it takes in no other
    /// task's outputs.
    fn own_models(&self, task: TaskId) -> Vec<Seen> {
        if !self.upstream(task).is_empty() {
            return Vec::new();
        }
        let task = &self.tasks[task];
        let each = &self.stages[task.stage].each;
        each.iter()
            .zip(&task.values)
            .filter(|(axis, _)| self.axes.axes[**axis].corpus.is_some())
            .map(|(&axis, &value)| Seen::Model(axis, value))
            .collect()
    }

    /// The families that a task says it has learnt from.
    fn own_families(&self, task: TaskId) -> Vec<Seen> {
        let task = &self.tasks[task];
        let stage = self.stages[task.stage].stage.as_ref();
        let families = stage.map(|stage| stage.kind.learnt_from(&task.params));
        let families = families.into_iter().flatten();
        families.map(Seen::Family).collect()
    }

    /// A model of the weights and one of the profile that are the same or of one family.
    fn meeting(&self, sight: &Sight) -> Option<(Seen, Seen)> {
        let mut known: BTreeMap<String, &Seen> = BTreeMap::new();
        for seen in &sight.learnt {
            for name in self.identities(seen) {
                known.entry(name).or_insert(seen);
            }
        }
        sight.data.iter().find_map(|seen| {
            let names = self.identities(seen);
            let trained = names.iter().find_map(|name| known.get(name))?;
            Some((seen.clone(), (*trained).clone()))
        })
    }

    /// What makes two models one for this purpose: the name and the family.
    fn identities(&self, seen: &Seen) -> Vec<String> {
        match seen {
            Seen::Model(axis, value) => {
                let value = &self.axes.axes[*axis].values[*value];
                let mut names = vec![format!("model {}", value.label)];
                if let Value::Text(family) = value.value.field("family") {
                    names.push(format!("family {family}"));
                }
                names
            }
            Seen::Family(family) => vec![format!("family {family}")],
        }
    }

    fn report_leak(&mut self, task: TaskId, tested: Seen, trained: &Seen, sights: &[Sight]) {
        let way = self.way(task, trained, sights).join(" ← ");
        let name = self.task_name(task);
        let place = self
            .declaration(self.stages[self.tasks[task].stage].declaration)
            .name
            .place
            .clone();
        let label = |seen: &Seen| match seen {
            Seen::Model(axis, value) => self.axes.axes[*axis].values[*value].label.to_string(),
            Seen::Family(family) => format!("of the family {family}"),
        };
        let what = match trained {
            Seen::Model(..) if label(trained) == label(&tested) => {
                format!("the model {}", label(&tested))
            }
            Seen::Model(axis, value) => {
                let value = &self.axes.axes[*axis].values[*value].value;
                let family = value.field("family");
                format!(
                    "the model {}, of the family {family} as is {}",
                    label(trained),
                    label(&tested)
                )
            }
            Seen::Family(family) => {
                format!("the family '{family}', of which is {}", label(&tested))
            }
        };
        let mut problem = Diagnostic::new(
            Code::Leak,
            format!("`{name}` tests a profile on what it was trained on: {what}"),
            &place,
            "train and test meet here",
        );
        if let Seen::Model(axis, value) = trained {
            let place = &self.axes.axes[*axis].values[*value].place;
            problem = problem.also(place, "this model was trained on");
        }
        let problem = problem
            .help(format!("it came this way: {way}"))
            .help("choose the training set by role or by family: { from = \"…\", where = \"model.family != held_out.family\" }");
        self.problems.push(problem);
    }

    /// The chain of tasks by which a model came into the profile of a task.
    fn way(&self, task: TaskId, trained: &Seen, sights: &[Sight]) -> Vec<String> {
        let mut way = vec![self.task_name(task)];
        let mut at = task;
        // The weights under test have seen it too, perhaps; they are not how it came to be learnt.
        let mut learnt = true;
        loop {
            let next = self.upstream(at).into_iter().find(|(upstream, port)| {
                let sight = &sights[*upstream];
                match (learnt, port) {
                    (true, PortType::Profile) | (false, _) => sight.has(trained),
                    (true, port) => carries(*port) && sight.learnt.contains(trained),
                }
            });
            let Some((next, _)) = next else { break };
            // Up to the task that learnt it.
            learnt &= sights[next].learnt.contains(trained);
            way.push(self.task_name(next));
            at = next;
        }
        way
    }
}
