//! The rooms whose sources are in fingerprints, and the files in them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A crate with a folder of leaves.
#[derive(Clone, Copy)]
pub(crate) struct Room {
    /// The crate, as code names it.
    pub(crate) crate_name: &'static str,
    /// Its sources, relative to the workspace.
    pub(crate) sources: &'static str,
    /// The module whose modules are leaves.
    pub(crate) leaves: &'static str,
    /// The array in that module that registers them.
    pub(crate) registration: &'static str,
    /// The shared files that may name the registration.
    pub(crate) lookups: &'static [&'static str],
    /// The shared file that may name leaves: the root of the crate, which hands out what the program needs.
    pub(crate) root_names_leaves: bool,
    /// What a leaf may not name, because every leaf can be reached through it.
    pub(crate) doors: &'static [&'static str],
}

pub(crate) const CODECS: Room = Room {
    crate_name: "llmcl_codecs",
    sources: "codecs/src",
    leaves: "methods",
    registration: "FAMILIES",
    lookups: &["codecs/src/method.rs", "codecs/src/chunked.rs"],
    root_names_leaves: false,
    doors: &[
        "method::resolve",
        "method::family_of",
        "resolve",
        "chunked::resolve",
        "chunked::names",
    ],
};

pub(crate) const STAGES: Room = Room {
    crate_name: "llmcl_stages",
    sources: "stages/src",
    leaves: "kinds",
    registration: "KINDS",
    lookups: &["stages/src/lib.rs"],
    root_names_leaves: true,
    doors: &["registry", "work"],
};

/// A source file.
pub(crate) struct Source {
    /// Its path in the workspace.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Room {
    /// Every source file of the room.
    pub(crate) fn read(&self) -> Vec<Source> {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut folders = vec![self.sources.to_owned()];
        let mut sources = Vec::new();
        while let Some(folder) = folders.pop() {
            for name in entries(&folder) {
                let path = format!("{folder}/{name}");
                if workspace.join(&path).is_dir() {
                    folders.push(path);
                } else if name.ends_with(".rs") {
                    let text = fs::read_to_string(workspace.join(&path)).unwrap();
                    sources.push(Source { path, text });
                }
            }
        }
        sources.sort_by(|a, b| a.path.cmp(&b.path));
        sources
    }

    /// The module that a file is, from the root of the crate.
    pub(crate) fn module_of(&self, path: &str) -> Vec<String> {
        let inside = path.strip_prefix(self.sources).unwrap_or(path);
        let mut parts: Vec<String> = inside
            .trim_end_matches(".rs")
            .split('/')
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect();
        if matches!(parts.last().map(String::as_str), Some("mod" | "lib")) {
            parts.pop();
        }
        parts
    }

    /// The leaf that a module belongs to.
    pub(crate) fn leaf_of<'m>(&self, module: &'m [String]) -> Option<&'m str> {
        match module {
            [room, leaf, ..] if *room == self.leaves => Some(leaf),
            _ => None,
        }
    }

    /// The path of the folder of leaves.
    pub(crate) fn leaf_folder(&self) -> String {
        format!("{}/{}", self.sources, self.leaves)
    }

    /// The module of the leaf at this path: `fetch` for `stages/src/kinds/fetch` and for `…/fetch.rs`.
    pub(crate) fn leaf_named(&self, path: &str) -> Option<String> {
        let name = path.strip_prefix(&self.leaf_folder())?.strip_prefix('/')?;
        Some(name.trim_end_matches(".rs").to_owned())
    }
}

/// The names in a folder of the workspace, sorted.
pub(crate) fn entries(folder: &str) -> Vec<String> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut names: Vec<String> = fs::read_dir(workspace.join(folder))
        .unwrap_or_else(|error| panic!("{folder}: {error}"))
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The leaves that each leaf has declared, by their modules.
pub(crate) type Declared = BTreeMap<String, Vec<String>>;
