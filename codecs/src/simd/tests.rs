use std::cell::Cell;
use std::collections::BTreeMap;

use super::Vectors;
use crate::cast::{f32_to_bf16, f32_to_f16};
use crate::method::family_of;
use crate::{Dtype, TensorView, resolve};

impl Vectors {
    const ALL: &[Vectors] = &[
        Vectors::Portable,
        #[cfg(target_arch = "x86_64")]
        Vectors::Avx2,
        #[cfg(target_arch = "x86_64")]
        Vectors::Avx512,
    ];

    /// Those that the processor has.
    pub(crate) fn present() -> impl Iterator<Item = Vectors> {
        let best = Vectors::detect();
        let all = Vectors::ALL.iter().copied();
        all.filter(move |vectors| *vectors <= best)
    }

    /// Runs something as if the processor had no better ones than these.
    pub(crate) fn at_most<T>(self, run: impl FnOnce() -> T) -> T {
        let before = MOST.replace(self);
        let output = run();
        MOST.set(before);
        output
    }
}

thread_local! {
    /// The best vectors that this thread may use.
    pub(super) static MOST: Cell<Vectors> = const { Cell::new(Vectors::ALL[Vectors::ALL.len() - 1]) };
}

/// Numbers that look random and are the same everywhere (a linear congruential generator's upper bits).
fn noise(count: usize) -> Vec<u32> {
    let mut state = 1u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 32) as u32
    };
    (0..count).map(|_| next()).collect()
}

/// Floats about as weights are, as their bits: sums of four uniform numbers.
fn weights(count: usize) -> Vec<u32> {
    let noise = noise(4 * count);
    let of_four = |four: &[u32; 4]| {
        let sum: i64 = four.iter().map(|&number| i64::from(number)).sum();
        ((sum - (1 << 33)) as f32 / 2f32.powi(38)).to_bits()
    };
    noise.as_chunks().0.iter().map(of_four).collect()
}

/// Tensors of every type that methods code as words, which take every way through them.
fn tensors(rows: usize, columns: usize) -> Vec<(Dtype, Vec<u8>)> {
    let count = rows * columns;
    let bytes_of =
        |words: &mut dyn Iterator<Item = u16>| words.flat_map(u16::to_le_bytes).collect();
    let (weights, noise) = (weights(count), noise(count));
    let once_bf16 = |bits: &u32| u32::from(f32_to_bf16(*bits)) << 16;
    let with_nans = weights
        .iter()
        .enumerate()
        .map(|(place, bits)| match place % 101 {
            0 => 0x7f81,
            _ => f32_to_bf16(*bits),
        });
    vec![
        (
            Dtype::Bf16,
            bytes_of(&mut weights.iter().map(|bits| f32_to_bf16(*bits))),
        ),
        (Dtype::Bf16, bytes_of(&mut with_nans.into_iter())),
        (
            Dtype::Bf16,
            bytes_of(&mut noise.iter().map(|number| *number as u16)),
        ),
        (
            Dtype::F16,
            bytes_of(&mut weights.iter().map(|bits| f32_to_f16(*bits))),
        ),
        (
            Dtype::F16,
            bytes_of(&mut weights.iter().map(|bits| f32_to_f16(once_bf16(bits)))),
        ),
        (
            Dtype::F32,
            weights.iter().flat_map(|bits| bits.to_le_bytes()).collect(),
        ),
    ]
}

#[test]
fn methods_do_the_same_with_all_vectors() {
    // More symbols than narrow sequences have, also of pairs, and not whole blocks or groups.
    let (rows, columns) = (123, 301);
    let shape = [rows as u64, columns as u64];
    for (dtype, data) in &tensors(rows, columns) {
        let tensor = TensorView {
            name: "tensor",
            dtype: *dtype,
            shape: &shape,
            data,
        };
        for name in [
            "exponent_static",
            "exponent_mantissa_static",
            "exponent_mantissa_scaled",
            "exponent_mantissa_profiled",
        ] {
            let method = resolve(name, &BTreeMap::new()).unwrap();
            let results = Vectors::present().map(|vectors| {
                vectors.at_most(|| {
                    let profile = family_of(name).unwrap().train(name, &[tensor]);
                    let profile = profile.map(Result::unwrap);
                    let (mut encoded, mut decoded) = (Vec::new(), Vec::new());
                    method
                        .encode(&[tensor], profile.as_deref(), &mut encoded)
                        .unwrap();
                    method
                        .decode(&encoded, profile.as_deref(), &mut decoded)
                        .unwrap();
                    assert!(decoded == *data, "{vectors:?} {name} {dtype:?}");
                    (profile, encoded)
                })
            });
            let results: Vec<_> = results.collect();
            assert!(
                results.iter().all(|result| *result == results[0]),
                "{name} {dtype:?}"
            );
        }
    }
}
