//! Methods run in threads with little stack, as those of other programs may have.

use std::thread;

use crate::common::{Content, decode, encode, methods, types, weights_of};
use llmcl_codecs::Dtype;

/// What threads have in programs that are linked with musl.
const STACK: usize = 128 << 10;

#[test]
fn a_small_stack_is_enough() {
    for method in methods() {
        let name = method.name();
        let work = move || {
            let tensors = [
                Content::Weights.tensor(Dtype::Bf16, &[600, 1000]),
                Content::Ramp.tensor(Dtype::F16, &[300_000]),
            ];
            let others = types(&*method)
                .into_iter()
                .filter(|dtype| !matches!(dtype, Dtype::Bf16 | Dtype::F16))
                .map(|dtype| match dtype {
                    Dtype::U8 => Content::File.tensor(dtype, &[600_000]),
                    _ => weights_of(dtype, &[600, 1000]),
                });
            let tensors: Vec<_> = tensors
                .into_iter()
                .filter(|tensor| method.takes(tensor.dtype))
                .chain(others)
                .collect();
            let (encoded, _) = encode(&*method, &tensors);
            let bytes: usize = tensors.iter().map(|tensor| tensor.data.len()).sum();
            decode(&*method, &encoded, bytes).unwrap().len() == bytes
        };
        let thread = thread::Builder::new().stack_size(STACK).spawn(work);
        // A stack that overflows ends the process.
        assert!(thread.unwrap().join().unwrap(), "{name}");
    }
}
