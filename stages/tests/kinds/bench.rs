//! `bench`: every byte counted, every unit decoded and compared.

use std::io::Write;

use llmcl_codecs::{Accounting, DecodeError, Dtype, EncodeError, Method, StreamBytes, TensorView};
use llmcl_stages::foreign::METHOD;
use llmcl_stages::kinds::bench::{Bench, KIND};
use llmcl_stages::kinds::train_profile;
use llmcl_stages::{encoded, methods};
use llmcl_stages_api::artifact::Artifact;
use llmcl_stages_api::kind::{InputSchema, StageKind};
use llmcl_stages_api::port::PortType;
use llmcl_stages_api::registry::MethodCatalog;
use llmcl_stages_api::table::{Schema, Table};
use llmcl_stages_api::task::{Outputs, TaskError, TaskErrorKind};
use llmcl_stages_api::value::Value;
use serde_json::{Value as Json, json};

use crate::support::host::TestHost;
use crate::support::tables::names;
use crate::support::weights::{
    Weight, bf16_weights, cast_to, cell, gguf, inputs, int, number, output, read_table, selected,
    set_of, words,
};
use crate::support::wheel::sha256;
use crate::support::{check, params, problems, run_with};

/// Three bf16 tensors, one of them empty.
fn tensors(host: &TestHost) -> Artifact {
    let (q, norm) = (bf16_weights(3000, 1), bf16_weights(64, 2));
    set_of(
        host,
        &[
            (
                "model.layers.0.self_attn.q_proj.weight",
                "BF16",
                &[100, 30],
                &q,
            ),
            ("model.norm.weight", "BF16", &[64], &norm),
            ("nothing", "BF16", &[0, 4], &[]),
        ],
    )
}

fn bench(
    kind: &dyn StageKind,
    host: &TestHost,
    method: &str,
    unit: &str,
    ports: &[(&str, &Artifact)],
) -> Result<Outputs, TaskError> {
    let json = json!({ "method": { "name": method }, "unit": unit });
    run_with(kind, host, &json, &inputs(ports))
}

fn bench_set(host: &TestHost, method: &str, set: &Artifact) -> Result<Outputs, TaskError> {
    bench(&KIND, host, method, "tensor", &[("tensors", set)])
}

fn index(host: &TestHost, outputs: &Outputs) -> encoded::Index {
    serde_json::from_slice(&host.read(&outputs["encoded"], encoded::INDEX)).unwrap()
}

/// The identity that the strict contract stands on, and what follows from it.
fn check_rows(table: &Table) {
    for row in 0..table.len() {
        let int = |column: &str| int(table, row, column);
        let parts = ["payload", "tables", "container", "profile", "recipe"];
        let sum: i64 = parts.iter().map(|part| int(&format!("bytes_{part}"))).sum();
        assert_eq!(int("bytes_out"), sum, "row {row}");
        let ratio = int("bytes_in") as f64 / int("bytes_out") as f64;
        assert_eq!(number(table, row, "ratio"), ratio);
        assert_eq!(cell(table, row, "roundtrip"), &Value::Bool(true));
        if let Some(numel) = cell(table, row, "numel")
            .as_int()
            .filter(|numel| *numel > 0)
        {
            let bits = 8.0 * int("bytes_out") as f64 / numel as f64;
            assert_eq!(number(table, row, "bits_per_weight"), bits);
        } else {
            assert_eq!(cell(table, row, "bits_per_weight"), &Value::None);
        }
    }
}

