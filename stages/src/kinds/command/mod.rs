//! `command`: runs any program.
//!
//! The program starts in an empty folder that holds its declared inputs and nothing else, with its declared
//! environment and little more, and what it leaves there must be what it has declared. It is not caged: what it
//! reads and writes elsewhere nobody sees.

mod collect;
mod params;
mod place;
mod spec;
mod table;

use std::fs;
use std::time::Duration;

use llmcl_stages_api::kind::{Check, ProblemKind, StageKind};
use llmcl_stages_api::machine::{Fact, FactSort};
use llmcl_stages_api::param::{Param, Params};
use llmcl_stages_api::port::{Arity, InputPort, InputPorts, OutputPort, PortType};
use llmcl_stages_api::table::Schema;
use llmcl_stages_api::task::{Needs, Outputs, Outside, TaskContext, TaskError, TaskErrorKind};

use crate::process::{self, Limits, ProcessError};
use crate::program::{self, is_relative};
use crate::workplace::{Folders, disk};
use spec::Spec;

/// How many of the last lines of a failed program's standard error are shown.
const SHOWN_LINES: usize = 10;

/// The stage kind.
pub static KIND: Run = Run;

/// The stage kind `command`.
#[derive(Debug)]
pub struct Run;

impl StageKind for Run {
    fn name(&self) -> &'static str {
        "command"
    }

    fn about(&self) -> &'static str {
        "Runs any program in an empty folder that holds its declared inputs and nothing else."
    }

    fn leaves(&self) -> &'static [&'static str] {
        &["stages/src/kinds/command"]
    }

    fn params(&self) -> &'static [Param] {
        params::PARAMS
    }

    fn inputs(&self) -> InputPorts {
        InputPorts {
            fixed: &[],
            open: Some(InputPort {
                name: "<name>",
                ty: PortType::Any,
                arity: Arity::Many,
                required: false,
                about: "Put read-only into the folder of this name below the working folder.",
            }),
            one_of: &[],
        }
    }

    fn outputs(&self) -> &'static [OutputPort] {
        // They are what the parameter `outputs` says; `check` declares them.
        &[]
    }

    fn check(&self, check: &mut Check<'_>) {
        let ports: Vec<String> = check.inputs.keys().cloned().collect();
        let mut faults = Vec::new();
        for task in check.tasks {
            for fault in spec::faults(task, &ports) {
                if !faults.contains(&fault) {
                    faults.push(fault);
                }
            }
        }
        for fault in faults {
            let path: Vec<&str> = fault.path.iter().map(String::as_str).collect();
            check.problem(
                &path,
                ProblemKind::Value {
                    message: fault.message,
                    help: fault.help.map(str::to_owned),
                },
            );
        }
        let outputs = check.values(params::OUTPUTS);
        if outputs.len() > 1 {
            check.problem(
                &[params::OUTPUTS],
                ProblemKind::Value {
                    message: "differs from task to task".to_owned(),
                    help: Some("the outputs of a stage are the same for all its tasks".to_owned()),
                },
            );
        }
        for output in outputs
            .first()
            .into_iter()
            .flat_map(|value| spec::outputs(value))
        {
            let schema = Schema::new(output.columns.clone());
            check.output(&output.port, output.ty, schema, false);
        }
    }

    fn facts(&self, params: &Params) -> Vec<Fact> {
        let program = params.texts(params::ARGV).into_iter().take(1);
        program
            .filter(|program| !is_relative(program))
            .chain(params.texts(params::PROGRAMS))
            .map(program::fact)
            .collect()
    }

    fn fact_sorts(&self) -> Vec<&'static FactSort> {
        vec![&program::PROGRAM]
    }

    fn needs(&self, params: &Params, _input_bytes: u64) -> Needs {
        let time_limit = u64::try_from(params.int(params::TIME_LIMIT))
            .ok()
            .filter(|seconds| *seconds > 0)
            .map(Duration::from_secs);
        let retries = u32::try_from(params.int(params::RETRIES)).unwrap_or_default();
        Needs {
            memory: u64::try_from(params.int(params::MEMORY)).unwrap_or_default(),
            exclusive: false,
            outside: (retries > 0 || time_limit.is_some()).then_some(Outside {
                retries,
                time_limit,
            }),
        }
    }

    fn run(&self, task: &TaskContext<'_>) -> Result<Outputs, TaskError> {
        let spec = Spec::of(task.params);
        // Those of the inputs too: making folders is what takes the time of a small task.
        let ports = task.inputs.keys().map(|port| format!("work/{port}"));
        let ports: Vec<String> = ports.collect();
        let mut inner = Folders::NAMES.to_vec();
        inner.extend(ports.iter().map(String::as_str));
        let scratch = task.host.scratch(&inner)?;
        let folders = Folders::of((*scratch).as_ref());
        let placed = place::inputs(task, &folders.work, &spec)?;
        for output in &spec.outputs {
            let path = folders.work.join(&output.path);
            if let Some(parent) = path.parent().filter(|parent| *parent != folders.work) {
                fs::create_dir_all(parent).map_err(|error| disk(parent, &error))?;
            }
        }
        execute(task, &spec, &folders)?;
        collect::check_undeclared(&folders.work, &placed, &spec)?;
        collect::outputs(task, &folders.work, &spec)
    }
}

/// Runs the program to its end.
fn execute(task: &TaskContext<'_>, spec: &Spec, folders: &Folders) -> Result<(), TaskError> {
    let Some((name, arguments)) = spec.argv.split_first() else {
        return Err(TaskError::input("`argv` is empty"));
    };
    let mut command = folders.command(name, arguments, &spec.env)?;
    let finished = process::run(&mut command, &Limits::default(), &mut || {
        task.host.checkpoint()
    })
    .map_err(|error| not_run(name, error))?;
    if finished.exit.is_success() {
        return Ok(());
    }
    let kind = if spec.retries > 0 {
        TaskErrorKind::Passing
    } else {
        TaskErrorKind::Outside
    };
    let said = finished.stderr.last_lines(SHOWN_LINES);
    let said = if said.is_empty() {
        " and wrote nothing to its standard error".to_owned()
    } else {
        format!(
            "; the last it wrote to its standard error:\n{}",
            said.join("\n")
        )
    };
    Err(TaskError::new(
        kind,
        format!("`{name}` {}{said}", finished.exit),
    ))
}

fn not_run(name: &str, error: ProcessError) -> TaskError {
    match error {
        ProcessError::Stopped { reason, stderr, .. } => {
            let mut message = format!("`{name}` was stopped: {}", reason.message);
            let said = stderr.last_lines(SHOWN_LINES);
            if !said.is_empty() && reason.kind == TaskErrorKind::TimedOut {
                message = format!(
                    "{message}; the last it wrote to its standard error:\n{}",
                    said.join("\n")
                );
            }
            TaskError { message, ..*reason }
        }
        ProcessError::LeftBehind {
            exit, processes, ..
        } => outside(format!(
            "`{name}` {exit} and left processes running: {}",
            processes.join(", ")
        ))
        .with_hint("they were killed; a program must wait for what it starts"),
        ProcessError::Start { source, .. } => {
            outside(format!("`{name}` could not be started: {source}"))
        }
        ProcessError::Watch { source, .. } => {
            outside(format!("`{name}` could not be watched: {source}"))
        }
    }
}

/// An error of the program's that stays.
fn outside(message: impl Into<String>) -> TaskError {
    TaskError::new(TaskErrorKind::Outside, message)
}
