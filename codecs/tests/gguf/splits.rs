//! Models in several files.

use llmcl_codecs::Dtype;
use llmcl_codecs::formats::gguf::split::{SplitError, check};
use llmcl_codecs::formats::gguf::{Gguf, read};

use crate::writer::{Given, Model};

const NAMES: [&str; 3] = [
    "model-00001-of-00003.gguf",
    "model-00002-of-00003.gguf",
    "model-00003-of-00003.gguf",
];

/// One of several files, which holds a tensor of the given name.
fn part(number: u16, count: u16, tensor: &str) -> Vec<u8> {
    Model::default()
        .entry("split.no", Given::U16(number))
        .entry("split.count", Given::U16(count))
        .entry("split.tensors.count", Given::I32(3))
        .tensor(tensor, Dtype::F16, &[2])
        .bytes()
}

fn checked(files: &[(&str, &[u8])]) -> Result<(), SplitError> {
    let read: Vec<(&str, Gguf<'_>)> = files
        .iter()
        .map(|(name, bytes)| (*name, read(bytes).unwrap()))
        .collect();
    check(&read)
}

fn told(files: &[(&str, &[u8])]) -> String {
    checked(files).unwrap_err().to_string()
}

#[test]
fn a_model_in_three_files() {
    let parts = [part(0, 3, "a"), part(1, 3, "b"), part(2, 3, "c")];
    let alone = Model::default().tensor("a", Dtype::F16, &[2]).bytes();
    // As it is after the parts have been put together.
    let merged = part(0, 0, "a");
    let all = [
        (NAMES[2], &parts[2][..]),
        ("alone.gguf", &alone),
        (NAMES[0], &parts[0]),
        ("merged.gguf", &merged),
        (NAMES[1], &parts[1]),
    ];
    assert_eq!(checked(&all), Ok(()));
    assert_eq!(checked(&[]), Ok(()));

    assert_eq!(told(&all[1..]), "`model-00003-of-00003.gguf` is missing");
    assert_eq!(
        told(&[(NAMES[1], &parts[1])]),
        "`model-00001-of-00003.gguf` is missing"
    );
    assert_eq!(
        told(&[("other.gguf", &parts[1])]),
        "`other.gguf` is file 2 of 3 and must have a name that ends with `-00002-of-00003.gguf`"
    );
    assert!(matches!(
        checked(&[(NAMES[0], &parts[1])]),
        Err(SplitError::Name { number: 2, .. })
    ));
}

#[test]
fn files_that_do_not_belong_together() {
    let with_third = |third: &[u8]| {
        let (first, second) = (part(0, 3, "a"), part(1, 3, "b"));
        told(&[(NAMES[0], &first), (NAMES[1], &second), (NAMES[2], third)])
    };
    assert_eq!(
        with_third(&part(2, 3, "b")),
        "tensor `b` is in `model-00002-of-00003.gguf` and in `model-00003-of-00003.gguf`"
    );
    let empty = Model::default()
        .entry("split.no", Given::U16(2))
        .entry("split.count", Given::U16(3));
    assert_eq!(
        with_third(&empty.bytes()),
        "the files of `model-00001-of-00003.gguf` hold 2 tensors, it says 3"
    );
    assert_eq!(
        with_third(&part(3, 3, "c")),
        "`model-00003-of-00003.gguf` says that it is file 4 of 3"
    );
    let without_number = Model::default().entry("split.count", Given::U16(3));
    assert_eq!(
        with_third(&without_number.bytes()),
        "`split.no` of `model-00003-of-00003.gguf`, which is one of several files, must be a whole number"
    );
    let text = Model::default().entry("split.count", Given::text("3"));
    assert!(with_third(&text.bytes()).starts_with("`split.count` of `model-00003"));
    let huge = Model::default()
        .entry("split.no", Given::U64(u64::MAX))
        .entry("split.count", Given::U64(u64::MAX));
    assert!(matches!(
        checked(&[(
            "m-18446744073709551615-of-18446744073709551615.gguf",
            &huge.bytes()
        )]),
        Err(SplitError::Missing { .. })
    ));
}
