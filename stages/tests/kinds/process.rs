//! Children: their output, their end, and what they leave.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use llmcl_stages::process::{Exit, Finished, Limits, ProcessError, run};
use llmcl_stages_api::task::{TaskError, TaskErrorKind};

fn limits() -> Limits {
    Limits {
        kept_output: 16,
        grace: Duration::from_secs(60),
    }
}

/// A shell with a home of its own, as tasks have one: it tells which test a process belongs to.
fn sh(script: &str) -> Command {
    static HOMES: AtomicUsize = AtomicUsize::new(0);
    let home = format!("/nowhere/{}", HOMES.fetch_add(1, Ordering::Relaxed));
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).env("HOME", home);
    command
}

fn finish(script: &str) -> Finished {
    run(&mut sh(script), &limits(), &mut || Ok(())).unwrap()
}

fn runs(id: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    !matches!(
        stat.rsplit(')')
            .next()
            .and_then(|rest| rest.split_whitespace().next()),
        None | Some("Z" | "X")
    )
}

/// Waits for what must come; only a test that would fail waits for long.
fn wait_until(mut holds: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it did not come to pass within 30 s");
}

#[test]
fn the_end_of_each_stream_is_kept() {
    let finished = finish("seq 1 100000; printf 'lost lost\\nkept kept\\nthe end' >&2");
    assert!(finished.exit.is_success());
    assert_eq!(finished.stdout.text(), "98\n99999\n100000\n");
    assert_eq!(finished.stdout.total(), 588_895);
    assert_eq!(finished.stderr.last_lines(5), ["ept kept", "the end"]);
}

#[test]
fn exits_are_told_apart() {
    assert_eq!(finish("exit 3").exit, Exit::Code(3));
    let killed = finish("kill -SEGV $$").exit;
    assert_eq!(killed.to_string(), "was ended by SIGSEGV");
}

#[test]
fn there_is_no_standard_input() {
    assert!(finish("read line; test $? = 1").exit.is_success());
}

#[test]
fn a_program_that_is_not_there() {
    let error = run(
        &mut Command::new("/no/such/program"),
        &limits(),
        &mut || Ok(()),
    );
    assert!(
        matches!(error, Err(ProcessError::Start { program, .. }) if program == "/no/such/program")
    );
}

#[test]
fn a_stop_ends_the_whole_group() {
    let folder = tempfile::tempdir().unwrap();
    let ids = folder.path().join("ids");
    // Both the shell and its child ignore the polite signal; the grace is short so that the test is.
    let script = format!(
        "trap '' TERM; sleep 1000 & echo $$ $! > {0}.new; mv {0}.new {0}; wait",
        ids.display()
    );
    let limits = Limits {
        grace: Duration::from_millis(50),
        ..limits()
    };
    let mut ask = || {
        if ids.exists() {
            Err(TaskError::new(TaskErrorKind::TimedOut, "time is up"))
        } else {
            Ok(())
        }
    };
    let error = run(&mut sh(&script), &limits, &mut ask).expect_err("a stop");
    assert_eq!(error.to_string(), "`/bin/sh` was stopped: time is up");
    for id in std::fs::read_to_string(&ids).unwrap().split_whitespace() {
        assert!(!runs(id.parse().unwrap()), "{id} still runs");
    }
}

#[test]
fn a_stop_is_polite_first() {
    let folder = tempfile::tempdir().unwrap();
    let (ready, said) = (folder.path().join("ready"), folder.path().join("said"));
    let script = format!(
        "trap 'echo bye > {}; exit 0' TERM; touch {}; while :; do sleep 0.01; done",
        said.display(),
        ready.display()
    );
    let mut ask = || {
        if ready.exists() {
            Err(TaskError::new(TaskErrorKind::Cancelled, "stop"))
        } else {
            Ok(())
        }
    };
    let error = run(&mut sh(&script), &limits(), &mut ask).expect_err("a stop");
    assert!(matches!(error, ProcessError::Stopped { .. }));
    assert_eq!(std::fs::read_to_string(&said).unwrap(), "bye\n");
}

