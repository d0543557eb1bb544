//! From a container to files.

use std::fmt;
use std::io::Write;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use llmcl_codecs::chunked::{ChunkedMethod, Chunks};
use rayon::prelude::*;

use crate::error::ContainerError;
use crate::index::{
    ChunkEntry, END, FileEntry, Form, HEAD_BYTES, Index, MAGIC, MethodEntry, Profiles, Segment,
    TAIL_BYTES, VERSION, VERSION_WITH_PAIRS, checksum,
};
use crate::kept::Kept;

/// Chunks a thread that are decoded while as many are written.
const CHUNKS_A_THREAD: usize = 4;

/// A container whose index was read. Its chunks have not been looked at.
pub struct Container<'a> {
    bytes: &'a [u8],
    index: Index,
    /// Those of the index, with their profiles.
    methods: Vec<Box<dyn ChunkedMethod>>,
}

impl fmt::Debug for Container<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Container").field(&self.index).finish()
    }
}

/// A chunk that is to be decoded, and what of it is asked for.
struct Job<'s> {
    open: Arc<Open<'s>>,
    number: usize,
    wanted: Range<usize>,
    /// The chunk itself, and that which it is given, where they were decoded before.
    known: Option<Arc<Vec<u8>>>,
    known_given: Option<Arc<Vec<u8>>>,
}

/// A chunk that was decoded, and what of it is asked for.
struct Decoded {
    segment: usize,
    number: usize,
    wanted: Range<usize>,
    data: Arc<Vec<u8>>,
    /// The segment and the chunk that it was given, if that was decoded for it.
    given: Option<(usize, Arc<Vec<u8>>)>,
}

/// A segment that another is decoded given.
struct Given<'s> {
    place: usize,
    segment: &'s Segment,
    chunks: Arc<dyn Chunks>,
}

/// The last segment that another was given, by its place, and its chunks: many may be given the same one.
type LastGiven = Option<(usize, Arc<dyn Chunks>)>;

/// A segment whose chunks can be decoded.
struct Open<'s> {
    /// Its place in the file.
    place: usize,
    segment: &'s Segment,
    chunks: Box<dyn Chunks>,
    given: Option<Given<'s>>,
}

impl<'a> Container<'a> {
    /// Whether a file begins like a container.
    pub fn looks_like(bytes: &[u8]) -> bool {
        bytes.starts_with(&MAGIC)
    }

