//! Running a plan: scheduling, executing, recording.

mod announce;
mod attempt;
mod flusher;
mod graph;
mod heal;
mod host;
mod job;
mod queue;
mod scheduler;
mod settle;
mod watch;
mod workers;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use announce::Announcer;
use attempt::Shared;
use blake3::Hash;
use llmcl_cache::{SharedMachine, Store};
use llmcl_stages_api::artifact::ArtifactFile;
use llmcl_stages_api::port::PortType;
use llmcl_stages_api::registry::Registry;

use crate::clock;
use crate::events::{Event, Summary, What};
use crate::model::Experiment;
use crate::outputs::Done;
use crate::phases::Phases;
use crate::plan::{self, Problem};
use crate::record::Build;
use crate::resolve::{Choices, Resolver};
use crate::snapshot::{Recalled, Surroundings};

/// How to run.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// What was chosen: the same as for the plan that was shown before, if there was one.
    pub choices: Choices,
    /// How many tasks run at a time.
    pub jobs: NonZeroUsize,
    /// The working memory that the tasks may have together, in bytes. One that needs more runs alone.
    pub memory: u64,
    /// Whether the rest goes on after a failure.
    pub keep_going: bool,
    /// The pause after the first failed attempt of a task that touches the outside; each further one is twice as
    /// long, up to a minute.
    pub back_off: Duration,
    /// How a fresh process of this program is started.
    pub worker: WorkerProgram,
    /// By which file the processes that share this machine know of each other, so that what must be alone is.
    pub machine: PathBuf,
    /// How this program was built, for the records.
    pub build: Build,
    /// The clock of the run, with the phases that are over.
    pub before: Phases,
}

/// The longest pause between two attempts.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(60);

/// How a fresh process of this program is started; the name of the worker is its last argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerProgram {
    /// The executable.
    pub program: PathBuf,
    /// The arguments before the worker's name.
    pub arguments: Vec<String>,
}

/// Stops a run from outside. Clones control the same run.
#[derive(Debug, Clone, Default)]
pub struct RunControl(Arc<AtomicBool>);

impl RunControl {
    /// Asks the run to stop: nothing new is started, and running tasks are told at their next checkpoint.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the run was asked to stop.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why nothing was run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// These things keep tasks from running.
    #[error("{} of the tasks cannot run", .0.len())]
    NotReady(Vec<Problem>),
}

/// A run that is over.
#[derive(Debug)]
pub struct Run {
    /// Its name; its log, if it has one, is of that name.
    pub name: String,
    /// How it went.
    pub summary: Summary,
    /// How each task ended, in the order of [`Experiment::tasks`].
    pub ends: Vec<End>,
    /// What the tasks hung on.
    pub surroundings: Surroundings,
}

impl Run {
    /// The files of the experiment's reports.
    #[must_use]
    pub fn reports(&self, experiment: &Experiment) -> Vec<ArtifactFile> {
        let mut files = Vec::new();
        for (task, end) in experiment.tasks.iter().zip(&self.ends) {
            let End::Done { outputs, .. } = end else {
                continue;
            };
            let ports = experiment.stages[task.stage].outputs.iter();
            let ports = ports.filter(|port| port.ty == PortType::Report);
            let reports = ports.filter_map(|port| outputs.output(&port.name));
            files.extend(reports.flat_map(|report| report.artifact.files().to_vec()));
        }
        files
    }
}

/// How a task ended.
#[derive(Debug, Clone)]
pub enum End {
    /// Its outputs are there.
    Done {
        /// The key that they are recorded under.
        key: Hash,
        /// The outputs.
        outputs: Arc<Done>,
        /// Whether the task ran for them in this run.
        executed: bool,
    },
    /// A gate ruled it out.
    Pruned(crate::resolve::Pruning),
    /// It failed.
    Failed,
    /// It could not run because another failed.
    NotRun,
    /// It had not come up, or not ended, when the run was stopped.
    Left,
}

/// Runs an experiment: everything that is not recorded yet.
///
/// What happens is told to `sink`, on the thread of the caller. A run with nothing to do writes nothing.
///
/// # Errors
/// If something keeps a task from running that is known before anything runs; then nothing is run. Failures of
/// tasks are no errors: they are in the result.
pub fn run(
    experiment: &Experiment,
    store: &Store,
    registry: &Registry,
    options: &RunOptions,
    control: &RunControl,
    sink: &mut dyn FnMut(&Event),
) -> Result<Run, RunError> {
    let resolver = Resolver::new(experiment, registry, &options.choices);
    let plan = plan::make(&resolver, store);
    if !plan.problems.is_empty() {
        return Err(RunError::NotReady(plan.problems));
    }
    let name = run_name(&experiment.name);
    let machine = SharedMachine::new(&options.machine);
    let shared = Shared {
        experiment,
        store,
        machine: &machine,
        options,
        control,
    };
    let scheduler = scheduler::Scheduler::new(&resolver, shared, plan, name, sink);
    Ok(scheduler.run())
}

/// Tells of a run that has nothing to do, as a snapshot says.
pub fn nothing_to_do(
    recalled: &Recalled,
    store: &Store,
    options: &RunOptions,
    sink: &mut dyn FnMut(&Event),
) -> Summary {
    let name = run_name(&recalled.experiment);
    let mut announcer = Announcer::new(store, name, false, options.before.clone(), sink);
    announcer.begin(&recalled.experiment, recalled.planned, options.jobs);
    for what in &recalled.told {
        announcer.tell(what.clone());
    }
    for notice in store.notices() {
        let message = notice.to_string();
        announcer.tell(What::StoreNotice { message });
    }
    let summary = Summary {
        cached: recalled.planned.cached,
        pruned: recalled.planned.pruned,
        duration_us: announcer
            .phases
            .now()
            .saturating_sub(announcer.phases.began()),
        ..Summary::default()
    };
    let (_, summary) = announcer.finish(summary);
    summary
}

fn run_name(experiment: &str) -> String {
    format!(
        "{}-{experiment}-{}",
        clock::compact(SystemTime::now()),
        std::process::id()
    )
}
