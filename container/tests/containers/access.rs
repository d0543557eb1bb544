//! A part of a tensor: as many bytes as are asked for, and no more work than that.

use std::ops::Range;
use std::sync::atomic::AtomicBool;

use llmcl_codecs::{Dtype, TensorView};
use llmcl_container::{Container, ContainerError, Form, Segment};
use proptest::prelude::*;

use crate::common::{
    Content, NEVER, Tensor, method, methods, one, open, restore, safetensors, scaled_matrix,
    small_tensors, text, write,
};

/// The bytes of a range of a tensor.
fn read(
    container: &Container<'_>,
    name: &str,
    range: Range<u64>,
) -> Result<Vec<u8>, ContainerError> {
    let (file, segment) = container.tensors(name).next().unwrap();
    let mut out = Vec::new();
    container.read(file, segment, range, &mut out, &NEVER)?;
    Ok(out)
}

/// How many bytes of a tensor a chunk holds.
fn chunk_bytes(name: &str, tensor: &Tensor) -> u64 {
    let view = TensorView {
        name: &tensor.name,
        dtype: tensor.dtype,
        shape: &tensor.shape,
        data: &tensor.data,
    };
    method(name).fit(&view, None).unwrap().chunk_bytes()
}

/// Tensors of more than two chunks, with methods that divide them: evenly, by rows, and with much in a chunk.
fn large() -> Vec<(&'static str, Tensor)> {
    let even = Content::Weights.tensor("large", Dtype::Bf16, &[2_600_001]);
    let single = Content::Weights.tensor("large", Dtype::F32, &[3, 900_003]);
    let rows = scaled_matrix("large", Dtype::F16, 2300, 1000);
    vec![
        ("exponent_static", even),
        ("exponent_mantissa_static", single),
        ("exponent_mantissa_scaled", rows.clone()),
        (
            "zstd_1",
            Content::Ramp.tensor("large", Dtype::U8, &[9_000_000]),
        ),
        (
            "exponent_mantissa_profiled",
            Tensor {
                shape: vec![10, 1000],
                data: rows.data[..20_000].to_vec(),
                ..rows
            },
        ),
    ]
}

/// Where a chunk of a segment of the only file lies in the container, as far as its length tells: roughly.
fn within(container: &Container<'_>, segment: &Segment, part: f64) -> usize {
    let segments = &container.files()[0].segments;
    let before = segments.iter().take_while(|other| *other != segment);
    let before: u64 = before.map(Segment::encoded_bytes).sum();
    16 + before as usize + (segment.encoded_bytes() as f64 * part) as usize
}

#[test]
fn ranges_are_slices() {
    for (name, tensor) in large() {
        let (bytes, _) = write(
            name,
            Form::File,
            &one(&safetensors(std::slice::from_ref(&tensor))),
        );
        let container = open(&bytes).unwrap();
        let (_, segment) = container.tensors("large").next().unwrap();
        assert!(segment.chunks() > 2, "{name}");
        let (all, chunk) = (tensor.data.len() as u64, chunk_bytes(name, &tensor));
        assert_eq!(segment.chunks() as u64, all.div_ceil(chunk));
        for range in [
            0..0,
            0..1,
            all..all,
            all - 1..all,
            chunk - 1..chunk,
            chunk..chunk,
            chunk..chunk + 1,
            chunk - 1..chunk + 1,
            chunk - 3..2 * chunk + 3,
            1..all - 1,
            2 * chunk..all,
            0..all,
        ] {
            let found = read(&container, "large", range.clone()).unwrap();
            let expected = &tensor.data[range.start as usize..range.end as usize];
            assert!(found == expected, "{name} {range:?}");
        }
    }
}

#[test]
fn ranges_that_are_none_are_refused() {
    let (bytes, _) = write(
        "exponent_static",
        Form::File,
        &one(&safetensors(&small_tensors())),
    );
    let container = open(&bytes).unwrap();
    let bytes = container.tensors("a.weight").next().unwrap().1.bytes;
    #[expect(clippy::reversed_empty_ranges, reason = "that is what is tried")]
    for range in [
        0..bytes + 1,
        bytes + 1..bytes + 1,
        5..4,
        u64::MAX..0,
        0..u64::MAX,
        u64::MAX..u64::MAX,
    ] {
        let found = read(&container, "a.weight", range.clone());
        let Err(ContainerError::Range {
            name,
            from,
            to,
            bytes: all,
        }) = found
        else {
            panic!("{range:?}: {found:?}");
        };
        assert!(name.contains("a.weight"));
        assert_eq!((from..to, all), (range, bytes));
    }
    assert_eq!(read(&container, "a.nothing", 0..0).unwrap(), b"");
    assert!(read(&container, "a.nothing", 0..1).is_err());
    assert!(container.tensors("a.weigh").next().is_none());
    assert!(container.tensors("").next().is_none());
}

