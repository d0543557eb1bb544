//! Whoever may remove something: alone as such, beside processes that go on with their work.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;

use blake3::Hash;

use super::Amount;
use super::survey::Survey;
use crate::error::{Context, StoreError};
use crate::lock::{self, COLLECTION_BYTE, COLLECTOR_BYTE, locks_path, try_lock};
use crate::session::{Session, sweep, tmp_folder};
use crate::store::Store;
use crate::uses::{ENTRY_BYTES, count_removal};

/// The right to remove things from a store. One process at a time has it; runs go on beside it.
///
/// What is kept must be found out after this has been got: see [`Store::collector`].
pub struct Collector {
    store: Store,
    session: Arc<Session>,
    /// The collector's byte of this file is taken alone.
    locks: File,
    /// What processes that are gone had left unfinished.
    swept: Amount,
}

/// Nobody looks at what there is as long as this lives.
pub(crate) struct Alone<'a>(&'a Collector);

impl Store {
    /// Waits until no other collection goes on, and begins one. `on_wait` is called if there is something to wait
    /// for, here or later.
    ///
    /// Processes that end from now on leave what they have used on record, and of those that ended before all
    /// records and logs can be read.
    pub fn collector(&self, on_wait: &mut dyn FnMut()) -> Result<Collector, StoreError> {
        let swept = Survey::of_sessions(self.root()).dead_sessions();
        let session = self.session()?;
        let path = locks_path(self.root());
        let locks = lock::wait(on_wait, || {
            try_lock(&path, COLLECTOR_BYTE).context("lock", &path)
        })?;
        self.refresh()?;
        Ok(Collector {
            store: self.clone(),
            session,
            locks,
            swept,
        })
    }
}

impl Collector {
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// What processes that are gone had left unfinished, and is gone now.
    pub(crate) fn swept(&self) -> Amount {
        self.swept
    }

    /// Waits until nobody is looking at what there is.
    pub(crate) fn alone(&self, on_wait: &mut dyn FnMut()) -> Result<Alone<'_>, StoreError> {
        let path = locks_path(self.store.root());
        lock::take_alone(&self.locks, on_wait).context("lock", &path)?;
        Ok(Alone(self))
    }
}

impl Alone<'_> {
    /// Has all who look from now on read the records again.
    pub(crate) fn count_removal(&self) -> Result<(), StoreError> {
        let path = locks_path(self.0.store.root());
        count_removal(&self.0.locks).context("write", &path)
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        lock::unlock(&self.0.locks, COLLECTION_BYTE);
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        lock::unlock(&self.locks, COLLECTOR_BYTE);
        // The lists of uses that were left for this collection. The next writer would do it, too.
        let _ = sweep(self.store.root());
    }
}

/// Reads what processes use, further each time.
#[derive(Default)]
pub(crate) struct UsesReader {
    /// How far each list has been read, in bytes.
    read: HashMap<OsString, u64>,
}

impl UsesReader {
    /// The uses that were listed since the last time, by processes that live and by those that have ended since the
    /// collection began.
    pub(crate) fn read_on(&mut self, store: &Store) -> Result<Vec<Hash>, StoreError> {
        let tmp = tmp_folder(store.root());
        let mut uses = Vec::new();
        let entries = match fs::read_dir(&tmp) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(uses),
            entries => entries.context("list the folder", &tmp)?,
        };
        for entry in entries {
            let name = entry.context("list the folder", &tmp)?.file_name();
            if !name.to_str().is_some_and(crate::session::is_uses) {
                continue;
            }
            let path = tmp.join(&name);
            let read = self.read.entry(name).or_default();
            let mut bytes = Vec::new();
            let mut file = match File::open(&path) {
                // It was there until now, so no collection is going on, and this only tells what one would do.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                file => file.context("open", &path)?,
            };
            file.seek(SeekFrom::Start(*read))
                .and_then(|_| file.read_to_end(&mut bytes))
                .context("read", &path)?;
            for entry in bytes.as_chunks::<ENTRY_BYTES>().0 {
                uses.push(Hash::from_bytes(*entry));
                *read += ENTRY_BYTES as u64;
            }
        }
        Ok(uses)
    }
}
