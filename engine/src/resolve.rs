//! What is to be done about a task, given what is known of the tasks that it hangs on.
//!
//! Planning and running ask the same question here, so they cannot disagree: a plan asks it while some answers are
//! still open, a run once all are there.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use blake3::Hash;
use llmcl_stages_api::artifact::{Artifact, BlobRef};
use llmcl_stages_api::expr::{self, Env, EvalError};
use llmcl_stages_api::machine::Machine;
use llmcl_stages_api::registry::Registry;
use llmcl_stages_api::task::{Member, MemberState, PruneReason, TaskError};
use llmcl_stages_api::value::Value;

use crate::key::{Code, Content, StageParts, Walk};
use crate::model::{Experiment, InputMember, StageId, Task, TaskId};
use crate::outputs::Done;
use crate::snapshot::Surroundings;

/// What was chosen for one plan or run.
#[derive(Debug, Clone, Default)]
pub struct Choices {
    /// Tasks that run even if their outputs are recorded.
    pub force: BTreeSet<TaskId>,
    /// Gates that are taken to have an outcome, whatever they find: an exploration.
    pub assume: BTreeMap<StageId, String>,
}

/// What is known of a task.
#[derive(Clone)]
pub(crate) enum Fact {
    /// Its outputs are not known yet. `gate` is an open gate that may rule it out.
    Unknown { gate: Option<TaskId> },
    /// Its outputs are known.
    Done(Arc<Done>),
    /// It is ruled out.
    Pruned(Pruning),
    /// It failed, or was not run because another failed.
    Failed,
}

/// That a task is ruled out, and by what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pruning {
    /// What tasks and people are told.
    pub reason: PruneReason,
    /// The gate.
    pub gate: TaskId,
    /// Whether the reason is final: while tasks run, one that comes first in the order of inputs may turn up.
    pub(crate) settled: bool,
}

/// What is to be done about a task.
pub(crate) enum Decision<'a> {
    /// It is ruled out.
    Pruned(Pruning),
    /// It cannot run, because this one failed.
    Blocked(TaskId),
    /// It is looked up, and run if nothing is found.
    Live(Live<'a>),
}

/// A task that nothing has ruled out so far.
pub(crate) struct Live<'a> {
    /// All that its outputs hang on.
    pub(crate) walk: Walk<'a>,
    /// Its key; none as long as an input is not known.
    pub(crate) key: Option<Hash>,
    /// The first task whose outputs the key waits for.
    pub(crate) waits_for: Option<TaskId>,
    /// An open gate that may rule the task out.
    pub(crate) gate: Option<TaskId>,
}

/// Why nothing can be said about a task.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Trouble {
    /// A file of the repository cannot be read.
    #[error("could not read {}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system answered.
        error: Arc<io::Error>,
    },
    /// Something that the outputs depend on is not there.
    #[error(transparent)]
    Environment(Arc<TaskError>),
    /// The file leaves something open that the task needs.
    #[error(transparent)]
    NotReady(Arc<TaskError>),
    /// The condition of its `when` has no value.
    #[error("the condition of `when` has no value: {0}")]
    Condition(EvalError),
    /// Its `when` asks no gate, so nothing could ever be the reason.
    #[error("the condition of `when` asks for no gate; a condition on axes alone is a `where`")]
    NoGate,
}

impl Trouble {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Environment(error) | Self::NotReady(error) => error.hint.as_deref(),
            Self::File { .. } | Self::Condition(_) | Self::NoGate => None,
        }
    }
}

/// Decides about tasks, and remembers what several have in common.
pub(crate) struct Resolver<'a> {
    pub(crate) experiment: &'a Experiment,
    pub(crate) choices: &'a Choices,
    stages: Vec<StageParts>,
    code: Code,
    files: RefCell<HashMap<PathBuf, Result<BlobRef, Trouble>>>,
    machine: Machine,
}

