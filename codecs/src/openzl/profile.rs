//! What a profile may be: a serialised compressor of openzl that only names what is known here.
//!
//! The library reads compressors that were made by anyone, with parameters that reach deep into it. So a profile is read
//! here first, all of it, and the library sees none that does not pass: texts, numbers, lists and maps of known lengths
//! and no more; the keys that belong there, each once; steps and ends from the lists below, with the parameters and as
//! many successors as they have; graphs that lead to others without a circle, in no more steps than would ever be of
//! use.

use std::collections::{BTreeMap, BTreeSet};

use super::graph::{LIBRARY_VERSION, LIST, MAP, NULL, NUMBER, TEXT};

/// Longest profile.
const MOST_BYTES: usize = 1 << 14;
/// Most items within one another.
const MOST_DEPTH: u32 = 8;
/// Longest name.
const MOST_NAME: usize = 64;
/// Most graphs that are described.
const MOST_GRAPHS: usize = 64;
/// Most places that graphs stand in, counted along each way through them.
const MOST_PLACES: u32 = 256;
/// Most steps on a way.
const MOST_STEPS: u32 = 24;

/// The steps: name, and how many graphs follow.
const STEPS: [(&str, usize); 12] = [
    ("zl.bfloat16_deconstruct", 2),
    ("zl.convert_num_to_serial_le", 1),
    ("zl.convert_num_to_struct_le", 1),
    ("zl.convert_serial_to_num8", 1),
    ("zl.convert_serial_to_num_le16", 1),
    ("zl.convert_struct_to_num_le", 1),
    ("zl.convert_struct_to_serial", 1),
    ("zl.delta_int", 1),
    ("zl.float16_deconstruct", 2),
    ("zl.range_pack", 1),
    ("zl.transpose_split", 1),
    ("zl.zigzag", 1),
];

/// Least and most of a parameter by its number.
type Parameters = &'static [(u64, u64, u64)];

/// The numbers of parameters of entropy coders: what is the least to be gained, in bytes and in percent.
const LEAST_GAIN: Parameters = &[(66, 0, 1 << 30), (80, 0, 100)];
/// The numbers of parameters of what cuts: bytes of a piece, and bytes of a number.
const SEGMENTS: Parameters = &[(300, 1 << 15, (1 << 31) - 1), (301, 2, 2)];

/// The graphs that the library has: name, how many graphs they can be given, and parameters.
const ENDS: [(&str, usize, Parameters); 14] = [
    ("zl.bitpack", 0, &[]),
    ("zl.compress_generic", 0, &[]),
    ("zl.constant", 0, &[]),
    ("zl.entropy", 0, LEAST_GAIN),
    ("zl.field_lz", 0, &[(181, 1, 9)]),
    ("zl.flatpack", 0, &[]),
    ("zl.fse", 0, LEAST_GAIN),
    ("zl.huffman", 0, LEAST_GAIN),
    ("zl.huffman_huf0", 0, LEAST_GAIN),
    ("zl.lz4", 0, &[]),
    ("zl.segment_num16_from_serial", 1, SEGMENTS),
    ("zl.select_numeric", 0, &[]),
    ("zl.store", 0, &[]),
    ("zl.zstd", 0, &[(100, 1, 22)]),
];

/// Whether the library may see this as a compressor; else, what is wrong with it.
pub(super) fn check(profile: &[u8]) -> Result<(), String> {
    if profile.len() > MOST_BYTES {
        return Err(format!("it is longer than {MOST_BYTES} bytes"));
    }
    let mut reader = Reader {
        bytes: profile,
        at: 0,
    };
    let root = reader.item(0)?;
    if reader.at != profile.len() {
        return Err(format!("bytes follow its end at byte {}", reader.at));
    }
    let Item::Map(root) = root else {
        return Err("it is no map".to_owned());
    };
    let keys = [
        "version",
        "params",
        "mparams",
        "nodes",
        "graphs",
        "start",
        "global_params",
    ];
    let root = fields(&root, &keys, "it")?;
    match field(&root, "version")? {
        Item::Number(1..=LIBRARY_VERSION) => {}
        _ => return Err("its version is none that is known".to_owned()),
    }
    for empty in ["mparams", "nodes"] {
        if root.get(empty).is_some_and(|found| !found.is_empty_map()) {
            return Err(format!("`{empty}` is not empty"));
        }
    }
    let sets = parameter_sets(field(&root, "params")?)?;
    if !sets.none(root.get("global_params").copied())? {
        return Err("it has parameters for all".to_owned());
    }
    let Item::Map(described) = field(&root, "graphs")? else {
        return Err("`graphs` is no map".to_owned());
    };
    if described.len() > MOST_GRAPHS {
        return Err(format!("more than {MOST_GRAPHS} graphs"));
    }
    let mut graphs = BTreeMap::new();
    for (name, graph) in described {
        let name = name.name()?;
        // What the library has itself has none in its name.
        if !name.contains('#') {
            return Err(format!("a graph with the name `{name}`"));
        }
        let leads_to = leads_to(graph, &sets).map_err(|error| format!("`{name}`: {error}"))?;
        if graphs.insert(name, leads_to).is_some() {
            return Err(format!("two graphs with the name `{name}`"));
        }
    }
    let start = field(&root, "start")?.name()?;
    for name in graphs.keys().copied().chain([start]) {
        if places(name, &graphs, MOST_STEPS)? > MOST_PLACES {
            return Err(format!("`{name}` leads to more than {MOST_PLACES} places"));
        }
    }
    Ok(())
}

