//! `golden`: equal, different, missing, extra, and how a list is made.

use llmcl_stages::kinds::golden::KIND;
use llmcl_stages_api::task::TaskError;
use llmcl_stages_api::value::Type;
use serde_json::{Value as Json, json};

use crate::support::tables::{Given, axis, check_over, lines, names, rows_of, told};

fn sha256(digit: char) -> String {
    digit.to_string().repeat(64)
}

fn row(tensor: &str, digit: char) -> Json {
    json!({ "tensor": tensor, "bytes_in": 100, "bytes_out": 60, "encoded_sha256": sha256(digit), "roundtrip": true })
}

fn entry(method: &str, tensor: &str, digit: char) -> Json {
    json!({
        "labels": { "fixture": "minilm", "method": method },
        "tensor": tensor,
        "input_bytes": 100,
        "compressed_bytes": 60,
        "sha256": sha256(digit),
    })
}

fn file_entry() -> Json {
    json!({
        "labels": { "fixture": "gguf" },
        "input_bytes": 9,
        "compressed_bytes": 8,
        "sha256": sha256('f'),
    })
}

fn rows() -> Given {
    let labels = |method| [("fixture", "minilm"), ("method", method)];
    Given::nothing()
        .table("rows", "bench", &labels("zstd_19"), &json!([row("x", '1'), row("y", '2')]))
        .table("rows", "bench", &labels("split"), &json!([row("x", '3')]))
        .table(
            "rows",
            "bench",
            &[("fixture", "gguf")],
            &json!([{ "bytes_in": 9, "bytes_out": 8, "encoded_sha256": sha256('f'), "roundtrip": true }]),
        )
}

fn list(checks: &[Json]) -> String {
    json!({ "schema_version": 1, "checks": checks }).to_string()
}

fn whole_list() -> Vec<Json> {
    vec![
        entry("zstd_19", "x", '1'),
        entry("zstd_19", "y", '2'),
        entry("split", "x", '3'),
        file_entry(),
    ]
}

/// The state of each row, with its method, tensor and the first digits of both digests.
fn states(given: Given, list: &str) -> Result<Vec<String>, TaskError> {
    let given = given.file("expected", "expected.json", list);
    let outputs = given.run(&KIND, &json!({}))?;
    let table = given.read_table(&outputs["checks"]);
    let cell = |row: usize, name: &str| {
        let cell = table.column(name).map(|cells| cells[row].to_string());
        cell.map_or_else(String::new, |cell| cell.chars().take(20).collect())
    };
    let names = ["method", "tensor", "state", "matches"];
    Ok((0..table.len())
        .map(|row| {
            let digests = ["expected", "found"]
                .map(|name| cell(row, name).chars().take(4).collect::<String>());
            format!(
                "{} {}",
                names.map(|name| cell(row, name)).join(" "),
                digests.join(" ")
            )
        })
        .collect())
}

#[test]
fn all_that_is_equal_matches_in_any_order_of_the_list() {
    let mut turned = whole_list();
    turned.reverse();
    for list_of in [whole_list(), turned] {
        assert_eq!(
            states(rows(), &list(&list_of)).unwrap(),
            [
                "'zstd_19' 'x' 'equal' true '111 '111",
                "'zstd_19' 'y' 'equal' true '222 '222",
                "'split' 'x' 'equal' true '333 '333",
                "none none 'equal' true 'fff 'fff",
            ]
        );
    }
}

#[test]
fn what_differs_is_missing_or_extra_does_not_match() {
    let changed = |field: &str, value: Json| {
        let mut entry = entry("split", "x", '3');
        entry[field] = value;
        entry
    };
    for different in [
        changed("sha256", json!(sha256('9'))),
        changed("input_bytes", json!(101)),
        changed("compressed_bytes", json!(61)),
    ] {
        let found = states(
            rows(),
            &list(&[
                entry("zstd_19", "x", '1'),
                different,
                entry("xz_9", "x", '4'),
                file_entry(),
            ]),
        )
        .unwrap();
        assert_eq!(found[0], "'zstd_19' 'x' 'equal' true '111 '111");
        assert_eq!(found[1], "'zstd_19' 'y' 'not in the list' false none '222");
        assert!(
            found[2].starts_with("'split' 'x' 'different' false '"),
            "{}",
            found[2]
        );
        assert_eq!(found[4], "'xz_9' 'x' 'no row' false '444 none");
        assert_eq!(found.len(), 5);
    }
}

