use super::*;

fn variables() -> BTreeMap<String, Value> {
    BTreeMap::from([
        (
            "method".to_owned(),
            record([
                ("name", text("zstd_19")),
                ("trained_on", Value::List(vec![text("a"), text("b")])),
            ]),
        ),
        ("gap".to_owned(), Value::Int(2)),
        ("share".to_owned(), Value::Float(0.25)),
    ])
}

fn scalar(source: &str) -> Result<Value, String> {
    let variables = variables();
    eval(&parsed(source), &Env::variables(&variables)).map_err(|error| {
        assert!(source.get(error.span.clone()).is_some());
        error.to_string()
    })
}

#[test]
fn scalars() {
    for (source, expected) in [
        ("1 + 2 * 3", Value::Int(7)),
        ("7 / 2", Value::Float(3.5)),
        ("6 / 2", Value::Float(3.0)),
        ("0.5 + 1", Value::Float(1.5)),
        ("-gap - -gap", Value::Int(0)),
        ("abs(-3)", Value::Int(3)),
        ("abs(-0.5)", Value::Float(0.5)),
        ("sqrt(9)", Value::Float(3.0)),
        ("log2(8)", Value::Float(3.0)),
        ("exp2(0.5) * exp2(0.5) - 2 < 1e-15", Value::Bool(true)),
        ("round(2.5)", Value::Int(3)),
        ("round(-2.5)", Value::Int(-3)),
        ("floor(-0.5)", Value::Int(-1)),
        ("ceil(-0.5)", Value::Int(0)),
        ("method", text("zstd_19")),
        ("method.name", text("zstd_19")),
        ("'a' < 'b' && 'a' <= 'a'", Value::Bool(true)),
        ("[gap, 'x']", Value::List(vec![Value::Int(2), text("x")])),
    ] {
        assert_eq!(scalar(source), Ok(expected), "{source}");
    }
}

#[test]
fn conditions() {
    for (source, expected) in [
        ("method == 'zstd_19'", true),
        ("method != 'zstd_19'", false),
        ("method in ['a', 'zstd_19']", true),
        ("method == method", true),
        ("'a' in method.trained_on", true),
        ("'c' not in method.trained_on", true),
        ("gap == 2.0 && 2 in [2.0]", true),
        ("9007199254740993 == 9007199254740992.0", false),
        ("9007199254740993 > 9007199254740992.0", true),
        // What is not there.
        ("method.trained && true", false),
        ("!method.trained", true),
        ("method.trained || true", true),
        ("method.trained == none && none == none", true),
        ("method.trained == false", false),
        ("method.by == 'x'", false),
        ("method.by != 'x'", true),
        ("method.by in ['x', none]", false),
        ("method.by not in ['x']", true),
        ("'x' in method.list", false),
        ("'x' not in method.list", true),
        ("has(method.by)", false),
        ("has(method.name) && has(gap)", true),
        // The right side is not looked at if the left one decides.
        ("has(method.k) && method.k > 3", false),
        ("!has(method.k) || method.k > 3", true),
    ] {
        assert_eq!(scalar(source), Ok(Value::Bool(expected)), "{source}");
    }
    assert!(is_true(&Value::Bool(true)));
    assert!(!is_true(&Value::None) && !is_true(&Value::Int(1)));
}

#[test]
fn failures() {
    for (source, expected) in [
        ("method.k + 1", "`method.k` is none"),
        ("method.k < 1", "`method.k` is none"),
        ("1 < method.k", "`method.k` is none"),
        ("'a' < method.k", "`method.k` is none"),
        ("-method.k", "`method.k` is none"),
        ("gap / 0", "division by zero"),
        ("gap / (0.5 - 0.5)", "division by zero"),
        (
            "9223372036854775807 + gap",
            "the result of `9223372036854775807 + gap` is too large",
        ),
        (
            "-9223372036854775808 * -1",
            "the result of `-9223372036854775808 * -1` is too large",
        ),
        (
            "-(-9223372036854775808)",
            "the result of `--9223372036854775808` is too large",
        ),
        (
            "abs(-9223372036854775808)",
            "the result of `abs(-9223372036854775808)` is too large",
        ),
        ("1e308 * 10", "the result of `1e308 * 10` is too large"),
        ("round(1e19)", "the result of `round(1e19)` is too large"),
        ("sqrt(-1)", "`sqrt` of -1 is not a number"),
        ("log2(0)", "`log2` of 0 is not a number"),
        ("gap && true", "a truth value is needed, and `gap` is 2"),
        ("gap in 'abc'", "a list is needed, and `'abc'` is 'abc'"),
        ("gap + 'a'", "a number is needed, and `'a'` is 'a'"),
        ("foo + 1", "there is no `foo`"),
        ("count()", "`count()` cannot be used here"),
    ] {
        assert_eq!(scalar(source), Err(expected.to_owned()), "{source}");
    }
}

