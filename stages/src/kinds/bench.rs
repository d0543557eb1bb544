//! `bench`: encodes with a method, decodes, compares byte for byte, and counts every byte.

use std::io::{self, Write};

use blake3::{Hash, Hasher};
use llmcl_codecs::accounting::RECIPE;
use llmcl_codecs::{Accounting, EncodeError, Method, StreamBytes};
use llmcl_stages_api::kind::{Check, StageKind};
use llmcl_stages_api::machine::{Fact, FactSort};
use llmcl_stages_api::param::{Param, ParamType, Params};
use llmcl_stages_api::port::{InputPorts, OutputPort, PortType};
use llmcl_stages_api::table::{Schema, TableBuilder};
use llmcl_stages_api::task::{
    BlobSink, Host, Needs, Outputs, TaskContext, TaskError, TaskErrorKind,
};
use llmcl_stages_api::value::Value;
use sha2::{Digest, Sha256};

use crate::columns::{self, count, number, quotient, text, truth, whole};
use crate::encoded::{Encoding, Index};
use crate::foreign::{self, Compared, Content, Recipe, Workshop};
use crate::watched::{Comparing, Watched};
use crate::weights::{self, Group, PROFILE, Subject, UNIT, Unit};
use crate::{failure, methods, profile};

/// The parameter that names the method.
const METHOD: &str = "method";
const RESULTS: &str = "results";
const ENCODED: &str = "encoded";
const PARTS: &str = "parts";
/// The stream of what lies beside all others.
const CONTAINER: &str = "container";

/// Working memory beside the method's: tables and buffers.
const MEMORY: u64 = 16 << 20;

/// The parameters.
const PARAMS: &[Param] = &[
    Param::required(METHOD, ParamType::Method, "The method."),
    weights::UNIT_PARAM,
];

/// The output ports.
const OUTPUTS: &[OutputPort] = &[
    port(
        RESULTS,
        PortType::Table,
        "One row for each unit: sizes, and whether it came back.",
    ),
    port(ENCODED, PortType::Encoded, "The encodings."),
    port(
        PARTS,
        PortType::Table,
        "One row for each stream of each unit.",
    ),
];

const fn port(name: &'static str, ty: PortType, about: &'static str) -> OutputPort {
    OutputPort {
        name,
        ty,
        volatile: false,
        about,
    }
}

/// Finds the method that a parameter describes.
pub type Resolve = fn(&Value) -> Result<Box<dyn Method>, TaskError>;

/// The stage kind.
pub static KIND: Bench = Bench {
    resolve: methods::of_value,
};

/// The stage kind `bench`.
#[derive(Debug, Clone, Copy)]
pub struct Bench {
    resolve: Resolve,
}

impl Bench {
    /// Makes one that finds its methods in this way, in place of the codecs' own.
    #[must_use]
    pub fn with_methods(resolve: Resolve) -> Self {
        Self { resolve }
    }
}

