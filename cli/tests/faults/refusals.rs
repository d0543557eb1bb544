//! Calls that the system refuses, one at a time and from some point on, and writes that fall short.

use crate::dice::Dice;
use crate::lab::{FILE, Lab, truth};
use crate::layer::{self, Errno, Refusal};
use crate::ledger::{Ledger, Tally};
use crate::power_cut::inspect;

/// The first stage of the lab's experiment alone.
const FETCH: &str = r#"
[experiment]
name = "fault"
[axes]
part = { corpus = "parts.toml" }
[stages.fetch]
kind  = "fetch"
each  = ["part"]
model = { axis = "part" }
"#;

/// An output that is written in many pieces.
const LARGE: &str = r#"
[experiment]
name = "large"
[stages.large]
kind    = "command"
argv    = ["sh", "-c", "head -c 1000000 /dev/zero > out"]
outputs = { out = { path = "out" } }
"#;

/// Operations of the layer, and about how often a run of the lab's experiment does them.
const OPERATIONS: [(&str, usize); 9] = [
    ("create", 90),
    ("write", 160),
    ("sync", 70),
    ("rename", 20),
    ("mkdir", 300),
    ("remove", 90),
    ("mode", 20),
    ("open", 120),
    ("read", 120),
];

/// A run with a refusal, on an empty store or on one that is half done, and the run after it.
fn refused(refusal: &Refusal, half_done: bool, tally: &mut Tally) {
    let lab = Lab::new();
    let mut ledger = Ledger::default();
    if half_done {
        let more = ["--set", "stages.enough.outcomes.0.if=bytes < 0"];
        ledger.hear_one(&lab.run_file(FILE, &more).well());
    }
    let mut command = lab.run_command(FILE, &["-j", "2"]);
    refusal.arm(&lab, &mut command);
    let told = lab.start(&command).finish();
    // What could not be read is not there, and is rightly done again. If it is what a program put out, its task fails.
    let reads = matches!(refusal.operation, "open" | "read");
    let code = told.code;
    let expected = matches!(code, Some(0 | 21)) || (reads && code == Some(10));
    assert!(expected, "{refusal:?}: {told:#?}");
    truth().hold(&told);
    // What hangs on a record that could not be flushed may say that it misses it; the first failure tells the cause.
    let names_all = |message: &&String| message.contains("os error") && message.contains("/store");
    let failed: Vec<&String> = told.failed.values().collect();
    assert!(
        reads || failed.is_empty() || failed.iter().any(names_all),
        "{refusal:?}: {failed:?}"
    );
    if !reads {
        ledger.hear_one(&told);
    }
    let told = lab.run().well();
    truth().hold_whole(&told);
    if !reads {
        ledger.hear_one(&told);
    }
    tally.runs += 2;
    tally.refusals += 1;
}

/// A random refusal.
pub(crate) fn round(dice: &mut Dice, tally: &mut Tally) {
    let (operation, about) = *dice.pick(&OPERATIONS);
    refused(
        &random(operation, about, dice.chance(40), dice),
        dice.chance(40),
        tally,
    );
}

fn random(operation: &'static str, about: usize, on: bool, dice: &mut Dice) -> Refusal {
    Refusal {
        operation,
        at: dice.below(about) + 1,
        on,
        errno: *dice.pick(&[Errno::Eio, Errno::Enospc, Errno::Eacces]),
    }
}

#[test]
fn whatever_call_is_refused_the_run_says_so_and_the_next_goes_on() {
    let mut dice = Dice::new("refusals");
    for (operation, about) in OPERATIONS {
        for on in [false, true] {
            let half_done = dice.chance(40);
            let refusal = random(operation, about, on, &mut dice);
            refused(&refusal, half_done, &mut Tally::default());
        }
    }
}

/// A flush that fails takes along what other threads append meanwhile: none of that is told as done. It depends on
/// the moment, so each of the flushes of records is tried.
#[test]
fn flushes_that_fail_take_nothing_along_that_is_told_as_done() {
    for at in 24..48 {
        let refusal = Refusal {
            operation: "sync",
            at,
            on: true,
            errno: Errno::Eio,
        };
        refused(&refusal, false, &mut Tally::default());
    }
}

#[test]
fn writes_that_fall_short_are_gone_on_with() {
    let lab = Lab::new();
    let mut command = lab.run_command(FILE, &[]);
    layer::load(&lab, &mut command);
    command.env("LLMCL_LAYER_SHORT", "100");
    truth().hold_whole(&lab.start(&command).finish().well());
    truth().hold_whole(&lab.run().well());
}

/// A disk that says it has written what it has not: the length of each blob tells.
#[test]
fn a_write_that_was_not_done_is_noticed() {
    for at in 1..=6 {
        let lab = Lab::new();
        // Only `fetch` takes what it writes to the store alone; programs are given what was written for them.
        lab.put("fetch.toml", FETCH);
        let mut command = lab.run_command("fetch.toml", &["-j", "1", "-k"]);
        let refusal = Refusal {
            operation: "write",
            at,
            on: false,
            errno: Errno::Lie,
        };
        refusal.arm(&lab, &mut command);
        command.env("LLMCL_LAYER_PATH", "/store/tmp/");
        let told = lab.start(&command).finish();
        truth().hold(&told);
        let keys = told.finished.iter().map(|task| task.key.clone());
        inspect(
            &lab.store(),
            &keys.collect(),
            &format!("after the lie {at}"),
        );
        let next = lab.run().well();
        truth().hold_whole(&next);
        // The header of a segment may be what was not written; its records are there all the same.
        let of_blob = |notice: &String| notice.starts_with("blob");
        assert!(!next.notices.iter().any(of_blob), "{at}: {next:#?}");
    }
}

#[test]
fn a_large_output_that_does_not_fit_is_told_with_its_place() {
    let lab = Lab::new();
    lab.put("large.toml", LARGE);
    let mut command = lab.run_command("large.toml", &[]);
    let refusal = Refusal {
        operation: "write",
        at: 2,
        on: true,
        errno: Errno::Enospc,
    };
    refusal.arm(&lab, &mut command);
    command.env("LLMCL_LAYER_PATH", "/store/tmp/");
    let told = lab.start(&command).finish();
    assert_eq!(told.code, Some(21), "{told:#?}");
    let message = &told.failed["large"];
    assert!(
        message.contains("/store/tmp/") && message.contains("No space left on device"),
        "{message}"
    );
}
