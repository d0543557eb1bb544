//! `table`: the operations, their order, and the columns that a check promises.

use llmcl_stages::kinds::table::KIND;
use llmcl_stages_api::kind::InputSchema;
use llmcl_stages_api::table::Schema;
use llmcl_stages_api::task::TaskError;
use llmcl_stages_api::value::Type;
use serde_json::{Value as Json, json};

use crate::support::tables::{Given, axis, check_over, lines, names, rows_of, told};

fn run(given: &Given, table: &Json) -> Result<Vec<String>, TaskError> {
    let outputs = given.run(&KIND, table)?;
    let artifact = &outputs["table"];
    assert!(artifact.file("table.jsonl.zst").is_some());
    Ok(lines(&given.read_table(artifact)))
}

/// Two benchmarks of two models, and an atlas of their tensors.
fn bench() -> Given {
    let row = |tensor: &str, bytes_in: u64, bytes_out: u64| json!({ "tensor": tensor, "bytes_in": bytes_in, "bytes_out": bytes_out });
    Given::nothing()
        .table(
            "rows",
            "bench",
            &[("model", "a"), ("method", "zstd_19")],
            &json!([row("x", 100, 80), row("y", 10, 10)]),
        )
        .table(
            "rows",
            "bench",
            &[("model", "b"), ("method", "zstd_19")],
            &json!([row("x", 200, 100)]),
        )
        .table(
            "rows",
            "bench",
            &[("model", "a"), ("method", "split")],
            &json!([row("x", 100, 50), row("y", 10, 5)]),
        )
        .table(
            "atlas",
            "atlas",
            &[("model", "a")],
            &json!([{ "tensor": "x", "h": 4.5 }]),
        )
        .table(
            "atlas",
            "atlas",
            &[("model", "b")],
            &json!([{ "tensor": "x", "h": 3.5 }]),
        )
        .axis_field("method", "split", "by", &json!("ours"))
        .axis_field("method", "zstd_19", "by", &json!("general"))
}

fn joined() -> Json {
    json!({ "from": "rows", "join": [{ "table": "atlas", "on": ["model", "tensor"] }] })
}

/// The parameters with more of them.
fn with(mut table: Json, more: Json) -> Json {
    let more = more.as_object().unwrap().clone();
    table.as_object_mut().unwrap().extend(more);
    table
}

#[test]
fn a_join_adds_columns_and_keeps_rows() {
    assert_eq!(
        run(&bench(), &joined()).unwrap(),
        [
            "bytes_in bytes_out tensor model method h",
            "100 80 'x' 'a' 'zstd_19' 4.5",
            "10 10 'y' 'a' 'zstd_19' none",
            "200 100 'x' 'b' 'zstd_19' 3.5",
            "100 50 'x' 'a' 'split' 4.5",
            "10 5 'y' 'a' 'split' none",
        ]
    );
}

#[test]
fn every_operation_sees_what_the_ones_before_it_made() {
    // `h` is there only after the join, `saved` only after compute, and groups only hold what the filter kept.
    let table = with(
        joined(),
        json!({
            "compute": { "saved": "(bytes_in - bytes_out) * h" },
            "filter": "has(h) && saved >= 90",
            "group_by": ["method"],
            "aggregate": { "n": "count()", "most": "max(saved)" },
        }),
    );
    // The operations that need `h` may not see the rows without one: here the filter has to come before them.
    assert!(
        run(&bench(), &table)
            .unwrap_err()
            .message
            .contains("`h` is none in row 2")
    );
    let table = with(
        table,
        json!({ "compute": { "saved": "bytes_in - bytes_out" }, "filter": "saved >= 20" }),
    );
    assert_eq!(
        run(&bench(), &table).unwrap(),
        ["method most n", "'zstd_19' 100 2", "'split' 50 1"]
    );
}

