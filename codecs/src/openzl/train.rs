//! The search for a graph that suits weights.
//!
//! Every graph turns bytes into numbers of 16 bits, changes these in none to a few steps, divides them into streams and
//! ends each of them. First all short rows of steps are tried before all ways to divide, on a part of the sample; then
//! the best of these on all of it; then, for each stream, all ends. What is measured is the length of the frames and
//! nothing else, and of graphs that come to the same, the first one stays: so the same weights give the same graph,
//! wherever and however often.

use super::ffi::Encoder;
use super::graph::{FIELD_LZ_LEVEL, Graph, ZSTD_LEVEL};
use super::{HALF_FLOATS, PIECE_BYTES};
use crate::tensor::TensorView;

/// Pieces of the sample: 32 MiB.
const MOST_PIECES: usize = 32;
/// Pieces that all graphs are tried on.
const FIRST_PIECES: usize = 4;
/// Graphs that are tried on all of the sample.
const FINALISTS: usize = 8;
/// Most steps before the numbers are divided.
const MOST_STEPS: usize = 4;

/// Steps from numbers to numbers.
const STEPS: [&str; 3] = ["zl.zigzag", "zl.range_pack", "zl.delta_int"];

/// How numbers become streams.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Division {
    /// They are one.
    Whole,
    /// The upper byte less the sign and the lower with it, as of bf16.
    Bfloat16,
    /// Exponents of five bits, and what is left.
    Float16,
    /// Their first and their second bytes, which end alike.
    Bytes,
}

const DIVISIONS: [Division; 4] = [
    Division::Bfloat16,
    Division::Float16,
    Division::Bytes,
    Division::Whole,
];

/// A graph as the search has it.
#[derive(Clone, Debug, PartialEq)]
struct Candidate {
    steps: Vec<&'static str>,
    division: Division,
    /// What ends each stream.
    ends: Vec<Graph>,
}

impl Candidate {
    /// With the ends that are the best of most weights.
    fn of(steps: Vec<&'static str>, division: Division) -> Candidate {
        let entropy = Graph::End("zl.entropy");
        let ends = match division {
            Division::Bfloat16 => vec![Graph::End("zl.store"), entropy],
            Division::Float16 => vec![packed(), entropy],
            Division::Bytes | Division::Whole => vec![entropy],
        };
        Candidate {
            steps,
            division,
            ends,
        }
    }

    fn graph(&self) -> Graph {
        let ends = self.ends.clone();
        let mut graph = match (self.division, ends.as_slice()) {
            (Division::Whole, [end]) => end.clone(),
            (Division::Bytes, _) => Graph::Step("zl.transpose_split", ends),
            (Division::Float16, _) => Graph::Step("zl.float16_deconstruct", ends),
            _ => Graph::Step("zl.bfloat16_deconstruct", ends),
        };
        for step in self.steps.iter().rev() {
            graph = Graph::Step(step, vec![graph]);
        }
        Graph::of_words(graph)
    }

    fn with_end(&self, stream: usize, end: Graph) -> Candidate {
        let mut changed = self.clone();
        if let Some(place) = changed.ends.get_mut(stream) {
            *place = end;
        }
        changed
    }
}

/// Fields as numbers, in no more bits than they need.
fn packed() -> Graph {
    let bits = vec![Graph::End("zl.bitpack")];
    Graph::Step("zl.convert_struct_to_num_le", bits)
}

/// What a stream can end in.
fn ends() -> Vec<Graph> {
    let plain = [
        "zl.store",
        "zl.entropy",
        "zl.huffman",
        "zl.fse",
        "zl.bitpack",
        "zl.flatpack",
        "zl.constant",
        "zl.compress_generic",
        "zl.field_lz",
    ];
    let mut ends: Vec<Graph> = plain.into_iter().map(Graph::End).collect();
    ends.push(packed());
    ends.extend([1, 5].map(|level| Graph::EndWith("zl.field_lz", FIELD_LZ_LEVEL, level)));
    ends.extend([1, 3, 9].map(|level| Graph::EndWith("zl.zstd", ZSTD_LEVEL, level)));
    ends
}

