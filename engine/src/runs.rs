//! The recorded runs of a store, and reading their logs.
//!
//! A log is read line by line and never kept as a whole. What is damaged is told in its place, and the rest is read
//! on.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};

use llmcl_cache::{RunLogFile, Store, StoreError};
use serde::Deserialize;

use crate::events::{Event, Summary, VERSION, What};
use crate::story::Story;

/// The longest line that is read, in bytes without the line break. No event comes near it.
pub const MAX_LINE_BYTES: usize = 4 << 20;

/// So much of the end of a log is looked through for the last event, in bytes.
const TAIL_BYTES: u64 = 16 << 10;

/// The recorded runs of a store, newest first. A run that had nothing to do is not recorded.
#[derive(Debug)]
pub struct Runs(Vec<RecordedRun>);

/// A run that has a log.
#[derive(Debug)]
pub struct RecordedRun {
    log: RunLogFile,
}

impl Runs {
    /// Lists the runs; reads no log.
    ///
    /// # Errors
    /// If the folder of the logs cannot be listed.
    pub fn of(store: &Store) -> Result<Self, StoreError> {
        let logs = store.run_logs()?.into_iter().rev();
        Ok(Self(logs.map(|log| RecordedRun { log }).collect()))
    }

    /// The runs, newest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &RecordedRun> {
        self.0.iter()
    }

    /// Finds a run by its name, by a beginning of its name that no other has, or as `last`, `last-1`, ….
    ///
    /// # Errors
    /// If there is none, or more than one.
    pub fn find(&self, which: &str) -> Result<&RecordedRun, NoSuchRun> {
        let none = || NoSuchRun::None {
            which: which.to_owned(),
            runs: self.0.len(),
        };
        let back = match which.strip_prefix("last") {
            Some("") => Some(0),
            Some(rest) => rest.strip_prefix('-').and_then(|back| back.parse().ok()),
            None => None,
        };
        if let Some(back) = back {
            let back: usize = back;
            return self.0.get(back).ok_or_else(none);
        }
        if let Some(run) = self.iter().find(|run| run.name() == which) {
            return Ok(run);
        }
        let begin: Vec<_> = self
            .iter()
            .filter(|run| !which.is_empty() && run.name().starts_with(which))
            .collect();
        match begin[..] {
            [] => Err(none()),
            [run] => Ok(run),
            [one, other, ..] => Err(NoSuchRun::Several {
                which: which.to_owned(),
                count: begin.len(),
                examples: [one.name().to_owned(), other.name().to_owned()],
            }),
        }
    }
}

/// Why a run was not found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoSuchRun {
    /// No run is called that.
    #[error("none of the {runs} recorded runs is `{which}`")]
    None {
        /// What was asked for.
        which: String,
        /// How many runs are recorded.
        runs: usize,
    },
    /// The names of several runs begin like that.
    #[error("`{which}` may be {count} runs: {}, {}{}", examples[0], examples[1], if *count > 2 { ", …" } else { "" })]
    Several {
        /// What was asked for.
        which: String,
        /// How many there are.
        count: usize,
        /// Two of them.
        examples: [String; 2],
    },
}

impl RecordedRun {
    /// The name of the run.
    #[must_use]
    pub fn name(&self) -> &str {
        self.log.run()
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> &RunLogFile {
        &self.log
    }

    /// Reads the events, in order.
    ///
    /// # Errors
    /// If the log cannot be opened.
    pub fn events(&self) -> Result<Events<File>, StoreError> {
        Ok(Events::of(self.log.open()?))
    }

    /// Reads how the run began and ended. The log of one that has ended is read at both its ends only.
    ///
    /// # Errors
    /// If the log cannot be opened.
    pub fn outline(&self) -> Result<Outline, StoreError> {
        let first = self.events()?.next().and_then(Result::ok);
        let mut outline = Outline {
            name: self.name().to_owned(),
            experiment: None,
            began: None,
            took_us: None,
            summary: Summary::default(),
            ending: Ending::Silent,
        };
        if let Some(Event {
            what: What::RunStarted {
                experiment, began, ..
            },
            ..
        }) = first
        {
            outline.experiment = Some(experiment);
            outline.began = Some(began);
        }
        let (last, summary) = match last_event(self.log.open()?) {
            Some(Event {
                what: What::RunFinished { summary },
                at,
                ..
            }) => {
                outline.ending = Ending::of(&summary);
                (Some(at), summary)
            }
            _ => {
                let story = Story::of(self)?;
                outline.ending = story.ending;
                (story.last, story.told())
            }
        };
        outline.summary = summary;
        outline.took_us = last
            .zip(outline.began)
            .map(|(last, began)| last.saturating_sub(began));
        Ok(outline)
    }
}

/// How a run began and ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outline {
    /// Its name.
    pub name: String,
    /// The experiment; none if the first line of the log is damaged.
    pub experiment: Option<String>,
    /// When it began, in microseconds since 1970 (UTC).
    pub began: Option<u64>,
    /// How long it took, up to its last event.
    pub took_us: Option<u64>,
    /// How its tasks ended; counted so far if the run has not said that it is over.
    pub summary: Summary,
    /// How it ended.
    pub ending: Ending,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Every task is done or ruled out.
    Complete,
    /// Tasks failed, or were left because others failed.
    Failed,
    /// It was asked to stop.
    Interrupted,
    /// It is in progress: somebody is writing its log.
    Running,
    /// It ended without saying so: it was killed, or the machine went down, or its log could not be written.
    Silent,
}