#[test]
fn groups_without_statistics_are_distinct_values_and_statistics_without_groups_are_one_row() {
    let given = Given::nothing().table(
        "rows",
        "",
        &[],
        &json!([{ "a": 1, "b": "x" }, { "a": 1, "b": "x" }, { "a": 2, "b": "x" }]),
    );
    assert_eq!(
        run(&given, &json!({ "group_by": ["b", "a"] })).unwrap(),
        ["b a", "'x' 1", "'x' 2"]
    );
    assert_eq!(
        run(&given, &json!({ "aggregate": { "s": "sum(a)" } })).unwrap(),
        ["s", "4"]
    );
    assert_eq!(run(&given, &json!({})).unwrap().len(), 4);
}

#[test]
fn fields_of_axis_values_are_read_through_label_columns() {
    let rows = json!({ "from": "rows", "join": [{ "table": "atlas", "on": ["model", "tensor"] }],
        "filter": "method.by == 'ours'", "group_by": ["method"] });
    assert_eq!(run(&bench(), &rows).unwrap(), ["method", "'split'"]);
}

#[test]
fn a_bootstrap_adds_an_interval_and_repeats_itself() {
    let given = || {
        (0..6u32).fold(Given::nothing(), |given, model| {
            let ratio = 1.0 + f64::from(model) / 10.0;
            given.table(
                "rows",
                "",
                &[("model", &format!("m{model}"))],
                &json!([{ "ratio": ratio }]),
            )
        })
    };
    let bootstrap = |min_clusters: u32| {
        json!({
            "aggregate": { "mean": "mean(ratio)" },
            "bootstrap":
                { "cluster": "model", "resamples": 200, "seed": 42, "level": 0.9, "min_clusters": min_clusters },
        })
    };
    let rows = run(&given(), &bootstrap(6)).unwrap();
    assert_eq!(rows[0], "mean mean_low mean_high interval_note");
    assert!(rows[1].ends_with(" none"), "{}", rows[1]);
    let cells: Vec<f64> = rows[1]
        .split(' ')
        .filter_map(|cell| cell.parse().ok())
        .collect();
    assert!(
        1.0 < cells[1] && cells[1] < cells[0] && cells[0] < cells[2] && cells[2] < 1.5,
        "{cells:?}"
    );
    assert_eq!(rows, run(&given(), &bootstrap(6)).unwrap());
    assert_eq!(
        run(&given(), &bootstrap(7)).unwrap()[1],
        "1.25 none none 'no intervals: 6 of at least 7 different `model`'"
    );
}

#[test]
fn what_is_left_after_pruning_is_used() {
    let given = Given::nothing()
        .table("rows", "", &[("m", "a")], &json!([{ "x": 1 }]))
        .pruned("rows", "", &[("m", "b")], ("headroom", "RED"));
    assert_eq!(
        run(&given, &json!({ "compute": { "y": "x + 1" } })).unwrap(),
        ["x m y", "1 'a' 2"]
    );
    let nothing = || Given::nothing().pruned("rows", "", &[("m", "b")], ("headroom", "RED"));
    assert_eq!(
        run(&nothing(), &json!({ "filter": "x > 1", "group_by": ["m"] })).unwrap(),
        [""]
    );
    let error = run(&nothing(), &json!({ "aggregate": { "best": "max(x)" } })).unwrap_err();
    assert_eq!(error.message, "in `best`: `max` is over no rows");
    assert!(error.hint.unwrap().contains("`headroom` was RED"));
}

#[test]
fn joins_that_are_not_one_to_one_fail() {
    let given = Given::nothing()
        .table("rows", "", &[], &json!([{ "x": 1, "size": 3 }]))
        .table("twice", "", &[], &json!([{ "x": 1 }, { "x": 1 }]))
        .table("other", "", &[], &json!([{ "x": 1, "size": 4 }]));
    let error = |table: &str| {
        let table = json!({ "from": "rows", "join": [{ "table": table, "on": ["x"] }] });
        run(&given, &table).unwrap_err().message
    };
    assert_eq!(
        error("twice"),
        "joining `twice`: two rows of the joined table have x = 1"
    );
    assert_eq!(
        error("other"),
        "joining `other`: the joined tables disagree about `size` where x = 1: 3 and 4"
    );
}

