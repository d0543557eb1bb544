//! The digests that the build script takes: what changes them, and what does not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

#[path = "../build/digests.rs"]
mod digests;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use digests::{Digests, Failure, take, watched};

const ROOT: &str = r#"
[workspace.dependencies]
llmcl-codecs = { path = "codecs" }
llmcl-stages-api = { path = "stages/api" }
outer = { version = "=1.0.0", features = ["fast"] }
used_in_tests = "=1.0.0"
elsewhere = "=1.0.0"
"#;

const LOCK: &str = r#"
version = 4
[[package]]
name = "llmcl-codecs"
version = "0.1.0"
dependencies = ["outer", "used_in_tests 1.0.0"]
[[package]]
name = "llmcl-stages"
version = "0.1.0"
dependencies = ["build_tool", "llmcl-codecs", "llmcl-stages-api", "renamed"]
[[package]]
name = "llmcl-stages-api"
version = "0.1.0"
[[package]]
name = "outer"
version = "1.0.0"
source = "registry"
checksum = "aa"
dependencies = ["inner 2.0.0"]
[[package]]
name = "inner"
version = "1.0.0"
source = "registry"
checksum = "b1"
[[package]]
name = "inner"
version = "2.0.0"
source = "registry"
checksum = "b2"
[[package]]
name = "renamed"
version = "3.0.0"
source = "registry"
checksum = "cc"
[[package]]
name = "build_tool"
version = "1.0.0"
source = "registry"
checksum = "dd"
[[package]]
name = "used_in_tests"
version = "1.0.0"
source = "registry"
checksum = "ee"
dependencies = ["inner 1.0.0"]
[[package]]
name = "elsewhere"
version = "1.0.0"
source = "registry"
checksum = "ff"
"#;

/// A workspace of a few files; `change` says what is different in a file.
fn digests_with(change: &dyn Fn(&str, &str) -> String) -> Result<Digests, Failure> {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        ("Cargo.toml", ROOT),
        ("Cargo.lock", LOCK),
        (
            "codecs/Cargo.toml",
            "[dependencies]\nouter.workspace = true\n[dev-dependencies]\nused_in_tests.workspace = true\n",
        ),
        ("codecs/src/lib.rs", "mod methods;"),
        ("codecs/src/methods/mod.rs", "mod zstd;"),
        ("codecs/src/methods/zstd.rs", "const LEVEL: i32 = 3;"),
        (
            "stages/Cargo.toml",
            "[dependencies]\nllmcl-codecs.workspace = true\nllmcl-stages-api.workspace = true\n\
             [target.'cfg(unix)'.dependencies]\nother = { version = \"3\", package = \"renamed\" }\n\
             [build-dependencies]\nbuild_tool = \"1\"\n",
        ),
        ("stages/src/lib.rs", "mod kinds;"),
        ("stages/src/kinds/mod.rs", "mod fetch;"),
        ("stages/src/kinds/fetch/mod.rs", "mod http;"),
        ("stages/src/kinds/fetch/http.rs", "fn get() {}"),
        ("stages/api/Cargo.toml", "[dependencies]\n"),
        ("stages/api/src/lib.rs", ""),
        ("engine/src/lib.rs", ""),
        ("stages/src/kinds/added.rs", ""),
    ];
    for (path, content) in files {
        let content = change(path, content);
        // A file that is empty and nowhere expected is not there.
        if content.is_empty() && path.ends_with("added.rs") {
            continue;
        }
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    take(folder.path(), &[])
}

fn digests() -> Digests {
    digests_with(&|_, content| content.to_owned()).unwrap()
}

