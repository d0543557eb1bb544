//! Entropies of blocks: by hand, and in pieces.

use llmcl_codecs::blocks::{Q4_1, Q4K, Q5_0, Q6K, Q8_0};
use llmcl_codecs::entropy::{
    BlockEntropy, BlockField, BlockHistogram, BlockLayout, EntropyError, entropy_bits,
};
use proptest::prelude::*;

fn close(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-12, "{a} is not {b}");
}

/// A quarter against three quarters.
fn quarter() -> f64 {
    entropy_bits(&[1, 3])
}

#[test]
fn nothing_and_half_a_block() {
    for layout in BlockLayout::ALL {
        assert_eq!(BlockEntropy::measure(layout, &[]), Err(EntropyError::Empty));
        let (dtype, found) = (layout.dtype(), layout.bytes() as u64 + 1);
        let error = BlockEntropy::measure(layout, &vec![0; layout.bytes() + 1]);
        assert_eq!(error, Err(EntropyError::Blocks { dtype, found }));
    }
    let error = EntropyError::Blocks {
        dtype: llmcl_codecs::Dtype::Q4K,
        found: 145,
    };
    assert_eq!(
        error.to_string(),
        "145 bytes are no whole number of Q4_K blocks"
    );
}

#[test]
fn equal_blocks_have_no_bound() {
    for layout in BlockLayout::ALL {
        let found = BlockEntropy::measure(layout, &vec![0; 3 * layout.bytes()]).unwrap();
        assert_eq!(
            (found.blocks, found.weights),
            (3, 3 * layout.weights() as u64)
        );
        close(
            found.bits,
            8.0 * layout.bytes() as f64 / layout.weights() as f64,
        );
        close(found.h_quant + found.h_header, 0.0);
        assert_eq!((found.implied_ceiling, found.class_ceiling), (None, None));
        assert_eq!(found.adjacent_block_scale_correlation, None);
    }
}

#[test]
fn q4_k_by_hand() {
    // Scale and dmin one. Group 0 has its zero at 4·1/2 = 2, the others at 4·3/1 = 12.
    let mut block = Q4K {
        d: 0x3c00,
        dmin: 0x3c00,
        scales: [1; 8],
        minima: [3; 8],
        quants: [8; 256],
    };
    (block.scales[0], block.minima[0]) = (2, 1);
    // Group 0: a 15 first, then nothing but 0. The others: half 7, half 9.
    block.quants[0] = 15;
    block.quants[1..32].fill(0);
    for group in block.quants[32..].chunks_exact_mut(32) {
        group[..16].fill(7);
        group[16..].fill(9);
    }
    let mut second = block;
    second.d = 0x4000;
    second.dmin = 0x4001;
    let data = [block.to_bytes(), second.to_bytes(), block.to_bytes()].concat();
    let found = BlockEntropy::measure(BlockLayout::Q4K, &data).unwrap();
    close(found.bits, 4.5);
    close(found.h_quant, entropy_bits(&[1, 31, 112, 112]));
    // Lower half 0 and 7, 31 + 112 of 256; distances 7, 8, 1, 1.
    close(found.h_sign, entropy_bits(&[143, 113]));
    close(found.h_magnitude, entropy_bits(&[1, 31, 224]));
    // The second block has dmin·m/(d·sc) a 1025/1024th of the first: 12.01 and 2.002, the same classes.
    let given_class = (32.0 * entropy_bits(&[1, 31]) + 224.0) / 256.0;
    close(found.h_quant_given_class, given_class);
    // Before the 15 nothing is seen, after it the 15, after the first 0 both: each certain.
    close(found.h_quant_given_class_and_seen, 224.0 / 256.0);
    // Before a 0: the 15, or a 0. After a 0: 90 of 93 times a 0, else a 7. After a 7: 21 of 336 times a 9; after a 9,
    // the last aside: 315 times a 9, 18 a 7, twice the 15 of the next block.
    let pairs = 93.0 * entropy_bits(&[90, 3])
        + 336.0 * entropy_bits(&[315, 21])
        + 335.0 * entropy_bits(&[315, 18, 2]);
    close(found.h_quant_given_prev, pairs / 767.0);

    let field = |field| found.field(field).unwrap();
    let third = entropy_bits(&[1, 2]);
    close(field(BlockField::DHigh), third);
    close(field(BlockField::DLow), 0.0);
    close(field(BlockField::DminHigh), third);
    close(field(BlockField::DminLow), third);
    close(field(BlockField::GroupScale), entropy_bits(&[1, 7]));
    close(field(BlockField::GroupMin), entropy_bits(&[1, 7]));
    assert_eq!(found.field(BlockField::MHigh), None);
    let header = 3.0 * third + 16.0 * entropy_bits(&[1, 7]);
    close(found.h_header, header / 256.0);
    close(
        found.implied_ceiling.unwrap(),
        1152.0 / (256.0 * found.h_quant + header),
    );
    close(found.class_ceiling.unwrap(), 1152.0 / (224.0 + header));
    close(found.adjacent_block_scale_correlation.unwrap(), -1.0);
}

