//! `cast`: what is rounded, and what passes as it is.

use llmcl_codecs::cast::f32_to_bf16;
use llmcl_stages_api::task::TaskErrorKind;

use crate::support::host::TestHost;
use crate::support::weights::{cast_to, long_words, read_set, read_weights, set_of, words};

#[test]
fn floats_are_rounded_and_what_has_the_type_passes_by_reference() {
    let host = TestHost::new();
    // One; ties to even, down and up; a quiet NaN; the largest finite number, which becomes infinite.
    let f32s = long_words(&[
        0x3f80_0000,
        0x3f80_8000,
        0x3f81_8000,
        0x7fc0_0001,
        0x7f7f_ffff,
    ]);
    let native = words(&[0x3f80, 0xc000]);
    let half = words(&[0x3c00]);
    let set = set_of(
        &host,
        &[
            ("a.weight", "F32", &[5], &f32s),
            ("b.weight", "BF16", &[1, 2], &native),
            ("c.weight", "F16", &[1], &half),
        ],
    );
    let cast = cast_to(&host, &set, "BF16").unwrap();
    let expected = [
        ("a.weight", words(&[0x3f80, 0x3f80, 0x3f82, 0x7fc0, 0x7f80])),
        ("b.weight", native),
        ("c.weight", words(&[0x3f80])),
    ]
    .map(|(name, bytes)| (name.to_owned(), bytes));
    assert_eq!(read_weights(&host, &cast), expected);
    let (before, after) = (
        read_set(&host, &set).tensors,
        read_set(&host, &cast).tensors,
    );
    assert!(after.iter().all(|tensor| tensor.dtype == "BF16"));
    assert_eq!(after[1], before[1], "by reference");
    assert_eq!((after[0].offset, after[2].offset), (0, 10), "one new blob");
    assert_eq!(after[0].blob, after[2].blob);
    assert_eq!(after[0].shape, before[0].shape);
}

#[test]
fn nothing_is_written_where_nothing_is_cast() {
    let host = TestHost::new();
    let set = set_of(&host, &[("a", "F16", &[1], &words(&[0x3c00]))]);
    let before = host.blobs();
    let cast = cast_to(&host, &set, "F16").unwrap();
    assert_eq!(cast, set);
    assert_eq!(host.blobs(), before);
}

#[test]
fn every_pair_that_rounds_is_there() {
    let host = TestHost::new();
    let set = set_of(&host, &[("a", "F32", &[1], &long_words(&[0x3f80_0000]))]);
    let f16 = cast_to(&host, &set, "F16").unwrap();
    assert_eq!(read_weights(&host, &f16)[0].1, words(&[0x3c00]));
    let bf16 = cast_to(&host, &f16, "BF16").unwrap();
    assert_eq!(read_weights(&host, &bf16)[0].1, words(&[0x3f80]));
    let f16_again = cast_to(&host, &bf16, "F16").unwrap();
    assert_eq!(read_weights(&host, &f16_again), read_weights(&host, &f16));
}

#[test]
fn what_cannot_be_cast_is_named_before_a_byte_is_written() {
    let host = TestHost::new();
    let set = set_of(
        &host,
        &[
            ("a", "F32", &[1], &long_words(&[0x3f80_0000])),
            ("position_ids", "I64", &[1], &[0; 8]),
        ],
    );
    let before = host.blobs();
    let error = cast_to(&host, &set, "BF16").unwrap_err();
    assert_eq!(
        error.message,
        "tensor `position_ids` is I64 and cannot be cast to BF16"
    );
    assert_eq!(host.blobs(), before);
    let error = cast_to(&host, &set_of(&host, &[("a", "F16", &[1], &[0; 2])]), "F32").unwrap_err();
    assert_eq!(error.message, "tensor `a` is F16 and cannot be cast to F32");
}

/// More than one piece, so that the seams are looked at.
#[test]
fn a_large_tensor_is_cast_like_each_of_its_elements() {
    let host = TestHost::new();
    let bits: Vec<u32> = (0..2_500_000u32)
        .map(|n| n.wrapping_mul(2_654_435_761))
        .collect();
    let set = set_of(
        &host,
        &[
            ("large", "F32", &[2_500_000], &long_words(&bits)),
            ("small", "F32", &[1], &long_words(&[0x4000_0000])),
        ],
    );
    let cast = cast_to(&host, &set, "BF16").unwrap();
    let rounded: Vec<u16> = bits.iter().map(|bits| f32_to_bf16(*bits)).collect();
    let weights = read_weights(&host, &cast);
    assert!(weights[0].1 == words(&rounded));
    assert_eq!(weights[1].1, words(&[0x4000]));
    assert_eq!(
        host.progress_told().last(),
        Some(&(10_000_004, Some(10_000_004)))
    );
}

#[test]
fn a_stopped_task_leaves_nothing() {
    let host = TestHost::new();
    let set = set_of(&host, &[("a", "F32", &[1], &[0; 4])]);
    let before = host.blobs();
    host.stop();
    let error = cast_to(&host, &set, "BF16").unwrap_err();
    assert_eq!(error.kind, TaskErrorKind::Cancelled);
    assert_eq!(host.blobs(), before);
}
