//! `install`: puts Python packages into a folder, each held against its SHA-256.
//!
//! pip does the work, in its hash-checking mode: what it downloads is held against the pinned digests before anything of
//! it is unpacked or run, and the index is asked for the named versions and nothing else. A wheel is unpacked; what is
//! published as source alone is built, with the packages of `build` at hand. What pip writes down for itself, and what
//! names the place or the time, is left out, so that the folder is the same wherever it is made.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use llmcl_stages_api::artifact::{Artifact, ArtifactFile};
use llmcl_stages_api::kind::{Check, ProblemKind, StageKind};
use llmcl_stages_api::machine::{Fact, FactSort};
use llmcl_stages_api::param::{Param, ParamType, Params};
use llmcl_stages_api::port::{InputPorts, OutputPort, PortType};
use llmcl_stages_api::table::Schema;
use llmcl_stages_api::task::{
    Host, Needs, Outputs, Outside, TaskContext, TaskError, TaskErrorKind,
};
use llmcl_stages_api::value::Value;

use crate::pip::{self, is_hex, is_requirement};
use crate::process::{self, Limits};
use crate::python;
use crate::workplace::disk;

const PACKAGES: &str = "packages";
const BUILD: &str = "build";
const PACKAGE: &str = "package";
const SHA256: &str = "sha256";

/// The interpreter for which packages are installed.
const PYTHON: &str = "python3";

/// How often an attempt that failed in a way that may pass is tried again.
const RETRIES: u32 = 4;
/// After how long an attempt is ended.
const TIME_LIMIT: Duration = Duration::from_secs(60 * 60);
/// What pip needs, and a compiler that it may start.
const MEMORY: u64 = 512 << 20;
/// Files up to this size are stored as bytes: most of a package's are small.
const SMALL_BYTES: u64 = 64 << 10;

/// What pip keeps for itself in a package's folder of metadata: it lists digests of files that are left out, and how
/// the package came to be there.
const BOOKKEEPING: [&str; 4] = ["RECORD", "INSTALLER", "REQUESTED", "direct_url.json"];

/// The parameters.
const PARAMS: &[Param] = &[
    Param::required(
        PACKAGES,
        ParamType::List(&ParamType::Record(PACKAGE_FIELDS)),
        "The packages. What they depend on is named too: nothing is looked up.",
    ),
    Param::optional(
        BUILD,
        ParamType::List(&ParamType::Record(PACKAGE_FIELDS)),
        "What is at hand while packages are built from source, such as setuptools; it is not put out.",
    ),
];

const PACKAGE_FIELDS: &[Param] = &[
    Param::required(
        PACKAGE,
        ParamType::Text,
        "The package and its version: `name==version`.",
    ),
    Param::required(
        SHA256,
        ParamType::List(&ParamType::Text),
        "The SHA-256 of its wheel, or of its source if it has no wheel; several where machines differ.",
    ),
];

/// The stage kind.
pub static KIND: Install = Install {
    pip_env: Vec::new(),
};

/// The stage kind `install`.
#[derive(Debug)]
pub struct Install {
    /// Variables for pip beside those of the process.
    pip_env: Vec<(String, String)>,
}

impl Install {
    /// Makes one that gives pip these variables beside those of the process.
    #[must_use]
    pub fn with_pip_env(pip_env: Vec<(String, String)>) -> Self {
        Self { pip_env }
    }
}

