//! A run of the real binary that can be watched, signalled and killed, and of which no process may be left.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use serde_json::Value;

/// After this long an engine is stuck. No test waits for it, so it can be long.
const STUCK: Duration = Duration::from_secs(180);
const PAUSE: Duration = Duration::from_millis(5);

/// An engine at work. It leads a session of its own, by which all that it has started can be found.
pub(crate) struct Engine {
    child: Child,
    events: PathBuf,
    messages: PathBuf,
}

/// What an engine has told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// The exit code, if it has ended by itself.
    pub(crate) code: Option<i32>,
    /// The signal that ended it.
    pub(crate) signal: Option<i32>,
    pub(crate) started: BTreeSet<String>,
    /// In the order in which they were told.
    pub(crate) finished: Vec<Finished>,
    /// The message of each failed task, and what it says to do.
    pub(crate) failed: BTreeMap<String, String>,
    pub(crate) waiting: BTreeSet<String>,
    pub(crate) redone: BTreeSet<String>,
    pub(crate) retried: Vec<String>,
    pub(crate) notices: Vec<String>,
    pub(crate) log_failed: bool,
    /// What it wrote to its standard error.
    pub(crate) messages: String,
}

/// A finished task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finished {
    pub(crate) task: String,
    pub(crate) key: String,
    pub(crate) executed: bool,
    /// The digest of each output.
    pub(crate) outputs: BTreeMap<String, String>,
}

impl Engine {
    /// Starts `command`, whose events go to a file of this name beside `folder`'s other files.
    pub(crate) fn start(command: &Command, folder: PathBuf) -> Self {
        fs::create_dir_all(&folder).unwrap();
        let unique = fs::read_dir(&folder).unwrap().count();
        let events = folder.join(format!("{unique}.jsonl"));
        let messages = folder.join(format!("{unique}.txt"));
        let mut leader = Command::new("setsid");
        leader
            .arg(command.get_program())
            .args(command.get_args())
            .current_dir(command.get_current_dir().unwrap())
            .stdin(std::process::Stdio::null())
            .stdout(File::create_new(&events).unwrap())
            .stderr(File::create_new(&messages).unwrap());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => leader.env(name, value),
                None => leader.env_remove(name),
            };
        }
        Self {
            child: leader.spawn().unwrap(),
            events,
            messages,
        }
    }

    /// What has been told so far.
    pub(crate) fn so_far(&self) -> Told {
        let mut told = Told {
            messages: fs::read_to_string(&self.messages).unwrap_or_default(),
            ..Told::default()
        };
        for line in fs::read_to_string(&self.events).unwrap().lines() {
            // A killed engine may leave half a line.
            if let Ok(event) = serde_json::from_str::<Value>(line) {
                told.hear(&event);
            }
        }
        told
    }

    /// Waits until what has been told so far is as it should be.
    pub(crate) fn wait_for(&mut self, holds: impl Fn(&Told) -> bool) {
        let begun = Instant::now();
        while !holds(&self.so_far()) {
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && begun.elapsed() < STUCK,
                "waited in vain, {ended:?}: {:?}",
                self.so_far()
            );
            std::thread::sleep(PAUSE);
        }
    }

    /// The number of its process, which is that of its session.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name, such as `INT`.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Kills the engine, and only it, as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for the end, which must come, and holds that no process of it is left.
    pub(crate) fn finish(mut self) -> Told {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < STUCK, "stuck: {:?}", self.so_far());
            std::thread::sleep(PAUSE);
        };
        let left = self.processes_left();
        assert!(left.is_empty(), "processes are left: {left:?}");
        self.end(status)
    }

    fn end(&self, status: ExitStatus) -> Told {
        Told {
            code: status.code(),
            signal: status.signal(),
            ..self.so_far()
        }
    }

    /// The processes of the session that do not go away.
    fn processes_left(&self) -> Vec<String> {
        let begun = Instant::now();
        loop {
            let left = session(self.child.id());
            if left.is_empty() || begun.elapsed() > Duration::from_secs(20) {
                return left;
            }
            std::thread::sleep(PAUSE);
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Sends a signal to a process.
pub(crate) fn signal(id: u32, name: &str) {
    let sent = Command::new("kill")
        .args([&format!("-{name}"), &id.to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

/// The living processes of a session, but for its leader: name and number.
pub(crate) fn session(leader: u32) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let id = entry.file_name().to_string_lossy().parse::<u32>();
        let (Ok(id), Ok(stat)) = (id, fs::read_to_string(entry.path().join("stat"))) else {
            continue;
        };
        // `N (name) S parent group session …`, where the name may hold anything.
        let (head, tail) = stat.rsplit_once(')').unwrap();
        let fields: Vec<&str> = tail.split_ascii_whitespace().collect();
        let alive = !matches!(fields[0], "Z" | "X");
        if alive && id != leader && fields[3] == leader.to_string() {
            found.push(format!("{head})"));
        }
    }
    found
}

impl Told {
    /// Whether it ended well.
    pub(crate) fn well(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }

    /// The tasks whose work was done.
    pub(crate) fn executed(&self) -> BTreeSet<String> {
        let executed = self.finished.iter().filter(|finished| finished.executed);
        executed.map(|finished| finished.task.clone()).collect()
    }

    /// The digests of the outputs of each finished task.
    pub(crate) fn outputs(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        let finished = self.finished.iter().cloned();
        finished.map(|task| (task.task, task.outputs)).collect()
    }

    /// Takes in an event.
    pub(crate) fn hear(&mut self, event: &Value) {
        let Some((what, event)) = event["what"]
            .as_object()
            .and_then(|what| what.iter().next())
        else {
            return;
        };
        let task = event["task"].as_str().unwrap_or_default().to_owned();
        let message = |event: &Value| event["message"].as_str().unwrap_or_default().to_owned();
        let failure = |event: &Value| {
            let failure = &event["failure"];
            let hint = failure["hint"].as_str().unwrap_or_default();
            format!("{} / {hint}", message(failure))
        };
        match what.as_str() {
            "task_started" => drop(self.started.insert(task)),
            "task_waiting" => drop(self.waiting.insert(task)),
            "task_redone" => drop(self.redone.insert(task)),
            "task_retried" => self.retried.push(failure(event)),
            "task_failed" => drop(self.failed.insert(task, failure(event))),
            "store_notice" => self.notices.push(message(event)),
            "log_failed" => self.log_failed = true,
            "task_finished" => {
                let outputs = event["outputs"].as_object().unwrap().iter();
                let digest = |value: &Value| value["digest"].as_str().unwrap().to_owned();
                self.finished.push(Finished {
                    task,
                    key: event["key"].as_str().unwrap().to_owned(),
                    executed: event["how"] == "executed",
                    outputs: outputs
                        .map(|(port, value)| (port.clone(), digest(value)))
                        .collect(),
                });
            }
            _ => {}
        }
    }
}
