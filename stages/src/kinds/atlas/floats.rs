//! The figures of floats of 16 bits.

use llmcl_codecs::TensorView;
use llmcl_codecs::entropy::{EntropyError, FloatEntropy, FloatLayout, WordHistogram};
use llmcl_stages_api::table::Column;
use llmcl_stages_api::task::TaskError;
use llmcl_stages_api::value::Value;

use super::{Progress, refused};
use crate::columns::{count, finite, number, whole};

/// How many bytes are counted between two questions to the engine: whole words.
const PIECE: usize = 16 << 20;

/// The columns.
pub(super) fn columns() -> impl Iterator<Item = Column> {
    FIGURES.iter().map(|figure| match figure.get {
        Get::Count(_) => whole(figure.name, figure.about),
        Get::Number(_) => number(figure.name, figure.about),
    })
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

/// The cells of [`columns`]. A tensor without elements has none.
pub(super) fn measure(
    layout: FloatLayout,
    view: &TensorView<'_>,
    progress: &mut Progress<'_>,
) -> Result<Vec<Value>, TaskError> {
    let mut histogram = WordHistogram::default();
    for piece in view.data.chunks(PIECE) {
        progress.checkpoint()?;
        histogram
            .add(piece)
            .map_err(|error| refused(view, &error))?;
        progress.passed(piece);
    }
    let entropy = match FloatEntropy::of(layout, &histogram) {
        Ok(entropy) => entropy,
        Err(EntropyError::Empty) => return Ok(vec![Value::None; FIGURES.len()]),
        Err(error) => return Err(refused(view, &error)),
    };
    let cell = |figure: &Figure| match figure.get {
        Get::Count(get) => count(get(&entropy)),
        Get::Number(get) => finite(get(&entropy)),
    };
    Ok(FIGURES.iter().map(cell).collect())
}
