//! Every broken experiment file has its message, held to the letter.
//!
//! `LLMCL_UPDATE_GOLDEN=1 cargo test -p llmcl --test broken` writes the messages anew; read the difference before
//! you commit it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken")
}

fn check(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_llmcl"))
        .arg("check")
        .args(arguments)
        .current_dir(folder())
        .env_remove("RUST_LOG")
        .env("NO_COLOR", "1")
        .output()
        .unwrap()
}

fn golden(name: &str, output: &Output, wrong: &mut Vec<String>) -> String {
    let message = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(!message.contains("panicked"), "{name}: {message}");
    assert_eq!(output.status.code(), Some(3), "{name}: {message}");
    assert!(output.stdout.is_empty(), "{name} prints to standard output");
    let path = folder().join(format!("{name}.stderr"));
    if std::env::var_os("LLMCL_UPDATE_GOLDEN").is_some() {
        fs::write(&path, &message).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    if expected != message {
        wrong.push(format!(
            "--- {name}: expected\n{expected}\n--- found\n{message}"
        ));
    }
    message
}

#[test]
fn every_broken_file_has_its_message() {
    let mut names: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    assert!(names.len() >= 40, "{} broken files", names.len());
    let mut wrong = Vec::new();
    let mut seen = String::new();
    for name in &names {
        let output = check(&[&format!("{name}.toml")]);
        seen += &golden(name, &output, &mut wrong);
    }
    let settings = [
        ("set_unknown_path", "axis.model.corpus=x.toml"),
        ("set_without_value", "axes.model.corpus"),
        ("set_wrong_type", "stages.fetch.each=7"),
    ];
    for (name, setting) in settings {
        let output = check(&["../good.toml", "--set", setting]);
        seen += &golden(name, &output, &mut wrong);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Every code is shown by at least one file, but for what no method or kind of this version can bring about.
    let without = BTreeSet::from(["E0130"]);
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors");
    for page in fs::read_dir(pages).unwrap() {
        let code = page
            .unwrap()
            .path()
            .file_stem()
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        let shown = seen.contains(&format!("error[{code}]"));
        assert_eq!(shown, !without.contains(code.as_str()), "{code}");
    }
}

#[test]
fn the_good_file_beside_them_is_good() {
    let output = check(&["../good.toml"]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
