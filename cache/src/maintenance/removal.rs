//! Taking records out of segments, beside processes that read and write them.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{BufWriter, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::collector::Collector;
use crate::crash::crash_point;
use crate::disk;
use crate::error::{Context, StoreError};
use crate::frame::{FrameKey, HEADER_BYTES, SegmentId, encode_header};
use crate::index::{Index, records_folder};
use crate::notice::{Notice, Notices};
use crate::record::{Place, Record};

/// Which records go. What a collection has planned to remove may have come into use since.
pub(crate) trait Verdict {
    /// Brings the verdict up to date. Nobody looks at what there is meanwhile.
    fn update(&mut self) -> Result<(), StoreError>;

    /// Whether this record goes.
    fn drops(&self, place: &Place) -> bool;
}

/// What to do with a segment that is damaged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Damage {
    /// It stays as it is; only records are made holes.
    Keep,
    /// The segment is written anew and the damaged file is set aside.
    SetAside,
}

/// What became of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Treated {
    /// Nothing was to be done, or it is no longer there.
    Untouched,
    /// It was written anew, or removed if nothing was left.
    Rewritten,
    /// It was written anew, and what was damaged is there now.
    SetAside(PathBuf),
    /// Records were made holes: someone writes the segment, or it is damaged.
    Punched,
    /// It stays damaged: someone writes it, or it holds what only a later version knows.
    StillDamaged,
}

/// How often a segment is written anew because something in it has come into use meanwhile. Then it stays.
const MOST_ATTEMPTS: usize = 8;

/// A segment as it was read.
struct Opened {
    records: Vec<Record>,
    /// Whether there is something in it that is neither header nor intact frame, or it could not be read.
    damaged: bool,
    /// Whether it ends in something that is no whole record, and nobody is writing it.
    torn: bool,
    /// Bytes of holes and of a torn end.
    waste: u64,
    /// Whether it may be written anew: nobody else writes it, and all that it holds is known.
    ours: bool,
    /// Held for its lock.
    _lock: Option<File>,
}

/// Takes out of one segment the records that go, and what is of no use to anyone.
pub(crate) fn take_out(
    collector: &Collector,
    id: SegmentId,
    verdict: &mut dyn Verdict,
    damage: Damage,
    on_wait: &mut dyn FnMut(),
) -> Result<Treated, StoreError> {
    let path = records_folder(collector.store().root()).join(id.file_name());
    for _ in 0..MOST_ATTEMPTS {
        let Some(opened) = open(id, &path)? else {
            return Ok(Treated::Untouched);
        };
        let places = opened.records.iter().map(Record::place);
        let dropped: Vec<Place> = places.filter(|place| verdict.drops(place)).collect();
        let mends = (opened.damaged || opened.torn) && damage == Damage::SetAside;
        if !opened.ours || (opened.damaged && !mends) {
            if !dropped.is_empty() {
                punch(collector, id, &path, &dropped, verdict, on_wait)?;
            }
            return Ok(match (mends, dropped.is_empty()) {
                (true, _) => Treated::StillDamaged,
                (false, false) => Treated::Punched,
                (false, true) => Treated::Untouched,
            });
        }
        if dropped.is_empty() && !mends && opened.waste == 0 {
            return Ok(Treated::Untouched);
        }
        let aside = mends.then(|| {
            collector
                .store()
                .blob_files()
                .quarantine_path(&id.file_name())
        });
        if rewrite(
            collector,
            &path,
            &opened,
            verdict,
            aside.as_deref(),
            on_wait,
        )? {
            return Ok(aside.map_or(Treated::Rewritten, Treated::SetAside));
        }
    }
    Ok(Treated::Untouched)
}