impl StageKind for Bench {
    fn name(&self) -> &'static str {
        "bench"
    }

    fn about(&self) -> &'static str {
        "Encodes with a method, decodes, compares byte for byte, and counts every byte that decoding needs."
    }

    fn leaves(&self) -> &'static [&'static str] {
        &["stages/src/kinds/bench.rs"]
    }

    fn params(&self) -> &'static [Param] {
        PARAMS
    }

    fn inputs(&self) -> InputPorts {
        InputPorts {
            fixed: &[
                weights::TENSORS_PORT,
                weights::FILE_PORT,
                weights::PROFILE_PORT,
                foreign::HELPERS_PORT,
                foreign::PACKAGES_PORT,
            ],
            open: None,
            one_of: weights::ONE_OF,
        }
    }

    fn outputs(&self) -> &'static [OutputPort] {
        OUTPUTS
    }

    fn check(&self, check: &mut Check<'_>) {
        weights::check_unit(check);
        foreign::check_ports(check, METHOD);
        check.output(RESULTS, PortType::Table, results_schema(), false);
        check.output(ENCODED, PortType::Encoded, Schema::default(), false);
        check.output(PARTS, PortType::Table, parts_schema(), false);
    }

    fn facts(&self, params: &Params) -> Vec<Fact> {
        Recipe::of(params.get(METHOD)).map_or_else(Vec::new, |recipe| recipe.facts())
    }

    fn fact_sorts(&self) -> Vec<&'static FactSort> {
        Recipe::fact_sorts().to_vec()
    }

    fn needs(&self, params: &Params, input_bytes: u64) -> Needs {
        // No unit is larger than all inputs. A method that is not found is told when the task runs.
        let own = match Recipe::describes(params.get(METHOD)) {
            true => Recipe::memory(input_bytes),
            false => (self.resolve)(params.get(METHOD)).map_or(0, |method| {
                method
                    .encode_memory(input_bytes)
                    .max(method.decode_memory(input_bytes))
            }),
        };
        Needs::memory(MEMORY.saturating_add(own))
    }

    fn run(&self, task: &TaskContext<'_>) -> Result<Outputs, TaskError> {
        let named = task.params.get(METHOD);
        let recipe = Recipe::of(named);
        let own = match recipe {
            Some(_) => None,
            None => Some((self.resolve)(named)?),
        };
        let unit = Unit::of(task.params.get(UNIT));
        let subject = Subject::open(task)?;
        let groups = subject.groups(unit)?;
        if let Some(method) = &own {
            foreign::refuse_inputs(task)?;
            check_dtypes(&**method, &groups)?;
        }
        let profile = profile::open(task, PROFILE, task.params.get(METHOD))?;
        // Made anew for decoding: what a program leaves behind while it encodes is not there any more.
        let coder = || match (&own, &recipe) {
            (Some(method), _) => Ok(Coder::Method(&**method)),
            (None, Some(recipe)) => Workshop::open(task, recipe).map(Coder::Command),
            (None, None) => Err(TaskError::input("there is no method")),
        };
        let mut bench = Bencher {
            host: task.host,
            coder: coder()?,
            profile: profile.as_ref().map(|blob| blob.bytes()),
            done: 0,
            total: 2 * groups.iter().map(Group::bytes).sum::<u64>(),
        };

        let mut sink = task.host.write()?;
        let mut written = Vec::with_capacity(groups.len());
        for group in &groups {
            written.push(bench.encode(group, &mut *sink)?);
        }
        let blob = sink.finish()?;

        bench.coder = coder()?;
        let data = task.host.blob(blob)?;
        let mut results = TableBuilder::new(&results_schema());
        let mut parts = TableBuilder::new(&parts_schema());
        let mut encodings = Vec::with_capacity(groups.len());
        let mut offset = 0;
        for (group, written) in groups.iter().zip(written) {
            let bytes = written.accounting.total();
            let encoded = weights::slice(data.bytes(), offset, bytes).ok_or_else(|| {
                TaskError::input(format!(
                    "{}: its encoding is not where it was written",
                    group.title()
                ))
            })?;
            let compared = bench.decode(group, &written, encoded)?;
            let row = Row {
                group,
                written: &written,
                compared: &compared,
                streams: bench.streams(group, &written, encoded)?,
                profile: bench.profile.map_or(0, |profile| profile.len() as u64),
            };
            row.results(&mut results)?;
            row.parts(&mut parts)?;
            encodings.push(Encoding {
                tensors: group.names(),
                offset,
                bytes,
                sha256: written.sha256,
                decoded_bytes: group.bytes(),
                decoded_blake3: compared.digest.unwrap_or_else(|| original(group)),
                failure: written.failure,
            });
            offset += bytes;
        }
        let encoded = Index::new(named, unit, encodings).store(task, blob)?;
        Ok(Outputs::from([
            (RESULTS.to_owned(), task.put_rows(RESULTS, results)?),
            (ENCODED.to_owned(), encoded),
            (PARTS.to_owned(), task.put_rows(PARTS, parts)?),
        ]))
    }
}

/// The digest of a unit as it is.
fn original(group: &Group<'_>) -> Hash {
    let mut hasher = Hasher::new();
    for view in &group.views {
        hasher.update(view.data);
    }
    hasher.finalize()
}

/// What is wrong with an evaluation.
fn wrong(group: &Group<'_>, method: &dyn Method, what: impl std::fmt::Display) -> TaskError {
    TaskError::new(
        TaskErrorKind::Mismatch,
        format!("{} with `{}`: {what}", group.title(), method.name()),
    )
}

