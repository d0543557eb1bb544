//! What changes a key and what does not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use blake3::Hash;
use llmcl_engine::explain::{Explained, Nearness, explain};
use llmcl_engine::key::Component;
use llmcl_engine::model::Experiment;
use llmcl_engine::plan::{RunReason, State};
use llmcl_engine::record;
use llmcl_stages_api::value::Value;

use crate::lab::{Flavor, registry};
use crate::world::{World, file, of};

/// What an experiment is made of, so that one thing at a time can be changed.
#[derive(Clone)]
struct Setting {
    experiment: &'static str,
    stage: &'static str,
    title: &'static str,
    flavor: Flavor,
    params: Vec<(&'static str, Value)>,
    upstream_text: &'static str,
    file: (&'static str, &'static str),
    role: i64,
    other_field: i64,
    swapped: bool,
    port: &'static str,
    label: &'static str,
    leaves: &'static [&'static str],
    shared: &'static str,
    leaf: &'static str,
    environment: i64,
    axes_swapped: bool,
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

fn source(sha256: &str, url: &str, helper: &str) -> Value {
    let fields = [("sha256", sha256), ("url", url), ("helper", helper)];
    let fields = fields.map(|(name, value)| (name.to_owned(), text(value)));
    Value::Record(BTreeMap::from(fields))
}

fn setting() -> Setting {
    Setting {
        experiment: "experiment",
        stage: "stage",
        title: "Title",
        flavor: Flavor::Concat,
        params: vec![
            ("text", text("a")),
            ("path", text("/here/a")),
            ("paths", Value::List(vec![text("/here/a")])),
            ("mirror", text("https://a")),
            ("source", source("00", "https://a", "/here/a")),
        ],
        upstream_text: "up",
        file: ("file", "content"),
        role: 1,
        other_field: 1,
        swapped: false,
        port: "in",
        label: "v0",
        leaves: &["leaf"],
        shared: "shared",
        leaf: "leaf",
        environment: 1,
        axes_swapped: false,
    }
}

fn with(name: &'static str, value: Value) -> Setting {
    let mut setting = setting();
    setting.params.retain(|(known, _)| *known != name);
    setting.params.push((name, value));
    setting
}

fn build(world: &mut World, setting: &Setting) -> Experiment {
    world.registry = registry(setting.shared, setting.leaf);
    *world.lab.setting.lock().unwrap() = setting.environment.to_string();
    let folder = world.folder.path().join(setting.file.1);
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(setting.file.0);
    fs::write(&path, setting.file.1).unwrap();

    let mut builder = world.builder();
    if setting.axes_swapped {
        builder.axis("unused", 1);
    }
    let axis = builder.axis("axis", 2);
    let values = &mut builder.experiment.axes[axis].values;
    values[0].label = text(setting.label);
    values[0].value = Value::Record(BTreeMap::from([
        ("name".to_owned(), text(setting.label)),
        ("role".to_owned(), Value::Int(setting.role)),
        ("other".to_owned(), Value::Int(setting.other_field)),
    ]));
    builder.experiment.name = setting.experiment.into();
    builder.stage("up", Flavor::Concat, &[axis], None);
    let first = builder.task(&[0], &[("text", text(setting.upstream_text))], vec![], &[]);
    let second = builder.task(&[1], &[("text", text("second"))], vec![], &[]);
    let stage = builder.stage(setting.stage, setting.flavor, &[], None);
    let mut inputs = vec![of(first), of(second), file(&path)];
    if setting.swapped {
        inputs.swap(0, 1);
    }
    let task = builder.task(&[], &setting.params, inputs, &[]);
    let mut experiment = builder.experiment;
    let upstream = experiment.tasks[first].stage;
    experiment.stages[upstream].title = setting.title.into();
    experiment.stages[stage].axis_reads = BTreeSet::from([("axis".to_owned(), "role".to_owned())]);
    experiment.tasks[task].leaves = setting.leaves.into();
    experiment.tasks[task].inputs[0].port = setting.port.into();
    experiment
}

/// The key of the last task, once its inputs are there.
fn key(setting: &Setting) -> Hash {
    let mut world = World::new();
    let experiment = build(&mut world, setting);
    world.run(&experiment);
    world.plan(&experiment).tasks.last().unwrap().key.unwrap()
}

#[test]
fn every_part_changes_the_key() {
    let base = setting();
    let mut keys = vec![("nothing", key(&base))];
    let mut add = |name, setting: Setting| keys.push((name, key(&setting)));
    add(
        "kind",
        Setting {
            flavor: Flavor::Report,
            ..base.clone()
        },
    );
    add(
        "title of an input",
        Setting {
            title: "Other",
            ..base.clone()
        },
    );
    add(
        "shared code",
        Setting {
            shared: "other",
            ..base.clone()
        },
    );
    add(
        "leaf",
        Setting {
            leaf: "other",
            ..base.clone()
        },
    );
    add(
        "leaves",
        Setting {
            leaves: &["leaf", "method"],
            ..base.clone()
        },
    );
    add("parameter", with("text", text("b")));
    add("new parameter", with("bulk", Value::Bool(true)));
    add(
        "type of a parameter",
        with("text", Value::List(vec![text("a")])),
    );
    add(
        "field of a parameter",
        with("source", source("01", "https://a", "/here/a")),
    );
    add(
        "environment",
        Setting {
            environment: 2,
            ..base.clone()
        },
    );
    add(
        "content of an input",
        Setting {
            upstream_text: "other",
            ..base.clone()
        },
    );
    add(
        "order of inputs",
        Setting {
            swapped: true,
            ..base.clone()
        },
    );
    add(
        "port",
        Setting {
            port: "other",
            ..base.clone()
        },
    );
    add(
        "label of an input",
        Setting {
            label: "w0",
            ..base.clone()
        },
    );
    add(
        "content of a file",
        Setting {
            file: ("file", "other"),
            ..base.clone()
        },
    );
    add(
        "name of a file",
        Setting {
            file: ("name", "content"),
            ..base.clone()
        },
    );
    add(
        "axis field that is read",
        Setting {
            role: 2,
            ..base.clone()
        },
    );
    for (index, (name, key)) in keys.iter().enumerate() {
        let same = keys[..index].iter().find(|(_, other)| other == key);
        assert_eq!(same, None, "{name}");
    }
}

#[test]
fn names_paths_and_places_change_no_key() {
    let base = setting();
    let expected = key(&base);
    let same = |name, setting: Setting| assert_eq!(key(&setting), expected, "{name}");
    same("another folder and process", base.clone());
    same(
        "experiment",
        Setting {
            experiment: "other",
            ..base.clone()
        },
    );
    same(
        "stage",
        Setting {
            stage: "other",
            ..base.clone()
        },
    );
    same(
        "axis field that nobody reads",
        Setting {
            other_field: 2,
            ..base.clone()
        },
    );
    same(
        "order of axes",
        Setting {
            axes_swapped: true,
            ..base.clone()
        },
    );
    same("path", with("path", text("/there/b")));
    same(
        "paths",
        with("paths", Value::List(vec![text("/there/b"), text("c")])),
    );
    same(
        "parameter that is marked",
        with("mirror", text("https://b")),
    );
    same(
        "fields that are marked, and paths",
        with("source", source("00", "https://b", "/b")),
    );
    same("parameter that is none", with("modulus", Value::None));
}

#[test]
fn a_record_holds_the_parts_that_make_its_key() {
    let mut world = World::new();
    let experiment = build(&mut world, &setting());
    let ran = world.run(&experiment);
    let mut seen = 0;
    for stored in ran.store.records() {
        let manifest = record::manifest(stored.body()).unwrap();
        assert_eq!(llmcl_engine::key::key(&manifest.parts), stored.key());
        assert_eq!(llmcl_engine::key::shape(&manifest.parts), stored.shape());
        seen += 1;
    }
    assert_eq!(seen, 3);
}

#[test]
fn plan_and_explanation_name_what_changed() {
    let mut world = World::new();
    let experiment = build(&mut world, &setting());
    let last = experiment.tasks.len() - 1;
    let before = world.plan(&experiment);
    assert_eq!(before.tasks[last].state, State::Run(RunReason::New));
    let explanation = |world: &World, experiment: &Experiment| {
        let choices = &world.options.choices;
        explain(experiment, &world.store(), &world.registry, choices, last).unwrap()
    };
    let new = explanation(&world, &experiment);
    assert!(new.against.is_none());
    assert!(new.parts.iter().any(|part| matches!(
        part,
        Explained::Unknown { member, until: 0 } if member == "in[0]"
    )));
    world.run(&experiment);

    let cached = explanation(&world, &experiment);
    assert!(
        cached
            .parts
            .iter()
            .all(|part| matches!(part, Explained::Same(_)))
    );

    let experiment = build(&mut world, &with("text", text("b")));
    let planned = world.plan(&experiment);
    let State::Run(RunReason::Changed(changes)) = &planned.tasks[last].state else {
        panic!("{:?}", planned.tasks[last]);
    };
    assert_eq!(changes.len(), 1);
    assert_eq!(
        (changes[0].component, changes[0].name.as_str()),
        (Component::Parameter, "text")
    );
    assert_eq!(
        (&changes[0].old, &changes[0].new),
        (&Some(text("a")), &Some(text("b")))
    );
    let changed = explanation(&world, &experiment);
    assert_eq!(changed.against.unwrap().nearness, Nearness::SameTask);
    let others = changed
        .parts
        .iter()
        .filter(|part| !matches!(part, Explained::Same(_)));
    assert_eq!(
        others.collect::<Vec<_>>(),
        [&Explained::Changed(changes[0].clone())]
    );

    let renamed = build(
        &mut world,
        &Setting {
            stage: "renamed",
            ..with("text", text("b"))
        },
    );
    assert_eq!(
        explanation(&world, &renamed).against.unwrap().nearness,
        Nearness::SameKind
    );
    let renamed = build(
        &mut world,
        &Setting {
            stage: "renamed",
            ..setting()
        },
    );
    assert_eq!(
        explanation(&world, &renamed).against.unwrap().nearness,
        Nearness::SameKey
    );
}
