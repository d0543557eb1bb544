//! `openzl_bfloat16_deconstruct`: bf16 by openzl, with a graph made by hand: signs and mantissas stored, exponents coded
//! by their frequencies in the piece (FSE). Nothing is learnt.
//!
//! Units are those of all methods of [`openzl`](crate::openzl).

use crate::openzl::{Compressor, Graph, Openzl};
use crate::tensor::Dtype;

pub(super) const FAMILY: Openzl = Openzl {
    name: "openzl_bfloat16_deconstruct",
    about: "openzl over bf16: exponents by their frequencies, signs and mantissas stored",
    leaf: "codecs/src/methods/openzl_bfloat16_deconstruct.rs",
    version: 1,
    takes: &[Dtype::Bf16],
    compressor: Compressor::Made(graph),
};

fn graph() -> Graph {
    let ends = vec![Graph::End("zl.store"), Graph::End("zl.fse")];
    Graph::of_words(Graph::Step("zl.bfloat16_deconstruct", ends))
}
