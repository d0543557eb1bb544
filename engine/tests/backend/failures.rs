//! Tasks that fail.

use llmcl_engine::events::{Failure, FailureKind, What};
use llmcl_engine::plan::Counts;
use llmcl_engine::run::End;
use llmcl_stages_api::value::Value;

use crate::world::{Ran, World, tree};

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

fn failures(ran: &Ran) -> Vec<(&str, Failure, u32)> {
    let events = ran.events.iter();
    events
        .filter_map(|event| match &event.what {
            What::TaskFailed {
                task,
                failure,
                attempts,
                ..
            } => Some((task.as_str(), failure.clone(), *attempts)),
            _ => None,
        })
        .collect()
}

#[test]
fn a_failure_fails_what_hangs_on_it_and_is_not_recorded() {
    let world = World::new();
    let mut builder = world.builder();
    let bad = builder.concat("bad", &[("fail", text("error"))], &[]);
    let after = builder.concat("after", &[], &[bad]);
    builder.concat("later", &[], &[after]);
    builder.concat("fine", &[], &[]);
    let ran = world.run(&builder.experiment);
    assert_eq!(ran.executed(), ["fine"]);
    let summary = ran.run.summary;
    assert_eq!((summary.failed, summary.not_run, summary.left), (1, 2, 0));
    let failed = failures(&ran);
    assert_eq!(failed.len(), 1);
    assert_eq!(
        (failed[0].0, failed[0].1.kind, failed[0].2),
        ("bad", FailureKind::Input, 1)
    );
    let because = ran.events.iter().filter_map(|event| match &event.what {
        What::TaskNotRun { task, because } => Some((task.as_str(), because.as_str())),
        _ => None,
    });
    let because: Vec<_> = because.collect();
    assert_eq!(because, [("after", "bad"), ("later", "after")]);
    let counts = world.plan(&builder.experiment).counts();
    assert_eq!(
        counts,
        Counts {
            run: 3,
            cached: 1,
            ..Counts::default()
        }
    );
}

#[test]
fn without_keep_going_nothing_new_is_started() {
    let mut world = World::new();
    world.options.keep_going = false;
    world.options.jobs = 1.try_into().unwrap();
    let mut builder = world.builder();
    let bad = builder.concat("bad", &[("fail", text("error"))], &[]);
    builder.concat("after", &[], &[bad]);
    builder.concat("other", &[], &[]);
    let ran = world.run(&builder.experiment);
    assert!(ran.executed().is_empty());
    let summary = ran.run.summary;
    assert_eq!((summary.failed, summary.not_run, summary.left), (1, 1, 1));
}

#[test]
fn mistakes_of_a_kind_fail_its_task_only() {
    for (fail, says) in [
        ("panic", "the stage kind panicked: as asked"),
        ("nothing", "nothing was put out at the port `out`"),
        ("port", "there is no port `other` to put anything out at"),
    ] {
        let world = World::new();
        let mut builder = world.builder();
        builder.concat("bad", &[("fail", text(fail))], &[]);
        builder.concat("fine", &[], &[]);
        let ran = world.run(&builder.experiment);
        assert_eq!(ran.executed(), ["fine"], "{fail}");
        let failed = failures(&ran);
        assert_eq!(failed[0].1.kind, FailureKind::Internal, "{fail}");
        assert_eq!(failed[0].1.message, says);
        drop(ran);
        assert_eq!(world.plan(&builder.experiment).counts().run, 1, "{fail}");
    }
}

#[test]
fn what_may_pass_is_tried_again() {
    let world = World::new();
    let mut builder = world.builder();
    let retries = |times| {
        [
            ("retries", Value::Int(2)),
            ("fail_times", Value::Int(times)),
        ]
    };
    builder.concat("passes", &retries(2), &[]);
    builder.concat("stays", &retries(3), &[]);
    let ran = world.run(&builder.experiment);
    assert_eq!(ran.executed(), ["passes"]);
    let failed = failures(&ran);
    assert_eq!(
        (failed[0].0, failed[0].1.kind, failed[0].2),
        ("stays", FailureKind::Passing, 3)
    );
    let pauses = |name: &str| -> Vec<u64> {
        let events = ran.events.iter();
        events
            .filter_map(|event| match &event.what {
                What::TaskRetried { task, pause_us, .. } if task == name => Some(*pause_us),
                _ => None,
            })
            .collect()
    };
    assert_eq!(pauses("passes"), [1_000, 2_000]);
    assert_eq!(pauses("stays"), [1_000, 2_000]);
}

#[test]
fn a_task_that_touches_nothing_outside_is_tried_once() {
    let world = World::new();
    let mut builder = world.builder();
    builder.concat("a", &[("fail_times", Value::Int(1))], &[]);
    assert_eq!(failures(&world.run(&builder.experiment))[0].2, 1);
}

#[test]
fn an_attempt_ends_when_its_time_is_up() {
    let world = World::new();
    let mut builder = world.builder();
    let params = [
        ("limit", Value::Int(20)),
        ("wait_for_stop", Value::Bool(true)),
    ];
    builder.concat("slow", &params, &[]);
    let ran = world.run(&builder.experiment);
    let failed = failures(&ran);
    assert_eq!((failed[0].1.kind, failed[0].2), (FailureKind::TimedOut, 1));
}

#[test]
fn what_was_begun_is_there_for_the_next_attempt_and_gone_after() {
    let world = World::new();
    let mut builder = world.builder();
    builder.concat("a", &[("fail", text("resume"))], &[]);
    assert_eq!(failures(&world.run(&builder.experiment)).len(), 1);
    let resumable = |world: &World| {
        let paths = tree(&world.path()).into_keys();
        paths.filter(|path| path.ends_with("half")).count()
    };
    assert_eq!(resumable(&world), 1);
    let ran = world.run(&builder.experiment);
    assert!(matches!(ran.run.ends[0], End::Done { executed: true, .. }));
    assert_eq!(resumable(&world), 0);
}
