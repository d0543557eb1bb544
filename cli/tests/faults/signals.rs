//! Ctrl-C and requests to end, once and twice.

use crate::lab::Lab;
use crate::ledger::Ledger;

/// One task that is done at once, and two that wait for a file. `stubborn` ones do not listen to signals.
fn waiting(lab: &Lab, stubborn: bool) -> String {
    let trap = if stubborn { "trap '' INT TERM;" } else { "" };
    let file = lab.path("go").display().to_string();
    format!(
        r#"
[experiment]
name = "waiting"
[stages.first]
kind    = "command"
argv    = ["sh", "-c", "echo first > out"]
outputs = {{ out = {{ path = "out" }} }}
[axes]
number = [1, 2]
[stages.wait]
kind    = "command"
each    = ["number"]
argv    = ["sh", "-c", "{trap} while ! test -e {file}; do sleep 0.02; done; echo done > out"]
inputs  = {{ first = "first" }}
env     = {{ FOR = "test" }}
outputs = {{ out = {{ path = "out" }} }}
"#
    )
}

fn interrupted(signal: &str, twice: bool, stubborn: bool) {
    let lab = Lab::new();
    let mut ledger = Ledger::default();
    lab.put("waiting.toml", &waiting(&lab, stubborn));
    let mut engine = lab.start(&lab.run_command("waiting.toml", &["-j", "2"]));
    engine.wait_for(|told| told.started.len() == 2);
    engine.signal(signal);
    if twice {
        // The first has come when the run says that it stops; then a second is sent at once.
        std::thread::sleep(std::time::Duration::from_millis(50));
        if !engine.has_ended() {
            engine.signal(signal);
        }
    }
    // This holds, too, that no process is left.
    let told = engine.finish();
    let case = format!("{signal}, {twice}, {stubborn}: {told:#?}");
    assert_eq!(told.code, Some(130), "{case}");
    assert_eq!(told.executed(), ["first".to_owned()].into(), "{case}");
    assert!(told.failed.is_empty(), "{case}");
    assert!(twice || told.messages.contains("interrupted"), "{case}");
    ledger.hear_one(&told);
    // Nothing is lost, and nothing of what was stopped was recorded.
    lab.put("go", "");
    let told = lab.run_file("waiting.toml", &[]).well();
    ledger.hear_one(&told);
    assert_eq!(
        told.executed().len(),
        1,
        "the two tasks of `wait` are alike: {told:#?}"
    );
    assert_eq!(
        std::fs::read_dir(lab.store().join("tmp")).unwrap().count(),
        0
    );
}

#[test]
fn a_signal_ends_the_run_and_its_programs_and_the_next_goes_on() {
    for signal in ["INT", "TERM", "HUP"] {
        interrupted(signal, false, false);
    }
}

#[test]
fn who_ignores_signals_is_killed() {
    interrupted("INT", false, true);
}

#[test]
fn a_second_signal_ends_the_run_at_once() {
    for signal in ["INT", "TERM"] {
        interrupted(signal, true, true);
    }
}
