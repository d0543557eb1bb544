//! Two to eight engines on one store, some of which are killed, while what they read is edited.

use std::collections::BTreeSet;
use std::fs;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::dice::Dice;
use crate::engine::{Engine, Told};
use crate::lab::{FILE, Lab, truth};
use crate::ledger::{Ledger, Tally, Truth};

/// How long a round may have engines at work; those that are left then must end by themselves.
const ROUND: Duration = Duration::from_secs(3);

#[test]
fn eight_engines_with_one_aim_do_each_task_once() {
    let lab = Lab::new();
    let mut ledger = Ledger::default();
    let engines: Vec<Engine> = (0..8)
        .map(|_| lab.start(&lab.run_command(FILE, &["-j", "2"])))
        .collect();
    for engine in engines {
        let told = engine.finish().well();
        truth().hold_whole(&told);
        ledger.hear(&told, &BTreeSet::new());
    }
    assert_eq!(ledger.finished(), truth().keys());
}

/// A task that waits for the file `go`, and does so under a number of its own.
fn held(lab: &Lab, name: &str) -> String {
    let go = lab.path("go").display().to_string();
    format!(
        r#"
[experiment]
name = "held"
[stages.{name}]
kind    = "command"
argv    = ["sh", "-c", "while ! test -e {go}; do sleep 0.02; done; echo {name}; date +%N > out"]
outputs = {{ out = {{ path = "out" }} }}
"#
    )
}

#[test]
fn engines_with_other_aims_do_not_wait_for_each_other() {
    let lab = Lab::new();
    let mut engines: Vec<Engine> = (0..4)
        .map(|number| {
            let file = format!("held-{number}.toml");
            lab.put(&file, &held(&lab, &format!("task_{number}")));
            lab.start(&lab.run_command(&file, &[]))
        })
        .collect();
    // Each has begun while none can end.
    for engine in &mut engines {
        engine.wait_for(|told| told.started.len() == 1);
        assert!(engine.so_far().waiting.is_empty());
    }
    lab.put("go", "");
    engines
        .into_iter()
        .for_each(|engine| drop(engine.finish().well()));
}

#[test]
fn the_first_result_wins_and_who_waits_takes_it_or_goes_on_when_the_owner_is_killed() {
    let lab = Lab::new();
    lab.put("held.toml", &held(&lab, "task"));
    let start = || lab.start(&lab.run_command("held.toml", &[]));
    let mut owner = start();
    owner.wait_for(|told| told.started.len() == 1);
    let mut waiting: Vec<Engine> = (0..4).map(|_| start()).collect();
    for engine in &mut waiting {
        engine.wait_for(|told| told.waiting.len() == 1);
    }
    owner.kill();
    owner.finish();
    // One of them is the owner now, and nobody had to unlock anything.
    let begun = Instant::now();
    while waiting
        .iter()
        .all(|engine| engine.so_far().started.is_empty())
    {
        assert!(begun.elapsed() < Duration::from_secs(60), "nobody goes on");
        std::thread::sleep(Duration::from_millis(5));
    }
    lab.put("go", "");
    let told: Vec<Told> = waiting
        .into_iter()
        .map(|engine| engine.finish().well())
        .collect();
    assert_eq!(
        told.iter()
            .filter(|told| !told.executed().is_empty())
            .count(),
        1
    );
    // Each of them would have put out another thing.
    assert!(
        told.windows(2)
            .all(|pair| pair[0].outputs() == pair[1].outputs()),
        "{told:#?}"
    );
}

// What can be edited: a parameter, a script, an input file, the corpus.
const REPEATS: [usize; 2] = [2, 3];
const SEEDS: [&str; 3] = ["seed", "another", "a third"];
const TOOLS: [&str; 2] = ["", "# the same, but for this"];
const PARTS: [[&str; 3]; 3] = [["a", "b", "c"], ["a", "d", "c"], ["c", "b", "e"]];