impl Ending {
    /// How a run ended that says this of itself.
    #[must_use]
    pub fn of(summary: &Summary) -> Self {
        match summary {
            Summary {
                interrupted: true, ..
            } => Self::Interrupted,
            summary if summary.is_complete() => Self::Complete,
            _ => Self::Failed,
        }
    }

    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Running => "in progress",
            Self::Silent => "cut off",
        }
    }
}

/// A line of a log that is no event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Which line, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub kind: DamageKind,
}

/// What is wrong with a line of a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DamageKind {
    /// It has no line break at its end: the last line, whose writing was cut off or is under way.
    #[error("was not completely written")]
    Torn,
    /// It is over [`MAX_LINE_BYTES`].
    #[error("is longer than {MAX_LINE_BYTES} bytes")]
    TooLong,
    /// It is an event of another version of the stream.
    #[error("is of version {0} of the stream of events, and this program reads version {VERSION}")]
    OtherVersion(u32),
    /// It is nothing that this program knows.
    #[error("is no event that this program knows: {0}")]
    NoEvent(String),
    /// The file could not be read here; the rest of it is not read.
    #[error("could not be read: {0}")]
    Unreadable(String),
}

impl fmt::Display for Damage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {} {}", self.line, self.kind)
    }
}

/// The events of a log, one after the other; takes no more memory than the longest line.
#[derive(Debug)]
pub struct Events<R> {
    reader: BufReader<R>,
    buffer: Vec<u8>,
    line: u64,
    over: bool,
}

impl<R: Read> Events<R> {
    /// Reads events from lines.
    pub fn of(reader: R) -> Self {
        Self {
            reader: BufReader::with_capacity(64 << 10, reader),
            buffer: Vec::new(),
            line: 0,
            over: false,
        }
    }

    /// Reads the next line; nothing at the end.
    fn read(&mut self) -> std::io::Result<Option<Result<Event, DamageKind>>> {
        self.buffer.clear();
        let most = MAX_LINE_BYTES as u64 + 1;
        (&mut self.reader)
            .take(most)
            .read_until(b'\n', &mut self.buffer)?;
        Ok(match self.buffer.split_last() {
            None => None,
            Some((b'\n', line)) => Some(parse(line)),
            Some(_) if self.buffer.len() <= MAX_LINE_BYTES => Some(Err(DamageKind::Torn)),
            Some(_) => {
                self.reader.skip_until(b'\n')?;
                Some(Err(DamageKind::TooLong))
            }
        })
    }
}

impl<R: Read> Iterator for Events<R> {
    type Item = Result<Event, Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        self.line += 1;
        let read = self.read().unwrap_or_else(|error| {
            self.over = true;
            Some(Err(DamageKind::Unreadable(error.to_string())))
        });
        self.over |= read.is_none();
        let line = self.line;
        read.map(|read| read.map_err(|kind| Damage { line, kind }))
    }
}

/// What tells the version of a line that cannot be read otherwise.
#[derive(Deserialize)]
struct Head {
    v: u32,
}

/// Reads a line of a log, which is given without its line break.
pub(crate) fn parse(line: &[u8]) -> Result<Event, DamageKind> {
    let error = match serde_json::from_slice::<Event>(line) {
        Ok(event) if event.v == VERSION => return Ok(event),
        Ok(event) => return Err(DamageKind::OtherVersion(event.v)),
        Err(error) => error,
    };
    match serde_json::from_slice(line) {
        Ok(Head { v }) if v != VERSION => Err(DamageKind::OtherVersion(v)),
        // The message may quote the line.
        _ => Err(DamageKind::NoEvent(
            error.to_string().chars().take(200).collect(),
        )),
    }
}

/// The event on the last line, if that is short and whole.
fn last_event(mut file: File) -> Option<Event> {
    let length = file.seek(SeekFrom::End(0)).ok()?;
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))
        .ok()?;
    let mut tail = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut tail).ok()?;
    let lines = tail.strip_suffix(b"\n")?;
    let start = lines.iter().rposition(|byte| *byte == b'\n')? + 1;
    parse(&lines[start..]).ok()
}

#[cfg(test)]
mod tests;
