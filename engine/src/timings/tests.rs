use std::collections::BTreeMap;

use super::*;
use crate::events::{Failure, FailureKind, Finish, VERSION};
use crate::plan::Counts;

fn timings(events: Vec<(u64, What)>) -> Timings {
    let mut timings = Timings::default();
    for (at, what) in events {
        let v = VERSION;
        timings.add(&Event { v, at, what });
    }
    timings
}

fn started() -> What {
    What::RunStarted {
        run: "r".into(),
        experiment: "e".into(),
        began: 1_000,
        planned: Counts::default(),
        jobs: 2,
    }
}

fn finished(task: &str, spent: Option<Spent>) -> What {
    What::TaskFinished {
        task: task.into(),
        key: blake3::hash(task.as_bytes()),
        how: Finish::Executed,
        outputs: BTreeMap::new(),
        spent: spent.map(Box::new),
    }
}

/// What a task spent that was done 30 microseconds after its work, and flushed 20 later.
fn spent(ready: u64, queue_us: u64, work_us: u64, after: Option<&str>) -> Spent {
    Spent {
        ready,
        queue_us,
        work_us,
        slot_us: work_us.saturating_add(30),
        flush_us: 20,
        after: after.map(str::to_owned),
        ..Spent::default()
    }
}

#[test]
fn times_are_added_up_and_what_is_left_is_said() {
    let phase = |phase, took_us| What::PhaseEnded {
        phase,
        began: 0,
        took_us,
    };
    let report = timings(vec![
        (1_100, started()),
        (1_100, phase(Phase::Check, 60)),
        (1_100, phase(Phase::Plan, 30)),
        (1_110, finished("cached", None)),
        (1_400, finished("a/x", Some(spent(1_150, 50, 150, None)))),
        (1_500, finished("a/y", Some(spent(1_150, 10, 300, None)))),
        (
            1_900,
            finished("b", Some(spent(1_500, 0, 350, Some("a/y")))),
        ),
        (2_000, phase(Phase::Tasks, 850)),
    ])
    .report(2);
    assert_eq!(report.whole_us, 1_000);
    assert_eq!(report.other_us, 1_000 - 60 - 30 - 850);
    assert_eq!((report.jobs, report.without_slot), (2, 1));
    assert_eq!(report.all.tasks, 3);
    assert_eq!(report.all.slot_us, 180 + 330 + 380);
    assert_eq!(report.all.flush_us, 60);
    assert_eq!(report.all.parts[5], 150 + 300 + 350);
    assert_eq!(report.all.telling_us, 30 + 30 + 30);
    let stages: Vec<_> = report
        .stages
        .iter()
        .map(|(stage, sum)| (stage.as_str(), sum.tasks, sum.slot_us, sum.queue_us))
        .collect();
    assert_eq!(stages, [("a", 2, 510, 60), ("b", 1, 380, 0)]);
    let names = |tasks: &[TaskTime]| -> Vec<String> {
        tasks.iter().map(|task| task.task.clone()).collect()
    };
    assert_eq!(names(&report.longest), ["b", "a/y"]);
    assert_eq!(names(&report.critical), ["a/y", "b"]);
}

#[test]
fn failed_tasks_count_and_numbers_from_nowhere_do_no_harm() {
    let failed = What::TaskFailed {
        task: "a".into(),
        failure: Failure {
            kind: FailureKind::Input,
            message: String::new(),
            hint: None,
        },
        attempts: 1,
        spent: Some(Box::new(spent(u64::MAX, u64::MAX, u64::MAX, Some("b")))),
    };
    let report = timings(vec![
        (5, failed),
        (5, finished("b", Some(spent(0, 0, u64::MAX, Some("a"))))),
        (5, finished("c", Some(spent(0, 0, u64::MAX, Some("c"))))),
        (5, finished("d", Some(spent(0, 0, 0, Some("nowhere"))))),
    ])
    .report(10);
    assert_eq!(report.all.tasks, 4);
    assert_eq!(report.whole_us, 0);
    assert_eq!(report.critical.len(), 1);
}
