use super::*;

fn rows() -> Table {
    table(&[
        "{\"bytes_in\":100,\"bytes_out\":50,\"method\":\"b\",\"model\":\"m1\"}",
        "{\"bytes_in\":100,\"bytes_out\":80,\"method\":\"a\",\"model\":\"m1\"}",
        "{\"bytes_in\":300,\"bytes_out\":200,\"method\":\"b\",\"model\":\"m2\"}",
        "{\"bytes_in\":200,\"bytes_out\":100,\"method\":\"b\",\"model\":\"m2\"}",
        "{\"bytes_in\":50,\"bytes_out\":40,\"method\":\"b\",\"model\":\"m3\"}",
    ])
}

fn aggregated(
    by: &[&str],
    statistics: &[(&str, &str)],
    bootstrap: Option<&Bootstrap>,
) -> Result<Table, String> {
    let axes = axes();
    let aggregates = Aggregates {
        group_by: &names(by),
        statistics: &named(statistics),
        bootstrap,
    };
    aggregate(&rows(), &aggregates, &context(&axes)).map_err(|error| error.to_string())
}

fn bootstrap() -> Bootstrap {
    Bootstrap {
        cluster: "model".to_owned(),
        resamples: 1000,
        seed: 42,
        level: 0.95,
        min_clusters: 3,
    }
}

#[test]
fn groups_come_in_the_order_of_their_first_rows() {
    let table = aggregated(
        &["method"],
        &[
            ("n", "count()"),
            ("ratio", "byte_weighted(bytes_in, bytes_out)"),
        ],
        None,
    );
    assert_eq!(
        lines(&table.unwrap()),
        [
            "{\"method\":\"b\",\"n\":4,\"ratio\":1.6666666666666667}",
            "{\"method\":\"a\",\"n\":1,\"ratio\":1.25}"
        ]
    );
    let by_model = aggregated(&["model"], &[("test", "count(model.role == 'test')")], None);
    assert_eq!(
        lines(&by_model.unwrap()),
        [
            "{\"model\":\"m1\",\"test\":0}",
            "{\"model\":\"m2\",\"test\":2}",
            "{\"model\":\"m3\",\"test\":0}"
        ]
    );
    let whole = aggregated(&[], &[("n", "count()")], None);
    assert_eq!(lines(&whole.unwrap()), ["{\"n\":5}"]);
}

#[test]
fn equal_numbers_are_one_group() {
    let axes = axes();
    let group_by = names(&["x"]);
    let statistics = named(&[("n", "count()")]);
    let aggregates = Aggregates {
        group_by: &group_by,
        statistics: &statistics,
        bootstrap: None,
    };
    let table = table(&["{\"x\":1}", "{\"x\":1.0}", "{\"x\":1.5}", "{}", "{}"]);
    let grouped = aggregate(&table, &aggregates, &context(&axes)).unwrap();
    assert_eq!(
        lines(&grouped),
        ["{\"x\":1,\"n\":2}", "{\"x\":1.5,\"n\":1}", "{\"n\":2}"]
    );
}

#[test]
fn bad_groups() {
    for (by, statistics, bootstrap, expected) in [
        (
            "nothing",
            ("n", "count()"),
            None,
            "there is no column `nothing`",
        ),
        (
            "model",
            ("model", "count()"),
            None,
            "there are two columns `model`",
        ),
        (
            "method",
            ("x", "max(bytes_in, bytes_in > 100)"),
            None,
            "in `x` where method = 'a': `max` is over no rows: none passes the filter",
        ),
        (
            "model",
            ("x", "max(nothing)"),
            None,
            "in `x`: there is no `nothing`",
        ),
        (
            "model",
            ("x", "count()"),
            Some(Bootstrap {
                cluster: "nothing".to_owned(),
                ..bootstrap()
            }),
            "there is no column `nothing`",
        ),
        (
            "model",
            ("x", "count()"),
            Some(Bootstrap {
                level: 1.0,
                ..bootstrap()
            }),
            "a bootstrap needs at least one resample and a level between 0 and 1",
        ),
    ] {
        assert_eq!(
            aggregated(&[by], &[statistics], bootstrap.as_ref()).unwrap_err(),
            expected
        );
    }
}

