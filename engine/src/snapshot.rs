//! What a run saw that left nothing to do. If all of it is as it was, the next run need not look at each task.
//!
//! A snapshot names everything that the plan of such a run hung on: the program, the texts that the experiment was
//! read from, the files of the repository, the facts about the machine, and the records. [`recall`] holds each
//! against what is there now, files by their content. If nothing has changed, a plan would come to what it came to
//! then: everything is done. Whatever else [`recall`] finds, it says nothing of it, and a plan is made.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use blake3::Hash;
use llmcl_cache::{Store, StoreError};
use llmcl_stages_api::artifact::{ArtifactFile, BlobRef};
use llmcl_stages_api::outcome;
use llmcl_stages_api::port::PortType;
use llmcl_stages_api::registry::Registry;
use llmcl_stages_api::value::Value;

use crate::bytes::{self, Reader};
use crate::check::Loaded;
use crate::events::What;
use crate::outputs::{Found, find, to_store};
use crate::plan::Counts;
use crate::resolve::digest_file;
use crate::run::{End, Run};

/// The domain of the names of snapshots. Whoever changes what a snapshot holds changes the number.
const NAME_CONTEXT: &str = "llmcl 2026 run snapshot v1";

/// What was asked to be run.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The experiment's file.
    pub experiment: &'a Path,
    /// The settings of `--set`, as they were written.
    pub settings: &'a [String],
}

/// What was seen then, and is so still.
#[derive(Debug, Clone, PartialEq)]
pub struct Recalled {
    /// The name of the experiment.
    pub experiment: String,
    /// How many tasks are done, and how many ruled out.
    pub planned: Counts,
    /// What is told of gates and of what they ruled out.
    pub told: Vec<What>,
    /// The files of its reports.
    pub reports: Vec<ArtifactFile>,
}

/// What the tasks of a run hung on, besides the experiment and the records.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Surroundings {
    /// The files of the repository.
    pub files: Vec<(PathBuf, BlobRef)>,
    /// The facts about the machine: sort, name, and what was found.
    pub facts: Vec<(String, String, Value)>,
}

/// All that is held against what is there.
#[derive(Debug, Clone, PartialEq)]
struct Snapshot {
    program: String,
    /// The experiment and its corpora, with the digests of their texts.
    sources: Vec<(String, Hash)>,
    files: Vec<(String, BlobRef)>,
    /// Values are JSON.
    facts: Vec<(String, String, String)>,
    /// Keys, and the stamps of their records.
    records: Vec<(Hash, u64)>,
    /// What a plan reads and not only looks for.
    outcomes: Vec<BlobRef>,
    recalled: Recalled,
}

impl Request<'_> {
    fn name(&self) -> Option<Hash> {
        let mut bytes = Vec::new();
        bytes::text(&mut bytes, &absolute(self.experiment)?);
        for setting in self.settings {
            bytes::text(&mut bytes, setting);
        }
        Some(Hash::from_bytes(blake3::derive_key(NAME_CONTEXT, &bytes)))
    }
}

/// Keeps what a run saw, if it did something and left nothing to do.
///
/// # Errors
/// If the store cannot be written; nothing is lost by that.
pub fn keep(
    request: Request<'_>,
    loaded: &Loaded,
    run: &Run,
    store: &Store,
) -> Result<(), StoreError> {
    if !run.summary.is_complete() || run.summary.executed == 0 {
        return Ok(());
    }
    match (request.name(), Snapshot::of(loaded, run, store)) {
        (Some(name), Some(snapshot)) => store.keep_snapshot(&name, &snapshot.encode()),
        _ => Ok(()),
    }
}

/// What the last run of this request saw, if there is nothing to do still.
#[must_use]
pub fn recall(request: Request<'_>, store: &Store, registry: &Registry) -> Option<Recalled> {
    let snapshot = Snapshot::decode(&store.snapshot(&request.name()?)?)?;
    snapshot.holds(store, registry).then_some(snapshot.recalled)
}