    /// Reads the index of a container that needs no profiles.
    ///
    /// # Errors
    ///
    /// As [`open_with`](Self::open_with) has them.
    pub fn open(bytes: &'a [u8]) -> Result<Container<'a>, ContainerError> {
        Self::open_with(bytes, &[])
    }

    /// Reads the index of a container. Methods find the profiles that they need among `profiles`, by their digests.
    ///
    /// # Errors
    ///
    /// Where it is none, is of another version, is cut off or damaged, or needs a method or a profile that is not there.
    /// Damage to chunks is not looked for.
    pub fn open_with(
        bytes: &'a [u8],
        profiles: &[&'a [u8]],
    ) -> Result<Container<'a>, ContainerError> {
        if !Self::looks_like(bytes) {
            return Err(ContainerError::NotAContainer);
        }
        let found = bytes.len() as u64;
        let cut_off = |what, expected| ContainerError::CutOff {
            what,
            expected,
            found,
        };
        let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
            return Err(cut_off("the head", HEAD_BYTES as u64));
        };
        let version = u16::from_le_bytes([head[8], head[9]]);
        if !(VERSION..=VERSION_WITH_PAIRS).contains(&version) {
            return Err(ContainerError::Version { found: version });
        }
        if head[10..].iter().any(|byte| *byte != 0) {
            return Err(ContainerError::Field {
                what: "reserved bytes of the head",
                at: 10,
                expected: "zero",
            });
        }
        let Some((_, tail)) = rest.split_last_chunk::<TAIL_BYTES>() else {
            return Err(cut_off("the tail", (HEAD_BYTES + TAIL_BYTES) as u64));
        };
        let (numbers, end) = tail.as_chunks::<8>().0.split_at(3);
        if end != [END] {
            return Err(ContainerError::NoEnd);
        }
        let number = |place: usize| {
            numbers
                .get(place)
                .map_or(0, |bytes| u64::from_le_bytes(*bytes))
        };
        let (at, length, expected) = (number(0), number(1), number(2));
        let end = at.checked_add(length);
        if at < HEAD_BYTES as u64 || end != Some(found - TAIL_BYTES as u64) {
            return Err(ContainerError::Field {
                what: "place of the index",
                at: found - TAIL_BYTES as u64,
                expected: "such that it ends where the tail begins",
            });
        }
        // It lies in the file, so it fits a usize.
        let index = &bytes[at as usize..(at + length) as usize];
        let found = checksum(index);
        if found != expected {
            return Err(ContainerError::IndexChecksum { expected, found });
        }
        let profiles = profiles.iter().map(|bytes| (blake3::hash(bytes), *bytes));
        let (index, methods) =
            Index::read(index, at, version, &profiles.collect::<Profiles<'_>>())?;
        let mut segments = index.files.iter().flat_map(|file| &file.segments);
        let has_pairs = segments.any(|segment| segment.given.is_some());
        if has_pairs != (version == VERSION_WITH_PAIRS) {
            return Err(ContainerError::Field {
                what: "version",
                at: 8,
                expected: "1, as no tensor is given another",
            });
        }
        Ok(Container {
            bytes,
            index,
            methods,
        })
    }

    /// Whether it holds a file or a folder.
    pub fn form(&self) -> Form {
        self.index.form
    }

    /// The methods that segments are coded by.
    pub fn methods(&self) -> &[MethodEntry] {
        &self.index.methods
    }

    /// The files, in the order in which they were given.
    pub fn files(&self) -> &[FileEntry] {
        &self.index.files
    }

    /// The tensors of a name, each with its file.
    pub fn tensors(&self, name: &str) -> impl Iterator<Item = (&FileEntry, &Segment)> {
        self.index.files.iter().flat_map(move |file| {
            let segments = file.segments.iter();
            let named = segments.filter(move |segment| {
                let tensor = segment.tensor.as_ref();
                tensor.is_some_and(|tensor| tensor.name == name)
            });
            named.map(move |segment| (file, segment))
        })
    }

    /// Writes a file as it was.
    ///
    /// # Errors
    ///
    /// Where a chunk is damaged (the first one is named), the whole is not what was written, `out` fails, or `stop` is
    /// set. Some of it may have been written by then.
    pub fn restore(
        &self,
        file: &FileEntry,
        out: &mut dyn Write,
        stop: &AtomicBool,
    ) -> Result<(), ContainerError> {
        let mut hasher = blake3::Hasher::new();
        let plan = Plan {
            container: self,
            file,
            segments: 0..file.segments.len(),
            jobs: Jobs::default(),
            kept: Kept::of(&file.segments),
            last_given: None,
        };
        self.decode(file, plan, stop, &mut |bytes| {
            hasher.update_rayon(bytes);
            out.write_all(bytes).map_err(ContainerError::Write)
        })?;
        let found = hasher.finalize();
        match found == file.digest {
            true => Ok(()),
            false => Err(ContainerError::Digest {
                file: file.name.clone(),
                expected: file.digest,
                found,
            }),
        }
    }

    /// Writes some bytes of a segment, and decodes no more than the chunks that they are in.
    ///
    /// # Errors
    ///
    /// Where there are not so many bytes, a chunk is damaged, `out` fails, or `stop` is set.
    pub fn read(
        &self,
        file: &FileEntry,
        segment: &Segment,
        range: Range<u64>,
        out: &mut dyn Write,
        stop: &AtomicBool,
    ) -> Result<(), ContainerError> {
        if range.start > range.end || range.end > segment.bytes {
            return Err(ContainerError::Range {
                name: place(file, segment),
                from: range.start,
                to: range.end,
                bytes: segment.bytes,
            });
        }
        let plan = Plan {
            container: self,
            file,
            segments: 0..0,
            jobs: self.open_segment(file, 0, segment, &mut None)?.jobs(range),
            kept: Kept::default(),
            last_given: None,
        };
        self.decode(file, plan, stop, &mut |bytes| {
            out.write_all(bytes).map_err(ContainerError::Write)
        })
    }

    fn open_segment<'s>(
        &self,
        file: &'s FileEntry,
        number: usize,
        segment: &'s Segment,
        last: &mut LastGiven,
    ) -> Result<Arc<Open<'s>>, ContainerError> {
        // Every segment was opened when the index was read, and its method's number was looked at.
        let open = |segment: &Segment| {
            let given = segment.given_type(&file.segments);
            segment.open(self.methods[segment.method].as_ref(), given)
        };
        let given = segment.given.and_then(|place| {
            let segment = file.segments.get(place)?;
            Some((place, segment))
        });
        let given = given.map(|(place, segment)| -> Result<Given<'_>, ContainerError> {
            let chunks = match last {
                Some((of, chunks)) if *of == place => Arc::clone(chunks),
                _ => Arc::from(open(segment)?),
            };
            *last = Some((place, Arc::clone(&chunks)));
            Ok(Given {
                place,
                segment,
                chunks,
            })
        });
        Ok(Arc::new(Open {
            place: number,
            segment,
            chunks: open(segment)?,
            given: given.transpose()?,
        }))
    }

    /// Decodes chunks in parallel, some at a time, and has those before taken meanwhile, in their order.
    fn decode(
        &self,
        file: &FileEntry,
        mut plan: Plan<'_, '_>,
        stop: &AtomicBool,
        take: &mut dyn FnMut(&[u8]) -> Result<(), ContainerError>,
    ) -> Result<(), ContainerError> {
        let some = CHUNKS_A_THREAD * rayon::current_num_threads();
        let mut before: Vec<Result<Decoded, ContainerError>> = Vec::new();
        // Space that is used again: fresh memory would have to be cleared.
        let mut spare: Vec<Vec<u8>> = Vec::new();
        loop {
            if stop.load(Ordering::Relaxed) {
                return Err(ContainerError::Interrupted);
            }
            let due: Vec<_> = (0..some)
                .map_while(|_| plan.next())
                .map(|job| (job, [(); 2].map(|()| spare.pop().unwrap_or_default())))
                .collect();
            let mut decoded = Vec::new();
            rayon::in_place_scope(|scope| {
                if !due.is_empty() {
                    scope.spawn(|_| {
                        let due = due.into_par_iter();
                        decoded = due
                            .map(|(job, space)| self.decode_job(file, job?, space))
                            .collect();
                    });
                }
                // Of several that are damaged, the first is named.
                for chunk in before.drain(..) {
                    let chunk = chunk?;
                    take(chunk.data.get(chunk.wanted).unwrap_or(&[]))?;
                    let given = chunk.given.map(|(_, given)| given);
                    for space in given.into_iter().chain([chunk.data]) {
                        spare.extend(Arc::into_inner(space));
                    }
                }
                Ok::<(), ContainerError>(())
            })?;
            if decoded.is_empty() {
                return Ok(());
            }
            for chunk in decoded.iter().flatten() {
                plan.kept
                    .add(chunk.segment, chunk.segment, chunk.number, &chunk.data);
                if let Some((place, given)) = &chunk.given {
                    plan.kept.add(*place, chunk.segment, chunk.number, given);
                }
            }
            before = decoded;
        }
    }

    fn decode_job(
        &self,
        file: &FileEntry,
        job: Job<'_>,
        [mut data, mut space]: [Vec<u8>; 2],
    ) -> Result<Decoded, ContainerError> {
        let Job { open, number, .. } = job;
        let mut decoded = Decoded {
            segment: open.place,
            number,
            wanted: job.wanted,
            data: Arc::default(),
            given: None,
        };
        if let Some(known) = job.known {
            decoded.data = known;
            return Ok(decoded);
        }
        let mut finer = job.known_given;
        if let (Some(given), None) = (&open.given, &finer) {
            // It has as many chunks: that was looked at when the index was read.
            self.decode_part(file, given.segment, &*given.chunks, number, &[], &mut space)?;
            let shared = Arc::new(space);
            decoded.given = Some((given.place, Arc::clone(&shared)));
            finer = Some(shared);
        }
        let finer = finer.as_deref().map_or(&[][..], Vec::as_slice);
        self.decode_part(file, open.segment, &*open.chunks, number, finer, &mut data)?;
        decoded.data = Arc::new(data);
        Ok(decoded)
    }

    fn decode_part(
        &self,
        file: &FileEntry,
        segment: &Segment,
        chunks: &dyn Chunks,
        number: usize,
        given: &[u8],
        data: &mut Vec<u8>,
    ) -> Result<(), ContainerError> {
        let place = || format!("chunk {number} of {}", place(file, segment));
        // All chunks lie before the index, which lies in the file.
        let ChunkEntry {
            at,
            bytes,
            checksum: expected,
        } = segment.chunks[number];
        let encoded = &self.bytes[at as usize..(at + bytes) as usize];
        let found = checksum(encoded);
        if found != expected {
            return Err(ContainerError::ChunkChecksum {
                place: place(),
                expected,
                found,
            });
        }
        let (first, length) = chunk_range(segment, chunks, number);
        data.resize(length, 0);
        let decoded = chunks.decode(first, encoded, given, data);
        decoded.map_err(|source| ContainerError::Chunk {
            place: place(),
            source,
        })
    }
}

