//! `whole_zstdN`: a file as one zstd frame at level N. The published study's baseline for GGUF files, which has it at
//! levels 3 and 19.
//!
//! It does what `zstd_N` does, and takes plain bytes only. With what settings the study calls zstd is not known; here
//! there are none beside the level.

use crate::numbered::NumberedFamily;
use crate::tensor::Dtype;
use crate::zstd_frame::{LEAST_LEVEL, MOST_LEVEL};
use crate::zstd_unit::ZstdUnit;

const PREFIX: &str = "whole_zstd";

pub(super) static FAMILY: NumberedFamily = NumberedFamily {
    prefix: PREFIX,
    pattern: "whole_zstdN",
    about: "the study's: zstd at level N, 1 to 22, over a file as bytes",
    leaf: "codecs/src/methods/whole_zstd.rs",
    numbers: LEAST_LEVEL..=MOST_LEVEL,
    method: |level| {
        Box::new(ZstdUnit {
            prefix: PREFIX,
            level,
            takes: |dtype| dtype == Dtype::U8,
        })
    },
    chunked: None,
};
