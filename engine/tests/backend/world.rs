//! Experiments without a file, and runs of them that remember what happened.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use llmcl_cache::Store;
use llmcl_engine::events::{Event, Finish, What};
use llmcl_engine::model::{
    Axis, AxisValue, Experiment, Input, InputMember, Stage, StageId, Task, TaskId, When,
};
use llmcl_engine::phases::Phases;
use llmcl_engine::plan::{Plan, plan};
use llmcl_engine::record::Build;
use llmcl_engine::resolve::Choices;
use llmcl_engine::run::{End, Run, RunControl, RunOptions, WorkerProgram, run};
use llmcl_engine::source::{Place, Sources};
use llmcl_stages_api::expr;
use llmcl_stages_api::kind::{OutputSchema, StageKind};
use llmcl_stages_api::param::Params;
use llmcl_stages_api::registry::Registry;
use llmcl_stages_api::table::Schema;
use llmcl_stages_api::value::{Type, Value};

use crate::lab::{Flavor, Lab, Mock, registry};

/// Builds an experiment stage by stage.
pub(crate) struct Builder {
    pub(crate) experiment: Experiment,
    place: Place,
    kinds: [(Flavor, &'static Mock); 3],
}

impl Builder {
    pub(crate) fn new(lab: &Arc<Lab>) -> Self {
        let kinds = [Flavor::Concat, Flavor::Gate, Flavor::Report];
        Self {
            experiment: Experiment {
                name: "experiment".into(),
                title: String::new(),
                axes: Vec::new(),
                stages: Vec::new(),
                tasks: Vec::new(),
            },
            place: Place::new(Sources::default().add("test", None, String::new()), 0..0),
            kinds: kinds.map(|flavor| (flavor, Mock::leaked(flavor, lab))),
        }
    }

    /// Adds an axis whose values are 0, 1, … with a field `role`.
    pub(crate) fn axis(&mut self, name: &str, values: usize) -> usize {
        let values = (0..values).map(|value| {
            let label = Value::Text(format!("v{value}"));
            AxisValue {
                value: Value::Record(BTreeMap::from([
                    ("name".to_owned(), label.clone()),
                    ("role".to_owned(), Value::Int(value as i64)),
                ])),
                label,
                place: self.place.clone(),
            }
        });
        self.experiment.axes.push(Axis {
            name: name.into(),
            values: values.collect(),
            ty: Type::Text,
            corpus: None,
        });
        self.experiment.axes.len() - 1
    }

    /// Adds a stage without tasks. `when` is a condition and the gates that it asks.
    pub(crate) fn stage(
        &mut self,
        name: &str,
        flavor: Flavor,
        each: &[usize],
        when: Option<(&str, &[StageId])>,
    ) -> StageId {
        let kind = self.kinds.iter().find(|(of, _)| *of == flavor).unwrap().1;
        let gates = when.map(|(_, gates)| gates).unwrap_or_default().iter();
        let gates = gates.map(|&gate| (self.experiment.stages[gate].name.clone(), gate));
        let first = self.experiment.tasks.len();
        let when = when.map(|(condition, _)| When {
            condition: expr::parse(condition).unwrap(),
            gates: gates.collect(),
            place: self.place.clone(),
        });
        let outputs = kind.outputs().iter().map(|output| OutputSchema {
            name: output.name.to_owned(),
            ty: output.ty,
            schema: Schema::default(),
            volatile: output.volatile,
        });
        self.experiment.stages.push(Stage {
            name: name.into(),
            place: self.place.clone(),
            kind,
            title: kind.name().into(),
            each: each.to_vec(),
            when,
            reports_pruned: flavor == Flavor::Report,
            outputs: outputs.collect(),
            param_places: BTreeMap::new(),
            axis_reads: BTreeSet::new(),
            tasks: first..first,
        });
        self.experiment.stages.len() - 1
    }

    /// Adds a task to the last stage.
    pub(crate) fn task(
        &mut self,
        values: &[usize],
        params: &[(&str, Value)],
        inputs: Vec<InputMember>,
        gates: &[TaskId],
    ) -> TaskId {
        let stage = self.experiment.stages.len() - 1;
        let params = params
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()));
        let port = "in".to_owned();
        self.experiment.tasks.push(Task {
            stage,
            values: values.to_vec(),
            params: Arc::new(params.collect::<Params>()),
            leaves: Arc::from(["leaf"]),
            inputs: if inputs.is_empty() {
                Vec::new()
            } else {
                vec![Input {
                    port,
                    members: inputs,
                }]
            },
            gates: gates.to_vec(),
        });
        self.experiment.stages[stage].tasks.end += 1;
        self.experiment.tasks.len() - 1
    }