#[test]
fn every_method_is_counted_to_the_byte() {
    let host = TestHost::new();
    let set = tensors(&host);
    for method in ["zstd_3", "byte_split_zstd_3", "xz_1", "exponent_static"] {
        let outputs = bench_set(&host, method, &set).unwrap();
        let results = read_table(&host, &outputs["results"]);
        assert_eq!(results.len(), 3, "{method}");
        check_rows(&results);

        let index = index(&host, &outputs);
        assert_eq!(index.method.name, method);
        let data = host.read(&outputs["encoded"], encoded::DATA);
        let mut at = 0;
        for (row, encoding) in index.encodings.iter().enumerate() {
            assert_eq!(encoding.offset, at as u64);
            let bytes = &data[at..at + encoding.bytes as usize];
            at += bytes.len();
            // The bytes that are counted are those that are there.
            assert_eq!(int(&results, row, "bytes_out"), bytes.len() as i64);
            assert_eq!(
                cell(&results, row, "encoded_sha256").as_text(),
                Some(&*sha256(bytes))
            );
            assert_eq!(encoding.sha256, sha256(bytes));
            assert_eq!(
                int(&results, row, "bytes_in"),
                encoding.decoded_bytes as i64
            );
            assert_eq!(
                cell(&results, row, "tensor").as_text(),
                Some(&*encoding.tensors[0])
            );
        }
        assert_eq!(at, data.len(), "nothing between them and nothing after");
    }
}

#[test]
fn a_row_says_what_its_tensor_is() {
    let host = TestHost::new();
    let outputs = bench_set(&host, "exponent_static", &tensors(&host)).unwrap();
    let results = read_table(&host, &outputs["results"]);
    let text = |column| cell(&results, 0, column).as_text().unwrap();
    assert_eq!(
        (text("dtype"), text("category"), text("part")),
        ("BF16", "attention", "q")
    );
    assert_eq!(
        (int(&results, 0, "layer"), int(&results, 0, "numel")),
        (0, 3000)
    );
    assert_eq!(cell(&results, 1, "layer"), &Value::None);
    assert!(number(&results, 0, "ratio") > 1.2, "weights compress");
    assert!(int(&results, 0, "bytes_tables") > 0 && int(&results, 0, "bytes_container") > 0);
}

