//! What a plan says.

use llmcl_engine::events::What;
use llmcl_engine::plan::{Counts, MaybeReason, RunReason, State};
use llmcl_engine::resolve::Trouble;
use llmcl_engine::run::{RunError, run};
use llmcl_engine::status::status;
use llmcl_stages_api::value::Value;

use crate::lab::{Flavor, registry};
use crate::world::{World, file, of, tree};

#[test]
fn planning_writes_nothing() {
    let world = World::new();
    let mut builder = world.builder();
    let a = builder.concat("a", &[], &[]);
    builder.concat("b", &[], &[a]);
    let plan = world.plan(&builder.experiment);
    assert_eq!(
        plan.counts(),
        Counts {
            run: 2,
            ..Counts::default()
        }
    );
    assert!(tree(world.folder.path()).is_empty());
}

#[test]
fn a_second_run_writes_nothing() {
    let world = World::new();
    let mut builder = world.builder();
    let a = builder.concat("a", &[("bulk", Value::Bool(true))], &[]);
    let gate = builder.gate("gate", 100, &[a]);
    builder.stage("b", Flavor::Concat, &[], Some(("gate == 'GREEN'", &[1])));
    builder.task(&[], &[], vec![of(a)], &[gate]);
    assert_eq!(world.run(&builder.experiment).executed().len(), 3);
    let before = tree(world.folder.path());
    let ran = world.run(&builder.experiment);
    assert!(ran.executed().is_empty());
    assert_eq!(ran.run.summary.cached, 3);
    assert!(ran.run.summary.log_written);
    drop(ran);
    assert_eq!(tree(world.folder.path()), before);
}

#[test]
fn what_gates_decide_is_open_until_they_are_known() {
    let mut world = World::new();
    let build = |world: &World, threshold| {
        let mut builder = world.builder();
        let gate = builder.gate("gate", threshold, &[]);
        builder.stage("hung", Flavor::Concat, &[], Some(("gate != 'RED'", &[0])));
        let hung = builder.task(&[], &[], vec![], &[gate]);
        let after = builder.concat("after", &[], &[hung]);
        builder.stage("report", Flavor::Report, &[], None);
        builder.task(&[], &[], vec![of(after)], &[]);
        builder.experiment
    };
    let red = build(&world, 0);
    let states = |world: &World, experiment| {
        let plan = world.plan(experiment);
        plan.tasks
            .into_iter()
            .map(|task| task.state)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        states(&world, &red),
        [
            State::Run(RunReason::New),
            State::Maybe(MaybeReason::Gate(0)),
            State::Maybe(MaybeReason::Gate(0)),
            // It runs whatever the gate says.
            State::Run(RunReason::New),
        ]
    );
    let ran = world.run(&red);
    assert_eq!(ran.executed(), ["gate", "report"]);
    assert_eq!(ran.count(|what| matches!(what, What::TaskPruned { .. })), 2);
    assert_eq!(
        ran.count(|what| matches!(what, What::GateDecided { .. })),
        1
    );
    assert!(matches!(&states(&world, &red)[..], [
        State::Cached { .. },
        State::Pruned(one),
        State::Pruned(two),
        State::Cached { .. },
    ] if one == two && one.gate == 0 && one.reason.outcome == "RED"));

    world.options.choices.assume.insert(0, "GREEN".into());
    let ran = world.run(&red);
    assert_eq!(ran.executed(), ["hung", "after", "report"]);
    world.options.choices.assume.clear();

    let green = build(&world, 100);
    let ran = world.run(&green);
    assert_eq!(ran.executed(), ["gate"]);
    assert_eq!(ran.run.summary.cached, 3);
    assert_eq!(world.run(&red).run.summary.pruned, 2);
}

#[test]
fn the_same_output_cuts_off_what_follows() {
    let mut world = World::new();
    let mut builder = world.builder();
    let a = builder.concat("a", &[("modulus", Value::Int(1))], &[]);
    builder.concat("b", &[], &[a]);
    world.run(&builder.experiment);
    // Only the leaf of the first is another.
    builder.experiment.tasks[a].leaves = ["leaf", "more"].into();
    let plan = world.plan(&builder.experiment);
    assert!(matches!(
        &plan.tasks[0].state,
        State::Run(RunReason::Changed(_))
    ));
    assert_eq!(plan.tasks[1].state, State::Maybe(MaybeReason::Input(0)));
    assert_eq!(world.run(&builder.experiment).executed(), ["a"]);
    world.registry = registry("other", "leaf");
    assert_eq!(world.run(&builder.experiment).executed(), ["a", "b"]);
}

