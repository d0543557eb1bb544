//! `llmcl compress`.

use std::path::PathBuf;
use std::time::Instant;

use llmcl_codecs::chunked;
use llmcl_container::{Form, Source, WriteError, compress as write};

use super::map::Mapped;
use super::output::{OutputFile, not_written};
use super::{CompressArgs, files, listen, tell_error, with_threads};
use crate::exit::Exit;
use crate::size;
use crate::text::tell;

pub(crate) fn compress(arguments: &CompressArgs) -> Result<(), Exit> {
    let began = Instant::now();
    listen();
    let profile = match &arguments.profile {
        Some(path) => Some(Mapped::open(path).map_err(|error| not_read(path, &error))?),
        None => None,
    };
    let method = match chunked::resolve(&arguments.method, profile.as_deref()) {
        Some(Ok(method)) => method,
        Some(Err(problem)) => {
            tell(&format!("error: `{}`: {problem}", arguments.method));
            return Err(Exit::Usage);
        }
        None => {
            tell(&format!(
                "error: there is no method `{}` that works in chunks; there are {}",
                arguments.method,
                method_names()
            ));
            return Err(Exit::Usage);
        }
    };
    let (form, files) = inputs(&arguments.input)?;
    let mut output = OutputFile::create(&arguments.output, arguments.common.force)?;
    let mapped = files
        .iter()
        .map(|(_, path)| Mapped::open(path).map_err(|error| not_read(path, &error)))
        .collect::<Result<Vec<Mapped>, Exit>>()?;
    let sources: Vec<Source<'_>> = files
        .iter()
        .zip(&mapped)
        .map(|((name, _), data)| Source { name, data })
        .collect();
    let written = with_threads(arguments.common.threads, |stop| {
        write(&sources, form, method, &mut output, stop)
    })?;
    let summary = written.map_err(|error| match error {
        WriteError::Write(error) => not_written(&arguments.output, &error),
        WriteError::Interrupted => Exit::Interrupted,
        error => {
            tell_error(&error);
            Exit::Failed
        }
    })?;
    output.keep()?;
    for (name, problem) in &summary.unsound {
        tell(&format!(
            "warning: {name} looks like a file of tensors and is none that is sound, so it was taken for plain \
             bytes: {problem}"
        ));
    }
    #[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
    let ratio = summary.bytes as f64 / summary.encoded as f64;
    tell(&format!(
        "{}: {} are {}, a ratio of {ratio:.4}, in {}",
        arguments.output.display(),
        size::bytes(summary.bytes),
        size::bytes(summary.encoded),
        size::duration(began.elapsed())
    ));
    Ok(())
}

fn not_read(path: &std::path::Path, error: &std::io::Error) -> Exit {
    tell(&format!("error: cannot read {}: {error}", path.display()));
    Exit::NotReady
}

/// The files to compress, with their names in the container.
fn inputs(input: &std::path::Path) -> Result<(Form, Vec<(String, PathBuf)>), Exit> {
    if input.is_dir() {
        let files = files::below(input).map_err(|error| not_read(input, &error))?;
        return Ok((Form::Folder, files));
    }
    let name = input.file_name().and_then(|name| name.to_str());
    match name {
        Some(name) => Ok((Form::File, vec![(name.to_owned(), input.to_owned())])),
        None => {
            tell(&format!("error: {} has no name in UTF-8", input.display()));
            Err(Exit::Usage)
        }
    }
}

fn method_names() -> String {
    let names = chunked::names();
    let (zstd, mut others): (Vec<String>, Vec<String>) = names
        .into_iter()
        .partition(|name| name.starts_with("zstd_"));
    if !zstd.is_empty() {
        others.push("zstd_N".to_owned());
    }
    others.join(", ")
}
