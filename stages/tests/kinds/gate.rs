//! `gate`: statistics, the first outcome that holds, and what a check says.

use llmcl_stages::kinds::gate::KIND;
use llmcl_stages_api::kind::{CheckResult, StageKind};
use llmcl_stages_api::outcome::Outcome;
use llmcl_stages_api::task::TaskError;
use llmcl_stages_api::value::Type;
use serde_json::{Value as Json, json};

use crate::support::tables::{Given, axis, check_over, rows_of, told};

fn run(given: &Given, gate: &Json) -> Result<Outcome, TaskError> {
    let outputs = given.run(&KIND, gate)?;
    let json = given.read_json(&outputs["outcome"], "outcome.json");
    Ok(serde_json::from_value(json).unwrap())
}

fn atlas() -> Given {
    Given::nothing()
        .table(
            "atlas",
            "atlas",
            &[("model", "a")],
            &json!([{ "h": 3.5, "low": 3.25 }, { "h": 3.0, "low": 2.0 }]),
        )
        .table(
            "atlas",
            "atlas",
            &[("model", "b")],
            &json!([{ "h": 2.0, "low": 2.0 }]),
        )
        .axis_field("model", "a", "role", &json!("train"))
        .axis_field("model", "b", "role", &json!("test"))
}

fn precheck() -> Json {
    json!({
        "title": "Q pre-check",
        "statistics": { "drop": "median(h - low)", "n": "count()", "train": "max(h, model.role == 'train')" },
        "outcomes": [
            { "name": "GREEN", "if": "drop >= 0.3" },
            { "name": "YELLOW", "if": "n == 3 && train > 3.4", "note": "few, but large" },
            { "name": "YELLOW", "if": "drop > 0" },
            { "name": "RED" },
        ],
    })
}

#[test]
fn the_first_outcome_that_holds_is_the_outcome() {
    let found = run(&atlas(), &precheck()).unwrap();
    assert_eq!(found.title, "Q pre-check");
    assert_eq!(
        (found.outcome.as_str(), found.note.as_deref()),
        ("YELLOW", Some("few, but large"))
    );
    let statistics: Vec<(&str, f64)> = found
        .statistics
        .iter()
        .map(|(name, value)| (name.as_str(), *value))
        .collect();
    assert_eq!(statistics, [("drop", 0.25), ("n", 3.0), ("train", 3.5)]);
    let conditions: Vec<Option<&str>> = found
        .outcomes
        .iter()
        .map(|possible| possible.condition.as_deref())
        .collect();
    assert_eq!(
        conditions,
        [
            Some("drop >= 0.3"),
            Some("n == 3 && train > 3.4"),
            Some("drop > 0"),
            None
        ]
    );
}

#[test]
fn the_last_outcome_is_left_when_no_condition_holds() {
    let given = Given::nothing().table("rows", "", &[], &json!([{ "x": 1 }]));
    let gate = json!({
        "statistics": { "x": "max(x)" },
        "outcomes": [{ "name": "BREAKTHROUGH", "if": "x > 1" }, { "name": "NULL" }],
    });
    let found = run(&given, &gate).unwrap();
    assert_eq!((found.title.as_str(), found.outcome.as_str()), ("", "NULL"));
}

#[test]
fn several_tables_go_by_their_ports() {
    let given = Given::nothing()
        .table("router", "", &[], &json!([{ "bytes": 30, "best": 10 }]))
        .table(
            "methods",
            "",
            &[],
            &json!([{ "ratio": 2.5 }, { "ratio": 2.75 }]),
        );
    let gate = json!({
        "statistics": { "gain": "byte_weighted(router.bytes, router.best) - max(methods.ratio)" },
        "outcomes": [{ "name": "WORTHWHILE", "if": "gain >= 0.25" }, { "name": "NEGLIGIBLE" }],
    });
    assert_eq!(run(&given, &gate).unwrap().outcome, "WORTHWHILE");
}

#[test]
fn the_same_outcome_is_the_same_bytes() {
    let artifact = |given: &Given| given.run(&KIND, &precheck()).unwrap()["outcome"].digest();
    assert_eq!(artifact(&atlas()), artifact(&atlas()));
}

#[test]
fn a_statistic_without_a_value_is_named() {
    let given = || Given::nothing().table("rows", "", &[], &json!([{ "x": 1, "y": null }]));
    let failure = |given: &Given, statistic: &str| {
        let gate = json!({ "statistics": { "best": statistic }, "outcomes": [{ "name": "NULL" }] });
        run(given, &gate).expect_err("a failure")
    };
    for (statistic, why) in [
        (
            "max(x, x > 1)",
            "`max` is over no rows: none passes the filter",
        ),
        ("max(y)", "`y` is none in row 1"),
        ("max(x) / (max(x) - 1)", "division by zero"),
        ("sqrt(0 - max(x))", "`sqrt` of -1 is not a number"),
    ] {
        let error = failure(&given(), statistic);
        assert_eq!(
            error.message,
            format!("the statistic `best` ({statistic}): {why}")
        );
        assert_eq!(error.hint, None);
    }
}

