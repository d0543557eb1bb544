//! The family of a coder, which is of one method.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use super::FloatCoder;
use super::chunks::FloatChunked;
use super::unit::FloatMethod;
use crate::chunked::ChunkedMethod;
use crate::error::{EncodeError, MethodError, ProfileProblem};
use crate::method::{Method, MethodFamily, ParameterValue};
use crate::tensor::TensorView;

/// What registers a coder as a method.
pub(crate) struct FloatFamily<C>(PhantomData<C>);

impl<C> FloatFamily<C> {
    pub(crate) const fn new() -> Self {
        FloatFamily(PhantomData)
    }
}

impl<C: FloatCoder> MethodFamily for FloatFamily<C> {
    fn pattern(&self) -> &'static str {
        C::NAME
    }

    fn about(&self) -> &'static str {
        C::ABOUT
    }

    fn leaf(&self) -> &'static str {
        C::LEAF
    }

    fn needs_profile(&self) -> bool {
        C::NEEDS_PROFILE
    }

    fn resolve(
        &self,
        name: &str,
        _parameters: &BTreeMap<String, ParameterValue>,
    ) -> Option<Result<Box<dyn Method>, MethodError>> {
        (name == C::NAME).then(|| Ok(Box::new(FloatMethod::<C>::new()) as Box<dyn Method>))
    }

    fn chunked(
        &self,
        name: &str,
        profile: Option<&[u8]>,
    ) -> Option<Result<Box<dyn ChunkedMethod>, ProfileProblem>> {
        (name == C::NAME).then(|| FloatChunked::<C>::with_profile(profile))
    }

    fn train(
        &self,
        name: &str,
        tensors: &[TensorView<'_>],
    ) -> Option<Result<Vec<u8>, EncodeError>> {
        (name == C::NAME)
            .then(|| C::train(tensors))
            .flatten()
            .map(Ok)
    }

    fn examples(&self) -> Vec<String> {
        vec![C::NAME.to_owned()]
    }
}
