//! What is said of files that are unsound.

use std::collections::BTreeSet;

use llmcl_codecs::Dtype;
use llmcl_codecs::formats::gguf::{ARRAY_MAX_DEPTH, GgufError, read};

use crate::writer::{Given, Info, Model, small};

fn error(file: &[u8]) -> GgufError {
    read(file).expect_err("a sound file")
}

/// What is said of a file.
fn told(model: &Model) -> String {
    error(&model.bytes()).to_string()
}

#[test]
fn files_that_are_something_else() {
    let with_version = |version| told(&Model { version, ..small() });
    let said = |file: &[u8]| error(file).to_string();
    assert_eq!(said(b"GG"), "`GGUF` at byte 0 takes 4 bytes, 2 are left");
    assert_eq!(said(b""), "`GGUF` at byte 0 takes 4 bytes, 0 are left");
    assert_eq!(
        said(b"GGML and so on"),
        "a GGUF file begins with `GGUF`, found the bytes [47, 47, 4d, 4c]"
    );
    assert_eq!(
        said(b"GGUF\x03\0\0\0"),
        "number of tensors at byte 8 takes 8 bytes, 0 are left"
    );
    assert_eq!(
        with_version(1),
        "version 1 of the layout at byte 4 is not read, 2 and 3 are; convert the file anew"
    );
    assert_eq!(
        with_version(3u32.swap_bytes()),
        "the file is big-endian (version 3 at byte 4), only little-endian ones are read"
    );
    for version in [0, 4, 0x0101_0101] {
        assert_eq!(
            with_version(version),
            format!("version {version} of the layout at byte 4 is not known, 2 and 3 are")
        );
    }
}

/// Wherever a file ends within its metadata or its list of tensors, the field is named that is cut off, where it begins
/// and how much of it is there; or the count that what is left cannot hold.
#[test]
fn every_field_that_is_cut_off_is_named() {
    let whole = small().bytes();
    let (mut fields, mut counts) = (BTreeSet::new(), BTreeSet::new());
    for end in 0..whole.len() as u64 {
        match error(&whole[..end as usize]) {
            GgufError::Truncated {
                what,
                at,
                expected,
                found,
            } => {
                assert_eq!(at + found, end, "{what}");
                assert!(found < expected, "{what}");
                fields.insert((at, what));
            }
            GgufError::Count { what, at, left, .. } => {
                // It was read, and what comes after it was looked at in vain.
                assert!(at + 8 + left <= end, "{what}");
                counts.insert((at, what));
            }
            // From here on only data is missing.
            other => {
                assert!(
                    other
                        .to_string()
                        .starts_with("tensor `token_embd.weight` takes 204 bytes")
                );
                break;
            }
        }
    }
    assert_eq!((fields.len(), counts.len()), (40, 7));
}

#[test]
fn counts_that_the_file_cannot_hold() {
    let mut model = Model {
        tensor_count: Some(1),
        ..Model::default()
    };
    assert_eq!(
        told(&model),
        "number of tensors at byte 8 is 1, the 8 bytes that follow hold 0 at most"
    );
    model.entry_count = Some(u64::MAX);
    assert_eq!(
        told(&model),
        "number of metadata entries at byte 16 is 18446744073709551615, the 8 bytes that follow hold 0 at most"
    );
    // There was room for them before the metadata was read.
    let mut model = Model::default().entry("k", Given::Text(vec![0; 200]));
    model.tensor_count = Some(2);
    assert!(matches!(
        error(&model.bytes()),
        GgufError::Count {
            at: 8,
            found: 2,
            ..
        }
    ));
    let array = |count: u64, element: u32| {
        let mut bytes = Model::default()
            .entry("k", Given::Array(element, vec![]))
            .bytes();
        // After the header, the key, the type of the value and that of the elements.
        let at = 24 + 9 + 4 + 4;
        bytes[at..at + 8].copy_from_slice(&count.to_le_bytes());
        error(&bytes).to_string()
    };
    assert_eq!(
        array(u64::MAX, 4),
        "length of an array at byte 41 is 18446744073709551615, the 15 bytes that follow hold 3 at most"
    );
    assert_eq!(
        array(2, 9),
        "length of an array at byte 41 is 2, the 15 bytes that follow hold 1 at most"
    );
}

