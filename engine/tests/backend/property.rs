//! A plan tells the truth, and runs with a store end up where a recomputation without one does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use llmcl_engine::model::{Experiment, InputMember, TaskId};
use llmcl_engine::plan::State;
use llmcl_engine::run::End;
use llmcl_stages_api::value::Value;
use proptest::prelude::*;

use crate::lab::{Flavor, outcome_of, put_out, registry};
use crate::world::{World, file, of};

/// A small generator of its own, so that a case is one number.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        // xorshift64* (Vigna, 2016).
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

#[derive(Clone)]
struct StageSpec {
    flavor: Flavor,
    /// Whether it is repeated over the axis.
    wide: bool,
    /// Gates, by stage, and whether the condition wants the first to be red.
    gates: Vec<usize>,
    wants_red: bool,
    tasks: Vec<TaskSpec>,
}

#[derive(Clone)]
struct TaskSpec {
    text: usize,
    threshold: i64,
    modulus: i64,
    bulk: bool,
    /// Which task of which stage.
    inputs: Vec<(usize, usize)>,
    file: Option<usize>,
}

#[derive(Clone)]
struct Spec {
    stages: Vec<StageSpec>,
    files: Vec<usize>,
    leaf: usize,
    force: BTreeSet<(usize, usize)>,
    assume: BTreeMap<usize, &'static str>,
}

const WIDTH: usize = 3;

fn random_task(dice: &mut Dice, stages: &[StageSpec]) -> TaskSpec {
    let mut inputs = Vec::new();
    if !stages.is_empty() {
        for _ in 0..dice.below(4) {
            let stage = dice.below(stages.len());
            inputs.push((stage, dice.below(stages[stage].tasks.len())));
        }
    }
    TaskSpec {
        text: dice.below(3),
        threshold: [0, 30, 70, 100][dice.below(4)],
        modulus: [0, 1, 2][dice.below(3)],
        bulk: dice.chance(40),
        inputs,
        file: dice.chance(15).then(|| dice.below(2)),
    }
}

fn random_spec(dice: &mut Dice) -> Spec {
    let mut stages: Vec<StageSpec> = Vec::new();
    for _ in 0..2 + dice.below(6) {
        let flavor = [Flavor::Concat, Flavor::Concat, Flavor::Gate, Flavor::Report][dice.below(4)];
        let wide = dice.chance(40);
        let gates = (0..stages.len())
            .filter(|&gate| stages[gate].flavor == Flavor::Gate && (wide || !stages[gate].wide))
            .collect::<Vec<_>>();
        let gates = gates.into_iter().filter(|_| dice.chance(40)).collect();
        let count = if wide { WIDTH } else { 1 };
        let tasks = (0..count).map(|_| random_task(dice, &stages)).collect();
        stages.push(StageSpec {
            flavor,
            wide,
            gates,
            wants_red: dice.chance(30),
            tasks,
        });
    }
    Spec {
        stages,
        files: vec![0, 1],
        leaf: 0,
        force: BTreeSet::new(),
        assume: BTreeMap::new(),
    }
}

fn edit(dice: &mut Dice, spec: &mut Spec) {
    spec.force.clear();
    spec.assume.clear();
    for _ in 0..dice.below(4) {
        let stage = dice.below(spec.stages.len());
        let task = dice.below(spec.stages[stage].tasks.len());
        match dice.below(9) {
            0 | 1 => spec.stages[stage].tasks[task].text = dice.below(3),
            2 | 3 => spec.stages[stage].tasks[task].threshold = [0, 30, 70, 100][dice.below(4)],
            4 => {
                let inputs = random_task(dice, &spec.stages[..stage]).inputs;
                spec.stages[stage].tasks[task].inputs = inputs;
            }
            5 => spec.files[dice.below(2)] = dice.below(3),
            6 => spec.leaf = dice.below(2),
            7 => drop(spec.force.insert((stage, task))),
            _ => {
                if spec.stages[stage].flavor == Flavor::Gate {
                    spec.assume.insert(stage, ["GREEN", "RED"][dice.below(2)]);
                }
            }
        }
    }
}

