//! Sound files come back as they were written, and damaged ones do no harm.

use llmcl_codecs::Dtype;
use llmcl_codecs::formats::gguf::{Part, Value, number_of, read};
use llmcl_codecs::formats::{Format, detect};
use proptest::prelude::*;

use crate::writer::{Given, Model, consistent, small};

#[test]
fn a_sound_file() {
    let bytes = small().bytes();
    assert_eq!(detect(&bytes), Some(Format::Gguf));
    let found = consistent(&bytes).unwrap();
    assert_eq!((found.version, found.alignment), (3, 32));
    assert_eq!(found.data_offset % 32, 0);
    let [embd, q, norm] = found.tensors.as_slice() else {
        panic!("three tensors");
    };
    assert_eq!(embd.name, "token_embd.weight");
    assert_eq!((embd.dtype, embd.type_number), (Some(Dtype::Q8_0), 8));
    assert_eq!((embd.shape.as_slice(), embd.bytes), (&[3, 64][..], 6 * 34));
    assert_eq!(embd.offset, found.data_offset);
    assert_eq!((q.dtype, q.bytes), (Some(Dtype::Q4K), 144));
    assert_eq!((norm.shape.as_slice(), norm.bytes), (&[3][..], 12));
    let entry = norm.entry();
    let start = norm.offset as usize;
    assert_eq!(entry.view(&bytes).unwrap().data, &bytes[start..start + 12]);

    let architecture = found.value("general.architecture").unwrap();
    assert_eq!(architecture.as_str(), Some("test"));
    assert_eq!(found.value("a").unwrap().as_u64(), Some(1));
    assert_eq!(found.value("b").unwrap().as_u64(), None);
    assert_eq!(found.value("missing"), None);
    let Some(Value::Array(nested)) = found.value("nested") else {
        panic!("an array");
    };
    assert_eq!((nested.len, nested.iter().count()), (2, 2));
}

#[test]
fn version_2_is_laid_out_alike() {
    let mut model = small();
    let newer = model.bytes();
    model.version = 2;
    let bytes = model.bytes();
    let found = consistent(&bytes).unwrap();
    assert_eq!(found.version, 2);
    assert_eq!(found.tensors, read(&newer).unwrap().tensors);
}

#[test]
fn every_byte_is_told() {
    let mut model = small().tensor_of("odd", 99, &[7, 9], 40);
    // The data in another order than the infos, a gap between, and something at the end.
    model.infos.swap(0, 2);
    model.infos.iter_mut().for_each(|info| info.offset += 64);
    model.data.splice(0..0, [0xee; 64]);
    model.data.extend([5; 21]);
    let bytes = model.bytes();
    let found = consistent(&bytes).unwrap();
    let names: Vec<&str> = found.tensors.iter().map(|tensor| tensor.name).collect();
    assert_eq!(
        names,
        [
            "token_embd.weight",
            "blk.0.attn_q.weight",
            "blk.0.attn_norm.weight",
            "odd"
        ]
    );
    let parts: Vec<Part> = found.sections().map(|section| section.part).collect();
    assert_eq!(
        parts,
        [
            Part::Header,
            Part::Metadata,
            Part::TensorInfos,
            Part::Padding,
            Part::Tensor(0),
            Part::Padding,
            Part::Tensor(1),
            Part::Padding,
            Part::Tensor(2),
            Part::Padding,
            Part::Tensor(3),
        ]
    );
    let rebuilt: Vec<u8> = found
        .sections()
        .flat_map(|section| {
            bytes[section.range.start as usize..section.range.end as usize].to_vec()
        })
        .collect();
    assert!(rebuilt == bytes);
    // What is of no known type has all that is left.
    let odd = &found.tensors[3];
    assert_eq!((odd.dtype, odd.type_number), (None, 99));
    assert_eq!((odd.shape.as_slice(), odd.bytes), (&[7, 9][..], 64 + 21));
    let entry = odd.entry();
    assert_eq!((entry.dtype, entry.shape), (Dtype::U8, vec![85]));
}

#[test]
fn a_type_that_is_not_known_ends_where_the_next_tensor_begins() {
    let bytes = Model::default()
        .tensor_of("odd", 4, &[3], 40)
        .tensor("w", Dtype::F32, &[2])
        .bytes();
    let found = consistent(&bytes).unwrap();
    assert_eq!((found.tensors[0].bytes, found.tensors[1].bytes), (64, 8));
}

#[test]
fn alignments_are_kept() {
    for alignment in [1, 8, 64, 4096] {
        let bytes = Model::default()
            .aligned(alignment)
            .tensor("a", Dtype::I8, &[3])
            .tensor("b", Dtype::I8, &[5])
            .bytes();
        let found = consistent(&bytes).unwrap();
        assert_eq!(found.alignment, u64::from(alignment));
        let distance = found.tensors[1].offset - found.tensors[0].offset;
        assert_eq!(distance, 3u64.next_multiple_of(alignment.into()));
    }
}

