//! One matrix at two precisions: the coarser is decoded given the finer.

use llmcl_codecs::formats::gguf;
use llmcl_container::Form;

use crate::common::{NEVER, Noise, one, open, restore, round_trip, text, with_threads, write};
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

/// A GGUF file of one matrix as `Q8_0`, `Q5_0` and `Q4_1`, of six chunks and some, its tensors in this order.
fn three_copies(order: [usize; 3]) -> Vec<u8> {
    const ROWS: usize = 6500;
    const ROW: usize = 1024;
    let mut noise = Noise(5);
    let (mut q8, mut q5, mut q4) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROWS * ROW / 32 {
        let weights: [i32; 32] = std::array::from_fn(|_| {
            let bytes = noise.next().to_le_bytes();
            bytes.iter().map(|byte| i32::from(*byte)).sum::<i32>() / 8 - 127
        });
        q8.extend(0x2000u16.to_le_bytes());
        q8.extend(weights.map(|weight| weight as u8));
        // Steps of 8 and of 16; the lower halves of the bytes are the first weights.
        let fives = weights.map(|weight| ((weight + 4) >> 3).clamp(-16, 15) + 16);
        let bits = fives
            .iter()
            .rev()
            .fold(0u32, |bits, five| bits << 1 | (*five as u32) >> 4);
        let halves = |quants: [i32; 32]| {
            let (low, high) = (quants, quants);
            (0..16).map(move |at| (low[at] & 15 | (high[at + 16] & 15) << 4) as u8)
        };
        q5.extend(0x2c00u16.to_le_bytes());
        q5.extend(bits.to_le_bytes());
        q5.extend(halves(fives));
        // −128 and 16 a step.
        q4.extend(0x3000u16.to_le_bytes());
        q4.extend(0xbc00u16.to_le_bytes());
        q4.extend(halves(
            weights.map(|weight| ((weight + 136) >> 4).clamp(0, 15)),
        ));
    }
    let all = [("q8", 8u32, q8), ("q5", 6, q5), ("q4", 3, q4)];
    let mut file = b"GGUF\x03\0\0\0\x03\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    let mut data = Vec::new();
    for (name, number, bytes) in order.map(|place| &all[place]) {
        file.extend(2u64.to_le_bytes());
        file.extend(name.as_bytes());
        file.extend(2u32.to_le_bytes());
        file.extend(
            [ROW as u64, ROWS as u64]
                .map(u64::to_le_bytes)
                .as_flattened(),
        );
        file.extend(number.to_le_bytes());
        file.extend((data.len() as u64).to_le_bytes());
        data.extend_from_slice(bytes);
        data.resize(data.len().next_multiple_of(32), 0);
    }
    file.resize(file.len().next_multiple_of(32), 0);
    file.extend(data);
    file
}

#[test]
fn pairs_of_several_chunks_come_back_in_any_order() {
    for order in [[0, 1, 2], [1, 0, 2], [1, 2, 0]] {
        let file = three_copies(order);
        let (bytes, _) = write("by_type_fast", Form::File, &one(&file));
        let container = open(&bytes).unwrap();
        let segments = &container.files()[0].segments;
        let given = segments.iter().filter(|segment| segment.given.is_some());
        assert_eq!(given.count(), 2);
        assert!(
            segments
                .iter()
                .any(|segment| segment.encoded_bytes() < 600_000)
        );
        // Chunks are decoded by fours, and by eights.
        for threads in [1, 2] {
            let restored = with_threads(threads, || restore(&bytes).unwrap());
            assert!(restored[0].1 == file, "{order:?}");
        }
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
        ("no other tensor of its shape", |made| {
            made.files[0].segments[1].given = Some(1);
        }),
        ("no other tensor of its shape", |made| {
            made.files[0].segments[1].given = Some(2);
        }),
        ("no other tensor of its shape", |made| {
            made.files[0].segments[1].given = Some(u64::MAX);
        }),
        ("no other tensor of its shape", |made| {
            let one = Segment::tensor("finer", "Q8_0", &[1, 32]);
            made.files[0].segments[0].what = one.what;
        }),
        // One that is given something itself.
        ("no other tensor of its shape", |made| {
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
        ("the tables of tensor \"coarser\"", |made| {
            made.files[0].segments[1].tables = vec![0];
        }),
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
