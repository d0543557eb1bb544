//! What counts as container cannot hold what was learnt.

use llmcl_codecs::Dtype;

use crate::common::{Content, encode, fitting, methods, types};

/// More than lengths and marks of a tensor of this size take, and less than any table does.
const MOST_CONTAINER: u64 = 24;

/// Whatever is in a tensor, the container takes the same bytes, up to how long its variable-length integers are. What is
/// learnt differs from tensor to tensor, so it would show.
#[test]
fn no_learnt_parameter_hides_in_a_container_header() {
    for method in methods() {
        for dtype in types(&*method) {
            let counts: Vec<u64> = Content::ALL
                .iter()
                .map(|content| {
                    let tensor = content.tensor(dtype, &fitting(dtype, &[40_009]));
                    let (encoded, accounting) = encode(&*method, &[tensor]);
                    assert!(
                        accounting.container <= MOST_CONTAINER,
                        "{} of {dtype:?}, {content:?}: {accounting:?} of {}",
                        method.name(),
                        encoded.len()
                    );
                    accounting.container
                })
                .collect();
            let least = counts.iter().min().unwrap();
            let most = counts.iter().max().unwrap();
            assert!(most - least <= 9, "{}: {counts:?}", method.name());
        }
    }
}

/// What the methods with tables of their own learn from weights counts as tables.
#[test]
fn what_is_learnt_counts_as_tables() {
    let weights = Content::Weights.tensor(Dtype::Bf16, &[40_009]);
    let zeros = Content::Zeros.tensor(Dtype::Bf16, &[40_009]);
    for name in [
        "bf16_split",
        "bf16_split_ctx",
        "exponent_static",
        "exponent_mantissa_static",
        "exponent_mantissa_scaled",
    ] {
        let method = llmcl_codecs::resolve(name, &Default::default()).unwrap();
        let tables = |tensor| encode(&*method, std::slice::from_ref(tensor)).1.tables;
        assert!(
            tables(&weights) > tables(&zeros) + 10,
            "{name}: {} and {}",
            tables(&weights),
            tables(&zeros)
        );
    }
}