impl Snapshot {
    /// What is there no snapshot of is nothing, such as a path that is no text.
    fn of(loaded: &Loaded, run: &Run, store: &Store) -> Option<Self> {
        let experiment = &loaded.experiment;
        let sources = loaded.sources.read_from_files().map(|(path, text)| {
            let digest = blake3::hash(text.as_bytes());
            Some((absolute(path)?, digest))
        });
        let files = run.surroundings.files.iter();
        let files = files.map(|(path, blob)| Some((absolute(path)?, *blob)));
        let facts = run.surroundings.facts.iter();
        let facts = facts
            .map(|(sort, name, value)| (sort.clone(), name.clone(), value.to_json().to_string()));
        let mut snapshot = Self {
            program: program()?,
            sources: sources.collect::<Option<_>>()?,
            files: files.collect::<Option<_>>()?,
            facts: facts.collect(),
            records: Vec::new(),
            outcomes: Vec::new(),
            recalled: Recalled {
                experiment: experiment.name.clone(),
                planned: Counts::default(),
                told: Vec::new(),
                reports: run.reports(experiment),
            },
        };
        let mut keys = HashSet::new();
        let recalled = &mut snapshot.recalled;
        for (task, end) in run.ends.iter().enumerate() {
            let name = || experiment.task_name(task);
            match end {
                End::Done { key, outputs, .. } => {
                    let stage = &experiment.stages[experiment.tasks[task].stage];
                    recalled.planned.cached += 1;
                    if keys.insert(*key) {
                        // Another process may have recorded something else since.
                        let record = store.record(key)?;
                        match find(store, stage, key) {
                            Found::Outputs(done) if done.outputs() == outputs.outputs() => {}
                            _ => return None,
                        }
                        snapshot.records.push((*key, record.stamp()));
                    }
                    let gates = stage.outputs.iter();
                    let gates = gates.filter(|port| port.ty == PortType::Outcome);
                    for port in gates {
                        let artifact = &outputs.output(&port.name)?.artifact;
                        snapshot.outcomes.extend(artifact.file(outcome::FILE));
                    }
                    recalled
                        .told
                        .extend(outputs.outcome().map(|found| What::GateDecided {
                            task: name(),
                            outcome: found.outcome.clone(),
                            note: found.note.clone(),
                            statistics: found.statistics.clone(),
                        }));
                }
                End::Pruned(pruning) => {
                    recalled.planned.pruned += 1;
                    recalled.told.push(What::TaskPruned {
                        task: name(),
                        gate: experiment.task_name(pruning.gate),
                        outcome: pruning.reason.outcome.clone(),
                    });
                }
                End::Failed | End::NotRun | End::Left => return None,
            }
        }
        Some(snapshot)
    }

    /// Whether all is as it was. What costs least comes first.
    fn holds(&self, store: &Store, registry: &Registry) -> bool {
        let is_same_text = |(path, digest): &(String, Hash)| {
            digest_of(path).is_some_and(|is| is.digest == *digest)
        };
        let is_same_file = |(path, blob): &(String, BlobRef)| digest_of(path) == Some(*blob);
        let is_recorded = |(key, stamp): &(Hash, u64)| {
            let record = store.record(key);
            record
                .is_some_and(|record| record.stamp() == *stamp && store.missing(&record).is_empty())
        };
        program().as_ref() == Some(&self.program)
            && self.sources.iter().all(is_same_text)
            && self.facts.iter().all(|fact| is_same_fact(fact, registry))
            && self.records.iter().all(is_recorded)
            && self.outcomes.iter().all(|blob| {
                let blob = to_store(*blob);
                store.blob(&blob.digest, blob.bytes).is_ok()
            })
            && self.files.iter().all(is_same_file)
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let Recalled {
            experiment,
            planned,
            told,
            reports,
        } = &self.recalled;
        bytes::text(&mut out, &self.program);
        bytes::count(&mut out, self.sources.len());
        for (path, digest) in &self.sources {
            bytes::text(&mut out, path);
            bytes::digest(&mut out, digest);
        }
        bytes::count(&mut out, self.files.len());
        for (path, blob) in &self.files {
            bytes::text(&mut out, path);
            bytes::blob(&mut out, *blob);
        }
        bytes::count(&mut out, self.facts.len());
        for (sort, name, value) in &self.facts {
            bytes::text(&mut out, sort);
            bytes::text(&mut out, name);
            bytes::text(&mut out, value);
        }
        bytes::count(&mut out, self.records.len());
        for (key, stamp) in &self.records {
            bytes::digest(&mut out, key);
            bytes::u64(&mut out, *stamp);
        }
        bytes::count(&mut out, self.outcomes.len());
        for blob in &self.outcomes {
            bytes::blob(&mut out, *blob);
        }
        bytes::text(&mut out, experiment);
        bytes::u64(&mut out, planned.cached as u64);
        bytes::u64(&mut out, planned.pruned as u64);
        bytes::count(&mut out, told.len());
        for what in told {
            // What is told always has a JSON form.
            bytes::text(&mut out, &serde_json::to_string(what).unwrap_or_default());
        }
        bytes::count(&mut out, reports.len());
        for file in reports {
            bytes::text(&mut out, &file.name);
            bytes::blob(&mut out, file.blob);
        }
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let text = |bytes: &mut Reader<'_>| Some(bytes.text()?.to_owned());
        let mut bytes = Reader(bytes);
        let bytes = &mut bytes;
        let snapshot = Self {
            program: text(bytes)?,
            sources: bytes.list(|bytes| Some((text(bytes)?, bytes.digest()?)))?,
            files: bytes.list(|bytes| Some((text(bytes)?, bytes.blob()?)))?,
            facts: bytes.list(|bytes| Some((text(bytes)?, text(bytes)?, text(bytes)?)))?,
            records: bytes.list(|bytes| Some((bytes.digest()?, bytes.u64()?)))?,
            outcomes: bytes.list(Reader::blob)?,
            recalled: Recalled {
                experiment: text(bytes)?,
                planned: Counts {
                    cached: usize::try_from(bytes.u64()?).ok()?,
                    pruned: usize::try_from(bytes.u64()?).ok()?,
                    ..Counts::default()
                },
                told: bytes.list(|bytes| serde_json::from_str(bytes.text()?).ok())?,
                reports: bytes.list(|bytes| {
                    Some(ArtifactFile {
                        name: text(bytes)?,
                        blob: bytes.blob()?,
                    })
                })?,
            },
        };
        bytes.0.is_empty().then_some(snapshot)
    }
}

