//! `verdict`: the two documents, claims of every standing, what is pruned, and what a check says.

use std::fs;
use std::path::Path;

use llmcl_stages::kinds::verdict::KIND;
use llmcl_stages_api::kind::{InputSchema, StageKind};
use llmcl_stages_api::port::PortType;
use llmcl_stages_api::table::Schema;
use llmcl_stages_api::value::Type;
use serde_json::{Value as Json, json};

use crate::support::tables::{Given, axis, check_over, rows_of, told};

fn possible(name: &str, condition: Option<&str>, note: Option<&str>) -> Json {
    json!({ "name": name, "condition": condition, "note": note })
}

fn gate(title: &str, found: (&str, Option<&str>), statistics: &Json, outcomes: &[Json]) -> Json {
    json!({
        "version": 1,
        "title": title,
        "outcome": found.0,
        "note": found.1,
        "statistics": statistics,
        "outcomes": outcomes,
    })
}

/// An experiment with a bit of everything.
fn experiment() -> Given {
    let headroom = gate(
        "bf16 headroom",
        ("GREEN", None),
        &json!({ "headroom": 5.289_431_7, "n": 290.0 }),
        &[
            possible("GREEN", Some("headroom >= 1.0"), None),
            possible(
                "YELLOW",
                Some("headroom >= 0.04 || n < 3"),
                Some("little to win"),
            ),
            possible("RED", None, None),
        ],
    );
    let delta = |outcome: (&str, Option<&str>), implied: f64| {
        gate(
            "delta pre-check",
            outcome,
            &json!({ "implied": implied }),
            &[
                possible("GREEN", Some("implied >= 2.0"), None),
                possible(
                    "YELLOW",
                    Some("implied >= 1.6"),
                    Some("little more than coding it alone"),
                ),
                possible("RED", None, None),
            ],
        )
    };
    let pruned_by = ("delta pre-check", "RED");
    let ratio = |method: &str, ratio: f64, n: u32| json!({ "method": method, "n": n, "ratio_bytes": ratio });
    Given::nothing()
        .outcome("bf16 headroom", &[], &headroom)
        .outcome(
            "delta pre-check",
            &[("dtype", "BF16")],
            &delta(("YELLOW", Some("little more than coding it alone")), 1.75),
        )
        .outcome(
            "delta pre-check",
            &[("dtype", "F16")],
            &delta(("RED", None), 1.23456789),
        )
        .pruned("outcomes", "cross-layer finding", &[], pruned_by)
        .table(
            "tables",
            "Methods",
            &[],
            &json!([
                ratio("zstd_19", 1.204_987_6, 290),
                ratio("bf16_split", 1.488_123_4, 290)
            ]),
        )
        .table(
            "tables",
            "By origin | all",
            &[("origin", "native")],
            &json!([ratio("zstd_19", 1.5, 3)]),
        )
        .table(
            "tables",
            "By origin | all",
            &[("origin", "cast")],
            &json!([ratio("zstd_19", 1.25, 3)]),
        )
        .pruned(
            "tables",
            "By origin | all",
            &[("origin", "bf16_born")],
            pruned_by,
        )
        .table(
            "tables",
            "table",
            &[],
            &json!([{ "model": "a", "ratio": 0.000_012_3 }]),
        )
        .table("tables", "table", &[], &json!([{ "layer": 3 }]))
        .table("tables", "Nothing left", &[], &json!([]))
        .table(
            "checks",
            "verify",
            &[("model", "a"), ("method", "zstd_19")],
            &json!([{ "tensor": "x", "matches": true }, { "tensor": "y", "matches": true }]),
        )
        .table(
            "checks",
            "verify",
            &[("model", "b"), ("method", "zstd_19")],
            &json!([{ "tensor": "x", "matches": true }]),
        )
        .pruned(
            "checks",
            "verify",
            &[("model", "a"), ("method", "delta")],
            pruned_by,
        )
        .pruned(
            "checks",
            "verify",
            &[("model", "b"), ("method", "delta")],
            pruned_by,
        )
        .table(
            "checks",
            "Golden digests",
            &[],
            &json!([
                { "tensor": "x", "state": "equal", "matches": true },
                { "tensor": "y", "state": "different", "note": null, "matches": false },
            ]),
        )
        .table(
            "speeds",
            "Speed",
            &[],
            &json!([{ "method": "zstd_19", "decode": 484.25 }]),
        )
        .pruned("speeds", "Delta speed", &[], pruned_by)
        .table(
            "claims.0",
            "Methods",
            &[],
            &json!([
                ratio("zstd_19", 1.204_987_6, 290),
                ratio("bf16_split", 1.488_123_4, 290)
            ]),
        )
        .pruned(
            "claims.1",
            "verify",
            &[("model", "a"), ("method", "delta")],
            pruned_by,
        )
        .table(
            "claims.2",
            "Speed",
            &[],
            &json!([{ "method": "zstd_19", "decode": 484.25 }]),
        )
        .table(
            "claims.3",
            "bench",
            &[("model", "a")],
            &json!([{ "ratio": 1.5 }]),
        )
        .pruned("claims.3", "bench", &[("model", "b")], pruned_by)
        .axis_field("method", "bf16_split", "by", &json!("study"))
}

