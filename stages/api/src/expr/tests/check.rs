use std::collections::BTreeSet;

use super::*;

fn scalar_scope() -> Scope<'static> {
    Scope {
        mode: Mode::Scalar,
        variables: [
            ("method", method_type()),
            ("precheck", Type::Text),
            ("gap", Type::Int),
            ("best", Type::Float),
            ("types", Type::List(Box::new(Type::Text))),
        ]
        .map(|(name, ty)| (name.to_owned(), ty))
        .into(),
        tables: Vec::new(),
    }
}

fn table_scope<'s>(mode: Mode, names: &[&str], schema: &'s Schema) -> Scope<'s> {
    Scope {
        mode,
        variables: BTreeMap::from([("gap".to_owned(), Type::Int)]),
        tables: names
            .iter()
            .map(|name| ((*name).to_owned(), schema))
            .collect(),
    }
}

fn ty(source: &str, scope: &Scope<'_>) -> Type {
    check(&parsed(source), scope)
        .unwrap_or_else(|errors| panic!("{source}: {errors:?}"))
        .ty
}

/// The mistakes, as `marked text: message; hint`.
fn mistakes(source: &str, scope: &Scope<'_>) -> Vec<String> {
    let expr = parsed(source);
    let errors = match check_condition(&expr, scope) {
        Err(errors) => errors,
        Ok(checked) => panic!("{source} is {:?}", checked.ty),
    };
    errors
        .iter()
        .map(|error| {
            let help = error
                .help()
                .map_or_else(String::new, |help| format!("; {help}"));
            format!("{}: {error}{help}", &source[error.span.clone()])
        })
        .collect()
}

#[test]
fn good_scalars() {
    let scope = scalar_scope();
    for (source, expected) in [
        ("method.trained", Type::Bool),
        ("!method.trained || precheck != 'RED'", Type::Bool),
        (
            "method == 'zstd_19' && method in ['a', 'b'] && method.name != 'c'",
            Type::Bool,
        ),
        ("method == method", Type::Bool),
        ("'BF16' not in method.trained_on", Type::Bool),
        ("has(method.shipped) == (method.k == none)", Type::Bool),
        ("gap * 2 - 1", Type::Int),
        ("gap / 2", Type::Float),
        ("gap + best", Type::Float),
        ("abs(gap)", Type::Int),
        ("abs(best)", Type::Float),
        ("round(best)", Type::Int),
        ("sqrt(gap)", Type::Float),
        ("-gap", Type::Int),
        ("gap == 1.0 && 'a' < 'b' && gap < best", Type::Bool),
        ("[1, 0.5]", Type::List(Box::new(Type::Float))),
    ] {
        assert_eq!(ty(source, &scope), expected, "{source}");
    }
}

#[test]
fn bad_scalars() {
    let scope = scalar_scope();
    for (source, expected) in [
        (
            "mehtod.trained",
            "mehtod: there is no `mehtod` here; did you mean `method`?",
        ),
        (
            "banana",
            "banana: there is no `banana` here; known here: `best`, `gap`, `method`, `precheck`, `types`",
        ),
        (
            "gap == null",
            "null: there is no `null` here; did you mean `none`?",
        ),
        (
            "method.traned",
            "traned: no value of the axis `method` has a field `traned`; did you mean `trained`?",
        ),
        (
            "precheck.name == 'a'",
            "name: `precheck` is a text and has no fields",
        ),
        (
            "method.by.x == 'a'",
            "x: `method.by` is a text and has no fields",
        ),
        (
            "gap",
            "gap: a truth value is needed here, and this is a whole number",
        ),
        (
            "gap && true",
            "gap: a truth value is needed here, and this is a whole number",
        ),
        (
            "!gap",
            "gap: a truth value is needed here, and this is a whole number",
        ),
        (
            "precheck + 1 > 0",
            "precheck: a number is needed here, and this is a text",
        ),
        (
            "gap == 'a'",
            "gap == 'a': a whole number and a text are never equal",
        ),
        (
            "gap in ['a']",
            "gap in ['a']: a whole number and a text are never equal",
        ),
        (
            "gap in 1",
            "1: a list is needed here, and this is a whole number",
        ),
        (
            "gap < 'a'",
            "gap < 'a': a whole number and a text have no order",
        ),
        (
            "true < false",
            "true < false: a truth value and a truth value have no order",
        ),
        (
            "gap in [1, 'a']",
            "'a': a list holds values of one type, and this one has a whole number and a text",
        ),
        (
            "rond(gap) == 1",
            "rond: there is no function `rond`; did you mean `round`?",
        ),
        ("abs(1, 2) == 1", "abs(1, 2): `abs` takes one number, not 2"),
        (
            "has(1)",
            "1: `has` takes a name or a field, such as `has(method.trained)`",
        ),
        (
            "has(method.foo)",
            "foo: no value of the axis `method` has a field `foo`",
        ),
        (
            "max(gap) > 1",
            "max(gap): `max` is over the rows of a table and cannot be used here",
        ),
    ] {
        let found = mistakes(source, &scope);
        assert_eq!(found.len(), 1, "{source}: {found:?}");
        assert!(found[0].starts_with(expected), "{source}: {found:?}");
    }
    let all = mistakes("method.foo == 'a' || banana && gap < 'x'", &scope);
    assert_eq!(all.len(), 3, "{all:?}");
}

