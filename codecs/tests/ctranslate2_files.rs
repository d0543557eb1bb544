//! The CTranslate2 reader, on models made here in the layout of the real ones, and on files that mean harm.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use llmcl_codecs::Dtype;
use llmcl_codecs::formats::ctranslate2::{Alias, Ctranslate2Error, VERSION_MAX, looks_like, read};
use llmcl_codecs::formats::{Format, detect};
use proptest::prelude::*;

/// Writes the fields of a model.
#[derive(Default)]
struct Model(Vec<u8>);

impl Model {
    fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn text(mut self, text: &str) -> Self {
        self.0.extend((text.len() as u16 + 1).to_le_bytes());
        self.0.extend(text.as_bytes());
        self.u8(0)
    }

    /// The fields before the variables, as version 6 has them.
    fn version_6(variables: u32) -> Self {
        Model::default()
            .u32(6)
            .text("WhisperSpec")
            .u32(3)
            .u32(variables)
    }

    /// A variable; the length is in bytes or elements as the version has it.
    fn variable(mut self, name: &str, shape: &[u32], id: u8, length: u32, bytes: usize) -> Self {
        self = self.text(name).u8(shape.len() as u8);
        for &dim in shape {
            self = self.u32(dim);
        }
        self = self.u8(id).u32(length);
        self.0.resize(self.0.len() + bytes, 0x3c);
        self
    }

    fn error(&self) -> Ctranslate2Error {
        read(&self.0).unwrap_err()
    }
}

/// The beginning of a real Whisper, with smaller matrices.
fn whisper() -> Model {
    Model::version_6(5)
        .variable("decoder/activation", &[], 1, 1, 1)
        .variable("decoder/alignment_layer", &[], 2, 2, 2)
        .variable("decoder/embeddings/weight", &[5, 4], 4, 40, 40)
        .variable("decoder/layer_norm/beta", &[4], 5, 8, 8)
        .variable("decoder/scale", &[3, 1], 0, 12, 12)
        .u32(1)
        .text("decoder/projection/weight")
        .text("decoder/embeddings/weight")
}

#[test]
fn a_sound_model() {
    let bytes = whisper().0;
    let model = read(&bytes).unwrap();
    assert_eq!(
        (model.version, model.spec.as_deref(), model.revision),
        (6, Some("WhisperSpec"), 3)
    );
    let types: Vec<Dtype> = model.tensors.iter().map(|tensor| tensor.dtype).collect();
    assert_eq!(
        types,
        [Dtype::I8, Dtype::I16, Dtype::F16, Dtype::Bf16, Dtype::F32]
    );
    let embeddings = &model.tensors[2];
    assert_eq!(
        (embeddings.shape.as_slice(), embeddings.bytes),
        (&[5, 4][..], 40)
    );
    assert!(
        embeddings
            .view(&bytes)
            .unwrap()
            .data
            .iter()
            .all(|&byte| byte == 0x3c)
    );
    assert_eq!(model.tensors[0].elements(), Some(1));
    let alias = Alias {
        alias: "decoder/projection/weight".into(),
        variable: "decoder/embeddings/weight".into(),
    };
    assert_eq!(model.aliases, [alias]);
    assert_eq!(detect(&bytes), Some(Format::Ctranslate2));
}

#[test]
fn older_versions() {
    // Version 1 has no specification; up to version 3, lengths count elements; aliases begin with version 3.
    let one = Model::default().u32(1).u32(1).variable("w", &[3], 4, 3, 12);
    let model = read(&one.0).unwrap();
    assert_eq!((model.spec, model.revision), (None, 1));
    assert_eq!(
        (model.tensors[0].dtype, model.tensors[0].bytes),
        (Dtype::F32, 12)
    );
    assert!(!looks_like(&one.0));
    let two = Model::default()
        .u32(2)
        .text("S")
        .u32(1)
        .u32(1)
        .variable("w", &[3], 2, 3, 6);
    assert_eq!(read(&two.0).unwrap().tensors[0].dtype, Dtype::I16);
    let three = two.0.clone();
    let three = Model([3u32.to_le_bytes().to_vec(), three[4..].to_vec()].concat());
    assert!(matches!(
        three.error(),
        Ctranslate2Error::Truncated {
            what: "number of aliases",
            ..
        }
    ));
    assert_eq!(read(&three.u32(0).0).unwrap().tensors[0].bytes, 6);
}