/// Reads a segment and takes its lock if nobody writes it. None if it is gone or of a later version.
fn open(id: SegmentId, path: &Path) -> Result<Option<Opened>, StoreError> {
    let unreadable = |ours, lock| {
        Ok(Some(Opened {
            records: Vec::new(),
            damaged: true,
            torn: false,
            waste: 0,
            ours,
            _lock: lock,
        }))
    };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).context("look at", path),
        Ok(metadata) if metadata.is_file() => {}
        // Opening a pipe, say, would wait for ever.
        Ok(_) => return unreadable(true, None),
    }
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return unreadable(true, None),
        file => file.context("open", path)?,
    };
    let ours = match file.try_lock() {
        Ok(()) => true,
        Err(TryLockError::WouldBlock) => false,
        Err(TryLockError::Error(error)) => return Err(error).context("lock", path),
    };
    if !disk::still_named(&file, path).context("look at", path)? {
        return Ok(None);
    }
    let mut index = Index::default();
    let notices = Notices::default();
    if index.read_on(id, &file, path, &notices).is_err() {
        return unreadable(ours, ours.then_some(file));
    }
    let notices = notices.drain();
    let is_future = |notice: &Notice| matches!(notice, Notice::FutureSegment { .. });
    if notices.iter().any(is_future) {
        return Ok(None);
    }
    let length = file.metadata().context("look at", path)?.len();
    let segment = index.segment(id);
    let torn = segment.is_some_and(|segment| segment.consumed < length);
    let all_known = segment.is_some_and(|segment| !segment.has_other);
    let records = index.records().to_vec();
    let used: u64 = records.iter().map(|record| record.place().bytes).sum();
    Ok(Some(Opened {
        // What comes at the end of a segment that someone writes may be in the course of being written.
        damaged: !notices.is_empty(),
        torn: ours && torn,
        waste: length.saturating_sub(used + HEADER_BYTES as u64),
        records,
        ours: ours && all_known,
        _lock: ours.then_some(file),
    }))
}

/// Writes the records that stay into a new segment, which takes the place of the old one. The old one goes, or is
/// set aside. False if a record has come into use meanwhile.
fn rewrite(
    collector: &Collector,
    path: &Path,
    opened: &Opened,
    verdict: &mut dyn Verdict,
    aside: Option<&Path>,
    on_wait: &mut dyn FnMut(),
) -> Result<bool, StoreError> {
    let kept: Vec<&Record> = opened
        .records
        .iter()
        .filter(|record| !verdict.drops(&record.place()))
        .collect();
    let copy = match kept.is_empty() {
        true => None,
        false => Some(write_copy(collector, &kept)?),
    };
    crash_point("collection-segment-written");
    let alone = collector.alone(on_wait)?;
    verdict.update()?;
    let still = opened
        .records
        .iter()
        .filter(|record| !verdict.drops(&record.place()));
    if still.count() != kept.len() {
        // The copy goes with the session.
        return Ok(false);
    }
    alone.count_removal()?;
    crash_point("collection-removal-counted");
    let folder = records_folder(collector.store().root());
    if let Some((id, temporary)) = copy {
        disk::rename(&temporary, &folder.join(id.file_name()))?;
        crash_point("collection-segment-renamed");
        disk::sync_folder(&folder)?;
        crash_point("collection-segment-durable");
    }
    match aside {
        None => fs::remove_file(path).context("remove", path)?,
        Some(aside) => collector.store().blob_files().move_aside(path, aside)?,
    }
    crash_point("collection-segment-removed");
    disk::sync_folder(&folder)?;
    Ok(true)
}

/// Writes records into a new segment under a temporary name. They are durable when this returns.
fn write_copy(
    collector: &Collector,
    records: &[&Record],
) -> Result<(SegmentId, PathBuf), StoreError> {
    let id = SegmentId::random();
    let key = FrameKey::of(id);
    let (file, temporary) = collector.session().make_file()?;
    let mut output = BufWriter::new(file);
    let mut offset = HEADER_BYTES as u64;
    let mut frame = Vec::new();
    let mut write = || {
        output.write_all(&encode_header(id))?;
        for record in records {
            frame.clear();
            key.encode_record(offset, record.encoded(), &mut frame);
            output.write_all(&frame)?;
            offset += frame.len() as u64;
        }
        output.flush()
    };
    write().context("write", &temporary)?;
    disk::sync_file(output.get_ref(), &temporary)?;
    Ok((id, temporary))
}

/// Turns records into holes. Other processes may read and append meanwhile: the frames keep their places.
fn punch(
    collector: &Collector,
    id: SegmentId,
    path: &Path,
    dropped: &[Place],
    verdict: &mut dyn Verdict,
    on_wait: &mut dyn FnMut(),
) -> Result<(), StoreError> {
    let file = OpenOptions::new()
        .write(true)
        .open(path)
        .context("open", path)?;
    let key = FrameKey::of(id);
    let alone = collector.alone(on_wait)?;
    verdict.update()?;
    alone.count_removal()?;
    crash_point("collection-removal-counted");
    for place in dropped.iter().filter(|place| verdict.drops(place)) {
        // Every frame of a record has a length that a hole can have.
        let Some(hole) = key.encode_hole(place.offset, place.bytes) else {
            continue;
        };
        file.write_all_at(&hole, place.offset)
            .context("write", path)?;
        crash_point("collection-hole-written");
    }
    disk::sync_content(&file, path)
}