fn over_table(source: &str, table: &Table) -> Result<Value, String> {
    let axes = axes();
    let tables = [("rows".to_owned(), table)];
    eval(&parsed(source), &Env::tables(&tables, &axes)).map_err(|error| error.to_string())
}

/// Tests a statistic over the column `x`, which holds these numbers.
fn over_numbers(source: &str, numbers: &[f64]) -> Result<Value, String> {
    let mut builder = TableBuilder::new(&Schema::new([Column::new("x", Type::Float, "")]));
    for number in numbers {
        builder.push_row(vec![Value::Float(*number)]).unwrap();
    }
    over_table(source, &builder.finish())
}

#[test]
fn rows() {
    let (table, axes) = (bench_table(), axes());
    let tables = [("rows".to_owned(), &table)];
    let env = Env::tables(&tables, &axes);
    for (source, expected) in [
        ("method == 'ours'", [false, false, true, true, false]),
        ("method.by == 'ours'", [false, false, true, true, false]),
        ("method.by != 'ours'", [true, true, false, false, true]),
        ("method.name == 'plain'", [false, false, false, false, true]),
        ("method.trained", [false, false, true, true, false]),
        (
            "has(method.k) && method.k > 3",
            [true, true, false, false, false],
        ),
        ("roundtrip", [true, true, true, false, false]),
        ("has(roundtrip)", [true, true, true, true, false]),
        (
            "rows.bytes_in - bytes_out >= 100",
            [false, true, false, true, false],
        ),
        (
            "method in ['plain', 'zstd_19']",
            [true, true, false, false, true],
        ),
    ] {
        let expr = parsed(source);
        let program = Program::new(&expr, &env).unwrap();
        for (row, expected) in expected.into_iter().enumerate() {
            assert_eq!(program.holds(row), Ok(expected), "{source} in row {row}");
        }
    }
    let failure = eval_row(&parsed("method.k + 1"), &env, 2).unwrap_err();
    assert_eq!(failure.to_string(), "`method.k` is none in row 3");
    let failure = eval_row(&parsed("max(ratio)"), &env, 2).unwrap_err();
    assert_eq!(
        failure.to_string(),
        "`max(ratio)` cannot be used here in row 3"
    );
}

#[test]
fn aggregates_by_hand() {
    let table = bench_table();
    for (source, expected) in [
        ("count()", Value::Int(5)),
        ("count(roundtrip)", Value::Int(3)),
        ("count(method == 'nobody')", Value::Int(0)),
        ("sum(bytes_in)", Value::Int(900)),
        ("sum(bytes_in, method.by == 'ours')", Value::Int(400)),
        ("min(bytes_out)", Value::Int(50)),
        ("max(bytes_out, roundtrip)", Value::Int(200)),
        ("mean(bytes_in)", Value::Float(180.0)),
        ("median(bytes_in)", Value::Float(100.0)),
        ("median(bytes_in, method == 'ours')", Value::Float(200.0)),
        (
            "byte_weighted(bytes_in, bytes_out, method == 'ours')",
            Value::Float(400.0 / 150.0),
        ),
        ("quantile(bytes_in, 0.75)", Value::Float(300.0)),
        (
            "max(ratio, method == 'ours') / max(ratio, method == 'plain') - 1",
            Value::Float(2.0),
        ),
        ("max(abs(bytes_out - bytes_in))", Value::Int(200)),
        ("count() > 0 || max(ratio, false) > 0", Value::Bool(true)),
    ] {
        assert_eq!(over_table(source, &table), Ok(expected), "{source}");
    }
    for (source, expected) in [
        (
            "max(ratio, method == 'nobody')",
            "`max` is over no rows: none passes the filter",
        ),
        (
            "sum(ratio, method == 'nobody')",
            "`sum` is over no rows: none passes the filter",
        ),
        ("sum(method.k)", "`method.k` is none in row 3"),
        (
            "byte_weighted(bytes_in, bytes_out - bytes_out)",
            "division by zero",
        ),
        (
            "geomean(bytes_out - 50)",
            "`geomean` needs numbers above zero, and there is 0",
        ),
        (
            "quantile(ratio, 1.5)",
            "a quantile is at a share from 0 to 1, not at 1.5",
        ),
        ("max(nothing)", "there is no `nothing`"),
        ("ratio", "`ratio` cannot be used here"),
        (
            "max(max(ratio))",
            "`max(ratio)` cannot be used here in row 1",
        ),
        (
            "sum(bytes_in * 92233720368547758)",
            "the result of `bytes_in * 92233720368547758` is too large in row 2",
        ),
        (
            "sum(bytes_in * 92233720368547)  * 1000 * 1000",
            "the result of `sum(bytes_in * 92233720368547) * 1000` is too large",
        ),
    ] {
        assert_eq!(
            over_table(source, &table),
            Err(expected.to_owned()),
            "{source}"
        );
    }
    assert_eq!(
        over_numbers("median(x)", &[]),
        Err("`median` is over no rows".to_owned())
    );
    assert_eq!(over_numbers("count()", &[]), Ok(Value::Int(0)));
}

