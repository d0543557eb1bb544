//! `select`: takes tensors out of the files of a model, without copying them.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

use blake3::Hasher;
use llmcl_codecs::formats::{self, Format, TensorEntry, ctranslate2, gguf, safetensors, sharded};
use llmcl_codecs::role::Role;
use llmcl_stages_api::artifact::{Artifact, BlobRef};
use llmcl_stages_api::expr::{self, Env, Mode, Program};
use llmcl_stages_api::kind::{Check, StageKind};
use llmcl_stages_api::param::{Param, ParamType, Params, Scalar};
use llmcl_stages_api::port::{Arity, InputPort, InputPorts, OutputPort, PortType};
use llmcl_stages_api::table::{Column, Schema, Table, TableBuilder};
use llmcl_stages_api::task::{Blob, Host, Needs, Outputs, TaskContext, TaskError};
use llmcl_stages_api::tensors::{Tensor, TensorSet};
use llmcl_stages_api::value::{Type, Value};

use crate::columns::{count, optional_text, text, whole};
use crate::failure;

/// The port that the files come in at.
const FILE: &str = "file";
/// The port that the tensors go out at, and the parameter that says which.
const TENSORS: &str = "tensors";

/// The index of a model in several safetensors files.
const SHARD_INDEX: &str = "model.safetensors.index.json";
/// The layer, in the expression, of a tensor that is in none.
const NO_LAYER: i64 = -1;

/// Working memory: the headers of the files, and what they say.
const MEMORY: u64 = 64 << 20;
/// How many bytes are hashed between two questions to the engine.
const PIECE: usize = 16 << 20;

/// The parameters.
const PARAMS: &[Param] = &[Param::with_default(
    TENSORS,
    ParamType::Expression,
    Scalar::Text("true"),
    "Which tensors: a condition on name, dtype, shape, rank, numel, bytes, category, part, layer and file.",
)];

/// The stage kind.
pub static KIND: Select = Select;

/// The stage kind `select`.
#[derive(Debug, Clone, Copy)]
pub struct Select;

impl StageKind for Select {
    fn name(&self) -> &'static str {
        "select"
    }

    fn about(&self) -> &'static str {
        "Takes tensors out of the files of a model, without copying them."
    }

    fn leaves(&self) -> &'static [&'static str] {
        &["stages/src/kinds/select.rs"]
    }

    fn params(&self) -> &'static [Param] {
        PARAMS
    }

    fn inputs(&self) -> InputPorts {
        InputPorts {
            fixed: &[InputPort {
                name: FILE,
                ty: PortType::File,
                arity: Arity::One,
                required: true,
                about: "The files of a model: safetensors or GGUF, in one file or in several, or CTranslate2.",
            }],
            open: None,
            one_of: &[],
        }
    }

    fn outputs(&self) -> &'static [OutputPort] {
        &[OutputPort {
            name: TENSORS,
            ty: PortType::Tensors,
            volatile: false,
            about: "The tensors that the condition holds for, in the order of their files.",
        }]
    }

    fn check(&self, check: &mut Check<'_>) {
        let schema = schema();
        let tables = [(TENSORS.to_owned(), &schema)];
        for condition in check.values(TENSORS) {
            check.expression(
                &[TENSORS],
                condition,
                Mode::Row,
                &tables,
                check.axes,
                Some(&Type::Bool),
            );
        }
        check.output(TENSORS, PortType::Tensors, Schema::default(), false);
    }

    fn needs(&self, _params: &Params, _input_bytes: u64) -> Needs {
        Needs::memory(MEMORY)
    }

    fn run(&self, task: &TaskContext<'_>) -> Result<Outputs, TaskError> {
        let files = read_files(task, task.artifact(FILE)?)?;
        let found: Vec<Found<'_>> = files.iter().flat_map(OpenFile::tensors).collect();
        let chosen = choose(task, &found)?;
        if chosen.is_empty() {
            return Err(nothing(task.params.text(TENSORS), &found));
        }
        check_names(&chosen)?;
        let mut hashing = Hashing {
            host: task.host,
            done: 0,
            total: chosen.iter().map(|found| found.entry.bytes).sum(),
        };
        let tensors = chosen
            .iter()
            .map(|found| hashing.tensor(found))
            .collect::<Result<_, _>>()?;
        let artifact = task.put_tensors(&TensorSet::new(tensors))?;
        Ok(Outputs::from([(TENSORS.to_owned(), artifact)]))
    }
}

