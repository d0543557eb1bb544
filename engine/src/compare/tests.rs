use std::time::Duration;

use llmcl_cache::NewRecord;
use llmcl_stages_api::value::Value;

use super::*;
use crate::events::{Event, Failure, FailureKind, Spent, VERSION, What};
use crate::key::{Part, key};
use crate::record::{Build, How, Manifest};

/// A store, and the events of two runs on it.
struct Pair {
    _folder: tempfile::TempDir,
    store: Store,
    runs: [Vec<What>; 2],
}

fn part(component: Component, name: &str, value: &str) -> Part {
    Part {
        component,
        name: name.into(),
        value: Value::Text(value.into()),
    }
}

impl Pair {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        Self {
            _folder: folder,
            store,
            runs: [Vec::new(), Vec::new()],
        }
    }

    /// A task that was done, with what its key is made of.
    fn done(&mut self, run: usize, task: &str, parts: &[Part], output: &str) {
        self.recorded(parts);
        self.runs[run].push(What::TaskFinished {
            task: task.into(),
            key: key(parts),
            how: Finish::Executed,
            outputs: BTreeMap::from([(
                "out".to_owned(),
                OutputDigest {
                    digest: blake3::hash(output.as_bytes()),
                    bytes: 1,
                },
            )]),
            spent: Some(Box::new(Spent {
                work_us: 100 * (run as u64 + 1),
                ..Spent::default()
            })),
        });
    }

    fn recorded(&self, parts: &[Part]) {
        let manifest = Manifest {
            experiment: "e".into(),
            task: "t".into(),
            kind: "k".into(),
            duration: Duration::ZERO,
            parts: parts.to_vec(),
            how: How {
                started: 0,
                attempts: 1,
                build: Build::default(),
            },
        };
        let new = NewRecord {
            key: key(parts),
            shape: blake3::hash(b"shape"),
            blobs: &[],
            inline: &[],
            body: &record::encode(&BTreeMap::new(), &manifest),
        };
        self.store.append(new).unwrap();
    }

    fn compare(&self) -> Comparison {
        let [a, b] = [0, 1].map(|run| {
            let events = self.runs[run].iter().cloned();
            let events = events.map(|what| {
                Ok(Event {
                    v: VERSION,
                    at: 1,
                    what,
                })
            });
            Story::tell("r", false, events)
        });
        compare(&a, &b, &self.store)
    }
}

#[test]
fn many_tasks_with_one_reason_are_one_cause() {
    let mut pair = Pair::new();
    for task in 0..300 {
        for (run, code) in ["old", "new"].into_iter().enumerate() {
            let which = task.to_string();
            let parts = [
                part(Component::Code, "bench.rs", code),
                part(Component::Parameter, "which", &which),
                part(Component::Content, "in[0]", code),
            ];
            pair.done(run, &format!("bench/{task}"), &parts, "equal");
        }
    }
    for (run, value) in ["old", "new"].into_iter().enumerate() {
        let parts = [
            part(Component::Content, "rows[0]", value),
            part(Component::Content, "rows[1]", value),
        ];
        pair.done(run, "table", &parts, value);
        let members = [
            part(Component::Input, "in[0]", value),
            part(Component::Input, "in[1]", value),
        ];
        for task in ["one", "two"] {
            let own = part(Component::Parameter, "level", &format!("{value} {task}"));
            pair.done(run, task, &[&members[..], &[own]].concat(), value);
        }
    }
    let comparison = pair.compare();
    assert_eq!(comparison.causes.len(), 3, "{:#?}", comparison.causes);
    let [code, members, follows] = &comparison.causes[..] else {
        unreachable!()
    };
    assert_eq!((code.tasks.len(), code.same_outputs), (300, 300));
    assert_eq!(code.reasons.len(), 1);
    assert!(code.reasons[0].everywhere);
    assert_eq!(code.reasons[0].example.name, "bench.rs");
    // The same parts differ, and one of them in another way for each.
    assert_eq!(members.tasks, ["one", "two"]);
    let told: Vec<_> = members
        .reasons
        .iter()
        .map(|reason| {
            (
                reason.example.name.as_str(),
                reason.members,
                reason.everywhere,
            )
        })
        .collect();
    assert_eq!(told, [("in[0]", 2, true), ("level", 1, false)]);
    assert_eq!(
        (&follows.tasks[..], &follows.inputs[..]),
        (&["table".to_owned()][..], &["rows".to_owned()][..])
    );
    assert!(follows.reasons.is_empty());
    assert!(!comparison.is_same());
}

