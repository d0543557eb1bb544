//! `atlas`: figures against ones that were worked out by hand.

use std::collections::BTreeMap;
use std::sync::Arc;

use llmcl_codecs::Dtype;
use llmcl_codecs::blocks::{Q4_1, Q4K, Q5_0, Q6K, Q8_0};
use llmcl_codecs::entropy::entropy_bits;
use llmcl_stages::kinds::atlas::KIND;
use llmcl_stages_api::artifact::Artifact;
use llmcl_stages_api::kind::{Check, OutputSchema, StageKind};
use llmcl_stages_api::table::Table;
use llmcl_stages_api::task::TaskError;
use llmcl_stages_api::value::Value;
use serde_json::json;

use crate::support::host::TestHost;
use crate::support::tables::names;
use crate::support::weights::{
    Weight, cell, gguf, int, number, output, read_table, selected, set_of, words,
};
use crate::support::{check, params};

fn atlas(host: &TestHost, set: &Artifact, layout: &str) -> Result<Table, TaskError> {
    let json = json!({ "layout": layout });
    let artifact = output(&KIND, host, &json, &[("tensors", set)], "atlas")?;
    Ok(read_table(host, &artifact))
}

fn close(table: &Table, column: &str, expected: f64) {
    let found = number(table, 0, column);
    assert!(
        (found - expected).abs() < 1e-12,
        "{column}: {found}, not {expected}"
    );
}

#[test]
fn entropies_of_four_bf16_weights() {
    let host = TestHost::new();
    // 1, 1, -1, 2: high bytes 3f 3f bf 40, low bytes 80 80 80 00.
    let four = words(&[0x3f80, 0x3f80, 0xbf80, 0x4000]);
    let name = "model.layers.7.mlp.up_proj.weight";
    let table = atlas(
        &host,
        &set_of(&host, &[(name, "BF16", &[2, 2], &four)]),
        "BF16",
    )
    .unwrap();
    assert_eq!(table.len(), 1);
    let text = |column| cell(&table, 0, column).as_text().unwrap();
    assert_eq!(
        (
            text("tensor"),
            text("dtype"),
            text("category"),
            text("part")
        ),
        (name, "BF16", "mlp", "up")
    );
    let whole = |column| int(&table, 0, column);
    assert_eq!(
        (
            whole("layer"),
            whole("numel"),
            whole("bytes"),
            whole("distinct")
        ),
        (7, 4, 8, 3)
    );
    // A quarter against three quarters: 2 - ¾·log2 3.
    let quarter = 2.0 - 0.75 * 3f64.log2();
    close(&table, "h_high", 1.5);
    close(&table, "h_low", quarter);
    close(&table, "r_marginal", 16.0 / (1.5 + quarter));
    close(&table, "h_sign", quarter);
    close(&table, "h_exponent", quarter);
    close(&table, "h_mantissa", 0.0);
    close(&table, "h_sign_exponent", 1.5);
    close(&table, "h_mantissa_given_exponent", 0.0);
    close(&table, "h_joint", 1.5);
}

#[test]
fn code_lengths_of_one_weight_are_its_bits() {
    let host = TestHost::new();
    let one = words(&[0x3f80]);
    let table = atlas(&host, &set_of(&host, &[("a", "BF16", &[1], &one)]), "BF16").unwrap();
    for (column, bits) in [
        ("cl_high", 8.0),
        ("cl_low", 8.0),
        ("cl_exponent", 8.0),
        ("cl_sign_exponent", 9.0),
        ("cl_mantissa_given_exponent", 7.0),
        ("cl_joint", 16.0),
        ("h_joint", 0.0),
    ] {
        close(&table, column, bits);
    }
    assert_eq!(cell(&table, 0, "r_marginal"), &Value::None);
    assert_eq!(cell(&table, 0, "layer"), &Value::None);
}

