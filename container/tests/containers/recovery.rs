//! Whatever file it is, every method gives back each byte of it.

use llmcl_codecs::Dtype;
use llmcl_codecs::formats::gguf;
use llmcl_container::{Form, OTHER_BYTES, WriteError};
use proptest::prelude::*;

use crate::common::{
    Content, NEVER, Noise, Tensor, ctranslate2, methods, one, open, round_trip, safetensors,
    scaled_matrix, small_tensors, try_write, with_header, write,
};

#[test]
fn files_of_tensors_come_back() {
    let tensors = small_tensors();
    let file = safetensors(&tensors);
    for name in methods() {
        let (bytes, summary) = round_trip(&name, Form::File, &one(&file));
        assert!(summary.unsound.is_empty());
        let container = open(&bytes).unwrap();
        let [found] = container.files() else {
            panic!("one file");
        };
        let infos = found.segments.iter().filter_map(|one| one.tensor.as_ref());
        let named: Vec<_> = infos
            .map(|info| (info.name.as_str(), info.dtype, info.shape.as_slice()))
            .collect();
        let given: Vec<_> = tensors
            .iter()
            .map(|tensor| (tensor.name.as_str(), tensor.dtype, tensor.shape.as_slice()))
            .collect();
        assert_eq!(named, given);
        for segment in &found.segments {
            let method = &container.methods()[segment.method].name;
            let dtype = segment.tensor.as_ref().map(|info| info.dtype);
            let expected = method_of(&name, dtype);
            assert_eq!(method, expected);
        }
    }
}

/// The method that a container has for a tensor of a type, or for other bytes, if it was made with a method.
fn method_of(chosen: &str, dtype: Option<Dtype>) -> &str {
    let is_float = matches!(dtype, Some(Dtype::Bf16 | Dtype::F16 | Dtype::F32));
    let is_block = dtype.is_some_and(|dtype| dtype.is_block_quantised());
    match (chosen, is_float, is_block) {
        ("by_type_fast", true, _) => "exponent_mantissa_static",
        ("by_type_fast", _, true) => "block_static",
        ("by_type_fast", ..) => "zstd_9",
        ("by_type_context", true, _) => "exponent_mantissa_scaled",
        ("by_type_context", _, true) => "block_context",
        ("by_type_context", ..) => "zstd_19",
        ("by_type_mixed", true, _) => "exponent_mantissa_scaled",
        ("by_type_mixed", _, true) => "block_mixed",
        ("by_type_mixed", ..) => "zstd_19",
        _ if chosen.starts_with("zstd_") => chosen,
        _ if chosen.starts_with("block_") && is_block => chosen,
        _ if !chosen.starts_with("block_") && is_float => chosen,
        // What a method does not take is zstd's.
        _ => OTHER_BYTES,
    }
}

#[test]
fn blocks_come_back() {
    let file = include_bytes!("../../../fixtures/qwen2.5-coder-q4_k_m.gguf");
    let tensors = gguf::read(file).unwrap().entries();
    for name in methods() {
        let (bytes, summary) = round_trip(&name, Form::File, &one(file));
        assert!(summary.unsound.is_empty());
        let container = open(&bytes).unwrap();
        let segments = &container.files()[0].segments;
        let infos = segments.iter().filter_map(|one| one.tensor.as_ref());
        let named = infos.map(|info| (&info.name, info.dtype, &info.shape));
        let given = tensors
            .iter()
            .map(|tensor| (&tensor.name, tensor.dtype, &tensor.shape));
        assert!(named.eq(given), "{name}");
        for segment in segments {
            let method = &container.methods()[segment.method].name;
            let dtype = segment.tensor.as_ref().map(|info| info.dtype);
            assert_eq!(method, method_of(&name, dtype));
        }
    }
}

#[test]
fn every_type_comes_back() {
    let tensors: Vec<Tensor> = Dtype::ALL
        .into_iter()
        .filter(|dtype| !dtype.is_block_quantised())
        .flat_map(|dtype| {
            Content::ALL.map(|content| {
                let name = format!("{dtype}.{content:?}");
                content.tensor(&name, dtype, &[12, 32])
            })
        })
        .collect();
    let file = safetensors(&tensors);
    for name in methods() {
        round_trip(&name, Form::File, &one(&file));
    }
}

#[test]
fn matrices_with_scales_come_back() {
    let tensors = [
        scaled_matrix("bf16", Dtype::Bf16, 48, 40),
        scaled_matrix("f16", Dtype::F16, 300, 64),
    ];
    let file = safetensors(&tensors);
    for name in methods() {
        round_trip(&name, Form::File, &one(&file));
    }
}