/// What numpy 2.4.6 gives for `np.quantile(x, q)` and `np.median(x)`, to the bit, and for
/// `np.exp(np.mean(np.log(x)))`, of which the last bit is libm's.
#[test]
fn statistics_as_numpy_has_them() {
    let x = [1.4979, 0.1, 2.5, 1.4886, 10.0, 1.05, 3.25];
    for (source, expected) in [
        ("quantile(x, 0)", 0.1),
        ("quantile(x, 0.1)", 0.670_000_000_000_000_2),
        ("quantile(x, 0.25)", 1.269_299_999_999_999_9),
        ("quantile(x, 1 / 3)", 1.4886),
        ("quantile(x, 0.5)", 1.4979),
        ("quantile(x, 0.75)", 2.875),
        ("quantile(x, 0.09)", 0.613),
        ("quantile(x, 0.63)", 2.279_538),
        ("quantile(x, 0.9)", 5.950_000_000_000_003),
        ("quantile(x, 1)", 10.0),
        ("median(x)", 1.4979),
        ("mean(x)", 2.840_928_571_428_571_5),
    ] {
        assert_eq!(
            over_numbers(source, &x),
            Ok(Value::Float(expected)),
            "{source}"
        );
    }
    assert_eq!(
        over_numbers("median(x)", &x[..6]),
        Ok(Value::Float(1.493_25))
    );
    let Ok(Value::Float(geomean)) = over_numbers("geomean(x)", &x) else {
        panic!("no geomean");
    };
    assert!(
        (geomean - 1.523_187_467_409_303_3).abs() < 5e-16,
        "{geomean:?}"
    );
}

#[test]
fn sums_are_compensated() {
    // Added naively, the ones are lost.
    let x = [1.0, 1e100, 1.0, -1e100];
    assert_eq!(over_numbers("sum(x)", &x), Ok(Value::Float(2.0)));
    assert_eq!(over_numbers("mean(x)", &x), Ok(Value::Float(0.5)));
    let tenths = [0.1; 10];
    assert_eq!(over_numbers("sum(x)", &tenths), Ok(Value::Float(1.0)));
    assert_eq!(
        over_numbers("sum(x)", &[1e308, 1e308]),
        Err("the result of `sum` is too large".to_owned())
    );
    assert_eq!(
        over_numbers("median(x)", &[1e308, 1.5e308]),
        Ok(Value::Float(1.25e308))
    );
}

#[test]
fn several_tables() {
    let (table, axes) = (bench_table(), axes());
    let tables = [("a".to_owned(), &table), ("b".to_owned(), &table)];
    let env = Env::tables(&tables, &axes);
    let value = |source: &str| eval(&parsed(source), &env).map_err(|error| error.to_string());
    assert_eq!(
        value("sum(a.bytes_in) - sum(b.bytes_out, b.method.by == 'ours')"),
        Ok(Value::Int(750))
    );
    assert_eq!(
        value("sum(bytes_in)"),
        Err("there is no `bytes_in`".to_owned())
    );
    assert_eq!(
        value("count()"),
        Err("`count()` cannot be used here".to_owned())
    );
}

#[test]
fn groups_and_draws() {
    let (table, axes) = (bench_table(), axes());
    let tables = [("rows".to_owned(), &table)];
    let expr = parsed("sum(bytes_out)");
    let program = Program::new(&expr, &Env::tables(&tables, &axes)).unwrap();
    let rows = [2, 3];
    let group = Group::new(&program, Some(&rows));
    assert_eq!(group.value(), Ok(Value::Int(150)));
    assert_eq!(group.drawn(&[1, 1, 0]), Ok(Value::Int(250)));
}