impl<'a> Resolver<'a> {
    pub(crate) fn new(
        experiment: &'a Experiment,
        registry: &'a Registry,
        choices: &'a Choices,
    ) -> Self {
        Self {
            experiment,
            choices,
            stages: (0..experiment.stages.len())
                .map(|stage| StageParts::of(experiment, stage))
                .collect(),
            code: Code::of(&registry.fingerprints),
            files: RefCell::default(),
            machine: Machine::default(),
        }
    }

    /// The tasks that `id` hangs on: inputs, and gates that are not assumed; some may stand there twice.
    pub(crate) fn upstream(&self, id: TaskId) -> impl Iterator<Item = TaskId> + '_ {
        let task = &self.experiment.tasks[id];
        let inputs = task.inputs.iter().flat_map(|input| &input.members);
        inputs
            .filter_map(|member| match member {
                InputMember::Task { task, .. } => Some(*task),
                InputMember::File { .. } => None,
            })
            .chain(
                task.gates
                    .iter()
                    .copied()
                    .filter(|&gate| !self.is_assumed(gate)),
            )
    }

    /// Decides about a task.
    ///
    /// Pruned goes before failed, gates before inputs, and both in their order, so that the reason does not depend
    /// on what happens to finish first.
    pub(crate) fn decide(&self, id: TaskId, facts: &[Fact]) -> Result<Decision<'_>, Trouble> {
        let task = &self.experiment.tasks[id];
        let reports = self.experiment.stages[task.stage].reports_pruned;
        let mut seen = Seen::default();
        for &gate in &task.gates {
            if !self.is_assumed(gate) {
                seen.gate(gate, &facts[gate]);
            }
        }
        if let Some(pruning) = seen.pruned.take() {
            return Ok(Decision::Pruned(pruning));
        }
        if seen.gate.is_none()
            && seen.failed.is_none()
            && let Some(pruning) = self.ruled_out(task, facts)?
        {
            return Ok(Decision::Pruned(pruning));
        }
        for input in &task.inputs {
            for member in &input.members {
                if let InputMember::Task { task, .. } = member {
                    seen.input(*task, &facts[*task], reports);
                }
            }
        }
        if let Some(pruning) = seen.pruned {
            return Ok(Decision::Pruned(pruning));
        }
        if let Some(failed) = seen.failed {
            return Ok(Decision::Blocked(failed));
        }
        let walk = self.walk(id, facts)?;
        Ok(Decision::Live(Live {
            key: walk.key(),
            waits_for: walk.waits_for(),
            gate: seen.gate,
            walk,
        }))
    }

    /// The walk over the parts of a task's key, as far as they are known.
    pub(crate) fn walk(&self, id: TaskId, facts: &[Fact]) -> Result<Walk<'_>, Trouble> {
        let task = &self.experiment.tasks[id];
        let mut inputs = Vec::with_capacity(task.inputs.len());
        for input in &task.inputs {
            let members = input.members.iter();
            let contents = members.map(|member| self.content(member, facts));
            inputs.push((input, contents.collect::<Result<_, _>>()?));
        }
        inputs.sort_by_key(|(input, _)| &input.port);
        let kind = self.experiment.stages[task.stage].kind;
        let environment = self
            .machine
            .environment(&kind.facts(&task.params))
            .map_err(|error| Trouble::Environment(Arc::new(error)))?;
        Ok(Walk {
            experiment: self.experiment,
            stage: &self.stages[task.stage],
            code: &self.code,
            task,
            environment,
            inputs,
        })
    }

    /// What a task is given at its ports, once all is known.
    pub(crate) fn members(
        &self,
        id: TaskId,
        facts: &[Fact],
    ) -> Result<BTreeMap<String, Vec<Member>>, Trouble> {
        let task = &self.experiment.tasks[id];
        let mut ports: BTreeMap<String, Vec<Member>> = BTreeMap::new();
        for input in &task.inputs {
            let members = ports.entry(input.port.clone()).or_default();
            for member in &input.members {
                members.extend(self.member(member, facts)?);
            }
        }
        Ok(ports)
    }

    /// The bytes of all inputs of a task, once all are known.
    pub(crate) fn input_bytes(&self, id: TaskId, facts: &[Fact]) -> u64 {
        let members = self.experiment.tasks[id]
            .inputs
            .iter()
            .flat_map(|input| &input.members);
        members
            .filter_map(|member| match member {
                InputMember::File { path, .. } => self.file(path).ok().map(|blob| blob.bytes),
                InputMember::Task { task, port } => match &facts[*task] {
                    Fact::Done(done) => {
                        let stage = self.experiment.tasks[*task].stage;
                        let port = &self.experiment.stages[stage].outputs[*port].name;
                        done.output(port).map(|output| output.artifact.bytes())
                    }
                    _ => None,
                },
            })
            .fold(0, u64::saturating_add)
    }

    /// The files of the repository that a task takes in.
    pub(crate) fn files(&self, id: TaskId) -> Result<Vec<(PathBuf, BlobRef)>, Trouble> {
        let inputs = self.experiment.tasks[id].inputs.iter();
        inputs
            .flat_map(|input| &input.members)
            .filter_map(|member| match member {
                InputMember::File { path, .. } => Some(path),
                InputMember::Task { .. } => None,
            })
            .map(|path| Ok((path.clone(), self.file(path)?)))
            .collect()
    }

    /// What the tasks that were looked at hang on, outside of the experiment and the store.
    pub(crate) fn surroundings(&self) -> Surroundings {
        let files = self.files.borrow();
        let files = files.iter();
        let files = files.filter_map(|(path, blob)| Some((path.clone(), blob.clone().ok()?)));
        let mut files: Vec<_> = files.collect();
        files.sort_by(|(one, _), (other, _)| one.cmp(other));
        Surroundings {
            files,
            facts: self.machine.known(),
        }
    }

    fn member(&self, member: &InputMember, facts: &[Fact]) -> Result<Option<Member>, Trouble> {
        Ok(match member {
            InputMember::File { path, name } => Some(Member {
                title: name.clone(),
                labels: Vec::new(),
                state: MemberState::Present(Artifact::single(name.clone(), self.file(path)?)),
            }),
            InputMember::Task { task: id, port } => {
                let task = &self.experiment.tasks[*id];
                let stage = &self.experiment.stages[task.stage];
                let state = match &facts[*id] {
                    Fact::Done(done) => done
                        .output(&stage.outputs[*port].name)
                        .map(|output| MemberState::Present(output.artifact.clone())),
                    Fact::Pruned(pruning) => Some(MemberState::Pruned(pruning.reason.clone())),
                    Fact::Unknown { .. } | Fact::Failed => None,
                };
                let labels = self.experiment.labels(task);
                state.map(|state| Member {
                    title: stage.title.clone(),
                    labels: labels
                        .map(|(axis, label)| (axis.to_owned(), label.clone()))
                        .collect(),
                    state,
                })
            }
        })
    }

    fn content(&self, member: &InputMember, facts: &[Fact]) -> Result<Content, Trouble> {
        Ok(match member {
            InputMember::File { path, name } => {
                Content::Present(Artifact::single(name.clone(), self.file(path)?).digest())
            }
            InputMember::Task { task, port } => match &facts[*task] {
                Fact::Done(done) => {
                    let stage = self.experiment.tasks[*task].stage;
                    let port = &self.experiment.stages[stage].outputs[*port].name;
                    done.output(port).map_or(Content::Unknown(*task), |output| {
                        Content::Present(output.digest)
                    })
                }
                Fact::Pruned(pruning) if pruning.settled => Content::Pruned(pruning.reason.clone()),
                Fact::Pruned(_) | Fact::Unknown { .. } | Fact::Failed => Content::Unknown(*task),
            },
        })
    }

    /// Evaluates the `when` of a task all of whose gates have an outcome.
    fn ruled_out(&self, task: &Task, facts: &[Fact]) -> Result<Option<Pruning>, Trouble> {
        let stage = &self.experiment.stages[task.stage];
        let Some(when) = &stage.when else {
            return Ok(None);
        };
        let &gate = task.gates.first().ok_or(Trouble::NoGate)?;
        let mut variables = BTreeMap::new();
        for (&axis, &value) in stage.each.iter().zip(&task.values) {
            let axis = &self.experiment.axes[axis];
            variables.insert(axis.name.clone(), axis.values[value].value.clone());
        }
        let mut titles = Vec::new();
        let mut outcomes = Vec::new();
        for ((name, stage), &gate) in when.gates.iter().zip(&task.gates) {
            let outcome = match (self.choices.assume.get(stage), &facts[gate]) {
                (Some(assumed), _) => assumed.as_str(),
                (None, Fact::Done(done)) => {
                    done.outcome().map_or("", |found| found.outcome.as_str())
                }
                (None, _) => "",
            };
            titles.push(self.experiment.stages[*stage].title.as_str());
            outcomes.push(outcome);
            variables.insert(name.clone(), Value::Text(outcome.to_owned()));
        }
        let value =
            expr::eval(&when.condition, &Env::variables(&variables)).map_err(Trouble::Condition)?;
        Ok((!expr::is_true(&value)).then(|| Pruning {
            reason: PruneReason {
                gate: titles.join(", "),
                outcome: outcomes.join(", "),
            },
            gate,
            settled: true,
        }))
    }

    fn is_assumed(&self, gate: TaskId) -> bool {
        let stage = self.experiment.tasks[gate].stage;
        self.choices.assume.contains_key(&stage)
    }

    fn file(&self, path: &Path) -> Result<BlobRef, Trouble> {
        if let Some(known) = self.files.borrow().get(path) {
            return known.clone();
        }
        let found = digest_file(path).map_err(|error| Trouble::File {
            path: path.to_owned(),
            error: Arc::new(error),
        });
        self.files
            .borrow_mut()
            .insert(path.to_owned(), found.clone());
        found
    }
}