#[test]
fn ctranslate2_models_come_back() {
    let mut tensors = small_tensors();
    tensors.retain(|tensor| matches!(tensor.dtype, Dtype::Bf16 | Dtype::F16 | Dtype::F32));
    let file = ctranslate2(&tensors);
    for name in methods() {
        let (bytes, summary) = round_trip(&name, Form::File, &one(&file));
        assert!(summary.unsound.is_empty());
        let container = open(&bytes).unwrap();
        assert_eq!(container.tensors("a.weight").count(), 1);
    }
}

#[test]
fn plain_bytes_come_back() {
    let noise: Vec<u8> = Content::Noise.bytes(Dtype::U8, &[100_000]);
    let text = b"All of it is text. ".repeat(1000);
    for name in methods() {
        for data in [&[][..], &[0], &[0xff; 7], &[0; 16], &noise, &text] {
            let (bytes, summary) = round_trip(&name, Form::File, &one(data));
            assert!(summary.unsound.is_empty());
            assert!(bytes.len() < data.len() + 200, "noise hardly grows");
        }
    }
}

#[test]
fn a_container_in_a_container_comes_back() {
    let (inner, _) = write("exponent_static", Form::File, &one(b"inner"));
    round_trip("exponent_static", Form::File, &one(&inner));
}

#[test]
fn folders_come_back() {
    let files = vec![
        ("config.json".to_owned(), b"{}".to_vec()),
        ("empty".to_owned(), Vec::new()),
        (
            "model-00001-of-00002.safetensors".to_owned(),
            safetensors(&small_tensors()),
        ),
        // The same names of tensors again, which is no mistake in another file.
        (
            "model-00002-of-00002.safetensors".to_owned(),
            safetensors(&small_tensors()),
        ),
        ("onnx/deep/er/model.onnx".to_owned(), vec![8; 3000]),
        ("onnx/é …".to_owned(), b"a name".to_vec()),
    ];
    for name in methods() {
        let (bytes, _) = round_trip(&name, Form::Folder, &files);
        assert_eq!(open(&bytes).unwrap().tensors("a.weight").count(), 2);
        round_trip(&name, Form::Folder, &[]);
        round_trip(&name, Form::Folder, &files[1..2]);
    }
}

