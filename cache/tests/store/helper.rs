//! The other process: the test binary runs itself with a task in the environment.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use llmcl_cache::{CRASH_VARIABLE, GcOptions, Store};

use crate::support::{Sample, digest, root_of};

const TASK: &str = "LLMCL_CACHE_TEST_TASK";
const STORE: &str = "LLMCL_CACHE_TEST_STORE";
const SAID: &str = "LLMCL_CACHE_TEST_SAID";

/// A command that does a task of [`helper`] on a store. What it says goes to the file `said`.
pub(crate) fn command(task: &str, store: &Path, said: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    set_task(&mut command, task, store, said);
    command
}

/// The same under a shell that first runs `setup`.
pub(crate) fn command_after(setup: &str, task: &str, store: &Path, said: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{setup}; exec \"$0\" \"$@\"")]);
    command.arg(std::env::current_exe().unwrap());
    set_task(&mut command, task, store, said);
    command
}

fn set_task(command: &mut Command, task: &str, store: &Path, said: &Path) {
    command
        .args(["--exact", "helper::helper", "--nocapture"])
        .env(TASK, task)
        .env(STORE, store)
        .env(SAID, said)
        .env_remove(CRASH_VARIABLE)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
}

/// The lines that helpers have said.
pub(crate) fn said(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    // A helper may have been killed in the middle of a line.
    let complete = text.rfind('\n').map_or(0, |at| at + 1);
    text[..complete].lines().map(str::to_owned).collect()
}

/// Waits until helpers have said so many lines.
pub(crate) fn wait_for_lines(path: &Path, count: usize) {
    wait_until(|| said(path).len() >= count);
}

pub(crate) fn wait_until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited too long");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A helper that is killed when a test ends without having done so.
pub(crate) struct Helper(pub(crate) Child);

impl Helper {
    pub(crate) fn start(task: &str, store: &Path, said: &Path) -> Helper {
        Helper(command(task, store, said).spawn().unwrap())
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Does the task in the environment, if there is one.
#[test]
fn helper() {
    let Ok(task) = std::env::var(TASK) else {
        return;
    };
    let root = PathBuf::from(std::env::var(STORE).unwrap());
    let store = Store::open(&root).unwrap();
    let mut said = OpenOptions::new()
        .create(true)
        .append(true)
        .open(std::env::var(SAID).unwrap())
        .unwrap();
    let mut say = |line: &str| said.write_all(format!("{line}\n").as_bytes()).unwrap();
    let words: Vec<&str> = task.split(' ').collect();
    match words[..] {
        // Puts and appends, and says the name of each record once the append has returned.
        ["append", prefix, count] => {
            for number in 0..count.parse::<u32>().unwrap() {
                let name = format!("{prefix}-{number}");
                let sample = Sample::new(name.clone());
                let stored = store.put(&sample.content()).unwrap();
                sample.append(&store, &[stored]).unwrap();
                say(&name);
            }
        }
        // The same with two threads and many small records, so that flushes are shared.
        ["append-threads", prefix] => {
            let said = std::sync::Mutex::new(say);
            std::thread::scope(|scope| {
                for thread in 0..2 {
                    let (store, said) = (&store, &said);
                    scope.spawn(move || {
                        for number in 0.. {
                            let name = format!("{prefix}-{thread}-{number}");
                            Sample::new(name.clone()).append(store, &[]).unwrap();
                            said.lock().unwrap()(&name);
                        }
                    });
                }
            });
        }
        // Increments a number in a file many times, each time under the lock.
        ["count", file, times] => {
            for _ in 0..times.parse::<u32>().unwrap() {
                let guard = store.lock(&digest("counter"), &|| false, &mut || {});
                let number: u32 = std::fs::read_to_string(file).unwrap().parse().unwrap();
                std::thread::yield_now();
                std::fs::write(file, (number + 1).to_string()).unwrap();
                drop(guard.unwrap().unwrap());
            }
        }
        // Collects; the rest of the words name what is kept.
        ["collect", ref kept @ ..] => {
            let roots = [root_of(kept)];
            let options = GcOptions {
                roots: &roots,
                ..GcOptions::default()
            };
            let collector = store.collector(&mut || {}).unwrap();
            let report = collector.collect(&options, &mut || {}).unwrap();
            assert!(report.failures.is_empty(), "{:?}", report.failures);
            say("collected");
        }
        ["repair"] => {
            let collector = store.collector(&mut || {}).unwrap();
            let log_line = crate::verification::log_line;
            collector
                .repair(&log_line, &mut |_| {}, &mut || {})
                .unwrap();
        }
        // Does the work of records again and again, each time in a new opening, as runs beside a collection do. What
        // is found must be whole, to the end.
        ["use", prefix, count] => {
            drop(store);
            for round in 0.. {
                let store = Store::open(&root).unwrap();
                let mut found = Vec::new();
                for number in 0..count.parse::<u32>().unwrap() {
                    let sample = Sample::new(format!("{prefix}-{}", number + round % 3));
                    if !sample.is_in(&store) {
                        let stored = store.put(&sample.content()).unwrap();
                        sample.append(&store, &[stored]).unwrap();
                    }
                    found.push(sample);
                }
                for sample in found {
                    assert!(sample.is_in(&store));
                    sample.read_all(&store);
                }
                say("used");
            }
        }
        // Uses a record, does something that writes, says so, and goes on living.
        ["keep", name] => {
            assert!(Sample::new(name).is_in(&store));
            drop(store.scratch(&[]).unwrap());
            say("kept");
            std::thread::sleep(Duration::from_secs(600));
        }
        // Writes a segment and goes on living.
        ["write", name] => {
            Sample::new(name).append(&store, &[]).unwrap();
            say("written");
            std::thread::sleep(Duration::from_secs(600));
        }
        // Takes the lock and a scratch folder, and keeps them.
        ["hold"] => {
            let _guard = store.lock(&digest("held"), &|| false, &mut || {}).unwrap();
            let scratch = store.scratch(&[]).unwrap();
            std::fs::write(scratch.path().join("file"), "x").unwrap();
            let mut half = store.write_blob().unwrap();
            half.write_all(&[1; 100_000]).unwrap();
            say(scratch.path().to_str().unwrap());
            std::thread::sleep(Duration::from_secs(600));
        }
        // Says how putting many bytes, then appending many records, then a log went.
        ["fill"] => {
            let result = store.put(&vec![7; 1 << 20]);
            say(&result.map_or_else(|error| error.to_string(), |_| "stored".to_owned()));
            let mut appended = 0;
            let error = loop {
                match Sample::new(format!("fill-{appended}-{}", "x".repeat(2000)))
                    .append(&store, &[])
                {
                    Ok(()) => appended += 1,
                    Err(error) => break error,
                }
            };
            say(&appended.to_string());
            say(&error.to_string());
            let mut log = store.run_log("fill").unwrap();
            while log.append(&"y".repeat(3000)).is_ok() {}
            say("log full");
        }
        // Opens a blob, as a user who may not read it.
        ["read", digest, bytes] => {
            let digest = llmcl_cache::Hash::from_hex(digest).unwrap();
            let result = store.blob(&digest, bytes.parse().unwrap());
            say(&result.map_or_else(|error| format!("{error:?}"), |_| "read".to_owned()));
        }
        _ => panic!("unknown task {task}"),
    }
}
