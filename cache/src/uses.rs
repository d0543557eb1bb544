//! What a process uses of the store, so that a collection beside it takes none of that away.
//!
//! As long as a process only reads, it shares the collection byte of `locks`, and nothing is collected. That writes
//! nothing. With its first write it lists what it has used in `tmp/<session>.uses` and gives the byte up. From then
//! on it lists each key and digest *before* it looks whether the store has it, and shares the byte only while it
//! does so. A collection removes things with the byte taken alone, and reads the lists before each removal: either
//! it sees the use, or the user looks after the removal and finds nothing.
//!
//! The first eight bytes of `locks` count the removals of records. Who finds them changed reads the records again.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use blake3::Hash;

use crate::crash::crash_point;
use crate::error::{Context, StoreError};
use crate::lock::{self, COLLECTION_BYTE, locks_path};
use crate::session::Session;

/// Bytes of an entry of a list.
pub(crate) const ENTRY_BYTES: usize = 32;

/// The uses of this process.
pub(crate) struct Uses {
    /// The file `locks`.
    locks: PathBuf,
    state: Mutex<State>,
}

struct State {
    /// What is protected: noted while the process only reads, and listed from then on.
    used: HashSet<Hash>,
    keeping: Keeping,
}

/// How collections are kept away.
enum Keeping {
    /// Not at all: the store has never been written to, or the file cannot be locked.
    Nothing,
    /// The collection byte of this file is shared.
    Byte(File),
    /// The uses are listed.
    List(List),
}

struct List {
    locks: File,
    file: File,
    path: PathBuf,
    /// Where the next entry goes, in bytes.
    end: u64,
}

impl Uses {
    /// Uses of the store at `root`; nothing is locked yet.
    pub(crate) fn new(root: &Path) -> Uses {
        Uses {
            locks: locks_path(root),
            state: Mutex::new(State {
                used: HashSet::new(),
                keeping: Keeping::Nothing,
            }),
        }
    }

    /// Does something, such as reading records, while nothing is collected. It is given the count of removals.
    pub(crate) fn undisturbed<T>(
        &self,
        act: impl FnOnce(u64) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Keeping::Nothing = state.keeping
            && let Some(file) = share(&self.locks).context("lock", &self.locks)?
        {
            state.keeping = Keeping::Byte(file);
        }
        match &state.keeping {
            Keeping::Nothing => act(0),
            Keeping::Byte(locks) => act(removals(locks).context("read", &self.locks)?),
            Keeping::List(list) => list.undisturbed(&self.locks, act),
        }
    }

    /// Lists from now on what is used, and lets collections come. The folders of the store must be there.
    pub(crate) fn begin_list(&self, session: &Session) -> Result<(), StoreError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let locks = match std::mem::replace(&mut state.keeping, Keeping::Nothing) {
            Keeping::Byte(locks) => locks,
            Keeping::Nothing | Keeping::List(_) => {
                // Made if need be: from now on there is something to collect.
                let locks = lock::open_locks(&self.locks).context("open", &self.locks)?;
                lock::share_byte(&locks, COLLECTION_BYTE).context("lock", &self.locks)?;
                locks
            }
        };
        let path = session.uses_path();
        let file = File::create_new(&path).context("make", &path)?;
        let mut list = List {
            locks,
            file,
            path,
            end: 0,
        };
        list.write(state.used.iter())?;
        crash_point("session-uses");
        lock::unlock(&list.locks, COLLECTION_BYTE);
        state.keeping = Keeping::List(list);
        Ok(())
    }

    /// Notes that these keys and digests are used. What the store has of them when this returns stays until this
    /// process ends. `check` is given the count of removals: if it is not what the records were read at, they must
    /// be read again before they are looked at.
    pub(crate) fn add(
        &self,
        used: &[Hash],
        check: impl FnOnce(u64) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State {
            used: known,
            keeping,
        } = &mut *state;
        let new: Vec<&Hash> = used.iter().filter(|hash| !known.contains(*hash)).collect();
        if new.is_empty() {
            return Ok(());
        }
        if let Keeping::List(list) = keeping {
            lock::share_byte(&list.locks, COLLECTION_BYTE).context("lock", &self.locks)?;
            let result = list
                .write(new.iter().copied())
                .and_then(|()| removals(&list.locks).context("read", &self.locks))
                .and_then(check);
            lock::unlock(&list.locks, COLLECTION_BYTE);
            result?;
        }
        known.extend(new);
        Ok(())
    }
}

impl List {
    fn undisturbed<T>(
        &self,
        path: &Path,
        act: impl FnOnce(u64) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        lock::share_byte(&self.locks, COLLECTION_BYTE).context("lock", path)?;
        let result = removals(&self.locks).context("read", path).and_then(act);
        lock::unlock(&self.locks, COLLECTION_BYTE);
        result
    }