#[test]
fn texts_that_do_not_fit() {
    let mut bytes = Model::default().entry("key", Given::text("value")).bytes();
    let at = 24 + 8 + 3 + 4;
    bytes[at..at + 8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert_eq!(
        error(&bytes).to_string(),
        "text at byte 47 takes 18446744073709551615 bytes, 17 are left"
    );
    bytes[24..32].copy_from_slice(&70_000u64.to_le_bytes());
    assert_eq!(
        error(&bytes).to_string(),
        "key at byte 24 is 70000 bytes long, at most 65535 are read"
    );
    bytes[24..32].copy_from_slice(&60_000u64.to_le_bytes());
    assert_eq!(
        error(&bytes).to_string(),
        "key at byte 32 takes 60000 bytes, 32 are left"
    );
    bytes[24..32].copy_from_slice(&3u64.to_le_bytes());
    bytes[33] = 0xff;
    assert_eq!(error(&bytes).to_string(), "key is not UTF-8 at byte 33");
    let mut model = small();
    model.infos[1].name = vec![b'a', 0xc0];
    assert!(told(&model).starts_with("name of a tensor is not UTF-8 at byte "));
}

#[test]
fn values_that_are_none() {
    let mut bytes = Model::default().entry("k", Given::U8(0)).bytes();
    bytes[33] = 13;
    assert_eq!(
        error(&bytes).to_string(),
        "the type of a value at byte 33 must be 0 to 12, found 13"
    );
    let mut bytes = Model::default().entry("k", Given::Bool(true)).bytes();
    bytes[37] = 2;
    assert_eq!(
        error(&bytes).to_string(),
        "the truth value at byte 37 must be 0 or 1, found 2"
    );
    let twice = Model::default()
        .entry("k", Given::U8(0))
        .entry("k", Given::U8(1));
    assert_eq!(told(&twice), "the key `k` at byte 38 occurs before");
}

#[test]
fn arrays_in_arrays_in_arrays() {
    let nested = |depth: usize| {
        let innermost = Given::Array(0, vec![Given::U8(1)]);
        let value = (1..depth).fold(innermost, |inner, _| Given::Array(9, vec![inner]));
        Model::default().entry("k", value)
    };
    assert!(read(&nested(ARRAY_MAX_DEPTH).bytes()).is_ok());
    // Each of the arrays around it takes 12 bytes.
    assert_eq!(
        told(&nested(ARRAY_MAX_DEPTH + 1)),
        "the array at byte 133 lies 8 arrays deep, which is not read"
    );
    let mut bytes = nested(1).bytes();
    bytes.truncate(24 + 9 + 4);
    for _ in 0..100_000 {
        bytes.extend([9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    }
    assert!(matches!(error(&bytes), GgufError::ArrayDepth { .. }));
}

#[test]
fn alignments_that_are_none() {
    let with = |value| told(&Model::default().entry("general.alignment", value));
    for (value, found) in [
        (Given::U32(0), "0"),
        (Given::U32(48), "48"),
        (Given::U64(32), "U64(32)"),
        (Given::text("32"), "a text"),
        (Given::Array(4, vec![Given::U32(32)]), "an array"),
    ] {
        assert_eq!(
            with(value),
            format!("`general.alignment` at byte 24 must be a power of two as U32, found {found}")
        );
    }
}

/// A file of one tensor of 64 bytes, and the same with something changed.
fn one(change: impl Fn(&mut Info)) -> Model {
    let mut model = Model::default().tensor("w", Dtype::F32, &[4, 4]);
    change(&mut model.infos[0]);
    model
}

#[test]
fn shapes_that_are_none() {
    assert!(read(&one(|_| ()).bytes()).is_ok());
    assert_eq!(
        told(&one(|info| info.dimensions = vec![1; 5])),
        "tensor `w` at byte 24 has 5 dimensions, at most 4 are read"
    );
    assert_eq!(
        told(&one(|info| info.dimensions = vec![4, 0])),
        "tensor `w` at byte 24: shape [0, 4] has a dimension of 0"
    );
    assert_eq!(
        told(&one(|info| info.dimensions = vec![u64::MAX, 2])),
        "tensor `w` at byte 24: shape [2, 18446744073709551615] is too large"
    );
    // Of a type that is not known, too.
    assert_eq!(
        told(&one(|info| {
            info.type_number = 1000;
            info.dimensions = vec![1 << 32, 1 << 32];
        })),
        "tensor `w` at byte 24: shape [4294967296, 4294967296] is too large"
    );
    assert_eq!(
        told(&one(|info| {
            info.type_number = 12;
            info.dimensions = vec![128, 2];
        })),
        "tensor `w` at byte 24: rows of 128 elements are no whole blocks of 256, as Q4_K needs"
    );
    assert_eq!(
        told(&one(|info| {
            info.type_number = 8;
            info.dimensions.clear();
        })),
        "tensor `w` at byte 24: rows of 1 elements are no whole blocks of 32, as Q8_0 needs"
    );
}

#[test]
fn places_that_are_none() {
    assert_eq!(
        told(&one(|info| info.offset = 8)),
        "tensor `w` at byte 24 begins at 8 of the data, which must be a multiple of 32"
    );
    assert_eq!(
        told(&one(|info| info.offset = 32)),
        "tensor `w` takes 64 bytes from byte 128 on, the file ends at byte 160"
    );
    assert_eq!(
        told(&one(|info| info.offset = u64::MAX - 31)),
        "tensor `w` takes 64 bytes from byte 18446744073709551615 on, the file ends at byte 160"
    );
    assert_eq!(
        told(&one(|info| info.dimensions = vec![1 << 40, 1])),
        "tensor `w` takes 4398046511104 bytes from byte 96 on, the file ends at byte 160"
    );
    assert_eq!(
        told(&one(|info| (info.type_number, info.offset) = (4, 64))),
        "tensor `w` takes 1 bytes from byte 160 on, the file ends at byte 160"
    );
}

#[test]
fn tensors_in_one_another() {
    let two = |change: fn(&mut [Info])| {
        let mut model =
            Model::default()
                .tensor("a", Dtype::F32, &[16])
                .tensor("b", Dtype::F32, &[16]);
        change(&mut model.infos);
        told(&model)
    };
    assert_eq!(
        two(|infos| infos[1].offset = 32),
        "tensor `b` begins at byte 128, within `a`, which ends at byte 160"
    );
    assert_eq!(
        two(|infos| infos[1].offset = 0),
        "tensor `b` begins at byte 96, within `a`, which ends at byte 160"
    );
    assert_eq!(
        two(|infos| (infos[0].type_number, infos[1].offset) = (4, 0)),
        "tensor `b` begins at byte 96, within `a`, which ends at byte 96"
    );
    assert_eq!(
        two(|infos| infos[1].name = b"a".to_vec()),
        "the tensor `a` at byte 57 occurs before"
    );
}
