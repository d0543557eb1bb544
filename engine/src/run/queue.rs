//! The tasks that could start, and what the machine has left for them.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use llmcl_stages_api::task::Needs;

use crate::model::TaskId;

/// Ready tasks, those with the longest remaining path first.
///
/// Tasks start in that order, and one that does not fit yet holds back the ones behind it. So neither an exclusive
/// task nor one that needs much memory ever starves.
pub(super) struct Queue {
    jobs: usize,
    memory: u64,
    ready: BTreeSet<(Reverse<Duration>, TaskId)>,
    needs: HashMap<TaskId, (Duration, Needs)>,
    running: HashMap<TaskId, Needs>,
}

impl Queue {
    pub(super) fn new(jobs: usize, memory: u64) -> Self {
        Self {
            jobs,
            memory,
            ready: BTreeSet::new(),
            needs: HashMap::new(),
            running: HashMap::new(),
        }
    }

    /// Adds a task that could start. `remaining` is the time that it and the longest path behind it take.
    pub(super) fn push(&mut self, task: TaskId, remaining: Duration, needs: Needs) {
        self.ready.insert((Reverse(remaining), task));
        self.needs.insert(task, (remaining, needs));
    }

    /// Takes a task back that has not been started.
    pub(super) fn remove(&mut self, task: TaskId) {
        if let Some((remaining, _)) = self.needs.remove(&task) {
            self.ready.remove(&(Reverse(remaining), task));
        }
    }

    /// Starts the next task, if it fits.
    pub(super) fn start(&mut self) -> Option<(TaskId, Needs)> {
        let &(remaining, task) = self.ready.first()?;
        let needs = self.needs.get(&task)?.1;
        if !self.fits(&needs) {
            return None;
        }
        self.ready.remove(&(remaining, task));
        self.needs.remove(&task);
        self.running.insert(task, needs);
        Some((task, needs))
    }

    /// Gives back what a task took.
    pub(super) fn release(&mut self, task: TaskId) {
        self.running.remove(&task);
    }

    /// Whether no task is running.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    fn fits(&self, needs: &Needs) -> bool {
        if self.running.is_empty() {
            return true;
        }
        let used = self.running.values().map(|needs| needs.memory);
        let used = used.fold(0_u64, u64::saturating_add);
        self.running.len() < self.jobs
            && !needs.exclusive
            && self.running.values().all(|running| !running.exclusive)
            && used.saturating_add(needs.memory) <= self.memory
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(memory: u64, exclusive: bool) -> Needs {
        Needs {
            memory,
            exclusive,
            outside: None,
        }
    }

    fn queue(tasks: &[(u64, Needs)]) -> Queue {
        let mut queue = Queue::new(3, 10);
        for (task, (seconds, needs)) in tasks.iter().enumerate() {
            queue.push(task, Duration::from_secs(*seconds), *needs);
        }
        queue
    }

    fn started(queue: &mut Queue) -> Vec<TaskId> {
        std::iter::from_fn(|| queue.start().map(|(task, _)| task)).collect()
    }

    #[test]
    fn the_longest_path_goes_first_and_jobs_are_bounded() {
        let mut queue = queue(&[
            (1, needs(0, false)),
            (3, needs(0, false)),
            (2, needs(0, false)),
            (3, needs(0, false)),
        ]);
        assert_eq!(started(&mut queue), [1, 3, 2]);
        queue.release(3);
        assert_eq!(started(&mut queue), [0]);
    }

    #[test]
    fn memory_is_bounded_and_a_task_over_the_budget_runs_alone() {
        let mut queue = queue(&[
            (4, needs(6, false)),
            (3, needs(11, false)),
            (2, needs(4, false)),
            (1, needs(0, false)),
        ]);
        assert_eq!(started(&mut queue), [0]);
        queue.release(0);
        assert_eq!(started(&mut queue), [1]);
        queue.release(1);
        assert_eq!(started(&mut queue), [2, 3]);
    }

    #[test]
    fn an_exclusive_task_waits_for_the_others_and_holds_back_the_next() {
        let mut queue = queue(&[
            (3, needs(0, false)),
            (2, needs(0, true)),
            (1, needs(0, false)),
        ]);
        assert_eq!(started(&mut queue), [0]);
        queue.release(0);
        assert_eq!(started(&mut queue), [1]);
        queue.release(1);
        assert_eq!(started(&mut queue), [2]);
        assert!(!queue.is_idle());
    }

    #[test]
    fn a_task_that_is_taken_back_does_not_start() {
        let mut queue = queue(&[(3, needs(0, false)), (2, needs(0, false))]);
        queue.remove(0);
        assert_eq!(started(&mut queue), [1]);
    }
}
