//! `llmcl run`.

use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use llmcl_cache::Store;
use llmcl_engine::events::{Event, FailureKind, Phase, Summary, What};
use llmcl_engine::phases::Phases;
use llmcl_engine::record::Build;
use llmcl_engine::resolve::Choices;
use llmcl_engine::run::{self, RunControl, RunError, RunOptions, WorkerProgram};
use llmcl_engine::snapshot::{self, Recalled, Request};
use llmcl_engine::timings::Timings;
use llmcl_stages::api::artifact::ArtifactFile;

use crate::args::RunArgs;
use crate::exit::Exit;
use crate::progress::Progress;
use crate::text::{print, tell};
use crate::{log, plan, session, size, timings};

pub(crate) fn run(arguments: &RunArgs) -> Result<(), Exit> {
    let mut phases = Phases::begin();
    let registry = llmcl_stages::registry();
    let request = Request {
        experiment: &arguments.experiment.file,
        settings: &arguments.experiment.settings,
    };
    let store = session::try_open(&arguments.store, &arguments.experiment.file);
    phases.end(Phase::Open);
    // The stream has every task in it, so it takes a plan.
    if let (Ok(store), false) = (&store, arguments.json) {
        let recalled = snapshot::recall(request, store, &registry);
        phases.end(Phase::Recall);
        if let Some(recalled) = recalled {
            return nothing_to_do(arguments, store, &recalled, phases);
        }
    }
    let loaded = session::load(&arguments.experiment, &registry)?;
    phases.end(Phase::Check);
    let store = store.map_err(|error| session::not_opened(&error))?;
    let options = options(arguments, phases)?;
    let control = RunControl::default();
    listen(&control);
    let experiment = &loaded.experiment;
    let mut watcher = Watcher::new(arguments, experiment.tasks.len());
    let mut sink = |event: &Event| watcher.watch(event);
    let result = run::run(experiment, &store, &registry, &options, &control, &mut sink);
    watcher.finish();
    let run = match result {
        Ok(run) => run,
        Err(RunError::NotReady(problems)) => return plan::not_ready(&problems),
    };
    if let Err(error) = snapshot::keep(request, &loaded, &run, &store) {
        tell(&format!("warning: {error}"));
    }
    let shown = watcher.show(
        &store,
        &run.reports(experiment),
        &run.summary,
        &options.before,
    );
    // How the run went counts more than whether anyone read about it.
    if run.summary.interrupted {
        Err(Exit::Interrupted)
    } else if watcher.store_failed {
        Err(Exit::Store)
    } else if run.summary.is_complete() {
        shown
    } else {
        Err(Exit::Failed)
    }
}

fn nothing_to_do(
    arguments: &RunArgs,
    store: &Store,
    recalled: &Recalled,
    phases: Phases,
) -> Result<(), Exit> {
    let options = options(arguments, phases)?;
    let mut watcher = Watcher::new(arguments, recalled.planned.cached);
    let mut sink = |event: &Event| watcher.watch(event);
    let summary = run::nothing_to_do(recalled, store, &options, &mut sink);
    watcher.finish();
    watcher.show(store, &recalled.reports, &summary, &options.before)
}

/// Follows a run, and shows what of it is asked for.
struct Watcher<'a> {
    arguments: &'a RunArgs,
    progress: Option<Progress>,
    times: Timings,
    /// Whether the stream could be printed.
    printed: Result<(), Exit>,
    /// Whether a task failed for the store.
    store_failed: bool,
}

impl<'a> Watcher<'a> {
    fn new(arguments: &'a RunArgs, tasks: usize) -> Self {
        Self {
            arguments,
            progress: (!arguments.quiet && !arguments.json).then(|| Progress::new(tasks)),
            times: Timings::default(),
            printed: Ok(()),
            store_failed: false,
        }
    }

    fn watch(&mut self, event: &Event) {
        if let Some(progress) = &mut self.progress {
            progress.show(event);
        }
        if let What::TaskFailed { failure, .. } = &event.what {
            self.store_failed |= failure.kind == FailureKind::Store;
        }
        if self.arguments.timings {
            self.times.add(event);
        }
        if self.arguments.json && self.printed.is_ok() {
            self.printed = print(&(event.to_line() + "\n"));
        }
    }

    fn finish(&self) {
        if let Some(progress) = &self.progress {
            progress.finish();
        }
    }

    /// Shows what came out in the end.
    fn show(
        &mut self,
        store: &Store,
        reports: &[ArtifactFile],
        summary: &Summary,
        clock: &Phases,
    ) -> Result<(), Exit> {
        let end_us = clock.now().saturating_sub(self.times.last());
        if self.progress.is_some() {
            self.printed = print(&text_of(reports, store));
        }
        tell(&sentence(summary));
        if self.arguments.timings {
            let report = self.times.report(timings::LONGEST);
            tell(timings::render(&report, Some(end_us)).trim_end());
        }
        std::mem::replace(&mut self.printed, Ok(()))
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
        machine: machine_lock(),
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

/// The file by which this user's processes know of each other, whatever stores they have.
fn machine_lock() -> PathBuf {
    if let Some(path) = std::env::var_os("LLMCL_MACHINE_LOCK") {
        return path.into();
    }
    let user = fs::metadata("/proc/self").map_or(0, |own| own.uid());
    std::env::temp_dir().join(format!("llmcl-{user}.lock"))
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

/// Reports as they were written.
fn text_of(reports: &[ArtifactFile], store: &Store) -> String {
    let mut text = String::new();
    for file in reports.iter().filter(|file| file.name.ends_with(".md")) {
        match store.blob(&file.blob.digest, file.blob.bytes) {
            Ok(blob) if blob.as_ref().is_empty() => {}
            Ok(blob) => {
                text.push_str(&String::from_utf8_lossy(blob.as_ref()));
                text.push('\n');
            }
            Err(error) => tell(&format!("warning: {}: {error}", file.name)),
        }
    }
    text
}

fn sentence(summary: &Summary) -> String {
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
