//! The study's coder for super-blocks: runs, and damage beyond what all methods are put to.

use llmcl_codecs::blocks::Q4K;
use llmcl_codecs::{Dtype, Method, resolve};
use proptest::prelude::*;

use crate::common::{Tensor, decode, encode, round_trip, weights_of};

fn method() -> Box<dyn Method> {
    resolve("qb_mixture_k4", &Default::default()).unwrap()
}

/// Some hundred super-blocks of weights that come again until there are `blocks`.
fn super_blocks(blocks: usize) -> Tensor {
    let some = weights_of(Dtype::Q4K, &[200, 256]).data;
    let bytes = blocks * Q4K::BYTES;
    Tensor {
        dtype: Dtype::Q4K,
        shape: vec![blocks as u64, 256],
        data: some.into_iter().cycle().take(bytes).collect(),
    }
}

#[test]
fn more_than_a_run() {
    // A run is 2^14 super-blocks; the second begins within a tensor.
    let tensors = [super_blocks(16_380), super_blocks(0), super_blocks(15)];
    let (encoded, accounting) = round_trip(&*method(), &tensors);
    let bytes = 16_395 * Q4K::BYTES;
    assert!(bytes as f64 / encoded.len() as f64 > 1.04);
    // A version, a number of three bytes, and a mode for each part of each run.
    assert_eq!(accounting.container, 4 + 4);
    assert!((200..2000).contains(&accounting.tables), "{accounting:?}");
    for cut in [1, 2, 1000, 60_000, 2_000_000] {
        assert!(decode(&*method(), &encoded[..encoded.len() - cut], bytes).is_err());
    }
}

#[test]
fn infinite_scales_come_back() {
    let mut tensor = super_blocks(40);
    for (block, scales) in tensor.data.chunks_mut(Q4K::BYTES).zip(
        [[0x00, 0x7c], [0x00, 0xfc], [0x01, 0x7c], [0xff, 0xff]]
            .iter()
            .cycle(),
    ) {
        block[..2].copy_from_slice(scales);
        block[2..4].copy_from_slice(scales);
    }
    round_trip(&*method(), &[tensor]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_super_blocks_come_back(
        bytes in prop::collection::vec(any::<u8>(), Q4K::BYTES..600),
        mask in any::<u8>(),
        times in 1usize..40,
    ) {
        // A mask makes some bits the same in all of them, so that runs are worth coding.
        let blocks = bytes.len() / Q4K::BYTES;
        let some = &bytes[..blocks * Q4K::BYTES];
        let data: Vec<u8> = some.repeat(times).iter().map(|byte| byte & mask).collect();
        let shape = vec![(blocks * times) as u64, 256];
        round_trip(&*method(), &[Tensor { dtype: Dtype::Q4K, shape, data }]);
    }

    #[test]
    fn damage_is_an_error_or_other_weights(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let tensor = super_blocks(30);
        let bytes = tensor.data.len();
        let (mut encoded, _) = encode(&*method(), &[tensor]);
        for (at, byte) in &changes {
            let at = at.index(encoded.len());
            encoded[at] = *byte;
        }
        if let Some(cut) = &cut {
            encoded.truncate(cut.index(encoded.len()));
        }
        // No more than a sound one is written, whatever it says.
        let found = decode(&*method(), &encoded, bytes);
        prop_assert!(cut.is_none() || found.is_err());
    }

    #[test]
    fn anything_is_refused_or_decodes(bytes in prop::collection::vec(any::<u8>(), 0..900), blocks in 1u8..6, mode in 0u8..3) {
        let bytes: Vec<u8> = [1, blocks, mode].into_iter().chain(bytes).collect();
        let most = usize::from(blocks) * Q4K::BYTES;
        if let Ok(decoded) = decode(&*method(), &bytes, most) {
            prop_assert_eq!(decoded.len(), most);
        }
    }
}