/// Finds the first tensor that the method does not take, before any work is done.
fn check_dtypes(method: &dyn Method, groups: &[Group<'_>]) -> Result<(), TaskError> {
    let mut views = groups.iter().flat_map(|group| &group.views);
    match views.find(|view| !method.takes(view.dtype)) {
        None => Ok(()),
        Some(view) => Err(TaskError::input(format!(
            "`{}` does not take {}, the dtype of tensor `{}`",
            method.name(),
            view.dtype,
            view.name
        ))
        .with_hint(
            "leave the method out with a `where`, or select or cast to a dtype that it takes",
        )),
    }
}

/// What encodes and decodes.
enum Coder<'a> {
    /// A method of ours. What it does wrong fails the task.
    Method(&'a dyn Method),
    /// A program of somebody else's. What it does wrong is a row that says so.
    Command(Workshop<'a>),
}

/// A method at work on one group after the other.
struct Bencher<'a> {
    host: &'a dyn Host,
    coder: Coder<'a>,
    profile: Option<&'a [u8]>,
    /// Bytes encoded and decoded.
    done: u64,
    total: u64,
}

/// What an encoding came to.
struct Written {
    accounting: Accounting,
    sha256: String,
    /// Why there is none.
    failure: Option<String>,
}

impl Bencher<'_> {
    fn encode(&mut self, group: &Group<'_>, sink: &mut dyn BlobSink) -> Result<Written, TaskError> {
        self.host.checkpoint()?;
        let sealing = Sealing {
            sink,
            hasher: Sha256::new(),
            bytes: 0,
        };
        let mut out = Watched::new(sealing, self.host);
        let encoded = match &self.coder {
            Coder::Method(method) => method
                .encode(&group.views, self.profile, &mut out)
                .map(Ok)
                .map_err(|error| match error {
                    EncodeError::Write(error) => failure::store("the encoded bytes", &error),
                    other => failure::input(group.title(), &other),
                }),
            Coder::Command(workshop) => command_encode(workshop, group, &mut out),
        };
        if let Some(stop) = out.stopped() {
            return Err(stop);
        }
        let encoded = encoded?;
        let sealed = out.into_inner();
        let (accounting, failure) = match encoded {
            Ok(accounting) => (accounting, None),
            Err(failure) => (Accounting::default(), Some(failure)),
        };
        if accounting.total() != sealed.bytes {
            let what = format!(
                "{} bytes were written and {} accounted for",
                sealed.bytes,
                accounting.total()
            );
            return Err(match &self.coder {
                Coder::Method(method) => wrong(group, *method, what),
                Coder::Command(_) => TaskError::input(format!("{}: {what}", group.title())),
            });
        }
        self.advance(group);
        Ok(Written {
            accounting,
            sha256: hexadecimal(&sealed.hasher.finalize()),
            failure,
        })
    }

    /// Decodes, and tells whether the decoded bytes are the original.
    fn decode(
        &mut self,
        group: &Group<'_>,
        written: &Written,
        encoded: &[u8],
    ) -> Result<Compared, TaskError> {
        self.host.checkpoint()?;
        let compared = match (&self.coder, &written.failure) {
            (_, Some(failure)) => Compared {
                failure: Some(failure.clone()),
                ..Compared::default()
            },
            (Coder::Method(method), None) => Compared {
                digest: Some(self.method_decode(*method, group, encoded)?),
                ..Compared::default()
            },
            (Coder::Command(workshop), None) => workshop.check(Content::Bytes(encoded), group)?,
        };
        self.advance(group);
        Ok(compared)
    }

    /// What a method of ours says of the streams of an encoding, held against what went in and came out.
    fn streams(
        &self,
        group: &Group<'_>,
        written: &Written,
        encoded: &[u8],
    ) -> Result<Vec<StreamBytes>, TaskError> {
        let Coder::Method(method) = &self.coder else {
            return Ok(Vec::new());
        };
        let streams = method
            .streams(encoded)
            .map_err(|error| wrong(group, *method, failure::chain(&error)))?;
        let sum = |of: fn(&StreamBytes) -> u64| streams.iter().map(of).sum::<u64>();
        let (bytes_in, bytes_out) = (sum(|one| one.bytes_in), sum(|one| one.bytes_out));
        let Accounting { container, .. } = written.accounting;
        let is_sound = bytes_in == group.bytes()
            && bytes_out <= written.accounting.total()
            && recipe_bytes(&streams) <= container;
        if is_sound || streams.is_empty() {
            return Ok(streams);
        }
        Err(wrong(
            group,
            *method,
            format!(
                "its streams are of {bytes_in} bytes and come to {bytes_out}; {} went in and {} came out",
                group.bytes(),
                written.accounting.total()
            ),
        ))
    }

    /// Decodes with a method of ours, and returns the digest of the decoded bytes, which are the original.
    fn method_decode(
        &self,
        method: &dyn Method,
        group: &Group<'_>,
        encoded: &[u8],
    ) -> Result<Hash, TaskError> {
        let comparing = Comparing::new(group.views.iter().map(|view| view.data));
        let mut out = Watched::new(comparing, self.host);
        let decoded = method.decode(encoded, self.profile, &mut out);
        if let Some(stop) = out.stopped() {
            return Err(stop);
        }
        let comparing = out.into_inner();
        // A difference ends the decoding with a write error, which says less.
        match (comparing.difference(), decoded) {
            (None, Err(error)) => Err(wrong(group, method, failure::chain(&error))),
            _ => comparing
                .finish()
                .map_err(|difference| wrong(group, method, difference)),
        }
    }

    fn advance(&mut self, group: &Group<'_>) {
        self.done += group.bytes();
        self.host.progress(self.done, Some(self.total));
    }
}

