//! The scheduler: it decides about tasks as they come up, starts those that must run, and hears how they end.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use blake3::Hash;
use llmcl_cache::Written;
use llmcl_stages_api::artifact::BlobRef;
use llmcl_stages_api::expr::AxisFields;
use llmcl_stages_api::task::Needs;

use super::announce::Announcer;
use super::attempt::Shared;
use super::flusher::Flusher;
use super::graph::Graph;
use super::job::{Ended, Job, Message, News, axis_fields_of};
use super::queue::Queue;
use super::watch::Watch;
use super::workers::Workers;
use super::{End, Run};
use crate::events::{Event, Failure, FailureKind, Finish, Phase, Spent, What, microseconds};
use crate::model::{Stage, StageId, TaskId};
use crate::outputs::{Done, Found, find};
use crate::plan::Plan;
use crate::resolve::{Decision, Fact, Resolver};

/// How often it is looked whether the run was stopped while nothing else happens.
const PATIENCE: Duration = Duration::from_millis(100);

/// Where a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Something that it hangs on is not settled, or it is about to be decided about.
    Waiting,
    /// It is in the queue under this key.
    Ready(Hash),
    /// Another task with this key is in the queue or running.
    Following(Hash),
    /// It is being executed under this key. `stale` says that something it hangs on is being redone: its result is
    /// recorded, and then it is decided about again.
    Running { key: Hash, stale: bool },
    /// Its fact is final.
    Settled,
}

pub(super) struct Scheduler<'a> {
    pub(super) resolver: &'a Resolver<'a>,
    pub(super) shared: Shared<'a>,
    pub(super) announcer: Announcer<'a>,
    pub(super) graph: Graph,
    pub(super) queue: Queue,
    pub(super) watch: Watch,
    remaining: Vec<Duration>,
    pub(super) facts: Vec<Fact>,
    pub(super) steps: Vec<Step>,
    /// How many tasks that a task hangs on are not settled.
    pub(super) pending: Vec<usize>,
    /// Tasks that wait for nothing and are to be decided about.
    pub(super) todo: VecDeque<TaskId>,
    /// The task that is in the queue or running for a key.
    pub(super) owners: HashMap<Hash, TaskId>,
    pub(super) followers: HashMap<Hash, Vec<TaskId>>,
    /// The keys that were executed in this run. What was forced is not forced again.
    pub(super) executed: HashSet<Hash>,
    /// What has been redone already: a task and a blob that was lost.
    pub(super) redone: HashSet<(TaskId, Hash)>,
    pub(super) ends: Vec<End>,
    /// The tasks in the queue: their keys, and the stamps of records that were passed over.
    ready: HashMap<TaskId, (Hash, Option<u64>)>,
    axis_fields: HashMap<StageId, Arc<AxisFields>>,
    /// Executed tasks whose records are written but not known to be durable, in the order of writing.
    pub(super) unconfirmed: VecDeque<Unconfirmed>,
    pub(super) failed: bool,
    pub(super) interrupted: bool,
}

/// A task that is to be called finished once its record is durable. What hangs on it goes on before that.
pub(super) struct Unconfirmed {
    pub(super) written: Written,
    pub(super) task: TaskId,
    pub(super) key: Hash,
    pub(super) done: Arc<Done>,
    pub(super) spent: Option<Box<Spent>>,
    /// Since when it waits.
    pub(super) since: Instant,
}

