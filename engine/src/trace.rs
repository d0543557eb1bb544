//! A run as a trace that chrome://tracing and Perfetto show: one row for the engine's phases and one a slot.
//!
//! The format is the JSON object form of the "Trace Event Format" (`traceEvents`): complete events (`X`) for phases,
//! tasks and the parts of tasks, instants (`i`), flows (`s`, `f`) from the task that another one waited for last, and
//! metadata (`M`) that names the rows. Times are microseconds from the begin of the run. Bars of a row nest or
//! follow one another, and none is outside of the run.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use serde_json::{Value, json};

use crate::events::{Event, Spent, What};

/// The row of the engine; slot 0 is the next.
const ENGINE: usize = 0;

/// Writes a trace while the events of a run are read.
#[derive(Debug)]
pub struct Trace<W> {
    out: W,
    first: bool,
    /// When the run began, in microseconds since 1970 (UTC).
    began: u64,
    /// The time of the event before, from `began`.
    now: u64,
    slots: Vec<Slot>,
    /// Where each task ended whose end was told: its row and the last microsecond of its bar.
    ends: HashMap<String, (usize, u64)>,
    /// The slots that tasks are in that have begun and not ended.
    open: HashMap<String, usize>,
    flows: u64,
}

/// What is known of a slot.
#[derive(Debug, Clone, Default)]
struct Slot {
    /// The ends of its bars, by their begins. A task's end is told after the next one may have begun, and not always
    /// in order.
    bars: BTreeMap<u64, u64>,
    /// The tasks that have begun there and whose ends have not been told: since when, and when the next one began.
    open: Vec<(String, u64, Option<u64>)>,
}

impl Slot {
    /// Takes what is free of a stretch of time, from its begin on.
    fn take(&mut self, begin: u64, end: u64) -> (u64, u64) {
        let before = self.bars.range(..=begin).next_back();
        let begin = before.map_or(begin, |(_, &end)| begin.max(end));
        let behind = self.bars.range(begin..).next();
        let end = behind.map_or(end, |(&next, _)| end.min(next)).max(begin);
        if begin < end {
            self.bars.insert(begin, end);
        }
        (begin, end)
    }
}

/// A slot that a log names must be one that a run can have.
const MOST_SLOTS: usize = 4096;

impl<W: Write> Trace<W> {
    /// Begins a trace.
    ///
    /// # Errors
    /// If nothing can be written.
    pub fn begin(mut out: W) -> io::Result<Self> {
        out.write_all(b"{\"displayTimeUnit\":\"ms\",\"traceEvents\":[")?;
        let mut trace = Self {
            out,
            first: true,
            began: 0,
            now: 0,
            slots: Vec::new(),
            ends: HashMap::new(),
            open: HashMap::new(),
            flows: 0,
        };
        trace.name_row(ENGINE, "engine")?;
        Ok(trace)
    }

