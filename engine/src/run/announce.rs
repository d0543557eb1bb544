//! Telling what happens, and the run's log.

use std::num::NonZeroUsize;

use llmcl_cache::{RunLog, Store, StoreError};

use crate::events::{Event, Phase, Summary, VERSION, What};
use crate::phases::Phases;
use crate::plan::Counts;

/// Tells events to the reader and keeps the log.
pub(super) struct Announcer<'a> {
    store: &'a Store,
    run: String,
    pub(super) phases: Phases,
    sink: &'a mut dyn FnMut(&Event),
    log: Log,
}

enum Log {
    /// Nothing will run, so nothing is written.
    None,
    /// Nothing has run yet. If nothing ever does, nothing is written.
    Held(Vec<Event>),
    /// Lines go to the file.
    Open(RunLog),
    /// It could not be written.
    Failed,
}

impl<'a> Announcer<'a> {
    /// `logs` says whether anything may run.
    pub(super) fn new(
        store: &'a Store,
        run: String,
        logs: bool,
        phases: Phases,
        sink: &'a mut dyn FnMut(&Event),
    ) -> Self {
        Self {
            store,
            run,
            phases,
            sink,
            log: match logs {
                true => Log::Held(Vec::new()),
                false => Log::None,
            },
        }
    }

    /// Tells that the run begins, and removes what killed ones left, of which one that has nothing to write would not
    /// even know.
    pub(super) fn begin(&mut self, experiment: &str, planned: Counts, jobs: NonZeroUsize) {
        // What cannot be removed, as from a store that is only read, is no concern of this run.
        let _ = self.store.sweep();
        self.tell(What::RunStarted {
            run: self.run.clone(),
            experiment: experiment.to_owned(),
            began: self.phases.began(),
            planned,
            jobs: jobs.get(),
        });
        for what in self.phases.news() {
            self.tell(what);
        }
    }

    /// Tells an event.
    pub(super) fn tell(&mut self, what: What) {
        let begins = matches!(what, What::TaskStarted { .. });
        let logged = !matches!(what, What::TaskProgress { .. });
        let event = self.event(what);
        (self.sink)(&event);
        if logged {
            let written = self.write(event, begins);
            self.check(written);
        }
    }

    /// Ends a phase, and tells what phases have ended.
    pub(super) fn end_phase(&mut self, phase: Phase) {
        self.phases.end(phase);
        for what in self.phases.news() {
            self.tell(what);
        }
    }

    /// Tells that the run is over, and says whether its log is whole.
    pub(super) fn finish(mut self, mut summary: Summary) -> (String, Summary) {
        summary.log_written = true;
        let mut event = self.event(What::RunFinished { summary });
        let written = self
            .write(event.clone(), false)
            .and_then(|()| match &mut self.log {
                Log::Open(log) => log.sync(),
                Log::None | Log::Held(_) | Log::Failed => Ok(()),
            });
        self.check(written);
        summary.log_written = !matches!(self.log, Log::Failed);
        event.what = What::RunFinished { summary };
        (self.sink)(&event);
        (self.run, summary)
    }

    fn event(&self, what: What) -> Event {
        Event {
            v: VERSION,
            at: self.phases.now(),
            what,
        }
    }

    fn write(&mut self, event: Event, begins: bool) -> Result<(), StoreError> {
        if let (true, Log::Held(events)) = (begins, &mut self.log) {
            let events = std::mem::take(events);
            let mut log = self.store.run_log(&self.run)?;
            events
                .iter()
                .try_for_each(|event| log.append(&event.to_line()))?;
            self.log = Log::Open(log);
        }
        match &mut self.log {
            Log::Held(events) => events.push(event),
            Log::Open(log) => log.append(&event.to_line())?,
            Log::None | Log::Failed => {}
        }
        Ok(())
    }

    fn check(&mut self, written: Result<(), StoreError>) {
        if let Err(error) = written {
            self.log = Log::Failed;
            let message = error.to_string();
            let event = self.event(What::LogFailed { message });
            (self.sink)(&event);
        }
    }
}