impl<'a> Scheduler<'a> {
    pub(super) fn new(
        resolver: &'a Resolver<'a>,
        shared: Shared<'a>,
        plan: Plan,
        name: String,
        sink: &'a mut dyn FnMut(&Event),
    ) -> Self {
        let Shared {
            experiment,
            store,
            options,
            ..
        } = shared;
        let count = experiment.tasks.len();
        let planned = plan.counts();
        let logs = planned.run + planned.maybe > 0;
        let mut announcer = Announcer::new(store, name, logs, options.before.clone(), sink);
        announcer.phases.end(Phase::Plan);
        announcer.begin(&experiment.name, planned, options.jobs);
        let graph = Graph::of(resolver);
        let remaining = graph.remaining(experiment, &plan, store);
        let mut scheduler = Self {
            resolver,
            shared,
            announcer,
            queue: Queue::new(options.jobs.get(), options.memory),
            watch: Watch::new(count),
            remaining,
            facts: vec![Fact::Unknown { gate: None }; count],
            steps: vec![Step::Waiting; count],
            pending: (0..count)
                .map(|task| graph.upstream(task).count())
                .collect(),
            graph,
            todo: VecDeque::new(),
            owners: HashMap::new(),
            followers: HashMap::new(),
            executed: HashSet::new(),
            redone: HashSet::new(),
            ends: vec![End::Left; count],
            ready: HashMap::new(),
            axis_fields: HashMap::new(),
            unconfirmed: VecDeque::new(),
            failed: false,
            interrupted: false,
        };
        scheduler.announcer.end_phase(Phase::Prepare);
        scheduler.take_over(plan);
        scheduler.announcer.end_phase(Phase::TakeOver);
        scheduler
    }

    /// Takes over what the plan has settled, in the order of the tasks.
    fn take_over(&mut self, plan: Plan) {
        for (task, fact) in plan.facts.into_iter().enumerate() {
            match fact {
                Fact::Done(done) => {
                    if let Some(key) = plan.tasks[task].key {
                        self.finish(task, key, done, Finish::Cached);
                    }
                }
                Fact::Pruned(pruning) if pruning.settled => self.prune(task, pruning),
                Fact::Pruned(_) | Fact::Unknown { .. } | Fact::Failed => {}
            }
        }
        let undecided =
            |&task: &TaskId| self.steps[task] == Step::Waiting && self.pending[task] == 0;
        self.todo = (0..self.steps.len()).filter(undecided).collect();
    }

    /// Runs until nothing is left, or nothing may be started any more.
    pub(super) fn run(mut self) -> Run {
        std::thread::scope(|scope| {
            let (messages, news) = mpsc::channel();
            let mut flusher = None;
            let mut workers = Workers::new(scope, self.shared, messages.clone());
            loop {
                self.decide_all();
                self.start_all(&mut workers);
                if let Some(last) = self.unconfirmed.back() {
                    let store = self.shared.store;
                    flusher
                        .get_or_insert_with(|| Flusher::start(scope, store, messages.clone()))
                        .flush(last.written, self.queue.is_idle());
                } else if self.queue.is_idle() {
                    break;
                }
                match news.recv_timeout(PATIENCE) {
                    Ok(message) => {
                        if let Message::Of(task, News::Ended(..)) = &message {
                            workers.ended(*task);
                        }
                        self.hear(message);
                    }
                    Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
                }
                self.look_for_stop();
                self.tell_notices();
            }
        });
        self.look_for_stop();
        self.tell_notices();
        self.announcer.end_phase(Phase::Tasks);
        let summary = self.summary();
        let (name, summary) = self.announcer.finish(summary);
        Run {
            name,
            summary,
            ends: self.ends,
            surroundings: self.resolver.surroundings(),
        }
    }

    fn decide_all(&mut self) {
        while let Some(task) = self.todo.pop_front() {
            if self.steps[task] == Step::Waiting && self.pending[task] == 0 {
                match self.resolver.decide(task, &self.facts) {
                    Ok(Decision::Pruned(pruning)) => self.prune(task, pruning),
                    Ok(Decision::Blocked(because)) => self.not_run(task, because),
                    Ok(Decision::Live(live)) => self.look_up(task, live.key),
                    Err(trouble) => self.fail(task, trouble.into(), 0),
                }
            }
        }
    }

