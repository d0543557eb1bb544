//! Damaged encodings: a truncated one is always an error, and nothing that is done to the bytes makes a decoder panic,
//! hang, or write another number of bytes and call it well.

use crate::common::{Tensor, decode, encode, methods, small_unit, types, weights_of};
use llmcl_codecs::Method;

/// Units small enough to try every change on.
fn units(method: &dyn Method) -> Vec<Vec<Tensor>> {
    let (mixed, _) = small_unit(method);
    let weights = vec![weights_of(types(method)[0], &[700])];
    vec![Vec::new(), mixed, weights]
}

fn bytes_of(tensors: &[Tensor]) -> usize {
    tensors.iter().map(|tensor| tensor.data.len()).sum()
}

#[test]
fn every_truncation_is_an_error() {
    for method in methods() {
        for unit in units(&*method) {
            let (encoded, _) = encode(&*method, &unit);
            for length in 0..encoded.len() {
                let found = decode(&*method, &encoded[..length], bytes_of(&unit));
                assert!(found.is_err(), "{} cut to {length}", method.name());
            }
        }
    }
}

#[test]
fn every_byte_too_many_is_an_error() {
    for method in methods() {
        for unit in units(&*method) {
            let (encoded, _) = encode(&*method, &unit);
            for extra in [0, 1, 0xff] {
                let longer: Vec<u8> = encoded.iter().copied().chain([extra]).collect();
                assert!(decode(&*method, &longer, bytes_of(&unit)).is_err());
            }
            let twice: Vec<u8> = encoded.iter().chain(&encoded).copied().collect();
            assert!(decode(&*method, &twice, 2 * bytes_of(&unit)).is_err());
        }
    }
}

#[test]
fn changed_bytes_are_errors_or_other_bytes_of_the_right_length() {
    for method in methods() {
        for unit in units(&*method) {
            let (encoded, _) = encode(&*method, &unit);
            let bytes = bytes_of(&unit);
            for at in 0..encoded.len() {
                let was = encoded[at];
                let flips = (0..8).map(|bit| was ^ 1 << bit);
                for becomes in flips.chain([0x00, 0xff]).filter(|&byte| byte != was) {
                    let mut damaged = encoded.clone();
                    damaged[at] = becomes;
                    if let Ok(decoded) = decode(&*method, &damaged, bytes) {
                        assert_eq!(decoded.len(), bytes, "{} byte {at}", method.name());
                    }
                }
            }
        }
    }
}
