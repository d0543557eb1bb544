//! Power cuts: what a log of changes leaves on a disk that loses, at some point, what was not flushed.
//!
//! The disk is the least that a file system promises. Content is there after a flush of its file, a name after a
//! flush of its folder; what was not flushed may be there, in whole, in part, or as zeros, each change by itself. Only
//! a rename is one thing: the old name does not go before the new one is there.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::dice::Dice;
use crate::engine::Told;

/// A change, in the order in which the layer saw it.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Create {
        path: PathBuf,
        inode: u64,
    },
    Write {
        inode: u64,
        at: usize,
        bytes: Vec<u8>,
    },
    Truncate {
        inode: u64,
        length: usize,
    },
    Sync {
        inode: u64,
        /// What is there now, of a file that someone else has written.
        content: Option<Vec<u8>>,
    },
    SyncFolder(PathBuf),
    Rename {
        from: PathBuf,
        to: PathBuf,
        inode: u64,
    },
    Link(PathBuf, PathBuf),
    Remove(PathBuf),
    MakeFolder(PathBuf),
    /// Written to standard output.
    Said(Vec<u8>),
}

/// Reads a log of the layer.
pub(crate) fn read_log(path: &Path) -> Vec<Change> {
    let log = fs::read(path).unwrap();
    let mut rest = log.as_slice();
    let mut changes = Vec::new();
    while let Some((head, tail)) = rest.split_at_checked(25) {
        let number = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().unwrap());
        let length = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap()) as usize;
        let (a, tail) = tail.split_at(length(17));
        let (b, tail) = tail.split_at(length(21));
        let path = |bytes: &[u8]| PathBuf::from(String::from_utf8(bytes.to_vec()).unwrap());
        let inode = number(1);
        changes.push(match head[0] {
            b'C' => Change::Create {
                path: path(a),
                inode,
            },
            b'W' => Change::Write {
                inode,
                at: number(9) as usize,
                bytes: a.to_vec(),
            },
            b'T' => Change::Truncate {
                inode,
                length: number(9) as usize,
            },
            b'S' => Change::Sync {
                inode,
                content: (number(9) == 1).then(|| a.to_vec()),
            },
            b'D' => Change::SyncFolder(path(a)),
            b'R' => Change::Rename {
                from: path(a),
                to: path(b),
                inode,
            },
            b'L' => Change::Link(path(a), path(b)),
            b'U' => Change::Remove(path(a)),
            b'M' => Change::MakeFolder(path(a)),
            b'E' => Change::Said(a.to_vec()),
            other => panic!("an entry of kind {other}"),
        });
        rest = tail;
    }
    changes
}

/// What becomes of what was not flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// All of it is lost.
    All,
    /// Names are kept, content is lost: files are as short as they were.
    Content,
    /// Names and lengths are kept, content is zeros.
    Zeros,
    /// Each change by itself is kept, kept in part, zeros, or lost.
    Random,
    /// Nothing is lost.
    Nothing,
}

/// A disk with what is flushed and what is not.
#[derive(Default)]
pub(crate) struct Disk {
    root: PathBuf,
    files: Vec<FileOnDisk>,
    /// The file that an inode is now; numbers are used again.
    inodes: BTreeMap<u64, usize>,
    /// The names as the running program sees them.
    names: BTreeMap<PathBuf, usize>,
    folders: BTreeMap<PathBuf, Folder>,
    renames: usize,
    said: Vec<u8>,
}

#[derive(Default, Clone)]
struct FileOnDisk {
    flushed: Vec<u8>,
    pending: Vec<Content>,
}

#[derive(Clone)]
enum Content {
    Write(usize, Vec<u8>),
    Length(usize),
}

