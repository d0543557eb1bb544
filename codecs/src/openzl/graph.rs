//! Graphs of openzl that are made here, and how they are written: what is done to the bytes of weights, one after the
//! other.
//!
//! The library has a form of its own for compressors, in CBOR, which its programs read and write; profiles that they
//! made and those that are made here are of the same kind. What is written here is of the same shape as what the
//! library's trainer writes, with each graph once for each place that it stands in.

/// What is done to a stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Graph {
    /// What ends there, in a way that the library has a name for.
    End(&'static str),
    /// The same, with a parameter: its number and its value.
    EndWith(&'static str, u64, u64),
    /// A step, and what is done to each stream that it puts out.
    Step(&'static str, Vec<Graph>),
}

/// The number by which the library knows the level of `zl.field_lz`.
pub(super) const FIELD_LZ_LEVEL: u64 = 181;
/// The number by which the library knows the level of `zl.zstd`.
pub(super) const ZSTD_LEVEL: u64 = 100;

/// The version of the library that this is the form of, 0.3.0.
pub(super) const LIBRARY_VERSION: u64 = 300;

/// The name of the parameters that are none.
const NO_PARAMETERS: &str = "p";

impl Graph {
    /// Bytes as numbers of 16 bits, and what is done to these.
    pub(crate) fn of_words(words: Graph) -> Graph {
        Graph::Step("zl.convert_serial_to_num_le16", vec![words])
    }

    /// Writes a compressor that begins with this graph.
    pub(super) fn serialize(&self) -> Vec<u8> {
        let mut graphs = Vec::new();
        let start = self.describe(&mut graphs);
        let mut sets = Vec::new();
        self.parameters(&mut sets);

        let mut out = Vec::new();
        map(&mut out, 7);
        text(&mut out, "version");
        number(&mut out, LIBRARY_VERSION);
        text(&mut out, "params");
        map(&mut out, sets.len() + 1);
        for (parameter, value) in sets {
            text(&mut out, &set_name(parameter, value));
            map(&mut out, 2);
            text(&mut out, "ints");
            map(&mut out, 1);
            number(&mut out, parameter);
            number(&mut out, value);
            text(&mut out, "blobs");
            map(&mut out, 0);
        }
        text(&mut out, NO_PARAMETERS);
        map(&mut out, 2);
        text(&mut out, "ints");
        map(&mut out, 0);
        text(&mut out, "blobs");
        map(&mut out, 0);
        for empty in ["mparams", "nodes"] {
            text(&mut out, empty);
            map(&mut out, 0);
        }
        text(&mut out, "graphs");
        map(&mut out, graphs.len());
        out.extend(graphs.concat());
        text(&mut out, "start");
        text(&mut out, &start);
        text(&mut out, "global_params");
        text(&mut out, NO_PARAMETERS);
        out
    }

    /// Describes the graph after those that it leads to, and returns its name.
    fn describe(&self, graphs: &mut Vec<Vec<u8>>) -> String {
        let mut out = Vec::new();
        let described = match self {
            Graph::End(name) => return (*name).to_owned(),
            Graph::EndWith(base, parameter, value) => {
                map(&mut out, 5);
                text(&mut out, "type");
                text(&mut out, "parameterized");
                text(&mut out, "base");
                text(&mut out, base);
                text(&mut out, "graphs");
                list(&mut out, 0);
                text(&mut out, "nodes");
                list(&mut out, 0);
                text(&mut out, "params");
                text(&mut out, &set_name(*parameter, *value));
                out
            }
            Graph::Step(node, successors) => {
                let names: Vec<String> = successors
                    .iter()
                    .map(|successor| successor.describe(graphs))
                    .collect();
                map(&mut out, 4);
                text(&mut out, "type");
                text(&mut out, "static");
                text(&mut out, "node");
                text(&mut out, node);
                text(&mut out, "successors");
                list(&mut out, names.len());
                for name in names {
                    text(&mut out, &name);
                }
                text(&mut out, "params");
                out.push(NULL);
                out
            }
        };
        let name = format!("#{}", graphs.len());
        let mut entry = Vec::new();
        text(&mut entry, &name);
        entry.extend(described);
        graphs.push(entry);
        name
    }

    /// Collects the parameters, each once.
    fn parameters(&self, sets: &mut Vec<(u64, u64)>) {
        match self {
            Graph::End(_) => {}
            Graph::EndWith(_, parameter, value) => {
                if !sets.contains(&(*parameter, *value)) {
                    sets.push((*parameter, *value));
                }
            }
            Graph::Step(_, successors) => {
                for successor in successors {
                    successor.parameters(sets);
                }
            }
        }
    }
}

fn set_name(parameter: u64, value: u64) -> String {
    format!("p{parameter}:{value}")
}

/// The kinds of items in CBOR, which are the upper three bits of its first byte.
pub(super) const NUMBER: u8 = 0;
pub(super) const TEXT: u8 = 3;
pub(super) const LIST: u8 = 4;
pub(super) const MAP: u8 = 5;
/// The item that is none.
pub(super) const NULL: u8 = 0xf6;

fn head(out: &mut Vec<u8>, kind: u8, value: u64) {
    let kind = kind << 5;
    match value {
        0..=23 => out.push(kind | value as u8),
        24..=0xff => out.extend([kind | 24, value as u8]),
        0x100..=0xffff => {
            out.push(kind | 25);
            out.extend((value as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(kind | 26);
            out.extend((value as u32).to_be_bytes());
        }
        _ => {
            out.push(kind | 27);
            out.extend(value.to_be_bytes());
        }
    }
}

fn number(out: &mut Vec<u8>, value: u64) {
    head(out, NUMBER, value);
}

fn text(out: &mut Vec<u8>, value: &str) {
    head(out, TEXT, value.len() as u64);
    out.extend(value.as_bytes());
}

fn list(out: &mut Vec<u8>, items: usize) {
    head(out, LIST, items as u64);
}

fn map(out: &mut Vec<u8>, pairs: usize) {
    head(out, MAP, pairs as u64);
}