/// What differs when `to` stands for `from` in the file: `shared`, and names of leaves.
fn changed(file: &str, from: &str, to: &str) -> BTreeSet<String> {
    let before = digests();
    let after = digests_with(&|path, content| {
        if path == file {
            assert!(content.contains(from), "{file} does not contain {from}");
            content.replacen(from, to, 1)
        } else {
            content.to_owned()
        }
    })
    .unwrap();
    let mut changed: BTreeSet<String> = before
        .leaves
        .keys()
        .chain(after.leaves.keys())
        .filter(|leaf| before.leaves.get(*leaf) != after.leaves.get(*leaf))
        .cloned()
        .collect();
    if before.shared != after.shared {
        changed.insert("shared".to_owned());
    }
    changed
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn leaves_are_files_and_folders_of_the_two_rooms() {
    let leaves: Vec<String> = digests().leaves.into_keys().collect();
    assert_eq!(
        leaves,
        ["codecs/src/methods/zstd.rs", "stages/src/kinds/fetch"]
    );
}

#[test]
fn a_leaf_changes_itself_alone() {
    let zstd = "codecs/src/methods/zstd.rs";
    assert_eq!(changed(zstd, "3", "4"), set(&[zstd]));
    let fetch = set(&["stages/src/kinds/fetch"]);
    assert_eq!(
        changed("stages/src/kinds/fetch/http.rs", "get", "head"),
        fetch
    );
    let added = set(&["stages/src/kinds/added.rs"]);
    assert_eq!(changed("stages/src/kinds/added.rs", "", "new"), added);
}

#[test]
fn registrations_and_other_rooms_change_nothing() {
    for file in [
        "codecs/src/methods/mod.rs",
        "stages/src/kinds/mod.rs",
        "engine/src/lib.rs",
    ] {
        assert_eq!(changed(file, "", "// more\n"), set(&[]), "{file}");
    }
}

#[test]
fn shared_code_and_what_it_is_built_with_change_what_is_shared() {
    let shared = set(&["shared"]);
    assert_eq!(changed("codecs/src/lib.rs", "mod", "pub mod"), shared);
    assert_eq!(changed("stages/api/src/lib.rs", "", "//"), shared);
    assert_eq!(
        changed("Cargo.toml", "fast", "small"),
        shared,
        "features asked for"
    );
    assert_eq!(
        changed("Cargo.lock", "\"aa\"", "\"a2\""),
        shared,
        "a direct dependency"
    );
    assert_eq!(
        changed("Cargo.lock", "\"b2\"", "\"b3\""),
        shared,
        "one of a dependency"
    );
    assert_eq!(
        changed("Cargo.lock", "\"cc\"", "\"c2\""),
        shared,
        "one of a target, renamed"
    );
    let feature = changed(
        "stages/Cargo.toml",
        "[dependencies]",
        "[features]\na = []\n[dependencies]",
    );
    assert_eq!(feature, shared);
}

#[test]
fn tests_build_scripts_and_other_crates_dependencies_change_nothing() {
    for (from, to) in [
        ("\"ee\"", "\"e2\""),
        ("\"dd\"", "\"d2\""),
        ("\"ff\"", "\"f2\""),
        ("\"b1\"", "\"b9\""),
    ] {
        assert_eq!(changed("Cargo.lock", from, to), set(&[]), "{from}");
    }
    assert_eq!(
        changed("Cargo.toml", "elsewhere = \"=1.0.0\"", ""),
        set(&[])
    );
    assert_eq!(
        changed("Cargo.toml", "used_in_tests = \"=1.0.0\"", ""),
        set(&[])
    );
}

#[test]
fn features_count() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let plain = take(folder, &[]).unwrap();
    let featured = take(folder, &["FAST".to_owned()]).unwrap();
    assert_ne!(plain.shared, featured.shared);
    assert_eq!(plain.leaves, featured.leaves);
}

#[test]
fn features_of_the_codecs_are_features_here() {
    let method = llmcl_codecs::method::family_of("openzl_le_u16");
    assert_eq!(method.is_some(), cfg!(feature = "openzl"));
}

#[test]
fn a_lock_that_lacks_a_dependency_is_an_error() {
    let result = digests_with(&|path, content| match path {
        "Cargo.lock" => content.replace("dependencies = [\"outer\", ", "dependencies = ["),
        _ => content.to_owned(),
    });
    assert!(matches!(result, Err(Failure::Unresolved(name)) if name == "outer"));
}

#[test]
fn the_program_holds_the_digests_of_this_workspace() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let features = cfg!(feature = "openzl").then(|| "OPENZL".to_owned());
    let taken = take(workspace, features.as_slice()).unwrap();
    let built = llmcl_stages::fingerprints::of_build();
    assert_eq!(built.shared, Some(taken.shared));
    assert_eq!(built.leaves, taken.leaves);
    for path in watched() {
        assert!(workspace.join(&path).exists(), "{path}");
    }
}
