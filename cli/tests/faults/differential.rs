//! Random experiments give the same keys and outputs whatever the jobs, the path, the locale, the time zone, the
//! umask, the home folder, and the build.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::dice::Dice;
use crate::engine::{Engine, Finished};
use crate::ledger::Tally;
use crate::support::{EXPERIMENT, Space};

/// What a stage of a random experiment puts out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Puts {
    File,
    Rows,
    Table,
    Outcome,
}

/// A random experiment of outside programs, tables and gates, joined, gathered and pruned.
fn random_experiment(dice: &mut Dice) -> String {
    let mut text = "[experiment]\nname = \"random\"\n[axes]\nn = [1, 2, 3]\n".to_owned();
    let mut stages: Vec<(Puts, bool)> = Vec::new();
    for number in 0..5 + dice.below(4) {
        let of = |puts: Puts| -> Vec<usize> {
            (0..stages.len())
                .filter(|&at| stages[at].0 == puts)
                .collect()
        };
        let (files, rows, tables, gates) = (
            of(Puts::File),
            of(Puts::Rows),
            of(Puts::Table),
            of(Puts::Outcome),
        );
        let puts = match dice.below(10) {
            0..4 => Puts::File,
            4 | 5 => Puts::Rows,
            6 | 7 if !rows.is_empty() => Puts::Table,
            8 | 9 if !tables.is_empty() => Puts::Outcome,
            _ => Puts::File,
        };
        let command = matches!(puts, Puts::File | Puts::Rows);
        let mut each = command && dice.chance(50);
        let mut inputs: Vec<String> = Vec::new();
        let sources = match puts {
            Puts::File | Puts::Rows => &files,
            Puts::Table => &rows,
            Puts::Outcome => &tables,
        };
        for &from in sources {
            // Kinds that compute with tables need one; of programs any number of inputs will do.
            if dice.chance(60) || (!command && inputs.is_empty()) {
                inputs.push(format!("i{from} = \"s{from}\""));
                if !command {
                    break;
                }
            }
        }
        if puts == Puts::Outcome {
            each = false;
        }
        write!(text, "\n[stages.s{number}]\n").unwrap();
        if each {
            text += "each = [\"n\"]\n";
        }
        if !gates.is_empty() && dice.chance(30) {
            writeln!(text, "when = \"s{} == 'GREEN'\"", dice.pick(&gates)).unwrap();
        }
        let list = format!("inputs = {{ {} }}\n", inputs.join(", "));
        // Of the inputs alone: whether the output is there already is a matter of luck.
        let sums = "find . -type f ! -name out ! -name rows.jsonl | sort | xargs cksum";
        let word = dice.below(3);
        match puts {
            Puts::File => {
                write!(
                    text,
                    "kind = \"command\"\n{list}argv = [\"sh\", \"-c\", \"(echo {word}; {sums}) > out\"]\n\
                     outputs = {{ out = {{ path = \"out\" }} }}\n"
                )
                .unwrap();
            }
            Puts::Rows => {
                write!(
                    text,
                    "kind = \"command\"\n{list}argv = [\"sh\", \"-c\", '''{sums} | \
                     awk '{{ print \"{{\\\"sum\\\": \" $1 \", \\\"share\\\": \" $1 / 7 \"}}\" }}' > rows.jsonl; \
                     echo '{{\"sum\": {word}, \"share\": 0.1}}' >> rows.jsonl''']\n\
                     outputs = {{ rows = {{ path = \"rows.jsonl\", type = \"table\", \
                     columns = {{ sum = \"int\", share = \"float\" }} }} }}\n"
                )
                .unwrap();
            }
            Puts::Table => {
                write!(
                    text,
                    "kind = \"table\"\n{list}aggregate = {{ sum = \"sum(sum)\", n = \"count()\", \
                     mean = \"mean(sum)\" }}\n"
                )
                .unwrap();
            }
            Puts::Outcome => {
                write!(
                    text,
                    "kind = \"gate\"\n{list}statistics = {{ mean = \"max(mean)\" }}\n\
                     outcomes = [{{ name = \"GREEN\", if = \"mean > {word}.5\" }}, {{ name = \"RED\" }}]\n"
                )
                .unwrap();
            }
        }
        stages.push((puts, each));
    }
    text
}

