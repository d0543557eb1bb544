//! `time`: the shape of its table and what is timed, never how long it took.

use llmcl_stages::kinds::time::KIND;
use llmcl_stages_api::artifact::Artifact;
use llmcl_stages_api::kind::StageKind;
use llmcl_stages_api::machine::Machine;
use llmcl_stages_api::table::Table;
use llmcl_stages_api::task::{TaskError, TaskErrorKind};
use llmcl_stages_api::value::Value;
use serde_json::{Value as Json, json};

use crate::support::host::TestHost;
use crate::support::tables::names;
use crate::support::weights::{bf16_weights, cell, int, number, output, read_table, set_of};
use crate::support::{check, params};

fn with(more: Json) -> Json {
    let mut json = json!({
        "method": { "name": "exponent_static" }, "threads": "one", "warmup": 1, "repetitions": 3,
    });
    let fields = json.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    json
}

fn time(host: &TestHost, json: &Json, port: &str, input: &Artifact) -> Result<Table, TaskError> {
    output(&KIND, host, json, &[(port, input)], "speeds").map(|table| read_table(host, &table))
}

fn tensors(host: &TestHost) -> Artifact {
    let (one, two) = (bf16_weights(3000, 1), bf16_weights(2000, 2));
    set_of(
        host,
        &[
            ("one", "BF16", &[3000], &one),
            ("two", "BF16", &[50, 40], &two),
        ],
    )
}

#[test]
fn there_is_a_row_for_each_repetition_that_counts() {
    let host = TestHost::new();
    let table = time(&host, &with(json!({})), "tensors", &tensors(&host)).unwrap();
    assert_eq!(table.len(), 3);
    for row in 0..3 {
        assert_eq!(int(&table, row, "repetition"), row as i64 + 1);
        assert_eq!(cell(&table, row, "measures").as_text(), Some("memory"));
        assert_eq!(
            (int(&table, row, "bytes"), int(&table, row, "threads_used")),
            (10_000, 1)
        );
        for what in ["encode", "decode"] {
            let seconds = number(&table, row, &format!("{what}_s"));
            let speed = number(&table, row, &format!("{what}_mb_s"));
            assert!(seconds > 0.0);
            assert!(
                (speed * seconds - 0.01).abs() < 1e-12,
                "10,000 bytes are 0.01 MB"
            );
        }
    }
    assert_eq!(host.progress_told().last(), Some(&(4, Some(4))));
}

#[test]
fn a_sample_bounds_what_is_worked_on() {
    let host = TestHost::new();
    let set = tensors(&host);
    let bytes = |sample: Json| {
        let table = time(&host, &with(json!({ "sample": sample })), "tensors", &set).unwrap();
        int(&table, 0, "bytes")
    };
    assert_eq!(bytes(json!({ "bytes": 7001, "seed": 42 })), 7000);
    assert_eq!(bytes(json!({ "bytes": 1u64 << 40, "seed": 42 })), 10_000);
    let json = with(json!({ "sample": { "bytes": 1, "seed": 0 } }));
    let error = time(&host, &json, "tensors", &set).unwrap_err();
    assert_eq!(
        error.message,
        "there is nothing to encode: no tensor has any bytes"
    );
}

#[test]
fn all_threads_and_whole_files_work_too() {
    let host = TestHost::new();
    // More than two pieces.
    let large = bf16_weights(5_000_000, 3);
    let set = set_of(&host, &[("large", "BF16", &[5_000_000], &large)]);
    let json = with(json!({ "threads": "all", "repetitions": 1, "warmup": 0 }));
    let table = time(&host, &json, "tensors", &set).unwrap();
    let threads = std::thread::available_parallelism().unwrap().get() as i64;
    assert_eq!((table.len(), int(&table, 0, "threads_used")), (1, threads));
    assert_eq!(int(&table, 0, "bytes"), 10_000_000);

    let file = host.store("model.gguf", &large[..100_000]);
    let json =
        with(json!({ "method": { "name": "zstd_3" }, "sample": { "bytes": 777, "seed": 0 } }));
    let table = time(&host, &json, "file", &file).unwrap();
    assert_eq!(int(&table, 0, "bytes"), 777);
}

#[test]
fn what_the_method_does_not_take_is_told() {
    let host = TestHost::new();
    let set = set_of(&host, &[("a", "I64", &[1], &[0; 8])]);
    let error = time(&host, &with(json!({})), "tensors", &set).unwrap_err();
    assert_eq!(error.kind, TaskErrorKind::Input);
    let told = &error.message;
    assert!(
        told.contains("`exponent_static`") && told.contains("I64"),
        "{told}"
    );
}

#[test]
fn a_stop_is_noticed() {
    let host = TestHost::new();
    let set = tensors(&host);
    host.stop();
    let error = time(&host, &with(json!({})), "tensors", &set).unwrap_err();
    assert_eq!(error.kind, TaskErrorKind::Cancelled);
}

#[test]
fn it_is_alone_on_a_machine_that_is_in_the_key_and_its_speeds_are_volatile() {
    let json = with(json!({}));
    assert!(KIND.needs(&params(&json), 1000).exclusive);
    let environment = Machine::default()
        .environment(&KIND.facts(&params(&json)))
        .unwrap();
    let processor = environment["processor"].as_record().unwrap();
    let names_of: Vec<&str> = processor.keys().map(String::as_str).collect();
    assert_eq!(names_of, ["cpu", "simd", "threads"]);
    assert!(processor["threads"].as_int().unwrap() >= 1);
    assert!(processor.values().all(|value| *value != Value::None));

    let result = check(&KIND, &json, &Default::default());
    let [speeds] = result.outputs.as_slice() else {
        panic!("one output");
    };
    assert!(speeds.volatile && KIND.outputs()[0].volatile);
    let host = TestHost::new();
    let table = time(&host, &json, "tensors", &tensors(&host)).unwrap();
    assert_eq!(names(table.schema()), names(&speeds.schema));
}

#[test]
fn memory_follows_the_sample() {
    let need = |more: Json| KIND.needs(&params(&with(more)), 1 << 33).memory;
    let sampled = need(json!({ "sample": { "bytes": 1 << 20, "seed": 0 } }));
    assert!(sampled < 64 << 20, "{sampled}");
    assert!(need(json!({})) > 1 << 33);
}
