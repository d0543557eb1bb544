//! Checks that every method makes on what it is given.

use crate::error::{DecodeError, EncodeError, ProfileProblem};
use crate::method::Method;
use crate::tensor::TensorView;

/// Holds tensors against what `method` takes and against their own shapes, and returns their bytes together.
///
/// # Errors
///
/// [`EncodeError::Dtype`], [`EncodeError::TensorLength`] or [`EncodeError::UnitLength`].
pub fn check_tensors(method: &dyn Method, tensors: &[TensorView<'_>]) -> Result<u64, EncodeError> {
    let mut total = 0u64;
    for tensor in tensors {
        if !method.takes(tensor.dtype) {
            return Err(EncodeError::Dtype {
                method: method.name(),
                tensor: tensor.name.to_owned(),
                dtype: tensor.dtype,
            });
        }
        let found = check_tensor(tensor)?;
        total = total.checked_add(found).ok_or(EncodeError::UnitLength)?;
    }
    Ok(total)
}

/// Holds the data of a tensor against its shape, and returns its length.
///
/// # Errors
///
/// [`EncodeError::TensorLength`].
pub fn check_tensor(tensor: &TensorView<'_>) -> Result<u64, EncodeError> {
    let expected = tensor.dtype.bytes_for(tensor.shape);
    let found = tensor.data.len() as u64;
    if expected == Some(found) {
        return Ok(found);
    }
    Err(EncodeError::TensorLength {
        tensor: tensor.name.to_owned(),
        dtype: tensor.dtype,
        shape: tensor.shape.to_vec(),
        expected,
        found,
    })
}

/// Refuses a profile for a method that uses none, at encoding.
///
/// # Errors
///
/// [`EncodeError::Profile`] where there is one.
pub fn refuse_profile(method: &dyn Method, profile: Option<&[u8]>) -> Result<(), EncodeError> {
    match profile {
        None => Ok(()),
        Some(_) => Err(EncodeError::Profile {
            method: method.name(),
            problem: ProfileProblem::NotUsed,
        }),
    }
}

/// Refuses a profile for a method that uses none, at decoding.
///
/// # Errors
///
/// [`DecodeError::Profile`] where there is one.
pub fn refuse_profile_to_decode(
    method: &dyn Method,
    profile: Option<&[u8]>,
) -> Result<(), DecodeError> {
    match profile {
        None => Ok(()),
        Some(_) => Err(DecodeError::Profile {
            method: method.name(),
            problem: ProfileProblem::NotUsed,
        }),
    }
}
