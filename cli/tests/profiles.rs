//! Profiles from end to end: learnt by the real binary from real weights, used, and refused where train meets test.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod support;

use std::fs;

use support::{Run, Space, names};

/// Three models of the same bytes, of which two are of one family.
const CORPUS: &str = r#"
[corpus]
name = "same"
"#;

const EXPERIMENT: &str = r#"
[experiment]
name = "profiles"

[axes]
model = { corpus = "same.toml" }

[stages.fetch]
kind  = "fetch"
each  = ["model"]
model = { axis = "model" }

[stages.tensors]
kind    = "select"
each    = ["model"]
inputs  = { file = "fetch" }
tensors = "dtype == 'BF16'"

[stages.profile]
kind   = "train_profile"
method = "exponent_mantissa_profiled"
inputs = { tensors = { from = "tensors", where = "TRAIN" } }

[stages.bench]
kind   = "bench"
each   = ["model"]
where  = "model.role == 'test'"
method = "METHOD"
inputs = { tensors = "tensors", profile = "profile" }

[stages.verify]
kind   = "verify"
each   = ["model"]
where  = "model.role == 'test'"
method = "METHOD"
inputs = { encoded = { from = "bench", port = "encoded" }, tensors = "tensors", profile = "profile" }
"#;

const METHOD: &str = "exponent_mantissa_profiled";

/// A space in which the profile is trained on the models for which `train` holds, and used by `method`.
fn space(train: &str, method: &str) -> Space {
    let space = Space::new();
    write(&space, train, method);
    let manifest = fs::read_to_string(space.path("fixtures/manifest.toml")).unwrap();
    let start = manifest.find("[[model.file]]").unwrap();
    let end = start + manifest[start + 1..].find("[[model]]").unwrap();
    let file = manifest[start..=end].replace("path   = \"", "path   = \"fixtures/");
    let mut corpus = CORPUS.to_owned();
    for (name, family, role) in [
        ("first", "one", "train"),
        ("second", "two", "test"),
        ("third", "two", "validation"),
    ] {
        corpus += &format!(
            "[[model]]\nname = \"{name}\"\nfamily = \"{family}\"\nrole = \"{role}\"\n{file}\n"
        );
    }
    fs::write(space.path("same.toml"), corpus).unwrap();
    space
}

fn write(space: &Space, train: &str, method: &str) {
    let text = EXPERIMENT.replace("TRAIN", train).replace("METHOD", method);
    fs::write(space.path("profiles.toml"), text).unwrap();
}

fn run(space: &Space) -> Run {
    space.run("profiles.toml", &[])
}

/// The run, and the plan too, is refused for a leak that is told by this name.
fn refused(space: &Space, what: &str) {
    let run = run(space);
    assert_eq!(run.code, Some(3), "{}", run.messages);
    assert!(run.messages.contains("E0119"), "{}", run.messages);
    assert!(run.messages.contains(what), "{}", run.messages);
    assert!(run.executed.is_empty());
}

#[test]
fn a_profile_is_learnt_charged_used_and_not_learnt_again() {
    let space = space("model.role == 'train'", METHOD);
    let first = run(&space);
    assert_eq!(first.code, Some(0), "{}", first.messages);
    assert!(first.executed.contains("profile"));
    assert!(first.executed.contains("verify/second"));
    let shown = space.call(&["show", "profiles.toml", "profile", "--output", "shown"]);
    assert!(shown.status.success(), "{shown:?}");
    let origin = fs::read(space.path("shown/profile.json")).unwrap();
    let origin: serde_json::Value = serde_json::from_slice(&origin).unwrap();
    let on = &origin["trained_on"];
    assert_eq!(on.as_array().unwrap().len(), 1);
    assert_eq!(on[0]["families"], serde_json::json!(["one"]));
    assert_eq!(on[0]["labels"]["model"], "first");
    let profile = fs::metadata(space.path("shown/profile.bin")).unwrap().len();
    let rows = space.call(&["show", "profiles.toml", "bench/second"]);
    let rows = String::from_utf8(rows.stdout).unwrap();
    assert!(rows.lines().count() > 1, "{rows}");
    for row in rows.lines() {
        let row: serde_json::Value = serde_json::from_str(row).unwrap();
        assert_eq!(row["bytes_profile"], profile, "{row}");
        let of = |column: &str| row[column].as_u64().unwrap();
        let parts = of("bytes_payload") + of("bytes_tables") + of("bytes_container");
        assert_eq!(of("bytes_out"), parts + profile, "{row}");
    }
    let again = run(&space);
    assert_eq!(again.executed, names(&[]));
}

/// A profile of one method is nothing to another, even where it could read it.
#[test]
fn a_profile_is_used_with_the_method_that_learnt_it_alone() {
    let space = space("model.role == 'train'", "zstd_3");
    let run = run(&space);
    assert_eq!(run.failed, names(&["bench/second"]), "{}", run.messages);
}

#[test]
fn a_profile_that_has_seen_the_model_or_its_family_is_refused_also_when_all_is_cached() {
    let space = space("model.role == 'train'", METHOD);
    assert_eq!(run(&space).code, Some(0));
    // The models have the same bytes, so that every profile here has the bytes of the one that is there already.
    write(&space, "model.role == 'test'", METHOD);
    refused(&space, "the model 'second'");
    write(&space, "model.role == 'validation'", METHOD);
    refused(
        &space,
        "the model 'third', of the family 'two' as is 'second'",
    );
    write(&space, "model.role != 'nobody'", METHOD);
    refused(&space, "the model 'second'");
    write(&space, "model.role == 'train'", METHOD);
    assert_eq!(run(&space).executed, names(&[]));
}
