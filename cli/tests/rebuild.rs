//! What a change of code runs again: the workspace is copied, changed, built and run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{EXPERIMENT, Space, names, repository};

/// A copy of the workspace's sources that is built on its own.
struct Copy {
    folder: PathBuf,
}

impl Copy {
    fn make() -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("rebuild");
        let source = folder.join("source");
        if source.exists() {
            fs::remove_dir_all(&source).unwrap();
        }
        for room in [
            "cli",
            "engine",
            "cache",
            "stages",
            "codecs",
            "container",
            "docs",
        ] {
            copy_folder(&repository().join(room), &source.join(room));
        }
        for file in ["Cargo.toml", "Cargo.lock"] {
            fs::copy(repository().join(file), source.join(file)).unwrap();
        }
        Self { folder }
    }

    /// Replaces a text that must be there once.
    fn edit(&self, path: &str, from: &str, to: &str) {
        let path = self.folder.join("source").join(path);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(
            text.matches(from).count(),
            1,
            "{from} in {}",
            path.display()
        );
        fs::write(&path, text.replace(from, to)).unwrap();
    }

    /// Does what `docs/new-method.md` says: its first piece of code is a file, its second a line of `mod.rs`.
    fn add_the_method_of_the_guide(&self) {
        let guide = fs::read_to_string(repository().join("docs/new-method.md")).unwrap();
        let code: Vec<_> = guide
            .split("```rust\n")
            .skip(1)
            .map(|rest| rest.split("```").next().unwrap())
            .collect();
        let [file, line] = code.as_slice() else {
            panic!("{} pieces of code", code.len());
        };
        assert_eq!(line.lines().count(), 1);
        let module = line.trim().strip_prefix("mod ").unwrap();
        let name = module.strip_suffix(';').unwrap();
        let folder = self.folder.join("source/codecs/src/methods");
        fs::write(folder.join(name).with_extension("rs"), file).unwrap();
        self.edit(
            "codecs/src/methods/mod.rs",
            "mod exponent_static;",
            &format!("{line}mod exponent_static;"),
        );
    }

    fn build(&self) -> PathBuf {
        let output = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--locked", "--package", "llmcl"])
            // What the features add takes long to build, and is none of what is changed here.
            .arg("--no-default-features")
            // What is built is run once on little data: building is what takes the time.
            .args(["--config", "profile.dev.debug=0"])
            .args(["--config", "profile.dev.package.'*'.opt-level=0"])
            .arg("--target-dir")
            .arg(self.folder.join("target"))
            .current_dir(self.folder.join("source"))
            .env_remove("RUSTFLAGS")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        self.folder.join("target/debug/llmcl")
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        if name == "target" {
            continue;
        }
        if path.is_dir() {
            copy_folder(&path, &to.join(name));
        } else {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

#[test]
fn a_change_of_code_runs_what_runs_that_code() {
    let copy = Copy::make();
    let mut space = Space::with_binary(&copy.build());
    space.write("small.toml", EXPERIMENT);
    let first = space.run_well("small.toml", &[]);
    assert_eq!(first.executed.len(), 16);

    // A constant in one method's leaf: that method's tasks and no other's.
    copy.edit(
        "codecs/src/methods/exponent_static.rs",
        "const CHUNK_WEIGHTS: u64 = 1 << 19;",
        "const CHUNK_WEIGHTS: u64 = 1 << 17;",
    );
    // The engine and the cli, in the same build: nothing of their own.
    copy.edit(
        "engine/src/lib.rs",
        "//! Experiment file to plan",
        "//! Changed: experiment file to plan",
    );
    copy.edit(
        "cli/src/main.rs",
        "//! The llmcl binary",
        "//! Changed: the llmcl binary",
    );
    // The method of the guide: its file, and the line that registers it. No other task has anything to do with it.
    copy.add_the_method_of_the_guide();
    space.set_binary(&copy.build());
    let run = space.run_well("small.toml", &[]);
    let method = names(&[
        "bench/minilm_attention/exponent_static",
        "bench/whisper_attention/exponent_static",
    ]);
    assert!(run.executed.is_superset(&method), "{:?}", run.executed);
    let gathering = names(&["methods", "ours", "verdict"]);
    let others: Vec<_> = run.executed.difference(&method).collect();
    assert!(
        others.iter().all(|task| gathering.contains(*task)),
        "{others:?}"
    );
    let run = space.run_well("small.toml", &["--set", "axes.method.0.name=delta_zstd_3"]);
    let new = names(&[
        "bench/minilm_attention/delta_zstd_3",
        "bench/whisper_attention/delta_zstd_3",
    ]);
    assert!(run.executed.is_superset(&new), "{:?}", run.executed);
    let others: Vec<_> = run.executed.difference(&new).collect();
    assert!(
        others.iter().all(|task| gathering.contains(*task)),
        "{others:?}"
    );

    // A comment in a kind's leaf: its tasks run, and as they put out the same, nothing after them.
    let atlas = fs::read_to_string(repository().join("stages/src/kinds/atlas/mod.rs")).unwrap();
    let first_line = atlas.lines().next().unwrap();
    copy.edit(
        "stages/src/kinds/atlas/mod.rs",
        first_line,
        &format!("{first_line} Changed."),
    );
    space.set_binary(&copy.build());
    let run = space.run_well("small.toml", &[]);
    assert_eq!(
        run.executed,
        names(&["atlas/minilm_attention", "atlas/whisper_attention"])
    );

    // The engine alone: nothing.
    copy.edit(
        "engine/src/run/mod.rs",
        "//! Running a plan",
        "//! Changed: running a plan",
    );
    space.set_binary(&copy.build());
    let run = space.run_well("small.toml", &[]);
    assert_eq!(run.executed, names(&[]));
}
