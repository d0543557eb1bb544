//! `decomp_qb_full`: a GGUF file in five streams, the two of `Q4_K` by what `qb_mixture_k4` does and learns, the others by
//! zstd at level 19. The published study's; what of it is *reconstructed*, and the format,
//! [`decomposition`](crate::decomposition) says.
//!
//! It takes files and learns from tensors of `Q4_K`.

use std::collections::BTreeMap;

use crate::decomposition::{BlockCoding, Decomposed};
use crate::error::{EncodeError, MethodError};
use crate::method::{Method, MethodFamily, ParameterValue};
use crate::mixture;
use crate::tensor::{Dtype, TensorView};

const NAME: &str = "decomp_qb_full";

pub(super) static FAMILY: Family = Family;

pub(super) struct Family;

impl MethodFamily for Family {
    fn pattern(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        "the study's: a GGUF file in five streams, those of Q4_K by qb_mixture_k4, the others by zstd at level 19"
    }

    fn leaf(&self) -> &'static str {
        "codecs/src/methods/decomp_qb_full.rs"
    }

    fn needs_profile(&self) -> bool {
        true
    }

    fn resolve(
        &self,
        name: &str,
        _parameters: &BTreeMap<String, ParameterValue>,
    ) -> Option<Result<Box<dyn Method>, MethodError>> {
        let method = Decomposed {
            name: NAME.to_owned(),
            level: 19,
            blocks: BlockCoding::Mixture,
        };
        (name == NAME).then(|| Ok(Box::new(method) as Box<dyn Method>))
    }

    fn train(
        &self,
        name: &str,
        tensors: &[TensorView<'_>],
    ) -> Option<Result<Vec<u8>, EncodeError>> {
        (name == NAME).then(|| Ok(mixture::train(tensors)))
    }

    fn learns_from(&self, _name: &str, dtype: Dtype) -> bool {
        dtype == Dtype::Q4K
    }

    fn examples(&self) -> Vec<String> {
        vec![NAME.to_owned()]
    }
}
