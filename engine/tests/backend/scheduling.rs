//! What runs beside what, and in which order.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use blake3::Hash;
use llmcl_engine::run::End;
use llmcl_stages_api::value::Value;

use crate::lab::Flavor;
use crate::world::{Builder, World, of};

/// Forty tasks in two layers, some of them exclusive, some of them large.
fn mixed(world: &World) -> Builder {
    let mut builder = world.builder();
    let axis = builder.axis("axis", 20);
    for layer in 0..2 {
        builder.stage(&format!("layer{layer}"), Flavor::Concat, &[axis], None);
        for value in 0..20 {
            let inputs = if layer == 0 {
                vec![]
            } else {
                vec![of(value), of((value + 7) % 20)]
            };
            let params = [
                ("text", Value::Text(format!("{layer} {value}"))),
                ("exclusive", Value::Bool(value % 7 == 3)),
                ("memory", Value::Int([10, 60, 250][value % 3])),
                ("sleep", Value::Int((value % 4) as i64)),
            ];
            builder.task(&[value], &params, inputs, &[]);
        }
    }
    builder
}

fn digests(ends: &[End]) -> Vec<BTreeMap<String, Hash>> {
    let digests = ends.iter().map(|end| match end {
        End::Done { outputs, .. } => {
            let outputs = outputs.outputs().iter();
            outputs
                .map(|(port, output)| (port.clone(), output.digest))
                .collect()
        }
        other => panic!("{other:?}"),
    });
    digests.collect()
}

#[test]
fn the_number_of_jobs_changes_no_digest_and_no_limit_is_broken() {
    let mut all = Vec::new();
    for jobs in [1, 2, 8] {
        let mut world = World::new();
        world.options.jobs = jobs.try_into().unwrap();
        let ran = world.run(&mixed(&world).experiment);
        assert_eq!(ran.run.summary.executed, 40);
        assert!(!world.lab.disturbed.load(Ordering::SeqCst));
        assert!(world.lab.most_running.load(Ordering::SeqCst) <= jobs);
        // A task of 250 is over the budget of 100: it may run, but alone.
        assert!(world.lab.most_memory.load(Ordering::SeqCst) <= world.options.memory);
        all.push(digests(&ran.run.ends));
    }
    assert!(all.iter().all(|digests| *digests == all[0]));
}

#[test]
fn tasks_do_run_side_by_side() {
    let mut world = World::new();
    world.options.jobs = 4.try_into().unwrap();
    let mut builder = world.builder();
    for name in ["a", "b", "c", "d"] {
        builder.concat(name, &[("sleep", Value::Int(300))], &[]);
    }
    world.run(&builder.experiment);
    assert_eq!(world.lab.most_running.load(Ordering::SeqCst), 4);
}

#[test]
fn the_longest_path_goes_first() {
    let mut world = World::new();
    world.options.jobs = 1.try_into().unwrap();
    let mut builder = world.builder();
    builder.concat("alone", &[], &[]);
    let short = builder.concat("short", &[], &[]);
    builder.concat("short_end", &[], &[short]);
    let long = builder.concat("long", &[], &[]);
    let middle = builder.concat("middle", &[], &[long]);
    builder.concat("long_end", &[], &[middle]);
    world.run(&builder.experiment);
    let order = world.lab.order.lock().unwrap().clone();
    assert_eq!(
        order,
        ["long", "short", "middle", "alone", "short_end", "long_end"]
    );
}

#[test]
fn past_durations_decide_what_is_long() {
    let mut world = World::new();
    world.options.jobs = 1.try_into().unwrap();
    let mut builder = world.builder();
    builder.concat("quick", &[], &[]);
    builder.concat("slow", &[("sleep", Value::Int(50))], &[]);
    world.run(&builder.experiment);
    world.registry = crate::lab::registry("other", "leaf");
    world.run(&builder.experiment);
    let order = world.lab.order.lock().unwrap().clone();
    assert_eq!(order, ["quick", "slow", "slow", "quick"]);
}
