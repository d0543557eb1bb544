//! What the events say about where the time of tasks went.

use std::collections::BTreeMap;

use llmcl_engine::events::{Finish, Phase, Spent, What};
use llmcl_stages_api::value::Value;

use crate::world::{Ran, World};

/// What each task spent, with the time at which its end was told.
fn spent(ran: &Ran) -> BTreeMap<&str, (&Spent, u64)> {
    let events = ran.events.iter();
    events
        .filter_map(|event| match &event.what {
            What::TaskFinished {
                task,
                spent: Some(spent),
                ..
            }
            | What::TaskFailed {
                task,
                spent: Some(spent),
                ..
            } => Some((task.as_str(), (&**spent, event.at))),
            _ => None,
        })
        .collect()
}

fn sleep(milliseconds: i64) -> (&'static str, Value) {
    ("sleep", Value::Int(milliseconds))
}

#[test]
fn a_task_says_what_it_waited_for_and_how_long_it_worked() {
    let world = World::new();
    let mut builder = world.builder();
    let a = builder.concat("a", &[sleep(20)], &[]);
    let b = builder.concat("b", &[sleep(1)], &[]);
    let c = builder.concat("c", &[sleep(5)], &[b, a]);
    builder.concat("d", &[], &[c]);
    let ran = world.run(&builder.experiment);
    let spent = spent(&ran);
    let after: Vec<_> = ["a", "b", "c", "d"]
        .iter()
        .map(|task| spent[task].0.after.as_deref())
        .collect();
    assert_eq!(after, [None, None, Some("a"), Some("c")]);
    assert!(spent["a"].0.work_us >= 20_000);
    for (task, (spent, told)) in &spent {
        let parts: u64 = spent.parts().iter().map(|(_, took)| took).sum();
        assert!(parts <= spent.slot_us, "{task}: {spent:?}");
        assert!(spent.ended() <= *told, "{task}: {spent:?}");
        assert!(spent.flush_us > 0, "{task}: {spent:?}");
    }
    // Each could start once what it hangs on had ended, and no sooner.
    assert!(spent["c"].0.ready >= spent["a"].0.started() + spent["a"].0.work_us);
}

#[test]
fn tasks_of_one_slot_follow_one_another() {
    let world = World::new();
    let mut builder = world.builder();
    for task in ["a", "b", "c", "d", "e", "f"] {
        builder.concat(task, &[sleep(3)], &[]);
    }
    let ran = world.run(&builder.experiment);
    let mut slots: BTreeMap<usize, Vec<(u64, u64)>> = BTreeMap::new();
    for (spent, _) in spent(&ran).values() {
        let bar = (spent.started(), spent.ended());
        slots.entry(spent.slot).or_default().push(bar);
    }
    assert_eq!(slots.keys().collect::<Vec<_>>(), [&0, &1]);
    for bars in slots.values_mut() {
        bars.sort_unstable();
        assert!(
            bars.windows(2).all(|pair| pair[0].1 <= pair[1].0),
            "{bars:?}"
        );
    }
    // The third one at the earliest found no slot free.
    assert!(
        spent(&ran)
            .values()
            .any(|(spent, _)| spent.queue_us >= 3_000)
    );
    for event in &ran.events {
        if let What::TaskStarted { task, slot, .. } = &event.what {
            assert_eq!(*slot, spent(&ran)[task.as_str()].0.slot);
        }
    }
}

#[test]
fn failed_attempts_and_pauses_are_retries() {
    let world = World::new();
    let mut builder = world.builder();
    let params = [
        ("fail_times", Value::Int(2)),
        ("retries", Value::Int(2)),
        sleep(5),
    ];
    builder.concat("passes", &params, &[]);
    let ran = world.run(&builder.experiment);
    let spent = spent(&ran)["passes"].0.clone();
    // Two pauses, of 1 and 2 milliseconds.
    assert!(spent.retries_us >= 3_000, "{spent:?}");
    assert!(spent.work_us >= 5_000, "{spent:?}");
}

#[test]
fn phases_are_told_in_order_and_what_was_cached_spent_nothing() {
    let world = World::new();
    let mut builder = world.builder();
    builder.concat("a", &[], &[]);
    for how in [Finish::Executed, Finish::Cached] {
        let ran = world.run(&builder.experiment);
        assert_eq!(ran.finished(how), ["a"]);
        assert_eq!(spent(&ran).is_empty(), how == Finish::Cached);
        let phases: Vec<Phase> = ran
            .events
            .iter()
            .filter_map(|event| match event.what {
                What::PhaseEnded { phase, .. } => Some(phase),
                _ => None,
            })
            .collect();
        assert_eq!(phases, Phase::ALL[3..], "the first three are the caller's");
        assert!(ran.events.is_sorted_by_key(|event| event.at));
    }
}
