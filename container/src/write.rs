//! From files to a container.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use llmcl_codecs::chunked::same_elements;
use llmcl_codecs::chunked::{self, ChunkedMethod, Chunks};
use llmcl_codecs::formats::{self, Part};
use llmcl_codecs::{Dtype, TensorView};
use rayon::prelude::*;

use crate::error::WriteError;
use crate::index::{
    ChunkEntry, END, FileEntry, Form, HEAD_BYTES, Index, MAGIC, MethodEntry, Segment, TensorInfo,
    VERSION, VERSION_WITH_PAIRS, checksum,
};
use crate::name::Names;

/// The method of what the chosen one does not take: other types of elements, and what is no tensor.
pub const OTHER_BYTES: &str = "zstd_9";

/// Segments are looked at together until they are so many bytes.
const GROUP_BYTES: usize = 64 << 20;
/// Chunks a thread that are encoded before they are written.
const CHUNKS_A_THREAD: usize = 4;

/// A file to be compressed.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Its path below the folder, with slashes; of a single file, its name.
    pub name: &'a str,
    /// Its bytes.
    pub data: &'a [u8],
}

/// What was compressed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Bytes of all files.
    pub bytes: u64,
    /// Bytes of the container.
    pub encoded: u64,
    /// Files that look like files with tensors and are not sound, and what is wrong with them. They are compressed as
    /// plain bytes.
    pub unsound: Vec<(String, String)>,
}

