//! `llmcl run`.

use std::num::NonZeroUsize;
use std::time::Duration;

use llmcl_cache::Store;
use llmcl_engine::events::{Event, FailureKind, Phase, Summary, What};
use llmcl_engine::model::Experiment;
use llmcl_engine::phases::Phases;
use llmcl_engine::record::Build;
use llmcl_engine::resolve::Choices;
use llmcl_engine::run::{self, End, Run, RunControl, RunError, RunOptions, WorkerProgram};
use llmcl_engine::timings::Timings;
use llmcl_stages::api::port::PortType;

use crate::args::RunArgs;
use crate::exit::Exit;
use crate::progress::Progress;
use crate::text::{print, tell};
use crate::{log, plan, session, size, timings};

pub(crate) fn run(arguments: &RunArgs) -> Result<(), Exit> {
    let mut phases = Phases::begin();
    let registry = llmcl_stages::registry();
    let loaded = session::load(&arguments.experiment, &registry)?;
    phases.end(Phase::Check);
    let store = session::open(&arguments.store, &arguments.experiment.file)?;
    phases.end(Phase::Open);
    let experiment = &loaded.experiment;
    let options = options(arguments, phases)?;
    let control = RunControl::default();
    listen(&control);
    let mut progress =
        (!arguments.quiet && !arguments.json).then(|| Progress::new(experiment.tasks.len()));
    let mut printed = Ok(());
    let mut store_failed = false;
    let mut times = Timings::default();
    let mut sink = |event: &Event| {
        if let Some(progress) = &mut progress {
            progress.show(event);
        }
        if let What::TaskFailed { failure, .. } = &event.what {
            store_failed |= failure.kind == FailureKind::Store;
        }
        if arguments.timings {
            times.add(event);
        }
        if arguments.json && printed.is_ok() {
            printed = print(&(event.to_line() + "\n"));
        }
    };
    let result = run::run(experiment, &store, &registry, &options, &control, &mut sink);
    if let Some(progress) = &progress {
        progress.finish();
    }
    let run = match result {
        Ok(run) => run,
        Err(RunError::NotReady(problems)) => return plan::not_ready(&problems),
    };
    let end_us = options.before.now().saturating_sub(times.last());
    if !arguments.json && !arguments.quiet {
        printed = print(&reports(experiment, &store, &run));
    }
    tell(&summary(&run.summary));
    if arguments.timings {
        tell(timings::render(&times.report(timings::LONGEST), Some(end_us)).trim_end());
    }
    // How the run went counts more than whether anyone read about it.
    if run.summary.interrupted {
        Err(Exit::Interrupted)
    } else if store_failed {
        Err(Exit::Store)
    } else if run.summary.is_complete() {
        printed
    } else {
        Err(Exit::Failed)
    }
}

fn options(arguments: &RunArgs, before: Phases) -> Result<RunOptions, Exit> {
    let processors = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let program = std::env::current_exe().map_err(|error| {
        tell(&format!(
            "error: cannot find this program's own file: {error}"
        ));
        Exit::Store
    })?;
    Ok(RunOptions {
        choices: Choices::default(),
        jobs: arguments.jobs.unwrap_or(processors),
        memory: arguments.memory.map_or_else(free_memory, |size| size.0),
        keep_going: arguments.keep_going,
        back_off: Duration::from_secs(1),
        worker: WorkerProgram {
            program,
            arguments: vec!["worker".to_owned()],
        },
        build: Build {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            compiler: env!("LLMCL_COMPILER").to_owned(),
            profile: if cfg!(debug_assertions) {
                "debug"
            } else {
                "release"
            }
            .to_owned(),
            simd: simd().to_owned(),
        },
        before,
    })
}

/// The widest vectors that this machine has, among those that make a difference to codecs.
fn simd() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512vbmi2") {
            return "avx512vbmi2";
        }
        if std::arch::is_x86_feature_detected!("avx2") {
            return "avx2";
        }
    }
    "portable"
}

/// Four fifths of the memory that is free now; 4 GiB where the system does not tell.
fn free_memory() -> u64 {
    let available = std::fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| {
            let line = text
                .lines()
                .find(|line| line.starts_with("MemAvailable:"))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        });
    available.map_or(4 << 30, |kibibytes| kibibytes * 1024 / 5 * 4)
}

/// Ctrl-C once: the run ends what it is doing. Twice: the program ends.
fn listen(control: &RunControl) {
    let control = control.clone();
    let result = ctrlc::set_handler(move || {
        if control.is_stopping() {
            // Children die with this process.
            std::process::exit(130);
        }
        control.stop();
    });
    if let Err(error) = result {
        tell(&format!("warning: Ctrl-C cannot be caught: {error}"));
    }
}

/// The reports of the experiment, as they were written.
fn reports(experiment: &Experiment, store: &Store, run: &Run) -> String {
    let mut text = String::new();
    for (task, end) in run.ends.iter().enumerate() {
        let stage = &experiment.stages[experiment.tasks[task].stage];
        let End::Done { outputs, .. } = end else {
            continue;
        };
        for port in stage
            .outputs
            .iter()
            .filter(|port| port.ty == PortType::Report)
        {
            let Some(artifact) = outputs.output(&port.name).map(|output| &output.artifact) else {
                continue;
            };
            for file in artifact
                .files()
                .iter()
                .filter(|file| file.name.ends_with(".md"))
            {
                match store.blob(&file.blob.digest, file.blob.bytes) {
                    Ok(blob) if blob.as_ref().is_empty() => {}
                    Ok(blob) => {
                        text.push_str(&String::from_utf8_lossy(blob.as_ref()));
                        text.push('\n');
                    }
                    Err(error) => tell(&format!("warning: {}: {error}", file.name)),
                }
            }
        }
    }
    text
}

fn summary(summary: &Summary) -> String {
    format!(
        "{} in {}{}",
        log::counts(summary),
        size::duration(Duration::from_micros(summary.duration_us)),
        if summary.interrupted {
            "; interrupted, the next run goes on from here"
        } else {
            ""
        }
    )
}