/// The parameters that have names.
struct Sets<'a>(BTreeMap<&'a str, Vec<(u64, u64)>>);

impl Sets<'_> {
    /// The parameters that an item names; none where there is no item, or one that is none.
    fn of(&self, item: Option<&Item<'_>>) -> Result<&[(u64, u64)], String> {
        match item {
            None | Some(Item::Null) => Ok(&[]),
            Some(item) => {
                let name = item.name()?;
                let set = self.0.get(name);
                set.map(Vec::as_slice)
                    .ok_or_else(|| format!("there are no parameters `{name}`"))
            }
        }
    }

    fn none(&self, item: Option<&Item<'_>>) -> Result<bool, String> {
        self.of(item).map(<[_]>::is_empty)
    }
}

fn parameter_sets<'a>(item: &Item<'a>) -> Result<Sets<'a>, String> {
    let Item::Map(sets) = item else {
        return Err("`params` is no map".to_owned());
    };
    let mut named = BTreeMap::new();
    for (name, set) in sets {
        let name = name.name()?;
        let Item::Map(set) = set else {
            return Err(format!("the parameters `{name}` are no map"));
        };
        let set = fields(set, &["ints", "blobs"], name)?;
        if set.get("blobs").is_some_and(|blobs| !blobs.is_empty_map()) {
            return Err(format!("the parameters `{name}` are not all numbers"));
        }
        let Item::Map(numbers) = field(&set, "ints")? else {
            return Err(format!("the numbers of `{name}` are no map"));
        };
        let mut values = Vec::new();
        for pair in numbers {
            match pair {
                (Item::Number(parameter), Item::Number(value)) => values.push((*parameter, *value)),
                _ => return Err(format!("the parameters `{name}` are not all numbers")),
            }
        }
        if named.insert(name, values).is_some() {
            return Err(format!("two sets of parameters with the name `{name}`"));
        }
    }
    Ok(Sets(named))
}

/// The names of the graphs that a described one leads to.
fn leads_to<'a>(graph: &Item<'a>, sets: &Sets<'_>) -> Result<Vec<&'a str>, String> {
    let Item::Map(graph) = graph else {
        return Err("no map".to_owned());
    };
    let keys = [
        "type",
        "node",
        "successors",
        "base",
        "graphs",
        "nodes",
        "params",
    ];
    let graph = fields(graph, &keys, "it")?;
    let parameters = sets.of(graph.get("params").copied())?;
    match field(&graph, "type")?.name()? {
        "static" if graph.len() == 4 => {
            let node = field(&graph, "node")?.name()?;
            let successors = field(&graph, "successors")?.names()?;
            let known = STEPS.iter().find(|(name, _)| *name == node);
            match known {
                None => Err(format!("there is no step `{node}`")),
                Some((_, count)) if *count != successors.len() => {
                    Err(format!("`{node}` is followed by {count} graphs"))
                }
                Some(_) if !parameters.is_empty() => Err(format!("`{node}` has no parameters")),
                Some(_) => Ok(successors),
            }
        }
        "parameterized" if graph.len() == 5 => {
            let base = field(&graph, "base")?.name()?;
            let mut given = field(&graph, "graphs")?.names()?;
            if !field(&graph, "nodes")?.names()?.is_empty() {
                return Err("it is given steps".to_owned());
            }
            // One that is described elsewhere takes nothing.
            let (most, known) = ENDS
                .iter()
                .find(|(name, _, _)| *name == base)
                .map_or((0, &[][..]), |(_, most, known)| (*most, *known));
            if given.len() != most {
                return Err(format!("`{base}` is given {} graphs", given.len()));
            }
            let mut seen = BTreeSet::new();
            for (parameter, value) in parameters {
                let known = known.iter().any(|(number, least, most)| {
                    number == parameter && (*least..=*most).contains(value)
                });
                if !known || !seen.insert(parameter) {
                    return Err(format!("`{base}` has no parameter {parameter} of {value}"));
                }
            }
            given.push(base);
            Ok(given)
        }
        other => Err(format!("a graph of the type `{other}` with other fields")),
    }
}

