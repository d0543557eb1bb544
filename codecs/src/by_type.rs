//! Methods that leave each tensor to the method that is best for its type.

use std::collections::BTreeMap;

use crate::blocks::BlockLayout;
use crate::chunked::{self, ChunkedMethod, Chunks};
use crate::chunked_unit::ChunkedUnit;
use crate::error::{DecodeError, EncodeError, MethodError, ProfileProblem};
use crate::floats::is_float;
use crate::method::{Method, MethodFamily, ParameterValue};
use crate::tensor::{Dtype, TensorView};

/// A method that is made of others, which need no profile.
#[derive(Clone, Copy)]
pub(crate) struct ByType {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Its source file, relative to the workspace.
    pub(crate) leaf: &'static str,
    /// The methods for floats, for the blocks of GGUF, and for everything else.
    pub(crate) parts: &'static [&'static str; 3],
}

impl MethodFamily for ByType {
    fn pattern(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn leaf(&self) -> &'static str {
        self.leaf
    }

    fn made_of(&self) -> &'static [&'static str] {
        self.parts
    }

    fn resolve(
        &self,
        name: &str,
        _parameters: &BTreeMap<String, ParameterValue>,
    ) -> Option<Result<Box<dyn Method>, MethodError>> {
        let method = self.method(name)?;
        Some(Ok(Box::new(ChunkedUnit::of_files(Box::new(method)))))
    }

    fn chunked(
        &self,
        name: &str,
        profile: Option<&[u8]>,
    ) -> Option<Result<Box<dyn ChunkedMethod>, ProfileProblem>> {
        let method = self.method(name)?;
        Some(chunked::without_profile(profile, || Box::new(method)))
    }

    fn examples(&self) -> Vec<String> {
        vec![self.name.to_owned()]
    }
}

impl ByType {
    fn method(&self, name: &str) -> Option<Parts> {
        if name != self.name {
            return None;
        }
        let part = |name| chunked::resolve(name, None)?.ok();
        let [floats, blocks, other] = *self.parts;
        Some(Parts {
            name: self.name,
            floats: part(floats)?,
            blocks: part(blocks)?,
            other: part(other)?,
        })
    }
}

struct Parts {
    name: &'static str,
    floats: Box<dyn ChunkedMethod>,
    blocks: Box<dyn ChunkedMethod>,
    other: Box<dyn ChunkedMethod>,
}

impl Parts {
    fn of(&self, dtype: Dtype) -> &dyn ChunkedMethod {
        if is_float(dtype) {
            &*self.floats
        } else if BlockLayout::of(dtype).is_some() {
            &*self.blocks
        } else {
            &*self.other
        }
    }
}

impl ChunkedMethod for Parts {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn version(&self) -> u8 {
        1
    }

    fn takes(&self, _dtype: Dtype) -> bool {
        true
    }

    fn by_type(&self, dtype: Dtype) -> Option<&dyn ChunkedMethod> {
        Some(self.of(dtype))
    }

    fn takes_given(&self, dtype: Dtype, given: Dtype) -> bool {
        self.of(dtype).takes_given(dtype, given)
    }

    fn agreement(&self, tensor: &TensorView<'_>, given: &TensorView<'_>) -> usize {
        self.of(tensor.dtype).agreement(tensor, given)
    }

    fn fit(
        &self,
        tensor: &TensorView<'_>,
        given: Option<&TensorView<'_>>,
    ) -> Result<Box<dyn Chunks>, EncodeError> {
        self.of(tensor.dtype).fit(tensor, given)
    }

    fn open(
        &self,
        dtype: Dtype,
        shape: &[u64],
        given: Option<Dtype>,
        tables: &[u8],
    ) -> Result<Box<dyn Chunks>, DecodeError> {
        self.of(dtype).open(dtype, shape, given, tables)
    }
}
