//! The files of blobs: where they are, whether they are what they are named, and what happens if not.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use blake3::Hash;

use crate::blob::Blob;
use crate::crash::crash_point;
use crate::disk::{self, FileState};
use crate::error::{BlobError, Context, StoreError};
use crate::map::map_blob;
use crate::notice::{Notice, Notices};

/// How many blobs can be verified at once; a power of two up to 256.
const STRIPES: usize = 64;
/// The folder of blobs.
pub(crate) const BLOBS: &str = "blobs";
/// How much of a file is read at once.
const READ_BYTES: u64 = 4 << 20;
/// From how many bytes on it pays to have several processors digest them.
const MUCH_BYTES: usize = 256 << 10;

pub(crate) struct BlobFiles {
    /// `blobs/`
    folder: PathBuf,
    /// `quarantine/`
    quarantine: PathBuf,
    /// The folders in `blobs/` that are known to be durable; none before the first blob.
    durable: Mutex<Option<HashSet<OsString>>>,
    /// The files whose content has been verified by this process, by digest. A stripe is locked while one of its
    /// blobs is verified, so that several threads do not read the same large file at once.
    verified: [Mutex<HashMap<Hash, FileState>>; STRIPES],
}

/// What is wrong with a file that is not the blob it is named after.
enum Flaw {
    Missing,
    /// Something else, or unreadable; the state is that of the file looked at, so that a healed one is not taken
    /// for it.
    Damaged(FileState),
    /// The file could not be read for a reason that says nothing about it.
    Other(StoreError),
}

/// What became of a damaged file.
enum SetAside {
    /// It is in quarantine.
    Moved(PathBuf),
    /// It cannot be moved; the store may be read-only.
    Stuck,
    /// It was no longer there.
    Replaced,
}

impl BlobFiles {
    pub(crate) fn new(root: &Path) -> BlobFiles {
        BlobFiles {
            folder: root.join(BLOBS),
            quarantine: root.join("quarantine"),
            durable: Mutex::default(),
            verified: std::array::from_fn(|_| Mutex::default()),
        }
    }

    /// Makes sure that the folder of a blob is there, and durable in `blobs/`. That folder must exist.
    pub(crate) fn make_folder(&self, digest: &Hash) -> Result<(), StoreError> {
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        let durable = match &mut *durable {
            Some(known) => known,
            none => none.insert(self.make_durable()?),
        };
        let name = format!("{:02x}", digest.as_bytes()[0]);
        if !durable.contains(OsStr::new(&name)) {
            disk::make_folder(&self.folder.join(&name))?;
            // Also if another process has made it: it may not have come to flush it.
            disk::sync_folder(&self.folder)?;
            durable.insert(name.into());
        }
        Ok(())
    }

    /// Makes the folders durable that are there, and returns them.
    fn make_durable(&self) -> Result<HashSet<OsString>, StoreError> {
        let present: HashSet<OsString> = fs::read_dir(&self.folder)
            .and_then(|entries| {
                entries
                    .map(|entry| Ok(entry?.file_name()))
                    .collect::<io::Result<_>>()
            })
            .context("list the folder", &self.folder)?;
        if !present.is_empty() {
            disk::sync_folder(&self.folder)?;
        }
        Ok(present)
    }

    /// The path of a blob's file, and that of its folder.
    pub(crate) fn path(&self, digest: &Hash) -> (PathBuf, PathBuf) {
        let name = digest.to_hex();
        let folder = self.folder.join(&name[..2]);
        (folder.join(name.as_str()), folder)
    }

    /// Whether there is a file for the blob with the right length. Does not look into it.
    pub(crate) fn has(&self, digest: &Hash, bytes: u64) -> bool {
        fs::symlink_metadata(self.path(digest).0)
            .is_ok_and(|metadata| metadata.is_file() && metadata.len() == bytes)
    }

    /// The verified content of a blob's file. A file that is something else is set aside.
    pub(crate) fn open(
        &self,
        digest: &Hash,
        bytes: u64,
        notices: &Notices,
    ) -> Result<Blob, BlobError> {
        let (path, _) = self.path(digest);
        let (file, actual) = loop {
            match self.verified_file(&path, digest) {
                Ok(verified) => break verified,
                Err(Flaw::Missing) => return Err(BlobError::Missing { digest: *digest }),
                Err(Flaw::Other(error)) => return Err(error.into()),
                Err(Flaw::Damaged(state)) => {
                    match self.set_aside(&path, digest, &state, notices) {
                        SetAside::Moved(moved_to) => {
                            return Err(BlobError::Damaged {
                                digest: *digest,
                                moved_to: Some(moved_to),
                            });
                        }
                        SetAside::Stuck => {
                            return Err(BlobError::Damaged {
                                digest: *digest,
                                moved_to: None,
                            });
                        }
                        // It is gone, or an intact one is there now.
                        SetAside::Replaced => {}
                    }
                }
            }
        };
        if actual != bytes {
            return Err(BlobError::Length {
                digest: *digest,
                expected: bytes,
                actual,
            });
        }
        let length = usize::try_from(bytes)
            .map_err(|_| io::Error::from(ErrorKind::FileTooLarge))
            .context("map", &path)?;
        let map = map_blob(&file, length).context("map", &path)?;
        Ok(Blob::of_file(map, &path))
    }

