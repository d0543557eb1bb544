use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::*;

/// One of each event, with all its fields.
fn examples() -> Vec<What> {
    let key = blake3::hash(b"key");
    let task = || "bench/a".to_owned();
    let failure = Failure {
        kind: FailureKind::Outside,
        message: "it failed".into(),
        hint: Some("mend it".into()),
    };
    let spent = Spent {
        slot: 1,
        ready: 1,
        after: Some(task()),
        queue_us: 1,
        prepare_us: 2,
        lock_us: 3,
        look_us: 4,
        import_us: 5,
        retries_us: 6,
        work_us: 7,
        publish_us: 8,
        record_us: 9,
        slot_us: 10,
        flush_us: 11,
    };
    let examples = vec![
        What::RunStarted {
            run: "r".into(),
            experiment: "e".into(),
            began: 1,
            planned: Counts::default(),
            jobs: 2,
        },
        What::PhaseEnded {
            phase: Phase::Plan,
            began: 1,
            took_us: 2,
        },
        What::TaskStarted {
            task: task(),
            key,
            slot: 1,
        },
        What::TaskWaiting { task: task() },
        What::TaskProgress {
            task: task(),
            done: 1,
            total: Some(2),
        },
        What::TaskRetried {
            task: task(),
            attempt: 1,
            failure: failure.clone(),
            pause_us: 3,
        },
        What::TaskFinished {
            task: task(),
            key,
            how: Finish::Executed,
            outputs: BTreeMap::from([(
                "out".to_owned(),
                OutputDigest {
                    digest: key,
                    bytes: 1,
                },
            )]),
            spent: Some(Box::new(spent.clone())),
        },
        What::GateDecided {
            task: task(),
            outcome: "RED".into(),
            note: Some("note".into()),
            statistics: BTreeMap::from([("h".to_owned(), 0.5)]),
        },
        What::TaskFailed {
            task: task(),
            failure,
            attempts: 1,
            spent: Some(Box::new(spent)),
        },
        What::TaskPruned {
            task: task(),
            gate: "gate".into(),
            outcome: "RED".into(),
        },
        What::TaskNotRun {
            task: task(),
            because: "other".into(),
        },
        What::TaskRedone {
            task: task(),
            blob: key,
            needed_by: "other".into(),
        },
        What::StoreNotice {
            message: "damage".into(),
        },
        What::LogFailed {
            message: "full".into(),
        },
        What::Interrupted,
        What::RunFinished {
            summary: Summary::default(),
        },
    ];
    for what in &examples {
        // A new event belongs into the list above; this match is where the compiler says so.
        match what {
            What::RunStarted { .. }
            | What::PhaseEnded { .. }
            | What::TaskStarted { .. }
            | What::TaskWaiting { .. }
            | What::TaskProgress { .. }
            | What::TaskRetried { .. }
            | What::TaskFinished { .. }
            | What::GateDecided { .. }
            | What::TaskFailed { .. }
            | What::TaskPruned { .. }
            | What::TaskNotRun { .. }
            | What::TaskRedone { .. }
            | What::StoreNotice { .. }
            | What::LogFailed { .. }
            | What::Interrupted
            | What::RunFinished { .. } => {}
        }
    }
    examples
}

fn event(what: What) -> Event {
    Event {
        v: VERSION,
        at: 1,
        what,
    }
}

#[test]
fn what_is_written_is_read() {
    for what in examples() {
        let event = event(what);
        let line = event.to_line();
        assert!(!line.contains('\n'));
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event);
    }
}

#[test]
fn what_is_not_there_takes_no_bytes() {
    let what = What::TaskFinished {
        task: "a".into(),
        key: blake3::hash(b"key"),
        how: Finish::Cached,
        outputs: BTreeMap::new(),
        spent: None,
    };
    assert!(!event(what).to_line().contains("spent"));
    let spent = serde_json::to_string(&Spent::default()).unwrap();
    assert_eq!(spent, r#"{"slot":0,"ready":0}"#);
}

#[test]
fn the_page_describes_every_event_and_every_field() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/events.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut missing = Vec::new();
    let mut need = |section: &str, word: &str| {
        if !section.contains(&format!("`{word}`")) {
            missing.push(word.to_owned());
        }
    };
    for what in examples() {
        let json = serde_json::to_value(&what).unwrap();
        let (name, fields) = match &json {
            Value::String(name) => (name.clone(), None),
            Value::Object(object) => {
                let (name, fields) = object.iter().next().unwrap();
                (name.clone(), fields.as_object())
            }
            _ => unreachable!("an event is a name or an object"),
        };
        let heading = format!("\n### `{name}`\n");
        let Some((_, section)) = page.split_once(&heading) else {
            panic!("docs/events.md has no section `{name}`");
        };
        let section = section.split("\n#").next().unwrap();
        for field in fields.into_iter().flat_map(|fields| fields.keys()) {
            need(section, field);
        }
    }
    let objects = [
        serde_json::to_value(Summary::default()).unwrap(),
        serde_json::to_value(Counts::default()).unwrap(),
    ];
    for object in &objects {
        object
            .as_object()
            .unwrap()
            .keys()
            .for_each(|field| need(&page, field));
    }
    for (part, _) in Spent::default().parts() {
        need(&page, &format!("{part}_us"));
    }
    for word in ["slot", "ready", "after", "queue_us", "publish_us"] {
        need(&page, word);
    }
    for phase in Phase::ALL {
        need(&page, phase.name());
        let json = serde_json::to_value(phase).unwrap();
        assert_eq!(json, phase.name());
    }
    for how in [
        Finish::Executed,
        Finish::Cached,
        Finish::Taken,
        Finish::Shared,
    ] {
        need(&page, serde_json::to_value(how).unwrap().as_str().unwrap());
    }
    for kind in [
        FailureKind::Input,
        FailureKind::Passing,
        FailureKind::Outside,
        FailureKind::Mismatch,
        FailureKind::Store,
        FailureKind::Cancelled,
        FailureKind::TimedOut,
        FailureKind::Internal,
    ] {
        need(&page, serde_json::to_value(kind).unwrap().as_str().unwrap());
    }
    assert!(missing.is_empty(), "docs/events.md lacks {missing:?}");
    assert!(page.contains(&format!("The version is {VERSION}.")));
}
