//! The figures of blocks of quantised weights.

use llmcl_codecs::TensorView;
use llmcl_codecs::entropy::{BlockEntropy, BlockField, BlockHistogram, BlockLayout, EntropyError};
use llmcl_stages_api::table::Column;
use llmcl_stages_api::task::TaskError;
use llmcl_stages_api::value::Value;

use super::{Progress, refused};
use crate::columns::{finite, number};

/// How many blocks are counted between two questions to the engine: at most 15 MiB.
const PIECE: usize = 72 << 10;

/// A column of figures.
struct Figure {
    name: &'static str,
    about: &'static str,
    get: fn(&BlockEntropy) -> Option<f64>,
}

const fn figure(
    name: &'static str,
    about: &'static str,
    get: fn(&BlockEntropy) -> Option<f64>,
) -> Figure {
    Figure { name, about, get }
}

/// The figures of every layout, in the order of their columns.
const COMMON: &[Figure] = &[
    figure("bits", "bits that a weight takes as it is", |e| {
        Some(e.bits)
    }),
    figure(
        "h_quant",
        "plug-in entropy of the quant, bits a weight",
        |e| Some(e.h_quant),
    ),
    figure(
        "h_quant_given_prev",
        "plug-in entropy of the quant where that of the weight before is known, bits a weight",
        |e| Some(e.h_quant_given_prev),
    ),
    figure(
        "h_quant_given_class",
        "plug-in entropy of the quant where the weight's class is known, bits a weight",
        |e| Some(e.h_quant_given_class),
    ),
    figure(
        "h_quant_given_class_and_seen",
        "plug-in entropy of the quant where the weight's class is known and which extremes came before, bits a weight",
        |e| Some(e.h_quant_given_class_and_seen),
    ),
    figure(
        "h_sign",
        "plug-in entropy of which half of its range the quant lies in, bits a weight",
        |e| Some(e.h_sign),
    ),
    figure(
        "h_magnitude",
        "plug-in entropy of how far the quant lies from the middle of its range, bits a weight",
        |e| Some(e.h_magnitude),
    ),
    figure(
        "h_header",
        "plug-in entropies of the other fields of the block, bits a weight",
        |e| Some(e.h_header),
    ),
    figure(
        "implied_ceiling",
        "bits / (h_quant + h_header); none where all blocks are equal",
        |e| e.implied_ceiling,
    ),
    figure(
        "class_ceiling",
        "bits / (h_quant_given_class_and_seen + h_header); none where that is zero",
        |e| e.class_ceiling,
    ),
    figure(
        "adjacent_block_scale_correlation",
        "Pearson's correlation of d between neighbouring blocks; none where it is not defined",
        |e| e.adjacent_block_scale_correlation,
    ),
];

/// What `Q4_K` has beside them: the study's names of some, and names of what its classes are.
const Q4_K: &[Figure] = &[
    figure("h_nibble", "h_quant", |e| Some(e.h_quant)),
    figure("h_nibble_given_prev", "h_quant_given_prev", |e| {
        Some(e.h_quant_given_prev)
    }),
    figure("h_scale_byte1", "h_d_high", |e| e.field(BlockField::DHigh)),
    figure(
        "h_nibble_given_zero_point",
        "h_quant_given_class: the zero point of the group is known",
        |e| Some(e.h_quant_given_class),
    ),
    figure(
        "h_nibble_given_zero_point_and_seen",
        "h_quant_given_class_and_seen: the zero point of the group is known and whether a 0, and a 15, came before",
        |e| Some(e.h_quant_given_class_and_seen),
    ),
];

/// The name of a field's column, and what is in it.
fn of_field(field: BlockField) -> (&'static str, &'static str) {
    match field {
        BlockField::DHigh => ("h_d_high", "plug-in entropy of the high byte of d, bits"),
        BlockField::DLow => ("h_d_low", "plug-in entropy of the low byte of d, bits"),
        BlockField::DminHigh => (
            "h_dmin_high",
            "plug-in entropy of the high byte of dmin, bits",
        ),
        BlockField::DminLow => (
            "h_dmin_low",
            "plug-in entropy of the low byte of dmin, bits",
        ),
        BlockField::MHigh => ("h_m_high", "plug-in entropy of the high byte of m, bits"),
        BlockField::MLow => ("h_m_low", "plug-in entropy of the low byte of m, bits"),
        BlockField::GroupScale => ("h_group_scale", "plug-in entropy of a group's scale, bits"),
        BlockField::GroupMin => ("h_group_min", "plug-in entropy of a group's minimum, bits"),
    }
}

/// The figures of a layout; its fields come after them.
fn figures(layout: BlockLayout) -> impl Iterator<Item = &'static Figure> {
    let own = match layout {
        BlockLayout::Q4K => Q4_K,
        BlockLayout::Q6K | BlockLayout::Q5_0 | BlockLayout::Q8_0 | BlockLayout::Q4_1 => &[],
    };
    COMMON.iter().chain(own)
}

/// The columns.
pub(super) fn columns(layout: BlockLayout) -> impl Iterator<Item = Column> {
    let fields = layout.fields().iter().map(|&field| of_field(field));
    figures(layout)
        .map(|figure| (figure.name, figure.about))
        .chain(fields)
        .map(|(name, about)| number(name, about))
}

/// The cells of [`columns`]. A tensor without elements has none.
pub(super) fn measure(
    layout: BlockLayout,
    view: &TensorView<'_>,
    progress: &mut Progress<'_>,
) -> Result<Vec<Value>, TaskError> {
    let mut histogram = BlockHistogram::new(layout);
    for piece in view.data.chunks(PIECE * layout.bytes()) {
        progress.checkpoint()?;
        histogram
            .add(piece)
            .map_err(|error| refused(view, &error))?;
        progress.passed(piece);
    }
    let entropy = match BlockEntropy::of(&histogram) {
        Ok(entropy) => entropy,
        Err(EntropyError::Empty) => return Ok(vec![Value::None; columns(layout).count()]),
        Err(error) => return Err(refused(view, &error)),
    };
    let fields = layout.fields().iter().map(|&field| entropy.field(field));
    let cells = figures(layout).map(|figure| (figure.get)(&entropy));
    Ok(cells.chain(fields).map(finite).collect())
}
