//! Containers made by hand, after the format, with whatever is wrong in them: every checksum is right.

use llmcl_codecs::bytes::write_varint;

/// Bytes after the index.
pub(crate) const TAIL_BYTES: usize = 32;

/// The checksum of chunks and of the index.
pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    twox_hash::XxHash3_64::oneshot(bytes)
}

/// The head of a container.
pub(crate) fn head() -> Vec<u8> {
    b"\x8dLLMCL\r\n\x01\0\0\0\0\0\0\0".to_vec()
}

/// Puts an index and the tail for it after a head and chunks.
pub(crate) fn seal(head_and_chunks: &[u8], index: &[u8]) -> Vec<u8> {
    let mut bytes = [head_and_chunks, index].concat();
    let numbers = [
        head_and_chunks.len() as u64,
        index.len() as u64,
        checksum(index),
    ];
    bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    bytes.extend_from_slice(b"LLMCLEND");
    bytes
}

/// A text with its length.
pub(crate) fn write_text(text: &[u8], out: &mut Vec<u8>) {
    write_varint(out, text.len() as u64);
    out.extend_from_slice(text);
}

/// A method.
#[derive(Clone, Debug)]
pub(crate) struct Method {
    pub(crate) name: Vec<u8>,
    pub(crate) version: u8,
    /// Whether there is a profile, which its digest follows.
    pub(crate) profile: Vec<u8>,
}

impl Method {
    pub(crate) fn named(name: &str) -> Method {
        Method {
            name: name.into(),
            version: 1,
            profile: vec![0],
        }
    }
}

/// A file.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) name: Vec<u8>,
    pub(crate) bytes: u64,
    pub(crate) digest: [u8; 32],
    pub(crate) segments: Vec<Segment>,
}

/// A segment. Its chunks are what the index says of them.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) kind: u8,
    /// The length, or the tensor.
    pub(crate) what: What,
    /// The number of the segment that it is given, if its kind has one.
    pub(crate) given: Option<u64>,
    pub(crate) method: u64,
    pub(crate) tables: Vec<u8>,
    pub(crate) chunks: Vec<(u64, u64)>,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Bytes(u64),
    Tensor {
        name: Vec<u8>,
        dtype: Vec<u8>,
        shape: Vec<u64>,
    },
}

impl Segment {
    /// Bytes that are no tensor.
    pub(crate) fn bytes(bytes: u64) -> Segment {
        Segment {
            kind: 0,
            what: What::Bytes(bytes),
            given: None,
            method: 0,
            tables: Vec::new(),
            chunks: Vec::new(),
        }
    }

    /// A tensor.
    pub(crate) fn tensor(name: &str, dtype: &str, shape: &[u64]) -> Segment {
        Segment {
            kind: 1,
            what: What::Tensor {
                name: name.into(),
                dtype: dtype.into(),
                shape: shape.to_vec(),
            },
            ..Segment::bytes(0)
        }
    }

    /// The same with another method.
    pub(crate) fn by(self, method: u64, tables: &[u8]) -> Segment {
        Segment {
            method,
            tables: tables.to_vec(),
            ..self
        }
    }

    /// The same given another segment.
    pub(crate) fn given(self, number: u64) -> Segment {
        Segment {
            kind: 2,
            given: Some(number),
            ..self
        }
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(self.kind);
        match &self.what {
            What::Bytes(bytes) => write_varint(out, *bytes),
            What::Tensor { name, dtype, shape } => {
                write_text(name, out);
                write_text(dtype, out);
                write_varint(out, shape.len() as u64);
                for axis in shape {
                    write_varint(out, *axis);
                }
            }
        }
        if let Some(given) = self.given {
            write_varint(out, given);
        }
        write_varint(out, self.method);
        write_text(&self.tables, out);
        for (length, checksum) in &self.chunks {
            write_varint(out, *length);
            out.extend(checksum.to_le_bytes());
        }
    }
}

/// A container.
#[derive(Clone, Debug)]
pub(crate) struct Handmade {
    pub(crate) head: Vec<u8>,
    pub(crate) chunks: Vec<u8>,
    pub(crate) form: u8,
    pub(crate) methods: Vec<Method>,
    pub(crate) files: Vec<File>,
    /// What follows in the index.
    pub(crate) more: Vec<u8>,
}

impl Handmade {
    /// One of a form, with methods and nothing else.
    pub(crate) fn new(form: u8, methods: &[&str]) -> Handmade {
        Handmade {
            head: head(),
            chunks: Vec::new(),
            form,
            methods: methods.iter().map(|name| Method::named(name)).collect(),
            files: Vec::new(),
            more: Vec::new(),
        }
    }

    /// Adds a file without segments, for `data`.
    pub(crate) fn file(&mut self, name: &str, data: &[u8]) {
        self.files.push(File {
            name: name.into(),
            bytes: data.len() as u64,
            digest: *blake3::hash(data).as_bytes(),
            segments: Vec::new(),
        });
    }

    /// Adds a segment with its chunks to the last file.
    pub(crate) fn segment(&mut self, mut segment: Segment, chunks: &[&[u8]]) {
        for chunk in chunks {
            segment.chunks.push((chunk.len() as u64, checksum(chunk)));
            self.chunks.extend_from_slice(chunk);
        }
        if let Some(file) = self.files.last_mut() {
            file.segments.push(segment);
        }
    }

    pub(crate) fn index(&self) -> Vec<u8> {
        let mut out = vec![self.form];
        write_varint(&mut out, self.methods.len() as u64);
        for method in &self.methods {
            write_text(&method.name, &mut out);
            out.push(method.version);
            out.extend_from_slice(&method.profile);
        }
        write_varint(&mut out, self.files.len() as u64);
        for file in &self.files {
            write_text(&file.name, &mut out);
            write_varint(&mut out, file.bytes);
            out.extend_from_slice(&file.digest);
            write_varint(&mut out, file.segments.len() as u64);
            for segment in &file.segments {
                segment.write(&mut out);
            }
        }
        out.extend_from_slice(&self.more);
        out
    }

    /// The container.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        seal(
            &[self.head.as_slice(), self.chunks.as_slice()].concat(),
            &self.index(),
        )
    }
}