#[derive(Default, Clone)]
struct Folder {
    flushed: BTreeMap<OsString, Entry>,
    pending: Vec<(Named, Option<usize>)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Entry {
    File(usize),
    Folder,
}

#[derive(Clone)]
enum Named {
    Put(OsString, Entry),
    Gone(OsString),
}

impl Disk {
    /// A disk that holds, flushed, what is below `root`.
    pub(crate) fn of(root: &Path) -> Self {
        let mut disk = Self {
            root: root.canonicalize().unwrap(),
            ..Self::default()
        };
        let mut folders = vec![disk.root.clone()];
        while let Some(path) = folders.pop() {
            let mut folder = Folder::default();
            for entry in fs::read_dir(&path).unwrap() {
                let entry = entry.unwrap();
                let on_disk = if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                    Entry::Folder
                } else {
                    let inode = entry.metadata().unwrap().ino();
                    Entry::File(disk.add(
                        entry.path(),
                        inode,
                        fs::read(entry.path()).unwrap_or_default(),
                    ))
                };
                folder.flushed.insert(entry.file_name(), on_disk);
            }
            disk.folders.insert(path, folder);
        }
        disk
    }

    fn add(&mut self, path: PathBuf, inode: u64, flushed: Vec<u8>) -> usize {
        let id = self.files.len();
        self.files.push(FileOnDisk {
            flushed,
            pending: Vec::new(),
        });
        self.inodes.insert(inode, id);
        self.names.insert(path, id);
        id
    }

    /// Makes a change. What concerns files that were not made through the layer is passed over, scratch of outside
    /// programs, until one is renamed.
    pub(crate) fn change(&mut self, change: &Change) {
        match change {
            Change::Create { path, inode } => {
                let id = self.add(path.clone(), *inode, Vec::new());
                self.put(path, Entry::File(id), None);
            }
            Change::Write { inode, at, bytes } => {
                self.content(*inode, Content::Write(*at, bytes.clone()));
            }
            Change::Truncate { inode, length } => self.content(*inode, Content::Length(*length)),
            Change::Sync { inode, content } => {
                if let Some(&id) = self.inodes.get(inode) {
                    let file = &mut self.files[id];
                    for content in std::mem::take(&mut file.pending) {
                        apply(&mut file.flushed, &content);
                    }
                    if let Some(content) = content {
                        file.flushed.clone_from(content);
                    }
                }
            }
            Change::SyncFolder(path) => self.sync_folder(path),
            Change::Rename { from, to, inode } => {
                let id = match self.names.remove(from) {
                    Some(id) => id,
                    // An outside program's. Of what it has written nothing is there before a flush.
                    None => self.add(to.clone(), *inode, Vec::new()),
                };
                self.names.insert(to.clone(), id);
                self.renames += 1;
                let rename = Some(self.renames);
                self.put(to, Entry::File(id), rename);
                self.gone(from, rename);
            }
            Change::Link(from, to) => {
                if let Some(&id) = self.names.get(from) {
                    self.names.insert(to.clone(), id);
                    self.put(to, Entry::File(id), None);
                }
            }
            Change::Remove(path) => {
                self.names.remove(path);
                self.gone(path, None);
            }
            Change::MakeFolder(path) => {
                self.folders.insert(path.clone(), Folder::default());
                self.put(path, Entry::Folder, None);
            }
            Change::Said(bytes) => self.said.extend_from_slice(bytes),
        }
    }

    fn content(&mut self, inode: u64, content: Content) {
        if let Some(&id) = self.inodes.get(&inode) {
            self.files[id].pending.push(content);
        }
    }

    fn put(&mut self, path: &Path, entry: Entry, rename: Option<usize>) {
        self.name(path, rename, |name| Named::Put(name, entry));
    }

    fn gone(&mut self, path: &Path, rename: Option<usize>) {
        self.name(path, rename, Named::Gone);
    }