#[test]
fn files_that_end_early() {
    let bytes = whisper().0;
    for length in 0..bytes.len() {
        let found = read(&bytes[..length]).unwrap_err();
        assert!(
            matches!(found, Ctranslate2Error::Truncated { .. }),
            "{length}: {found}"
        );
    }
    let longer = whisper().u8(0);
    assert!(matches!(
        longer.error(),
        Ctranslate2Error::Trailing { found: 1, .. }
    ));
}

#[test]
fn versions_that_are_not_known() {
    for version in [0, VERSION_MAX + 1, u32::MAX] {
        let found = Model::default().u32(version).error();
        assert!(matches!(found, Ctranslate2Error::Version { found, .. } if found == version));
    }
}

#[test]
fn texts_that_are_none() {
    let start = || Model::default().u32(6);
    let mut no_zero = start();
    no_zero.0.extend([2, 0, b'a', b'b']);
    let mut empty = start();
    empty.0.extend([0, 0]);
    let mut only_zero = start();
    only_zero.0.extend([1, 0, 0]);
    let mut two_zeros = start();
    two_zeros.0.extend([3, 0, b'a', 0, 0]);
    let mut no_utf8 = start();
    no_utf8.0.extend([2, 0, 0xff, 0]);
    for model in [no_zero, empty, only_zero, two_zeros, no_utf8] {
        assert!(matches!(
            model.error(),
            Ctranslate2Error::Text { at: 4, .. }
        ));
        assert!(!looks_like(&model.0));
    }
}

#[test]
fn variables_of_impossible_size() {
    let unknown = Model::version_6(1).variable("w", &[1], 6, 4, 4);
    assert!(matches!(
        unknown.error(),
        Ctranslate2Error::UnknownType { found: 6, .. }
    ));
    let large = Model::version_6(1).variable("w", &[u32::MAX; 3], 0, 4, 4);
    assert!(matches!(large.error(), Ctranslate2Error::ShapeSize { .. }));
    let short = Model::version_6(1).variable("w", &[3], 4, 4, 4);
    assert!(matches!(
        short.error(),
        Ctranslate2Error::DataLength {
            expected: 6,
            found: 4,
            ..
        }
    ));
    let absent = Model::version_6(1).variable("w", &[u32::MAX], 1, u32::MAX, 0);
    assert!(matches!(
        absent.error(),
        Ctranslate2Error::Truncated { found: 0, .. }
    ));
    let many = Model::version_6(u32::MAX);
    assert!(matches!(many.error(), Ctranslate2Error::Truncated { .. }));
}

#[test]
fn names_that_occur_twice_and_aliases_of_nothing() {
    let twice = Model::version_6(2)
        .variable("w", &[1], 1, 1, 1)
        .variable("w", &[1], 1, 1, 1);
    assert!(matches!(twice.error(), Ctranslate2Error::DuplicateName { name, .. } if name == "w"));
    let with_alias = |alias: &str, variable: &str| {
        let model = Model::version_6(1).variable("w", &[1], 1, 1, 1);
        model.u32(1).text(alias).text(variable).error()
    };
    assert!(matches!(
        with_alias("w", "w"),
        Ctranslate2Error::DuplicateName { .. }
    ));
    assert!(matches!(
        with_alias("a", "x"),
        Ctranslate2Error::DanglingAlias { .. }
    ));
    assert!(matches!(
        with_alias("a", "a"),
        Ctranslate2Error::DanglingAlias { .. }
    ));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damage_does_not_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = whisper().0;
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(model) = read(&bytes) {
            for tensor in &model.tensors {
                prop_assert!(tensor.view(&bytes).is_some());
            }
        }
    }
}
