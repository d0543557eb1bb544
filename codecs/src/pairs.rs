//! Which tensors of a file are the same matrix at two precisions.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::chunked::ChunkedMethod;
use crate::tensor::{Dtype, TensorView};

/// Elements of a hundred that must agree.
const LEAST_AGREEMENT: usize = 60;
/// Tensors of fewer bytes are left alone.
const LEAST_BYTES: usize = 1 << 14;

/// For each tensor the number of the one that it is best encoded given, by samples of their elements; most have none.
/// One that is given has none itself.
pub fn pairs(method: &dyn ChunkedMethod, tensors: &[TensorView<'_>]) -> Vec<Option<usize>> {
    let mut by_shape: HashMap<&[u64], Vec<usize>> = HashMap::new();
    for (number, tensor) in tensors.iter().enumerate() {
        if tensor.dtype.is_block_quantised() && tensor.data.len() >= LEAST_BYTES {
            by_shape.entry(tensor.shape).or_default().push(number);
        }
    }
    let mut found = vec![None; tensors.len()];
    for mut alike in by_shape.into_values() {
        // The finest first, so that what others are given has been decided on.
        alike.sort_by_key(|&number| (Reverse(tensors.get(number).map(fineness)), number));
        for &own in &alike {
            let Some(tensor) = tensors.get(own) else {
                continue;
            };
            let candidates = alike.iter().filter_map(|&other| {
                let given = tensors.get(other)?;
                let is_free = found.get(other)?.is_none();
                let can = is_free && method.takes_given(tensor.dtype, given.dtype);
                can.then(|| (method.agreement(tensor, given), Reverse(other)))
            });
            let best = candidates.max();
            if let (Some((LEAST_AGREEMENT.., Reverse(other))), Some(slot)) =
                (best, found.get_mut(own))
            {
                *slot = Some(other);
            }
        }
    }
    found
}

/// Bytes that 256 elements take.
fn fineness(tensor: &TensorView<'_>) -> u32 {
    let block = Dtype::block(tensor.dtype);
    256 / block.elements.clamp(1, 256) * block.bytes
}