#[test]
fn only_the_chunks_that_are_asked_for_are_decoded() {
    for (name, tensor) in large() {
        let (bytes, _) = write(
            name,
            Form::File,
            &one(&safetensors(std::slice::from_ref(&tensor))),
        );
        let container = open(&bytes).unwrap();
        let (_, segment) = container.tensors("large").next().unwrap();
        let (all, chunk) = (tensor.data.len() as u64, chunk_bytes(name, &tensor));
        let count = segment.chunks() as u64;
        // The first, one in between, and the last.
        for part in [0.0, 0.5, 0.999_999] {
            let mut damaged = bytes.clone();
            damaged[within(&container, segment, part)] ^= 4;
            let said = text(&restore(&damaged).unwrap_err());
            // The error says which it is; all others must be fine.
            let hit = (0..count).find(|number| {
                said.contains(&format!(
                    "chunk {number} of tensor \"large\" of \"model.safetensors\""
                ))
            });
            let hit = hit.unwrap_or_else(|| panic!("{said}"));
            match part {
                0.0 => assert_eq!(hit, 0),
                0.5 => assert!((1..count - 1).contains(&hit) || count == 3),
                _ => assert_eq!(hit, count - 1),
            }
            let container = open(&damaged).unwrap();
            let (start, end) = (hit * chunk, all.min((hit + 1) * chunk));
            for range in [0..start, end..all, 0..start.min(5), all.min(end + 1)..all] {
                let found = read(&container, "large", range.clone()).unwrap();
                let expected = &tensor.data[range.start as usize..range.end as usize];
                assert!(found == expected, "{name} {range:?}");
            }
            for range in [
                0..all,
                start..start + 1,
                end - 1..end,
                start.saturating_sub(1)..end,
            ] {
                let found = read(&container, "large", range.clone());
                let Err(ContainerError::ChunkChecksum { place, .. }) = found else {
                    panic!("{name} {range:?} is read");
                };
                assert!(place.starts_with(&format!("chunk {hit} of ")), "{place}");
            }
        }
    }
}

#[test]
fn a_damaged_tensor_harms_no_other() {
    for name in methods() {
        let tensors = small_tensors();
        let (bytes, _) = write(&name, Form::File, &one(&safetensors(&tensors)));
        let container = open(&bytes).unwrap();
        let (_, damaged_one) = container.tensors("b.weight").next().unwrap();
        let mut damaged = bytes.clone();
        damaged[within(&container, damaged_one, 0.5)] ^= 1;
        let container = open(&damaged).unwrap();
        for tensor in &tensors {
            let bytes = tensor.data.len() as u64;
            match read(&container, &tensor.name, 0..bytes) {
                Ok(found) => assert!(found == tensor.data && tensor.name != "b.weight"),
                Err(error) => {
                    assert_eq!(tensor.name, "b.weight", "{name}");
                    assert!(text(&error).contains("chunk 0 of tensor \"b.weight\""));
                }
            }
        }
    }
}

/// A chunk that is long to check, and one after it that is not: whoever is told of the second cannot trust what comes
/// before it.
#[test]
fn of_several_damaged_chunks_the_first_is_named() {
    let mut data = Content::Noise.bytes(Dtype::U8, &[4 << 20]);
    data.resize(9 << 20, 0);
    let (mut bytes, _) = write("zstd_1", Form::File, &one(&data));
    let first = 16 + (2 << 20);
    let second = 16 + (4 << 20) + 40;
    bytes[first] ^= 1;
    bytes[second] ^= 1;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(4)
        .build()
        .unwrap();
    let stop = AtomicBool::new(false);
    pool.install(|| {
        let container = open(&bytes).unwrap();
        let file = &container.files()[0];
        for time in 0..200 {
            let found = container.restore(file, &mut std::io::sink(), &stop);
            let said = text(&found.unwrap_err());
            assert!(said.contains("chunk 0 of"), "time {time}: {said}");
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_range_is_a_slice(ends in any::<(prop::sample::Index, prop::sample::Index)>(), name in prop::sample::select(methods())) {
        let tensor = scaled_matrix("w", Dtype::Bf16, 100, 99);
        let (bytes, _) = write(&name, Form::File, &one(&safetensors(std::slice::from_ref(&tensor))));
        let ends = [ends.0.index(tensor.data.len() + 1), ends.1.index(tensor.data.len() + 1)];
        let range = ends[0].min(ends[1])..ends[0].max(ends[1]);
        let found = read(&open(&bytes).unwrap(), "w", range.start as u64..range.end as u64).unwrap();
        prop_assert!(found == tensor.data[range]);
    }
}