#[test]
fn other_outputs_under_the_same_key_are_told() {
    let mut pair = Pair::new();
    let parts = [part(Component::Parameter, "level", "1")];
    pair.done(0, "a", &parts, "one");
    pair.done(1, "a", &parts, "another");
    pair.done(0, "b", &parts, "same");
    pair.done(1, "b", &parts, "same");
    let comparison = pair.compare();
    assert_eq!(comparison.unrepeatable.len(), 1);
    let task = &comparison.unrepeatable[0];
    assert_eq!((task.task.as_str(), task.key), ("a", key(&parts)));
    assert_eq!(task.outputs[0].0, "out");
    assert_eq!(comparison.same, 1);
    assert!(!comparison.is_same());
    let took: Vec<_> = comparison
        .durations
        .iter()
        .map(|task| (task.a_us, task.b_us))
        .collect();
    assert_eq!(took, [(100, 200), (100, 200)]);
}

#[test]
fn records_that_are_gone_are_told() {
    let mut pair = Pair::new();
    pair.done(0, "a", &[part(Component::Parameter, "level", "1")], "one");
    pair.runs[1].push(What::TaskStarted {
        task: "a".into(),
        key: blake3::hash(b"nobody knows"),
        slot: 0,
    });
    let comparison = pair.compare();
    let gone = Gone {
        task: "a".into(),
        a: false,
        b: true,
    };
    assert_eq!(comparison.gone, [gone]);
    assert!(comparison.causes.is_empty());
}

#[test]
fn ends_gates_and_missing_tasks_are_told() {
    let mut pair = Pair::new();
    let gate = |outcome: &str, h: f64, more: bool| {
        let mut statistics = BTreeMap::from([("h".to_owned(), h), ("same".to_owned(), 1.0)]);
        if more {
            statistics.insert("new".into(), 2.0);
        }
        What::GateDecided {
            task: "gate".into(),
            outcome: outcome.into(),
            note: None,
            statistics,
        }
    };
    let parts = [part(Component::Parameter, "level", "1")];
    pair.done(0, "only a", &parts, "x");
    pair.done(1, "only b", &parts, "x");
    pair.done(0, "hung", &parts, "x");
    pair.runs[0].push(gate("GREEN", 1.0, false));
    pair.runs[1].push(gate("RED", 0.5, true));
    pair.runs[1].push(What::TaskPruned {
        task: "hung".into(),
        gate: "gate".into(),
        outcome: "RED".into(),
    });
    let failed = |message: &str| What::TaskFailed {
        task: "failing".into(),
        failure: Failure {
            kind: FailureKind::Input,
            message: message.into(),
            hint: None,
        },
        attempts: 1,
        spent: None,
    };
    pair.runs[0].push(failed("one reason"));
    pair.runs[1].push(failed("another reason"));
    let comparison = pair.compare();
    assert_eq!(comparison.only_a, ["only a"]);
    assert_eq!(comparison.only_b, ["only b"]);
    let fates: Vec<_> = comparison
        .fates
        .iter()
        .map(|other| (other.task.as_str(), other.a.name(), other.b.name()))
        .collect();
    assert_eq!(
        fates,
        [("failing", "failed", "failed"), ("hung", "done", "pruned")]
    );
    let gate = &comparison.gates[0];
    assert_eq!(gate.outcomes, ["GREEN", "RED"]);
    assert_eq!(
        gate.statistics,
        [
            ("h".to_owned(), Some(1.0), Some(0.5)),
            ("new".to_owned(), None, Some(2.0))
        ]
    );
}

#[test]
fn where_outputs_come_from_is_no_difference() {
    let mut pair = Pair::new();
    let parts = [part(Component::Parameter, "level", "1")];
    pair.done(0, "a", &parts, "x");
    pair.done(1, "a", &parts, "x");
    let Some(What::TaskFinished { how, .. }) = pair.runs[1].last_mut() else {
        unreachable!()
    };
    *how = Finish::Cached;
    let comparison = pair.compare();
    assert!(comparison.is_same());
    assert_eq!(comparison.same, 1);
    assert!(
        comparison.durations.is_empty(),
        "it ran in one of them only"
    );
}
