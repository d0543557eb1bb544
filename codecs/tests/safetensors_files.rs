//! The safetensors reader against the format's own implementation, and against files that mean harm.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::collections::HashMap;

use llmcl_codecs::Dtype;
use llmcl_codecs::formats::safetensors::{HEADER_MAX_BYTES, SafetensorsError, read};
use llmcl_codecs::formats::sharded::{Index, ShardedError};
use llmcl_codecs::formats::{Format, detect};
use proptest::prelude::*;
use safetensors::tensor::{SafeTensors, TensorView, serialize};

/// A file of this header and `data` bytes of data.
fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 0xab);
    bytes
}

/// The error of a file of this header and `data` bytes of data.
fn error(header: &str, data: usize) -> SafetensorsError {
    let file = file(header, data);
    read(&file).expect_err("a sound file")
}

const ONE: &str = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;

#[test]
fn a_sound_file() {
    let header = r#"{"b":{"dtype":"BF16","shape":[2,2],"data_offsets":[4,12]},"__metadata__":{"z":"1","a":"2"},
        "a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"e":{"dtype":"F4","shape":[0,5],"data_offsets":[4,4]}}   "#;
    let bytes = file(header, 12);
    let found = read(&bytes).unwrap();
    assert_eq!(found.data_offset, 8 + header.len() as u64);
    let names: Vec<&str> = found
        .tensors
        .iter()
        .map(|tensor| tensor.name.as_str())
        .collect();
    assert_eq!(names, ["a", "e", "b"]);
    assert_eq!(
        found.metadata,
        [("z".into(), "1".into()), ("a".into(), "2".into())]
    );
    let last = &found.tensors[2];
    assert_eq!(
        (last.dtype, last.bytes, last.elements()),
        (Dtype::Bf16, 8, Some(4))
    );
    let view = last.view(&bytes).unwrap();
    assert_eq!(
        (view.data, view.shape),
        (&bytes[bytes.len() - 8..], &[2, 2][..])
    );
    assert!(last.view(&bytes[1..]).is_none());
    assert_eq!(detect(&bytes), Some(Format::Safetensors));
    assert!(read(&file("{}", 0)).unwrap().tensors.is_empty());
}

