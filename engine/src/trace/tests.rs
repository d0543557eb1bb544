use std::collections::BTreeMap;

use super::*;
use crate::events::{Failure, FailureKind, Finish, Phase, VERSION};
use crate::plan::Counts;

fn trace(events: Vec<(u64, What)>) -> Vec<Value> {
    let mut trace = Trace::begin(Vec::new()).unwrap();
    for (at, what) in events {
        let v = VERSION;
        trace.add(&Event { v, at, what }).unwrap();
    }
    let text = trace.finish().unwrap();
    let document: Value = serde_json::from_slice(&text).unwrap();
    document["traceEvents"].as_array().unwrap().clone()
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

fn task_started(task: &str, slot: usize) -> What {
    What::TaskStarted {
        task: task.into(),
        key: blake3::hash(task.as_bytes()),
        slot,
    }
}

fn finished(task: &str, spent: Spent) -> What {
    What::TaskFinished {
        task: task.into(),
        key: blake3::hash(task.as_bytes()),
        how: Finish::Executed,
        outputs: BTreeMap::new(),
        spent: Some(Box::new(spent)),
    }
}

/// The complete events of a row: name, begin and end.
fn bars(events: &[Value], row: u64) -> Vec<(&str, u64, u64)> {
    let bars = events
        .iter()
        .filter(|event| event["ph"] == "X" && event["tid"] == row);
    bars.map(|bar| {
        let begin = bar["ts"].as_u64().unwrap();
        let took = bar["dur"].as_u64().unwrap();
        (bar["name"].as_str().unwrap(), begin, begin + took)
    })
    .collect()
}

#[test]
fn tasks_lie_in_their_slots_with_their_parts_inside() {
    let events = trace(vec![
        (1_100, started()),
        (
            1_100,
            What::PhaseEnded {
                phase: Phase::Plan,
                began: 1_020,
                took_us: 80,
            },
        ),
        (1_150, task_started("a", 1)),
        (
            1_300,
            finished(
                "a",
                Spent {
                    slot: 1,
                    ready: 1_110,
                    queue_us: 10,
                    prepare_us: 20,
                    work_us: 130,
                    slot_us: 170,
                    flush_us: 10,
                    ..Spent::default()
                },
            ),
        ),
        (
            1_500,
            finished(
                "b",
                Spent {
                    slot: 0,
                    ready: 1_300,
                    after: Some("a".into()),
                    work_us: 150,
                    slot_us: 190,
                    ..Spent::default()
                },
            ),
        ),
    ]);
    assert_eq!(bars(&events, 0), [("plan", 20, 100)]);
    assert_eq!(bars(&events, 1), [("b", 300, 490), ("work", 300, 450)]);
    assert_eq!(
        bars(&events, 2),
        [("a", 120, 290), ("prepare", 120, 140), ("work", 140, 270)]
    );
    let flow = |ph: &str| events.iter().find(|event| event["ph"] == ph).unwrap();
    assert_eq!(
        (&flow("s")["tid"], &flow("s")["ts"]),
        (&json!(2), &json!(289))
    );
    assert_eq!(
        (&flow("f")["tid"], &flow("f")["ts"]),
        (&json!(1), &json!(300))
    );
    assert_eq!(flow("s")["id"], flow("f")["id"]);
    let names: Vec<_> = events
        .iter()
        .filter(|event| event["name"] == "thread_name")
        .map(|event| event["args"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["engine", "slot 0", "slot 1"]);
}

#[test]
fn an_end_that_is_told_late_has_its_own_place() {
    let spent = |ready, slot_us| Spent {
        ready,
        slot_us,
        ..Spent::default()
    };
    let events = trace(vec![
        (1_000, started()),
        (1_010, task_started("a", 0)),
        (1_050, task_started("b", 0)),
        (1_090, task_started("c", 0)),
        (1_095, finished("b", spent(1_045, 40))),
        (1_099, finished("a", spent(1_005, 40))),
    ]);
    assert_eq!(
        bars(&events, 1),
        [("b", 45, 85), ("a", 5, 45), ("c", 90, 99)]
    );
}

#[test]
fn what_has_not_ended_is_shown_up_to_the_next_or_the_last() {
    let events = trace(vec![
        (1_000, started()),
        (1_010, task_started("lost", 0)),
        (1_050, task_started("killed", 0)),
        (1_070, What::Interrupted),
    ]);
    assert_eq!(bars(&events, 1), [("lost", 10, 50), ("killed", 50, 70)]);
}

#[test]
fn numbers_from_nowhere_leave_bars_within_the_run() {
    let failure = Failure {
        kind: FailureKind::Input,
        message: String::new(),
        hint: None,
    };
    let spent = |slot| Spent {
        slot,
        ready: u64::MAX,
        queue_us: u64::MAX,
        work_us: u64::MAX,
        slot_us: u64::MAX,
        flush_us: u64::MAX,
        after: Some("a".into()),
        ..Spent::default()
    };
    let events = trace(vec![
        (u64::MAX, What::Interrupted),
        (5, started()),
        (1_010, task_started("x", usize::MAX)),
        (
            1_010,
            What::PhaseEnded {
                phase: Phase::Plan,
                began: u64::MAX,
                took_us: u64::MAX,
            },
        ),
        (1_020, finished("a", spent(0))),
        (1_020, finished("a", spent(usize::MAX))),
        (
            900,
            What::TaskFailed {
                task: "b".into(),
                failure,
                attempts: 0,
                spent: Some(Box::new(Spent {
                    ready: 0,
                    work_us: u64::MAX,
                    ..spent(0)
                })),
            },
        ),
    ]);
    for row in 0..3 {
        for (name, begin, end) in bars(&events, row) {
            assert!(begin <= end, "{name}");
        }
    }
}
