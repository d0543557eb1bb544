//! Logs, other processes, and what is lost on the way.

use std::fs;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use llmcl_cache::{BlobRef, SharedMachine};
use llmcl_engine::events::{Event, Finish, What};
use llmcl_stages_api::value::Value;

use crate::lab::Flavor;
use crate::world::{World, file, of};

#[test]
fn the_log_tells_what_the_reader_heard() {
    let world = World::new();
    let mut builder = world.builder();
    let a = builder.concat("a", &[], &[]);
    let gate = builder.gate("gate", 0, &[a]);
    builder.stage("hung", Flavor::Concat, &[], Some(("gate != 'RED'", &[1])));
    builder.task(&[], &[], vec![], &[gate]);
    let ran = world.run(&builder.experiment);
    let path = world
        .path()
        .join("runs")
        .join(format!("{}.jsonl", ran.run.name));
    let logged: Vec<Event> = fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(logged, ran.events);
    assert!(matches!(&logged[0].what, What::RunStarted { planned, .. } if planned.run == 2));
    assert!(
        matches!(&logged.last().unwrap().what, What::RunFinished { summary } if summary.log_written)
    );
}

#[test]
fn a_log_that_cannot_be_written_is_told_and_fails_no_task() {
    let world = World::new();
    let mut builder = world.builder();
    builder.concat("a", &[], &[]);
    fs::create_dir_all(world.path()).unwrap();
    fs::write(world.path().join("runs"), "in the way").unwrap();
    let ran = world.run(&builder.experiment);
    assert_eq!(ran.executed(), ["a"]);
    assert_eq!(ran.count(|what| matches!(what, What::LogFailed { .. })), 1);
    assert!(!ran.run.summary.log_written);
    assert!(ran.run.summary.is_complete());
}

#[test]
fn what_another_process_makes_meanwhile_is_taken() {
    let world = World::new();
    let build = || {
        let mut builder = world.builder();
        let slow = builder.concat("slow", &[("sleep", Value::Int(300))], &[]);
        builder.concat("after", &[], &[slow]);
        builder.experiment
    };
    let (began, begins) = mpsc::channel();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| {
            world.run_with(&build(), &mut |event| {
                if matches!(event.what, What::TaskStarted { .. }) {
                    began.send(()).unwrap();
                }
            })
        });
        begins.recv().unwrap();
        let second = world.run(&build());
        let first = first.join().unwrap();
        assert_eq!(first.executed()[0], "slow");
        assert_eq!(second.finished(Finish::Taken)[0], "slow");
        assert!(second.count(|what| matches!(what, What::TaskWaiting { .. })) >= 1);
        assert_eq!(first.content(1), second.content(1));
    });
    assert_eq!(world.lab.runs.load(Ordering::SeqCst), 2);
}

#[test]
fn what_must_be_alone_waits_for_other_processes_and_they_for_it() {
    for exclusive in [true, false] {
        let world = World::new();
        // Of another process: what it holds is another opening of the file.
        let other = SharedMachine::new(&world.options.machine);
        let guard = other.enter(!exclusive, &|| true, &mut || {}).unwrap();
        let mut guard = Some(guard.unwrap());
        let mut builder = world.builder();
        builder.concat("a", &[("exclusive", Value::Bool(exclusive))], &[]);
        let mut waited = false;
        let ran = world.run_with(&builder.experiment, &mut |event| match event.what {
            What::TaskWaiting { .. } => {
                waited = true;
                drop(guard.take());
            }
            What::TaskStarted { .. } => assert!(waited, "exclusive: {exclusive}"),
            _ => {}
        });
        assert_eq!(ran.executed(), ["a"]);
        assert!(waited);
    }
}

/// Three tasks in a row, the last of which reads what the first made, through the second.
fn chain(world: &World) -> (llmcl_engine::model::Experiment, usize, usize) {
    let mut builder = world.builder();
    let a = builder.concat("a", &[("bulk", Value::Bool(true))], &[]);
    let b = builder.concat("b", &[], &[a]);
    let c = builder.concat("c", &[("sleep", Value::Int(1))], &[a, b]);
    (builder.experiment, a, c)
}