/// Under what an experiment runs, none of which may matter.
struct Setting {
    jobs: &'static str,
    folder: &'static str,
    umask: &'static str,
    environment: &'static [(&'static str, &'static str)],
    binary: Option<PathBuf>,
}

const SETTINGS: [Setting; 3] = [
    Setting {
        jobs: "1",
        folder: "here",
        umask: "022",
        environment: &[],
        binary: None,
    },
    Setting {
        jobs: "2",
        folder: "a path/with blanks/ünd/deep",
        umask: "077",
        environment: &[
            ("LANG", "de_DE.UTF-8"),
            ("LC_ALL", "de_DE.UTF-8"),
            ("TZ", "Asia/Kathmandu"),
            ("HOME", "/nowhere"),
        ],
        binary: None,
    },
    Setting {
        jobs: "8",
        folder: "there",
        umask: "000",
        environment: &[("LANG", "C"), ("LC_ALL", "POSIX"), ("TZ", "UTC+12")],
        binary: None,
    },
];

/// The key and the outputs of each task, by an undisturbed run in a space of its own.
fn results(text: &str, fixtures: bool, setting: &Setting) -> BTreeMap<String, Finished> {
    let space = if fixtures {
        Space::new()
    } else {
        Space::bare()
    };
    let file = format!("{}/random.toml", setting.folder);
    let up = "../".repeat(setting.folder.split('/').count());
    space.write(&file, &text.replace("fixtures/", &format!("{up}fixtures/")));
    let mut engine = space.command(&["run", &file, "--json", "-j", setting.jobs]);
    engine.envs(setting.environment.iter().copied());
    let program = match &setting.binary {
        Some(binary) => binary.as_os_str(),
        None => engine.get_program(),
    };
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            &format!("umask {}; exec \"$0\" \"$@\"", setting.umask),
        ])
        .arg(program)
        .args(engine.get_args())
        .current_dir(space.path(""));
    for (name, value) in engine.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let told = Engine::start(&command, space.path("told")).finish();
    assert_eq!(told.code, Some(0), "{told:#?}\n{text}");
    told.finished
        .into_iter()
        .map(|mut task| {
            // Two tasks with the same key may take turns in doing the work.
            task.executed = false;
            (task.task.clone(), task)
        })
        .collect()
}

fn hold(text: &str, fixtures: bool, settings: &[Setting]) -> usize {
    let expected = results(text, fixtures, &settings[0]);
    assert!(!expected.is_empty());
    for setting in &settings[1..] {
        let found = results(text, fixtures, setting);
        let other: Vec<_> = found
            .iter()
            .filter(|(name, task)| expected.get(*name) != Some(task))
            .collect();
        assert!(
            other.is_empty() && found.len() == expected.len(),
            "-j{} in {}: {other:#?}\n{text}",
            setting.jobs,
            setting.folder
        );
    }
    expected.len()
}

/// A random experiment under all settings; in the long mode with the release build, too.
pub(crate) fn round(dice: &mut Dice, tally: &mut Tally) {
    hold(&random_experiment(dice), false, &SETTINGS);
    tally.runs += SETTINGS.len() as u64;
}

#[test]
fn random_experiments_give_the_same_everywhere() {
    let mut dice = Dice::new("differential");
    let tasks: usize = (0..4)
        .map(|_| hold(&random_experiment(&mut dice), false, &SETTINGS))
        .sum();
    assert!(tasks > 12, "{tasks} tasks are too few to mean much");
}

#[test]
fn kinds_that_compute_give_the_same_everywhere() {
    hold(EXPERIMENT, true, &SETTINGS);
}

/// The release build gives what the debug build gives.
pub(crate) fn builds(release: &Path, dice: &mut Dice) {
    assert!(
        fs::exists(release).unwrap(),
        "{} is not built",
        release.display()
    );
    let [here, there, _] = SETTINGS;
    let there = Setting {
        binary: Some(release.to_owned()),
        ..there
    };
    let settings = [here, there];
    hold(EXPERIMENT, true, &settings);
    for _ in 0..10 {
        hold(&random_experiment(dice), false, &settings);
    }
}
