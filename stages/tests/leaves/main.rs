//! Leaves stand apart: each method and each stage kind is code of its own, which no other uses unless it says so.
//! Fingerprints rest on this: a change in one leaf re-runs what uses that leaf and nothing else.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod checker;
mod items;
mod names;
mod room;
mod snippets;

use std::collections::BTreeSet;

use room::{CODECS, Declared, Room, STAGES, entries};

const NOTHING: [&str; 0] = [];

/// The leaves that lie in the folder.
fn files(room: &Room) -> BTreeSet<String> {
    let folder = room.leaf_folder();
    entries(&folder)
        .into_iter()
        .filter(|name| name != "mod.rs")
        .map(|name| format!("{folder}/{name}"))
        .collect()
}

/// What each stage kind registers.
fn kinds() -> Vec<(&'static str, &'static [&'static str])> {
    let registry = llmcl_stages::registry();
    registry
        .kinds
        .iter()
        .map(|kind| (kind.name(), kind.leaves()))
        .collect()
}

#[test]
fn every_kind_has_a_leaf_of_its_own_and_every_file_a_kind() {
    let mut own = BTreeSet::new();
    for (kind, leaves) in kinds() {
        let first = leaves
            .first()
            .unwrap_or_else(|| panic!("`{kind}` registers no leaf"));
        assert!(
            own.insert((*first).to_owned()),
            "`{kind}` registers the leaf of another"
        );
        for leaf in leaves {
            assert!(
                files(&STAGES).contains(*leaf) || files(&CODECS).contains(*leaf),
                "{leaf}"
            );
        }
    }
    assert_eq!(own, files(&STAGES));
}

#[test]
fn every_family_of_methods_has_a_leaf_and_every_file_a_family() {
    let own: BTreeSet<String> = llmcl_codecs::methods::FAMILIES
        .iter()
        .map(|family| family.leaf().to_owned())
        .collect();
    let mut files = files(&CODECS);
    if !cfg!(feature = "openzl") {
        files.retain(|file| !file.contains("/openzl_"));
    }
    assert_eq!(own, files);
}

#[test]
fn every_leaf_has_a_digest_in_the_program() {
    let fingerprints = llmcl_stages::registry().fingerprints;
    assert!(fingerprints.shared.is_some());
    let known: BTreeSet<String> = fingerprints.leaves.into_keys().collect();
    assert_eq!(known, &files(&STAGES) | &files(&CODECS));
}

/// The leaves that each kind has declared beside its own.
fn declared() -> Declared {
    let modules = |leaves: &'static [&'static str]| {
        let mut modules = leaves.iter().filter_map(|leaf| STAGES.leaf_named(leaf));
        Some((modules.next()?, modules.collect()))
    };
    kinds()
        .into_iter()
        .filter_map(|(_, leaves)| modules(leaves))
        .collect()
}

#[test]
fn kinds_stand_apart() {
    assert_eq!(
        checker::problems(&STAGES, &STAGES.read(), &declared()),
        NOTHING
    );
}

#[test]
fn a_kind_that_used_another_would_be_found() {
    let mut sources = STAGES.read();
    for source in &mut sources {
        match source.path.as_str() {
            "stages/src/kinds/bench.rs" => source.text.push_str("use super::verify::WORKER;\n"),
            "stages/src/weights.rs" => source.text.push_str("use crate::kinds::cast::KIND;\n"),
            "stages/src/kinds/time/machine.rs" => {
                source.text.push_str("static mut ONCE: u8 = 0;\n")
            }
            _ => {}
        }
    }
    let problems = checker::problems(&STAGES, &sources, &declared());
    let told: Vec<&str> = problems
        .iter()
        .filter_map(|problem| problem.split(": ").nth(1))
        .collect();
    assert_eq!(
        told,
        [
            "names the leaf `verify`, which it has not declared",
            "holds the mutable static `ONCE`",
            "is shared, and names the leaf `cast`",
        ]
    );
}

#[test]
fn methods_stand_apart() {
    assert_eq!(
        checker::problems(&CODECS, &CODECS.read(), &Declared::new()),
        NOTHING
    );
}