fn bench_rows() -> InputSchema {
    rows_of(&[
        ("bytes_in", Type::Int),
        ("bytes_out", Type::Int),
        ("tensor", Type::Text),
        ("model", axis("model", &[("role", Type::Text)])),
        ("method", axis("method", &[("by", Type::Text)])),
    ])
}

fn atlas_rows() -> InputSchema {
    rows_of(&[
        ("tensor", Type::Text),
        ("h", Type::Float),
        ("model", axis("model", &[("role", Type::Text)])),
    ])
}

fn inputs() -> [(&'static str, InputSchema); 2] {
    [("rows", bench_rows()), ("atlas", atlas_rows())]
}

#[test]
fn the_check_promises_the_columns_that_the_run_makes() {
    let tables = [
        joined(),
        with(
            joined(),
            json!({ "compute": { "r": "bytes_in / bytes_out", "who": "method", "big": "bytes_in > 90" } }),
        ),
        with(joined(), json!({ "group_by": ["method", "model"] })),
        with(
            joined(),
            json!({
                "filter": "has(h)",
                "group_by": ["method"],
                "aggregate": { "n": "count()", "r": "byte_weighted(bytes_in, bytes_out)" },
                "bootstrap":
                    { "cluster": "model", "resamples": 10, "seed": 0, "level": 0.95, "min_clusters": 2 },
            }),
        ),
    ];
    for table in tables {
        let result = check_over(&KIND, &[], &inputs(), &table);
        assert_eq!(told(&result), Vec::<String>::new(), "{table}");
        let [output] = &result.outputs[..] else {
            panic!("one output")
        };
        let made = &run(&bench(), &table).unwrap()[0];
        assert_eq!(names(&output.schema).join(" "), *made, "{table}");
        assert!(!output.volatile && !output.schema.is_open());
    }
}

fn types(schema: &Schema) -> Vec<(&str, String)> {
    let columns = schema.columns().iter();
    columns
        .map(|column| (column.name.as_str(), column.ty.to_string()))
        .collect()
}

#[test]
fn columns_have_types_and_axis_columns_keep_theirs() {
    let table = with(
        joined(),
        json!({
            "compute": { "who": "method", "saved": "bytes_in - bytes_out" },
            "group_by": ["method", "who"],
            "aggregate": { "n": "count()", "best": "max(saved)", "mean": "mean(saved)", "most": "count() > 1" },
        }),
    );
    let result = check_over(&KIND, &[], &inputs(), &table);
    let text = |text: &str| text.to_owned();
    assert_eq!(
        types(&result.outputs[0].schema),
        [
            ("method", text("a value of the axis `method`")),
            // Under another name the fields of its values could not be found.
            ("who", text("a text")),
            ("best", text("a whole number")),
            ("mean", text("a number")),
            ("most", text("a truth value")),
            ("n", text("a whole number")),
        ]
    );
}

#[test]
fn a_table_of_volatile_inputs_is_volatile() {
    let mut speeds = rows_of(&[("decode_mb_s", Type::Float)]);
    speeds.volatile = true;
    let table = json!({ "aggregate": { "decode": "median(decode_mb_s)" } });
    let result = check_over(&KIND, &[], &[("rows", speeds)], &table);
    assert!(result.outputs[0].volatile);
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let mistakes = |inputs: &[(&str, InputSchema)], table: &Json| {
        told(&check_over(
            &KIND,
            &[("layer_gap", Type::Int)],
            inputs,
            table,
        ))
    };
    assert_eq!(
        mistakes(
            &inputs(),
            &json!({
                "from": "rows",
                "join": [{ "table": "atlas", "on": ["model", "tensro"] }],
                "compute": { "bytes_in": "bytes_out", "x": "bytes_out + who", "layer_gap": "1" },
                "filter": "bytes_in",
                "group_by": ["methd", "model", "model"],
                "aggregate": { "n": "count(1)", "model": "count()" },
                "bootstrap":
                    { "cluster": "modle", "resamples": 10, "seed": 0, "level": 95, "min_clusters": 2 },
            })
        ),
        [
            "join.0.on.1: no column `tensro` (tensor)",
            "compute.bytes_in: there is a column `bytes_in` already (give the new column another name)",
            "compute.layer_gap: `layer_gap` is an axis of this stage, whose column has its name (give the column \
             another name)",
            "compute.x[12..15]: there is no `who` here",
            "filter[0..8]: a truth value is needed here, and this is a whole number",
            "bootstrap.cluster: no column `modle` (model)",
            "bootstrap.level: a level is between 0 and 1 (such as 0.95)",
            "group_by.0: no column `methd` (method)",
            "group_by.2: the column `model` is named twice (name it once)",
            "aggregate.model: there is a column `model` already (give the new column another name)",
            "aggregate.n[6..7]: a truth value is needed here, and this is a whole number",
        ]
    );
    let rows = [("rows", bench_rows())];
    assert_eq!(
        mistakes(
            &rows,
            &json!({ "group_by": [], "aggregate": {}, "filter": "methd == 'a'" })
        ),
        ["filter[0..5]: there is no `methd` here (did you mean `method`?)"]
    );
    assert_eq!(
        mistakes(
            &rows,
            &json!({
                "group_by": ["methd", "model"],
                "bootstrap":
                    { "cluster": "model", "resamples": 10, "seed": 0, "level": 0.5, "min_clusters": 2 },
            })
        ),
        [
            "bootstrap: a bootstrap is over statistics, and there are none (add `aggregate`)",
            "bootstrap.cluster: each group has one `model`, so there is nothing to draw from (cluster by a column \
             that is not in `group_by`)",
            "group_by.0: no column `methd` (method)",
        ]
    );
    assert_eq!(
        mistakes(
            &rows,
            &json!({ "aggregate": { "r": "median(ratio)", "r_low": "1" },
            "bootstrap": { "cluster": "modle", "resamples": 1, "seed": 0, "level": 0.5, "min_clusters": 2 } })
        ),
        [
            "bootstrap.cluster: no column `modle` (model)",
            "aggregate.r[7..12]: there is no `ratio` here",
            "aggregate.r_low: there is a column `r_low` already (give the new column another name)",
        ]
    );
}

#[test]
fn inputs_are_named_and_used() {
    let mistakes = |table: &Json| told(&check_over(&KIND, &[], &inputs(), table));
    assert_eq!(
        mistakes(&json!({})),
        [
            ": there are several inputs (atlas, rows), and `from` does not say whose rows the table is made of (add \
          `from`, and a `join` for each other input)"
        ]
    );
    assert_eq!(
        mistakes(&json!({ "from": "row" })),
        ["from: there is no input `row` (did you mean `rows`?)"]
    );
    assert_eq!(
        mistakes(&json!({ "from": "rows" })),
        [
            "join: the input `atlas` is not used (add it to `join`: { table = \"atlas\", on = [\"…\"] })"
        ]
    );
    assert_eq!(
        mistakes(&json!({ "from": "rows", "join": [
            { "table": "atlas", "on": [] },
            { "table": "rows", "on": ["model"] },
            { "table": "methods", "on": ["model"] },
        ] })),
        [
            "join.0.on: a join needs columns whose cells must be equal (such as `on = [\"model\"]`)",
            "join.1.table: the input `rows` is there already (each input is joined once)",
            "join.2.table: there is no input `methods` (the inputs are atlas, rows)",
        ]
    );
    let clash = [
        ("rows", bench_rows()),
        (
            "atlas",
            rows_of(&[("tensor", Type::Text), ("bytes_in", Type::Text)]),
        ),
    ];
    let table = json!({ "from": "rows", "join": [{ "table": "atlas", "on": ["tensor"] }] });
    assert_eq!(
        told(&check_over(&KIND, &[], &clash, &table)),
        [
            "join.0: the column `bytes_in` is a whole number in one table and a text in another (rename or leave out \
          the column in one of the tables)"
        ]
    );
}