/// The columns that a condition may use.
fn schema() -> Schema {
    let numbers = Type::List(Box::new(Type::Int));
    Schema::new([
        text("name", "the tensor's name in its checkpoint"),
        text("dtype", "the type of its elements"),
        Column::new("shape", numbers, "its dimensions, the slowest first"),
        whole("rank", "how many dimensions it has"),
        whole("numel", "how many elements it has"),
        whole("bytes", "how many bytes it has"),
        text("category", "embedding, attention, mlp, norm, head or other"),
        text("part", "q, k, v, o, gate, up, down, …; none elsewhere"),
        whole(
            "layer",
            "its layer, counted from 0; -1 outside of the layers",
        ),
        text("file", "the file that it is in"),
    ])
}

/// A file that holds tensors, opened.
struct OpenFile {
    name: String,
    reference: BlobRef,
    blob: Blob,
    entries: Vec<TensorEntry>,
}

/// A tensor of a file.
#[derive(Clone, Copy)]
struct Found<'a> {
    file: &'a OpenFile,
    entry: &'a TensorEntry,
}

impl OpenFile {
    fn tensors(&self) -> impl Iterator<Item = Found<'_>> {
        self.entries.iter().map(|entry| Found { file: self, entry })
    }
}

/// Reads what describes the tensors of all files that hold some.
fn read_files(task: &TaskContext<'_>, artifact: &Artifact) -> Result<Vec<OpenFile>, TaskError> {
    if let Some(index) = artifact.file(SHARD_INDEX) {
        return read_shards(task, artifact, &task.host.blob(index)?);
    }
    let mut files = Vec::new();
    let mut formats = Vec::new();
    for file in artifact.files() {
        let blob = task.host.blob(file.blob)?;
        if let Some(format) = formats::detect(blob.bytes()) {
            formats.push(format);
            files.push(OpenFile {
                name: file.name.clone(),
                reference: file.blob,
                blob,
                entries: Vec::new(),
            });
        }
    }
    if files.is_empty() {
        let names: Vec<&str> = artifact
            .files()
            .iter()
            .map(|file| file.name.as_str())
            .collect();
        return Err(TaskError::input(format!(
            "none of these files is a safetensors, CTranslate2 or GGUF model: {}",
            names.join(", ")
        )));
    }
    let entries = read_entries(&files, &formats)?;
    for (file, entries) in files.iter_mut().zip(entries) {
        file.entries = entries;
    }
    Ok(files)
}

/// The tensors of each file. GGUF files may be parts of a model, of which none may be missing.
fn read_entries(
    files: &[OpenFile],
    formats: &[Format],
) -> Result<Vec<Vec<TensorEntry>>, TaskError> {
    let mut all = Vec::with_capacity(files.len());
    let mut ggufs = Vec::new();
    for (file, format) in files.iter().zip(formats) {
        let bytes = file.blob.bytes();
        let unsound = |error: &dyn Error| failure::input(&file.name, error);
        all.push(match format {
            Format::Safetensors => {
                safetensors::read(bytes)
                    .map_err(|error| unsound(&error))?
                    .tensors
            }
            Format::Ctranslate2 => {
                ctranslate2::read(bytes)
                    .map_err(|error| unsound(&error))?
                    .tensors
            }
            Format::Gguf => {
                let gguf = gguf::read(bytes).map_err(|error| unsound(&error))?;
                let entries = gguf.entries();
                ggufs.push((file.name.as_str(), gguf));
                entries
            }
        });
    }
    gguf::split::check(&ggufs).map_err(|error| TaskError::input(error.to_string()))?;
    Ok(all)
}

fn read_shards(
    task: &TaskContext<'_>,
    artifact: &Artifact,
    index: &Blob,
) -> Result<Vec<OpenFile>, TaskError> {
    let unsound = |error: &sharded::ShardedError| failure::input(SHARD_INDEX, error);
    let index = sharded::Index::read(index.bytes()).map_err(|error| unsound(&error))?;
    let mut files = Vec::with_capacity(index.shards().len());
    for name in index.shards() {
        // What is missing is told by the index itself, below.
        if let Some(reference) = artifact.file(name) {
            files.push(OpenFile {
                name: name.clone(),
                reference,
                blob: task.host.blob(reference)?,
                entries: Vec::new(),
            });
        }
    }
    let tensors = index
        .tensors(|name| {
            let file = files.iter().find(|file| file.name == name)?;
            Some(file.blob.bytes())
        })
        .map_err(|error| unsound(&error))?;
    for tensor in tensors {
        if let Some(file) = files.get_mut(tensor.shard) {
            file.entries.push(tensor.entry);
        }
    }
    Ok(files)
}