#[test]
fn all_tensors_can_be_one_unit() {
    let host = TestHost::new();
    let set = tensors(&host);
    let outputs = bench(&KIND, &host, "zstd_3", "file", &[("tensors", &set)]).unwrap();
    let results = read_table(&host, &outputs["results"]);
    assert_eq!(results.len(), 1);
    check_rows(&results);
    assert_eq!(cell(&results, 0, "tensor"), &Value::None);
    assert_eq!(cell(&results, 0, "dtype").as_text(), Some("BF16"));
    assert_eq!(
        (int(&results, 0, "numel"), int(&results, 0, "bytes_in")),
        (3064, 6128)
    );
    assert_eq!(index(&host, &outputs).encodings[0].tensors.len(), 3);

    let (one, other) = (words(&[1, 2, 3]), [7; 12]);
    let mixed: &[Weight<'_>] = &[("a", "BF16", &[3], &one), ("b", "F32", &[3], &other)];
    let set = set_of(&host, mixed);
    let outputs = bench(&KIND, &host, "zstd_3", "file", &[("tensors", &set)]).unwrap();
    let results = read_table(&host, &outputs["results"]);
    assert_eq!(cell(&results, 0, "dtype"), &Value::None);
}

#[test]
fn a_file_is_taken_as_bytes() {
    let host = TestHost::new();
    let content: Vec<u8> = (0..20_000u32).map(|n| (n / 7 % 251) as u8).collect();
    let file = host.store("model.gguf", &content);
    let outputs = bench(&KIND, &host, "zstd_3", "file", &[("file", &file)]).unwrap();
    let results = read_table(&host, &outputs["results"]);
    check_rows(&results);
    assert_eq!(int(&results, 0, "bytes_in"), 20_000);
    for column in ["tensor", "dtype", "numel", "bits_per_weight"] {
        assert_eq!(cell(&results, 0, column), &Value::None, "{column}");
    }
    let error = bench(&KIND, &host, "zstd_3", "tensor", &[("file", &file)]).unwrap_err();
    assert_eq!(
        error.message,
        "a file is taken as bytes and cannot be encoded tensor by tensor"
    );
    let two = Artifact::new(
        [file.files(), host.store("b", b"").files()].concat(),
        Vec::new(),
    );
    let error = bench(&KIND, &host, "zstd_3", "file", &[("file", &two)]).unwrap_err();
    assert_eq!(error.message, "one file is needed, and 2 came in");
}

#[test]
fn blocks_are_counted_by_their_bytes() {
    let host = TestHost::new();
    // Two rows of 2 blocks of 256 weights in 144 bytes; a row of 3 blocks of 32 in 34.
    let (q4, q8) = (bf16_weights(2 * 144, 4), bf16_weights(51, 5));
    let file = gguf(
        &[],
        &[
            ("blk.0.ffn_down.weight", "Q4_K", &[2, 512], &q4),
            ("output.weight", "Q8_0", &[1, 96], &q8),
        ],
    );
    let file = host.store("model.gguf", &file);
    let set = selected(&host, &file, "true").unwrap();
    for unit in ["tensor", "file"] {
        let outputs = bench(&KIND, &host, "zstd_3", unit, &[("tensors", &set)]).unwrap();
        let results = read_table(&host, &outputs["results"]);
        check_rows(&results);
        let sum = |column| -> i64 {
            (0..results.len())
                .map(|row| int(&results, row, column))
                .sum()
        };
        assert_eq!(
            (sum("numel"), sum("bytes_in")),
            (1024 + 96, 4 * 144 + 3 * 34)
        );
    }
    let outputs = bench_set(&host, "zstd_3", &set).unwrap();
    let results = read_table(&host, &outputs["results"]);
    assert_eq!(cell(&results, 0, "dtype").as_text(), Some("Q4_K"));
    assert_eq!(cell(&results, 1, "category").as_text(), Some("head"));
    let (bytes_out, bits) = (
        int(&results, 0, "bytes_out"),
        number(&results, 0, "bits_per_weight"),
    );
    assert_eq!(bits, 8.0 * bytes_out as f64 / 1024.0);
    // Those for floats say what they do not take.
    for method in ["exponent_static", "exponent_mantissa_scaled", "bf16_split"] {
        let error = bench_set(&host, method, &set).unwrap_err();
        assert_eq!(error.kind, TaskErrorKind::Input);
        assert_eq!(
            error.message,
            format!("`{method}` does not take Q4_K, the dtype of tensor `blk.0.ffn_down.weight`")
        );
    }
    let error = cast_to(&host, &set, "BF16").unwrap_err();
    assert_eq!(
        error.message,
        "tensor `blk.0.ffn_down.weight` is Q4_K and cannot be cast to BF16"
    );
}

#[test]
fn parts_add_up_to_the_whole() {
    let host = TestHost::new();
    let outputs = bench_set(&host, "exponent_static", &tensors(&host)).unwrap();
    let (results, parts) = (
        read_table(&host, &outputs["results"]),
        read_table(&host, &outputs["parts"]),
    );
    assert_eq!(parts.len(), 9);
    for row in 0..results.len() {
        let tensor = cell(&results, row, "tensor");
        let own: Vec<usize> = (0..9)
            .filter(|part| cell(&parts, *part, "tensor") == tensor)
            .collect();
        for column in ["bytes_in", "bytes_out"] {
            let sum: i64 = own.iter().map(|part| int(&parts, *part, column)).sum();
            assert_eq!(sum, int(&results, row, column), "{column} of row {row}");
        }
    }
}

#[test]
fn streams_of_a_methods_own_are_parts() {
    let host = TestHost::new();
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../fixtures/qwen2.5-coder-q4_k_m.gguf"
    );
    let content = std::fs::read(path).unwrap();
    let file = host.store("model.gguf", &content);
    let ports = [("file", &file)];
    let method = "decomp_perstream_zstd19_bg";
    let outputs = bench(&KIND, &host, method, "file", &ports).unwrap();
    let (results, parts) = (
        read_table(&host, &outputs["results"]),
        read_table(&host, &outputs["parts"]),
    );
    let streams: Vec<Value> = (0..parts.len())
        .map(|row| cell(&parts, row, "stream").clone())
        .collect();
    let names = [
        "meta",
        "nibbles_q4k",
        "quant_other",
        "scales_q4k",
        "tensor_f32",
        "recipe",
        "container",
    ];
    assert_eq!(streams, names.map(|name| Value::Text(name.to_owned())));
    for column in ["bytes_in", "bytes_out"] {
        let sum: i64 = (0..parts.len()).map(|row| int(&parts, row, column)).sum();
        assert_eq!(sum, int(&results, 0, column), "{column}");
    }
    let recipe = int(&results, 0, "bytes_recipe");
    assert_eq!(recipe, int(&parts, 5, "bytes_out"));
    assert!(recipe > 0);
    // A version and five lengths.
    assert_eq!(int(&parts, 6, "bytes_out"), 41);
    let all = ["payload", "tables", "container", "recipe"];
    let sum: i64 = all
        .iter()
        .map(|part| int(&results, 0, &format!("bytes_{part}")))
        .sum();
    assert_eq!(sum, int(&results, 0, "bytes_out"));
    assert_eq!(int(&results, 0, "bytes_container"), 41);
}