/// Builds the experiment; also says which task is which.
fn build(world: &World, spec: &Spec, files: &[PathBuf]) -> (Experiment, Vec<Vec<TaskId>>) {
    let mut builder = world.builder();
    let axis = builder.axis("axis", WIDTH);
    let mut ids: Vec<Vec<TaskId>> = Vec::new();
    for (number, stage) in spec.stages.iter().enumerate() {
        let each: &[usize] = if stage.wide { &[axis] } else { &[] };
        let condition = stage.gates.iter().enumerate().map(|(index, gate)| {
            let wants = if stage.wants_red && index == 0 {
                "=="
            } else {
                "!="
            };
            format!("s{gate} {wants} 'RED'")
        });
        let condition = condition.collect::<Vec<_>>().join(" && ");
        let when = (!stage.gates.is_empty()).then_some((condition.as_str(), &stage.gates[..]));
        builder.stage(&format!("s{number}"), stage.flavor, each, when);
        let mut own = Vec::new();
        for (index, task) in stage.tasks.iter().enumerate() {
            let values: &[usize] = if stage.wide { &[index] } else { &[] };
            let mut inputs: Vec<_> = task.inputs.iter().map(|&(s, t)| of(ids[s][t])).collect();
            inputs.extend(task.file.map(|index| file(&files[index])));
            let gates = stage
                .gates
                .iter()
                .map(|&gate| ids[gate][if spec.stages[gate].wide { index } else { 0 }]);
            own.push(builder.task(
                values,
                &[
                    ("text", Value::Text(format!("t{}", task.text))),
                    ("threshold", Value::Int(task.threshold)),
                    ("modulus", Value::Int(task.modulus)),
                    ("bulk", Value::Bool(task.bulk)),
                ],
                inputs,
                &gates.collect::<Vec<_>>(),
            ));
        }
        ids.push(own);
    }
    (builder.experiment, ids)
}

