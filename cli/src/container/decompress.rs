//! `llmcl decompress`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use llmcl_codecs::Dtype;
use llmcl_container::{Container, ContainerError, FileEntry, Form, Segment};

use super::map::Mapped;
use super::output::{OutputFile, OutputFolder, not_written};
use super::{DecompressArgs, listen, tell_error, with_threads};
use crate::exit::Exit;
use crate::size;
use crate::text::tell;

/// Opens a container and hands it on.
pub(super) fn with_container<R>(
    path: &Path,
    profiles: &[PathBuf],
    work: impl FnOnce(&Container<'_>) -> Result<R, Exit>,
) -> Result<R, Exit> {
    let open = |path: &Path| {
        Mapped::open(path).map_err(|error| {
            tell(&format!("error: cannot read {}: {error}", path.display()));
            Exit::NotReady
        })
    };
    let mapped = open(path)?;
    let profiles = profiles
        .iter()
        .map(|path| open(path))
        .collect::<Result<Vec<Mapped>, Exit>>()?;
    let profiles: Vec<&[u8]> = profiles.iter().map(|profile| &**profile).collect();
    let container = Container::open_with(&mapped, &profiles).map_err(|error| {
        tell(&format!("in {}:", path.display()));
        tell_error(&error);
        match error {
            ContainerError::NoProfile { .. } => Exit::NotReady,
            _ => Exit::Failed,
        }
    })?;
    work(&container)
}

pub(crate) fn decompress(arguments: &DecompressArgs) -> Result<(), Exit> {
    let began = Instant::now();
    listen();
    let bytes = with_container(
        &arguments.input,
        &arguments.profiles,
        |container| match &arguments.tensor {
            Some(name) => tensor(arguments, container, name),
            None => match (container.form(), container.files()) {
                (Form::File, [file]) => single(arguments, container, file),
                _ => folder(arguments, container),
            },
        },
    )?;
    tell(&format!(
        "{}: {} in {}",
        arguments.output.display(),
        size::bytes(bytes),
        size::duration(began.elapsed())
    ));
    Ok(())
}

/// Decodes in threads, and tells what went wrong.
fn decode(
    arguments: &DecompressArgs,
    work: impl FnOnce(&AtomicBool) -> Result<(), ContainerError> + Send,
) -> Result<(), Exit> {
    with_threads(arguments.common.threads, work)?.map_err(|error| match error {
        ContainerError::Write(error) => not_written(&arguments.output, &error),
        ContainerError::Interrupted => Exit::Interrupted,
        error => {
            tell(&format!("in {}:", arguments.input.display()));
            tell_error(&error);
            Exit::Failed
        }
    })
}

fn single(
    arguments: &DecompressArgs,
    container: &Container<'_>,
    file: &FileEntry,
) -> Result<u64, Exit> {
    let mut output = OutputFile::create(&arguments.output, arguments.common.force)?;
    decode(arguments, |stop| container.restore(file, &mut output, stop))?;
    output.keep()?;
    Ok(file.bytes)
}

fn folder(arguments: &DecompressArgs, container: &Container<'_>) -> Result<u64, Exit> {
    let mut output = OutputFolder::create(&arguments.output)?;
    decode(arguments, |stop| {
        for file in container.files() {
            let created = output.file(&file.name).map_err(ContainerError::Write)?;
            let mut out = BufWriter::with_capacity(1 << 20, created);
            container.restore(file, &mut out, stop)?;
            let created = out.into_inner();
            created
                .map_err(std::io::IntoInnerError::into_error)
                .and_then(|file: File| file.sync_all())
                .map_err(ContainerError::Write)?;
        }
        Ok(())
    })?;
    output.keep()?;
    Ok(container.files().iter().map(|file| file.bytes).sum())
}

fn tensor(arguments: &DecompressArgs, container: &Container<'_>, name: &str) -> Result<u64, Exit> {
    let mut found = container.tensors(name);
    let Some((file, segment)) = found.next() else {
        tell(&format!(
            "error: {} has no tensor {name:?}; `llmcl inspect` lists those that it has",
            arguments.input.display()
        ));
        return Err(Exit::Usage);
    };
    if let Some((other, _)) = found.next() {
        tell(&format!(
            "error: {:?} and {:?} both have a tensor {name:?}",
            file.name, other.name
        ));
        return Err(Exit::Usage);
    }
    let range = range(arguments, segment)?;
    let bytes = range.end - range.start;
    let mut output = OutputFile::create(&arguments.output, arguments.common.force)?;
    decode(arguments, |stop| {
        container.read(file, segment, range, &mut output, stop)?;
        output.flush().map_err(ContainerError::Write)
    })?;
    output.keep()?;
    Ok(bytes)
}

/// The bytes that the elements are which are asked for.
fn range(arguments: &DecompressArgs, segment: &Segment) -> Result<Range<u64>, Exit> {
    let Some(text) = &arguments.range else {
        return Ok(0..segment.bytes);
    };
    let refuse = |problem: &str| {
        tell(&format!("error: --range {text}: {problem}"));
        Err(Exit::Usage)
    };
    let numbers = text.split_once("..");
    let numbers: Option<(u64, u64)> =
        numbers.and_then(|(from, to)| from.parse().ok().zip(to.parse().ok()));
    let Some((from, to)) = numbers else {
        return refuse("write two numbers as 0..1024");
    };
    let dtype = segment.tensor.as_ref().map(|tensor| tensor.dtype);
    let block = dtype.unwrap_or(Dtype::U8).block();
    let (per_block, bytes) = (u64::from(block.elements), u64::from(block.bytes));
    // A tensor of a shape that fits no file is not in one, unless it is empty.
    let elements = (segment.bytes / bytes).saturating_mul(per_block);
    if from > to || to > elements {
        return refuse(&format!("the tensor has the elements 0..{elements}"));
    }
    if !from.is_multiple_of(per_block) || !to.is_multiple_of(per_block) {
        return refuse(&format!(
            "these elements do not begin and end with a byte of their own; {per_block} at a time do"
        ));
    }
    Ok(from / per_block * bytes..to / per_block * bytes)
}