/// Compresses files, tensors by `method`, and writes a container of them. Every chunk is decoded again and compared
/// before it is written.
///
/// A [`Form::File`] is of one file.
///
/// # Errors
///
/// Where a name cannot stand in a container or stands there twice, a library fails, what was encoded does not decode
/// to what it was, `out` fails, or `stop` is set.
pub fn compress(
    files: &[Source<'_>],
    form: Form,
    method: Box<dyn ChunkedMethod>,
    out: &mut dyn Write,
    stop: &AtomicBool,
) -> Result<Summary, WriteError> {
    check_names(files, form)?;
    let mut writer = Writer {
        methods: Methods::new(method),
        out,
        at: 0,
        stop,
    };
    let mut summary = Summary::default();
    let mut head = [0; HEAD_BYTES];
    let (magic, rest) = head.split_at_mut(MAGIC.len());
    magic.copy_from_slice(&MAGIC);
    let mut planned = Vec::new();
    for file in files {
        let (parts, problem) = formats::parts(file.data);
        if let Some(problem) = problem {
            summary.unsound.push((file.name.to_owned(), problem));
        }
        let pairs = writer.methods.pairs(file, &parts);
        planned.push((file, parts, pairs));
    }
    let has_pairs = planned
        .iter()
        .any(|(_, _, pairs)| pairs.iter().any(Option::is_some));
    let version = if has_pairs {
        VERSION_WITH_PAIRS
    } else {
        VERSION
    };
    for (slot, byte) in rest.iter_mut().zip(version.to_le_bytes()) {
        *slot = byte;
    }
    writer.put(&head)?;
    let mut entries = Vec::new();
    for (file, parts, pairs) in planned {
        let mut hasher = blake3::Hasher::new();
        let segments = writer.segments(file, &parts, &pairs, &mut hasher)?;
        entries.push(FileEntry {
            name: file.name.to_owned(),
            bytes: file.data.len() as u64,
            digest: hasher.finalize(),
            segments,
        });
        summary.bytes += file.data.len() as u64;
    }
    let index = Index {
        form,
        methods: std::mem::take(&mut writer.methods.entries),
        files: entries,
    };
    let mut bytes = Vec::new();
    index.write(&mut bytes);
    let tail = [writer.at, bytes.len() as u64, checksum(&bytes)];
    bytes.extend(tail.iter().flat_map(|number| number.to_le_bytes()));
    bytes.extend_from_slice(&END);
    writer.put(&bytes)?;
    summary.encoded = writer.at;
    Ok(summary)
}

fn check_names(files: &[Source<'_>], form: Form) -> Result<(), WriteError> {
    let refuse = |name: &str, problem| {
        Err(WriteError::Name {
            name: name.to_owned(),
            problem,
        })
    };
    let mut names = Names::default();
    for file in files {
        if let Some(problem) = names.add(file.name) {
            return refuse(file.name, problem);
        }
    }
    match (form, files) {
        (Form::Folder, _) | (Form::File, [_]) => Ok(()),
        (Form::File, _) => refuse("", "must be that of one file"),
    }
}

/// The methods that segments may have.
struct Methods {
    chosen: Box<dyn ChunkedMethod>,
    other: Option<Box<dyn ChunkedMethod>>,
    /// What stands of them in the index.
    entries: Vec<MethodEntry>,
}

impl Methods {
    fn new(chosen: Box<dyn ChunkedMethod>) -> Methods {
        let mut methods = Methods {
            other: chunked::resolve(OTHER_BYTES, None).and_then(Result::ok),
            chosen,
            entries: Vec::new(),
        };
        let (taken, left): (Vec<_>, Vec<_>) = Dtype::ALL
            .into_iter()
            .partition(|dtype| methods.chosen.takes(*dtype));
        for dtype in taken.into_iter().chain(left) {
            let method = methods.of(dtype);
            let entry = MethodEntry {
                name: method.name(),
                version: method.version(),
                profile: method.profile().map(blake3::hash),
            };
            if !methods.entries.contains(&entry) {
                methods.entries.push(entry);
            }
        }
        methods
    }

    /// The method of a type: the one that was chosen, or what that leaves it to, or the other.
    fn of(&self, dtype: Dtype) -> &dyn ChunkedMethod {
        let chosen = self.chosen.as_ref();
        match &self.other {
            Some(other) if !chosen.takes(dtype) => other.as_ref(),
            _ => chosen.by_type(dtype).unwrap_or(chosen),
        }
    }

    /// For each part of a file the number of the one that it is encoded given.
    fn pairs(&self, file: &Source<'_>, parts: &[Part]) -> Vec<Option<usize>> {
        let views: Vec<TensorView<'_>> = parts
            .iter()
            .map(|part| TensorView {
                name: file.name,
                dtype: part
                    .tensor
                    .as_ref()
                    .map_or(Dtype::U8, |tensor| tensor.dtype),
                shape: part.tensor.as_ref().map_or(&[], |tensor| &tensor.shape),
                data: file.data.get(part.range.clone()).unwrap_or(&[]),
            })
            .collect();
        llmcl_codecs::pairs(self.chosen.as_ref(), &views)
    }

    /// The place of a method in the index.
    fn number(&self, method: &dyn ChunkedMethod) -> usize {
        let name = method.name();
        let mut entries = self.entries.iter();
        entries.position(|entry| entry.name == name).unwrap_or(0)
    }
}

struct Writer<'a> {
    methods: Methods,
    out: &'a mut dyn Write,
    at: u64,
    stop: &'a AtomicBool,
}

/// A segment whose chunks can be encoded.
struct Ready<'a> {
    segment: Segment,
    chunks: Box<dyn Chunks>,
    data: &'a [u8],
    /// The data of the segment that it is given, and how much of it each chunk needs.
    given: Option<(&'a [u8], usize)>,
    place: String,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.out.write_all(bytes).map_err(WriteError::Write)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Encodes and writes the chunks of a file.
    fn segments(
        &mut self,
        file: &Source<'_>,
        parts: &[Part],
        pairs: &[Option<usize>],
        hasher: &mut blake3::Hasher,
    ) -> Result<Vec<Segment>, WriteError> {
        let mut done = Vec::new();
        let all = parts;
        let mut parts = parts.iter().zip(pairs).peekable();
        while parts.peek().is_some() {
            let mut group = Vec::new();
            let mut bytes = 0;
            while bytes < GROUP_BYTES
                && let Some((part, pair)) = parts.next()
            {
                bytes += part.range.len();
                group.push((part, *pair));
            }
            let ready = group
                .into_par_iter()
                .map(|(part, pair)| self.methods.ready(file, all, part, pair))
                .collect::<Result<Vec<Ready<'_>>, WriteError>>()?;
            self.group(ready, hasher, &mut done)?;
        }
        Ok(done)
    }

    fn group(
        &mut self,
        mut ready: Vec<Ready<'_>>,
        hasher: &mut blake3::Hasher,
        done: &mut Vec<Segment>,
    ) -> Result<(), WriteError> {
        let jobs: Vec<(usize, u64, &[u8])> = ready
            .iter()
            .enumerate()
            .flat_map(|(number, ready)| {
                let length = ready.chunks.chunk_bytes();
                let chunks = ready.data.chunks(length as usize).enumerate();
                chunks.map(move |(chunk, data)| (number, chunk as u64 * length, data))
            })
            .collect();
        let mut entries: Vec<Vec<ChunkEntry>> = vec![Vec::new(); ready.len()];
        for jobs in jobs.chunks(CHUNKS_A_THREAD * rayon::current_num_threads()) {
            if self.stop.load(Ordering::Relaxed) {
                return Err(WriteError::Interrupted);
            }
            let encoded = jobs
                .par_iter()
                .map(|&(number, first, data)| ready[number].encode(first, data))
                .collect::<Result<Vec<Encoded>, WriteError>>()?;
            for (encoded, &(number, _, _)) in encoded.iter().zip(jobs) {
                hasher.update_rayon(&encoded.data);
                entries[number].push(ChunkEntry {
                    at: self.at,
                    bytes: encoded.bytes.len() as u64,
                    checksum: encoded.checksum,
                });
                self.put(&encoded.bytes)?;
            }
        }
        for (ready, chunks) in ready.iter_mut().zip(entries) {
            ready.segment.chunks = chunks;
        }
        done.extend(ready.into_iter().map(|ready| ready.segment));
        Ok(())
    }
}

impl Methods {
    fn ready<'a>(
        &self,
        file: &Source<'a>,
        parts: &[Part],
        part: &Part,
        pair: Option<usize>,
    ) -> Result<Ready<'a>, WriteError> {
        let data = file.data.get(part.range.clone()).unwrap_or(&[]);
        let place = match &part.tensor {
            Some(tensor) => format!("tensor {:?} of {:?}", tensor.name, file.name),
            None => format!("{:?}", file.name),
        };
        let mut segment = Segment {
            bytes: data.len() as u64,
            tensor: part.tensor.as_ref().map(|tensor| TensorInfo {
                name: tensor.name.clone(),
                dtype: tensor.dtype,
                shape: tensor.shape.clone(),
            }),
            method: 0,
            given: pair,
            tables: Vec::new(),
            chunks: Vec::new(),
        };
        let (dtype, shape) = segment.dtype_and_shape();
        let view = TensorView {
            name: &place,
            dtype,
            shape,
            data,
        };
        let method = self.of(view.dtype);
        let given = pair.and_then(|number| parts.get(number));
        let given = given.and_then(|part| {
            Some(TensorView {
                name: file.name,
                dtype: part.tensor.as_ref()?.dtype,
                shape: &part.tensor.as_ref()?.shape,
                data: file.data.get(part.range.clone())?,
            })
        });
        let fitted = method.fit(&view, given.as_ref());
        let chunks = fitted.map_err(|source| WriteError::Encode {
            place: place.clone(),
            source,
        })?;
        let given = given.and_then(|given| {
            let length = same_elements(chunks.chunk_bytes(), dtype, given.dtype);
            let part = parts.get(pair?)?;
            Some((file.data.get(part.range.clone())?, length))
        });
        segment.method = self.number(method);
        segment.tables = chunks.tables().to_vec();
        Ok(Ready {
            segment,
            chunks,
            data,
            given,
            place,
        })
    }
}

