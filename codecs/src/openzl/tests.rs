//! Profiles that come from elsewhere, and frames that do.

use std::path::PathBuf;

use super::graph::{FIELD_LZ_LEVEL, Graph};
use super::{
    DecodeError, Dtype, EncodeError, ProfileProblem, TensorView, decode_frame, ffi, profile, train,
};
use crate::method::{Method, resolve};

/// Weights as they look: numbers that look random, twelve of which are summed.
fn weights(count: usize) -> Vec<u8> {
    let mut state = 3u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 40) as f32 / (1 << 24) as f32
    };
    (0..count)
        .flat_map(|_| {
            let weight = (0..12).map(|_| next()).sum::<f32>() - 6.0;
            crate::cast::f32_to_bf16((weight * 0.02).to_bits()).to_le_bytes()
        })
        .collect()
}

fn view<'a>(data: &'a [u8], shape: &'a [u64], dtype: Dtype) -> TensorView<'a> {
    TensorView {
        name: "weights",
        dtype,
        shape,
        data,
    }
}

fn le_u16() -> Box<dyn Method> {
    resolve("openzl_le_u16", &Default::default()).unwrap()
}

fn reference(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../profiles/reference");
    std::fs::read(folder.join(name)).unwrap()
}

/// The length of what `data` is encoded to, which comes back.
fn round_trip(data: &[u8], dtype: Dtype, profile: &[u8]) -> usize {
    let method = le_u16();
    let shape = [data.len() as u64 / 2];
    let (mut encoded, mut decoded) = (Vec::new(), Vec::new());
    let accounting = method.encode(&[view(data, &shape, dtype)], Some(profile), &mut encoded);
    assert_eq!(accounting.unwrap().total(), encoded.len() as u64);
    method
        .decode(&encoded, Some(profile), &mut decoded)
        .unwrap();
    assert!(decoded == data);
    encoded.len()
}

#[test]
fn profiles_of_openzls_own_trainer_are_taken() {
    let data = weights(600_000);
    for (name, bytes) in [("bf16-openzl.zl", 912), ("fp16-openzl.zl", 617)] {
        let profile = reference(name);
        assert_eq!(profile.len(), bytes);
        for dtype in [Dtype::Bf16, Dtype::F16] {
            let length = round_trip(&data, dtype, &profile);
            assert!(length * 10 < data.len() * 7, "{name}: {length}");
        }
    }
}

#[test]
fn the_same_weights_teach_the_same_and_something_worth_knowing() {
    let data = weights(100_000);
    let shape = [100_000];
    let learn = || train(&[view(&data, &shape, Dtype::Bf16)]);
    let profile = learn();
    assert!(profile.len() <= 1024);
    assert!(profile == learn());
    let length = round_trip(&data, Dtype::Bf16, &profile);
    for name in ["bf16-openzl.zl", "fp16-openzl.zl"] {
        let other = round_trip(&data, Dtype::Bf16, &reference(name));
        assert!(length <= other + 64, "{length}, and {other} by {name}");
    }
    // What has no floats of two bytes teaches nothing, and that is enough for anything.
    let nothing = train(&[]);
    assert_eq!(nothing, train(&[view(&data, &[50_000], Dtype::F32)]));
    round_trip(&data, Dtype::F16, &nothing);
}

#[test]
fn another_profile_than_that_of_encoding_is_refused() {
    let data = weights(500);
    let (one, other) = (reference("bf16-openzl.zl"), reference("fp16-openzl.zl"));
    let method = le_u16();
    let mut encoded = Vec::new();
    method
        .encode(
            &[view(&data, &[500], Dtype::Bf16)],
            Some(&one),
            &mut encoded,
        )
        .unwrap();
    let found = method.decode(&encoded, Some(&other), &mut Vec::new());
    assert!(matches!(
        found,
        Err(DecodeError::Profile {
            problem: ProfileProblem::Unsound(_),
            ..
        })
    ));
}

#[test]
fn a_graph_that_data_does_not_fit_does_no_harm() {
    let data = weights(70_000);
    for end in ["zl.constant", "zl.fse", "zl.bitpack", "zl.store", "zl.zstd"] {
        for graph in [
            Graph::End(end),
            Graph::of_words(Graph::End(end)),
            Graph::of_words(Graph::Step(
                "zl.bfloat16_deconstruct",
                vec![Graph::End(end); 2],
            )),
        ] {
            let profile = graph.serialize();
            match profile::check(&profile).and_then(|()| ffi::Encoder::new(&profile).map(drop)) {
                Ok(()) => drop(round_trip(&data, Dtype::Bf16, &profile)),
                // Steps that cannot take what they are given.
                Err(message) => assert!(!message.is_empty()),
            }
        }
    }
}

