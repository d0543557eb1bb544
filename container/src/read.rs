//! From a container to files.

use std::fmt;
use std::io::Write;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use llmcl_codecs::chunked::{ChunkedMethod, Chunks};
use rayon::prelude::*;

use crate::error::ContainerError;
use crate::index::{
    ChunkEntry, END, FileEntry, Form, HEAD_BYTES, Index, MAGIC, MethodEntry, Profiles, Segment,
    TAIL_BYTES, VERSION, VERSION_WITH_PAIRS, checksum,
};

/// Chunks a thread that are decoded before they are written.
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
    chunks: &'s dyn Chunks,
    /// What the segment is given, if it is.
    given: Option<&'s Given<'s>>,
    entry: ChunkEntry,
    number: usize,
    /// Bytes of the segment before it.
    first: u64,
    /// Its own.
    bytes: usize,
    wanted: Range<usize>,
    segment: &'s Segment,
}

/// A segment that another is decoded given.
struct Given<'s> {
    segment: &'s Segment,
    chunks: Box<dyn Chunks>,
}

/// A segment whose chunks can be decoded.
struct Open<'s> {
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
        let mut segments = file.segments.iter().peekable();
        while segments.peek().is_some() {
            // Small segments together, so that there is enough to do in parallel.
            let mut group = Vec::new();
            let mut chunks = 0;
            while chunks < CHUNKS_A_THREAD * rayon::current_num_threads()
                && let Some(segment) = segments.next()
            {
                chunks += segment.chunks.len();
                group.push(self.open_segment(file, segment)?);
            }
            let mut jobs = Vec::new();
            for open in &group {
                jobs.extend(open.jobs(0..open.segment.bytes));
            }
            self.decode(file, &jobs, stop, &mut |bytes| {
                hasher.update_rayon(bytes);
                out.write_all(bytes).map_err(ContainerError::Write)
            })?;
        }
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
        let open = self.open_segment(file, segment)?;
        let jobs: Vec<Job<'_>> = open.jobs(range).collect();
        self.decode(file, &jobs, stop, &mut |bytes| {
            out.write_all(bytes).map_err(ContainerError::Write)
        })
    }

    fn open_segment<'s>(
        &self,
        file: &'s FileEntry,
        segment: &'s Segment,
    ) -> Result<Open<'s>, ContainerError> {
        // Every segment was opened when the index was read, and its method's number was looked at.
        let open = |segment: &Segment| {
            let method = &self.methods[segment.method];
            let given = segment.given_type(&file.segments);
            segment
                .open(method.as_ref(), given)
                .map_err(|source| ContainerError::Chunk {
                    place: place(file, segment),
                    source,
                })
        };
        let given = segment.given.and_then(|number| file.segments.get(number));
        let given = given.map(|given| -> Result<Given<'_>, ContainerError> {
            Ok(Given {
                segment: given,
                chunks: open(given)?,
            })
        });
        Ok(Open {
            segment,
            chunks: open(segment)?,
            given: given.transpose()?,
        })
    }

    fn decode(
        &self,
        file: &FileEntry,
        jobs: &[Job<'_>],
        stop: &AtomicBool,
        take: &mut dyn FnMut(&[u8]) -> Result<(), ContainerError>,
    ) -> Result<(), ContainerError> {
        for jobs in jobs.chunks(CHUNKS_A_THREAD * rayon::current_num_threads()) {
            if stop.load(Ordering::Relaxed) {
                return Err(ContainerError::Interrupted);
            }
            // Of several that are damaged, the first is named.
            let decoded: Vec<Result<Vec<u8>, ContainerError>> = jobs
                .par_iter()
                .map(|job| self.decode_one(file, job))
                .collect();
            for (bytes, job) in decoded.into_iter().zip(jobs) {
                take(bytes?.get(job.wanted.clone()).unwrap_or(&[]))?;
            }
        }
        Ok(())
    }

    fn decode_one(&self, file: &FileEntry, job: &Job<'_>) -> Result<Vec<u8>, ContainerError> {
        let given = match job.given {
            None => Vec::new(),
            Some(given) => {
                let length = given.chunks.chunk_bytes();
                let first = job.number as u64 * length;
                let bytes = length.min(given.segment.bytes.saturating_sub(first));
                self.decode_one(
                    file,
                    &Job {
                        chunks: &*given.chunks,
                        given: None,
                        // It has as many chunks: that was looked at when the index was read.
                        entry: given.segment.chunks[job.number],
                        number: job.number,
                        first,
                        bytes: bytes as usize,
                        wanted: 0..bytes as usize,
                        segment: given.segment,
                    },
                )?
            }
        };
        let place = || format!("chunk {} of {}", job.number, place(file, job.segment));
        // All chunks lie before the index, which lies in the file.
        let ChunkEntry {
            at,
            bytes,
            checksum: expected,
        } = job.entry;
        let encoded = &self.bytes[at as usize..(at + bytes) as usize];
        let found = checksum(encoded);
        if found != expected {
            return Err(ContainerError::ChunkChecksum {
                place: place(),
                expected,
                found,
            });
        }
        let mut data = vec![0; job.bytes];
        let decoded = job.chunks.decode(job.first, encoded, &given, &mut data);
        decoded.map_err(|source| ContainerError::Chunk {
            place: place(),
            source,
        })?;
        Ok(data)
    }
}

impl Open<'_> {
    /// The chunks that a range of bytes is in.
    fn jobs(&self, range: Range<u64>) -> impl Iterator<Item = Job<'_>> {
        let segment = self.segment;
        let length = self.chunks.chunk_bytes();
        let skipped = (range.start / length) as usize;
        let last = range.end.div_ceil(length) as usize;
        let numbered = segment.chunks.iter().enumerate().take(last).skip(skipped);
        numbered.filter_map(move |(number, entry)| {
            let first = number as u64 * length;
            let bytes = length.min(segment.bytes.saturating_sub(first));
            let from = range.start.saturating_sub(first);
            let to = range.end.saturating_sub(first).min(bytes);
            (from < to).then_some(Job {
                chunks: &*self.chunks,
                given: self.given.as_ref(),
                entry: *entry,
                number,
                first,
                bytes: bytes as usize,
                wanted: from as usize..to as usize,
                segment,
            })
        })
    }
}

fn place(file: &FileEntry, segment: &Segment) -> String {
    match &segment.tensor {
        Some(tensor) => format!("tensor {:?} of {:?}", tensor.name, file.name),
        None => format!("the bytes of {:?} that are no tensor", file.name),
    }
}
