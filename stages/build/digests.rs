//! The digests behind the fingerprints: of each leaf, and of all that is shared.
//!
//! A leaf is a file or folder directly under one of [`LEAF_FOLDERS`]; the `mod.rs` there only registers leaves and
//! is in no digest. Shared is every other source file, and what the sources are built with: the features, the
//! dependencies as they are asked for, and the outside crates as `Cargo.lock` resolves them, those that only tests
//! and build scripts of our own crates use aside.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use blake3::{Hash, Hasher};
use toml::{Table, Value};

/// The crates whose code decides what a task computes: name, folder.
const CRATES: [(&str, &str); 3] = [
    ("llmcl-codecs", "codecs"),
    ("llmcl-stages", "stages"),
    ("llmcl-stages-api", "stages/api"),
];

/// The folders whose files and folders are leaves.
const LEAF_FOLDERS: [&str; 2] = ["codecs/src/methods", "stages/src/kinds"];

/// The digests, in the form of `llmcl_stages_api::fingerprint::Fingerprints`.
pub(crate) struct Digests {
    /// Of all that is shared.
    pub(crate) shared: Hash,
    /// Of each leaf, by its path in the workspace.
    pub(crate) leaves: BTreeMap<String, Hash>,
}

/// Why the digests could not be taken.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A file or folder could not be read.
    Read(PathBuf, io::Error),
    /// A manifest or `Cargo.lock` is not TOML.
    Toml(PathBuf, toml::de::Error),
    /// `Cargo.lock` does not say how this dependency is resolved.
    Unresolved(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Read(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Toml(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Unresolved(name) => write!(f, "Cargo.lock does not resolve `{name}`"),
        }
    }
}

impl std::error::Error for Failure {}

/// The files and folders that the digests depend on, relative to the workspace.
pub(crate) fn watched() -> Vec<String> {
    let mut paths = vec!["Cargo.toml".to_owned(), "Cargo.lock".to_owned()];
    for (_, folder) in CRATES {
        paths.push(format!("{folder}/Cargo.toml"));
        paths.push(format!("{folder}/src"));
    }
    paths.push("stages/build.rs".to_owned());
    paths.push("stages/build".to_owned());
    paths
}

/// Takes the digests of a workspace. `features` are the enabled features of `llmcl-stages`.
pub(crate) fn take(workspace: &Path, features: &[String]) -> Result<Digests, Failure> {
    let mut shared = Digest::new("llmcl 2026 shared sources v1");
    let mut leaves: BTreeMap<String, Digest> = BTreeMap::new();
    for (_, folder) in CRATES {
        for path in files(workspace, &format!("{folder}/src"))? {
            let content = read(&workspace.join(&path))?;
            let digest = match place(&path) {
                Place::Registration => continue,
                Place::Shared => &mut shared,
                Place::Leaf(leaf) => leaves
                    .entry(leaf)
                    .or_insert_with(|| Digest::new("llmcl 2026 leaf sources v1")),
            };
            digest.add(path.as_bytes());
            digest.add(&content);
        }
    }

    shared.add(b"features");
    for feature in features.iter().collect::<BTreeSet<_>>() {
        shared.add(feature.as_bytes());
    }
    shared.add(b"dependencies");
    let dependencies = dependencies(workspace)?;
    for line in &dependencies.asked {
        shared.add(line.as_bytes());
    }
    shared.add(b"packages");
    for line in resolved(workspace, &dependencies.names)? {
        shared.add(line.as_bytes());
    }
    Ok(Digests {
        shared: shared.0.finalize(),
        leaves: leaves
            .into_iter()
            .map(|(leaf, digest)| (leaf, digest.0.finalize()))
            .collect(),
    })
}

/// A digest of a list of byte strings.
struct Digest(Hasher);

impl Digest {
    fn new(domain: &str) -> Self {
        Self(Hasher::new_derive_key(domain))
    }

    fn add(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }
}

/// What a source file is.
#[derive(Debug, PartialEq)]
enum Place {
    Shared,
    Leaf(String),
    Registration,
}

fn place(path: &str) -> Place {
    for folder in LEAF_FOLDERS {
        let Some(rest) = path
            .strip_prefix(folder)
            .and_then(|rest| rest.strip_prefix('/'))
        else {
            continue;
        };
        return match rest.split('/').next() {
            Some("mod.rs") => Place::Registration,
            Some(name) => Place::Leaf(format!("{folder}/{name}")),
            None => Place::Shared,
        };
    }
    Place::Shared
}

/// Every file below a folder, relative to the workspace, sorted.
fn files(workspace: &Path, folder: &str) -> Result<Vec<String>, Failure> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let path = workspace.join(&folder);
        let failed = |error| Failure::Read(path.clone(), error);
        for entry in fs::read_dir(&path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                folders.push(name);
            } else {
                found.push(name);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| Failure::Read(path.to_owned(), error))
}