/// What all that can be edited leads to, from undisturbed runs elsewhere.
fn all_truth() -> &'static Truth {
    static TRUTH: OnceLock<Truth> = OnceLock::new();
    TRUTH.get_or_init(|| {
        let lab = Lab::new();
        let mut truth = Truth::default();
        for parts in &PARTS {
            lab.write_parts(parts);
            for repeats in REPEATS {
                lab.write_experiment(repeats);
                for tool in TOOLS {
                    lab.write_tool(tool);
                    for seed in SEEDS {
                        lab.write_seed(seed);
                        truth.add(&lab.run().well());
                    }
                }
            }
        }
        truth
    })
}

fn edit(lab: &Lab, dice: &mut Dice) {
    match dice.below(4) {
        0 => lab.write_experiment(*dice.pick(&REPEATS)),
        1 => lab.write_tool(dice.pick::<&str>(&TOOLS)),
        2 => lab.write_seed(dice.pick::<&str>(&SEEDS)),
        _ => lab.write_parts(dice.pick(&PARTS)),
    }
}

/// Eight engines for a while, with kills and edits; then all must come to an end, and a last one finds all done.
pub(crate) fn round(dice: &mut Dice, tally: &mut Tally, time: Duration) {
    let truth = all_truth();
    let lab = Lab::new();
    let mut ledger = Ledger::default();
    let mut engines: Vec<(Engine, BTreeSet<String>)> = Vec::new();
    let in_the_end = |ledger: &mut Ledger, engine: Engine, before: &BTreeSet<String>| {
        let told = engine.finish();
        // Whoever read the corpus, the script or the seed just before it was edited says so and records nothing.
        let killed = told.signal.is_some();
        assert!(killed || matches!(told.code, Some(0 | 10)), "{told:#?}");
        for message in told.failed.values() {
            assert!(message.contains("changed while"), "{told:#?}");
        }
        truth.hold(&told);
        ledger.hear(&told, before);
    };
    let begun = Instant::now();
    while begun.elapsed() < time {
        match dice.below(10) {
            0 | 1 => {
                edit(&lab, dice);
                tally.edits += 1;
            }
            2..=4 if !engines.is_empty() => {
                let (mut engine, before) = engines.swap_remove(dice.below(engines.len()));
                if !engine.has_ended() {
                    engine.kill();
                    tally.kills += 1;
                }
                in_the_end(&mut ledger, engine, &before);
            }
            _ if engines.len() < 8 => {
                let jobs = dice.pick(&["1", "2", "4"]);
                let engine = lab.start(&lab.run_command(FILE, &["-j", jobs]));
                engines.push((engine, ledger.finished()));
                tally.runs += 1;
            }
            _ => std::thread::sleep(Duration::from_millis(dice.below(100) as u64)),
        }
        let mut at = 0;
        while at < engines.len() {
            if engines[at].0.has_ended() {
                let (engine, before) = engines.swap_remove(at);
                in_the_end(&mut ledger, engine, &before);
            } else {
                at += 1;
            }
        }
        // In a long round the store would come to hold everything.
        if engines.is_empty() && ledger.finished() == truth.keys() {
            fs::remove_dir_all(lab.store()).unwrap();
            ledger = Ledger::default();
        }
    }
    for (engine, before) in engines {
        in_the_end(&mut ledger, engine, &before);
    }
    let told = lab.run().well();
    truth.hold(&told);
    ledger.hear_one(&told);
    // Who writes sweeps what the dead have left, so something must be written.
    lab.write_seed("unlike all others");
    lab.run().well();
    assert_eq!(fs::read_dir(lab.store().join("tmp")).unwrap().count(), 0);
}

#[test]
fn engines_that_are_killed_and_edited_under_never_tell_what_is_not_so() {
    let mut dice = Dice::new("company");
    let mut tally = Tally::default();
    round(&mut dice, &mut tally, ROUND);
    assert!(tally.runs > 3, "{tally:?}");
}