    /// Takes in the next event.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn add(&mut self, event: &Event) -> io::Result<()> {
        if let What::RunStarted {
            run,
            experiment,
            began,
            jobs,
            ..
        } = &event.what
        {
            self.began = *began;
            let name = json!({ "name": format!("llmcl run {experiment}") });
            self.write(json!({ "name": "process_name", "ph": "M", "pid": 1, "tid": ENGINE, "ts": 0, "args": name }))?;
            let facts = json!({ "run": run, "experiment": experiment, "jobs": jobs });
            self.now = self.time(event.at);
            return self.instant(ENGINE, "run started", &facts);
        }
        self.now = self.time(event.at).max(self.now);
        match &event.what {
            What::PhaseEnded {
                phase,
                began,
                took_us,
            } => {
                let begin = self.time(*began);
                let took = (*took_us).min(self.now.saturating_sub(begin));
                self.bar(ENGINE, "phase", phase.name(), begin, took, &json!({}))
            }
            What::TaskStarted { task, slot, .. } => {
                if self.has_slot(*slot)? {
                    let now = self.now;
                    if let Some((_, _, end)) = self.slots[*slot].open.last_mut() {
                        end.get_or_insert(now);
                    }
                    self.slots[*slot].open.push((task.clone(), now, None));
                    self.open.insert(task.clone(), *slot);
                }
                Ok(())
            }
            What::TaskFinished {
                task,
                spent: Some(spent),
                how,
                outputs,
                ..
            } => {
                let bytes: u64 = outputs
                    .values()
                    .map(|output| output.bytes)
                    .fold(0, u64::saturating_add);
                self.task(
                    task,
                    spent,
                    &json!({
                        "how": how,
                        "bytes": bytes,
                        "publish_us": spent.publish_us,
                        "flush_us": spent.flush_us,
                    }),
                )
            }
            What::TaskFailed {
                task,
                failure,
                attempts,
                spent,
            } => {
                let facts = json!({ "failed": failure.message, "attempts": attempts });
                match spent {
                    Some(spent) => self.task(task, spent, &facts),
                    None => self.instant(ENGINE, &format!("{task} failed"), &facts),
                }
            }
            What::TaskRetried {
                task,
                attempt,
                failure,
                pause_us,
            } => {
                let row = self.open.get(task).map_or(ENGINE, |slot| slot + 1);
                let facts =
                    json!({ "failed": failure.message, "attempt": attempt, "pause_us": pause_us });
                self.instant(row, "retried", &facts)
            }
            What::TaskWaiting { task } => self.instant(
                ENGINE,
                &format!("{task} waits for another process"),
                &json!({}),
            ),
            What::TaskRedone {
                task, needed_by, ..
            } => self.instant(
                ENGINE,
                &format!("{task} again"),
                &json!({ "needed_by": needed_by }),
            ),
            What::GateDecided { task, outcome, .. } => {
                self.instant(ENGINE, &format!("{task}: {outcome}"), &json!({}))
            }
            What::StoreNotice { message } => {
                self.instant(ENGINE, "store notice", &json!({ "message": message }))
            }
            What::Interrupted => self.instant(ENGINE, "interrupted", &json!({})),
            _ => Ok(()),
        }
    }

    /// Ends the trace; what has not ended is shown up to the last event.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        for slot in 0..self.slots.len() {
            self.close(slot)?;
        }
        self.out.write_all(b"\n]}\n")?;
        self.out.flush()?;
        Ok(self.out)
    }

    /// A time of the stream, from the begin of the run.
    fn time(&self, at: u64) -> u64 {
        at.saturating_sub(self.began)
    }

    /// Whether a run can have that slot; names its row at the first call.
    fn has_slot(&mut self, slot: usize) -> io::Result<bool> {
        if slot >= MOST_SLOTS {
            return Ok(false);
        }
        while self.slots.len() <= slot {
            self.slots.push(Slot::default());
            let row = self.slots.len();
            self.name_row(row, &format!("slot {}", row - 1))?;
        }
        Ok(true)
    }

    /// Shows the tasks that have begun in a slot and whose ends were not told, up to the next one or to now.
    fn close(&mut self, slot: usize) -> io::Result<()> {
        for (task, begin, end) in std::mem::take(&mut self.slots[slot].open) {
            let (begin, end) = self.slots[slot].take(begin, end.unwrap_or(self.now));
            let facts = json!({ "how": "not ended" });
            self.bar(slot + 1, "task", &task, begin, end - begin, &facts)?;
        }
        Ok(())
    }

    fn task(&mut self, task: &str, spent: &Spent, facts: &Value) -> io::Result<()> {
        if !self.has_slot(spent.slot)? {
            return Ok(());
        }
        let row = spent.slot + 1;
        if let Some(slot) = self.open.remove(task) {
            self.slots[slot].open.retain(|(open, ..)| open != task);
        }
        let begin = self.time(spent.started()).min(self.now);
        let end = self.time(spent.ended()).clamp(begin, self.now);
        let (begin, end) = self.slots[spent.slot].take(begin, end);
        let mut facts = facts.clone();
        facts["queue_us"] = spent.queue_us.into();
        self.bar(row, "task", task, begin, end - begin, &facts)?;
        let mut from = begin;
        for (name, part) in spent.parts() {
            let took = part.min(end - from);
            if took > 0 {
                self.bar(row, "part", name, from, took, &json!({}))?;
                from += took;
            }
        }
        let before = spent.after.as_ref().and_then(|after| self.ends.get(after));
        if let Some(&(other_row, other_end)) = before
            && other_end <= begin
        {
            self.flows += 1;
            let id = self.flows;
            self.write(json!({ "name": "waited for", "cat": "flow", "ph": "s", "id": id, "pid": 1, "tid": other_row, "ts": other_end }))?;
            self.write(json!({ "name": "waited for", "cat": "flow", "ph": "f", "bp": "e", "id": id, "pid": 1, "tid": row, "ts": begin }))?;
        }
        // A flow is tied to the bar that is there at its time, and a bar ends before its end.
        self.ends
            .insert(task.to_owned(), (row, end.saturating_sub(1).max(begin)));
        Ok(())
    }

    fn bar(
        &mut self,
        row: usize,
        category: &str,
        name: &str,
        begin: u64,
        took: u64,
        facts: &Value,
    ) -> io::Result<()> {
        self.write(json!({
            "name": name, "cat": category, "ph": "X", "pid": 1, "tid": row, "ts": begin, "dur": took, "args": facts,
        }))
    }

    fn instant(&mut self, row: usize, name: &str, facts: &Value) -> io::Result<()> {
        self.write(json!({
            "name": name, "cat": "note", "ph": "i", "s": "t", "pid": 1, "tid": row, "ts": self.now, "args": facts,
        }))
    }

    fn name_row(&mut self, row: usize, name: &str) -> io::Result<()> {
        self.write(json!({
            "name": "thread_name", "ph": "M", "pid": 1, "tid": row, "ts": 0, "args": { "name": name },
        }))?;
        self.write(json!({
            "name": "thread_sort_index", "ph": "M", "pid": 1, "tid": row, "ts": 0, "args": { "sort_index": row },
        }))
    }

    fn write(&mut self, event: Value) -> io::Result<()> {
        let comma = if std::mem::take(&mut self.first) {
            "\n"
        } else {
            ",\n"
        };
        write!(self.out, "{comma}{event}")
    }
}

#[cfg(test)]
mod tests;