/// What was seen of the tasks that one hangs on.
#[derive(Default)]
struct Seen {
    pruned: Option<Pruning>,
    failed: Option<TaskId>,
    /// An open gate that may rule the task out.
    gate: Option<TaskId>,
}

impl Seen {
    fn gate(&mut self, id: TaskId, fact: &Fact) {
        match fact {
            Fact::Unknown { .. } => self.gate = self.gate.or(Some(id)),
            Fact::Failed => self.failed = self.failed.or(Some(id)),
            Fact::Pruned(pruning) => self.prune(pruning),
            Fact::Done(_) => {}
        }
    }

    fn input(&mut self, id: TaskId, fact: &Fact, reports: bool) {
        match fact {
            Fact::Unknown { gate } if !reports => self.gate = self.gate.or(*gate),
            Fact::Failed => self.failed = self.failed.or(Some(id)),
            Fact::Pruned(pruning) if !reports => self.prune(pruning),
            Fact::Unknown { .. } | Fact::Pruned(_) | Fact::Done(_) => {}
        }
    }

    /// Takes the first reason. It is final only if nothing before it is open that might still bring another.
    fn prune(&mut self, pruning: &Pruning) {
        if self.pruned.is_none() {
            self.pruned = Some(Pruning {
                settled: pruning.settled && self.gate.is_none(),
                ..pruning.clone()
            });
        }
    }
}

/// The digest of a file's content.
pub(crate) fn digest_file(path: &Path) -> io::Result<BlobRef> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    Ok(BlobRef {
        digest: hasher.finalize(),
        bytes: hasher.count(),
    })
}