#[test]
fn tables_without_rows_have_no_groups() {
    let axes = axes();
    let nothing = Table::read(&Table::default().write(Vec::new()).unwrap()[..]).unwrap();
    let group_by = names(&["model"]);
    let statistics = named(&[("x", "max(foo)")]);
    let aggregates = Aggregates {
        group_by: &group_by,
        statistics: &statistics,
        bootstrap: None,
    };
    let grouped = aggregate(&nothing, &aggregates, &context(&axes)).unwrap();
    assert_eq!(
        (grouped.len(), column_names(&grouped)),
        (0, vec!["model", "x"])
    );
}

const STATISTICS: [(&str, &str); 3] = [
    ("ratio", "byte_weighted(bytes_in, bytes_out)"),
    ("n", "count()"),
    ("good", "count() > 2"),
];

#[test]
fn intervals_stand_beside_their_statistics() {
    let table = aggregated(&["method"], &STATISTICS, Some(&bootstrap())).unwrap();
    let expected = [
        "method",
        "ratio",
        "ratio_low",
        "ratio_high",
        "n",
        "n_low",
        "n_high",
        "good",
        "good_low",
        "good_high",
        "interval_note",
    ];
    assert_eq!(column_names(&table), expected);
    // One cluster is too few.
    assert_eq!(
        lines(&table)[1],
        "{\"method\":\"a\",\"ratio\":1.25,\"n\":1,\"good\":false,\"interval_note\":\"no intervals: 1 of at least 3 \
         different `model`\"}"
    );
}

/// Twelve models with one to three tensors each.
fn tensors() -> Table {
    let mut builder = TableBuilder::new(&Schema::new(
        ["model", "bytes_in", "bytes_out"].map(|name| Column::new(name, Type::Int, "")),
    ));
    for model in 0..12 {
        for tensor in 0..=model % 3 {
            let bytes_in = 1000 + 37 * model + 11 * tensor;
            let bytes_out = 500 + 91 * ((7 * model + 3 * tensor) % 12);
            builder
                .push_row([model, bytes_in, bytes_out].map(Value::Int).to_vec())
                .unwrap();
        }
    }
    builder.finish()
}

/// The numbers come from another program, written in Python with numpy from the same definition.
#[test]
fn intervals_are_golden() {
    let axes = axes();
    let statistics = named(&[
        ("ratio", "byte_weighted(bytes_in, bytes_out)"),
        ("median", "median(bytes_in / bytes_out)"),
        ("n", "count()"),
    ]);
    let aggregates = Aggregates {
        group_by: &[],
        statistics: &statistics,
        bootstrap: Some(&bootstrap()),
    };
    let table = aggregate(&tensors(), &aggregates, &context(&axes)).unwrap();
    for (column, expected) in [
        ("ratio_low", 1.0682902797867257),
        ("ratio_high", 1.3377374060070013),
        ("median_low", 1.019349164467898),
        ("median_high", 1.4699074074074074),
        ("n_low", 18.0),
        ("n_high", 29.0),
    ] {
        assert_eq!(
            table.column(column).unwrap(),
            [Value::Float(expected)],
            "{column}"
        );
    }
}

#[test]
fn an_interval_needs_nothing_but_its_own_rows() {
    let together = aggregated(&["method"], &STATISTICS, Some(&bootstrap())).unwrap();
    let axes = axes();
    let alone = filter(&rows(), &expr("method == 'b'"), &context(&axes)).unwrap();
    let (group_by, statistics) = (names(&["method"]), named(&STATISTICS[..1]));
    let aggregates = Aggregates {
        group_by: &group_by,
        statistics: &statistics,
        bootstrap: Some(&bootstrap()),
    };
    let alone = aggregate(&alone, &aggregates, &context(&axes)).unwrap();
    for column in ["ratio_low", "ratio_high"] {
        assert_eq!(
            alone.column(column).unwrap()[0],
            together.column(column).unwrap()[0]
        );
    }
}

#[test]
fn a_statistic_that_some_resamples_lack_has_no_interval() {
    let table = aggregated(
        &[],
        &[("x", "max(bytes_in, model == 'm1')")],
        Some(&bootstrap()),
    )
    .unwrap();
    assert_eq!(
        lines(&table),
        ["{\"x\":100,\"interval_note\":\"no interval of `x`: it has no value for a resample\"}"]
    );
}

#[test]
fn the_name_of_a_label_is_read_without_other_fields() {
    let axes = AxisFields::new();
    let statistics = named(&[("n", "count(method.name == 'b')")]);
    let aggregates = Aggregates {
        group_by: &[],
        statistics: &statistics,
        bootstrap: None,
    };
    let counted = aggregate(&rows(), &aggregates, &context(&axes)).unwrap();
    assert_eq!(lines(&counted), ["{\"n\":4}"]);
}
