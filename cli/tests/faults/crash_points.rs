//! The engine killed at each named point, on its way through a small experiment.

use llmcl_cache::{CRASH_POINTS, CRASH_VARIABLE};

use crate::lab::{FILE, Lab, truth};
use crate::ledger::Ledger;

/// The number of the signal by which a process ends that aborts itself.
const SIGABRT: i32 = 6;

#[test]
fn killed_at_any_point_the_engine_goes_on_and_loses_nothing() {
    let mut killed = 0;
    for point in CRASH_POINTS {
        for pass in [1, 4] {
            let lab = Lab::new();
            // Some points are passed by who comes upon damage. What was told of damaged blobs does not count then.
            let damaged = matches!(*point, "segment-truncated" | "blob-set-aside");
            if damaged {
                lab.run().well();
                damage(&lab);
                lab.write_seed("again");
            }
            let mut ledger = Ledger::default();
            let mut command = lab.run_command(FILE, &["-j", "2"]);
            command.env(CRASH_VARIABLE, format!("{point}:{pass}"));
            let first = lab.start(&command).finish();
            let case = format!("{point}:{pass}: {first:#?}");
            let died = first.signal == Some(SIGABRT);
            assert!(died || first.code == Some(0), "{case}");
            assert!(died || pass > 1, "never passed: {case}");
            killed += usize::from(died);
            let second = lab.run().well();
            if !damaged {
                ledger.hear_one(&first);
                ledger.hear_one(&second);
                truth().hold_whole(&second);
            }
            let third = lab.run().well();
            assert_eq!(third.outputs(), second.outputs(), "{case}");
            assert!(third.executed().is_empty(), "{case} {third:#?}");
            // Who has nothing to do writes nothing, and does not clear up after others either.
            if !second.executed().is_empty() {
                let left = std::fs::read_dir(lab.store().join("tmp")).unwrap();
                assert_eq!(left.count(), 0, "{case}");
            }
        }
    }
    assert!(killed > CRASH_POINTS.len(), "{killed} kills");
}

/// Damages one blob and the end of each segment.
fn damage(lab: &Lab) {
    use std::io::Write;
    for entry in std::fs::read_dir(lab.store().join("records")).unwrap() {
        let path = entry.unwrap().path();
        let mut segment = std::fs::OpenOptions::new().append(true).open(path).unwrap();
        segment.write_all(&[1; 70]).unwrap();
    }
    for folder in std::fs::read_dir(lab.store().join("blobs")).unwrap() {
        for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[0] ^= 1;
            std::fs::remove_file(&path).unwrap();
            std::fs::write(&path, bytes).unwrap();
        }
    }
}
