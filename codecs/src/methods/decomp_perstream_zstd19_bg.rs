//! `decomp_perstream_zstd19_bg`: a GGUF file in five streams, each by zstd at level 19, the bytes of one of them grouped
//! first: those of the headers of `Q4_K`. The published study's; what of it is *reconstructed*, and the format,
//! [`decomposition`](crate::decomposition) says.

use std::collections::BTreeMap;

use crate::decomposition::{BlockCoding, Decomposed};
use crate::error::MethodError;
use crate::method::{Method, MethodFamily, ParameterValue};

const NAME: &str = "decomp_perstream_zstd19_bg";

pub(super) static FAMILY: Family = Family;

pub(super) struct Family;

impl MethodFamily for Family {
    fn pattern(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        "the study's: a GGUF file in five streams, each by zstd at level 19, the headers of Q4_K grouped by byte"
    }

    fn leaf(&self) -> &'static str {
        "codecs/src/methods/decomp_perstream_zstd19_bg.rs"
    }

    fn resolve(
        &self,
        name: &str,
        _parameters: &BTreeMap<String, ParameterValue>,
    ) -> Option<Result<Box<dyn Method>, MethodError>> {
        let method = Decomposed {
            name: NAME.to_owned(),
            level: 19,
            blocks: BlockCoding::Grouped,
        };
        (name == NAME).then(|| Ok(Box::new(method) as Box<dyn Method>))
    }

    fn examples(&self) -> Vec<String> {
        vec![NAME.to_owned()]
    }
}
