//! Engines killed at random times, again and again, on one store.

use std::time::Duration;

use crate::dice::Dice;
use crate::lab::{FILE, Lab, truth};
use crate::ledger::{Ledger, Tally};

/// Kills engines until one comes through, and does it again with the experiment changed.
pub(crate) fn round(dice: &mut Dice, kills: u64, tally: &mut Tally) {
    let lab = Lab::new();
    let mut ledger = Ledger::default();
    let mut killed = 0;
    while killed < kills {
        let jobs = dice.pick(&["1", "2", "8"]);
        let mut engine = lab.start(&lab.run_command(FILE, &["-j", jobs]));
        std::thread::sleep(Duration::from_micros(dice.below(200_000) as u64));
        let died = !engine.has_ended();
        if died {
            engine.kill();
        }
        let told = engine.finish();
        tally.runs += 1;
        if died {
            killed += 1;
            tally.kills += 1;
        } else {
            assert_eq!(told.code, Some(0), "{told:#?}");
        }
        truth().hold(&told);
        ledger.hear_one(&told);
        if told.code == Some(0) {
            truth().hold_whole(&told);
            // Begin anew, so that there is something to kill.
            std::fs::remove_dir_all(lab.store()).unwrap();
            ledger = Ledger::default();
        }
    }
    let told = lab.run().well();
    tally.runs += 1;
    ledger.hear_one(&told);
    truth().hold_whole(&told);
    let left = std::fs::read_dir(lab.store().join("tmp")).map_or(0, Iterator::count);
    assert_eq!(left, 0);
}

#[test]
fn random_kills_lose_nothing_and_leave_nothing() {
    let mut dice = Dice::new("storm");
    let mut tally = Tally::default();
    round(&mut dice, 40, &mut tally);
    assert_eq!(tally.kills, 40);
}