#[test]
fn code_lengths_of_two_equal_fp16_weights() {
    let host = TestHost::new();
    let two = words(&[0x3c01, 0x3c01]);
    let table = atlas(&host, &set_of(&host, &[("a", "F16", &[2], &two)]), "F16").unwrap();
    // Both go the same way at each of the h bits: noise with ½, else KT's ⅜ and the bits below.
    let bits = |height: i32| {
        let probability =
            (1..=height).fold(1.0, |below, h| 0.5 * 0.25f64.powi(h) + 0.5 * 0.375 * below);
        -probability.log2() / 2.0
    };
    close(&table, "cl_high", bits(8));
    close(&table, "cl_exponent", bits(5));
    close(&table, "cl_sign_exponent", bits(6));
    close(&table, "cl_mantissa_given_exponent", bits(10));
    close(&table, "cl_joint", bits(16));
}

#[test]
fn other_dtypes_and_layouts_are_told() {
    let host = TestHost::new();
    let set = set_of(
        &host,
        &[("a", "F16", &[1], &[0; 2]), ("b", "BF16", &[1], &[0; 2])],
    );
    let error = atlas(&host, &set, "F16").unwrap_err();
    assert_eq!(error.message, "tensor `b` is BF16, and the layout is F16");
}

#[test]
fn a_tensor_without_elements_has_no_figures() {
    let host = TestHost::new();
    let set = set_of(
        &host,
        &[
            ("empty", "BF16", &[0, 3], &[]),
            ("a", "BF16", &[1], &[0; 2]),
        ],
    );
    let table = atlas(&host, &set, "BF16").unwrap();
    assert_eq!(int(&table, 0, "numel"), 0);
    for column in ["h_high", "r_marginal", "distinct", "cl_joint"] {
        assert_eq!(cell(&table, 0, column), &Value::None, "{column}");
    }
    assert_eq!(int(&table, 1, "distinct"), 1);
}

/// The atlas of one tensor of blocks.
fn atlas_of_blocks(layout: &str, blocks: &[&[u8]]) -> Table {
    let host = TestHost::new();
    let block = Dtype::from_name(layout).unwrap().block();
    let shape = [blocks.len() as u64, u64::from(block.elements)];
    let name = "blk.3.ffn_up.weight";
    let file = gguf(&[], &[(name, layout, &shape, &blocks.concat())]);
    let set = selected(&host, &host.store("model.gguf", &file), "true").unwrap();
    let table = atlas(&host, &set, layout).unwrap();
    let text = |column| cell(&table, 0, column).as_text().unwrap();
    assert_eq!(
        (text("tensor"), text("dtype"), text("part")),
        (name, layout, "up")
    );
    assert_eq!(
        int(&table, 0, "numel"),
        (blocks.len() * block.elements as usize) as i64
    );
    assert_eq!(
        int(&table, 0, "bytes"),
        (blocks.len() * block.bytes as usize) as i64
    );
    table
}

#[test]
fn figures_of_q4_k() {
    // Groups 0 to 3 have the zero at a third, 4 to 7 at 1; the former are a 15 and then 0, the latter half 7, half 9.
    let mut block = Q4K {
        d: 0x3c00,
        dmin: 0x3c00,
        scales: [3; 8],
        minima: [1, 1, 1, 1, 3, 3, 3, 3],
        quants: [0; 256],
    };
    for group in block.quants[..128].chunks_exact_mut(32) {
        group[0] = 15;
    }
    for group in block.quants[128..].chunks_exact_mut(32) {
        group[..16].fill(7);
        group[16..].fill(9);
    }
    let other = Q4K {
        d: 0x4000,
        dmin: 0x4000,
        ..block
    };
    let bytes = [block, other, block].map(|block| block.to_bytes());
    let table = atlas_of_blocks("Q4_K", &bytes.each_ref().map(<[u8; 144]>::as_slice));
    let quant = entropy_bits(&[4, 124, 64, 64]);
    let given = (entropy_bits(&[4, 124]) + 1.0) / 2.0;
    let third = entropy_bits(&[1, 2]);
    // d and dmin have a byte each that differs; of 8 minima half are 1, half 3.
    let header = (2.0 * third + 8.0) / 256.0;
    for (column, value) in [
        ("bits", 4.5),
        ("h_quant", quant),
        ("h_nibble", quant),
        ("h_quant_given_class", given),
        ("h_nibble_given_zero_point", given),
        // Group by group: the 15 is first, and certain; half of the others is 7.
        ("h_quant_given_class_and_seen", 0.5),
        ("h_nibble_given_zero_point_and_seen", 0.5),
        // Lower half: 0 and 7.
        ("h_sign", entropy_bits(&[188, 68])),
        // Distances from 8: 7, 8, and 1.
        ("h_magnitude", entropy_bits(&[4, 124, 128])),
        ("h_header", header),
        ("h_scale_byte1", third),
        ("h_d_high", third),
        ("h_d_low", 0.0),
        ("h_dmin_high", third),
        ("h_dmin_low", 0.0),
        ("h_group_scale", 0.0),
        ("h_group_min", 1.0),
        ("implied_ceiling", 4.5 / (quant + header)),
        ("class_ceiling", 4.5 / (0.5 + header)),
        ("adjacent_block_scale_correlation", -1.0),
    ] {
        close(&table, column, value);
    }
    assert_eq!(
        cell(&table, 0, "h_nibble_given_prev"),
        cell(&table, 0, "h_quant_given_prev")
    );
}