impl StageKind for Install {
    fn name(&self) -> &'static str {
        "install"
    }

    fn about(&self) -> &'static str {
        "Puts Python packages into a folder, each held against its SHA-256."
    }

    fn leaves(&self) -> &'static [&'static str] {
        &["stages/src/kinds/install.rs"]
    }

    fn params(&self) -> &'static [Param] {
        PARAMS
    }

    fn inputs(&self) -> InputPorts {
        InputPorts {
            fixed: &[],
            open: None,
            one_of: &[],
        }
    }

    fn outputs(&self) -> &'static [OutputPort] {
        &[OutputPort {
            name: PACKAGES,
            ty: PortType::File,
            volatile: false,
            about: "The folder, as it goes into `PYTHONPATH`.",
        }]
    }

    fn check(&self, check: &mut Check<'_>) {
        for name in [PACKAGES, BUILD] {
            for value in check.values(name) {
                for (path, message) in faults(value) {
                    let path: Vec<&str> = [name]
                        .into_iter()
                        .chain(path.iter().map(String::as_str))
                        .collect();
                    check.problem(
                        &path,
                        ProblemKind::Value {
                            message,
                            help: None,
                        },
                    );
                }
            }
        }
        check.output(PACKAGES, PortType::File, Schema::default(), false);
    }

    fn facts(&self, _params: &Params) -> Vec<Fact> {
        vec![python::fact(PYTHON)]
    }

    fn fact_sorts(&self) -> Vec<&'static FactSort> {
        vec![&python::PYTHON]
    }

    fn needs(&self, _params: &Params, _input_bytes: u64) -> Needs {
        Needs {
            memory: MEMORY,
            exclusive: false,
            outside: Some(Outside {
                retries: RETRIES,
                time_limit: Some(TIME_LIMIT),
            }),
        }
    }

    fn run(&self, task: &TaskContext<'_>) -> Result<Outputs, TaskError> {
        let scratch = task.host.scratch(&["build", "packages", "home", "tmp"])?;
        let installing = Installing {
            host: task.host,
            root: (*scratch).as_ref(),
            pip_env: &self.pip_env,
        };
        installing.pip(BUILD, task.params.get(BUILD))?;
        installing.pip(PACKAGES, task.params.get(PACKAGES))?;
        let artifact = Artifact::new(installing.files(PACKAGES)?, Vec::new());
        Ok(Outputs::from([(PACKAGES.to_owned(), artifact)]))
    }
}

/// The mistakes in a list of packages, each with its place in the list.
fn faults(packages: &Value) -> Vec<(Vec<String>, String)> {
    let mut faults = Vec::new();
    let list = packages.as_list();
    if list.is_some_and(<[Value]>::is_empty) {
        faults.push((Vec::new(), "names no package".to_owned()));
    }
    for (index, entry) in list.into_iter().flatten().enumerate() {
        let mut fault = |field: &str, message: String| {
            faults.push((vec![index.to_string(), field.to_owned()], message));
        };
        let package = entry.field(PACKAGE).as_text().unwrap_or_default();
        if !is_requirement(package) {
            fault(
                PACKAGE,
                format!("`{package}` is no `name==version` of a package"),
            );
        }
        let digests = entry.field(SHA256).as_list().unwrap_or_default();
        if digests.is_empty() {
            fault(SHA256, format!("`{package}` has no digest"));
        }
        for digest in digests.iter().filter_map(Value::as_text) {
            if !is_hex(digest, 64) {
                fault(
                    SHA256,
                    format!("`{digest}` is no SHA-256 of 64 hexadecimal digits in lower case"),
                );
            }
        }
    }
    faults
}

/// An installation that is under way.
struct Installing<'a> {
    host: &'a dyn Host,
    root: &'a Path,
    pip_env: &'a [(String, String)],
}

impl Installing<'_> {
    /// Has pip install packages into the folder of this name.
    fn pip(&self, folder: &str, packages: &Value) -> Result<(), TaskError> {
        let packages = packages.as_list().unwrap_or_default();
        if packages.is_empty() {
            return Ok(());
        }
        let list = self.root.join(format!("{folder}.txt"));
        write_requirements(&list, packages).map_err(|error| disk(&list, &error))?;
        let mut command = Command::new(PYTHON);
        command
            .args(["-m", "pip", "install", "--requirement"])
            .arg(&list)
            .arg("--target")
            .arg(self.root.join(folder))
            // The named versions with these digests, and nothing that they ask for.
            .args(["--require-hashes", "--no-deps"])
            // Without isolation a build fetches nothing; what it may use is on the path below.
            .arg("--no-build-isolation")
            .args([
                "--no-compile",
                "--no-cache-dir",
                "--no-warn-script-location",
            ])
            .args([
                "--no-input",
                "--disable-pip-version-check",
                "--progress-bar",
                "off",
            ])
            .env("PYTHONPATH", self.root.join(BUILD))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONHASHSEED", "0")
            .env("TMPDIR", self.root.join("tmp"))
            // Debug information names the folder of the build.
            .env("CFLAGS", "-g0")
            .env("SOURCE_DATE_EPOCH", "315532800")
            // Its warning would stand where the error is looked for.
            .env("PIP_ROOT_USER_ACTION", "ignore")
            .envs(self.pip_env.iter().cloned())
            .current_dir(self.root.join("home"));
        let finished = process::run(&mut command, &Limits::default(), &mut || {
            self.host.checkpoint()
        })
        .map_err(pip::not_run)?;
        if finished.exit.is_success() {
            return Ok(());
        }
        let names: Vec<&str> = packages
            .iter()
            .filter_map(|entry| entry.field(PACKAGE).as_text())
            .collect();
        Err(pip::failed(PYTHON, &names.join(" "), &finished))
    }

    /// Stores what is in the folder of this name, but for what is not the packages' own.
    fn files(&self, folder: &str) -> Result<Vec<ArtifactFile>, TaskError> {
        let root = self.root.join(folder);
        let mut paths = Vec::new();
        collect(&root, &mut paths)?;
        let mut files = Vec::with_capacity(paths.len());
        for (index, path) in paths.iter().enumerate() {
            self.host.checkpoint()?;
            self.host.progress(index as u64, Some(paths.len() as u64));
            let inner = path.strip_prefix(&root).unwrap_or(path);
            let Some(name) = inner.to_str() else {
                return Err(outside(format!(
                    "a package holds a file whose name is no UTF-8, {inner:?}"
                )));
            };
            if !is_kept(name) {
                continue;
            }
            let meta = fs::symlink_metadata(path).map_err(|error| disk(path, &error))?;
            if !meta.is_file() {
                return Err(outside(format!(
                    "a package holds `{name}`, which is no file"
                )));
            }
            let blob = if meta.len() > SMALL_BYTES {
                self.host.take_file(path)?
            } else {
                let bytes = fs::read(path).map_err(|error| disk(path, &error))?;
                self.host.put(&bytes)?
            };
            files.push(ArtifactFile {
                name: name.to_owned(),
                blob,
            });
        }
        Ok(files)
    }
}

