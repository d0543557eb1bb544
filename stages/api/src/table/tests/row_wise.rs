use super::*;

fn rows() -> Table {
    table(&[
        "{\"model\":\"m1\",\"n\":1,\"ok\":true}",
        "{\"model\":\"m2\",\"n\":2,\"ok\":true}",
        "{\"model\":\"m3\",\"n\":4}",
    ])
}

#[test]
fn rows_are_kept_where_the_condition_is_true() {
    let axes = axes();
    for (condition, expected) in [
        ("ok", vec![1, 2]),
        ("!ok", vec![4]),
        ("model.role == 'test'", vec![2]),
        ("model.role != 'test' && rows.n < 4", vec![1]),
        ("false", vec![]),
    ] {
        let kept = filter(&rows(), &expr(condition), &context(&axes)).unwrap();
        let n: Vec<i64> = kept
            .column("n")
            .unwrap()
            .iter()
            .filter_map(Value::as_int)
            .collect();
        assert_eq!(n, expected, "{condition}");
    }
    let error = filter(&rows(), &expr("n"), &context(&axes)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "in `filter`: a truth value is needed, and `n` is 1 in row 1"
    );
}

#[test]
fn columns_are_computed_from_those_before() {
    let axes = axes();
    let computed = compute(
        &rows(),
        &named(&[("half", "n / 2"), ("role", "model.role")]),
        &context(&axes),
    )
    .unwrap();
    assert_eq!(
        column_names(&computed),
        ["model", "n", "ok", "half", "role"]
    );
    assert_eq!(computed.schema().column("half").unwrap().ty, Type::Float);
    assert_eq!(
        lines(&computed)[2],
        "{\"model\":\"m3\",\"n\":4,\"half\":2.0}"
    );
    for (columns, expected) in [
        (named(&[("a", "n"), ("b", "a")]), "in `b`: there is no `a`"),
        (named(&[("n", "n")]), "there are two columns `n`"),
        (
            named(&[("a", "n / (n - 2)")]),
            "in `a`: division by zero in row 2",
        ),
    ] {
        let error = compute(&rows(), &columns, &context(&axes)).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}
