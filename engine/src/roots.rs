//! What the store must keep for the sake of runs: the keys that their logs name.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use blake3::Hash;
use llmcl_cache::{LogLine, Record, Root, Store, StoreError};
use serde::Deserialize;

use crate::events::What;
use crate::record;
use crate::runs::{DamageKind, RecordedRun, Runs, parse};

/// What runs keep.
#[derive(Debug, Default)]
pub struct RunRoots {
    /// A root for each run that is kept, the newest first.
    pub roots: Vec<Root>,
    /// The names of the runs that are not kept.
    pub not_kept: Vec<String>,
    /// Logs of which something could not be read, so that they may keep too little, and why.
    pub doubtful: Vec<(PathBuf, String)>,
}

/// What the log of a run says.
struct Run {
    name: String,
    /// The experiment, if the beginning of the log is intact.
    experiment: Option<String>,
    /// Whether every task was done or ruled out.
    is_complete: bool,
    is_going_on: bool,
    /// The keys of the tasks that began or ended.
    keys: HashSet<Hash>,
    /// Why something of it could not be read.
    doubt: Option<String>,
}

/// Finds out what runs keep: of each experiment the last `keep` runs, and if none of these was complete, the last
/// one that was; those that are going on; and those whose log does not say any more what experiment they are of.
///
/// A killed run is a run, and keeps what its log came to name. A line that is damaged names nothing.
///
/// # Errors
/// If the folder of the logs cannot be listed.
pub fn roots(store: &Store, keep: usize) -> Result<RunRoots, StoreError> {
    let mut found = RunRoots::default();
    let mut experiments: BTreeMap<String, Vec<Run>> = BTreeMap::new();
    let mut kept = Vec::new();
    for recorded in Runs::of(store)?.iter() {
        let path = recorded.log().path().to_owned();
        let run = match read(recorded) {
            Ok(run) => run,
            Err(error) => {
                found.doubtful.push((path, error.to_string()));
                continue;
            }
        };
        found
            .doubtful
            .extend(run.doubt.clone().map(|doubt| (path, doubt)));
        match run.experiment.clone().filter(|_| !run.is_going_on) {
            Some(experiment) => experiments.entry(experiment).or_default().push(run),
            None => kept.push(run),
        }
    }
    for runs in experiments.into_values() {
        let mut needs_complete = keep > 0;
        for (place, run) in runs.into_iter().enumerate() {
            if place < keep || (needs_complete && run.is_complete) {
                needs_complete &= !run.is_complete;
                kept.push(run);
            } else {
                found.not_kept.push(run.name);
            }
        }
    }
    // Names of runs begin with the time.
    kept.sort_by(|one, other| other.name.cmp(&one.name));
    found.roots = kept
        .into_iter()
        .map(|run| Root {
            reason: format!("run {}", run.name),
            keys: run.keys.into_iter().collect(),
        })
        .collect();
    Ok(found)
}

/// Reads what the intact lines of a log say.
fn read(recorded: &RecordedRun) -> Result<Run, StoreError> {
    let mut run = Run {
        name: recorded.name().to_owned(),
        experiment: None,
        is_complete: false,
        is_going_on: recorded.log().is_being_written()?,
        keys: HashSet::new(),
        doubt: None,
    };
    for event in recorded.events()? {
        match event.map(|event| event.what) {
            Ok(What::RunStarted { experiment, .. }) => run.experiment = Some(experiment),
            Ok(What::TaskStarted { key, .. } | What::TaskFinished { key, .. }) => {
                run.keys.insert(key);
            }
            Ok(What::RunFinished { summary }) => run.is_complete = summary.is_complete(),
            Ok(_) => {}
            Err(damage) => {
                if let DamageKind::OtherVersion(_) | DamageKind::Unreadable(_) = damage.kind {
                    run.doubt.get_or_insert(damage.to_string());
                }
            }
        }
    }
    Ok(run)
}

/// Says what a line of a run's log is.
#[must_use]
pub fn log_line(line: &str) -> LogLine {
    /// What all versions of an event have.
    #[derive(Deserialize)]
    struct AnyEvent {
        #[serde(rename = "v")]
        _v: u32,
        #[serde(rename = "at")]
        _at: u64,
        #[serde(rename = "what")]
        _what: serde_json::Value,
    }
    if parse(line.as_bytes()).is_ok() {
        LogLine::Good
    } else if serde_json::from_str::<AnyEvent>(line).is_ok() {
        LogLine::Unknown
    } else {
        LogLine::Bad
    }
}