/// Every row of up to so many steps, short ones first.
fn rows() -> Vec<Vec<&'static str>> {
    let mut rows = vec![Vec::new()];
    let mut last = rows.clone();
    for _ in 0..MOST_STEPS {
        last = last
            .iter()
            .flat_map(|row| STEPS.map(|step| [row.as_slice(), &[step]].concat()))
            // Packing what is packed changes nothing.
            .filter(|row| !row.ends_with(&["zl.range_pack"; 2]))
            .collect();
        rows.extend(last.iter().cloned());
    }
    rows
}

/// Learns a profile: a graph that makes weights short. Tensors of other types do not count.
pub(crate) fn train(tensors: &[TensorView<'_>]) -> Vec<u8> {
    let pieces = sample(tensors);
    let part = spread(&pieces, FIRST_PIECES);

    let mut tried = Vec::new();
    for row in rows() {
        for division in DIVISIONS {
            let candidate = Candidate::of(row.clone(), division);
            if let Some(length) = length(&candidate, &part) {
                tried.push((length, candidate));
            }
        }
    }
    // A stable sort, so that of those that come to the same the simplest comes first.
    tried.sort_by_key(|(length, _)| *length);
    tried.truncate(FINALISTS);

    let mut best = (u64::MAX, Candidate::of(Vec::new(), Division::Bfloat16));
    for (_, candidate) in tried {
        match length(&candidate, &pieces) {
            Some(length) if length < best.0 => best = (length, candidate),
            _ => {}
        }
    }
    loop {
        let before = best.0;
        for stream in 0..best.1.ends.len() {
            for end in ends() {
                let candidate = best.1.with_end(stream, end);
                // Most ends are far worse than others, which a part of the sample shows.
                let Some(on_part) = length(&candidate, &part) else {
                    continue;
                };
                if length(&best.1, &part).is_some_and(|least| on_part > least) {
                    continue;
                }
                match length(&candidate, &pieces) {
                    Some(length) if length < best.0 => best = (length, candidate),
                    _ => {}
                }
            }
        }
        if best.0 == before {
            return best.1.graph().serialize();
        }
    }
}

/// The bytes of the frames that a candidate makes of pieces; nothing where it is none that the library takes, such as
/// one with a step for other numbers than those that come there.
fn length(candidate: &Candidate, pieces: &[&[u8]]) -> Option<u64> {
    let mut encoder = Encoder::new(&candidate.graph().serialize()).ok()?;
    let mut frame = Vec::new();
    let mut sum = 0;
    for piece in pieces {
        frame.clear();
        encoder.encode(piece, &mut frame).ok()?;
        sum += frame.len() as u64;
    }
    Some(sum)
}

/// Pieces of the tensors as they are encoded, from all over them.
fn sample<'a>(tensors: &[TensorView<'a>]) -> Vec<&'a [u8]> {
    let halves = tensors
        .iter()
        .filter(|tensor| HALF_FLOATS.contains(&tensor.dtype));
    let pieces: Vec<&[u8]> = halves
        .flat_map(|tensor| tensor.data.chunks(PIECE_BYTES))
        .collect();
    // Small ones are of vectors, which are many and hold next to nothing.
    let large: Vec<&[u8]> = pieces
        .iter()
        .copied()
        .filter(|piece| piece.len() >= PIECE_BYTES / 4)
        .collect();
    match large.len() >= MOST_PIECES {
        true => spread(&large, MOST_PIECES),
        false => spread(&pieces, MOST_PIECES),
    }
}

/// Up to so many of the pieces, at even distances.
fn spread<'a>(pieces: &[&'a [u8]], most: usize) -> Vec<&'a [u8]> {
    let count = pieces.len().min(most);
    (0..count)
        .filter_map(|place| pieces.get(place * pieces.len() / count).copied())
        .collect()
}
