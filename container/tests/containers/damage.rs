//! Damaged containers: whatever was cut off, added or changed, opening or restoring says so.

use std::ops::Range;

use llmcl_codecs::Dtype;
use llmcl_container::{ContainerError, Form};
use proptest::prelude::*;

use crate::common::{Content, Files, one, open, restore, safetensors, scaled_matrix, text, write};
use crate::handmade::{TAIL_BYTES, checksum, seal};

/// Small enough to try every change on: files of several segments, and one of nothing.
fn files() -> Files {
    let tensors = [
        Content::Weights.tensor("a", Dtype::Bf16, &[8, 11]),
        Content::Noise.tensor("b", Dtype::I64, &[3]),
        Content::Weights.tensor("c", Dtype::F16, &[70]),
        Content::Zeros.tensor("d", Dtype::F32, &[2, 0]),
        Content::Zeros.tensor("e", Dtype::F32, &[5]),
    ];
    vec![
        ("model.safetensors".to_owned(), safetensors(&tensors)),
        ("empty".to_owned(), Vec::new()),
        ("notes/read.me".to_owned(), b"Some words.".to_vec()),
    ]
}

const METHODS: [&str; 4] = [
    "exponent_mantissa_scaled",
    "exponent_mantissa_profiled",
    "exponent_static",
    "zstd_3",
];

/// Where the index lies.
fn index_of(bytes: &[u8]) -> Range<usize> {
    let tail = bytes.len() - TAIL_BYTES;
    let at = u64::from_le_bytes(bytes[tail..][..8].try_into().unwrap());
    at as usize..tail
}

#[test]
fn every_truncation_is_an_error() {
    for name in METHODS {
        let (bytes, _) = write(name, Form::Folder, &files());
        for length in 0..bytes.len() {
            assert!(
                open(&bytes[..length]).is_err(),
                "{name} opens when cut to {length}"
            );
        }
    }
}

#[test]
fn everything_that_is_added_is_an_error() {
    for name in METHODS {
        let (bytes, _) = write(name, Form::Folder, &files());
        for extra in [
            &[0][..],
            &[0xff],
            b"LLMCLEND",
            &[0; 32],
            &bytes[bytes.len() - 32..],
        ] {
            let after = [&bytes, extra].concat();
            assert!(open(&after).is_err(), "{name} with {extra:?} after it");
            let before = [extra, &bytes].concat();
            assert!(open(&before).is_err(), "{name} with {extra:?} before it");
            // After the head, between chunks and index, before the tail.
            for place in [16, index_of(&bytes).start, index_of(&bytes).end] {
                let mut within = bytes.clone();
                within.splice(place..place, extra.iter().copied());
                assert!(open(&within).is_err(), "{name} with {extra:?} at {place}");
            }
        }
        let twice = [bytes.as_slice(), bytes.as_slice()].concat();
        assert!(open(&twice).is_err(), "{name} twice");
    }
    let (first, _) = write("zstd_1", Form::File, &one(b"first"));
    let (second, _) = write("exponent_static", Form::File, &one(b"the second"));
    assert!(open(&[first.as_slice(), second.as_slice()].concat()).is_err());
}

#[test]
fn every_bit_that_flips_is_an_error() {
    for name in METHODS {
        let (bytes, _) = write(name, Form::Folder, &files());
        let index = index_of(&bytes);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let is_chunk = (16..index.start).contains(&(bit / 8));
            match restore(&damaged) {
                Ok(_) => panic!("{name}: bit {bit} changes nothing"),
                Err(ContainerError::ChunkChecksum { .. }) => assert!(is_chunk, "{name} {bit}"),
                Err(error) => assert!(!is_chunk, "{name} {bit}: {error}"),
            }
        }
    }
}