#[test]
fn compressors_that_reach_deeper_are_refused() {
    let sound = Graph::of_words(Graph::EndWith("zl.field_lz", FIELD_LZ_LEVEL, 5));
    assert_eq!(profile::check(&sound.serialize()), Ok(()));
    let mut deep = Graph::End("zl.store");
    for _ in 0..30 {
        deep = Graph::Step("zl.zigzag", vec![deep]);
    }
    let mut wide = Graph::End("zl.store");
    for _ in 0..8 {
        wide = Graph::Step("zl.bfloat16_deconstruct", vec![wide.clone(), wide]);
    }
    for graph in [
        Graph::End("zl.nothing"),
        Graph::End("!zl.store"),
        Graph::EndWith("zl.field_lz", FIELD_LZ_LEVEL, 1 << 40),
        Graph::EndWith("zl.field_lz", 7, 1),
        Graph::EndWith("zl.zstd", 101, 30),
        Graph::Step("zl.dispatch_string", vec![Graph::End("zl.store")]),
        Graph::Step("zl.zigzag", vec![]),
        Graph::Step("zl.zigzag", vec![Graph::End("zl.store"); 2]),
        deep,
        wide,
    ] {
        assert!(profile::check(&graph.serialize()).is_err(), "{graph:?}");
    }
}

#[test]
fn circles_are_refused() {
    // The last graph is the first one's successor, and stands for it instead.
    let mut profile = Graph::Step(
        "zl.zigzag",
        vec![Graph::Step("zl.zigzag", vec![Graph::End("zl.store")])],
    )
    .serialize();
    let end = b"\x68zl.store";
    let at = profile
        .windows(end.len())
        .position(|bytes| bytes == end)
        .unwrap();
    profile.splice(at..at + end.len(), *b"\x62#1");
    assert!(profile::check(&profile).unwrap_err().contains("circle"));
}

#[test]
fn changed_profiles_are_refused_or_do_what_they_do() {
    let data = weights(3000);
    let shape = [3000];
    let method = le_u16();
    for name in ["bf16-openzl.zl", "fp16-openzl.zl"] {
        let profile = reference(name);
        for at in 0..profile.len() {
            for mask in [0x01, 0x02, 0x10, 0x20, 0x80, 0xff] {
                let mut changed = profile.clone();
                changed[at] ^= mask;
                let mut encoded = Vec::new();
                let unit = [view(&data, &shape, Dtype::Bf16)];
                match method.encode(&unit, Some(&changed), &mut encoded) {
                    Ok(_) => {
                        let mut decoded = Vec::new();
                        method
                            .decode(&encoded, Some(&changed), &mut decoded)
                            .unwrap();
                        assert!(decoded == data);
                    }
                    Err(error) => assert!(
                        matches!(
                            error,
                            EncodeError::Profile { .. } | EncodeError::Backend { .. }
                        ),
                        "{error}"
                    ),
                }
            }
        }
        for length in 0..profile.len() {
            assert!(profile::check(&profile[..length]).is_err());
        }
    }
}

#[test]
fn damaged_frames_are_errors_or_as_long_as_they_say() {
    let data = weights(2000);
    let mut profiles = vec![reference("bf16-openzl.zl"), reference("fp16-openzl.zl")];
    let ends = [
        "zl.fse",
        "zl.huffman",
        "zl.zstd",
        "zl.field_lz",
        "zl.bitpack",
    ];
    for end in ends.map(Graph::End) {
        let step = |name| Graph::Step(name, vec![end.clone()]);
        profiles.push(Graph::of_words(step("zl.transpose_split")).serialize());
        profiles.push(Graph::of_words(step("zl.range_pack")).serialize());
        profiles.push(Graph::of_words(step("zl.delta_int")).serialize());
    }
    let mut frames = Vec::new();
    for profile in profiles {
        let mut frame = Vec::new();
        // Not every step can end in every way.
        let made =
            ffi::Encoder::new(&profile).and_then(|mut encoder| encoder.encode(&data, &mut frame));
        if made.is_ok() {
            frames.push(frame);
        }
    }
    assert!(frames.len() > 8, "{}", frames.len());
    let mut state = 1u64;
    let mut next = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize % below
    };
    let (mut decoder, mut decoded) = (ffi::Decoder::new().unwrap(), Vec::new());
    for _ in 0..20_000 {
        let mut frame = frames[next(frames.len())].clone();
        for _ in 0..=next(4) {
            // Most of what steers a decoder is at the front.
            let most = [frame.len(), 64][next(2)].min(frame.len());
            let at = next(most);
            match next(6) {
                0 => frame[at] = next(256) as u8,
                1 => frame[at] = 0xff,
                2 => frame.truncate(at + 1),
                3 => frame.insert(at, next(256) as u8),
                _ => frame[at] ^= 1 << next(8),
            }
        }
        if decode_frame(&mut decoder, &frame, 0, data.len(), &mut decoded).is_ok() {
            assert_eq!(decoded.len(), data.len());
        }
    }
}