/// The tensors that the condition holds for.
fn choose<'a>(task: &TaskContext<'_>, found: &[Found<'a>]) -> Result<Vec<Found<'a>>, TaskError> {
    let condition = task.params.text(TENSORS);
    let expr = expr::parse(condition).map_err(|errors| {
        let messages: Vec<String> = errors.iter().map(ToString::to_string).collect();
        TaskError::input(format!("`{TENSORS}`: {}", messages.join("; ")))
    })?;
    let table = describe(found)?;
    let tables = [(TENSORS.to_owned(), &table)];
    let env = Env::tables(&tables, task.axis_fields);
    let wrong = |error: &expr::EvalError| failure::input(format_args!("`{TENSORS}`"), error);
    let program = Program::new(&expr, &env).map_err(|error| wrong(&error))?;
    let mut chosen = Vec::new();
    for (row, found) in found.iter().enumerate() {
        if program.holds(row).map_err(|error| wrong(&error))? {
            chosen.push(*found);
        }
    }
    Ok(chosen)
}

/// One row a tensor, in the columns of [`schema`].
fn describe(found: &[Found<'_>]) -> Result<Table, TaskError> {
    let mut rows = TableBuilder::new(&schema());
    for Found { file, entry } in found {
        let role = Role::of(&entry.name);
        rows.push_row(vec![
            Value::Text(entry.name.clone()),
            Value::Text(entry.dtype.name().to_owned()),
            Value::List(entry.shape.iter().map(|dim| count(*dim)).collect()),
            count(entry.shape.len() as u64),
            // Its bytes fit the file, so its elements fit too, unless they take no bytes.
            count(entry.elements().unwrap_or(u64::MAX)),
            count(entry.bytes),
            Value::Text(role.category.name().to_owned()),
            optional_text(role.part.map(|part| part.name())),
            Value::Int(role.layer.map_or(NO_LAYER, i64::from)),
            Value::Text(file.name.clone()),
        ])
        .map_err(|error| failure::row(&error))?;
    }
    Ok(rows.finish())
}

/// The error for a condition that holds for no tensor.
fn nothing(condition: &str, found: &[Found<'_>]) -> TaskError {
    let mut dtypes: BTreeMap<&str, usize> = BTreeMap::new();
    for found in found {
        *dtypes.entry(found.entry.dtype.name()).or_default() += 1;
    }
    if dtypes.is_empty() {
        return TaskError::input("the files hold no tensor");
    }
    let dtypes: Vec<String> = dtypes
        .iter()
        .map(|(dtype, tensors)| format!("{tensors} of {dtype}"))
        .collect();
    TaskError::input(format!(
        "no tensor fits `{condition}`; there are {}",
        dtypes.join(", ")
    ))
}

/// Tables are joined by the names of tensors, so each may occur once.
fn check_names(chosen: &[Found<'_>]) -> Result<(), TaskError> {
    let mut names = BTreeSet::new();
    match chosen.iter().find(|found| !names.insert(&found.entry.name)) {
        None => Ok(()),
        Some(found) => Err(TaskError::input(format!(
            "tensor `{}` is in several files, `{}` among them",
            found.entry.name, found.file.name
        ))
        .with_hint("name the file in the condition: `file == 'model.safetensors'`")),
    }
}

/// Takes the digests, piece by piece, so that the task can be stopped and shows how far it is.
struct Hashing<'a> {
    host: &'a dyn Host,
    done: u64,
    total: u64,
}

impl Hashing<'_> {
    fn tensor(&mut self, Found { file, entry }: &Found<'_>) -> Result<Tensor, TaskError> {
        let view = entry
            .view(file.blob.bytes())
            .ok_or_else(|| TaskError::input(format!("{} has become shorter", file.name)))?;
        let mut hasher = Hasher::new();
        for piece in view.data.chunks(PIECE) {
            self.host.checkpoint()?;
            hasher.update(piece);
            self.done += piece.len() as u64;
            self.host.progress(self.done, Some(self.total));
        }
        let role = Role::of(&entry.name);
        Ok(Tensor {
            name: entry.name.clone(),
            dtype: entry.dtype.name().to_owned(),
            shape: entry.shape.clone(),
            category: role.category.name().to_owned(),
            part: role.part.map(|part| part.name().to_owned()),
            layer: role.layer,
            digest: hasher.finalize(),
            blob: file.reference,
            offset: entry.offset,
            bytes: entry.bytes,
        })
    }
}