#[test]
fn files_that_end_early() {
    let bytes = file(ONE, 8);
    for length in 0..bytes.len() {
        let found = read(&bytes[..length]).unwrap_err();
        let header_end = 8 + ONE.len();
        match found {
            SafetensorsError::TooShort { .. } => assert!(length < 8),
            SafetensorsError::HeaderTruncated { .. } => assert!(length < header_end),
            SafetensorsError::DataTruncated {
                found, expected: 8, ..
            } => {
                assert_eq!(found, (length - header_end) as u64);
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn headers_of_impossible_length() {
    let mut bytes = file(ONE, 8);
    bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(matches!(
        read(&bytes),
        Err(SafetensorsError::HeaderTooLong {
            found: u64::MAX,
            ..
        })
    ));
    bytes[..8].copy_from_slice(&HEADER_MAX_BYTES.to_le_bytes());
    assert!(matches!(
        read(&bytes),
        Err(SafetensorsError::HeaderTruncated { .. })
    ));
    bytes[..8].copy_from_slice(&0u64.to_le_bytes());
    assert!(matches!(
        read(&bytes),
        Err(SafetensorsError::HeaderStart { found: None })
    ));
}

#[test]
fn headers_that_are_no_header() {
    assert!(matches!(
        error(" {}", 0),
        SafetensorsError::HeaderStart { found: Some(b' ') }
    ));
    assert!(matches!(
        error("[]", 0),
        SafetensorsError::HeaderStart { found: Some(b'[') }
    ));
    for header in [
        "{",
        "{}}",
        "{}x",
        "{\"a\":1}",
        "{\"a\":{}}",
        "{\"__metadata__\":{\"a\":1}}",
        "{\"__metadata__\":null}",
        // A field too many, a field twice, a negative and a broken number, an offset too many.
        r#"{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1],"x":1}}"#,
        r#"{"a":{"dtype":"U8","dtype":"U8","shape":[],"data_offsets":[0,1]}}"#,
        r#"{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}}"#,
        r#"{"a":{"dtype":"U8","shape":[1.5],"data_offsets":[0,1]}}"#,
        r#"{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1,2]}}"#,
        r#"{"a":{"dtype":"U8","shape":[18446744073709551616],"data_offsets":[0,1]}}"#,
    ] {
        assert!(
            matches!(error(header, 1), SafetensorsError::HeaderJson { .. }),
            "{header}"
        );
    }
    let deep = format!("{{\"a\":{}", "[".repeat(100_000));
    assert!(matches!(
        error(&deep, 0),
        SafetensorsError::HeaderJson { .. }
    ));
    let mut bytes = file("{\"aa\":{}}", 0);
    bytes[10] = 0xff;
    assert!(matches!(
        read(&bytes),
        Err(SafetensorsError::HeaderUtf8 { at: 10 })
    ));
}

#[test]
fn names_that_occur_twice() {
    let twice = r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#;
    assert!(matches!(error(twice, 2), SafetensorsError::DuplicateName { name } if name == "a"));
    // Written differently, the same name all the same.
    let escaped = twice.replacen("\"a\"", "\"\\u0061\"", 1);
    assert!(matches!(error(&escaped, 2), SafetensorsError::DuplicateName { name } if name == "a"));
    let texts = r#"{"__metadata__":{"k":"1","k":"2"}}"#;
    assert!(matches!(error(texts, 0), SafetensorsError::DuplicateName { name } if name == "k"));
    let metadata = r#"{"__metadata__":{},"__metadata__":{}}"#;
    assert!(matches!(
        error(metadata, 0),
        SafetensorsError::DuplicateName { .. }
    ));
}

#[test]
fn tensors_of_impossible_size() {
    let with = |dtype: &str, shape: &str, offsets: &str| {
        let header =
            format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#);
        error(&header, 8)
    };
    assert!(
        matches!(with("F128", "[1]", "[0,8]"), SafetensorsError::UnknownDtype { found, .. } if found == "F128")
    );
    for dtype in ["f32", "Q8_0"] {
        assert!(matches!(
            with(dtype, "[2]", "[0,8]"),
            SafetensorsError::UnknownDtype { .. }
        ));
    }
    assert!(matches!(
        with("F64", "[4294967296,4294967296]", "[0,8]"),
        SafetensorsError::ShapeSize { .. }
    ));
    assert!(matches!(
        with("F4", "[3]", "[0,1]"),
        SafetensorsError::ShapeSize { .. }
    ));
    assert!(matches!(
        with("F32", "[2]", "[8,0]"),
        SafetensorsError::SpanReversed {
            begin: 8,
            end: 0,
            ..
        }
    ));
    assert!(matches!(
        with("F32", "[3]", "[0,8]"),
        SafetensorsError::SpanLength {
            expected: 12,
            found: 8,
            ..
        }
    ));
    assert!(matches!(
        with("U8", "[18446744073709551615]", "[0,18446744073709551615]"),
        SafetensorsError::DataTruncated { found: 8, .. }
    ));
}

#[test]
fn data_with_holes_overlaps_and_ends() {
    let two = |first: &str, second: &str| {
        let tensor =
            |offsets| format!(r#"{{"dtype":"U8","shape":[4],"data_offsets":[{offsets}]}}"#);
        format!(r#"{{"a":{},"b":{}}}"#, tensor(first), tensor(second))
    };
    assert!(matches!(
        error(&two("0,4", "5,9"), 9),
        SafetensorsError::Hole {
            expected: 4,
            found: 5,
            ..
        }
    ));
    assert!(matches!(
        error(&two("1,5", "5,9"), 9),
        SafetensorsError::Hole {
            expected: 0,
            found: 1,
            ..
        }
    ));
    assert!(matches!(
        error(&two("0,4", "3,7"), 7),
        SafetensorsError::Overlap {
            expected: 4,
            found: 3,
            ..
        }
    ));
    assert!(matches!(
        error(&two("0,4", "0,4"), 4),
        SafetensorsError::Overlap { .. }
    ));
    assert!(matches!(
        error(&two("0,4", "4,8"), 7),
        SafetensorsError::DataTruncated { .. }
    ));
    assert!(matches!(
        error(&two("0,4", "4,8"), 9),
        SafetensorsError::Trailing { found: 1, .. }
    ));
    assert!(matches!(error("{}", 1), SafetensorsError::Trailing { .. }));
}

/// A file as the format's own implementation writes it.
fn written(tensors: &[(String, safetensors::Dtype, Vec<usize>)]) -> Vec<u8> {
    let data: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, dtype, shape)| vec![7; shape.iter().product::<usize>() * dtype.bitsize() / 8])
        .collect();
    let views = tensors
        .iter()
        .zip(&data)
        .map(|((name, dtype, shape), data)| {
            (
                name.clone(),
                TensorView::new(*dtype, shape.clone(), data).unwrap(),
            )
        });
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    serialize(views, Some(metadata)).unwrap()
}

#[test]
fn every_type_has_the_name_and_size_of_the_format() {
    for dtype in Dtype::ALL {
        if dtype.is_block_quantised() {
            continue;
        }
        let json = format!("\"{}\"", dtype.name());
        let theirs: safetensors::Dtype = serde_json::from_str(&json).unwrap();
        let block = dtype.block();
        assert_eq!(
            theirs.bitsize() * block.elements as usize,
            8 * block.bytes as usize
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reads_what_the_other_implementation_writes(
        tensors in prop::collection::btree_map("[a-z.\"\\\\é]{1,9}", (0usize..4, prop::collection::vec(0usize..5, 0..4)), 0..6)
    ) {
        use safetensors::Dtype::{BF16, F32, I64, U8};
        let tensors: Vec<_> = tensors
            .into_iter()
            .map(|(name, (dtype, shape))| (name, [BF16, F32, I64, U8][dtype], shape))
            .collect();
        let bytes = written(&tensors);
        let theirs = SafeTensors::deserialize(&bytes).unwrap();
        let ours = read(&bytes).unwrap();
        prop_assert_eq!(ours.tensors.len(), theirs.len());
        for entry in &ours.tensors {
            let view = theirs.tensor(&entry.name).unwrap();
            let found = entry.view(&bytes).unwrap();
            prop_assert_eq!(found.data.as_ptr(), view.data().as_ptr());
            prop_assert_eq!(found.data, view.data());
            let shape: Vec<u64> = view.shape().iter().map(|&dim| dim as u64).collect();
            prop_assert_eq!(&entry.shape, &shape);
            prop_assert_eq!(entry.dtype.name(), view.dtype().to_string());
        }
    }

    #[test]
    fn what_we_take_the_other_implementation_takes(at in 0usize..200, byte in any::<u8>()) {
        let header = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[3,1],"data_offsets":[8,11]}}"#;
        let mut bytes = file(header, 11);
        let at = at % bytes.len();
        bytes[at] = byte;
        if read(&bytes).is_ok() {
            prop_assert!(SafeTensors::deserialize(&bytes).is_ok());
        }
    }
}

const SHARDS: [&str; 2] = [
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
];

fn shard(names: &[&str]) -> Vec<u8> {
    let tensors: Vec<_> = names
        .iter()
        .map(|name| ((*name).to_owned(), safetensors::Dtype::BF16, vec![2]))
        .collect();
    written(&tensors)
}

fn index(pairs: &[(&str, &str)]) -> Vec<u8> {
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(tensor, shard)| format!("{tensor:?}:{shard:?}"))
        .collect();
    format!(
        r#"{{"metadata":{{"total_size":1.5e3}},"weight_map":{{{}}}}}"#,
        pairs.join(",")
    )
    .into_bytes()
}

#[test]
fn a_sharded_model() {
    let index = Index::read(&index(&[
        ("c", SHARDS[1]),
        ("a", SHARDS[0]),
        ("b", SHARDS[1]),
    ]))
    .unwrap();
    assert_eq!(index.shards(), SHARDS);
    let shards = [shard(&["a"]), shard(&["b", "c"])];
    let lookup = |name: &str| {
        SHARDS
            .iter()
            .position(|shard| *shard == name)
            .map(|i| &shards[i][..])
    };
    let found = index.tensors(lookup).unwrap();
    let found: Vec<(usize, &str)> = found
        .iter()
        .map(|tensor| (tensor.shard, tensor.entry.name.as_str()))
        .collect();
    assert_eq!(found, [(0, "a"), (1, "b"), (1, "c")]);

    let missing = index.tensors(|_| None).unwrap_err();
    assert!(matches!(missing, ShardedError::MissingShard { shard } if shard == SHARDS[0]));
    let broken = index.tensors(|_| Some(&[0])).unwrap_err();
    assert!(matches!(broken, ShardedError::Shard { .. }));
    let (more, fewer, swapped) = (shard(&["b", "c", "d"]), shard(&["b"]), shard(&["b", "c"]));
    let with_second = |second: &[u8]| {
        let lookup = |name: &str| {
            Some(if name == SHARDS[0] {
                &shards[0][..]
            } else {
                second
            })
        };
        index.tensors(lookup).unwrap_err()
    };
    let found = with_second(&more);
    assert!(matches!(found, ShardedError::NotInIndex { tensor, .. } if tensor == "d"));
    let found = with_second(&fewer);
    assert!(matches!(found, ShardedError::NotInShard { tensor, .. } if tensor == "c"));
    let found = index.tensors(|_| Some(&swapped[..])).unwrap_err();
    assert!(matches!(found, ShardedError::NotInIndex { tensor, .. } if tensor == "b"));
}

#[test]
fn indices_that_are_none() {
    for bytes in ["", "{}", "[]", r#"{"weight_map":{"a":1}}"#] {
        let found = Index::read(bytes.as_bytes());
        assert!(
            matches!(found, Err(ShardedError::IndexJson { .. })),
            "{bytes}"
        );
    }
    assert!(matches!(Index::read(&index(&[])), Err(ShardedError::Empty)));
    let twice = Index::read(&index(&[("a", SHARDS[0]), ("a", SHARDS[1])]));
    assert!(matches!(twice, Err(ShardedError::DuplicateTensor { tensor }) if tensor == "a"));
    let long = "a".repeat(300) + ".safetensors";
    for name in [
        "",
        ".safetensors",
        "..",
        "model.bin",
        "../x.safetensors",
        "/etc/x.safetensors",
        "a/b.safetensors",
        "a\\b.safetensors",
        "C:x.safetensors",
        "-x.safetensors",
        "x\u{0}.safetensors",
        "é.safetensors",
        "x.safetensors\n",
        &long,
    ] {
        let json = serde_json::json!({"weight_map": {"a": name}}).to_string();
        let found = Index::read(json.as_bytes());
        assert!(
            matches!(found, Err(ShardedError::ShardName { .. })),
            "{name:?}"
        );
    }
}