/// Whoever changes an index on purpose repairs its checksum. Names may come out changed then, contents may not.
#[test]
fn an_index_that_was_changed_on_purpose_changes_no_content() {
    let files = files();
    for name in METHODS {
        let (bytes, _) = write(name, Form::Folder, &files);
        let index = index_of(&bytes);
        for bit in index.start * 8..index.end * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let damaged = seal(&damaged[..index.start], &damaged[index.clone()]);
            let Ok(restored) = restore(&damaged) else {
                continue;
            };
            let same = restored
                .iter()
                .zip(&files)
                .all(|((_, found), (_, given))| found == given);
            assert!(same && restored.len() == files.len(), "{name}: bit {bit}");
        }
    }
}

/// A container with scales, and where its chunks lie: every segment has one.
fn with_scales(name: &str) -> (Vec<u8>, Vec<Range<usize>>) {
    let file = safetensors(&[
        scaled_matrix("scaled", Dtype::Bf16, 48, 40),
        Content::Weights.tensor("c", Dtype::F32, &[70]),
    ]);
    let (bytes, _) = write(name, Form::File, &one(&file));
    let mut at = 16;
    let container = open(&bytes).unwrap();
    let chunks = container.files()[0].segments.iter().map(|segment| {
        assert_eq!(segment.chunks(), 1);
        let start = at;
        at += segment.encoded_bytes() as usize;
        start..at
    });
    let chunks = chunks.collect();
    (bytes, chunks)
}

/// With the checksums repaired, it is the digest that finds what a decoder takes for sound.
#[test]
fn chunks_that_were_changed_on_purpose_are_errors() {
    for name in METHODS {
        let (bytes, chunks) = with_scales(name);
        let index = index_of(&bytes);
        let mut digests = 0;
        for chunk in chunks {
            let written = checksum(&bytes[chunk.clone()]).to_le_bytes();
            let mut windows = bytes[index.clone()].windows(8);
            let place = index.start + windows.position(|window| window == written).unwrap();
            for at in chunk.clone().step_by(3) {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << (at % 8);
                let repaired = checksum(&damaged[chunk.clone()]).to_le_bytes();
                damaged[place..][..8].copy_from_slice(&repaired);
                let damaged = seal(&damaged[..index.start], &damaged[index.clone()]);
                match restore(&damaged) {
                    Err(ContainerError::Digest { .. }) => digests += 1,
                    Err(ContainerError::Chunk { .. }) => {}
                    other => panic!("{name}: byte {at} gives {other:?}"),
                }
            }
        }
        assert!(digests > 0, "{name}");
    }
}

#[test]
fn errors_say_what_is_wrong() {
    let (bytes, _) = write("exponent_static", Form::Folder, &files());
    let said = |bytes: &[u8]| text(&restore(bytes).unwrap_err());
    let changed = |at: usize, byte: u8| {
        let mut changed = bytes.clone();
        changed[at] = byte;
        said(&changed)
    };
    assert!(said(b"").contains("no container"));
    assert!(said(b"\x8dLLMCL").contains("no container"));
    assert!(said(&bytes[..12]).contains("cut off"));
    assert!(said(&bytes[..40]).contains("cut off"));
    assert!(said(&bytes[..bytes.len() - 1]).contains("cut off"));
    assert!(changed(8, 2).contains("no tensor is given another"));
    assert!(changed(8, 3).contains("version 3"));
    assert!(changed(9, 1).contains("version 257"));
    assert!(changed(15, 1).contains("reserved"));
    assert!(changed(bytes.len() - 32, 0xff).contains("place of the index"));
    assert!(changed(bytes.len() - 33, 0xff).contains("the index is damaged"));
    let first = changed(17, bytes[17] ^ 1);
    assert!(
        first.contains("chunk 0 of the bytes of \"model.safetensors\" that are no tensor"),
        "{first}"
    );
    let last = index_of(&bytes).start - 1;
    let last = changed(last, bytes[last] ^ 1);
    assert!(last.contains("notes/read.me"), "{last}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200), split in any::<prop::sample::Index>()) {
        prop_assert!(restore(&bytes).is_err());
        // With a head, a tail and checksums that are right.
        let split = split.index(bytes.len() + 1);
        let (chunks, index) = bytes.split_at(split);
        let head = [b"\x8dLLMCL\r\n\x01\0\0\0\0\0\0\0", chunks].concat();
        let _ = restore(&seal(&head, index));
    }
}
