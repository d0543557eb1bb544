//! Any bytes are a container whose files take no more than they may, or are refused.
#![no_main]

use std::sync::atomic::AtomicBool;

use libfuzzer_sys::fuzz_target;
use llmcl_codecs::bytes::{LimitedWriter, write_varint};
use llmcl_codecs::{Dtype, chunked};
use llmcl_container::Container;

/// The methods of containers that are made here.
const METHODS: [&str; 8] = [
    "zstd_1",
    "zstd_19",
    "exponent_static",
    "exponent_mantissa_static",
    "exponent_mantissa_scaled",
    "block_static",
    "block_context",
    "block_mixed",
];
/// The most bytes that are restored of a file.
const MOST_BYTES: u64 = 64 << 20;
/// The most chunks of a segment; more of them are more of the same.
const MOST_CHUNKS: u64 = 8;

/// What is left of the input.
struct Given<'a>(&'a [u8]);

impl<'a> Given<'a> {
    fn byte(&mut self) -> usize {
        self.take(1).first().copied().unwrap_or_default().into()
    }

    fn number(&mut self) -> usize {
        self.byte() | self.byte() << 8
    }

    /// So many bytes, or as many as there are.
    fn take(&mut self, bytes: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(bytes.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

fn checksum(bytes: &[u8]) -> [u8; 8] {
    twox_hash::XxHash3_64::oneshot(bytes).to_le_bytes()
}

fn write_text(text: &[u8], out: &mut Vec<u8>) {
    write_varint(out, text.len() as u64);
    out.extend_from_slice(text);
}

/// A container of a version, with a head, a tail and a checksum of its index that are right.
fn seal(version: u8, chunks: &[u8], index: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x8dLLMCL\r\n".to_vec();
    bytes.extend([version, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend_from_slice(chunks);
    let at = bytes.len() as u64;
    bytes.extend_from_slice(index);
    bytes.extend(at.to_le_bytes());
    bytes.extend((index.len() as u64).to_le_bytes());
    bytes.extend(checksum(index));
    bytes.extend_from_slice(b"LLMCLEND");
    bytes
}

/// A file of segments whose tables and chunks are the input's, and whose checksums are right.
fn made(given: &mut Given<'_>) -> Vec<u8> {
    let (mut chunks, mut segments, mut count, mut length) = (Vec::new(), Vec::new(), 0u64, 0);
    let mut version = 1;
    // The last tensor that is given nothing itself: its number, method, type and shape.
    let mut last: Option<(u64, usize, Dtype, Vec<u64>)> = None;
    while !given.0.is_empty() && count < 8 {
        let number = given.byte() % METHODS.len();
        let dtype = Dtype::ALL[given.byte() % Dtype::ALL.len()];
        let axes = given.byte() % 4;
        let mut shape: Vec<u64> = (0..axes).map(|_| given.number() as u64).collect();
        // Those for blocks have them, if they have coded anything.
        let tables = match given.byte() {
            0..128 => 0,
            _ => given.number() % 2048,
        };
        let tables = given.take(tables);
        let method = chunked::resolve(METHODS[number], None).unwrap().unwrap();
        // Every second is given the one before, if it can be.
        let pair = last.as_ref().filter(|(_, of, finer, shape)| {
            count % 2 == 1
                && *of == number
                && method.takes_given(dtype, *finer)
                && dtype.bytes_for(shape).is_some()
        });
        if let Some((.., of_finer)) = pair {
            shape.clone_from(of_finer);
        }
        let finer = pair.map(|(_, _, finer, _)| *finer);
        let (Some(bytes), Ok(opened)) = (
            dtype.bytes_for(&shape),
            method.open(dtype, &shape, finer, tables),
        ) else {
            continue;
        };
        let pieces = bytes.div_ceil(opened.chunk_bytes());
        if pieces > MOST_CHUNKS {
            continue;
        }
        segments.push(if pair.is_some() { 2 } else { 1 });
        write_text(format!("{count}").as_bytes(), &mut segments);
        write_text(dtype.name().as_bytes(), &mut segments);
        write_varint(&mut segments, shape.len() as u64);
        for &axis in &shape {
            write_varint(&mut segments, axis);
        }
        match pair {
            Some((number, ..)) => {
                write_varint(&mut segments, *number);
                version = 2;
            }
            None => last = Some((count, number, dtype, shape)),
        }
        write_varint(&mut segments, number as u64);
        write_text(tables, &mut segments);
        for _ in 0..pieces {
            let piece = given.number();
            let piece = given.take(piece);
            write_varint(&mut segments, piece.len() as u64);
            segments.extend(checksum(piece));
            chunks.extend_from_slice(piece);
        }
        (count, length) = (count + 1, length + bytes);
    }
    let mut index = vec![0];
    write_varint(&mut index, METHODS.len() as u64);
    for method in METHODS {
        write_text(method.as_bytes(), &mut index);
        index.extend([1, 0]);
    }
    write_varint(&mut index, 1);
    write_text(b"model", &mut index);
    write_varint(&mut index, length);
    // Whose digest that is does not matter: it is looked at when all is restored.
    index.extend([0; 32]);
    write_varint(&mut index, count);
    index.extend(segments);
    seal(version, &chunks, &index)
}

/// Reads all that there is, and returns whether there is a container.
fn read(bytes: &[u8]) -> bool {
    let Ok(container) = Container::open(bytes) else {
        return false;
    };
    let never = AtomicBool::new(false);
    for file in container.files() {
        let mut out = LimitedWriter::new(std::io::sink(), MOST_BYTES);
        let _ = container.restore(file, &mut out, &never);
        // A damaged segment keeps nobody from reading the others.
        for segment in &file.segments {
            let mut out = LimitedWriter::new(std::io::sink(), MOST_BYTES);
            let range = segment.bytes / 2..segment.bytes;
            let _ = container.read(file, segment, range, &mut out, &never);
        }
    }
    true
}

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    let mut given = Given(bytes);
    let split = given.number();
    if split % 2 == 0 {
        let chunks = given.take(split / 2);
        read(&seal(1 + (split / 2 % 2) as u8, chunks, given.0));
    } else {
        // All that is in its index was held against the methods before.
        assert!(read(&made(&mut given)));
    }
});