    /// Appends entries. They only have to outlive this process, not a power cut, so they are not flushed.
    fn write<'a>(&mut self, used: impl Iterator<Item = &'a Hash>) -> Result<(), StoreError> {
        let bytes: Vec<u8> = used.flat_map(|hash| *hash.as_bytes()).collect();
        // At its place and not at the end: half of a failed write is overwritten by the next.
        self.file
            .write_all_at(&bytes, self.end)
            .context("append to", &self.path)?;
        self.end += bytes.len() as u64;
        Ok(())
    }
}

/// Opens the file of locks and shares its collection byte; `None` if there is no such file, or no way to lock it:
/// then a collection beside this process can bring it a miss, never a wrong answer.
fn share(path: &Path) -> io::Result<Option<File>> {
    // Opening a pipe, say, would wait for ever.
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {}
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => return Ok(None),
    }
    let file = match File::open(path) {
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::PermissionDenied
            ) =>
        {
            return Ok(None);
        }
        file => file?,
    };
    match lock::share_for_long(&file) {
        Ok(()) => Ok(Some(file)),
        Err(error) if cannot_lock(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the file system has no locks.
fn cannot_lock(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    error.kind() == ErrorKind::Unsupported
        || code == Some(nix::libc::ENOLCK)
        || code == Some(nix::libc::EINVAL)
}

/// How often records have been removed; 0 if never.
pub(crate) fn removals(locks: &File) -> io::Result<u64> {
    let mut bytes = [0; 8];
    match locks.read_exact_at(&mut bytes, 0) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(0),
        result => result.map(|()| u64::from_le_bytes(bytes)),
    }
}

/// Tells all who look from now on that records have been removed. The collection byte is taken alone.
pub(crate) fn count_removal(locks: &File) -> io::Result<()> {
    let next = removals(locks)?.wrapping_add(1);
    locks.write_all_at(&next.to_le_bytes(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::Kind;
    use crate::session::tests::store_folder;

    fn digest(text: &str) -> Hash {
        blake3::hash(text.as_bytes())
    }

    fn is_free(root: &Path) -> bool {
        let file = lock::open_locks(&locks_path(root)).unwrap();
        lock::try_lock_byte(&file, Kind::Alone, COLLECTION_BYTE).unwrap()
    }

    #[test]
    fn a_reader_keeps_collections_away_until_it_lists_what_it_has_used() {
        let folder = store_folder();
        lock::open_locks(&locks_path(folder.path())).unwrap();
        let uses = Uses::new(folder.path());
        assert!(is_free(folder.path()));
        uses.undisturbed(|_| Ok(())).unwrap();
        assert!(!is_free(folder.path()));
        uses.add(&[digest("a"), digest("b")], |_| Ok(())).unwrap();
        let session = Session::begin(folder.path()).unwrap();
        uses.begin_list(&session).unwrap();
        assert!(is_free(folder.path()));
        let listed = || {
            let bytes = fs::read(session.uses_path()).unwrap();
            let entries = bytes.chunks_exact(ENTRY_BYTES);
            entries
                .map(|entry| Hash::from_slice(entry).unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(listed().len(), 2);
        assert!(listed().contains(&digest("a")) && listed().contains(&digest("b")));

        let checked = |used: &[Hash]| {
            let mut checked = false;
            uses.add(used, |_| {
                checked = true;
                assert!(!is_free(folder.path()));
                Ok(())
            })
            .unwrap();
            checked
        };
        assert!(!checked(&[digest("a")]));
        assert!(checked(&[digest("a"), digest("c")]));
        assert_eq!(listed()[2..], [digest("c")]);
        assert!(is_free(folder.path()));
    }

    #[test]
    fn what_was_not_listed_for_an_error_is_listed_the_next_time() {
        let folder = store_folder();
        let uses = Uses::new(folder.path());
        let session = Session::begin(folder.path()).unwrap();
        uses.begin_list(&session).unwrap();
        let refuse = |_| Err(StoreError::RunLogInUse { path: "x".into() });
        uses.add(&[digest("a")], refuse).unwrap_err();
        assert!(is_free(folder.path()));
        let mut checked = false;
        uses.add(&[digest("a")], |_| {
            checked = true;
            Ok(())
        })
        .unwrap();
        assert!(checked);
    }

    #[test]
    fn a_store_without_locks_is_read_without_making_any() {
        let folder = store_folder();
        let uses = Uses::new(folder.path());
        uses.undisturbed(|removals| {
            assert_eq!(removals, 0);
            Ok(())
        })
        .unwrap();
        assert!(!locks_path(folder.path()).exists());
    }

    #[test]
    fn removals_are_counted() {
        let folder = store_folder();
        let file = lock::open_locks(&locks_path(folder.path())).unwrap();
        assert_eq!(removals(&file).unwrap(), 0);
        count_removal(&file).unwrap();
        count_removal(&file).unwrap();
        assert_eq!(removals(&file).unwrap(), 2);
    }
}