#[test]
fn what_is_left_after_pruning_is_used() {
    let given = atlas().pruned("atlas", "atlas", &[("model", "c")], ("headroom", "RED"));
    assert_eq!(run(&given, &precheck()).unwrap().statistics["n"], 3.0);
    let nothing = Given::nothing().pruned("atlas", "atlas", &[("model", "c")], ("headroom", "RED"));
    let error = run(&nothing, &precheck()).expect_err("a failure");
    assert_eq!(
        error.message,
        "the statistic `drop` (median(h - low)): `median` is over no rows"
    );
    assert_eq!(
        error.hint.as_deref(),
        Some("1 of 1 inputs were pruned, the first because the outcome of `headroom` was RED")
    );
}

fn check(gate: &Json) -> CheckResult {
    let atlas = rows_of(&[
        ("h", Type::Float),
        ("low", Type::Float),
        ("name", Type::Text),
        ("model", axis("model", &[("role", Type::Text)])),
    ]);
    check_over(&KIND, &[("dtype", Type::Text)], &[("atlas", atlas)], gate)
}

#[test]
fn a_good_gate_has_no_problem_and_says_which_fields_it_reads() {
    let result = check(&precheck());
    assert_eq!(told(&result), Vec::<String>::new());
    let reads: Vec<_> = result.axis_reads.iter().cloned().collect();
    assert_eq!(reads, [("model".to_owned(), "role".to_owned())]);
    let [output] = &result.outputs[..] else {
        panic!("one output")
    };
    assert!(!output.volatile);
    assert!(!KIND.reads_volatile() && KIND.reports_pruned());
}

#[test]
fn every_mistake_in_a_gate_is_told_with_its_place() {
    let result = check(&json!({
        "statistics": {
            "drop": "median(h - lwo)",
            "who": "name",
            "many": "count() > 3",
            "dtype": "count()",
            "a-b": "count()",
        },
        "outcomes": [
            { "name": "Green", "if": "drop >= 0.15" },
            { "name": "YELLOW" },
            { "name": "ORANGE", "if": "droop > 1" },
            { "name": "PINK", "if": "1 < 2 && dtype == 'BF16'" },
            { "name": "RED", "if": "drop + 1" },
        ],
    }));
    let expected = [
        "statistics.a-b: no expression can name a statistic `a-b` (a name is made of letters, digits and `_`)",
        "statistics.drop[11..14]: there is no `lwo` here (did you mean `low`?)",
        "statistics.dtype: `dtype` is an axis of this stage, so conditions could not name the statistic (give the \
         statistic another name)",
        "statistics.many[0..11]: a number is needed here, and this is a truth value",
        "statistics.who[0..4]: `name` has a value for each row: which one is meant?",
        "outcomes.0.name: `Green` cannot be the name of an outcome (an outcome is written in capitals, digits and \
         `_`: GREEN, OUTCOME_1)",
        "outcomes.1: YELLOW has no condition, so no later outcome could be (add `if`, or move it to the end: only \
         the last outcome has no condition)",
        "outcomes.2.if[0..5]: there is no `droop` here (did you mean `drop`?)",
        "outcomes.3.if: the condition of PINK names no statistic, so the tables do not matter to it (name one of \
         `statistics`)",
        "outcomes.4.if[0..8]: a truth value is needed here, and this is a number",
        "outcomes.4.if: the last outcome, RED, has a condition: if none of the conditions held, there would be no \
         outcome and the task would fail (remove this `if`, or add an outcome without one after it)",
    ];
    let found = told(&result);
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn a_condition_without_a_statistic_and_empty_lists_are_mistakes() {
    let result = check(&json!({
        "statistics": { "n": "count()" },
        "outcomes": [{ "name": "GREEN", "if": "dtype == 'BF16'" }, { "name": "RED" }],
    }));
    assert_eq!(
        told(&result),
        [
            "outcomes.0.if: the condition of GREEN names no statistic, so the tables do not matter to it (name one of \
          `statistics`)"
        ]
    );
    let result = check(&json!({ "statistics": {}, "outcomes": [] }));
    assert_eq!(
        told(&result),
        [
            "statistics: there is no statistic, so nothing could decide between the outcomes (add one, such as `n = \
             \"count()\"`)",
            "outcomes: there is no outcome (list them in order, the last one without `if`)",
        ]
    );
}

#[test]
fn columns_of_several_tables_need_their_port() {
    let result = check_over(
        &KIND,
        &[],
        &[
            ("rows", rows_of(&[("ratio", Type::Float)])),
            ("methods", rows_of(&[("ratio", Type::Float)])),
        ],
        &json!({
            "statistics": { "a": "max(ratio)", "b": "max(methods.ratoi)", "c": "max(rows.ratio)" },
            "outcomes": [{ "name": "RED" }],
        }),
    );
    assert_eq!(
        told(&result),
        [
            "statistics.a[4..9]: there are several tables here, so `ratio` needs its table's name",
            "statistics.b[12..17]: the table `methods` has no column `ratoi` (did you mean `ratio`?)",
        ]
    );
}