fn claim(name: &str, published: f64, more: Json) -> Json {
    let mut claim = json!({ "name": name, "source": "iter4 FINAL_VERDICT", "published": published, "tolerance": 0.002 });
    claim
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    claim
}

fn claims() -> Json {
    let split = "max(ratio_bytes, method.by == 'study')";
    let on_methods =
        |statistic: &str| json!({ "port": "claims.0", "statistic": statistic, "volatile": false });
    let with = |mut claim: Json, field: &str, value: Json| {
        claim[field] = value;
        claim
    };
    json!({
        "corpora": ["open-float"],
        "list": [
            claim("bf16_split, byte-weighted", 1.488, on_methods(split)),
            with(claim("on our corpus", 1.3, on_methods(split)), "corpus", json!("open-float")),
            with(claim("OpenZL, byte-weighted", 1.499, on_methods(split)), "corpus", json!("paper-float")),
            json!({
                "name": "bytes out of a fixture",
                "source": "expected-checksums.json",
                "published": 5_660_476,
                "status": "not comparable",
                "reason": "the study's fixture cannot be had",
            }),
            json!({ "name": "deltas", "status": "not comparable", "reason": "it publishes no figure" }),
            claim("delta over alone", 4.0, json!({ "port": "claims.1", "statistic": "max(ratio)", "volatile": false })),
            claim("xz, median", 1.4437, on_methods("max(ratio_bytes, method == 'xz_9')")),
            claim("partly pruned", 1.5, json!({ "port": "claims.3", "statistic": "max(ratio)", "volatile": false })),
            claim("decode, MB/s", 484.0, json!({ "port": "claims.2", "statistic": "max(decode)", "volatile": true })),
        ],
    })
}

fn documents(given: &Given, params: &Json) -> [(String, Json); 2] {
    let outputs = given.run(&KIND, params).unwrap();
    ["verdict", "speeds"].map(|name| {
        let artifact = &outputs[name];
        assert_eq!(artifact.files().len(), 2);
        (
            given.read_text(artifact, &format!("{name}.md")),
            given.read_json(artifact, &format!("{name}.json")),
        )
    })
}

/// Holds a text against a file of `tests/golden`. With `LLMCL_BLESS` in the environment the file is written.
fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("LLMCL_BLESS").is_some() {
        fs::write(&path, text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        text, expected,
        "{name} is not as it was; LLMCL_BLESS=1 writes it anew"
    );
}

#[test]
fn both_documents_are_as_they_should_be() {
    let given = experiment();
    let params = json!({ "title": "bf16 weights", "claims": claims() });
    let outputs = given.run(&KIND, &params).unwrap();
    for name in ["verdict", "speeds"] {
        for file in [format!("{name}.md"), format!("{name}.json")] {
            golden(&file, &given.read_text(&outputs[name], &file));
        }
    }
}

