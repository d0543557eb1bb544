//! `atlas`: how much information is in each tensor, part by part.

mod blocks;
mod floats;

use llmcl_codecs::entropy::{BlockLayout, EntropyError, FloatLayout};
use llmcl_codecs::{Dtype, TensorView};
use llmcl_stages_api::kind::{Check, StageKind};
use llmcl_stages_api::param::{Param, ParamType, Params};
use llmcl_stages_api::port::{Arity, InputPort, InputPorts, OutputPort, PortType};
use llmcl_stages_api::table::{Column, Schema, TableBuilder};
use llmcl_stages_api::task::{Host, Needs, Outputs, TaskContext, TaskError};

use crate::columns::{self, count, whole};
use crate::failure;
use crate::weights::{TENSORS, Weights};

/// The parameter that says how the tensors' words are divided.
const LAYOUT: &str = "layout";
/// The port that the table goes out at.
const ATLAS: &str = "atlas";

/// Working memory: the counts of all words or blocks and of their parts, and the code lengths' trees.
const MEMORY: u64 = 16 << 20;

/// The parameters.
const PARAMS: &[Param] = &[Param::required(
    LAYOUT,
    ParamType::Choice(&["BF16", "F16", "Q4_K", "Q6_K", "Q5_0", "Q8_0", "Q4_1"]),
    "How an element is divided: the dtype that all tensors must have.",
)];

/// The stage kind.
pub static KIND: Atlas = Atlas;

/// The stage kind `atlas`.
#[derive(Debug, Clone, Copy)]
pub struct Atlas;

impl StageKind for Atlas {
    fn name(&self) -> &'static str {
        "atlas"
    }

    fn about(&self) -> &'static str {
        "Measures how much information is in each tensor and in the parts of its elements."
    }

    fn leaves(&self) -> &'static [&'static str] {
        &["stages/src/kinds/atlas"]
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
                about: "The tensors, all of the layout's dtype.",
            }],
            open: None,
            one_of: &[],
        }
    }

    fn outputs(&self) -> &'static [OutputPort] {
        &[OutputPort {
            name: ATLAS,
            ty: PortType::Table,
            volatile: false,
            about: "One row a tensor.",
        }]
    }

    fn check(&self, check: &mut Check<'_>) {
        let layouts = check.values(LAYOUT).into_iter();
        let schemas = layouts
            .filter_map(|layout| Layout::named(layout.as_text()?))
            .map(Layout::schema);
        // Without a task nothing is known of the columns.
        let schema = schemas
            .reduce(common)
            .unwrap_or_else(|| Schema::default().open());
        check.output(ATLAS, PortType::Table, schema, false);
    }

    fn needs(&self, _params: &Params, _input_bytes: u64) -> Needs {
        Needs::memory(MEMORY)
    }

    fn run(&self, task: &TaskContext<'_>) -> Result<Outputs, TaskError> {
        let wanted = task.params.text(LAYOUT);
        let layout = Layout::named(wanted)
            .ok_or_else(|| TaskError::input(format!("there is no layout `{wanted}`")))?;
        let weights = Weights::open(task, TENSORS)?;
        let views = weights.views()?;
        if let Some(other) = views.iter().find(|view| view.dtype.name() != wanted) {
            return Err(TaskError::input(format!(
                "tensor `{}` is {}, and the layout is {wanted}",
                other.name, other.dtype
            ))
            .with_hint(match layout {
                Layout::Floats(_) => {
                    "take the tensors of one dtype, with a `select`, or `cast` them"
                }
                Layout::Blocks(_) => "take the tensors of one dtype, with a `select`",
            }));
        }

        let mut progress = Progress {
            host: task.host,
            done: 0,
            total: views.iter().map(|view| view.data.len() as u64).sum(),
        };
        let mut rows = TableBuilder::new(&layout.schema());
        for (view, tensor) in views.iter().zip(weights.tensors()) {
            let mut row = columns::tensor_cells(tensor);
            row.push(count(tensor.bytes));
            row.extend(match layout {
                Layout::Floats(layout) => floats::measure(layout, view, &mut progress)?,
                Layout::Blocks(layout) => blocks::measure(layout, view, &mut progress)?,
            });
            rows.push_row(row).map_err(|error| failure::row(&error))?;
        }
        let artifact = task.put_rows(ATLAS, rows)?;
        Ok(Outputs::from([(ATLAS.to_owned(), artifact)]))
    }
}

/// How the tensors are divided.
#[derive(Clone, Copy)]
enum Layout {
    /// Word by word.
    Floats(FloatLayout),
    /// Block by block.
    Blocks(BlockLayout),
}

impl Layout {
    /// The layout of the dtype of this name.
    fn named(name: &str) -> Option<Self> {
        let dtype = Dtype::from_name(name)?;
        let floats = FloatLayout::of(dtype).map(Self::Floats);
        floats.or_else(|| BlockLayout::of(dtype).map(Self::Blocks))
    }

    /// The columns of the table.
    fn schema(self) -> Schema {
        let mut columns = columns::of_tensor();
        columns.push(whole("bytes", "how many bytes it has"));
        match self {
            Self::Floats(_) => columns.extend(floats::columns()),
            Self::Blocks(layout) => columns.extend(blocks::columns(layout)),
        }
        Schema::new(columns)
    }
}

/// The columns that two schemas have in common.
fn common(one: Schema, other: Schema) -> Schema {
    let both = |column: &&Column| {
        let same = other.column(&column.name);
        same.is_some_and(|same| same.ty == column.ty)
    };
    Schema::new(one.columns().iter().filter(both).cloned())
}

/// What the engine is told of a pass over all tensors.
struct Progress<'a> {
    host: &'a dyn Host,
    done: u64,
    total: u64,
}

impl Progress<'_> {
    /// Asks whether to go on.
    fn checkpoint(&self) -> Result<(), TaskError> {
        self.host.checkpoint()
    }

    /// Tells that these bytes were counted.
    fn passed(&mut self, piece: &[u8]) {
        self.done += piece.len() as u64;
        self.host.progress(self.done, Some(self.total));
    }
}

/// What is said of a tensor that cannot be measured.
fn refused(view: &TensorView<'_>, error: &EntropyError) -> TaskError {
    failure::input(format_args!("tensor `{}`", view.name), error)
}
