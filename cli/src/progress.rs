//! The progress of a run: a steady display on a terminal, a line a task elsewhere.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use llmcl_engine::events::{Event, Failure, Finish, What};

use crate::plan::counts;
use crate::size;
use crate::text::tell;

/// Reads the events of a run and shows them.
pub(crate) struct Progress {
    screen: MultiProgress,
    whole: ProgressBar,
    tasks: BTreeMap<String, ProgressBar>,
    live: bool,
}

impl Progress {
    /// Starts a display for this many tasks. Without a terminal, or in CI, each finished task is a line.
    pub(crate) fn new(tasks: usize) -> Self {
        let in_ci = std::env::var_os("CI").is_some();
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let live = std::io::stderr().is_terminal() && !in_ci && !dumb;
        let target = if live {
            ProgressDrawTarget::stderr_with_hz(10)
        } else {
            ProgressDrawTarget::hidden()
        };
        let screen = MultiProgress::with_draw_target(target);
        let whole = screen.add(ProgressBar::new(tasks as u64));
        whole.set_style(style("{bar:30} {pos}/{len} tasks  {elapsed}"));
        Self {
            screen,
            whole,
            tasks: BTreeMap::new(),
            live,
        }
    }

    /// Shows one event.
    pub(crate) fn show(&mut self, event: &Event) {
        match &event.what {
            What::RunStarted { planned, .. } => self.line(&counts(*planned)),
            What::TaskStarted { task, .. } if self.live => {
                let bar = self.screen.insert_before(&self.whole, ProgressBar::new_spinner());
                bar.set_style(style("  {spinner} {msg}  {elapsed}"));
                bar.set_message(task.clone());
                bar.enable_steady_tick(Duration::from_millis(200));
                self.tasks.insert(task.clone(), bar);
            }
            What::TaskProgress { task, done, total } => {
                if let (Some(bar), Some(total)) = (self.tasks.get(task), *total) {
                    if bar.length() != Some(total) {
                        bar.set_length(total);
                        bar.set_style(style(
                            "  {spinner} {msg}  {bar:20} {bytes}/{total_bytes}  {elapsed}",
                        ));
                    }
                    bar.set_position(*done);
                }
            }
            What::TaskWaiting { task } => {
                self.line(&format!(" waiting  {task}: another process is at work on it"));
            }
            What::TaskRetried {
                task,
                attempt,
                failure,
                pause_us,
            } => self.line(&format!(
                "   again  {task}: attempt {attempt} failed: {}; next in {}",
                failure.message,
                size::duration(Duration::from_micros(*pause_us))
            )),
            What::TaskFinished {
                task,
                how,
                outputs,
                spent,
                ..
            } => {
                self.end(task);
                let bytes = outputs.values().map(|output| output.bytes).sum();
                match how {
                    Finish::Executed => self.line(&format!(
                        "    done  {task}  {}, {}",
                        size::bytes(bytes),
                        size::duration(Duration::from_micros(spent.as_ref().map_or(0, |spent| spent.work_us)))
                    )),
                    Finish::Taken => self.line(&format!("   taken  {task}  from another process")),
                    Finish::Cached | Finish::Shared => {}
                }
            }
            What::GateDecided {
                task,
                outcome,
                note,
                statistics,
            } => {
                let figures: Vec<String> = statistics
                    .iter()
                    .map(|(name, value)| format!("{name} = {}", figure(*value)))
                    .collect();
                let note = note.as_ref().map_or(String::new(), |note| format!(" ({note})"));
                self.line(&format!("    gate  {task}: {outcome}{note}  {}", figures.join(", ")));
            }
            What::TaskFailed {
                task,
                failure,
                attempts,
                ..
            } => {
                self.end(task);
                self.failure(task, failure, *attempts);
            }
            What::TaskPruned {
                task,
                gate,
                outcome,
            } => {
                self.whole.inc(1);
                self.line(&format!("  pruned  {task}  {gate}: {outcome}"));
            }
            What::TaskNotRun { task, because } => {
                self.whole.inc(1);
                self.line(&format!(" not run  {task}: {because} failed"));
            }
            What::TaskRedone {
                task, needed_by, ..
            } => self.line(&format!(
                "    redo  {task}: its output is gone or damaged, and {needed_by} needs it"
            )),
            What::StoreNotice { message } => self.line(&format!(" warning  {message}")),
            What::LogFailed { message } => self.line(&format!(
                " warning  the run's log cannot be written, so the run is not an official one: {message}"
            )),
            What::Interrupted => {
                self.line("stopping: running tasks end first; press Ctrl-C again to stop at once");
            }
            What::TaskStarted { .. } | What::PhaseEnded { .. } | What::RunFinished { .. } => {}
        }
    }

    /// Takes the display away.
    pub(crate) fn finish(&self) {
        for bar in self.tasks.values() {
            bar.finish_and_clear();
        }
        self.whole.finish_and_clear();
    }

    fn end(&mut self, task: &str) {
        if let Some(bar) = self.tasks.remove(task) {
            bar.finish_and_clear();
            self.screen.remove(&bar);
        }
        self.whole.inc(1);
    }

    fn failure(&self, task: &str, failure: &Failure, attempts: u32) {
        let times = if attempts > 1 {
            format!(" ({attempts} attempts)")
        } else {
            String::new()
        };
        self.line(&format!("  failed  {task}{times}: {}", failure.message));
        if let Some(hint) = &failure.hint {
            self.line(&format!("          hint: {hint}"));
        }
    }

    fn line(&self, line: &str) {
        if self.live {
            self.screen.suspend(|| tell(line));
        } else {
            tell(line);
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants, and a test reads each of them.
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

/// A figure with as many digits as say something.
pub(crate) fn figure(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e12 {
        format!("{value}")
    } else {
        format!("{value:.5}")
    }
}