#[test]
fn q6_k_by_hand() {
    // Scales of the same amount are one class: groups of 10, and one of a half 20, half 30.
    let mut block = Q6K {
        d: 0x3c01,
        scales: [5; 16],
        quants: [10; 256],
    };
    block.scales[3] = -5;
    block.scales[7] = -128;
    block.quants[112..120].fill(20);
    block.quants[120..128].fill(30);
    let found = BlockEntropy::measure(BlockLayout::Q6K, &block.to_bytes()).unwrap();
    close(found.bits, 6.5625);
    close(found.h_quant, entropy_bits(&[240, 8, 8]));
    close(found.h_quant_given_class, 16.0 / 256.0);
    close(found.h_quant_given_class_and_seen, 16.0 / 256.0);
    let scales = entropy_bits(&[14, 1, 1]);
    close(found.field(BlockField::GroupScale).unwrap(), scales);
    close(found.h_header, 16.0 * scales / 256.0);
    close(
        found.class_ceiling.unwrap(),
        1680.0 / (16.0 + 16.0 * scales),
    );
}

#[test]
fn blocks_of_32_by_hand() {
    // The extreme in a quarter of the weights, by turns: known of those before it is that it has been seen, or not.
    let every_fourth = |extreme: u8, middle: u8| {
        std::array::from_fn(|place| if place % 4 == 0 { extreme } else { middle })
    };
    let measure = |layout, data: &[u8]| {
        let found = BlockEntropy::measure(layout, data).unwrap();
        close(found.h_quant, quarter());
        assert!(found.h_quant_given_class <= found.h_quant);
        assert!(found.h_quant_given_class_and_seen <= found.h_quant_given_class);
        close(found.h_header, 0.0);
        close(found.implied_ceiling.unwrap(), found.bits / quarter());
        found
    };
    let quants = every_fourth(0, 16);
    let found = measure(BlockLayout::Q5_0, &Q5_0 { d: 1, quants }.to_bytes());
    close(found.bits, 5.5);
    // Of the weights before one, rounded up a quarter lie at the end, the others in the middle.
    let class = |place: u32| 16 * place.div_ceil(4) / place;
    let mut classes = [[0u64; 2]; 17];
    for place in 1..32 {
        classes[class(place).min(15) as usize][usize::from(place % 4 == 0)] += 1;
    }
    let given: f64 = classes
        .iter()
        .map(|counts| counts.iter().sum::<u64>() as f64 * entropy_bits(counts))
        .sum();
    close(found.h_quant_given_class, given / 32.0);

    let quants = every_fourth(0, 128).map(|quant| (quant ^ 0x80).cast_signed());
    let found = measure(BlockLayout::Q8_0, &Q8_0 { d: 1, quants }.to_bytes());
    close(found.bits, 8.5);
    close(found.h_quant_given_class, given / 32.0);

    let quants = every_fourth(15, 7);
    let found = measure(BlockLayout::Q4_1, &Q4_1 { d: 1, m: 2, quants }.to_bytes());
    close(found.bits, 5.0);
    close(found.h_sign, quarter());
    close(found.h_magnitude, quarter());
    close(found.field(BlockField::MLow).unwrap(), 0.0);
}

proptest! {
    #[test]
    fn pieces_do_not_matter(data in prop::collection::vec(any::<u8>(), 840..2000), cut in 0usize..4) {
        for layout in BlockLayout::ALL {
            let bytes = layout.bytes();
            let data = &data[..data.len() / bytes * bytes];
            let (first, second) = data.split_at(cut * bytes);
            let mut whole = BlockHistogram::new(layout);
            whole.add(data).unwrap();
            let mut pieces = BlockHistogram::new(layout);
            pieces.add(first).unwrap();
            pieces.add(second).unwrap();
            prop_assert_eq!(&pieces, &whole);
            let found = BlockEntropy::of(&whole).unwrap();
            prop_assert!(found.h_quant_given_class <= found.h_quant + 1e-12);
            prop_assert!(found.h_quant_given_class_and_seen <= found.h_quant_given_class + 1e-12);
            prop_assert!(found.h_sign <= found.h_quant && found.h_magnitude <= found.h_quant + 1e-12);
        }
    }
}
