//! What runs: any number of threads, until somebody asks for an end or the disk is full.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use llmcl_codecs::Dtype;
use llmcl_codecs::bytes::LimitedWriter;
use llmcl_container::{ContainerError, Form, WriteError};

use crate::common::{
    Content, Files, NEVER, Tensor, methods, one, open, restore, safetensors, scaled_matrix,
    small_tensors, try_write, with_threads, write,
};

/// Many chunks, and many files and tensors of one.
fn files() -> Files {
    let mut tensors: Vec<Tensor> = (0..40)
        .map(|number| Content::Weights.tensor(&format!("{number}"), Dtype::Bf16, &[number, 9]))
        .collect();
    tensors.push(scaled_matrix("scaled", Dtype::F16, 1800, 1500));
    tensors.push(Content::Weights.tensor("large", Dtype::Bf16, &[1500, 1000]));
    vec![
        ("a".to_owned(), safetensors(&small_tensors())),
        ("b".to_owned(), safetensors(&tensors)),
        ("c".to_owned(), Vec::new()),
        ("d".to_owned(), vec![7; 5 << 20]),
    ]
}

#[test]
fn bytes_do_not_depend_on_threads() {
    let files = files();
    for name in methods().iter().filter(|name| *name != "zstd_22") {
        let alone = with_threads(1, || write(name, Form::Folder, &files).0);
        for threads in [2, 4] {
            let together = with_threads(threads, || write(name, Form::Folder, &files).0);
            assert!(together == alone, "{name} in {threads} threads");
        }
        for threads in [1, 4] {
            let restored = with_threads(threads, || restore(&alone).unwrap());
            assert!(restored == files, "{name} in {threads} threads");
        }
    }
}

#[test]
fn the_same_bytes_every_time() {
    let files = vec![("a".to_owned(), safetensors(&small_tensors()))];
    for name in methods() {
        let first = write(&name, Form::Folder, &files).0;
        assert!(first == write(&name, Form::Folder, &files).0, "{name}");
    }
}

#[test]
fn whoever_asks_for_an_end_gets_one() {
    let file = one(&safetensors(&small_tensors()));
    let now = AtomicBool::new(true);
    let mut out = Vec::new();
    let found = try_write("exponent_static", Form::File, &file, &mut out, &now);
    assert!(matches!(found, Err(WriteError::Interrupted)));
    let (bytes, _) = write("exponent_static", Form::File, &file);
    let container = open(&bytes).unwrap();
    let file = &container.files()[0];
    let mut out = Vec::new();
    let found = container.restore(file, &mut out, &now);
    assert!(matches!(found, Err(ContainerError::Interrupted)));
    let (file, segment) = container.tensors("a.weight").next().unwrap();
    let found = container.read(file, segment, 0..9, &mut out, &now);
    assert!(matches!(found, Err(ContainerError::Interrupted)));
    assert!(out.is_empty());
}

/// Asks for an end once so much was written.
struct Impatient<'a> {
    stop: &'a AtomicBool,
    left: usize,
    written: usize,
}

impl Write for Impatient<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written += bytes.len();
        if self.written >= self.left {
            self.stop.store(true, Ordering::Relaxed);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_end_comes_between_chunks() {
    // Twelve chunks, of which four are done at a time.
    let tensor = Content::Noise.tensor("large", Dtype::Bf16, &[12, 1 << 19]);
    let file = one(&safetensors(&[tensor]));
    with_threads(1, || {
        let stop = AtomicBool::new(false);
        let impatient = || Impatient {
            stop: &stop,
            left: 1000,
            written: 0,
        };
        let mut out = impatient();
        let found = try_write("exponent_static", Form::File, &file, &mut out, &stop);
        assert!(matches!(found, Err(WriteError::Interrupted)));
        assert!(out.written < 7 << 20, "{}", out.written);
        let (bytes, _) = write("exponent_static", Form::File, &file);
        let container = open(&bytes).unwrap();
        stop.store(false, Ordering::Relaxed);
        let mut out = impatient();
        let found = container.restore(&container.files()[0], &mut out, &stop);
        assert!(matches!(found, Err(ContainerError::Interrupted)));
        assert!(out.written < 7 << 20, "{}", out.written);
    });
}

#[test]
fn a_full_disk_is_an_error() {
    let file = one(&safetensors(&small_tensors()));
    let (bytes, _) = write("exponent_static", Form::File, &file);
    for limit in [0, 1, 16, 20, bytes.len() - 40, bytes.len() - 1] {
        let mut full = LimitedWriter::new(Vec::new(), limit as u64);
        let found = try_write("exponent_static", Form::File, &file, &mut full, &NEVER);
        assert!(matches!(found, Err(WriteError::Write(_))), "{limit}");
    }
    let container = open(&bytes).unwrap();
    let file = &container.files()[0];
    for limit in [0, 1, file.bytes - 1] {
        let mut full = LimitedWriter::new(Vec::new(), limit);
        let found = container.restore(file, &mut full, &NEVER);
        assert!(matches!(found, Err(ContainerError::Write(_))), "{limit}");
    }
    let (file, segment) = container.tensors("a.weight").next().unwrap();
    let mut full = LimitedWriter::new(Vec::new(), 8);
    let found = container.read(file, segment, 0..9, &mut full, &NEVER);
    assert!(matches!(found, Err(ContainerError::Write(_))));
}