/// Has a program encode, and passes on what it made: all of it is payload, as nobody knows what is in it. Or tells why
/// it made nothing.
fn command_encode(
    workshop: &Workshop<'_>,
    group: &Group<'_>,
    out: &mut dyn Write,
) -> Result<Result<Accounting, String>, TaskError> {
    let is_file = group.tensors.is_empty();
    let product = match workshop.compress(&group.views, is_file)?.result {
        Ok(product) => product,
        Err(failure) => return Ok(Err(failure)),
    };
    let payload = io::copy(&mut product.open()?, out)
        .map_err(|error| failure::store("the encoded bytes", &error))?;
    Ok(Ok(Accounting {
        payload,
        ..Accounting::default()
    }))
}

/// A writer that counts what goes into the store and takes its digest.
struct Sealing<'a> {
    sink: &'a mut dyn BlobSink,
    hasher: Sha256,
    bytes: u64,
}

impl Write for Sealing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.sink.write(bytes)?;
        self.hasher.update(bytes.get(..count).unwrap_or(bytes));
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

fn hexadecimal(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The columns of the results.
fn results_schema() -> Schema {
    let mut columns = columns::of_tensor();
    columns.extend([
        whole("bytes_in", "bytes of the original"),
        whole(
            "bytes_out",
            "bytes needed to decode: payload, tables, container, profile and recipe",
        ),
        whole(
            "bytes_payload",
            "bytes that carry the content; a foreign format counts whole",
        ),
        whole(
            "bytes_tables",
            "bytes of frequency tables and other parameters of a model",
        ),
        whole("bytes_container", "bytes of headers and lengths"),
        whole(
            "bytes_profile",
            "bytes of the profile, on every row that needs it",
        ),
        whole(
            "bytes_recipe",
            "bytes of a recipe that puts streams together again",
        ),
        number("ratio", "bytes_in / bytes_out"),
        number(
            "bits_per_weight",
            "8 · bytes_out / numel; none for a file, which has no weights",
        ),
        truth(
            "roundtrip",
            "whether the decoded bytes are the original, byte for byte",
        ),
        text(
            "encoded_sha256",
            "the SHA-256 of the encoding, profile aside",
        ),
    ]);
    columns.extend(columns::of_difference());
    Schema::new(columns)
}

/// The columns of the parts.
fn parts_schema() -> Schema {
    Schema::new([
        text("tensor", "the tensor's name; none where all are one unit"),
        text(
            "stream",
            "payload, tables or container; or the method's own, with the recipe, and container",
        ),
        whole(
            "bytes_in",
            "bytes of the original that went into the stream",
        ),
        whole("bytes_out", "bytes of the stream in the encoding"),
    ])
}

/// Bytes of the recipe, which a method counts as container.
fn recipe_bytes(streams: &[StreamBytes]) -> u64 {
    let recipes = streams.iter().filter(|stream| stream.name == RECIPE);
    recipes.map(|stream| stream.bytes_out).sum()
}

/// What is known of a unit.
struct Row<'a> {
    group: &'a Group<'a>,
    written: &'a Written,
    compared: &'a Compared,
    /// Those of the method's own, if it has any.
    streams: Vec<StreamBytes>,
    profile: u64,
}

