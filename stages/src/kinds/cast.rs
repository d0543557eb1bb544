//! `cast`: rounds floats to a narrower type.

use std::io::{self, Write};

use blake3::Hasher;
use llmcl_codecs::Dtype;
use llmcl_codecs::cast::{Cast as Rounding, CastError};
use llmcl_stages_api::artifact::BlobRef;
use llmcl_stages_api::kind::{Check, StageKind};
use llmcl_stages_api::param::{Param, ParamType, Params};
use llmcl_stages_api::port::{Arity, InputPort, InputPorts, OutputPort, PortType};
use llmcl_stages_api::table::Schema;
use llmcl_stages_api::task::{BlobSink, Host, Needs, Outputs, TaskContext, TaskError};
use llmcl_stages_api::tensors::{Tensor, TensorSet};

use crate::failure;
use crate::weights::{TENSORS, Weights};

/// The parameter that says what to cast to.
const DTYPE: &str = "dtype";

/// Working memory: a piece of a tensor on its way.
const MEMORY: u64 = 8 << 20;
/// How many bytes are cast between two questions to the engine: whole elements of every type.
const PIECE: usize = 4 << 20;

/// The parameters.
const PARAMS: &[Param] = &[Param::required(
    DTYPE,
    ParamType::Choice(&["BF16", "F16", "F32"]),
    "The type to cast to.",
)];

/// The stage kind.
pub static KIND: Cast = Cast;

/// The stage kind `cast`.
#[derive(Debug, Clone, Copy)]
pub struct Cast;

impl StageKind for Cast {
    fn name(&self) -> &'static str {
        "cast"
    }

    fn about(&self) -> &'static str {
        "Rounds floats to a narrower type, to nearest and ties to even; what has the type already passes."
    }

    fn leaves(&self) -> &'static [&'static str] {
        &["stages/src/kinds/cast.rs"]
    }

    fn params(&self) -> &'static [Param] {
        PARAMS
    }

    fn inputs(&self) -> InputPorts {
        InputPorts {
            fixed: &[InputPort {
                name: TENSORS,
                ty: PortType::Tensors,
                arity: Arity::One,
                required: true,
                about: "The tensors, of F32, F16 or BF16.",
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
            about: "The same tensors in the same order, all of one type.",
        }]
    }

    fn check(&self, check: &mut Check<'_>) {
        check.output(TENSORS, PortType::Tensors, Schema::default(), false);
    }

    fn needs(&self, _params: &Params, _input_bytes: u64) -> Needs {
        Needs::memory(MEMORY)
    }

    fn run(&self, task: &TaskContext<'_>) -> Result<Outputs, TaskError> {
        let wanted = task.params.text(DTYPE);
        let dtype = Dtype::from_name(wanted)
            .ok_or_else(|| TaskError::input(format!("there is no dtype `{wanted}`")))?;
        let weights = Weights::open(task, TENSORS)?;
        // Every mistake is found before a byte is written.
        let mut work = Vec::with_capacity(weights.tensors().len());
        for (index, tensor) in weights.tensors().iter().enumerate() {
            let view = weights.view(index)?;
            let rounding = if view.dtype == dtype {
                None
            } else {
                Some(Rounding::between(view.dtype, dtype).ok_or_else(|| {
                    TaskError::input(format!(
                        "tensor `{}` is {} and cannot be cast to {dtype}",
                        tensor.name, view.dtype
                    ))
                    .with_hint("leave it out in the `select` before, with a condition on `dtype`")
                })?)
            };
            work.push((tensor, view.data, rounding));
        }

        let total = work
            .iter()
            .filter(|(_, _, rounding)| rounding.is_some())
            .map(|(tensor, _, _)| tensor.bytes)
            .sum();
        let mut writing = None;
        let mut tensors = Vec::with_capacity(work.len());
        for (tensor, data, rounding) in work {
            tensors.push(match rounding {
                None => Placed::AsItWas(tensor.clone()),
                Some(rounding) => {
                    let writing = match &mut writing {
                        Some(writing) => writing,
                        none => none.insert(Writing::new(task.host, total)?),
                    };
                    writing.cast(tensor, data, rounding)?
                }
            });
        }
        let blob = writing.map(Writing::finish).transpose()?;
        let tensors = tensors
            .into_iter()
            .map(|placed| match (placed, blob) {
                (Placed::InNewBlob(tensor), Some(blob)) => Tensor { blob, ..tensor },
                (Placed::AsItWas(tensor) | Placed::InNewBlob(tensor), _) => tensor,
            })
            .collect();
        let artifact = task.put_tensors(&TensorSet::new(tensors))?;
        Ok(Outputs::from([(TENSORS.to_owned(), artifact)]))
    }
}

/// Where a tensor of the result lies.
enum Placed {
    /// Where it was.
    AsItWas(Tensor),
    /// In the blob that is being written, whose digest is known at its end.
    InNewBlob(Tensor),
}

/// The blob of what is cast.
struct Writing<'a> {
    host: &'a dyn Host,
    sink: Box<dyn BlobSink + 'a>,
    /// Bytes written.
    offset: u64,
    /// Bytes read, of `total`.
    done: u64,
    total: u64,
}

impl<'a> Writing<'a> {
    fn new(host: &'a dyn Host, total: u64) -> Result<Self, TaskError> {
        Ok(Self {
            host,
            sink: host.write()?,
            offset: 0,
            done: 0,
            total,
        })
    }

    fn cast(
        &mut self,
        tensor: &Tensor,
        data: &[u8],
        rounding: Rounding,
    ) -> Result<Placed, TaskError> {
        let mut out = Hashed {
            sink: &mut *self.sink,
            hasher: Hasher::new(),
            bytes: 0,
        };
        for piece in data.chunks(PIECE) {
            self.host.checkpoint()?;
            rounding
                .write(piece, &mut out)
                .map_err(|error| match error {
                    CastError::Write(error) => failure::store("the cast tensors", &error),
                    other => failure::input(format_args!("tensor `{}`", tensor.name), &other),
                })?;
            self.done += piece.len() as u64;
            self.host.progress(self.done, Some(self.total));
        }
        let placed = Tensor {
            dtype: rounding.to().name().to_owned(),
            digest: out.hasher.finalize(),
            offset: self.offset,
            bytes: out.bytes,
            ..tensor.clone()
        };
        self.offset += placed.bytes;
        Ok(Placed::InNewBlob(placed))
    }

    fn finish(self) -> Result<BlobRef, TaskError> {
        self.sink.finish()
    }
}

/// A writer that takes the digest of what it passes on.
struct Hashed<'a> {
    sink: &'a mut dyn BlobSink,
    hasher: Hasher,
    bytes: u64,
}

impl Write for Hashed<'_> {
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