#[test]
fn a_child_that_is_left_behind_is_named_and_killed() {
    for redirect in ["", "> /dev/null 2>&1"] {
        let script = format!("sleep 1000 {redirect} & exit 0");
        let error = run(&mut sh(&script), &limits(), &mut || Ok(())).expect_err("left behind");
        let ProcessError::LeftBehind {
            exit, processes, ..
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!(exit, Exit::Code(0));
        let [process] = &processes[..] else {
            panic!("{processes:?}");
        };
        let id = process
            .strip_prefix("sleep (")
            .and_then(|rest| rest.strip_suffix(')'))
            .expect("a name and a number");
        assert!(!runs(id.parse().unwrap()));
    }
}

/// Runs a program that escapes as it is told, `SLEEP` standing for what stays, and looks whether all is ended.
fn escape(how: &str) {
    let folder = tempfile::tempdir().unwrap();
    let ids = folder.path().join("ids");
    let sleep = format!(
        "sh -c \"echo \\$\\$ >> {}; exec sleep 1000\"",
        ids.display()
    );
    let count = how.matches("SLEEP").count();
    let script = format!(
        "{} while ! test \"$(cat {1} 2> /dev/null | wc -l)\" -eq {count}; do sleep 0.01; done",
        how.replace("SLEEP", &sleep),
        ids.display()
    );
    let error = run(&mut sh(&script), &limits(), &mut || Ok(())).expect_err("left behind");
    let ProcessError::LeftBehind { processes, .. } = error else {
        panic!("{how}: {error}");
    };
    assert!(!processes.is_empty(), "{how}");
    for id in std::fs::read_to_string(&ids).unwrap().split_whitespace() {
        assert!(!runs(id.parse().unwrap()), "{how}: {processes:?}");
    }
}

#[test]
fn who_leaves_the_group_is_found_and_killed() {
    escape("setsid SLEEP &");
    escape("setsid SLEEP < /dev/null > /dev/null 2>&1 &");
    escape("(setsid sh -c 'SLEEP & SLEEP' > /dev/null 2>&1 &);");
}

/// In a process of its own, as such a one could belong to any test.
#[test]
fn who_gives_up_the_environment_too_is_found_and_killed() {
    const ALONE: &str = "LLMCL_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return escape("setsid env -i SLEEP > /dev/null 2>&1 &");
    }
    let status = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "process::who_gives_up_the_environment_too_is_found_and_killed",
        ])
        .env(ALONE, "")
        .stdout(Stdio::null())
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn who_leaves_the_group_of_another_child_is_that_ones() {
    let folder = tempfile::tempdir().unwrap();
    let (started, end) = (folder.path().join("started"), folder.path().join("end"));
    let script = format!(
        "(setsid sh -c 'touch {0}; exec sleep 1000' > /dev/null 2>&1 &); \
         while ! test -e {1}; do sleep 0.01; done",
        started.display(),
        end.display()
    );
    std::thread::scope(|scope| {
        let guilty = scope.spawn(|| run(&mut sh(&script), &limits(), &mut || Ok(())));
        wait_until(|| started.exists());
        let innocent = run(&mut sh("true"), &limits(), &mut || Ok(()));
        std::fs::write(&end, "").unwrap();
        assert_eq!(innocent.unwrap().exit, Exit::Code(0));
        let error = guilty.join().unwrap().expect_err("left behind");
        assert!(error.to_string().contains("running: sleep ("), "{error}");
    });
}

/// The engine in the test below, which runs this and kills it; otherwise there is nothing to do.
#[test]
fn an_engine_that_will_be_killed() {
    let Ok(ids) = std::env::var("LLMCL_TEST_IDS") else {
        return;
    };
    let script = format!("sleep 1000 & echo $$ $! > {ids}.new; mv {ids}.new {ids}; wait");
    let _ = run(&mut sh(&script), &limits(), &mut || Ok(()));
}

#[test]
fn nothing_outlives_a_killed_engine() {
    let folder = tempfile::tempdir().unwrap();
    let ids = folder.path().join("ids");
    let mut engine = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "process::an_engine_that_will_be_killed"])
        .env("LLMCL_TEST_IDS", &ids)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_until(|| ids.exists());
    engine.kill().unwrap();
    engine.wait().unwrap();
    for id in std::fs::read_to_string(&ids).unwrap().split_whitespace() {
        let id = id.parse().unwrap();
        wait_until(|| !runs(id));
    }
}