/// Files that look like safetensors and are not sound.
fn unsound() -> Vec<Vec<u8>> {
    let tensor = |shape: &str, begin: u64, end: u64| {
        format!(r#"{{"dtype":"BF16","shape":{shape},"data_offsets":[{begin},{end}]}}"#)
    };
    let data = Content::Weights.bytes(Dtype::Bf16, &[40]);
    let headers = [
        // A hole, an overlap, one too long, one that ends before it begins, bytes after the last, a name twice.
        format!(
            r#"{{"a":{},"b":{}}}"#,
            tensor("[10]", 0, 20),
            tensor("[20]", 40, 80)
        ),
        format!(
            r#"{{"a":{},"b":{}}}"#,
            tensor("[30]", 0, 60),
            tensor("[20]", 40, 80)
        ),
        format!(r#"{{"a":{}}}"#, tensor("[41]", 0, 82)),
        format!(r#"{{"a":{}}}"#, tensor("[0]", 80, 0)),
        format!(r#"{{"a":{}}}"#, tensor("[39]", 0, 78)),
        format!(
            r#"{{"a":{},"a":{}}}"#,
            tensor("[20]", 0, 40),
            tensor("[20]", 40, 80)
        ),
        format!(r#"{{"a":{}}}"#, tensor("[18446744073709551615,3]", 0, 80)),
        format!(r#"{{"a":{}}}"#, tensor("[-1]", 0, 80)),
        r#"{"a":{"dtype":"BF17","shape":[40],"data_offsets":[0,80]}}"#.to_owned(),
        r#"{"a":"#.to_owned(),
        "{}".to_owned(),
        "{\u{0}".to_owned(),
    ];
    let mut files: Vec<Vec<u8>> = headers
        .iter()
        .map(|header| with_header(header, &data))
        .collect();
    let sound = safetensors(&small_tensors());
    // Cut off within the header, and within the data; and a header that is said to be longer than the file.
    files.push(sound[..40].to_vec());
    files.push(sound[..sound.len() - 1].to_vec());
    let mut long = sound.clone();
    long[2] = 0x10;
    files.push(long);
    files
}

#[test]
fn unsound_headers_are_plain_bytes() {
    for name in methods() {
        for (number, file) in unsound().iter().enumerate() {
            let (_, summary) = round_trip(&name, Form::File, &one(file));
            let [(unsound, problem)] = summary.unsound.as_slice() else {
                panic!("file {number} was taken for sound");
            };
            assert_eq!(unsound, "model.safetensors");
            assert!(!problem.is_empty());
        }
    }
}

/// The format of safetensors has no bound for axes, and its reader takes any number of them.
#[test]
fn tensors_of_very_many_axes_come_back() {
    for axes in [0, 1, 8, 63, 64, 65, 200] {
        let mut shape = vec![1; axes];
        if let Some(axis) = shape.last_mut() {
            *axis = 6;
        }
        let tensor = Content::Weights.tensor("axes", Dtype::Bf16, &shape);
        let file = safetensors(&[tensor]);
        let mut bytes = Vec::new();
        try_write(
            "exponent_static",
            Form::File,
            &one(&file),
            &mut bytes,
            &NEVER,
        )
        .unwrap();
        let opened = open(&bytes).map(|_| ());
        assert!(opened.is_ok(), "{axes} axes were written: {opened:?}");
        round_trip("exponent_static", Form::File, &one(&file));
    }
}

#[test]
fn names_that_lead_elsewhere_are_not_written() {
    let long = "a".repeat(5000);
    for name in [
        "", "/a", "a/", "a//b", "..", "a/../b", "./a", "C:a", "a\\b", "a\0", &long,
    ] {
        let files = vec![(name.to_owned(), Vec::new())];
        let mut out = Vec::new();
        let found = try_write("zstd_1", Form::Folder, &files, &mut out, &NEVER);
        assert!(matches!(found, Err(WriteError::Name { .. })), "{name:?}");
        assert!(out.is_empty());
    }
    let twice = vec![
        ("a".to_owned(), Vec::new()),
        ("b".to_owned(), Vec::new()),
        ("a".to_owned(), Vec::new()),
    ];
    let found = try_write("zstd_1", Form::Folder, &twice, &mut Vec::new(), &NEVER);
    assert!(matches!(found, Err(WriteError::Name { name, .. }) if name == "a"));
}

#[test]
fn a_file_is_one() {
    for files in [
        vec![],
        vec![("a".to_owned(), vec![]), ("b".to_owned(), vec![])],
    ] {
        let found = try_write("zstd_1", Form::File, &files, &mut Vec::new(), &NEVER);
        assert!(matches!(found, Err(WriteError::Name { .. })));
    }
}

/// No folder can hold both, so a container of them could never be restored.
#[test]
fn a_name_is_not_that_of_a_file_and_a_folder() {
    for names in [["a", "a/b"], ["a/b", "a"], ["a/b/c", "a/b"]] {
        let files: Vec<_> = names
            .iter()
            .map(|name| ((*name).to_owned(), Vec::new()))
            .collect();
        let found = try_write("zstd_1", Form::Folder, &files, &mut Vec::new(), &NEVER);
        assert!(
            matches!(found, Err(WriteError::Name { .. })),
            "{names:?} were written"
        );
    }
}

fn any_tensor() -> impl Strategy<Value = (Dtype, Vec<u64>, u64, bool)> {
    // The last axis is of four, so that elements of any type are whole bytes.
    let shape = prop::collection::vec(0u64..9, 0..3).prop_map(|mut shape| {
        shape.push(4);
        shape
    });
    let mut dtypes = Dtype::ALL.to_vec();
    dtypes.retain(|dtype| !dtype.is_block_quantised());
    let dtype = prop::sample::select(dtypes);
    (dtype, shape, any::<u64>(), any::<bool>())
}

fn made(tensors: &[(Dtype, Vec<u64>, u64, bool)]) -> Vec<Tensor> {
    let made = tensors.iter().enumerate();
    made.map(|(number, (dtype, shape, seed, is_noise))| {
        let mut noise = Noise(*seed);
        let bytes = dtype.bytes_for(shape).unwrap();
        let data = (0..bytes).map(|_| match is_noise {
            true => noise.next() as u8,
            false => (noise.next() % 3) as u8,
        });
        Tensor {
            name: format!("tensor.{number}"),
            dtype: *dtype,
            shape: shape.clone(),
            data: data.collect(),
        }
    })
    .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_tensors_come_back(
        tensors in prop::collection::vec(any_tensor(), 0..8),
        plain in prop::collection::vec(any::<u8>(), 0..300),
        method in prop::sample::select(methods()),
    ) {
        let files = vec![
            ("plain".to_owned(), plain),
            ("tensors".to_owned(), safetensors(&made(&tensors))),
        ];
        let (_, summary) = round_trip(&method, Form::Folder, &files);
        prop_assert!(summary.unsound.iter().all(|(name, _)| name == "plain"));
    }

    #[test]
    fn any_change_of_a_sound_file_comes_back(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<Option<prop::sample::Index>>(),
        is_safetensors in any::<bool>(),
        method in prop::sample::select(methods()),
    ) {
        let mut tensors = small_tensors();
        let mut file = match is_safetensors {
            true => safetensors(&tensors),
            false => {
                tensors.retain(|tensor| tensor.dtype == Dtype::Bf16);
                ctranslate2(&tensors)
            }
        };
        for (place, byte) in changes {
            // The beginning has more to be mistaken for.
            let place = place.index(file.len().min(1200));
            file[place] = byte;
        }
        if let Some(cut) = cut {
            file.truncate(cut.index(file.len()));
        }
        round_trip(&method, Form::File, &one(&file));
    }
}