/// How many places the graphs stand in that a graph leads to, itself among them. Stops at too many.
fn places(name: &str, graphs: &BTreeMap<&str, Vec<&str>>, steps: u32) -> Result<u32, String> {
    let Some(next) = graphs.get(name) else {
        return match ENDS.iter().any(|(known, _, _)| *known == name) {
            true => Ok(1),
            false => Err(format!("there is no graph `{name}`")),
        };
    };
    let left = steps
        .checked_sub(1)
        .ok_or_else(|| format!("more than {MOST_STEPS} steps, or a circle"))?;
    let mut sum = 1;
    for next in next {
        sum += places(next, graphs, left)?;
        if sum > MOST_PLACES {
            break;
        }
    }
    Ok(sum)
}

/// An item of CBOR, of those that are used.
enum Item<'a> {
    Number(u64),
    Text(&'a str),
    List(Vec<Item<'a>>),
    Map(Vec<(Item<'a>, Item<'a>)>),
    Null,
}

impl<'a> Item<'a> {
    /// A text that can be a name: visible characters of ASCII.
    fn name(&self) -> Result<&'a str, String> {
        match self {
            Item::Text(text)
                if (1..=MOST_NAME).contains(&text.len())
                    && text.bytes().all(|byte| byte.is_ascii_graphic())
                    // The library gives such names a meaning of their own.
                    && !text.starts_with('!') =>
            {
                Ok(text)
            }
            _ => Err("something else in place of a name".to_owned()),
        }
    }

    fn names(&self) -> Result<Vec<&'a str>, String> {
        match self {
            Item::List(items) => items.iter().map(Item::name).collect(),
            _ => Err("something else in place of a list of names".to_owned()),
        }
    }

    fn is_empty_map(&self) -> bool {
        matches!(self, Item::Map(pairs) if pairs.is_empty())
    }
}

/// The values of a map by their keys, which are of those that are known.
fn fields<'m, 'a>(
    map: &'m [(Item<'a>, Item<'a>)],
    known: &[&str],
    of: &str,
) -> Result<BTreeMap<&'a str, &'m Item<'a>>, String> {
    let mut found = BTreeMap::new();
    for (key, value) in map {
        let key = key.name()?;
        if !known.contains(&key) || found.insert(key, value).is_some() {
            return Err(format!("{of} has a `{key}` that it must not have"));
        }
    }
    Ok(found)
}

fn field<'m, 'a>(
    fields: &BTreeMap<&'a str, &'m Item<'a>>,
    name: &str,
) -> Result<&'m Item<'a>, String> {
    let found = fields.get(name).copied();
    found.ok_or_else(|| format!("there is no `{name}`"))
}

/// Reads items.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(count);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        self.at = end.unwrap_or(self.at);
        taken.ok_or_else(|| "it ends inside of something".to_owned())
    }

    /// The kind of an item and the number that goes with it.
    fn head(&mut self) -> Result<(u8, u64), String> {
        let at = self.at;
        let first = self.take(1)?.first().copied().unwrap_or_default();
        let more = match first & 31 {
            small @ 0..=23 => return Ok((first >> 5, small.into())),
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            _ => return Err(format!("byte {at} begins nothing that is used")),
        };
        let value = self.take(more)?.iter();
        Ok((
            first >> 5,
            value.fold(0, |value, byte| value << 8 | u64::from(*byte)),
        ))
    }

    fn item(&mut self, depth: u32) -> Result<Item<'a>, String> {
        if depth > MOST_DEPTH {
            return Err(format!("more than {MOST_DEPTH} items within one another"));
        }
        let at = self.at;
        if self.bytes.get(at) == Some(&NULL) {
            self.at += 1;
            return Ok(Item::Null);
        }
        let (kind, value) = self.head()?;
        // Each item takes a byte, so the bytes end before lists get long.
        match kind {
            NUMBER => Ok(Item::Number(value)),
            TEXT => {
                let count = usize::try_from(value).unwrap_or(usize::MAX);
                let text = std::str::from_utf8(self.take(count)?);
                text.map(Item::Text)
                    .map_err(|_| format!("no text at byte {at}"))
            }
            LIST => {
                let mut items = Vec::new();
                for _ in 0..value {
                    items.push(self.item(depth + 1)?);
                }
                Ok(Item::List(items))
            }
            MAP => {
                let mut pairs = Vec::new();
                for _ in 0..value {
                    pairs.push((self.item(depth + 1)?, self.item(depth + 1)?));
                }
                Ok(Item::Map(pairs))
            }
            _ => Err(format!("byte {at} begins nothing that is used")),
        }
    }
}