#[test]
fn a_file_is_coded_by_what_was_learnt_from_tensors() {
    let host = TestHost::new();
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../fixtures/qwen2.5-coder-q4_k_m.gguf"
    );
    let file = host.store("model.gguf", &std::fs::read(path).unwrap());
    let set = selected(&host, &file, "true").unwrap();
    let learn = |method: &str, set: &Artifact| {
        let json = json!({ "method": { "name": method } });
        let ports = [("tensors", set)];
        output(&train_profile::KIND, &host, &json, &ports, "profile")
    };
    // What it takes is files, and what it learns from is tensors.
    let profile = learn("decomp_qb_full", &set).unwrap();
    let ports = [("file", &file), ("profile", &profile)];
    let outputs = bench(&KIND, &host, "decomp_qb_full", "file", &ports).unwrap();
    let results = read_table(&host, &outputs["results"]);
    check_rows(&results);
    assert_eq!(int(&results, 0, "bytes_profile"), 277);
    let floats = selected(&host, &file, "dtype == 'F32'").unwrap();
    let error = learn("decomp_qb_full", &floats).unwrap_err();
    assert_eq!(
        error.message,
        "none of the tensors is of a type that `decomp_qb_full` learns from"
    );
}

#[test]
fn the_same_task_puts_out_the_same() {
    let (one, two) = (TestHost::new(), TestHost::new());
    let outputs = |host: &TestHost| bench_set(host, "exponent_static", &tensors(host)).unwrap();
    assert_eq!(outputs(&one), outputs(&two));
}

#[test]
fn a_dtype_that_the_method_does_not_take_is_told_before_any_work() {
    let host = TestHost::new();
    let set = set_of(
        &host,
        &[("a", "BF16", &[1], &[0; 2]), ("b", "I64", &[1], &[0; 8])],
    );
    let before = host.blobs();
    let error = bench_set(&host, "exponent_static", &set).unwrap_err();
    assert_eq!(
        error.message,
        "`exponent_static` does not take I64, the dtype of tensor `b`"
    );
    assert_eq!(host.blobs(), before);
}

#[test]
fn a_profile_that_nobody_needs_is_refused() {
    let host = TestHost::new();
    let (set, profile) = (tensors(&host), host.store("profile.bin", b"learnt"));
    let ports = [("tensors", &set), ("profile", &profile)];
    let error = bench(&KIND, &host, "zstd_3", "tensor", &ports).unwrap_err();
    assert!(
        error.message.contains("uses no profile"),
        "{}",
        error.message
    );
}

/// What is wrong with a method of these tests.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// One byte comes back wrong.
    Flips,
    /// A byte is missing at the end.
    Stops,
    /// There is a byte too many.
    GoesOn,
    /// It decodes nothing.
    Refuses,
    /// It hides a byte from the count.
    Hides,
    /// Its streams are not of what went in.
    Misstates,
}

/// Stores bytes, mixed with the one byte of its profile.
struct Store(Fault);

impl Method for Store {
    fn name(&self) -> String {
        "store".to_owned()
    }

