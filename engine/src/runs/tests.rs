use std::fs;

use super::*;
use crate::plan::Counts;

fn line(at: u64, what: What) -> String {
    let v = VERSION;
    Event { v, at, what }.to_line() + "\n"
}

fn started(at: u64) -> String {
    line(
        at,
        What::RunStarted {
            run: "r".into(),
            experiment: "e".into(),
            began: at - 5,
            planned: Counts::default(),
            jobs: 2,
        },
    )
}

fn pruned(at: u64, task: &str) -> String {
    let (task, gate, outcome) = (task.to_owned(), "gate".to_owned(), "RED".to_owned());
    line(
        at,
        What::TaskPruned {
            task,
            gate,
            outcome,
        },
    )
}

fn finished(at: u64, summary: Summary) -> String {
    line(at, What::RunFinished { summary })
}

/// What a text reads as: `.` for an event, else what is wrong.
fn read(text: &[u8]) -> Vec<String> {
    Events::of(text)
        .map(|event| event.map_or_else(|damage| damage.to_string(), |_| ".".to_owned()))
        .collect()
}

#[test]
fn damage_is_told_in_its_place_and_the_rest_is_read() {
    let good = pruned(1, "a");
    let old = good.replace(&format!("{{\"v\":{VERSION},"), "{\"v\":1,");
    let future = "{\"v\":99,\"when\":\"later\"}\n";
    let unknown = good.replace("task_pruned", "task_dreamt");
    let bytes = [
        good.as_bytes(),
        b"\n",
        old.as_bytes(),
        future.as_bytes(),
        b"\0\0\0\0\n",
        b"\xff\xfe\n",
        unknown.as_bytes(),
        good.as_bytes(),
        &good.as_bytes()[..20],
    ]
    .concat();
    let told = read(&bytes);
    assert_eq!(told.len(), 9, "{told:#?}");
    assert_eq!([&told[0], &told[7]], [".", "."]);
    assert!(told[1].starts_with("line 2 is no event"), "{}", told[1]);
    assert!(
        told[2].starts_with("line 3 is of version 1 "),
        "{}",
        told[2]
    );
    assert!(
        told[3].starts_with("line 4 is of version 99 "),
        "{}",
        told[3]
    );
    assert!(told[4].starts_with("line 5 is no event"), "{}", told[4]);
    assert!(told[5].starts_with("line 6 is no event"), "{}", told[5]);
    assert!(told[6].contains("task_dreamt"), "{}", told[6]);
    assert_eq!(told[8], "line 9 was not completely written");
}

#[test]
fn every_truncation_and_flip_is_read_without_harm() {
    let text = [
        started(10),
        pruned(11, "a"),
        finished(12, Summary::default()),
    ]
    .concat();
    for length in 0..text.len() {
        let lines = read(&text.as_bytes()[..length]);
        let whole = text[..length].matches('\n').count();
        assert_eq!(lines.iter().filter(|line| *line == ".").count(), whole);
    }
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 0x21;
        assert!(read(&bytes).len() <= 4);
    }
}

/// Gives out lines without end and counts what is asked for.
struct Endless {
    line: Vec<u8>,
    left: u64,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut given = 0;
        for (to, from) in buffer.iter_mut().zip(self.line.iter().cycle()) {
            if self.left == 0 {
                break;
            }
            (*to, self.left) = (*from, self.left - 1);
            given += 1;
        }
        Ok(given)
    }
}

#[test]
fn a_line_without_end_is_damage_and_takes_no_more_than_the_bound() {
    let left = 5 * MAX_LINE_BYTES as u64;
    let mut events = Events::of(Endless {
        line: b"x".to_vec(),
        left,
    });
    let kind = DamageKind::TooLong;
    assert_eq!(events.next(), Some(Err(Damage { line: 1, kind })));
    assert!(events.buffer.capacity() <= 4 * MAX_LINE_BYTES);
    assert_eq!(events.next(), None);
    // What follows such a line is read.
    let mut text = vec![b'x'; MAX_LINE_BYTES + 1];
    text.extend_from_slice(b"\n");
    text.extend_from_slice(pruned(1, "a").as_bytes());
    let told = read(&text);
    assert_eq!(told.len(), 2);
    assert_eq!(told[1], ".");
    // A line of just that length is no damage for its length.
    let mut text = vec![b'x'; MAX_LINE_BYTES];
    text.push(b'\n');
    assert!(read(&text)[0].contains("no event"));
}