fn read_toml(path: &Path) -> Result<Table, Failure> {
    let text = fs::read_to_string(path).map_err(|error| Failure::Read(path.to_owned(), error))?;
    text.parse()
        .map_err(|error| Failure::Toml(path.to_owned(), error))
}

/// What the crates ask for.
struct Dependencies {
    /// Each dependency as the manifests write it, and each crate's features.
    asked: Vec<String>,
    /// The names of the packages that each crate depends on, by the crate's name.
    names: BTreeMap<&'static str, BTreeSet<String>>,
}

fn dependencies(workspace: &Path) -> Result<Dependencies, Failure> {
    let root = read_toml(&workspace.join("Cargo.toml"))?;
    let common = root
        .get("workspace")
        .and_then(|workspace| workspace.get("dependencies"));
    let mut all = Dependencies {
        asked: Vec::new(),
        names: BTreeMap::new(),
    };
    for (crate_name, folder) in CRATES {
        let manifest = read_toml(&workspace.join(folder).join("Cargo.toml"))?;
        let names = all.names.entry(crate_name).or_default();
        for (section, table) in dependency_sections(&manifest) {
            for (name, value) in table {
                let inherited = value.get("workspace").and_then(Value::as_bool) == Some(true);
                let origin = common
                    .filter(|_| inherited)
                    .and_then(|common| common.get(name));
                let package = [Some(value), origin]
                    .into_iter()
                    .flatten()
                    .find_map(|value| {
                        value
                            .get("package")
                            .and_then(Value::as_str)
                            .map(str::to_owned)
                    });
                names.insert(package.unwrap_or_else(|| name.clone()));
                let origin = origin.map_or_else(String::new, ToString::to_string);
                all.asked
                    .push(format!("{crate_name} {section} {name} = {value} {origin}"));
            }
        }
        if let Some(features) = manifest.get("features") {
            all.asked.push(format!("{crate_name} features {features}"));
        }
    }
    Ok(all)
}

/// The sections of a manifest that say what a crate itself depends on: for all targets, and for some.
fn dependency_sections(manifest: &Table) -> Vec<(String, &Table)> {
    let mut sections = Vec::new();
    if let Some(Value::Table(table)) = manifest.get("dependencies") {
        sections.push(("dependencies".to_owned(), table));
    }
    let targets = manifest.get("target").and_then(Value::as_table);
    for (target, value) in targets.into_iter().flatten() {
        if let Some(Value::Table(table)) = value.get("dependencies") {
            sections.push((format!("target.{target}.dependencies"), table));
        }
    }
    sections
}

/// Name, version, source and checksum of every outside package that the crates depend on, in the end.
fn resolved(
    workspace: &Path,
    names: &BTreeMap<&'static str, BTreeSet<String>>,
) -> Result<BTreeSet<String>, Failure> {
    let lock = read_toml(&workspace.join("Cargo.lock"))?;
    let packages: Vec<&Table> = lock
        .get("package")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_table)
        .collect();
    let text = |package: &Table, key: &str| {
        package
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    // A dependency is written as `name`, or `name version` where there are several versions.
    let needs = |package: &Table| -> Vec<String> {
        let list = package.get("dependencies").and_then(Value::as_array);
        let texts = list.into_iter().flatten().filter_map(Value::as_str);
        texts.map(str::to_owned).collect()
    };
    let named = |dependency: &str| dependency.split(' ').next().unwrap_or_default().to_owned();

    let mut open = Vec::new();
    for (crate_name, wanted) in names {
        let own = packages
            .iter()
            .find(|package| text(package, "name") == *crate_name)
            .ok_or_else(|| Failure::Unresolved((*crate_name).to_owned()))?;
        let listed = needs(own);
        for name in wanted {
            let found = listed.iter().filter(|listed| named(listed) == *name);
            let before = open.len();
            open.extend(found.cloned());
            if open.len() == before {
                return Err(Failure::Unresolved(name.clone()));
            }
        }
    }

    let mut lines = BTreeSet::new();
    let mut seen = BTreeSet::new();
    while let Some(dependency) = open.pop() {
        if !seen.insert(dependency.clone()) {
            continue;
        }
        let mut parts = dependency.split(' ');
        let (name, version) = (parts.next().unwrap_or_default(), parts.next());
        if CRATES.iter().any(|(own, _)| *own == name) {
            continue;
        }
        let package = packages
            .iter()
            .find(|package| {
                text(package, "name") == name
                    && version.is_none_or(|version| text(package, "version") == version)
            })
            .ok_or_else(|| Failure::Unresolved(dependency.clone()))?;
        lines.insert(format!(
            "{name} {} {} {}",
            text(package, "version"),
            text(package, "source"),
            text(package, "checksum")
        ));
        open.extend(needs(package));
    }
    Ok(lines)
}