#[test]
fn tables_in_their_modes() {
    let schema = bench_schema();
    let row = table_scope(Mode::Row, &["rows"], &schema);
    let one = table_scope(Mode::Aggregate, &["rows"], &schema);
    let two = table_scope(Mode::Aggregate, &["rows", "methods"], &schema);
    for (source, scope, expected) in [
        ("ratio * gap", &row, Type::Float),
        ("rows.ratio > 1 && roundtrip", &row, Type::Bool),
        ("method.by == 'ours' && method == 'x'", &row, Type::Bool),
        ("count() + count(roundtrip)", &one, Type::Int),
        ("sum(bytes_in)", &one, Type::Int),
        ("sum(ratio)", &one, Type::Float),
        ("median(ratio, method.by != 'ours')", &one, Type::Float),
        ("quantile(ratio, gap / 4)", &one, Type::Float),
        (
            "byte_weighted(bytes_in, bytes_out) >= 1.1",
            &one,
            Type::Bool,
        ),
        (
            "max(methods.ratio, methods.method.by == 'x') - max(rows.ratio)",
            &two,
            Type::Float,
        ),
        ("count(methods.roundtrip)", &two, Type::Int),
    ] {
        assert_eq!(ty(source, scope), expected, "{source}");
    }
    for (source, scope, expected) in [
        (
            "max(ratio) > 1",
            &row,
            "max(ratio): `max` is over the rows of a table and cannot be used here",
        ),
        (
            "raito > 1",
            &row,
            "raito: there is no `raito` here; did you mean `ratio`?",
        ),
        (
            "rows.raito > 1",
            &row,
            "raito: the table `rows` has no column `raito`; did you mean `ratio`?",
        ),
        (
            "rows",
            &row,
            "rows: `rows` is a whole table, not a value; name one of its columns: `rows.…`",
        ),
        (
            "ratio > 1",
            &one,
            "ratio: `ratio` has a value for each row: which one is meant?; use an aggregate, such as `median(ratio)` or `max(ratio)`",
        ),
        (
            "max(mean(ratio)) > 1",
            &one,
            "mean(ratio): `mean` cannot stand inside `max`: a statistic has no value for each row",
        ),
        (
            "max(ratio, ratio) > 1",
            &one,
            "ratio: a truth value is needed here, and this is a number",
        ),
        (
            "quantile(ratio, ratio) > 1",
            &one,
            "ratio: `ratio` has a value for each row: which one is meant?",
        ),
        (
            "quantile(ratio) > 1",
            &one,
            "quantile(ratio): `quantile` takes a value for each row, a share from 0 to 1, and maybe a filter, not 1",
        ),
        (
            "max(tensor) > 1",
            &one,
            "tensor: a number is needed here, and this is a text",
        ),
        (
            "max(ratio) > 1",
            &two,
            "ratio: there are several tables here, so `ratio` needs its table's name; write `rows.ratio` or `methods.ratio`",
        ),
        (
            "max(rows.ratio, methods.roundtrip) > 1",
            &two,
            "roundtrip: `max` is over the rows of one table, but its arguments are from `rows` and `methods`",
        ),
        (
            "count() > 1",
            &two,
            "count(): it cannot be told which table `count` is over; name a column with its table in an argument",
        ),
        (
            "methods.foo == 1",
            &two,
            "foo: the table `methods` has no column `foo`",
        ),
    ] {
        let found = mistakes(source, scope);
        assert_eq!(found.len(), 1, "{source}: {found:?}");
        assert!(found[0].starts_with(expected), "{source}: {found:?}");
    }
    let mut scalar = row;
    scalar.mode = Mode::Scalar;
    assert_eq!(
        mistakes("ratio > 1", &scalar),
        ["ratio: `ratio` is a column, and there are no rows here"]
    );
}

#[test]
fn open_tables_have_any_column() {
    let schema = bench_schema().open();
    let scope = table_scope(Mode::Aggregate, &["rows"], &schema);
    assert_eq!(ty("median(foo, bar.baz == 'x')", &scope), Type::Float);
}

#[test]
fn reads_are_recorded() {
    let schema = bench_schema();
    let mut scope = table_scope(Mode::Aggregate, &["rows"], &schema);
    scope.variables.insert("model".to_owned(), method_type());
    let source = "max(ratio, method.by == 'x' && method.name == 'y') + gap > 0 && model.k == 1 && model.name == 'z'";
    let checked = check(&parsed(source), &scope).unwrap();
    let pairs = |pairs: &[(&str, &str)]| -> BTreeSet<(String, String)> {
        pairs
            .iter()
            .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
            .collect()
    };
    assert_eq!(
        checked.axis_reads,
        pairs(&[("method", "by"), ("method", "k")])
    );
    assert_eq!(
        checked.column_reads,
        pairs(&[("rows", "method"), ("rows", "ratio")])
    );
    let expected = [
        ("gap".to_owned(), BTreeSet::new()),
        ("model".to_owned(), BTreeSet::from(["k".to_owned()])),
    ];
    assert_eq!(checked.variable_reads, BTreeMap::from(expected));
}