    fn look_up(&mut self, task: TaskId, key: Option<Hash>) {
        let Some(key) = key else {
            let message = "the key of the task could not be made";
            return self.fail(task, internal(message), 0);
        };
        if self.owners.contains_key(&key) {
            self.steps[task] = Step::Following(key);
            self.followers.entry(key).or_default().push(task);
            return;
        }
        // Before it is looked at: what comes in from other processes meanwhile is newer.
        let passed_over = self.shared.store.record(&key).map(|record| record.stamp());
        if !self.is_forced(task, &key)
            && let Found::Outputs(done) = find(self.shared.store, self.stage(task), &key)
        {
            let how = match self.executed.contains(&key) {
                true => Finish::Shared,
                false => Finish::Cached,
            };
            return self.finish(task, key, Arc::new(done), how);
        }
        let stage = self.stage(task);
        let params = &self.shared.experiment.tasks[task].params;
        let needs = stage
            .kind
            .needs(params, self.resolver.input_bytes(task, &self.facts));
        self.steps[task] = Step::Ready(key);
        self.owners.insert(key, task);
        self.ready.insert(task, (key, passed_over));
        self.queue.push(task, self.remaining[task], needs);
        self.watch.ready(task);
    }

    fn is_forced(&self, task: TaskId, key: &Hash) -> bool {
        self.resolver.choices.force.contains(&task) && !self.executed.contains(key)
    }

    fn start_all(&mut self, workers: &mut Workers<'_, '_>) {
        let keep_going = self.shared.options.keep_going;
        while !self.shared.control.is_stopping() && (keep_going || !self.failed) {
            let Some((task, needs)) = self.queue.start() else {
                return;
            };
            let Some((key, passed_over)) = self.ready.remove(&task) else {
                self.queue.release(task);
                continue;
            };
            self.watch.start(task);
            match self.job(task, key, needs, passed_over) {
                Ok(job) => {
                    self.steps[task] = Step::Running {
                        key: job.key,
                        stale: false,
                    };
                    if let Err(error) = workers.start(job) {
                        let message = format!("could not start a thread: {error}");
                        self.give_up(task, internal(&message));
                    }
                }
                Err(failure) => self.give_up(task, failure),
            }
        }
    }

    /// A task that was about to start cannot.
    fn give_up(&mut self, task: TaskId, failure: Failure) {
        self.queue.release(task);
        self.watch.leave(task);
        let followers = self.release(task);
        self.fail(task, failure, 0);
        for other in followers {
            self.not_run(other, task);
        }
        self.decide_all();
    }

    fn job(
        &mut self,
        task: TaskId,
        key: Hash,
        needs: Needs,
        passed_over: Option<u64>,
    ) -> Result<Job, Failure> {
        let experiment = self.shared.experiment;
        let stage = experiment.tasks[task].stage;
        let axis_fields = self.axis_fields.entry(stage);
        let axis_fields =
            axis_fields.or_insert_with(|| Arc::new(axis_fields_of(experiment, stage)));
        let walk = self.resolver.walk(task, &self.facts)?;
        Ok(Job {
            task,
            name: experiment.task_name(task),
            key,
            shape: walk.shape(),
            parts: walk.parts(),
            inputs: self.resolver.members(task, &self.facts)?,
            files: self.resolver.files(task)?,
            axis_fields: Arc::clone(axis_fields),
            needs,
            passed_over,
        })
    }

    fn hear(&mut self, message: Message) {
        let (task, news) = match message {
            Message::Of(task, news) => (task, news),
            Message::Flushed(written) => return self.confirm(written),
        };
        let name = || self.shared.experiment.task_name(task);
        match news {
            News::Waiting => self.announcer.tell(What::TaskWaiting { task: name() }),
            News::Started => {
                if let Step::Running { key, .. } = self.steps[task] {
                    let (task, slot) = (name(), self.watch.slot(task));
                    self.announcer.tell(What::TaskStarted { task, key, slot });
                }
            }
            News::Progress { done, total } => self.announcer.tell(What::TaskProgress {
                task: name(),
                done,
                total,
            }),
            News::Retried {
                attempt,
                failure,
                pause,
            } => self.announcer.tell(What::TaskRetried {
                task: name(),
                attempt,
                failure,
                pause_us: microseconds(pause),
            }),
            News::Ended(ended, laps) => {
                self.watch.end(task, &laps);
                self.ended(task, ended);
                self.watch.forget();
            }
        }
    }

