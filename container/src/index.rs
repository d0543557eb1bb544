//! The index: which files there are, what of them is where, and how it is coded.

use std::collections::{HashMap, HashSet};

use llmcl_codecs::bytes::{ByteReader, write_varint};
use llmcl_codecs::chunked::{self, ChunkedMethod, Chunks, same_elements};
use llmcl_codecs::{DecodeError, Dtype};

use crate::error::ContainerError;
use crate::name::Names;

/// The bytes that a container begins with. Like those of PNG, they show what programs do to files that they take for
/// text.
pub(crate) const MAGIC: [u8; 8] = *b"\x8dLLMCL\r\n";
/// The bytes that it ends with.
pub(crate) const END: [u8; 8] = *b"LLMCLEND";
/// The version of the format, if no tensor is given another.
pub(crate) const VERSION: u16 = 1;
/// The version where some are.
pub(crate) const VERSION_WITH_PAIRS: u16 = 2;
/// Bytes before the first chunk: magic, version, zeros.
pub(crate) const HEAD_BYTES: usize = 16;
/// Bytes after the index: where it begins, its length, its checksum, the end.
pub(crate) const TAIL_BYTES: usize = 32;
/// The most bytes of a chunk, before it is encoded.
const MOST_CHUNK_BYTES: u64 = 1 << 23;

/// The checksum of chunks and of the index.
pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    twox_hash::XxHash3_64::oneshot(bytes)
}

/// What a container holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A file.
    File,
    /// A folder of files.
    Folder,
}

/// A method that chunks are coded by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MethodEntry {
    /// Its name.
    pub name: String,
    /// The version of what it writes.
    pub version: u8,
    /// The BLAKE3 digest of the profile that it needs, if it needs one.
    pub profile: Option<blake3::Hash>,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Its path below the folder, with slashes; of a single file, its name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// The BLAKE3 digest of it.
    pub digest: blake3::Hash,
    /// Its parts, in order.
    pub segments: Vec<Segment>,
}

/// A part of a file that is coded as one: a tensor, or what is between tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The tensor; `None` for other bytes.
    pub tensor: Option<TensorInfo>,
    /// Its length.
    pub bytes: u64,
    /// The number of its method.
    pub method: usize,
    /// The number of the segment of the same file that holds the same matrix at a finer precision, if it is decoded
    /// given that.
    pub given: Option<usize>,
    /// What its chunks share.
    pub(crate) tables: Vec<u8>,
    /// Its chunks, in order.
    pub(crate) chunks: Vec<ChunkEntry>,
}

/// What is known of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name, which is unique in its file.
    pub name: String,
    /// The type of its elements.
    pub dtype: Dtype,
    /// Its dimensions, outermost first.
    pub shape: Vec<u64>,
}

/// A chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkEntry {
    /// Where it begins in the container.
    pub(crate) at: u64,
    /// Its length in the container.
    pub(crate) bytes: u64,
    pub(crate) checksum: u64,
}

impl Segment {
    /// The length of its chunks in the container.
    pub fn encoded_bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.bytes).sum()
    }

    /// The same with the tables that its chunks share, which stand in the index.
    pub fn encoded_bytes_with_tables(&self) -> u64 {
        self.encoded_bytes() + self.tables.len() as u64
    }

    /// How many chunks it has.
    pub fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// What its chunks are to a method: other bytes are a tensor of bytes.
    pub(crate) fn dtype_and_shape(&self) -> (Dtype, &[u64]) {
        match &self.tensor {
            Some(tensor) => (tensor.dtype, &tensor.shape),
            None => (Dtype::U8, std::slice::from_ref(&self.bytes)),
        }
    }
}

/// All that the index says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Index {
    pub(crate) form: Form,
    pub(crate) methods: Vec<MethodEntry>,
    pub(crate) files: Vec<FileEntry>,
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    write_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

fn read_text(reader: &mut ByteReader<'_>, what: &'static str) -> Result<String, DecodeError> {
    let bytes = reader.varint(what)?;
    let at = reader.at();
    let text = std::str::from_utf8(reader.take(bytes, what)?);
    let refusal = DecodeError::Field {
        what,
        at,
        expected: "UTF-8",
        found: bytes,
    };
    text.map(str::to_owned).map_err(|_| refusal)
}

