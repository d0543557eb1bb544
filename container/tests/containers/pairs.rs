//! One matrix at two precisions: the coarser is decoded given the finer.

use llmcl_codecs::formats::gguf;
use llmcl_container::Form;

use crate::common::{NEVER, Noise, one, open, restore, round_trip, text, write};
use crate::handmade::{Handmade, Segment};

const FILE: &[u8] = include_bytes!("../../../fixtures/qwen2.5-coder-q4_k_m.gguf");
const METHODS: [&str; 6] = [
    "by_type_fast",
    "by_type_context",
    "by_type_mixed",
    "block_static",
    "block_context",
    "block_mixed",
];

/// The bytes of the embedding in a container, and whether it is given the output.
fn embedding(bytes: &[u8]) -> (u64, bool) {
    let container = open(bytes).unwrap();
    let (file, segment) = container.tensors("token_embd.weight").next().unwrap();
    let given = segment.given.map(|number| &file.segments[number]);
    let name = given.and_then(|given| given.tensor.as_ref());
    let is_given = name.is_some_and(|tensor| tensor.name == "output.weight");
    (segment.encoded_bytes(), is_given)
}

/// The fixture with some bytes of a tensor changed.
fn changed(name: &str, change: impl Fn(&mut [u8])) -> Vec<u8> {
    let mut file = FILE.to_vec();
    let entries = gguf::read(FILE).unwrap().entries();
    let entry = entries.iter().find(|entry| entry.name == name).unwrap();
    let start = entry.offset as usize;
    change(&mut file[start..start + entry.bytes as usize]);
    file
}

#[test]
fn four_fifths_of_the_coarser_copy_go() {
    for method in METHODS {
        let (bytes, _) = round_trip(method, Form::File, &one(FILE));
        assert_eq!(bytes[8], 2, "the version");
        let (encoded, is_given) = embedding(&bytes);
        assert!(is_given, "{method}");
        // 78,848 bytes as they are.
        assert!(encoded < 78_848 / 5, "{method}: {encoded}");
    }
}

#[test]
fn what_only_looks_like_a_pair_is_none() {
    let mut noise = Noise(3);
    let mut quants = Vec::new();
    quants.resize_with(1 << 18, || noise.next() as u8);
    // Other weights with the same scales.
    let file = changed("token_embd.weight", |data| {
        for (number, block) in data.chunks_exact_mut(22).enumerate() {
            block[2..].copy_from_slice(&quants[number * 20..][..20]);
        }
    });
    for method in METHODS {
        let (bytes, _) = round_trip(method, Form::File, &one(&file));
        assert_eq!(bytes[8], 1, "the version");
        assert!(!embedding(&bytes).1);
    }
}

#[test]
fn a_pair_that_holds_for_some_weights_comes_back() {
    let file = changed("token_embd.weight", |data| {
        let half = data.len() / 2;
        data[half + half / 2..].fill(0x5a);
    });
    let (bytes, _) = round_trip("by_type_fast", Form::File, &one(&file));
    assert!(embedding(&bytes).1);
    // Scales that are no numbers, on either side.
    for (name, length) in [("token_embd.weight", 22), ("output.weight", 34)] {
        let file = changed(name, |data| {
            for block in data.chunks_exact_mut(length).step_by(5) {
                block[..2].copy_from_slice(&[0xff, 0x7f]);
            }
        });
        let (bytes, _) = round_trip("by_type_fast", Form::File, &one(&file));
        assert!(embedding(&bytes).1);
    }
}

#[test]
fn the_coarser_can_be_read_alone_and_in_parts() {
    let (bytes, _) = write("by_type_context", Form::File, &one(FILE));
    let container = open(&bytes).unwrap();
    let entries = gguf::read(FILE).unwrap().entries();
    let entry = entries
        .iter()
        .find(|entry| entry.name == "token_embd.weight");
    let data = entry.unwrap().view(FILE).unwrap().data;
    let (file, segment) = container.tensors("token_embd.weight").next().unwrap();
    for (from, to) in [(0, data.len()), (22, 44), (30_000, 50_001), (5, 5)] {
        let mut out = Vec::new();
        let range = from as u64..to as u64;
        container
            .read(file, segment, range, &mut out, &NEVER)
            .unwrap();
        assert!(out == data[from..to]);
    }
}

