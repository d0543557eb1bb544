//! `atlas`: figures against ones that were worked out by hand.

use llmcl_stages::kinds::atlas::KIND;
use llmcl_stages_api::artifact::Artifact;
use llmcl_stages_api::table::Table;
use llmcl_stages_api::task::TaskError;
use llmcl_stages_api::value::Value;
use serde_json::json;

use crate::support::check;
use crate::support::host::TestHost;
use crate::support::tables::names;
use crate::support::weights::{cell, int, number, output, read_table, set_of, words};

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