impl Index {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(match self.form {
            Form::File => 0,
            Form::Folder => 1,
        });
        write_varint(out, self.methods.len() as u64);
        for method in &self.methods {
            write_text(&method.name, out);
            out.push(method.version);
            out.push(u8::from(method.profile.is_some()));
            if let Some(digest) = &method.profile {
                out.extend_from_slice(digest.as_bytes());
            }
        }
        write_varint(out, self.files.len() as u64);
        for file in &self.files {
            write_text(&file.name, out);
            write_varint(out, file.bytes);
            out.extend_from_slice(file.digest.as_bytes());
            write_varint(out, file.segments.len() as u64);
            for segment in &file.segments {
                segment.write(out);
            }
        }
    }

    /// Reads an index that lies at `end_of_chunks`, and resolves its methods, whose profiles are among `profiles`.
    pub(crate) fn read(
        bytes: &[u8],
        end_of_chunks: u64,
        version: u16,
        profiles: &Profiles<'_>,
    ) -> Result<(Index, Vec<Box<dyn ChunkedMethod>>), ContainerError> {
        let at = end_of_chunks;
        let wrong = |source| ContainerError::Index { at, source };
        let mut reader = ByteReader::new(bytes);
        let form = match reader.byte("form").map_err(wrong)? {
            0 => Form::File,
            1 => Form::Folder,
            found => return Err(wrong(field("form", 0, "0 or 1", found.into()))),
        };
        let mut methods = Vec::new();
        let mut chunked = Vec::new();
        for _ in 0..reader.varint("number of methods").map_err(wrong)? {
            let (entry, method) = read_method(&mut reader, profiles, wrong)?;
            methods.push(entry);
            chunked.push(method);
        }
        let mut files = Vec::new();
        let mut names = Names::default();
        // The chunks lie one after the other.
        let mut next = HEAD_BYTES as u64;
        for _ in 0..reader.varint("number of files").map_err(wrong)? {
            let file = read_file(&mut reader, version, &chunked, &mut next, wrong)?;
            if let Some(problem) = names.add(&file.name) {
                return Err(entry("file", &file.name, problem));
            }
            files.push(file);
        }
        if form == Form::File && files.len() != 1 {
            return Err(wrong(field("number of files", 0, "1", files.len() as u64)));
        }
        reader.finish().map_err(wrong)?;
        if next != end_of_chunks {
            return Err(wrong(field(
                "lengths of chunks",
                0,
                "together those of all",
                next,
            )));
        }
        let index = Index {
            form,
            methods,
            files,
        };
        Ok((index, chunked))
    }
}

fn field(what: &'static str, at: u64, expected: &'static str, found: u64) -> DecodeError {
    DecodeError::Field {
        what,
        at,
        expected,
        found,
    }
}

fn entry(what: &'static str, name: &str, problem: &'static str) -> ContainerError {
    ContainerError::Entry {
        what,
        name: name.to_owned(),
        problem,
    }
}

/// Profiles by their digests.
pub(crate) type Profiles<'a> = HashMap<blake3::Hash, &'a [u8]>;

fn read_method(
    reader: &mut ByteReader<'_>,
    profiles: &Profiles<'_>,
    wrong: impl Fn(DecodeError) -> ContainerError + Copy,
) -> Result<(MethodEntry, Box<dyn ChunkedMethod>), ContainerError> {
    let name = read_text(reader, "name of a method").map_err(wrong)?;
    let version = reader.byte("version of a method").map_err(wrong)?;
    let at = reader.at();
    let profile = match reader.byte("whether there is a profile").map_err(wrong)? {
        0 => None,
        1 => {
            let digest = reader.array("digest of a profile").map_err(wrong)?;
            Some(blake3::Hash::from_bytes(digest))
        }
        found => {
            let what = "whether there is a profile";
            return Err(wrong(field(what, at, "0 or 1", found.into())));
        }
    };
    let entry = MethodEntry {
        name,
        version,
        profile,
    };
    let method = entry.resolve(profiles)?;
    Ok((entry, method))
}

impl MethodEntry {
    /// The method, with its profile.
    fn resolve(&self, profiles: &Profiles<'_>) -> Result<Box<dyn ChunkedMethod>, ContainerError> {
        let unknown = || ContainerError::Method {
            name: self.name.clone(),
            version: self.version,
        };
        if chunked::resolve(&self.name, None).is_none() {
            return Err(unknown());
        }
        let profile = match &self.profile {
            None => None,
            Some(digest) => match profiles.get(digest) {
                Some(profile) => Some(*profile),
                None => {
                    return Err(ContainerError::NoProfile {
                        method: self.name.clone(),
                        digest: *digest,
                    });
                }
            },
        };
        let method = chunked::resolve(&self.name, profile);
        let method = method.filter(|method| {
            let version = method.as_ref().map(|method| method.version());
            version.unwrap_or(self.version) == self.version
        });
        match method {
            Some(Ok(method)) => Ok(method),
            Some(Err(problem)) => Err(ContainerError::Profile {
                method: self.name.clone(),
                problem,
            }),
            None => Err(unknown()),
        }
    }
}

