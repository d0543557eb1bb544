//! `atlas`: how much information is in each tensor, part by part.

use llmcl_codecs::entropy::{EntropyError, FloatEntropy, FloatLayout, WordHistogram};
use llmcl_codecs::{Dtype, TensorView};
use llmcl_stages_api::kind::{Check, StageKind};
use llmcl_stages_api::param::{Param, ParamType, Params};
use llmcl_stages_api::port::{Arity, InputPort, InputPorts, OutputPort, PortType};
use llmcl_stages_api::table::{Schema, TableBuilder};
use llmcl_stages_api::task::{Host, Needs, Outputs, TaskContext, TaskError};
use llmcl_stages_api::value::Value;

use crate::columns::{self, count, finite, number, whole};
use crate::failure;
use crate::weights::{TENSORS, Weights};

/// The parameter that says how the tensors' words are divided.
const LAYOUT: &str = "layout";
/// The port that the table goes out at.
const ATLAS: &str = "atlas";

/// Working memory: the counts of all words and of their parts, and the code lengths' trees.
const MEMORY: u64 = 16 << 20;
/// How many bytes are counted between two questions to the engine: whole words.
const PIECE: usize = 16 << 20;

/// The parameters.
const PARAMS: &[Param] = &[Param::required(
    LAYOUT,
    ParamType::Choice(&["BF16", "F16"]),
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
        &["stages/src/kinds/atlas.rs"]
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
        // Both layouts have the same columns, so that they are those common to all.
        check.output(ATLAS, PortType::Table, schema(), false);
    }

    fn needs(&self, _params: &Params, _input_bytes: u64) -> Needs {
        Needs::memory(MEMORY)
    }

    fn run(&self, task: &TaskContext<'_>) -> Result<Outputs, TaskError> {
        let wanted = task.params.text(LAYOUT);
        let layout = Dtype::from_name(wanted)
            .and_then(FloatLayout::of)
            .ok_or_else(|| TaskError::input(format!("there is no layout `{wanted}`")))?;
        let weights = Weights::open(task, TENSORS)?;
        let views = weights.views()?;
        if let Some(other) = views
            .iter()
            .find(|view| FloatLayout::of(view.dtype) != Some(layout))
        {
            return Err(TaskError::input(format!(
                "tensor `{}` is {}, and the layout is {wanted}",
                other.name, other.dtype
            ))
            .with_hint("take the tensors of one dtype, with a `select`, or `cast` them"));
        }

        let total = views.iter().map(|view| view.data.len() as u64).sum();
        let mut done = 0;
        let mut rows = TableBuilder::new(&schema());
        for (view, tensor) in views.iter().zip(weights.tensors()) {
            let mut row = columns::tensor_cells(tensor);
            row.push(count(tensor.bytes));
            row.extend(measure(task.host, layout, view, &mut done, total)?);
            rows.push_row(row).map_err(|error| failure::row(&error))?;
        }
        let artifact = task.put_rows(ATLAS, rows)?;
        Ok(Outputs::from([(ATLAS.to_owned(), artifact)]))
    }
}

/// The columns of the table.
fn schema() -> Schema {
    let mut columns = columns::of_tensor();
    columns.push(whole("bytes", "how many bytes it has"));
    columns.extend(FIGURES.iter().map(|figure| match figure.get {
        Get::Count(_) => whole(figure.name, figure.about),
        Get::Number(_) => number(figure.name, figure.about),
    }));
    Schema::new(columns)
}

/// A column of figures.
struct Figure {
    name: &'static str,
    about: &'static str,
    get: Get,
}

/// How a figure is had.
enum Get {
    Count(fn(&FloatEntropy) -> u64),
    Number(fn(&FloatEntropy) -> Option<f64>),
}

const fn bits(
    name: &'static str,
    about: &'static str,
    get: fn(&FloatEntropy) -> Option<f64>,
) -> Figure {
    Figure {
        name,
        about,
        get: Get::Number(get),
    }
}

/// The figures, in the order of their columns.
const FIGURES: &[Figure] = &[
    bits(
        "h_high",
        "plug-in entropy of the high byte, bits a weight",
        |e| Some(e.h_high),
    ),
    bits(
        "h_low",
        "plug-in entropy of the low byte, bits a weight",
        |e| Some(e.h_low),
    ),
    bits(
        "r_marginal",
        "16 / (h_high + h_low): the most that coding the bytes independently can reach; none where all weights are equal",
        |e| e.r_marginal,
    ),
    bits(
        "h_sign",
        "plug-in entropy of the sign, bits a weight",
        |e| Some(e.h_sign),
    ),
    bits(
        "h_exponent",
        "plug-in entropy of the exponent, bits a weight",
        |e| Some(e.h_exponent),
    ),
    bits(
        "h_mantissa",
        "plug-in entropy of the mantissa, bits a weight",
        |e| Some(e.h_mantissa),
    ),
    bits(
        "h_sign_exponent",
        "plug-in entropy of sign and exponent together, bits a weight",
        |e| Some(e.h_sign_exponent),
    ),
    bits(
        "h_mantissa_given_exponent",
        "plug-in entropy of the mantissa where the exponent is known, bits a weight",
        |e| Some(e.h_mantissa_given_exponent),
    ),
    bits(
        "h_joint",
        "plug-in entropy of the whole 16 bits, bits a weight",
        |e| Some(e.h_joint),
    ),
    Figure {
        name: "distinct",
        about: "how many of the 65,536 words occur",
        get: Get::Count(|e| e.distinct),
    },
    bits(
        "cl_high",
        "sequential code length of the high byte, bits a weight",
        |e| Some(e.cl_high),
    ),
    bits(
        "cl_low",
        "sequential code length of the low byte, bits a weight",
        |e| Some(e.cl_low),
    ),
    bits(
        "cl_exponent",
        "sequential code length of the exponent, bits a weight",
        |e| Some(e.cl_exponent),
    ),
    bits(
        "cl_sign_exponent",
        "sequential code length of sign and exponent, bits a weight",
        |e| Some(e.cl_sign_exponent),
    ),
    bits(
        "cl_mantissa_given_exponent",
        "sequential code length of the mantissa, learnt for each exponent, bits a weight",
        |e| Some(e.cl_mantissa_given_exponent),
    ),
    bits(
        "cl_joint",
        "sequential code length of the whole 16 bits, bits a weight",
        |e| Some(e.cl_joint),
    ),
];

/// The cells of [`FIGURES`]. A tensor without elements has none.
fn measure(
    host: &dyn Host,
    layout: FloatLayout,
    view: &TensorView<'_>,
    done: &mut u64,
    total: u64,
) -> Result<Vec<Value>, TaskError> {
    let about =
        |error: EntropyError| failure::input(format_args!("tensor `{}`", view.name), &error);
    let mut histogram = WordHistogram::default();
    for piece in view.data.chunks(PIECE) {
        host.checkpoint()?;
        histogram.add(piece).map_err(about)?;
        *done += piece.len() as u64;
        host.progress(*done, Some(total));
    }
    let entropy = match FloatEntropy::of(layout, &histogram) {
        Ok(entropy) => entropy,
        Err(EntropyError::Empty) => return Ok(vec![Value::None; FIGURES.len()]),
        Err(error) => return Err(about(error)),
    };
    let cell = |figure: &Figure| match figure.get {
        Get::Count(get) => count(get(&entropy)),
        Get::Number(get) => finite(get(&entropy)),
    };
    Ok(FIGURES.iter().map(cell).collect())
}
