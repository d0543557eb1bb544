//! `openzl_float16_deconstruct`: fp16 by openzl, with a graph made by hand: signs and mantissas stored in their eleven bits,
//! exponents coded by their frequencies in the piece (FSE). Nothing is learnt.
//!
//! Units are those of all methods of [`openzl`](crate::openzl).

use crate::openzl::{Compressor, Graph, Openzl};
use crate::tensor::Dtype;

pub(super) const FAMILY: Openzl = Openzl {
    name: "openzl_float16_deconstruct",
    about: "openzl over fp16: exponents by their frequencies, signs and mantissas stored",
    leaf: "codecs/src/methods/openzl_float16_deconstruct.rs",
    version: 1,
    takes: &[Dtype::F16],
    compressor: Compressor::Made(graph),
};

fn graph() -> Graph {
    // What the step puts out has two bytes for eleven bits.
    let packed = Graph::Step(
        "zl.convert_struct_to_num_le",
        vec![Graph::End("zl.bitpack")],
    );
    let ends = vec![packed, Graph::End("zl.fse")];
    Graph::of_words(Graph::Step("zl.float16_deconstruct", ends))
}