fn read_file(
    reader: &mut ByteReader<'_>,
    version: u16,
    methods: &[Box<dyn ChunkedMethod>],
    next: &mut u64,
    wrong: impl Fn(DecodeError) -> ContainerError + Copy,
) -> Result<FileEntry, ContainerError> {
    let name = read_text(reader, "name of a file").map_err(wrong)?;
    let bytes = reader.varint("length of a file").map_err(wrong)?;
    let digest = blake3::Hash::from_bytes(reader.array("digest of a file").map_err(wrong)?);
    let count = reader.varint("number of segments").map_err(wrong)?;
    let mut segments: Vec<Segment> = Vec::new();
    let mut chunk_bytes = Vec::new();
    let mut names = HashSet::new();
    let mut left = bytes;
    for _ in 0..count {
        let (segment, length) = Segment::read(reader, version, methods, next, wrong)?;
        chunk_bytes.push(length);
        let after = left.checked_sub(segment.bytes);
        left = after.ok_or_else(|| entry("file", &name, "is shorter than its segments"))?;
        if let Some(tensor) = &segment.tensor
            && !names.insert(tensor.name.clone())
        {
            return Err(entry("tensor", &tensor.name, "is there twice"));
        }
        segments.push(segment);
    }
    if left > 0 {
        return Err(entry("file", &name, "is longer than its segments"));
    }
    for segment in segments.iter().filter(|segment| segment.given.is_some()) {
        let tensor = segment.tensor.as_ref().map_or("", |tensor| &tensor.name);
        let method = methods.get(segment.method);
        let (Some(given), Some(method)) = (segment.given_type(&segments), method) else {
            return Err(entry(
                "tensor",
                tensor,
                "is given what is no other tensor of its shape, or is given another itself",
            ));
        };
        let (dtype, _) = segment.dtype_and_shape();
        if !method.takes_given(dtype, given) {
            return Err(entry(
                "tensor",
                tensor,
                "is given one of a type that is no use",
            ));
        }
        let opened = segment.open(method.as_ref(), Some(given))?;
        // Chunk by chunk they must be of the same elements, whatever method the other one has.
        let finer = segment.given.and_then(|number| segments.get(number));
        let length = same_elements(opened.chunk_bytes(), dtype, given) as u64;
        let is_same = segment.given.is_some_and(|number| {
            chunk_bytes.get(number) == Some(&length)
                && finer.is_some_and(|finer| finer.chunks.len() == segment.chunks.len())
        });
        if !is_same {
            return Err(entry("tensor", tensor, "is given a tensor of other chunks"));
        }
    }
    Ok(FileEntry {
        name,
        bytes,
        digest,
        segments,
    })
}