#[test]
fn damage_that_a_task_finds_is_healed_within_the_run() {
    for damage in ["flip", "remove"] {
        let world = World::new();
        let (experiment, a, c) = chain(&world);
        let ran = world.run(&experiment);
        let (made, expected) = (ran.content(a), ran.content(c));
        let blob = BlobRef::of(made.as_bytes());
        let path = ran
            .store
            .blob(&blob.digest, blob.bytes)
            .unwrap()
            .path()
            .unwrap()
            .to_owned();
        drop(ran);
        let mut experiment = experiment;
        experiment.tasks[c].leaves = ["leaf", "more"].into();

        let mut damaged = false;
        let ran = world.run_with(&experiment, &mut |event| {
            // After the plan, so that only the task can find it.
            if matches!(event.what, What::RunStarted { .. }) && !damaged {
                damaged = true;
                let mut content = fs::read(&path).unwrap();
                fs::remove_file(&path).unwrap();
                if damage == "flip" {
                    content[0] ^= 1;
                    fs::write(&path, content).unwrap();
                }
            }
        });
        assert_eq!(ran.executed(), ["a", "c"], "{damage}");
        assert_eq!(ran.content(c), expected, "{damage}");
        assert_eq!(ran.count(|what| matches!(what, What::TaskRedone { .. })), 1);
        assert!(ran.run.summary.is_complete());
        assert_eq!((ran.run.summary.executed, ran.run.summary.cached), (2, 1));
        let notices = ran.count(|what| matches!(what, What::StoreNotice { .. }));
        assert_eq!(notices, usize::from(damage == "flip"));
    }
}

/// Where the blob of a bulky task's output is.
fn blob_path(ran: &crate::world::Ran, task: usize) -> std::path::PathBuf {
    let blob = BlobRef::of(ran.content(task).as_bytes());
    let blob = ran.store.blob(&blob.digest, blob.bytes).unwrap();
    blob.path().unwrap().to_owned()
}

#[test]
fn several_tasks_that_miss_the_same_blob_have_it_made_once() {
    let mut world = World::new();
    world.options.jobs = 4.try_into().unwrap();
    let mut builder = world.builder();
    let a = builder.concat("a", &[("bulk", Value::Bool(true))], &[]);
    for name in ["b", "c", "d"] {
        // They sleep before they read, so that all are at work when the first one misses it.
        builder.concat(name, &[("sleep", Value::Int(100))], &[a]);
    }
    let path = blob_path(&world.run(&builder.experiment), a);
    for task in a + 1..a + 4 {
        builder.experiment.tasks[task].leaves = ["leaf", "more"].into();
    }
    let ran = world.run_with(&builder.experiment, &mut |event| {
        if matches!(event.what, What::RunStarted { .. }) {
            fs::remove_file(&path).unwrap();
        }
    });
    let mut executed = ran.executed();
    executed.sort_unstable();
    assert_eq!(executed, ["a", "b", "c", "d"]);
    assert_eq!(ran.count(|what| matches!(what, What::TaskRedone { .. })), 1);
    assert!(ran.run.summary.is_complete());
}

#[test]
fn what_an_artifact_points_into_is_healed_by_the_task_that_made_it() {
    let world = World::new();
    let mut builder = world.builder();
    let a = builder.concat("a", &[("bulk", Value::Bool(true))], &[]);
    let b = builder.concat("b", &[("refer", Value::Bool(true))], &[a]);
    let c = builder.concat("c", &[], &[b]);
    let ran = world.run(&builder.experiment);
    let (path, expected) = (blob_path(&ran, a), ran.content(c));
    drop(ran);
    builder.experiment.tasks[c].leaves = ["leaf", "more"].into();
    let ran = world.run_with(&builder.experiment, &mut |event| {
        if matches!(event.what, What::RunStarted { .. }) {
            fs::remove_file(&path).unwrap();
        }
    });
    assert_eq!(ran.executed(), ["a", "c"]);
    assert_eq!(ran.content(c), expected);
    drop(ran);
    fs::remove_file(&path).unwrap();
    // Both records name the blob, so both are a miss for the plan.
    assert_eq!(world.plan(&builder.experiment).counts().cached, 0);
}

