//! `decomp_perstream_zstdN`: a GGUF file in five streams, each by zstd at level N. The published study's, which has it at
//! levels 3 and 19; what of it is *reconstructed*, and the format, [`decomposition`](crate::decomposition) says.

use crate::decomposition::{BlockCoding, Decomposed};
use crate::numbered::NumberedFamily;
use crate::zstd_frame::{LEAST_LEVEL, MOST_LEVEL};

const PREFIX: &str = "decomp_perstream_zstd";

pub(super) static FAMILY: NumberedFamily = NumberedFamily {
    prefix: PREFIX,
    pattern: "decomp_perstream_zstdN",
    about: "the study's: a GGUF file in five streams, each by zstd at level N, 1 to 22",
    leaf: "codecs/src/methods/decomp_perstream_zstd.rs",
    numbers: LEAST_LEVEL..=MOST_LEVEL,
    method: |level| {
        Box::new(Decomposed {
            name: format!("{PREFIX}{level}"),
            level,
            blocks: BlockCoding::Zstd,
        })
    },
    chunked: None,
};