    fn encode(
        &self,
        tensors: &[TensorView<'_>],
        profile: Option<&[u8]>,
        out: &mut dyn Write,
    ) -> Result<Accounting, EncodeError> {
        let [key] = profile.unwrap_or_default() else {
            panic!("a profile of one byte");
        };
        let mut payload = 0;
        for tensor in tensors {
            let mixed: Vec<u8> = tensor.data.iter().map(|byte| byte ^ key).collect();
            out.write_all(&mixed).map_err(EncodeError::Write)?;
            payload += mixed.len() as u64;
        }
        Ok(Accounting {
            payload: payload - u64::from(self.0 == Fault::Hides),
            ..Accounting::default()
        })
    }

    fn decode(
        &self,
        encoded: &[u8],
        profile: Option<&[u8]>,
        out: &mut dyn Write,
    ) -> Result<(), DecodeError> {
        let key = profile.unwrap()[0];
        let mut decoded: Vec<u8> = encoded.iter().map(|byte| byte ^ key).collect();
        match self.0 {
            Fault::None | Fault::Hides | Fault::Misstates => {}
            Fault::Flips => decoded[100] ^= 1,
            Fault::Stops => decoded.truncate(decoded.len() - 1),
            Fault::GoesOn => decoded.push(0),
            Fault::Refuses => return Err(DecodeError::Trailing { at: 5, found: 1 }),
        }
        out.write_all(&decoded).map_err(DecodeError::Write)
    }

    fn streams(&self, encoded: &[u8]) -> Result<Vec<StreamBytes>, DecodeError> {
        let stream = StreamBytes {
            name: "all",
            bytes_in: encoded.len() as u64 + 1,
            bytes_out: encoded.len() as u64,
        };
        Ok(match self.0 {
            Fault::Misstates => vec![stream],
            _ => Vec::new(),
        })
    }

    fn takes(&self, dtype: Dtype) -> bool {
        dtype == Dtype::Bf16
    }

    fn encode_memory(&self, bytes: u64) -> u64 {
        bytes
    }

    fn decode_memory(&self, bytes: u64) -> u64 {
        2 * bytes
    }
}

fn store(method: &Value) -> Result<Box<dyn Method>, TaskError> {
    let fault = match method.field("name").as_text() {
        Some("flips") => Fault::Flips,
        Some("stops") => Fault::Stops,
        Some("goes_on") => Fault::GoesOn,
        Some("refuses") => Fault::Refuses,
        Some("hides") => Fault::Hides,
        Some("misstates") => Fault::Misstates,
        _ => Fault::None,
    };
    Ok(Box::new(Store(fault)))
}

fn bench_store(host: &TestHost, name: &str, weights: usize) -> Result<Outputs, TaskError> {
    let data = bf16_weights(weights, 5);
    let shape = [weights as u64];
    let set = set_of(
        host,
        &[("a", "BF16", &shape, &data), ("b", "BF16", &shape, &data)],
    );
    let profile = host.store("profile.bin", b"\x5a");
    let ports = [("tensors", &set), ("profile", &profile)];
    bench(&Bench::with_methods(store), host, name, "tensor", &ports)
}

#[test]
fn the_profile_is_charged_on_every_row() {
    let host = TestHost::new();
    let outputs = bench_store(&host, "sound", 500).unwrap();
    let results = read_table(&host, &outputs["results"]);
    check_rows(&results);
    for row in 0..2 {
        assert_eq!(int(&results, row, "bytes_profile"), 1);
        assert_eq!(int(&results, row, "bytes_out"), 1001);
    }
}

#[test]
fn a_method_that_does_not_bring_back_the_original_fails_the_task() {
    for (name, told) in [
        (
            "flips",
            "tensor `a` with `store`: the decoded bytes differ from the original from byte 100 on",
        ),
        (
            "misstates",
            "tensor `a` with `store`: its streams are of 1001 bytes and come to 1000; 1000 went in and 1000 came out",
        ),
        (
            "stops",
            "tensor `a` with `store`: 999 of the 1000 bytes of the original came out",
        ),
        (
            "goes_on",
            "tensor `a` with `store`: more than the 1000 bytes of the original came out",
        ),
        (
            "refuses",
            "tensor `a` with `store`: 1 bytes follow the end of the encoding at byte 5",
        ),
        (
            "hides",
            "tensor `a` with `store`: 1000 bytes were written and 999 accounted for",
        ),
    ] {
        let host = TestHost::new();
        let error = bench_store(&host, name, 500).unwrap_err();
        assert_eq!(
            (error.kind, error.message.as_str()),
            (TaskErrorKind::Mismatch, told)
        );
    }
}

#[test]
fn a_stop_is_noticed_in_the_middle_of_a_tensor() {
    // Four chunks.
    let data = bf16_weights(1 << 21, 6);
    let mut stops = 0;
    loop {
        // The set takes one question to make.
        let host = TestHost::new().stop_after(1 + stops);
        let set = set_of(&host, &[("a", "BF16", &[1 << 21], &data)]);
        match bench_set(&host, "exponent_static", &set) {
            Ok(_) => break,
            Err(error) => assert_eq!(error.kind, TaskErrorKind::Cancelled),
        }
        assert!(
            host.blobs() <= 3,
            "the file, the set, and the encoding once it is whole"
        );
        stops += 1;
    }
    // Before the encoding and the decoding, and more than once in each.
    assert!(stops >= 6, "{stops}");
}

#[test]
fn memory_is_what_the_method_says() {
    let need = |name: &str, bytes| {
        let params = params(&json!({ "method": { "name": name } }));
        Bench::with_methods(store).needs(&params, bytes).memory
    };
    assert_eq!(need("sound", 5000) - need("sound", 0), 10_000);
    let params = params(&json!({ "method": { "name": "exponent_static" } }));
    assert_eq!(
        KIND.needs(&params, 1 << 40),
        KIND.needs(&params, 1 << 20),
        "whatever the size"
    );
}

#[test]
fn the_columns_are_those_that_are_promised() {
    let host = TestHost::new();
    let outputs = bench_set(&host, "zstd_3", &tensors(&host)).unwrap();
    let json = json!({ "method": { "name": "zstd_3" }, "unit": "tensor" });
    let result = check(&KIND, &json, &Default::default());
    assert_eq!(problems(&result), [""; 0]);
    for promised in &result.outputs {
        assert!(!promised.volatile);
        if promised.ty == PortType::Table {
            let table = read_table(&host, &outputs[&promised.name]);
            assert_eq!(
                names(table.schema()),
                names(&promised.schema),
                "{}",
                promised.name
            );
        }
    }
    assert_eq!(names(&result.outputs[0].schema).len(), 19);
}

#[test]
fn a_file_by_tensors_is_a_mistake_in_the_experiment() {
    let file = InputSchema {
        ty: PortType::File,
        schema: Schema::default(),
        volatile: false,
    };
    let inputs = [("file".to_owned(), file)].into();
    let told = |json: Json| problems(&check(&KIND, &json, &inputs));
    let method = json!({ "name": "zstd_3" });
    assert_eq!(
        told(json!({ "method": method, "unit": "tensor" })),
        ["unit: a file is taken as bytes and cannot be encoded tensor by tensor"]
    );
    assert_eq!(told(json!({ "method": method, "unit": "file" })), [""; 0]);
}

#[test]
fn every_registered_method_brings_bf16_back() {
    let host = TestHost::new();
    let set = tensors(&host);
    let mut tried = 0;
    let names = methods::CATALOG.names().into_iter();
    for name in names.filter(|name| name != METHOD) {
        let info = methods::CATALOG
            .resolve(&name, &Default::default())
            .unwrap();
        let method = methods::of_value(&info.value()).unwrap();
        if method.takes(Dtype::Bf16) && !info.needs_profile {
            bench_set(&host, &name, &set).unwrap();
            tried += 1;
        }
    }
    assert!(tried >= 4, "{tried}");
}
