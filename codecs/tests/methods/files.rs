//! The study's methods for whole files: what goes into which stream, and files of every kind.

use llmcl_codecs::accounting::RECIPE;
use llmcl_codecs::formats::gguf;
use llmcl_codecs::{Dtype, Method, StreamBytes, resolve};
use proptest::prelude::*;

use crate::common::{Content, Tensor, decode, encode, round_trip};

/// The methods that part files, those with a number at the one that is the fastest.
fn methods() -> Vec<Box<dyn Method>> {
    [
        "decomp_perstream_zstd1",
        "decomp_perstream_zstd19_bg",
        "decomp_qb_full",
    ]
    .map(|name| resolve(name, &Default::default()).unwrap())
    .into()
}

fn bytes(data: Vec<u8>) -> Tensor {
    Tensor {
        dtype: Dtype::U8,
        shape: vec![data.len() as u64],
        data,
    }
}

fn file(bytes: u64) -> Tensor {
    Content::File.tensor(Dtype::U8, &[bytes])
}

fn streams(method: &dyn Method, tensors: &[Tensor]) -> Vec<StreamBytes> {
    let (encoded, accounting) = round_trip(method, tensors);
    let streams = method.streams(&encoded).unwrap();
    let all: usize = tensors.iter().map(|tensor| tensor.data.len()).sum();
    let sum_in: u64 = streams.iter().map(|stream| stream.bytes_in).sum();
    assert_eq!(sum_in, all as u64);
    // What is beside the streams is a version and their lengths.
    let sum_out: u64 = streams.iter().map(|stream| stream.bytes_out).sum();
    let recipe = streams.last().unwrap();
    assert_eq!(recipe.name, RECIPE);
    let used = streams.iter().filter(|stream| stream.bytes_in > 0).count();
    assert_eq!(sum_out + 1 + 8 * used as u64, encoded.len() as u64);
    assert!(recipe.bytes_out + 1 + 8 * used as u64 <= accounting.container);
    streams
}

/// What a reader of its own says of which bytes there are of Q4_K, F32, other tensors, and the rest.
fn expected(file: &[u8]) -> [u64; 4] {
    let found = gguf::read(file).unwrap();
    let of = |is: &dyn Fn(Option<Dtype>) -> bool| -> u64 {
        let tensors = found.tensors.iter().filter(|tensor| is(tensor.dtype));
        tensors.map(|tensor| tensor.bytes).sum()
    };
    let blocks = of(&|dtype| dtype == Some(Dtype::Q4K));
    let floats = of(&|dtype| dtype == Some(Dtype::F32));
    let all = of(&|_| true);
    [
        blocks,
        floats,
        all - blocks - floats,
        file.len() as u64 - all,
    ]
}

#[test]
fn every_byte_goes_where_it_belongs() {
    for method in methods() {
        for length in [1500, 20_000, 400_003] {
            let file = file(length);
            let [blocks, floats, other, rest] = expected(&file.data);
            let streams = streams(&*method, &[file]);
            let found: Vec<_> = streams
                .iter()
                .map(|stream| (stream.name, stream.bytes_in))
                .collect();
            let expected = [
                ("meta", rest),
                ("nibbles_q4k", blocks / 9 * 8),
                ("quant_other", other),
                ("scales_q4k", blocks / 9),
                ("tensor_f32", floats),
                (RECIPE, 0),
            ];
            assert_eq!(found, expected, "{}", method.name());
        }
    }
}

#[test]
fn a_real_file() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../fixtures/qwen2.5-coder-q4_k_m.gguf"
    );
    let file = bytes(std::fs::read(path).unwrap());
    let [blocks, ..] = expected(&file.data);
    assert!(blocks > 0);
    for method in methods() {
        let streams = streams(&*method, std::slice::from_ref(&file));
        let by_name = |name| streams.iter().find(|stream| stream.name == name).unwrap();
        assert_eq!(by_name("nibbles_q4k").bytes_in, blocks / 9 * 8);
        assert!(by_name(RECIPE).bytes_out < 100, "{}", method.name());
        let nibbles = by_name("nibbles_q4k");
        assert!(nibbles.bytes_out < nibbles.bytes_in, "{}", method.name());
    }
}