#[test]
fn claims_stand_as_they_should() {
    let [(_, verdict), (_, speeds)] = documents(&experiment(), &json!({ "claims": claims() }));
    let standings = |json: &Json| -> Vec<String> {
        let claims = json["claims"].as_array().unwrap();
        claims
            .iter()
            .map(|claim| {
                let note = claim["note"].as_str().unwrap_or("-");
                format!(
                    "{}: {} {} {}",
                    claim["standing"].as_str().unwrap(),
                    claim["ours"],
                    claim["difference"],
                    note
                )
            })
            .collect()
    };
    assert_eq!(
        standings(&verdict),
        [
            format!("agrees: 1.4881234 {} -", 1.488_123_4 - 1.488),
            format!("differs: 1.4881234 {} -", 1.488_123_4 - 1.3),
            "other corpus: 1.4881234 null published about paper-float, ours about open-float"
                .to_owned(),
            "not comparable: null null the study's fixture cannot be had".to_owned(),
            "not comparable: null null it publishes no figure".to_owned(),
            "pruned: null null delta pre-check is RED".to_owned(),
            "no figure: null null `max` is over no rows: none passes the filter".to_owned(),
            "agrees: 1.5 0.0 1 of 2 tasks were pruned: delta pre-check is RED".to_owned(),
        ]
    );
    assert_eq!(standings(&speeds), ["differs: 484.25 0.25 -"]);
}