/// What a task comes to without a store: its content, or the titles and outcomes of the gates that rule it out.
#[derive(Debug, Clone, PartialEq)]
enum Truth {
    Content(String),
    Outcome(&'static str),
    Pruned(String, String),
}

fn recompute(experiment: &Experiment, spec: &Spec) -> Vec<Truth> {
    let mut truths: Vec<Truth> = Vec::new();
    for task in &experiment.tasks {
        let stage = &experiment.stages[task.stage];
        let stage_spec = &spec.stages[task.stage];
        let mut pruned = None;
        let mut outcomes = Vec::new();
        for &gate in &task.gates {
            let gate_stage = experiment.tasks[gate].stage;
            match (spec.assume.get(&gate_stage), &truths[gate]) {
                (Some(assumed), _) => outcomes.push(*assumed),
                (None, Truth::Outcome(outcome)) => outcomes.push(outcome),
                (None, Truth::Pruned(..)) => pruned = pruned.or(Some(truths[gate].clone())),
                (None, Truth::Content(_)) => panic!("a gate has an outcome"),
            }
        }
        let holds = outcomes
            .iter()
            .enumerate()
            .all(|(index, outcome)| (*outcome == "RED") == (stage_spec.wants_red && index == 0));
        if pruned.is_none() && !holds {
            let titles = vec!["gate"; outcomes.len()].join(", ");
            pruned = Some(Truth::Pruned(titles, outcomes.join(", ")));
        }
        let mut heard = vec![task.params.text("text").to_owned()];
        for member in task.inputs.iter().flat_map(|input| &input.members) {
            let said = match member {
                InputMember::File { path, .. } => fs::read_to_string(path).unwrap(),
                InputMember::Task { task: from, .. } => match &truths[*from] {
                    Truth::Content(content) => content.clone(),
                    Truth::Outcome(outcome) => outcome_json(outcome),
                    Truth::Pruned(gate, outcome) => {
                        if !stage.reports_pruned {
                            pruned = pruned.or(Some(truths[*from].clone()));
                        }
                        format!("pruned by {gate} {outcome}")
                    }
                },
            };
            heard.push(format!("in:{said}"));
        }
        let heard = heard.join("\n");
        truths.push(match (pruned, stage_spec.flavor) {
            (Some(pruned), _) => pruned,
            (None, Flavor::Gate) => Truth::Outcome(outcome_of(&task.params, &heard)),
            (None, _) => Truth::Content(put_out(&task.params, &heard)),
        });
    }
    truths
}

/// The file that a gate puts out, as people would see it.
fn outcome_json(outcome: &str) -> String {
    format!(
        "{{\n  \"version\": 1,\n  \"title\": \"gate\",\n  \"outcome\": \"{outcome}\",\n  \"note\": null,\n  \
         \"statistics\": {{}},\n  \"outcomes\": []\n}}\n"
    )
}

fn lose_a_blob(dice: &mut Dice, store: &Path) {
    let blobs: Vec<PathBuf> = crate::world::tree(&store.join("blobs"))
        .into_keys()
        .filter(|path| path.is_file())
        .collect();
    if !blobs.is_empty() {
        fs::remove_file(&blobs[dice.below(blobs.len())]).unwrap();
    }
}

fn check(seed: u64) {
    let mut dice = Dice(seed | 1);
    let mut world = World::new();
    let files: Vec<PathBuf> = (0..2)
        .map(|n| world.folder.path().join(format!("f{n}")))
        .collect();
    let mut spec = random_spec(&mut dice);
    for round in 0..4 {
        if round > 0 {
            edit(&mut dice, &mut spec);
            if dice.chance(25) {
                lose_a_blob(&mut dice, &world.path());
            }
        }
        for (path, content) in files.iter().zip(&spec.files) {
            fs::write(path, format!("file {content}")).unwrap();
        }
        let (experiment, ids) = build(&world, &spec, &files);
        world.registry = registry("shared", &format!("leaf {}", spec.leaf));
        world.options.choices.force = spec.force.iter().map(|&(s, t)| ids[s][t]).collect();
        let assumed = spec
            .assume
            .iter()
            .map(|(stage, outcome)| (*stage, (*outcome).to_owned()));
        world.options.choices.assume = assumed.collect();
        world.options.jobs = [1, 2, 8][dice.below(3)].try_into().unwrap();

        let plan = world.plan(&experiment);
        let ran = world.run(&experiment);
        let executed = ran.executed();
        let unique: BTreeSet<&str> = executed.iter().copied().collect();
        assert_eq!(
            unique.len(),
            executed.len(),
            "a task ran twice: {executed:?}"
        );
        let truths = recompute(&experiment, &spec);
        for (id, planned) in plan.tasks.iter().enumerate() {
            let name = experiment.task_name(id);
            let ran_it = unique.contains(name.as_str());
            let context = format!(
                "round {round}, {name}: {planned:?}, ended {:?}",
                ran.run.ends[id]
            );
            match &planned.state {
                State::Run(_) => assert!(ran_it, "{context}"),
                State::Cached { .. } | State::Pruned(_) => assert!(!ran_it, "{context}"),
                State::Maybe(_) => {}
            }
            match &truths[id] {
                Truth::Content(content) => assert_eq!(ran.content(id), *content, "{context}"),
                Truth::Outcome(outcome) => {
                    assert_eq!(ran.content(id), outcome_json(outcome), "{context}");
                }
                Truth::Pruned(gate, outcome) => {
                    let End::Pruned(pruning) = &ran.run.ends[id] else {
                        panic!("should be pruned: {context}");
                    };
                    assert_eq!(
                        (&pruning.reason.gate, &pruning.reason.outcome),
                        (gate, outcome)
                    );
                }
            }
        }
        assert!(ran.run.summary.is_complete() && ran.run.summary.log_written);

        world.options.choices.force.clear();
        let again = world.plan(&experiment);
        assert_eq!(
            (again.counts().run, again.counts().maybe),
            (0, 0),
            "round {round}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_is_kept_and_outputs_are_those_of_a_recomputation(seed: u64) {
        check(seed);
    }
}