/// An encoded chunk.
struct Encoded {
    /// What it was made of.
    data: Vec<u8>,
    bytes: Vec<u8>,
    checksum: u64,
}

impl Ready<'_> {
    /// Encodes a chunk, decodes it again, and takes its checksum.
    fn encode(&self, first: u64, data: &[u8]) -> Result<Encoded, WriteError> {
        // A copy, because a file that is mapped may change: what is encoded, compared and digested is the same then.
        let data = data.to_vec();
        let mut bytes = Vec::new();
        let given = self.given.map(|(given, length)| {
            let number = first.checked_div(self.chunks.chunk_bytes()).unwrap_or(0);
            given
                .chunks(length)
                .nth(number as usize)
                .unwrap_or(&[])
                .to_vec()
        });
        let given = given.unwrap_or_default();
        let encoded = self.chunks.encode(first, &data, &given, &mut bytes);
        encoded.map_err(|source| WriteError::Encode {
            place: self.place.clone(),
            source,
        })?;
        let mut again = vec![0; data.len()];
        let decoded = self.chunks.decode(first, &bytes, &given, &mut again);
        if decoded.is_err() || again != data {
            return Err(WriteError::Check {
                place: self.place.clone(),
            });
        }
        Ok(Encoded {
            checksum: checksum(&bytes),
            data,
            bytes,
        })
    }
}
