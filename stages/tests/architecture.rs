//! The arrows between the crates: who may depend on whom. They are drawn in `docs/architecture.md`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use toml::{Table, Value};

/// Each crate with its folder and the crates of ours that it may depend on.
const ARROWS: &[(&str, &str, &[&str])] = &[
    (
        "llmcl",
        "cli",
        &[
            "llmcl-engine",
            "llmcl-stages",
            "llmcl-codecs",
            "llmcl-container",
            "llmcl-cache",
        ],
    ),
    (
        "llmcl-engine",
        "engine",
        &["llmcl-stages-api", "llmcl-cache"],
    ),
    (
        "llmcl-stages",
        "stages",
        &["llmcl-stages-api", "llmcl-codecs"],
    ),
    ("llmcl-stages-api", "stages/api", &[]),
    ("llmcl-container", "container", &["llmcl-codecs"]),
    ("llmcl-codecs", "codecs", &[]),
    ("llmcl-cache", "cache", &[]),
];

fn manifest(folder: &str) -> Table {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let path = workspace.join(folder).join("Cargo.toml");
    fs::read_to_string(path).unwrap().parse().unwrap()
}

/// The names in every section of dependencies, those of tests and build scripts and single targets included.
fn dependencies(manifest: &Table) -> BTreeSet<String> {
    let mut tables = vec![manifest];
    let targets = manifest.get("target").and_then(Value::as_table);
    tables.extend(
        targets
            .into_iter()
            .flatten()
            .filter_map(|(_, target)| target.as_table()),
    );
    let mut names = BTreeSet::new();
    for table in tables {
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(section) = table.get(section).and_then(Value::as_table) else {
                continue;
            };
            for (name, value) in section {
                let package = value.get("package").and_then(Value::as_str);
                names.insert(package.unwrap_or(name).to_owned());
            }
        }
    }
    names
}

/// The arrows that a crate has and may not have.
fn wrong_arrows(from: &str, manifest: &Table, allowed: &[&str]) -> Vec<String> {
    dependencies(manifest)
        .into_iter()
        .filter(|to| to == "llmcl" || to.starts_with("llmcl-"))
        .filter(|to| !allowed.contains(&to.as_str()))
        .map(|to| format!("{from} -> {to}"))
        .collect()
}

#[test]
fn every_crate_is_drawn() {
    let members = manifest(".")["workspace"]["members"]
        .as_array()
        .unwrap()
        .clone();
    let members: BTreeSet<&str> = members
        .iter()
        .map(|member| member.as_str().unwrap())
        .collect();
    let drawn: BTreeSet<&str> = ARROWS.iter().map(|(_, folder, _)| *folder).collect();
    assert_eq!(members, drawn);
    for (name, folder, _) in ARROWS {
        assert_eq!(manifest(folder)["package"]["name"].as_str(), Some(*name));
    }
}

#[test]
fn arrows_go_where_they_may() {
    let wrong: Vec<String> = ARROWS
        .iter()
        .flat_map(|(name, folder, allowed)| wrong_arrows(name, &manifest(folder), allowed))
        .collect();
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn our_crates_are_found_by_their_names_alone() {
    let root = manifest(".");
    let dependencies = root["workspace"]["dependencies"].as_table().unwrap();
    let folders: BTreeMap<&str, &str> = ARROWS
        .iter()
        .map(|(name, folder, _)| (*folder, *name))
        .collect();
    for (name, value) in dependencies {
        if let Some(path) = value.get("path").and_then(Value::as_str) {
            assert_eq!(folders.get(path), Some(&name.as_str()), "{path}");
            assert_eq!(value.get("package"), None, "{name}");
        }
    }
}

#[test]
fn a_wrong_arrow_is_found_in_every_section() {
    let manifest: Table = "
        [dependencies]
        llmcl-cache.workspace = true
        [dev-dependencies]
        engine = { package = \"llmcl-engine\", path = \"../engine\" }
        [target.'cfg(unix)'.build-dependencies]
        llmcl-stages = { path = \"../stages\" }
        serde = \"1\"
    "
    .parse()
    .unwrap();
    let wrong = wrong_arrows("x", &manifest, &["llmcl-cache"]);
    assert_eq!(wrong, ["x -> llmcl-engine", "x -> llmcl-stages"]);
}
