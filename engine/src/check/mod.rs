//! From declarations to a checked experiment. Every mistake is reported, and nothing is run.

mod binding;
mod claims;
mod files;
mod gates;
mod graph;
mod join;
mod leaks;
mod params;
mod stage;

use std::collections::BTreeMap;
use std::path::Path;

use llmcl_stages_api::kind::OutputSchema;
use llmcl_stages_api::registry::Registry;

use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::experiment::{AxisInfo, Declarations, StageDecl, apply_set, resolve_axes};
use crate::model::{Experiment, StageId, Task};
use crate::source::{Place, Sources};
use crate::toml_tree;

/// The largest experiment file that is read, in bytes.
const FILE_LIMIT: u64 = 16 << 20;

/// An experiment without mistakes, and the files that it was read from.
pub struct Loaded {
    /// The experiment.
    pub experiment: Experiment,
    /// The files.
    pub sources: Sources,
}

/// The mistakes of an experiment, and the files that they point into.
#[derive(Debug)]
pub struct Mistakes {
    /// The mistakes, in the order of their places.
    pub problems: Vec<Diagnostic>,
    /// The files.
    pub sources: Sources,
}

/// Reads the name of an experiment from its file, whatever mistakes there are in the rest of it.
///
/// # Errors
/// The mistakes because of which it has no name.
pub fn name(path: &Path) -> Result<String, Mistakes> {
    let text = read(path).map_err(|error| unreadable(path, &error))?;
    let mut sources = Sources::default();
    let mut problems = Vec::new();
    let file = sources.add(path.display().to_string(), Some(path.to_owned()), text);
    let tree = toml_tree::parse(&sources, file, &mut problems);
    if problems.is_empty() {
        let name = Declarations::read(&tree, &mut problems).name;
        if !name.is_empty() {
            return Ok(name);
        }
    }
    Err(Mistakes { problems, sources })
}

/// Reads an experiment file and checks it whole.
///
/// `settings` are those of `--set`, as they were written.
///
/// # Errors
/// All mistakes of the file and of its corpora at once.
pub fn load(path: &Path, settings: &[String], registry: &Registry) -> Result<Loaded, Mistakes> {
    match read(path) {
        Ok(text) => load_text(path, text, settings, registry),
        Err(error) => Err(unreadable(path, &error)),
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Mistakes {
    let mut sources = Sources::default();
    let shown = path.display().to_string();
    let file = sources.add(shown, Some(path.to_owned()), String::new());
    let problems = vec![Diagnostic::new(
        Code::MissingFile,
        format!("cannot read the experiment: {error}"),
        &Place::new(file, 0..0),
        "",
    )];
    Mistakes { problems, sources }
}

/// Checks the text of an experiment file that lies, or would lie, at `path`.
///
/// # Errors
/// As for [`load`].
pub fn load_text(
    path: &Path,
    text: String,
    settings: &[String],
    registry: &Registry,
) -> Result<Loaded, Mistakes> {
    let mut sources = Sources::default();
    let mut problems = Vec::new();
    let file = sources.add(path.display().to_string(), Some(path.to_owned()), text);
    let mut tree = toml_tree::parse(&sources, file, &mut problems);
    if !problems.is_empty() {
        return Err(Mistakes { problems, sources });
    }
    for setting in settings {
        apply_set(&mut sources, &mut tree, setting, &mut problems);
    }
    let declarations = Declarations::read(&tree, &mut problems);
    let axes = resolve_axes(&mut sources, &declarations.axes, &mut problems);
    let experiment = check(&sources, registry, &declarations, axes, &mut problems);
    match experiment {
        Some(experiment) if problems.is_empty() => Ok(Loaded {
            experiment,
            sources,
        }),
        _ => {
            problems.sort_by_cached_key(|problem| {
                let place = problem.labels.first().map(|label| label.place.clone());
                (place, problem.code, problem.message.clone())
            });
            // What several stages stumble over is told once, where it is written.
            problems.dedup_by(|b, a| {
                let place =
                    |problem: &Diagnostic| problem.labels.first().map(|label| label.place.clone());
                a.code == b.code && a.message == b.message && place(a) == place(b)
            });
            Err(Mistakes { problems, sources })
        }
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(std::io::Error::other("it is not a file"));
    }
    if metadata.len() > FILE_LIMIT {
        return Err(std::io::Error::other(format!(
            "{} bytes are more than an experiment file can have ({FILE_LIMIT})",
            metadata.len()
        )));
    }
    std::fs::read_to_string(path)
}

/// What the passes share while the experiment grows stage by stage.
struct Checker<'a> {
    sources: &'a Sources,
    registry: &'a Registry,
    declarations: &'a Declarations,
    axes: AxisInfo,
    /// The stages that are done, in the order of the run.
    stages: Vec<Built>,
    /// Where a stage stands in `stages`, by its name.
    by_name: BTreeMap<String, StageId>,
    tasks: Vec<Task>,
    problems: Vec<Diagnostic>,
}

/// A stage that is done. One of an unknown kind is there too, so that what hangs on it can be checked.
struct Built {
    /// Its index in the declarations.
    declaration: usize,
    stage: Option<crate::model::Stage>,
    each: Vec<crate::model::AxisId>,
    outputs: Vec<OutputSchema>,
    tasks: std::ops::Range<usize>,
    /// Whether a mistake in it was reported, so that its having no tasks needs no report.
    broken: bool,
}

fn check(
    sources: &Sources,
    registry: &Registry,
    declarations: &Declarations,
    axes: AxisInfo,
    problems: &mut Vec<Diagnostic>,
) -> Option<Experiment> {
    let mut checker = Checker {
        sources,
        registry,
        declarations,
        axes,
        stages: Vec::new(),
        by_name: BTreeMap::new(),
        tasks: Vec::new(),
        problems: std::mem::take(problems),
    };
    let order = graph::order(&mut checker);
    for declaration in order.unwrap_or_default() {
        checker.build(declaration);
    }
    checker.check_claims();
    if checker.problems.is_empty() {
        checker.check_leaks();
    }
    *problems = checker.problems;
    let stages: Option<Vec<_>> = checker
        .stages
        .into_iter()
        .map(|built| built.stage)
        .collect();
    Some(Experiment {
        name: declarations.name.clone(),
        title: declarations.title.clone(),
        axes: checker.axes.axes,
        stages: stages?,
        tasks: checker.tasks,
    })
}

impl Checker<'_> {
    fn declaration(&self, index: usize) -> &StageDecl {
        &self.declarations.stages[index]
    }

    fn stage_names(&self) -> impl Iterator<Item = &str> {
        self.declarations
            .stages
            .iter()
            .map(|stage| stage.name.text.as_str())
    }
}