/// What tells this program, and this build of it, from others: its file.
fn program() -> Option<String> {
    // The file that runs, even if its name has another by now.
    let file = fs::metadata("/proc/self/exe").ok()?;
    Some(format!(
        "device {}, inode {}, {} bytes, written {}.{:09}, changed {}.{:09}",
        file.dev(),
        file.ino(),
        file.size(),
        file.mtime(),
        file.mtime_nsec(),
        file.ctime(),
        file.ctime_nsec()
    ))
}

fn absolute(path: &Path) -> Option<String> {
    let path = std::path::absolute(path).ok()?;
    Some(path.to_str()?.to_owned())
}

/// The digest of a file's content. A pipe, say, has none, and would be waited for.
fn digest_of(path: &str) -> Option<BlobRef> {
    let path = Path::new(path);
    let is_file = fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    is_file.then(|| digest_file(path).ok())?
}

fn is_same_fact((sort, name, value): &(String, String, String), registry: &Registry) -> bool {
    let mut sorts = registry.kinds.iter().flat_map(|kind| kind.fact_sorts());
    let Some(sort) = sorts.find(|known| known.name == sort) else {
        return false;
    };
    let known: Option<serde_json::Value> = serde_json::from_str(value).ok();
    (sort.find)(name).is_ok_and(|found| Some(found.to_json()) == known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Snapshot {
        let blob = BlobRef {
            digest: blake3::hash(b"blob"),
            bytes: 4,
        };
        Snapshot {
            program: "program".to_owned(),
            sources: vec![("/a.toml".to_owned(), blake3::hash(b"a"))],
            files: vec![("/b".to_owned(), blob)],
            facts: vec![("program".into(), "sh".into(), "\"x\"".into())],
            records: vec![(blake3::hash(b"key"), 7)],
            outcomes: vec![blob],
            recalled: Recalled {
                experiment: "iter".to_owned(),
                planned: Counts {
                    cached: 3,
                    pruned: 1,
                    ..Counts::default()
                },
                told: vec![What::TaskPruned {
                    task: "bench/a".into(),
                    gate: "precheck".into(),
                    outcome: "RED".into(),
                }],
                reports: vec![ArtifactFile {
                    name: "report.md".into(),
                    blob,
                }],
            },
        }
    }

    #[test]
    fn what_is_encoded_is_read_and_every_truncation_is_nothing() {
        let snapshot = example();
        let bytes = snapshot.encode();
        assert_eq!(Snapshot::decode(&bytes), Some(snapshot));
        for length in 0..bytes.len() {
            assert_eq!(Snapshot::decode(&bytes[..length]), None, "{length}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(Snapshot::decode(&longer), None);
    }

    #[test]
    fn other_settings_and_other_files_have_other_names() {
        let name = |path: &str, settings: &[&str]| {
            let settings: Vec<String> = settings.iter().map(|&text| text.to_owned()).collect();
            let request = Request {
                experiment: Path::new(path),
                settings: &settings,
            };
            request.name().unwrap()
        };
        let names = [
            name("a.toml", &[]),
            name("b.toml", &[]),
            name("a.toml", &["x=1"]),
            name("a.toml", &["x=1", "y=2"]),
            name("a.toml", &["x=1y=2"]),
        ];
        for (index, one) in names.iter().enumerate() {
            assert!(!names[..index].contains(one), "{index}");
        }
        assert_eq!(name("a.toml", &[]), name("./a.toml", &[]));
    }
}
