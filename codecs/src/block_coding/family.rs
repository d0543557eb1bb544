//! The family of a coder, which is of one method.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use super::BlockCoding;
use super::chunks::BlockMethod;
use crate::chunked::{self, ChunkedMethod};
use crate::chunked_unit::ChunkedUnit;
use crate::error::{MethodError, ProfileProblem};
use crate::method::{Method, MethodFamily, ParameterValue};

/// What registers a coder as a method.
pub(crate) struct BlockFamily<C>(PhantomData<C>);

impl<C> BlockFamily<C> {
    pub(crate) const fn new() -> Self {
        BlockFamily(PhantomData)
    }
}

impl<C: BlockCoding> MethodFamily for BlockFamily<C> {
    fn pattern(&self) -> &'static str {
        C::NAME
    }

    fn about(&self) -> &'static str {
        C::ABOUT
    }

    fn leaf(&self) -> &'static str {
        C::LEAF
    }

    fn resolve(
        &self,
        name: &str,
        _parameters: &BTreeMap<String, ParameterValue>,
    ) -> Option<Result<Box<dyn Method>, MethodError>> {
        (name == C::NAME).then(|| {
            let method = BlockMethod::<C>::new();
            Ok(Box::new(ChunkedUnit::of(Box::new(method))) as Box<dyn Method>)
        })
    }

    fn chunked(
        &self,
        name: &str,
        profile: Option<&[u8]>,
    ) -> Option<Result<Box<dyn ChunkedMethod>, ProfileProblem>> {
        (name == C::NAME)
            .then(|| chunked::without_profile(profile, || Box::new(BlockMethod::<C>::new())))
    }

    fn examples(&self) -> Vec<String> {
        vec![C::NAME.to_owned()]
    }
}