#[test]
fn what_is_lost_again_and_again_fails() {
    let world = World::new();
    let (experiment, a, c) = chain(&world);
    let content = world.run(&experiment).content(a);
    let blob = BlobRef::of(content.as_bytes());
    let store = world.store();
    let path = store
        .blob(&blob.digest, blob.bytes)
        .unwrap()
        .path()
        .unwrap()
        .to_owned();
    let mut experiment = experiment;
    experiment.tasks[c].leaves = ["leaf", "more"].into();
    let ran = world.run_with(&experiment, &mut |event| {
        let mine = |task: &str| task == "c" || task == "a";
        match &event.what {
            What::RunStarted { .. } => fs::remove_file(&path).unwrap(),
            What::TaskFinished {
                task,
                how: Finish::Executed,
                ..
            } if mine(task) => {
                fs::remove_file(&path).unwrap();
            }
            _ => {}
        }
    });
    assert_eq!(ran.executed(), ["a"]);
    assert_eq!(ran.count(|what| matches!(what, What::TaskRedone { .. })), 1);
    assert_eq!(ran.count(|what| matches!(what, What::TaskFailed { .. })), 1);
    assert_eq!(ran.run.summary.failed, 1);
}

#[test]
fn a_file_of_the_repository_is_taken_in_as_it_was_planned() {
    let world = World::new();
    let path = world.folder.path().join("file");
    fs::write(&path, "one").unwrap();
    let mut builder = world.builder();
    builder.concat("first", &[("sleep", Value::Int(20))], &[]);
    builder.stage("reader", Flavor::Concat, &[], None);
    let reader = builder.task(&[], &[], vec![of(0), file(&path)], &[]);
    let ran = world.run_with(&builder.experiment, &mut |event| {
        if matches!(event.what, What::RunStarted { .. }) {
            fs::write(&path, "two").unwrap();
        }
    });
    assert_eq!(ran.executed(), ["first"]);
    let failed = ran.events.iter().find_map(|event| match &event.what {
        What::TaskFailed { failure, .. } => Some(failure.clone()),
        _ => None,
    });
    assert!(
        failed
            .unwrap()
            .message
            .ends_with("was changed while the experiment ran")
    );
    drop(ran);
    let ran = world.run(&builder.experiment);
    assert_eq!(ran.executed(), ["reader"]);
    let two = ran.content(reader);
    drop(ran);
    fs::write(&path, "one").unwrap();
    assert_ne!(world.run(&builder.experiment).content(reader), two);
    fs::write(&path, "two").unwrap();
    let again = world.run(&builder.experiment);
    assert!(again.executed().is_empty());
    assert_eq!(again.content(reader), two);
}

#[test]
fn stopping_ends_what_runs_starts_nothing_new_and_is_no_failure() {
    let mut world = World::new();
    world.options.jobs = 1.try_into().unwrap();
    let mut builder = world.builder();
    let a = builder.concat("a", &[], &[]);
    let b = builder.concat("b", &[("wait_for_stop", Value::Bool(true))], &[a]);
    builder.concat("c", &[], &[b]);
    let control = world.control.clone();
    let ran = world.run_with(&builder.experiment, &mut |event| {
        if matches!(&event.what, What::TaskStarted { task, .. } if task == "b") {
            let control = control.clone();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(20));
                control.stop();
            });
        }
    });
    assert_eq!(ran.executed(), ["a"]);
    assert_eq!(ran.count(|what| matches!(what, What::Interrupted)), 1);
    let summary = ran.run.summary;
    assert!(summary.interrupted && !summary.is_complete());
    assert_eq!((summary.executed, summary.failed, summary.left), (1, 0, 2));
    drop(ran);
    world.control = llmcl_engine::run::RunControl::default();
    let counts = world.plan(&builder.experiment).counts();
    assert_eq!((counts.cached, counts.run), (1, 2));
}