impl Segment {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(match (&self.tensor, self.given) {
            (None, _) => 0,
            (Some(_), None) => 1,
            (Some(_), Some(_)) => 2,
        });
        match &self.tensor {
            None => write_varint(out, self.bytes),
            Some(tensor) => {
                write_text(&tensor.name, out);
                write_text(tensor.dtype.name(), out);
                write_varint(out, tensor.shape.len() as u64);
                for axis in &tensor.shape {
                    write_varint(out, *axis);
                }
            }
        }
        if let Some(given) = self.given {
            write_varint(out, given as u64);
        }
        write_varint(out, self.method as u64);
        write_varint(out, self.tables.len() as u64);
        out.extend_from_slice(&self.tables);
        for chunk in &self.chunks {
            write_varint(out, chunk.bytes);
            out.extend_from_slice(&chunk.checksum.to_le_bytes());
        }
    }

    /// A segment, and the bytes of its chunks but the last.
    fn read(
        reader: &mut ByteReader<'_>,
        version: u16,
        methods: &[Box<dyn ChunkedMethod>],
        next: &mut u64,
        wrong: impl Fn(DecodeError) -> ContainerError + Copy,
    ) -> Result<(Segment, u64), ContainerError> {
        let at = reader.at();
        let mut given = None;
        let (tensor, bytes) = match reader.byte("kind of a segment").map_err(wrong)? {
            0 => match reader.varint("length of a segment").map_err(wrong)? {
                0 => {
                    let what = "length of a segment";
                    return Err(wrong(field(what, at + 1, "one byte at least", 0)));
                }
                bytes => (None, bytes),
            },
            1 => {
                let (tensor, bytes) = read_tensor(reader, wrong)?;
                (Some(tensor), bytes)
            }
            2 if version >= VERSION_WITH_PAIRS => {
                let (tensor, bytes) = read_tensor(reader, wrong)?;
                let at = reader.at();
                let number = reader.varint("given segment").map_err(wrong)?;
                given = usize::try_from(number).ok();
                if given.is_none() {
                    let expected = "the number of a segment";
                    return Err(wrong(field("given segment", at, expected, number)));
                }
                (Some(tensor), bytes)
            }
            found => {
                let expected = match version {
                    VERSION => "0 or 1",
                    _ => "0, 1 or 2",
                };
                return Err(wrong(field(
                    "kind of a segment",
                    at,
                    expected,
                    found.into(),
                )));
            }
        };
        let at = reader.at();
        let number = reader.varint("method of a segment").map_err(wrong)?;
        let method = usize::try_from(number)
            .ok()
            .and_then(|number| methods.get(number));
        let method = method.ok_or_else(|| {
            wrong(field(
                "method of a segment",
                at,
                "the number of one of the methods",
                number,
            ))
        })?;
        let length = reader.varint("length of tables").map_err(wrong)?;
        let tables = reader.take(length, "tables").map_err(wrong)?.to_vec();
        let mut segment = Segment {
            tensor,
            bytes,
            method: number as usize,
            given,
            tables,
            chunks: Vec::new(),
        };
        // The tables of one that is given another are looked at when that is known. They do not change the chunks.
        let opened = match given {
            None => segment.open(method.as_ref(), None),
            Some(_) => segment.open_empty(method.as_ref()),
        };
        let length = opened?.chunk_bytes();
        // Each takes nine bytes of the index at least, so that no length makes this run on.
        for _ in 0..bytes.div_ceil(length) {
            let length = reader.varint("length of a chunk").map_err(wrong)?;
            let checksum = reader.array("checksum of a chunk").map_err(wrong)?;
            segment.chunks.push(ChunkEntry {
                at: *next,
                bytes: length,
                checksum: u64::from_le_bytes(checksum),
            });
            let after = next.checked_add(length);
            *next = after.ok_or_else(|| {
                wrong(field(
                    "length of a chunk",
                    at,
                    "such that all fit the file",
                    length,
                ))
            })?;
        }
        Ok((segment, length))
    }

    /// The type of what it is given: a tensor of the same shape that is given nothing itself.
    pub(crate) fn given_type(&self, segments: &[Segment]) -> Option<Dtype> {
        let given = segments.get(self.given?)?;
        let (own, finer) = (self.tensor.as_ref()?, given.tensor.as_ref()?);
        (own.shape == finer.shape && given.given.is_none()).then_some(finer.dtype)
    }

    /// What it is, for people.
    pub(crate) fn label(&self) -> String {
        match &self.tensor {
            Some(tensor) => format!("tensor {:?}", tensor.name),
            None => "bytes that are no tensor".to_owned(),
        }
    }

    /// Its chunks, given a tensor of a type.
    pub(crate) fn open(
        &self,
        method: &dyn ChunkedMethod,
        given: Option<Dtype>,
    ) -> Result<Box<dyn Chunks>, ContainerError> {
        self.open_by(method, given, &self.tables)
    }

    /// Its chunks as they would be without tables.
    fn open_empty(&self, method: &dyn ChunkedMethod) -> Result<Box<dyn Chunks>, ContainerError> {
        self.open_by(method, None, &[])
    }

    fn open_by(
        &self,
        method: &dyn ChunkedMethod,
        given: Option<Dtype>,
        tables: &[u8],
    ) -> Result<Box<dyn Chunks>, ContainerError> {
        let (dtype, shape) = self.dtype_and_shape();
        let opened = method.open(dtype, shape, given, tables);
        opened
            .and_then(Self::check)
            .map_err(|source| ContainerError::Tables {
                of: self.label(),
                source,
            })
    }

    fn check(chunks: Box<dyn Chunks>) -> Result<Box<dyn Chunks>, DecodeError> {
        match (1..=MOST_CHUNK_BYTES).contains(&chunks.chunk_bytes()) {
            true => Ok(chunks),
            false => Err(field(
                "bytes of a chunk",
                0,
                "8 MiB at most",
                chunks.chunk_bytes(),
            )),
        }
    }
}

fn read_tensor(
    reader: &mut ByteReader<'_>,
    wrong: impl Fn(DecodeError) -> ContainerError + Copy,
) -> Result<(TensorInfo, u64), ContainerError> {
    let name = read_text(reader, "name of a tensor").map_err(wrong)?;
    let dtype = read_text(reader, "type of a tensor").map_err(wrong)?;
    let dtype = Dtype::from_name(&dtype)
        .ok_or_else(|| entry("tensor", &name, "is of a type that does not exist"))?;
    let axes = reader.varint("number of axes").map_err(wrong)?;
    let shape = (0..axes)
        .map(|_| reader.varint("length of an axis"))
        .collect::<Result<Vec<u64>, DecodeError>>()
        .map_err(wrong)?;
    let bytes = dtype
        .bytes_for(&shape)
        .ok_or_else(|| entry("tensor", &name, "is of a length that no file has"))?;
    Ok((TensorInfo { name, dtype, shape }, bytes))
}
