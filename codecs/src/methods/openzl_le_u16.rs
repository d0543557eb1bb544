//! `openzl_le_u16`: floats of two bytes by openzl, with a graph that was learnt from others.
//!
//! A profile is a serialised compressor of openzl, such as its own trainer makes for the profile `le-u16`, of the steps
//! and ends that are known here. Units are those of all methods of [`openzl`](crate::openzl), where the profile is held
//! against the one that they were encoded with.

use crate::openzl::{Compressor, HALF_FLOATS, Openzl, train};

pub(super) const FAMILY: Openzl = Openzl {
    name: "openzl_le_u16",
    about: "openzl over bf16 and fp16, by the graph of a profile",
    leaf: "codecs/src/methods/openzl_le_u16.rs",
    version: 1,
    takes: HALF_FLOATS,
    compressor: Compressor::Learnt(train),
};