    /// Adds a stage of one concat task.
    pub(crate) fn concat(
        &mut self,
        text: &str,
        params: &[(&str, Value)],
        from: &[TaskId],
    ) -> TaskId {
        self.stage(text, Flavor::Concat, &[], None);
        let mut params = params.to_vec();
        params.push(("text", Value::Text(text.into())));
        self.task(
            &[],
            &params,
            from.iter().map(|&task| of(task)).collect(),
            &[],
        )
    }

    /// Adds a gate of one task that is green if the threshold is 100 and red if it is 0.
    pub(crate) fn gate(&mut self, name: &str, threshold: i64, from: &[TaskId]) -> TaskId {
        self.stage(name, Flavor::Gate, &[], None);
        let inputs = from.iter().map(|&task| of(task)).collect();
        self.task(&[], &[("threshold", Value::Int(threshold))], inputs, &[])
    }
}

/// The output of a task, as an input.
pub(crate) fn of(task: TaskId) -> InputMember {
    InputMember::Task { task, port: 0 }
}

/// A file of the repository, as an input.
pub(crate) fn file(path: &Path) -> InputMember {
    InputMember::File {
        path: path.to_owned(),
        name: path.file_name().unwrap().to_str().unwrap().to_owned(),
    }
}

/// A folder for stores that costs no disk writes, where there is one.
pub(crate) fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

/// A store, and how to run on it.
pub(crate) struct World {
    pub(crate) lab: Arc<Lab>,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) registry: Registry,
    pub(crate) options: RunOptions,
    pub(crate) control: RunControl,
}

/// A run that is over, and what was told of it.
pub(crate) struct Ran {
    pub(crate) run: Run,
    pub(crate) events: Vec<Event>,
    pub(crate) store: Store,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = folder();
        let machine = folder.path().join("machine.lock");
        Self {
            lab: Arc::default(),
            folder,
            registry: registry("shared", "leaf"),
            options: RunOptions {
                choices: Choices::default(),
                jobs: NonZeroUsize::new(2).unwrap(),
                memory: 100,
                keep_going: true,
                back_off: Duration::from_millis(1),
                worker: WorkerProgram {
                    program: PathBuf::from("true"),
                    arguments: Vec::new(),
                },
                machine,
                build: Build::default(),
                before: Phases::begin(),
            },
            control: RunControl::default(),
        }
    }

    pub(crate) fn builder(&self) -> Builder {
        Builder::new(&self.lab)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(&self.path()).unwrap()
    }

    pub(crate) fn plan(&self, experiment: &Experiment) -> Plan {
        plan(
            experiment,
            &self.store(),
            &self.registry,
            &self.options.choices,
        )
    }

    pub(crate) fn run(&self, experiment: &Experiment) -> Ran {
        self.run_with(experiment, &mut |_| {})
    }

    pub(crate) fn run_with(&self, experiment: &Experiment, reader: &mut dyn FnMut(&Event)) -> Ran {
        let store = self.store();
        let mut events = Vec::new();
        let mut sink = |event: &Event| {
            reader(event);
            events.push(event.clone());
        };
        let run = run(
            experiment,
            &store,
            &self.registry,
            &self.options,
            &self.control,
            &mut sink,
        );
        let run = run.unwrap();
        Ran { run, events, store }
    }
}

impl Ran {
    /// The names of the tasks that ran, in the order in which they ended; twice if they ran twice.
    pub(crate) fn executed(&self) -> Vec<&str> {
        self.finished(Finish::Executed)
    }

    pub(crate) fn finished(&self, wanted: Finish) -> Vec<&str> {
        let events = self.events.iter();
        events
            .filter_map(|event| match &event.what {
                What::TaskFinished { task, how, .. } if *how == wanted => Some(task.as_str()),
                _ => None,
            })
            .collect()
    }

    /// What a concat task put out.
    pub(crate) fn content(&self, task: TaskId) -> String {
        let End::Done { outputs, .. } = &self.run.ends[task] else {
            panic!("task {task} is not done: {:?}", self.run.ends[task]);
        };
        let blob = outputs.output("out").unwrap().artifact.files()[0].blob;
        let content = self.store.blob(&blob.digest, blob.bytes).unwrap();
        String::from_utf8(content.to_vec()).unwrap()
    }

    pub(crate) fn count(&self, is: impl Fn(&What) -> bool) -> usize {
        self.events.iter().filter(|event| is(&event.what)).count()
    }
}

/// Every path under a folder, with its content, length and time of last change.
pub(crate) fn tree(folder: &Path) -> BTreeMap<PathBuf, (u64, std::time::SystemTime, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let content = if metadata.is_dir() {
                folders.push(path.clone());
                Vec::new()
            } else {
                std::fs::read(&path).unwrap()
            };
            found.insert(
                path,
                (metadata.len(), metadata.modified().unwrap(), content),
            );
        }
    }
    found
}