#[test]
fn figures_of_q6_k() {
    // Groups of a scale of 1 or -1 hold 40, the others half 41, half 10.
    let mut block = Q6K {
        d: 0x3c00,
        scales: [1, -1, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
        quants: [40; 256],
    };
    block.quants[32..64].copy_from_slice(&[[41; 8], [10; 8], [41; 8], [10; 8]].concat());
    let table = atlas_of_blocks("Q6_K", &[&block.to_bytes()]);
    let quant = entropy_bits(&[224, 16, 16]);
    let scale = entropy_bits(&[13, 1, 2]);
    for (column, value) in [
        ("bits", 6.5625),
        ("h_quant", quant),
        // 31 + 1 changes into and out of the middle, 3 within.
        (
            "h_quant_given_prev",
            (224.0 * entropy_bits(&[222, 1]) * 223.0 / 224.0
                + 16.0 * entropy_bits(&[14, 2])
                + 16.0 * entropy_bits(&[14, 1, 1]))
                / 255.0,
        ),
        ("h_quant_given_class", 32.0 / 256.0),
        ("h_quant_given_class_and_seen", 32.0 / 256.0),
        ("h_header", scale / 16.0),
        ("h_group_scale", scale),
        ("implied_ceiling", 6.5625 / (quant + scale / 16.0)),
        ("class_ceiling", 6.5625 / (0.125 + scale / 16.0)),
    ] {
        close(&table, column, value);
    }
    assert_eq!(
        cell(&table, 0, "adjacent_block_scale_correlation"),
        &Value::None
    );
}

#[test]
fn figures_of_blocks_of_32() {
    // The first weight at an end, then 19 in the middle and 12 one off.
    let quants = |end: u8, middle: u8| -> [u8; 32] {
        std::array::from_fn(|place| match place {
            0 => end,
            1..20 => middle,
            _ => middle + 1,
        })
    };
    let signed = quants(1, 128).map(|quant| (quant ^ 0x80).cast_signed());
    let q5_0 = Q5_0 {
        d: 1,
        quants: quants(0, 16),
    }
    .to_bytes();
    let q8_0 = Q8_0 {
        d: 1,
        quants: signed,
    }
    .to_bytes();
    let q4_1 = Q4_1 {
        d: 1,
        m: 2,
        quants: quants(0, 8),
    }
    .to_bytes();
    let quant = entropy_bits(&[1, 19, 12]);
    // Where the mean says no more than how far back the end lies: Q5_0 from the 18th weight on, Q8_0 from the 17th. In
    // Q4_1, whose middle is 7.5, those in the middle weigh 1 and the others 3: one class from the 18th to the 24th, and
    // one of the 9th to the 17th with those after that.
    let given_q4_1 = 7.0 * entropy_bits(&[3, 4]) + 17.0 * entropy_bits(&[9, 8]);
    for (layout, bits, block, given) in [
        ("Q5_0", 5.5, q5_0.as_slice(), 15.0 * entropy_bits(&[3, 12])),
        ("Q8_0", 8.5, &q8_0, 16.0 * entropy_bits(&[4, 12])),
        ("Q4_1", 5.0, &q4_1, given_q4_1),
    ] {
        let given = given / 32.0;
        let table = atlas_of_blocks(layout, &[block]);
        close(&table, "bits", bits);
        close(&table, "h_quant", quant);
        close(&table, "h_header", 0.0);
        close(&table, "h_d_low", 0.0);
        close(&table, "implied_ceiling", bits / quant);
        close(
            &table,
            "h_quant_given_prev",
            19.0 * entropy_bits(&[1, 18]) / 31.0,
        );
        close(&table, "h_quant_given_class", given);
        close(&table, "h_quant_given_class_and_seen", given);
        close(&table, "class_ceiling", bits / given);
    }
}

#[test]
fn blocks_of_other_types_are_told() {
    let host = TestHost::new();
    let weights: &[Weight<'_>] = &[
        ("a.weight", "Q4_K", &[1, 256], &[0; 144]),
        ("b.weight", "Q5_K", &[1, 256], &[0; 176]),
    ];
    let set = selected(
        &host,
        &host.store("model.gguf", &gguf(&[], weights)),
        "true",
    )
    .unwrap();
    let error = atlas(&host, &set, "Q4_K").unwrap_err();
    assert_eq!(
        error.message,
        "tensor `b.weight` is Q5_K, and the layout is Q4_K"
    );
    let error = atlas(&host, &set, "Q5_K").unwrap_err();
    assert_eq!(error.message, "there is no layout `Q5_K`");
}

/// What is promised of a stage whose tasks have these layouts.
fn promised(layouts: &[&str]) -> OutputSchema {
    let tasks: Vec<_> = layouts
        .iter()
        .map(|layout| Arc::new(params(&json!({ "layout": layout }))))
        .collect();
    let (axes, inputs) = (BTreeMap::new(), BTreeMap::new());
    let mut check = Check::new(&axes, &tasks, &inputs);
    KIND.check(&mut check);
    let mut result = check.finish();
    assert!(result.problems.is_empty());
    result.outputs.remove(0)
}

#[test]
fn layouts_of_an_axis_have_their_common_columns() {
    let columns = |layouts: &[&str]| names(&promised(layouts).schema).len();
    assert_eq!(columns(&["BF16", "F16"]), columns(&["F16"]));
    // What all have is what two without fields of their own have.
    assert_eq!(columns(&["Q5_0", "Q8_0"]), columns(&["Q5_0"]));
    let all = ["Q4_K", "Q6_K", "Q5_0", "Q8_0", "Q4_1"];
    let found = promised(&all).schema;
    assert_eq!(names(&found), names(&promised(&["Q8_0"]).schema));
    assert!(!found.is_open());
    for (column, there) in [
        ("h_quant", true),
        ("class_ceiling", true),
        ("h_d_low", true),
        ("h_nibble", false),
        ("h_group_scale", false),
        ("h_m_low", false),
    ] {
        assert_eq!(found.column(column).is_some(), there, "{column}");
    }
    let grouped = promised(&["Q4_K", "Q6_K"]).schema;
    assert!(grouped.column("h_group_scale").is_some() && grouped.column("h_group_min").is_none());
    let mixed = promised(&["BF16", "Q4_K"]).schema;
    assert!(mixed.column("h_sign").is_some() && mixed.column("h_joint").is_none());
    assert!(promised(&[]).schema.is_open());
}

#[test]
fn block_columns_are_those_that_are_promised() {
    for (layout, own) in [
        ("Q4_K", 9),
        ("Q6_K", 1),
        ("Q5_0", 0),
        ("Q8_0", 0),
        ("Q4_1", 2),
    ] {
        let block = vec![1; Dtype::from_name(layout).unwrap().block().bytes as usize];
        let table = atlas_of_blocks(layout, &[&block]);
        let promised = promised(&[layout]).schema;
        assert_eq!(names(table.schema()), names(&promised));
        assert_eq!(names(&promised).len(), 20 + own, "{layout}");
    }
}

#[test]
fn the_columns_are_those_that_are_promised() {
    let host = TestHost::new();
    let table = atlas(&host, &set_of(&host, &[("a", "F16", &[1], &[0; 2])]), "F16").unwrap();
    let result = check(&KIND, &json!({ "layout": "F16" }), &Default::default());
    let [promised] = result.outputs.as_slice() else {
        panic!("one output");
    };
    assert_eq!(names(table.schema()), names(&promised.schema));
    assert_eq!(names(&promised.schema).len(), 23);
    assert!(!promised.volatile && !promised.schema.is_open());
}