/// The experiment and the task that a record was first made for; nothing if this program cannot read it.
#[must_use]
pub fn made_for(record: &Record) -> Option<(String, String)> {
    let labels = record::labels(record.body())?;
    Some((labels.experiment.to_owned(), labels.task.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Write;

    use super::*;
    use crate::events::{Event, Finish, Summary, VERSION};
    use crate::plan::Counts;

    fn key(text: &str) -> Hash {
        blake3::hash(text.as_bytes())
    }

    fn line(at: u64, what: What) -> String {
        let event = Event {
            v: VERSION,
            at,
            what,
        };
        event.to_line() + "\n"
    }

    fn started(at: u64, experiment: &str) -> String {
        line(
            at,
            What::RunStarted {
                run: "r".into(),
                experiment: experiment.into(),
                began: at,
                planned: Counts::default(),
                jobs: 1,
            },
        )
    }

    fn finished(name: &str) -> String {
        line(
            5,
            What::TaskFinished {
                task: name.into(),
                key: key(name),
                how: Finish::Cached,
                outputs: BTreeMap::new(),
                spent: None,
            },
        )
    }

    fn over(left: usize) -> String {
        let summary = Summary {
            left,
            ..Summary::default()
        };
        line(9, What::RunFinished { summary })
    }

    fn store_with(logs: &[(&str, String)]) -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("runs")).unwrap();
        for (name, text) in logs {
            fs::write(folder.path().join(format!("runs/{name}.jsonl")), text).unwrap();
        }
        let store = Store::open(folder.path()).unwrap();
        (folder, store)
    }

    fn kept(store: &Store, keep: usize) -> Vec<String> {
        let found = roots(store, keep).unwrap();
        found.roots.into_iter().map(|root| root.reason).collect()
    }

    #[test]
    fn the_last_runs_of_each_experiment_are_kept_and_the_last_complete_one() {
        let (_folder, store) = store_with(&[
            ("a1", started(1, "a") + &finished("x") + &over(0)),
            ("a2", started(2, "a") + &over(0)),
            ("a3", started(3, "a") + &over(1)),
            ("a4", started(4, "a")),
            ("b1", started(1, "b") + &over(0)),
        ]);
        assert_eq!(kept(&store, 1), ["run b1", "run a4", "run a2"]);
        assert_eq!(kept(&store, 3), ["run b1", "run a4", "run a3", "run a2"]);
        assert_eq!(kept(&store, 9).len(), 5);
        assert_eq!(kept(&store, 0), [""; 0]);
        assert_eq!(roots(&store, 3).unwrap().not_kept, ["a1"]);
    }

    #[test]
    fn a_run_that_is_going_on_is_kept() {
        let (_folder, store) = store_with(&[]);
        let mut log = store.run_log("r").unwrap();
        log.append(started(1, "a").trim_end()).unwrap();
        assert_eq!(kept(&store, 0), ["run r"]);
        drop(log);
        assert_eq!(kept(&store, 0), [""; 0]);
    }

    #[test]
    fn a_damaged_log_keeps_what_its_intact_lines_name() {
        let task = line(
            3,
            What::TaskStarted {
                task: "begun".into(),
                key: key("begun"),
                slot: 0,
            },
        );
        let text = started(1, "a") + &finished("x") + "\u{0}\n{}\n" + &task + &finished("torn");
        let torn = text[..text.len() - 9].to_owned();
        let headless = finished("y") + &over(0);
        let later = started(1, "a").replace("\"v\":2", "\"v\":3");
        let logs = [("3torn", torn), ("2headless", headless), ("1later", later)];
        let (folder, store) = store_with(&logs);
        let mut file = File::options()
            .append(true)
            .open(folder.path().join("runs/2headless.jsonl"))
            .unwrap();
        file.write_all(b"\xff\xfe\n").unwrap();
        let found = roots(&store, 1).unwrap();
        let keys: Vec<HashSet<Hash>> = found
            .roots
            .iter()
            .map(|root| root.keys.iter().copied().collect())
            .collect();
        assert_eq!(keys[0], HashSet::from([key("x"), key("begun")]));
        assert_eq!(keys[1], HashSet::from([key("y")]));
        assert_eq!(keys[2], HashSet::new());
        assert_eq!(found.doubtful.len(), 1);
        // Whatever else goes: nobody knows what the headless one is of.
        assert_eq!(kept(&store, 0), ["run 2headless", "run 1later"]);
    }

    #[test]
    fn lines_are_told_apart() {
        assert_eq!(log_line(finished("x").trim_end()), LogLine::Good);
        let later = r#"{"v":9,"at":1,"what":{"task_dreamt":{}}}"#;
        assert_eq!(log_line(later), LogLine::Unknown);
        assert_eq!(log_line("{\"v\":1"), LogLine::Bad);
        assert_eq!(log_line(""), LogLine::Bad);
    }
}
