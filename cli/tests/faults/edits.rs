//! What a run reads is edited while it runs: nothing of it is recorded under the key of what was there before, the
//! message says so, and the next run does it again.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use crate::engine::Told;
use crate::lab::{FILE, Lab};

/// A task that waits for the file `go`, and one after it that runs the program `helper` on the input `late.txt`.
fn experiment(lab: &Lab) -> String {
    let go = lab.path("go").display().to_string();
    let helper = lab.path("helper").display().to_string();
    format!(
        r#"
[experiment]
name = "edited"
[stages.first]
kind    = "command"
argv    = ["sh", "-c", "while ! test -e {go}; do sleep 0.02; done; echo first > out"]
outputs = {{ out = {{ path = "out" }} }}
[stages.late]
kind    = "command"
argv    = ["{helper}", "late/late.txt"]
inputs  = {{ first = "first", late = {{ path = "late.txt" }} }}
outputs = {{ out = {{ path = "out" }} }}
"#
    )
}

/// A lab with the experiment; what the tasks put out hangs on `helper` and on `late.txt`.
fn ready() -> Lab {
    let lab = Lab::new();
    lab.put("edited.toml", &experiment(&lab));
    lab.put("late.txt", "one\n");
    put_helper(&lab, "cat \"$1\" > out");
    lab
}

fn put_helper(lab: &Lab, script: &str) {
    lab.put("helper", &format!("#!/bin/sh\n{script}\n"));
    fs::set_permissions(lab.path("helper"), fs::Permissions::from_mode(0o755)).unwrap();
}

/// Runs the experiment and edits when the first task is at work.
fn edited(lab: &Lab, edit: impl Fn()) -> Told {
    fs::remove_file(lab.path("go")).ok();
    let mut engine = lab.start(&lab.run_command("edited.toml", &["-j", "1"]));
    engine.wait_for(|told| !told.started.is_empty());
    edit();
    lab.put("go", "");
    engine.finish()
}

fn output(lab: &Lab) -> String {
    let shown = lab
        .command(&["show", "edited.toml", "late", "-o", "shown"])
        .output()
        .unwrap();
    assert!(shown.status.success(), "{shown:?}");
    let text = fs::read_to_string(lab.path("shown/out")).unwrap();
    fs::remove_dir_all(lab.path("shown")).unwrap();
    text
}

#[test]
fn an_input_that_is_edited_before_it_is_taken_in_is_not_taken() {
    let lab = ready();
    let told = edited(&lab, || lab.put("late.txt", "two\n"));
    assert_eq!(told.code, Some(10), "{told:#?}");
    assert!(
        told.failed["late"].contains("late.txt was changed while"),
        "{told:#?}"
    );
    let told = lab.run_file("edited.toml", &[]).well();
    assert_eq!(told.executed(), ["late".to_owned()].into());
    assert_eq!(output(&lab), "two\n");
    // Nothing was recorded under the key of what was there before.
    lab.put("late.txt", "one\n");
    let told = lab.run_file("edited.toml", &[]).well();
    assert_eq!(told.executed(), ["late".to_owned()].into());
    assert_eq!(output(&lab), "one\n");
}

#[test]
fn a_program_that_is_edited_while_the_run_goes_on_is_not_taken_for_what_it_was() {
    let lab = ready();
    let told = edited(&lab, || put_helper(&lab, "echo changed > out"));
    assert_eq!(told.code, Some(10), "{told:#?}");
    assert!(told.failed["late"].contains("changed while"), "{told:#?}");
    let told = lab.run_file("edited.toml", &[]).well();
    assert_eq!(told.executed(), ["late".to_owned()].into());
    assert_eq!(output(&lab), "changed\n");
    put_helper(&lab, "cat \"$1\" > out");
    let told = lab.run_file("edited.toml", &[]).well();
    assert_eq!(told.executed(), ["late".to_owned()].into());
    assert_eq!(output(&lab), "one\n");
}

#[test]
fn an_edited_experiment_or_corpus_counts_from_the_next_run_on() {
    let lab = Lab::new();
    let before = Lab::new().run().well();
    // The last of the first run's tasks cannot have begun yet.
    let mut engine = lab.start(&lab.run_command(FILE, &["-j", "1"]));
    engine.wait_for(|told| !told.started.is_empty());
    lab.write_experiment(3);
    lab.write_parts(&["a", "b", "d"]);
    assert_eq!(engine.finish().well().outputs(), before.outputs());
    let fresh = Lab::new();
    fresh.write_experiment(3);
    fresh.write_parts(&["a", "b", "d"]);
    let told = lab.run().well();
    assert_eq!(told.outputs(), fresh.run().well().outputs());
    assert!(!told.executed().contains("fetch/part_0"), "{told:#?}");
    assert!(told.executed().contains("fetch/part_2"));
}

#[test]
fn a_source_that_is_edited_fails_its_fetch_and_nothing_of_it_is_recorded() {
    let lab = Lab::new();
    let path = lab.path("part-b.bin");
    let intact = fs::read(&path).unwrap();
    let mut edited = intact.clone();
    edited[100] ^= 1;
    fs::write(&path, &edited).unwrap();
    let told = lab.run_file(FILE, &["-k"]);
    assert_eq!(told.code, Some(10), "{told:#?}");
    let message = &told.failed["fetch/part_1"];
    assert!(
        message.contains("is not what the corpus file says"),
        "{message}"
    );
    assert!(!told.outputs().contains_key("total"));
    fs::write(&path, &intact).unwrap();
    crate::lab::truth().hold_whole(&lab.run().well());
}

/// Content counts, and nothing that a clock says of it.
#[test]
fn times_of_files_decide_nothing() {
    let lab = ready();
    lab.put("go", "");
    lab.run_file("edited.toml", &[]).well();
    let path = lab.path("late.txt");
    let set = |time: SystemTime| {
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(time).unwrap();
    };
    let time = path.metadata().unwrap().modified().unwrap();
    for (text, time) in [
        // As long as before, and as old.
        ("two\n", time),
        (
            "six\n",
            SystemTime::now() + Duration::from_secs(86_400 * 400),
        ),
        ("ten\n", SystemTime::UNIX_EPOCH + Duration::from_secs(1)),
    ] {
        fs::write(&path, text).unwrap();
        set(time);
        let told = lab.run_file("edited.toml", &[]).well();
        assert_eq!(told.executed(), ["late".to_owned()].into(), "{text}");
        assert_eq!(output(&lab), text);
    }
    // And with the content as it was nothing runs, whatever the time.
    set(SystemTime::now());
    assert!(
        lab.run_file("edited.toml", &[])
            .well()
            .executed()
            .is_empty()
    );
}
