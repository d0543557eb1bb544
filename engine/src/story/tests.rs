use super::*;
use crate::events::{FailureKind, VERSION};

fn story(running: bool, events: Vec<What>) -> Story {
    let events = events.into_iter().zip(1..);
    let events = events.map(|(what, at)| {
        Ok(Event {
            v: VERSION,
            at,
            what,
        })
    });
    Story::tell("r", running, events)
}

fn started(task: &str) -> What {
    What::TaskStarted {
        task: task.into(),
        key: blake3::hash(task.as_bytes()),
        slot: 0,
    }
}

fn finished(task: &str, how: Finish) -> What {
    What::TaskFinished {
        task: task.into(),
        key: blake3::hash(task.as_bytes()),
        how,
        outputs: BTreeMap::new(),
        spent: None,
    }
}

fn failure() -> Failure {
    Failure {
        kind: FailureKind::Passing,
        message: "no answer".into(),
        hint: None,
    }
}

#[test]
fn tasks_stand_in_the_order_in_which_they_came_up_with_how_they_ended() {
    let story = story(
        false,
        vec![
            started("a"),
            What::TaskWaiting { task: "b".into() },
            What::TaskRetried {
                task: "a".into(),
                attempt: 1,
                failure: failure(),
                pause_us: 5,
            },
            finished("b", Finish::Taken),
            What::TaskFailed {
                task: "a".into(),
                failure: failure(),
                attempts: 2,
                spent: None,
            },
            What::TaskNotRun {
                task: "c".into(),
                because: "a".into(),
            },
            started("d"),
        ],
    );
    let told: Vec<_> = story
        .tasks
        .iter()
        .map(|task| (task.task.as_str(), task.fate.name()))
        .collect();
    assert_eq!(
        told,
        [
            ("a", "failed"),
            ("b", "taken"),
            ("c", "not run"),
            ("d", "open")
        ]
    );
    assert_eq!(story.task("a").unwrap().retries.len(), 1);
    assert!(story.task("b").unwrap().waited);
    assert!(story.task("e").is_none());
    assert_eq!(story.ending, Ending::Silent);
    assert_eq!(story.last, Some(7));
    let counted = story.counted();
    let counted = (
        counted.cached,
        counted.failed,
        counted.not_run,
        counted.left,
    );
    assert_eq!(counted, (1, 1, 1, 1));
}

#[test]
fn what_was_done_again_has_run_once_and_for_all() {
    let story = story(
        true,
        vec![
            started("a"),
            finished("a", Finish::Executed),
            What::TaskRedone {
                task: "a".into(),
                blob: blake3::hash(b"blob"),
                needed_by: "b".into(),
            },
            finished("a", Finish::Cached),
        ],
    );
    let task = story.task("a").unwrap();
    assert_eq!(task.fate, Fate::Finished(Finish::Executed));
    assert_eq!(task.redone, 1);
    assert_eq!(story.ending, Ending::Running);
}

#[test]
fn much_damage_is_counted_and_not_kept() {
    let kind = || DamageKind::NoEvent("nonsense".into());
    let damage = (1..=10_000).map(|line| Err(Damage { line, kind: kind() }));
    let story = Story::tell("r", false, damage);
    assert_eq!(story.damage.count, 10_000);
    assert_eq!(story.damage.first.len(), MOST_KEPT);
    // The last line of a run in progress is just being written.
    let torn = || {
        Err(Damage {
            line: 1,
            kind: DamageKind::Torn,
        })
    };
    assert_eq!(Story::tell("r", true, [torn()]).damage.count, 0);
    assert_eq!(Story::tell("r", false, [torn()]).damage.count, 1);
}