    fn ended(&mut self, task: TaskId, ended: Ended) {
        self.queue.release(task);
        let Step::Running { key, stale } = self.steps[task] else {
            return;
        };
        let followers = self.release(task);
        match ended {
            Ended::Executed { done, written } => {
                self.executed.insert(key);
                let done = Arc::new(done);
                // The threads of tasks may tell in another order than they wrote in.
                let place = self
                    .unconfirmed
                    .partition_point(|other| other.written < written);
                let unconfirmed = Unconfirmed {
                    written,
                    task,
                    key,
                    done: Arc::clone(&done),
                    spent: self.spent(task),
                    since: Instant::now(),
                };
                self.unconfirmed.insert(place, unconfirmed);
                self.hand_out(task, key, done, true);
                self.take_back_if(stale, task);
            }
            Ended::Taken(done) => {
                self.finish(task, key, Arc::new(done), Finish::Taken);
                self.take_back_if(stale, task);
            }
            Ended::Failed { failure, attempts } => {
                self.fail(task, failure, attempts);
                followers
                    .into_iter()
                    .for_each(|other| self.not_run(other, task));
                return;
            }
            Ended::Lost {
                blobs,
                failure,
                attempts,
            } if !stale => self.lost(task, &blobs, failure, attempts),
            // What it misses is being made again already.
            Ended::Lost { .. } => self.wait(task),
            Ended::Stopped => self.steps[task] = Step::Waiting,
        }
        // The followers find what was recorded, or one of them does the work.
        for other in followers {
            self.wait(other);
        }
    }

    /// Has a task that was redone meanwhile decided about again.
    fn take_back_if(&mut self, stale: bool, task: TaskId) {
        if stale {
            self.unsettle(task);
            self.wait(task);
        }
    }

    /// Gives up the key of a task that is not in the queue and not running any more. Returns those that followed it.
    pub(super) fn release(&mut self, task: TaskId) -> Vec<TaskId> {
        let (Step::Ready(key) | Step::Running { key, .. }) = self.steps[task] else {
            return Vec::new();
        };
        self.owners.remove(&key);
        self.followers.remove(&key).unwrap_or_default()
    }

    /// Has a task decided about, once nothing is left that it waits for.
    pub(super) fn wait(&mut self, task: TaskId) {
        self.steps[task] = Step::Waiting;
        if self.pending[task] == 0 {
            self.todo.push_back(task);
        }
    }

    fn look_for_stop(&mut self) {
        if self.shared.control.is_stopping() && !self.interrupted {
            self.interrupted = true;
            self.announcer.tell(What::Interrupted);
        }
    }

    fn tell_notices(&mut self) {
        for notice in self.shared.store.notices() {
            let message = notice.to_string();
            self.announcer.tell(What::StoreNotice { message });
        }
    }

    fn stage(&self, task: TaskId) -> &'a Stage {
        let experiment = self.shared.experiment;
        &experiment.stages[experiment.tasks[task].stage]
    }

    /// The files of the repository that a task takes in.
    pub(super) fn takes_in(&self, task: TaskId, blob: BlobRef) -> bool {
        let files = self.resolver.files(task).unwrap_or_default();
        files.iter().any(|(_, file)| *file == blob)
    }
}

fn internal(message: &str) -> Failure {
    Failure {
        kind: FailureKind::Internal,
        message: message.to_owned(),
        hint: None,
    }
}
