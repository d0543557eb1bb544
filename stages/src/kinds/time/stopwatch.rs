//! Encoding and decoding against the clock.

use std::sync::{Mutex, PoisonError};
use std::thread;

use llmcl_codecs::Method;
use llmcl_stages_api::task::{Host, TaskError, TaskErrorKind};

use super::clock::{Clock, Spent, Whose};
use super::sample::Item;
use crate::failure;
use crate::watched::{Comparing, Watched};

/// A method and what it works on, from memory to memory.
pub(super) struct Stopwatch<'a> {
    host: &'a dyn Host,
    method: &'a dyn Method,
    profile: Option<&'a [u8]>,
    items: &'a [Item<'a>],
    /// The encodings; their memory is used again in each repetition.
    encoded: Vec<Vec<u8>>,
    /// Where each thread decodes to; large enough for any item from the beginning.
    decoded: Vec<Vec<u8>>,
}

impl<'a> Stopwatch<'a> {
    pub(super) fn new(
        host: &'a dyn Host,
        method: &'a dyn Method,
        profile: Option<&'a [u8]>,
        items: &'a [Item<'a>],
        threads: usize,
    ) -> Self {
        let largest = items
            .iter()
            .map(|item| item.data().len())
            .max()
            .unwrap_or(0);
        Self {
            host,
            method,
            profile,
            items,
            encoded: vec![Vec::new(); items.len()],
            decoded: vec![vec![0; largest]; threads.clamp(1, items.len().max(1))],
        }
    }

    /// Encodes everything and takes the time.
    pub(super) fn encode(&mut self) -> Result<Spent, TaskError> {
        let Self {
            host,
            method,
            profile,
            ..
        } = *self;
        let work = self.items.iter().zip(&mut self.encoded);
        let clock = Clock::start(Whose::Own);
        share(work, &mut self.decoded, |(item, encoded), _| {
            encoded.clear();
            let mut out = Watched::new(encoded, host);
            let result = method.encode(&[item.view()], profile, &mut out);
            match (out.stopped(), result) {
                (Some(stop), _) => Err(stop),
                (None, Ok(_)) => Ok(()),
                (None, Err(error)) => {
                    Err(failure::input(format_args!("`{}`", item.name()), &error))
                }
            }
        })?;
        Ok(clock.stop())
    }

    /// Decodes everything and takes the time.
    pub(super) fn decode(&mut self) -> Result<Spent, TaskError> {
        let Self {
            host,
            method,
            profile,
            ..
        } = *self;
        let work = self.items.iter().zip(&self.encoded);
        let clock = Clock::start(Whose::Own);
        share(work, &mut self.decoded, |(item, encoded), decoded| {
            decoded.clear();
            let mut out = Watched::new(decoded, host);
            let result = method.decode(encoded, profile, &mut out);
            match (out.stopped(), result) {
                (Some(stop), _) => Err(stop),
                (None, Ok(())) => Ok(()),
                (None, Err(error)) => Err(wrong(method, item, failure::chain(&error))),
            }
        })?;
        Ok(clock.stop())
    }

    /// Decodes everything and compares it with the original.
    pub(super) fn compare(&self) -> Result<(), TaskError> {
        for (item, encoded) in self.items.iter().zip(&self.encoded) {
            let mut out = Watched::new(Comparing::new([item.data()]), self.host);
            let result = self.method.decode(encoded, self.profile, &mut out);
            if let Some(stop) = out.stopped() {
                return Err(stop);
            }
            let comparing = out.into_inner();
            if let (None, Err(error)) = (comparing.difference(), result) {
                return Err(wrong(self.method, item, failure::chain(&error)));
            }
            comparing
                .finish()
                .map_err(|difference| wrong(self.method, item, difference))?;
        }
        Ok(())
    }
}

fn wrong(method: &dyn Method, item: &Item<'_>, what: impl std::fmt::Display) -> TaskError {
    TaskError::new(
        TaskErrorKind::Mismatch,
        format!("`{}` with `{}`: {what}", item.name(), method.name()),
    )
}

/// Does all the work, in as many threads as there are places, each with a place of its own. With one place it is
/// done in this thread.
fn share<W: Send>(
    work: impl Iterator<Item = W> + Send,
    places: &mut [Vec<u8>],
    each: impl Fn(W, &mut Vec<u8>) -> Result<(), TaskError> + Sync,
) -> Result<(), TaskError> {
    if let [place] = places {
        for work in work {
            each(work, place)?;
        }
        return Ok(());
    }
    let queue = Mutex::new(work);
    let failed = Mutex::new(None);
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    thread::scope(|scope| {
        for place in places {
            scope.spawn(|| {
                while let Some(work) = next() {
                    if let Err(error) = each(work, place) {
                        let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                        failed.get_or_insert(error);
                        return;
                    }
                }
            });
        }
    });
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        None => Ok(()),
        Some(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_work_is_done_once_by_any_number_of_threads() {
        for threads in [1, 2, 7] {
            let mut places = vec![Vec::new(); threads];
            let done = Mutex::new(Vec::new());
            share(0..1000, &mut places, |work, _| {
                done.lock().unwrap().push(work);
                Ok(())
            })
            .unwrap();
            let mut done = done.into_inner().unwrap();
            done.sort_unstable();
            assert_eq!(done, (0..1000).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_error_in_any_thread_is_told() {
        for threads in [1, 3] {
            let mut places = vec![Vec::new(); threads];
            let result = share(0..1000, &mut places, |work, _| match work {
                500 => Err(TaskError::input("half way")),
                _ => Ok(()),
            });
            assert_eq!(result.unwrap_err().message, "half way");
        }
    }
}