struct Failing;

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::Error::other("the disk is broken"))
    }
}

#[test]
fn a_file_that_cannot_be_read_is_told_once() {
    let told: Vec<_> = Events::of(pruned(1, "a").as_bytes().chain(Failing)).collect();
    assert_eq!(told.len(), 2);
    let damage = told[1].as_ref().unwrap_err().to_string();
    assert_eq!(damage, "line 2 could not be read: the disk is broken");
}

fn runs_of(logs: &[(&str, String)]) -> (tempfile::TempDir, Runs) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("runs")).unwrap();
    for (name, text) in logs {
        fs::write(folder.path().join(format!("runs/{name}.jsonl")), text).unwrap();
    }
    let runs = Runs::of(&Store::open(folder.path()).unwrap()).unwrap();
    (folder, runs)
}

#[test]
fn a_run_is_found_by_name_by_beginning_and_counted_from_the_last() {
    let names = ["2026-a-1", "2026-a-12", "2027-b-1"];
    let (_folder, runs) = runs_of(&names.map(|name| (name, String::new())));
    let find = |which: &str| runs.find(which).map(RecordedRun::name);
    assert_eq!(find("last"), Ok("2027-b-1"));
    assert_eq!(find("last-2"), Ok("2026-a-1"));
    assert_eq!(find("2027"), Ok("2027-b-1"));
    assert_eq!(
        find("2026-a-1"),
        Ok("2026-a-1"),
        "a whole name is no beginning"
    );
    for which in [
        "last-3",
        "2028",
        "",
        "last-",
        "last--1",
        "last-99999999999999999999",
    ] {
        assert!(
            matches!(find(which), Err(NoSuchRun::None { runs: 3, .. })),
            "{which}"
        );
    }
    let several = find("2026").unwrap_err();
    assert_eq!(
        several.to_string(),
        "`2026` may be 2 runs: 2026-a-12, 2026-a-1"
    );
}

#[test]
fn an_outline_says_how_a_run_ended() {
    let summary = |failed, interrupted| Summary {
        executed: 3,
        failed,
        interrupted,
        ..Summary::default()
    };
    let (_folder, runs) = runs_of(&[
        ("a", started(10) + &finished(25, summary(0, false))),
        ("b", started(10) + &finished(25, summary(1, false))),
        ("c", started(10) + &finished(25, summary(1, true))),
        ("d", started(10) + &pruned(20, "x") + &pruned(21, "y")),
        ("e", started(10) + &pruned(20, "x") + "{\"v\":2,\"at\""),
        (
            "f",
            "rubbish\n".to_owned() + &finished(25, summary(0, false)),
        ),
        ("g", String::new()),
        (
            "h",
            started(10) + &finished(25, summary(0, false)) + "half a line",
        ),
    ]);
    let outlines: Vec<_> = runs.iter().map(|run| run.outline().unwrap()).collect();
    let said: Vec<_> = outlines
        .iter()
        .rev()
        .map(|one| {
            (
                one.name.as_str(),
                one.ending,
                one.took_us,
                one.summary.pruned,
                one.summary.executed,
            )
        })
        .collect();
    assert_eq!(
        said,
        [
            ("a", Ending::Complete, Some(20), 0, 3),
            ("b", Ending::Failed, Some(20), 0, 3),
            ("c", Ending::Interrupted, Some(20), 0, 3),
            ("d", Ending::Silent, Some(16), 2, 0),
            ("e", Ending::Silent, Some(15), 1, 0),
            ("f", Ending::Complete, None, 0, 3),
            ("g", Ending::Silent, None, 0, 0),
            ("h", Ending::Complete, Some(20), 0, 3),
        ]
    );
}

#[test]
fn a_run_whose_log_somebody_writes_is_in_progress() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let mut log = store.run_log("a").unwrap();
    log.append(started(10).trim_end()).unwrap();
    let runs = Runs::of(&store).unwrap();
    let ending = || runs.find("a").unwrap().outline().unwrap().ending;
    assert_eq!(ending(), Ending::Running);
    drop(log);
    assert_eq!(ending(), Ending::Silent);
}