#[test]
fn a_difference_of_exactly_the_tolerance_agrees() {
    let standing = |published: f64| {
        let given = Given::nothing().table("claims.0", "", &[], &json!([{ "x": 2.0 }]));
        let claim = json!({ "name": "", "published": published, "tolerance": 0.5,
            "port": "claims.0", "statistic": "max(x)", "volatile": false });
        let [(_, json), _] = documents(
            &given,
            &json!({ "claims": { "list": [claim], "corpora": [] } }),
        );
        json["claims"][0]["standing"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        [2.5, 1.5, 2.75, 1.25].map(standing),
        ["agrees", "agrees", "differs", "differs"]
    );
}

#[test]
fn other_speeds_leave_the_verdict_as_it_is() {
    let outputs = |speed: f64| {
        let given = Given::nothing()
            .table("tables", "Methods", &[], &json!([{ "ratio": 1.5 }]))
            .table("speeds", "Speed", &[], &json!([{ "decode": speed }]))
            .table("claims.0", "Speed", &[], &json!([{ "decode": speed }]));
        let claim = json!({ "name": "decode", "published": 34, "tolerance": 1,
            "port": "claims.0", "statistic": "max(decode)", "volatile": true });
        let outputs = given
            .run(
                &KIND,
                &json!({ "claims": { "list": [claim], "corpora": [] } }),
            )
            .unwrap();
        (outputs["verdict"].digest(), outputs["speeds"].digest())
    };
    let (one, other) = (outputs(33.5), outputs(98.0));
    assert_eq!(one.0, other.0);
    assert_ne!(one.1, other.1);
    assert_eq!(one, outputs(33.5));
}

#[test]
fn without_speeds_there_is_nothing_about_them() {
    let given = Given::nothing().table("tables", "Methods", &[], &json!([{ "ratio": 1.5 }]));
    let [(verdict, _), (speeds, _)] = documents(&given, &json!({}));
    assert_eq!(
        verdict,
        "# Verdict\n\n## Tables\n\n### Methods\n\n|  ratio |\n| -----: |\n| 1.5000 |\n"
    );
    assert_eq!(speeds, "");
}

#[test]
fn long_tables_are_cut_on_the_page_and_whole_in_json() {
    let rows: Vec<Json> = (0..250)
        .map(|row| json!({ "row": row, "matches": row % 5 != 0 }))
        .collect();
    let given = Given::nothing()
        .table("tables", "Pairs", &[], &json!(rows))
        .table("checks", "verify", &[], &json!(rows));
    let [(verdict, json), _] = documents(&given, &json!({}));
    assert!(verdict.contains("\n190 more of 250 rows are in `verdict.json`.\n"));
    assert!(verdict.contains("- verify: 200 of 250 match\n"));
    assert!(verdict.contains("\n30 more of 50 rows are in `verdict.json`.\n"));
    assert_eq!(
        json["tables"][0]["table"]["rows"].as_array().unwrap().len(),
        250
    );
    assert_eq!(
        json["checks"][0]["mismatches"]["rows"]
            .as_array()
            .unwrap()
            .len(),
        50
    );
}

#[test]
fn texts_of_users_stay_on_their_line() {
    let outcome = gate(
        "two\nlines",
        ("RED", None),
        &json!({ "n": 1.0 }),
        &[
            possible("GREEN", Some("name == '`|'"), Some("a\nb")),
            possible("RED", None, None),
        ],
    );
    let given = Given::nothing().outcome("two\nlines | x", &[], &outcome);
    let [(verdict, _), _] = documents(&given, &json!({ "title": "a\n# b" }));
    assert!(verdict.starts_with("# Verdict: a # b\n"));
    assert!(
        verdict.contains("\n| two\\nlines \\| x | RED     |\n"),
        "{verdict}"
    );
    assert!(verdict.contains("\n### two lines | x: RED\n"));
    assert!(verdict.contains("\n- GREEN if `` name == '`|' ``: a b\n- **RED** otherwise\n"));
}

#[test]
fn tables_that_do_not_go_together_stand_alone() {
    let given = Given::nothing()
        .table("tables", "Mixed", &[("m", "a")], &json!([{ "x": 1 }]))
        .pruned("tables", "Mixed", &[("m", "c")], ("g", "RED"))
        .table("tables", "Mixed", &[("m", "b")], &json!([{ "x": "one" }]));
    let [(verdict, json), _] = documents(&given, &json!({}));
    assert_eq!(verdict.matches("### Mixed").count(), 2);
    assert_eq!(json["pruned"].as_array().unwrap().len(), 1);
}

#[test]
fn a_check_without_its_column_is_an_error() {
    let given = Given::nothing().table("checks", "verify", &[], &json!([{ "ok": true }]));
    let error = given.run(&KIND, &json!({})).unwrap_err();
    assert_eq!(error.message, "the table `verify` has no column `matches`");
}

fn outcome_port() -> InputSchema {
    InputSchema {
        ty: PortType::Outcome,
        schema: Schema::default(),
        volatile: false,
    }
}

fn volatile(mut input: InputSchema) -> InputSchema {
    input.volatile = true;
    input
}

#[test]
fn only_the_speeds_are_volatile() {
    let speeds = volatile(rows_of(&[("decode", Type::Float)]));
    let result = check_over(
        &KIND,
        &[],
        &[("outcomes", outcome_port()), ("speeds", speeds)],
        &json!({}),
    );
    assert_eq!(told(&result), Vec::<String>::new());
    let outputs: Vec<_> = result
        .outputs
        .iter()
        .map(|out| (out.name.as_str(), out.volatile))
        .collect();
    assert_eq!(outputs, [("verdict", false), ("speeds", true)]);
    assert!(KIND.reads_volatile() && KIND.reports_pruned() && KIND.owns_claims());
}

#[test]
fn every_mistake_is_told() {
    assert_eq!(
        told(&check_over(&KIND, &[], &[], &json!({}))),
        [
            ": nothing comes in, so there is nothing to report (give at least one of `outcomes`, `tables`, `checks`, \
          `speeds`)"
        ]
    );
    let inputs = [
        ("tables", volatile(rows_of(&[("decode", Type::Float)]))),
        ("checks", rows_of(&[("matchse", Type::Bool)])),
        (
            "claims.0",
            rows_of(&[
                ("ratio", Type::Float),
                ("method", axis("method", &[("by", Type::Text)])),
            ]),
        ),
    ];
    let on_ratio = |name: &str, statistic: &str| json!({ "name": name, "port": "claims.0", "statistic": statistic });
    let claims = json!({ "corpora": [], "list": [
        on_ratio("good", "max(ratio, method.by == 'study')"),
        on_ratio("a truth", "max(ratio) > 1"),
        on_ratio("by its stage", "max(methods.ratio)"),
        json!({ "name": "none", "status": "not comparable" }),
    ] });
    let help =
        "(a claim's statistic is a number over the columns of its table, by their own names)";
    assert_eq!(
        told(&check_over(&KIND, &[], &inputs, &json!({ "claims": claims }))),
        [
            ": what comes in at the port `tables` is measured time, or made from it (give it at the port `speeds`)"
                .to_owned(),
            ": no column `matches` (matchse)".to_owned(),
            format!("claims: the statistic of the claim `a truth`: a number is needed here, and this is a truth value {help}"),
            format!("claims: the statistic of the claim `by its stage`: the table `claims.0` has no column `methods` {help}"),
        ]
    );
    let inputs = [("checks", rows_of(&[("matches", Type::Text)]))];
    assert_eq!(
        told(&check_over(&KIND, &[], &inputs, &json!({}))),
        [": the column `matches` at the port `checks` is a text, and a truth value is needed"]
    );
}