    /// Makes room for a blob's file: true if an intact one is there already; anything else is set aside.
    pub(crate) fn is_intact_or_cleared(
        &self,
        digest: &Hash,
        notices: &Notices,
    ) -> Result<bool, StoreError> {
        let (path, _) = self.path(digest);
        match self.verified_file(&path, digest) {
            Ok(_) => Ok(true),
            Err(Flaw::Missing) => Ok(false),
            Err(Flaw::Other(error)) => Err(error),
            Err(Flaw::Damaged(state)) => {
                self.set_aside(&path, digest, &state, notices);
                Ok(false)
            }
        }
    }

    /// Opens a blob's file if its content is what it is named after, and gives its length in bytes.
    fn verified_file(&self, path: &Path, digest: &Hash) -> Result<(File, u64), Flaw> {
        let stripe = usize::from(digest.as_bytes()[0]) % STRIPES;
        let mut verified = self.verified[stripe]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let named = fs::symlink_metadata(path).map_err(|error| flaw_of(error, path, None))?;
        let named_state = FileState::of(&named);
        // Opening a pipe, say, would wait for ever.
        if !named.is_file() {
            return Err(Flaw::Damaged(named_state));
        }
        let flaw = |error| flaw_of(error, path, Some(named_state));
        let file = File::open(path).map_err(flaw)?;
        let metadata = file.metadata().map_err(flaw)?;
        let state = FileState::of(&metadata);
        if verified.get(digest) != Some(&state) {
            if digest_of(&file, |_| true).map_err(flaw)? != Some(*digest) {
                return Err(Flaw::Damaged(state));
            }
            verified.insert(*digest, state);
        }
        Ok((file, metadata.len()))
    }

    /// Moves a damaged file into quarantine.
    fn set_aside(
        &self,
        path: &Path,
        digest: &Hash,
        damaged: &FileState,
        notices: &Notices,
    ) -> SetAside {
        let quarantined = self.quarantine_path(digest.to_hex().as_str());
        let moved = self.move_damaged(path, &quarantined, damaged);
        if !matches!(moved, Ok(false)) {
            notices.add(Notice::DamagedBlob {
                digest: *digest,
                path: match moved {
                    Ok(_) => quarantined.clone(),
                    Err(_) => path.to_owned(),
                },
            });
        }
        match moved {
            Ok(true) => SetAside::Moved(quarantined),
            Ok(false) => SetAside::Replaced,
            Err(_) => SetAside::Stuck,
        }
    }

    /// A new place for what is set aside from under this name.
    pub(crate) fn quarantine_path(&self, name: &str) -> PathBuf {
        self.quarantine
            .join(format!("{name}.{}", disk::random_name()))
    }

    /// Moves something into quarantine.
    pub(crate) fn move_aside(&self, path: &Path, to: &Path) -> Result<(), StoreError> {
        self.make_quarantine()
            .context("make the folder", &self.quarantine)?;
        disk::rename(path, to)
    }

    fn make_quarantine(&self) -> io::Result<()> {
        match fs::create_dir(&self.quarantine) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }

    /// Moves a damaged file; false if it is no longer there, for instance because someone has healed it.
    fn move_damaged(&self, path: &Path, to: &Path, damaged: &FileState) -> io::Result<bool> {
        let is_damaged_one = |path: &Path| match fs::symlink_metadata(path) {
            Ok(metadata) => Ok(FileState::of(&metadata).same_file(damaged)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        };
        if !is_damaged_one(path)? {
            return Ok(false);
        }
        self.make_quarantine()?;
        match fs::rename(path, to) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            result => result?,
        }
        crash_point("blob-set-aside");
        // Between looking and moving, someone may have put an intact one there. All intact ones are equal.
        if !is_damaged_one(to)? {
            fs::rename(to, path)?;
            return Ok(false);
        }
        Ok(true)
    }
}

/// What a failure to read says about the file. `state` is that of the file, where there is one.
fn flaw_of(error: io::Error, path: &Path, state: Option<FileState>) -> Flaw {
    let about_the_file =
        error.kind() == ErrorKind::PermissionDenied || error.raw_os_error() == Some(nix::libc::EIO);
    match state {
        Some(state) if about_the_file => Flaw::Damaged(state),
        _ if error.kind() == ErrorKind::NotFound => Flaw::Missing,
        _ => Flaw::Other(StoreError::Io {
            action: "read",
            path: path.to_owned(),
            source: error.into(),
        }),
    }
}

/// Digest of a file's content, by all processors if there is much of it. `on_read` is given the number of bytes of each
/// piece, and says whether to go on; if not, there is no digest. The file is read, not mapped, so that a failing disk
/// is an error and not a signal.
pub(crate) fn digest_of(
    mut file: &File,
    mut on_read: impl FnMut(u64) -> bool,
) -> io::Result<Option<Hash>> {
    let mut hasher = blake3::Hasher::new();
    // One more than there should be, so that the end shows with the first read of a small file.
    let length = file.metadata()?.len().saturating_add(1);
    let mut buffer = vec![0; length.min(READ_BYTES) as usize];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(Some(hasher.finalize())),
            Ok(count) => {
                if !on_read(count as u64) {
                    return Ok(None);
                }
                match &buffer[..count] {
                    much if count >= MUCH_BYTES => hasher.update_rayon(much),
                    little => hasher.update(little),
                };
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