#[test]
fn damage_to_the_finer_is_told_of_it() {
    let (bytes, _) = write("by_type_fast", Form::File, &one(FILE));
    let container = open(&bytes).unwrap();
    let file = &container.files()[0];
    // The output is the first tensor, after the bytes before it.
    let before = file.segments[0].encoded_bytes();
    let mut damaged = bytes.clone();
    damaged[16 + before as usize + 100] ^= 1;
    let container = open(&damaged).unwrap();
    let (file, segment) = container.tensors("token_embd.weight").next().unwrap();
    let error = container
        .read(file, segment, 0..22, &mut Vec::new(), &NEVER)
        .unwrap_err();
    assert!(text(&error).contains("tensor \"output.weight\""), "{error}");
}

/// A file of a matrix in `Q8_0` and in `Q5_0`, stored.
fn sound() -> Handmade {
    let mut made = Handmade::new(0, &["block_static", "zstd_1"]);
    made.head[8] = 2;
    let finer = [7; 34];
    let coarse = [9; 22];
    made.file("model.safetensors", &[finer.as_slice(), &coarse].concat());
    let stored = |data: &[u8]| [&[0], data].concat();
    made.segment(Segment::tensor("finer", "Q8_0", &[32]), &[&stored(&finer)]);
    let coarser = Segment::tensor("coarser", "Q5_0", &[32]).given(0);
    made.segment(coarser, &[&stored(&coarse)]);
    made
}

#[test]
fn pairs_by_hand() {
    let made = sound();
    assert_eq!(restore(&made.bytes()).unwrap()[0].1.len(), 56);
    type Change = fn(&mut Handmade);
    let cases: &[(&str, Change)] = &[
        ("kind of a segment", |made| made.head[8] = 1),
        ("version 3", |made| made.head[8] = 3),
        ("kind of a segment", |made| {
            made.files[0].segments[1].kind = 3;
        }),
        ("no tensor of its shape", |made| {
            made.files[0].segments[1].given = Some(1);
        }),
        ("no tensor of its shape", |made| {
            made.files[0].segments[1].given = Some(2);
        }),
        ("no tensor of its shape", |made| {
            made.files[0].segments[1].given = Some(u64::MAX);
        }),
        ("no tensor of its shape", |made| {
            let one = Segment::tensor("finer", "Q8_0", &[1, 32]);
            made.files[0].segments[0].what = one.what;
        }),
        // One that is given something itself.
        ("no tensor of its shape", |made| {
            made.files[0].segments[0].kind = 2;
            made.files[0].segments[0].given = Some(1);
        }),
        ("of a type that is no use", |made| {
            let one = Segment::tensor("finer", "Q5_0", &[32]);
            made.files[0].segments[0].what = one.what;
            made.files[0].bytes -= 12;
        }),
        ("of a type that is no use", |made| {
            made.files[0].segments[1].method = 1;
        }),
        ("tables", |made| made.files[0].segments[1].tables = vec![0]),
    ];
    for (number, (reason, change)) in cases.iter().enumerate() {
        let mut made = sound();
        change(&mut made);
        let bytes = made.bytes();
        let Err(error) = open(&bytes) else {
            panic!("case {number} opens");
        };
        assert!(
            text(&error).contains(reason),
            "case {number}: {}",
            text(&error)
        );
    }
}

/// The finer one by a method with other chunks: its chunks are not those of the coarser.
#[test]
fn what_is_given_has_the_same_chunks() {
    let weights = 1_050_624;
    let (finer, coarse) = (vec![7; weights / 32 * 34], vec![9; weights / 32 * 22]);
    let mut made = Handmade::new(0, &["block_static", "zstd_1"]);
    made.head[8] = 2;
    made.file("model.safetensors", &[finer.as_slice(), &coarse].concat());
    let stored = |data: &[u8]| [&[0], data].concat();
    let shape = [weights as u64 / 32, 32];
    let one = Segment::tensor("finer", "Q8_0", &shape).by(1, &[]);
    made.segment(one, &[&stored(&finer)]);
    let chunks = coarse.chunks((1 << 20) / 32 * 22).map(stored);
    let chunks: Vec<Vec<u8>> = chunks.collect();
    let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
    assert_eq!(chunks.len(), 2);
    made.segment(Segment::tensor("coarser", "Q5_0", &shape).given(0), &chunks);
    let error = restore(&made.bytes()).unwrap_err();
    assert!(text(&error).contains("of other chunks"), "{}", text(&error));
}