impl Row<'_> {
    fn results(&self, table: &mut TableBuilder) -> Result<(), TaskError> {
        let mut row = match self.group.tensor() {
            Some(tensor) => columns::tensor_cells(tensor),
            None => self.unit_cells(),
        };
        let Accounting {
            payload,
            tables,
            container,
        } = self.written.accounting;
        let is_encoded = self.written.failure.is_none();
        let came_back = self.compared.matches();
        let recipe = recipe_bytes(&self.streams);
        // What is sound has no longer a recipe than container.
        let container = container.saturating_sub(recipe);
        let bytes_in = self.group.bytes();
        let bytes_out = payload + tables + container + self.profile + recipe;
        let only = |is: bool, value: Value| if is { value } else { Value::None };
        let bits = match self.numel() {
            Some(numel) => quotient(8 * bytes_out, numel),
            None => Value::None,
        };
        row.extend([
            count(bytes_in),
            // What does not come back has no size and no ratio that could be held against others.
            only(came_back, count(bytes_out)),
            only(is_encoded, count(payload)),
            only(is_encoded, count(tables)),
            only(is_encoded, count(container)),
            count(self.profile),
            count(recipe),
            only(came_back, quotient(bytes_in, bytes_out)),
            only(came_back, bits),
            Value::Bool(came_back),
            only(is_encoded, Value::Text(self.written.sha256.clone())),
            columns::optional_count(self.compared.first_difference),
            columns::optional_text(self.compared.failure.as_deref()),
        ]);
        table.push_row(row).map_err(|error| failure::row(&error))
    }

    /// The cells of a unit that is no single tensor: its dtype, where all have the same, and its elements.
    fn unit_cells(&self) -> Vec<Value> {
        let mut dtypes = self.group.tensors.iter().map(|tensor| &tensor.dtype);
        let common = dtypes
            .next()
            .filter(|first| dtypes.all(|dtype| dtype == *first));
        vec![
            Value::None,
            columns::optional_text(common.map(String::as_str)),
            Value::None,
            Value::None,
            Value::None,
            self.numel().map_or(Value::None, count),
        ]
    }

    fn numel(&self) -> Option<u64> {
        let tensors = &self.group.tensors;
        (!tensors.is_empty()).then(|| tensors.iter().map(|tensor| tensor.numel()).sum())
    }

    /// Names of streams, what went into them, and what they became: the method's own and what lies beside them, or else
    /// what the account of every method has.
    fn streams(&self) -> Vec<(&'static str, u64, u64)> {
        let accounting = self.written.accounting;
        if self.streams.is_empty() {
            return vec![
                ("payload", self.group.bytes(), accounting.payload),
                ("tables", 0, accounting.tables),
                (CONTAINER, 0, accounting.container),
            ];
        }
        let own = self.streams.iter();
        let mut streams: Vec<_> = own
            .map(|stream| (stream.name, stream.bytes_in, stream.bytes_out))
            .collect();
        let inside: u64 = self.streams.iter().map(|stream| stream.bytes_out).sum();
        streams.push((CONTAINER, 0, accounting.total().saturating_sub(inside)));
        streams
    }

    /// The rows of the streams; what did not come back has none.
    fn parts(&self, table: &mut TableBuilder) -> Result<(), TaskError> {
        if !self.compared.matches() {
            return Ok(());
        }
        let tensor = self.group.tensor().map(|tensor| tensor.name.as_str());
        for (stream, bytes_in, bytes_out) in self.streams() {
            table
                .push_row(vec![
                    columns::optional_text(tensor),
                    Value::Text(stream.to_owned()),
                    count(bytes_in),
                    count(bytes_out),
                ])
                .map_err(|error| failure::row(&error))?;
        }
        Ok(())
    }
}