#[test]
fn equal_tasks_run_once() {
    let world = World::new();
    let mut builder = world.builder();
    builder.stage("x", Flavor::Concat, &[], None);
    let x = builder.task(&[], &[("text", Value::Text("same".into()))], vec![], &[]);
    builder.stage("y", Flavor::Concat, &[], None);
    let y = builder.task(&[], &[("text", Value::Text("same".into()))], vec![], &[]);
    let after_x = builder.concat("after", &[], &[x]);
    builder.stage("after_y", Flavor::Concat, &[], None);
    let text = [("text", Value::Text("after".into()))];
    let after_y = builder.task(&[], &text, vec![of(y)], &[]);
    let plan = world.plan(&builder.experiment);
    assert_eq!(plan.tasks[x].state, State::Run(RunReason::New));
    assert_eq!(plan.tasks[y].state, State::Cached { same_as: Some(x) });
    assert_eq!(
        plan.tasks[after_x].state,
        State::Maybe(MaybeReason::SameAs(after_y))
    );
    assert_eq!(
        plan.tasks[after_y].state,
        State::Maybe(MaybeReason::SameAs(after_x))
    );
    let ran = world.run(&builder.experiment);
    assert_eq!(ran.executed().len(), 2);
    assert_eq!(ran.run.summary.cached, 2);
    assert_eq!(ran.content(after_x), ran.content(after_y));
    assert_eq!(world.lab.runs.load(std::sync::atomic::Ordering::SeqCst), 2);
}

#[test]
fn what_is_forced_runs_and_what_it_feeds_does_not() {
    let mut world = World::new();
    let mut builder = world.builder();
    let a = builder.concat("a", &[], &[]);
    builder.concat("b", &[], &[a]);
    world.run(&builder.experiment);
    world.options.choices.force.insert(a);
    let plan = world.plan(&builder.experiment);
    assert_eq!(plan.tasks[a].state, State::Run(RunReason::Forced));
    assert_eq!(world.run(&builder.experiment).executed(), ["a"]);
}

#[test]
fn lost_outputs_are_a_reason_to_run() {
    let world = World::new();
    let mut builder = world.builder();
    let a = builder.concat("a", &[("bulk", Value::Bool(true))], &[]);
    builder.concat("b", &[], &[a]);
    let ran = world.run(&builder.experiment);
    let content = ran.content(a);
    let blob = llmcl_cache::BlobRef::of(content.as_bytes());
    let path = ran
        .store
        .blob(&blob.digest, blob.bytes)
        .unwrap()
        .path()
        .unwrap()
        .to_owned();
    std::fs::remove_file(path).unwrap();
    let plan = world.plan(&builder.experiment);
    assert!(
        matches!(&plan.tasks[a].state, State::Run(RunReason::OutputsMissing(blobs)) if blobs.len() == 1)
    );
    let ran = world.run(&builder.experiment);
    assert_eq!(ran.executed(), ["a"]);
    assert_eq!(ran.content(a), content);
}

#[test]
fn all_that_keeps_a_run_from_starting_is_told_at_once_and_nothing_runs() {
    let world = World::new();
    let mut builder = world.builder();
    builder.concat("a", &[("fail", Value::Text("ready".into()))], &[]);
    builder.concat("fine", &[], &[]);
    builder.stage("b", Flavor::Concat, &[], None);
    builder.task(&[], &[], vec![file(&world.folder.path().join("none"))], &[]);
    let plan = world.plan(&builder.experiment);
    assert!(matches!(
        plan.tasks[2].state,
        State::Run(RunReason::Unready)
    ));
    let control = llmcl_engine::run::RunControl::default();
    let mut events = 0;
    let refused = run(
        &builder.experiment,
        &world.store(),
        &world.registry,
        &world.options,
        &control,
        &mut |_| events += 1,
    );
    let Err(RunError::NotReady(problems)) = refused else {
        panic!("it should not start");
    };
    assert_eq!(problems.len(), 2);
    assert_eq!(
        (problems[0].name.as_str(), problems[1].name.as_str()),
        ("a", "b")
    );
    assert_eq!(problems[0].trouble.hint(), Some("get ready"));
    assert!(matches!(problems[1].trouble, Trouble::File { .. }));
    assert_eq!(events, 0);
    assert!(!world.path().exists());
}

#[test]
fn status_counts_stage_by_stage() {
    let world = World::new();
    let mut builder = world.builder();
    let axis = builder.axis("axis", 2);
    builder.stage("wide", Flavor::Concat, &[axis], None);
    for value in 0..2 {
        builder.task(&[value], &[("text", Value::Int(value as i64))], vec![], &[]);
    }
    world.run(&builder.experiment);
    builder.concat("new", &[], &[]);
    let plan = world.plan(&builder.experiment);
    let status = status(&builder.experiment, &world.store(), &plan);
    assert_eq!(
        status[0].counts,
        Counts {
            cached: 2,
            ..Counts::default()
        }
    );
    assert!(status[0].last_duration.is_some());
    assert_eq!(
        status[1].counts,
        Counts {
            run: 1,
            ..Counts::default()
        }
    );
    assert_eq!(status[1].last_duration, None);
}
