//! Outside programs that do not keep to what they have declared, through the whole engine: each fails with a clear
//! message and is never recorded. What they may do is tested one by one in `stages/tests/kinds/command.rs`.

use std::fs;
use std::time::{Duration, Instant};

use crate::engine::session;
use crate::lab::Lab;

fn experiment(script: &str, more: &str) -> String {
    format!(
        r#"
[experiment]
name = "misbehaving"
[stages.task]
kind = "command"
argv = ["sh", "-c", '''{script}''']
{more}
[stages.task.outputs]
out = {{ path = "out" }}
[stages.after]
kind    = "command"
argv    = ["sh", "-c", "cat task/out > out"]
inputs  = {{ task = "task" }}
outputs = {{ out = {{ path = "out" }} }}
"#
    )
}

#[test]
fn what_breaks_its_word_fails_and_is_never_recorded() {
    let cases = [
        ("exit 3", "", "exited with code 3"),
        ("echo x > out; exit 1", "", "exited with code 1"),
        ("kill -SEGV $$", "", "SIGSEGV"),
        ("true", "", "is not there"),
        (": > out", "", "is empty"),
        ("echo x > out; echo y > other", "", "`other`"),
        ("ln -s /etc/passwd out", "", "neither a file nor a folder"),
        ("mkdir out; mkfifo out/pipe", "", "no file"),
        (
            "echo x > out; sleep 1000 &",
            "",
            "left processes running: sleep",
        ),
        (
            "echo x > out; setsid sleep 1000 > /dev/null 2>&1 &",
            "",
            "left processes running: sleep",
        ),
        ("trap '' TERM; sleep 1000", "time_limit = 1", "time"),
    ];
    for (script, more, expected) in cases {
        let lab = Lab::new();
        lab.put("task.toml", &experiment(script, more));
        for _ in 0..2 {
            let told = lab.run_file("task.toml", &[]);
            assert_eq!(told.code, Some(10), "{script}: {told:#?}");
            assert_eq!(told.started, ["task".to_owned()].into(), "{script}");
            assert!(
                told.failed["task"].contains(expected),
                "{script}: {told:#?}"
            );
            assert!(told.finished.is_empty());
        }
        let segments = fs::read_dir(lab.store().join("records")).unwrap();
        assert_eq!(segments.count(), 0, "{script}: nothing was ever recorded");
    }
}

#[test]
fn a_time_limit_ends_the_whole_tree() {
    let lab = Lab::new();
    let script = "trap '' TERM; sh -c 'sleep 1000 & sleep 1001' & sleep 1002 | cat";
    lab.put("task.toml", &experiment(script, "time_limit = 1"));
    let mut engine = lab.start(&lab.run_command("task.toml", &[]));
    let id = engine.id();
    engine.wait_for(|_| {
        session(id)
            .iter()
            .filter(|name| name.contains("sleep"))
            .count()
            == 3
    });
    let begun = Instant::now();
    // The engine is still there: it is the limit that ended them.
    while session(id).iter().any(|name| name.contains("sleep")) {
        assert!(begun.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(5));
    }
    let told = engine.finish();
    assert!(told.failed["task"].contains("time"), "{told:#?}");
}

#[test]
fn what_fails_now_and_then_is_tried_again_and_recorded_once() {
    let lab = Lab::new();
    let count = lab.path("count").display().to_string();
    let script = format!("echo x >> {count}; test $(wc -l < {count}) -ge 3 && echo done > out");
    lab.put("task.toml", &experiment(&script, "retries = 3"));
    let told = lab.run_file("task.toml", &[]).well();
    assert_eq!(told.retried.len(), 2, "{told:#?}");
    assert_eq!(fs::read_to_string(lab.path("count")).unwrap(), "x\nx\nx\n");
    let told = lab.run_file("task.toml", &[]).well();
    assert!(told.executed().is_empty());
    // Without retries left it fails, and the next run tries again.
    fs::remove_file(lab.path("count")).unwrap();
    lab.put(
        "task.toml",
        &experiment(&format!("{script} # once"), "retries = 1"),
    );
    let told = lab.run_file("task.toml", &[]);
    assert_eq!(told.code, Some(10), "{told:#?}");
    assert!(
        lab.run_file("task.toml", &[])
            .well()
            .executed()
            .contains("task")
    );
}