#[test]
fn what_is_no_file_is_meta() {
    let sound = file(20_000).data;
    let mut broken = sound.clone();
    broken[4] = 9;
    let contents = [
        Vec::new(),
        vec![7],
        b"GGUF".to_vec(),
        sound[..3000].to_vec(),
        broken,
        Content::Noise.tensor(Dtype::U8, &[5000]).data,
    ];
    for method in methods() {
        for content in &contents {
            let streams = streams(&*method, &[bytes(content.clone())]);
            assert_eq!(streams[0].name, "meta");
            assert_eq!(streams[0].bytes_in, content.len() as u64);
        }
    }
}

#[test]
fn several_files_are_one_unit() {
    for method in methods() {
        let files = [
            file(20_000),
            bytes(vec![1, 2, 3]),
            bytes(Vec::new()),
            file(30_000),
        ];
        let [first, .., last] = &files;
        let blocks = expected(&first.data)[0] + expected(&last.data)[0];
        let streams = streams(&*method, &files);
        assert_eq!(streams[3].bytes_in, blocks / 9);
    }
}

/// A file of one tensor of Q4_K, more than are grouped at a time or make a run.
#[test]
fn more_than_a_group_of_headers() {
    let blocks = 131_080u64;
    let file = {
        let model = crate::common::writer::Model::default();
        let mut model = model.tensor("a", Dtype::Q4K, &[blocks, 256]);
        let some = crate::common::weights_of(Dtype::Q4K, &[150, 256]).data;
        let length = model.data.len();
        model.data = some.into_iter().cycle().take(length).collect();
        bytes(model.bytes())
    };
    for method in methods() {
        let streams = streams(&*method, std::slice::from_ref(&file));
        assert_eq!(streams[3].bytes_in, 16 * blocks, "{}", method.name());
    }
}

#[test]
fn grouped_bytes_of_headers_are_shorter() {
    let file = file(600_000);
    let scales = |name| {
        let method = resolve(name, &Default::default()).unwrap();
        streams(&*method, std::slice::from_ref(&file))[3].bytes_out
    };
    let plain = scales("decomp_perstream_zstd19");
    let grouped = scales("decomp_perstream_zstd19_bg");
    assert!(grouped < plain, "{grouped} and {plain}");
}

#[test]
fn streams_of_damaged_encodings_are_errors_or_add_up() {
    let tensor = file(1500);
    for method in methods() {
        let (encoded, _) = encode(&*method, std::slice::from_ref(&tensor));
        for cut in 0..encoded.len() {
            assert!(method.streams(&encoded[..cut]).is_err());
        }
        for at in 0..encoded.len() {
            let mut damaged = encoded.clone();
            damaged[at] ^= 0x41;
            if let Ok(streams) = method.streams(&damaged) {
                let out: u64 = streams.iter().map(|stream| stream.bytes_out).sum();
                assert!(out < encoded.len() as u64);
            }
        }
    }
    let zstd = resolve("zstd_3", &Default::default()).unwrap();
    assert!(zstd.streams(&[]).unwrap().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_come_back(
        length in 1100u64..4000,
        changes in prop::collection::vec((0usize..700, any::<u8>()), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut data = file(length).data;
        for (at, byte) in changes {
            data[at] = byte;
        }
        if let Some(cut) = cut {
            data.truncate(cut.index(data.len()));
        }
        for method in methods() {
            round_trip(&*method, &[bytes(data.clone())]);
        }
    }

    #[test]
    fn damage_is_an_error_or_other_bytes(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let tensor = file(3000);
        for method in methods() {
            let (mut encoded, _) = encode(&*method, std::slice::from_ref(&tensor));
            for (at, byte) in &changes {
                let at = at.index(encoded.len());
                encoded[at] = *byte;
            }
            if let Some(cut) = &cut {
                encoded.truncate(cut.index(encoded.len()));
            }
            let found = decode(&*method, &encoded, 3000);
            prop_assert!(cut.is_none() || found.is_err());
        }
    }

    #[test]
    fn anything_is_refused_or_decodes(bytes in prop::collection::vec(any::<u8>(), 0..120), length in 1u8..4) {
        // One stretch of super-blocks.
        let bytes: Vec<u8> = [1, 1, 1, 0x90, length].into_iter().chain(bytes).collect();
        for method in methods() {
            if let Ok(decoded) = decode(&*method, &bytes, 1 << 10) {
                prop_assert_eq!(decoded.len(), 16 + 128 * usize::from(length));
            }
        }
    }
}