    fn name(&mut self, path: &Path, rename: Option<usize>, named: impl Fn(OsString) -> Named) {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return;
        };
        if let Some(folder) = self.folders.get_mut(folder) {
            folder.pending.push((named(name.to_owned()), rename));
        }
    }

    fn sync_folder(&mut self, path: &Path) {
        let Some(folder) = self.folders.get_mut(path) else {
            return;
        };
        let mut renames = Vec::new();
        for (named, rename) in std::mem::take(&mut folder.pending) {
            let gone = matches!(named, Named::Gone(_));
            folder.name(named);
            renames.extend(rename.filter(|_| gone));
        }
        // An old name that is gone for good has the new one there for good.
        for folder in self.folders.values_mut() {
            let (now, later) = std::mem::take(&mut folder.pending)
                .into_iter()
                .partition(|(_, rename)| rename.is_some_and(|rename| renames.contains(&rename)));
            folder.pending = later;
            let now: Vec<(Named, Option<usize>)> = now;
            now.into_iter().for_each(|(named, _)| folder.name(named));
        }
    }

    /// What has been said to standard output by now.
    pub(crate) fn told(&self) -> Told {
        let mut told = Told::default();
        for line in String::from_utf8_lossy(&self.said).lines() {
            if let Ok(event) = serde_json::from_str::<Value>(line) {
                told.hear(&event);
            }
        }
        told
    }

    /// Writes what the disk has after a cut, below `to`, which is made anew. Folders without anything in them are
    /// left out: to the store a folder that is missing is an empty one, and it has hundreds.
    pub(crate) fn cut(&self, loss: Loss, dice: &mut Dice, to: &Path) {
        if to.exists() {
            fs::remove_dir_all(to).unwrap();
        }
        let kept: Vec<bool> = (0..=self.renames).map(|_| dice.chance(50)).collect();
        let mut folders = vec![(self.root.clone(), to.to_owned())];
        fs::create_dir(to).unwrap();
        while let Some((path, to)) = folders.pop() {
            let Some(mut folder) = self.folders.get(&path).cloned() else {
                continue;
            };
            for (named, rename) in std::mem::take(&mut folder.pending) {
                let put = matches!(named, Named::Put(..));
                let survives = match loss {
                    Loss::All => false,
                    // Both names of what was renamed, for once.
                    Loss::Content | Loss::Zeros => put || rename.is_none(),
                    Loss::Nothing => true,
                    Loss::Random => match rename {
                        Some(rename) if put => kept[rename],
                        Some(rename) => kept[rename] && dice.chance(70),
                        None => dice.chance(50),
                    },
                };
                if survives {
                    folder.name(named);
                }
            }
            if !folder.flushed.is_empty() {
                fs::create_dir_all(&to).unwrap();
            }
            for (name, entry) in folder.flushed {
                match entry {
                    Entry::Folder => folders.push((path.join(&name), to.join(&name))),
                    Entry::File(id) => {
                        let content = self.files[id].after(loss, dice);
                        fs::write(to.join(&name), content).unwrap();
                    }
                }
            }
        }
    }
}

impl Folder {
    fn name(&mut self, named: Named) {
        match named {
            Named::Put(name, entry) => drop(self.flushed.insert(name, entry)),
            Named::Gone(name) => drop(self.flushed.remove(&name)),
        }
    }
}

impl FileOnDisk {
    fn after(&self, loss: Loss, dice: &mut Dice) -> Vec<u8> {
        let mut bytes = self.flushed.clone();
        for content in &self.pending {
            match (loss, content) {
                (Loss::All | Loss::Content, _) => {}
                (Loss::Nothing, content) => apply(&mut bytes, content),
                (Loss::Zeros, Content::Write(at, written)) => {
                    apply(&mut bytes, &Content::Write(*at, vec![0; written.len()]));
                }
                (Loss::Zeros, length) => apply(&mut bytes, length),
                (Loss::Random, Content::Length(_)) if dice.chance(50) => apply(&mut bytes, content),
                (Loss::Random, Content::Length(_)) => {}
                (Loss::Random, Content::Write(at, written)) => {
                    let part = dice.below(written.len() + 1);
                    let write = match dice.below(4) {
                        0 => continue,
                        1 => written.clone(),
                        2 => written[..part].to_vec(),
                        _ => {
                            let mut torn = written.clone();
                            torn[part..].fill(0);
                            torn
                        }
                    };
                    apply(&mut bytes, &Content::Write(*at, write));
                }
            }
        }
        bytes
    }
}

fn apply(bytes: &mut Vec<u8>, content: &Content) {
    match content {
        Content::Length(length) => bytes.resize(*length, 0),
        Content::Write(at, written) => {
            let end = at + written.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[*at..end].copy_from_slice(written);
        }
    }
}