/// How many bytes of a segment come before a chunk, and its own.
fn chunk_range(segment: &Segment, chunks: &dyn Chunks, number: usize) -> (u64, usize) {
    let length = chunks.chunk_bytes();
    let first = number as u64 * length;
    (
        first,
        length.min(segment.bytes.saturating_sub(first)) as usize,
    )
}

/// The chunks that are to be decoded, in their order.
struct Plan<'c, 's> {
    container: &'c Container<'c>,
    file: &'s FileEntry,
    /// The segments that are still to be opened: each when its first chunk is due, so that few are open at a time.
    segments: Range<usize>,
    jobs: Jobs<'s>,
    kept: Kept,
    last_given: LastGiven,
}

impl<'s> Plan<'_, 's> {
    fn next(&mut self) -> Option<Result<Job<'s>, ContainerError>> {
        loop {
            if let Some(mut job) = self.jobs.next() {
                let (segment, number) = (job.open.place, job.number);
                job.known = self.kept.find(segment, segment, number);
                if let Some(given) = &job.open.given {
                    job.known_given = self.kept.find(given.place, segment, number);
                }
                return Some(Ok(job));
            }
            let number = self.segments.next()?;
            let segment = self.file.segments.get(number)?;
            if segment.bytes == 0 {
                continue;
            }
            let last = &mut self.last_given;
            match self
                .container
                .open_segment(self.file, number, segment, last)
            {
                Ok(open) => self.jobs = open.jobs(0..u64::MAX),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// Chunks of a segment.
#[derive(Default)]
struct Jobs<'s> {
    open: Option<Arc<Open<'s>>>,
    numbers: Range<usize>,
    /// The bytes of the segment that are asked for.
    range: Range<u64>,
}

impl<'s> Open<'s> {
    /// The chunks that a range of bytes is in.
    fn jobs(self: Arc<Self>, range: Range<u64>) -> Jobs<'s> {
        let length = self.chunks.chunk_bytes();
        let end = range.end.min(self.segment.bytes);
        let last = (end.div_ceil(length) as usize).min(self.segment.chunks.len());
        Jobs {
            numbers: (range.start / length) as usize..last,
            open: Some(self),
            range,
        }
    }
}

impl<'s> Iterator for Jobs<'s> {
    type Item = Job<'s>;

    fn next(&mut self) -> Option<Job<'s>> {
        let open = self.open.as_ref()?;
        loop {
            let number = self.numbers.next()?;
            let (first, bytes) = chunk_range(open.segment, &*open.chunks, number);
            let place = |at: u64| at.saturating_sub(first).min(bytes as u64) as usize;
            let wanted = place(self.range.start)..place(self.range.end);
            if !wanted.is_empty() {
                return Some(Job {
                    open: Arc::clone(open),
                    number,
                    wanted,
                    known: None,
                    known_given: None,
                });
            }
        }
    }
}

fn place(file: &FileEntry, segment: &Segment) -> String {
    match &segment.tensor {
        Some(tensor) => format!("tensor {:?} of {:?}", tensor.name, file.name),
        None => format!("the bytes of {:?} that are no tensor", file.name),
    }
}