#[test]
fn what_does_not_decode_matches_no_digest_and_is_not_listed() {
    let mut broken = row("x", '1');
    broken["roundtrip"] = json!(false);
    let labels = [("fixture", "minilm"), ("method", "zstd_19")];
    let given = Given::nothing().table("rows", "bench", &labels, &json!([broken]));
    let expected = list(&[entry("zstd_19", "x", '1')]);
    let given = given.file("expected", "expected.json", &expected);
    let outputs = given.run(&KIND, &json!({})).unwrap();
    let rows = lines(&given.read_table(&outputs["checks"]));
    assert!(
        rows[1].contains("'no round trip'") && rows[1].ends_with("false"),
        "{rows:?}"
    );
    assert_eq!(
        given.read_json(&outputs["list"], "expected-checksums.json"),
        json!({ "schema_version": 1, "checks": [] })
    );
}

#[test]
fn a_list_that_a_run_makes_is_the_list_that_it_matches() {
    let given = rows().file("expected", "expected.json", &list(&[]));
    let outputs = given.run(&KIND, &json!({})).unwrap();
    let made = given.read_text(&outputs["list"], "expected-checksums.json");
    let json: Json = serde_json::from_str(&made).unwrap();
    assert_eq!(json["checks"], json!(whole_list()));
    let states = states(rows(), &made).unwrap();
    assert!(
        states.iter().all(|state| state.contains("'equal' true")),
        "{states:?}"
    );
}

#[test]
fn a_label_that_no_row_has_is_shown() {
    let mut entry = entry("zstd_19", "x", '1');
    entry["labels"]["content"] = json!("BF16");
    let given = rows().file("expected", "expected.json", &list(&[entry]));
    let outputs = given.run(&KIND, &json!({})).unwrap();
    let rows = lines(&given.read_table(&outputs["checks"]));
    assert!(
        rows[0].ends_with("state expected found matches content"),
        "{}",
        rows[0]
    );
    let last = rows.last().unwrap();
    assert!(
        last.contains("'no row'") && last.ends_with("'BF16'"),
        "{last}"
    );
}

#[test]
fn a_list_that_is_no_list_and_rows_that_cannot_be_told_apart_are_errors() {
    let error = |list: &str| states(rows(), list).unwrap_err().message;
    assert!(
        error("{").starts_with("expected.json: EOF while parsing"),
        "{}",
        error("{")
    );
    let future = json!({ "schema_version": 2, "checks": [] }).to_string();
    assert_eq!(
        error(&future),
        "expected.json: schema_version is 2, this program reads 1"
    );
    let mut wrong = entry("zstd_19", "x", '1');
    wrong["sha256"] = json!("ABC");
    assert_eq!(
        error(&list(&[wrong])),
        "expected.json: `ABC` is no SHA-256 of 64 lower-case hexadecimal digits (fixture = 'minilm', method = \
         'zstd_19', tensor = 'x')"
    );
    let twice = list(&[entry("zstd_19", "x", '1'), entry("zstd_19", "x", '2')]);
    assert_eq!(
        error(&twice),
        "expected.json: two entries have fixture = 'minilm', method = 'zstd_19', tensor = 'x'"
    );
    let mut unknown = entry("zstd_19", "x", '1');
    unknown["ratio"] = json!(1.5);
    assert!(error(&list(&[unknown])).contains("unknown field `ratio`"));
    let labels = [("fixture", "minilm"), ("method", "zstd_19")];
    let again = rows().table("rows", "bench", &labels, &json!([row("x", '1')]));
    assert_eq!(
        states(again, &list(&[])).unwrap_err().message,
        "two rows have fixture = 'minilm', method = 'zstd_19', tensor = 'x', so a list could not tell them apart"
    );
}

#[test]
fn the_check_wants_the_columns_that_are_read_and_promises_the_rest() {
    let good = [
        ("tensor", Type::Text),
        ("bytes_in", Type::Int),
        ("bytes_out", Type::Int),
        ("encoded_sha256", Type::Text),
        ("roundtrip", Type::Bool),
        ("method", axis("method", &[("by", Type::Text)])),
    ];
    let result = check_over(&KIND, &[], &[("rows", rows_of(&good))], &json!({}));
    assert_eq!(told(&result), Vec::<String>::new());
    let checks = &result.outputs[0];
    assert_eq!(
        names(&checks.schema).join(" "),
        "tensor bytes_in bytes_out roundtrip method state expected found matches"
    );
    assert_eq!(checks.schema.column("method").unwrap().ty, good[5].1);
    let bad = [
        ("bytes_in", Type::Text),
        ("bytes_out", Type::Int),
        ("encoded_sha265", Type::Text),
        ("roundtrip", Type::Bool),
        ("matches", Type::Bool),
    ];
    let result = check_over(&KIND, &[], &[("rows", rows_of(&bad))], &json!({}));
    assert_eq!(
        told(&result),
        [
            ": no column `encoded_sha256` (encoded_sha265)",
            ": the column `bytes_in` of the rows is a text, and a whole number is needed",
            ": the rows have a column `matches`, which this stage adds (give the column another name)",
        ]
    );
}