#[test]
fn files_without_tensors() {
    let empty = Model::default().bytes();
    // Some writers pad what is followed by nothing, some do not.
    for length in 24..=empty.len() {
        let found = consistent(&empty[..length]).unwrap();
        assert_eq!(found.data_offset, length as u64);
        assert!(found.tensors.is_empty() && found.metadata.is_empty());
    }
    assert_eq!(empty.len(), 32);
}

#[test]
fn files_that_end_early() {
    let whole = small().bytes();
    let end = whole.len() - 20;
    for length in 0..whole.len() {
        // Only the padding after the last tensor may be missing.
        assert_eq!(
            consistent(&whole[..length]).is_some(),
            length >= end,
            "{length}"
        );
    }
}

#[test]
fn every_bit_turned_over() {
    let whole = small().bytes();
    for bit in 0..8 * whole.len() {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        consistent(&bytes);
    }
}

/// Any value of a type, arrays up to a depth.
fn any_value(depth: u32) -> BoxedStrategy<Given> {
    let flat = prop_oneof![
        any::<u8>().prop_map(Given::U8),
        any::<i8>().prop_map(Given::I8),
        any::<u16>().prop_map(Given::U16),
        any::<i16>().prop_map(Given::I16),
        any::<u32>().prop_map(Given::U32),
        any::<i32>().prop_map(Given::I32),
        any::<u32>().prop_map(|bits| Given::F32(f32::from_bits(bits))),
        any::<bool>().prop_map(Given::Bool),
        prop::collection::vec(any::<u8>(), 0..9).prop_map(Given::Text),
        any::<u64>().prop_map(Given::U64),
        any::<i64>().prop_map(Given::I64),
        any::<u64>().prop_map(|bits| Given::F64(f64::from_bits(bits))),
    ];
    if depth == 0 {
        return flat.boxed();
    }
    // An array repeats one value, whose type is then that of all.
    let array = (any_value(depth - 1), 0usize..4)
        .prop_map(|(value, count)| Given::Array(value.type_number(), vec![value; count]));
    prop_oneof![3 => flat, 1 => array].boxed()
}

fn any_tensor() -> impl Strategy<Value = (Dtype, Vec<u64>)> {
    let mut dtypes = Dtype::ALL.to_vec();
    dtypes.retain(|dtype| number_of(*dtype).is_some());
    let dtype = prop::sample::select(dtypes);
    (dtype, prop::collection::vec(1u64..4, 1..5)).prop_map(|(dtype, mut shape)| {
        let row = shape.last_mut().unwrap();
        *row *= u64::from(dtype.block().elements);
        (dtype, shape)
    })
}

fn any_model() -> impl Strategy<Value = (Model, Vec<(Dtype, Vec<u64>)>)> {
    let metadata = prop::collection::vec(any_value(3), 0..6);
    let tensors = prop::collection::vec(any_tensor(), 0..6);
    let alignment = prop::sample::select(vec![None, Some(1), Some(16), Some(64)]);
    (metadata, tensors, alignment).prop_map(|(metadata, tensors, alignment)| {
        let mut model = Model::default();
        for (number, value) in metadata.into_iter().enumerate() {
            model = model.entry(&format!("key.{number}"), value);
        }
        if let Some(alignment) = alignment {
            model = model.aligned(alignment);
        }
        for (number, (dtype, shape)) in tensors.iter().enumerate() {
            model = model.tensor(&format!("tensor.{number}"), *dtype, shape);
        }
        (model, tensors)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read((model, tensors) in any_model()) {
        let bytes = model.bytes();
        let found = consistent(&bytes).unwrap();
        prop_assert_eq!(found.metadata.len(), model.metadata.len());
        for (entry, (key, value)) in found.metadata.iter().zip(&model.metadata) {
            prop_assert_eq!(entry.key.as_bytes(), key.as_slice());
            prop_assert!(value.is(entry.value), "{:?} and {:?}", value, entry.value);
        }
        prop_assert_eq!(found.tensors.len(), tensors.len());
        for ((tensor, info), (dtype, shape)) in found.tensors.iter().zip(&model.infos).zip(&tensors) {
            prop_assert_eq!(tensor.name.as_bytes(), info.name.as_slice());
            prop_assert_eq!(tensor.dtype, Some(*dtype));
            prop_assert_eq!(&tensor.shape, shape);
            prop_assert_eq!(tensor.offset, found.data_offset + info.offset);
            prop_assert_eq!(Some(tensor.bytes), dtype.bytes_for(shape));
        }
    }

    #[test]
    fn damage_does_not_panic(
        (model, _) in any_model(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<Option<prop::sample::Index>>(),
    ) {
        let mut bytes = model.bytes();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        consistent(&bytes);
    }
}