/// Tells whether a file is the packages' own, and the same wherever they are installed.
fn is_kept(name: &str) -> bool {
    // Scripts that pip makes begin with the path of the interpreter; their modules can be run instead.
    let is_script = name.starts_with("bin/");
    let is_compiled = name.ends_with(".pyc");
    let is_bookkeeping = name
        .split_once(".dist-info/")
        .is_some_and(|(_, inner)| BOOKKEEPING.contains(&inner));
    !(is_script || is_compiled || is_bookkeeping)
}

/// Writes a file of requirements with digests.
fn write_requirements(path: &Path, packages: &[Value]) -> std::io::Result<()> {
    let mut file = fs::File::create(path)?;
    for entry in packages {
        write!(
            file,
            "{}",
            entry.field(PACKAGE).as_text().unwrap_or_default()
        )?;
        let digests = entry.field(SHA256).as_list().unwrap_or_default();
        for digest in digests.iter().filter_map(Value::as_text) {
            write!(file, " --hash=sha256:{digest}")?;
        }
        writeln!(file)?;
    }
    Ok(())
}

/// All that is in a folder and is no folder, in the order of the names; links are not followed.
fn collect(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<(), TaskError> {
    let failed = |error| disk(folder, &error);
    let mut inner = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        inner.push(entry.map_err(failed)?.path());
    }
    inner.sort();
    for path in inner {
        let meta = fs::symlink_metadata(&path).map_err(failed)?;
        if meta.is_dir() {
            collect(&path, paths)?;
        } else {
            paths.push(path);
        }
    }
    Ok(())
}

fn outside(message: String) -> TaskError {
    TaskError::new(TaskErrorKind::Outside, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hangs_on_the_place_is_left_out() {
        for kept in [
            "a/__init__.py",
            "a-1.0.dist-info/METADATA",
            "a/RECORD",
            "a/bin/tool",
            "core.cpython-311-x86_64-linux-gnu.so",
        ] {
            assert!(is_kept(kept), "{kept}");
        }
        for left in [
            "bin/tool",
            "a/__pycache__/b.cpython-311.pyc",
            "a-1.0.dist-info/RECORD",
            "a-1.0.dist-info/INSTALLER",
            "a-1.0.dist-info/direct_url.json",
        ] {
            assert!(!is_kept(left), "{left}");
        }
    }

    #[test]
    fn packages_are_pinned() {
        let told = |json: serde_json::Value| -> Vec<String> {
            faults(&Value::from_json(&json))
                .into_iter()
                .map(|(path, message)| format!("{}: {message}", path.join(".")))
                .collect()
        };
        let digest = "0".repeat(64);
        let good = serde_json::json!([{ "package": "a==1.0", "sha256": [digest] }]);
        assert_eq!(told(good), [""; 0]);
        assert_eq!(told(serde_json::json!([])), [": names no package"]);
        let bad = serde_json::json!([{ "package": "a>=1", "sha256": ["12"] }]);
        assert_eq!(
            told(bad),
            [
                "0.package: `a>=1` is no `name==version` of a package",
                "0.sha256: `12` is no SHA-256 of 64 hexadecimal digits in lower case"
            ]
        );
    }
}
