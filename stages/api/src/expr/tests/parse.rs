use proptest::prelude::*;

use super::*;

/// Every expression of the experiments, with the place where it stands.
const EXPRESSIONS: &str = include_str!("expressions.txt");

#[test]
fn expressions_of_the_experiments_parse_print_and_check() {
    let open = Schema::default().open();
    for line in EXPRESSIONS.lines() {
        let (mode, source) = line.split_once('\t').unwrap();
        let expr = parsed(source);
        assert_eq!(parsed(&expr.to_string()), expr, "{source}");
        let several = source.contains("methods.");
        let tables: Vec<(String, &Schema)> = if several {
            ["router", "methods", "rows"]
                .map(|name| (name.to_owned(), &open))
                .to_vec()
        } else {
            vec![("rows".to_owned(), &open)]
        };
        let (mode, tables, variables) = match mode {
            "scalar" => {
                let names = expr.free_names();
                (
                    Mode::Scalar,
                    vec![],
                    names.into_iter().map(|name| (name, Type::Any)).collect(),
                )
            }
            "row" => (Mode::Row, tables, BTreeMap::new()),
            "aggregate" => (Mode::Aggregate, tables, BTreeMap::new()),
            other => panic!("{other}"),
        };
        let scope = Scope {
            mode,
            variables,
            tables,
        };
        check(&expr, &scope).unwrap_or_else(|errors| panic!("{source}: {errors:?}"));
    }
}

#[test]
fn operators_bind_as_documented() {
    for (source, grouped) in [
        ("a || b && c", "a || (b && c)"),
        ("a && b == c", "a && (b == c)"),
        ("a == b + c * d", "a == (b + (c * d))"),
        ("a - b - c", "(a - b) - c"),
        ("a / b * c", "(a / b) * c"),
        ("-a * b", "(-a) * b"),
        ("!a && b", "(!a) && b"),
        ("a not in b || c in d", "(a not in b) || (c in d)"),
    ] {
        assert_eq!(parsed(source), parsed(grouped), "{source}");
    }
    assert_ne!(parsed("a - (b - c)"), parsed("a - b - c"));
}

#[test]
fn literals() {
    for (source, expected) in [
        ("1_000", Value::Int(1000)),
        ("-9_223_372_036_854_775_808", Value::Int(i64::MIN)),
        ("9223372036854775807", Value::Int(i64::MAX)),
        ("1.470", Value::Float(1.47)),
        ("1_0.2_5e-1_0", Value::Float(10.25e-10)),
        ("1e3", Value::Float(1000.0)),
        ("-0.0", Value::Float(0.0)),
        (r"'it\'s a \\'", text(r"it's a \")),
        ("'größe'", text("größe")),
        ("none", Value::None),
        ("true", Value::Bool(true)),
    ] {
        assert_eq!(parsed(source).kind, ExprKind::Literal(expected), "{source}");
    }
}

/// The mistakes of a text, as (marked text, message).
fn mistakes(source: &str) -> Vec<(String, String)> {
    parse(source)
        .unwrap_err()
        .iter()
        .map(|error| (source[error.span.clone()].to_owned(), error.to_string()))
        .collect()
}

#[test]
fn mistakes_say_where_and_what() {
    let deep = format!("{}1{}", "(".repeat(200), ")".repeat(200));
    let long = "1+".repeat(2000) + "1";
    for (source, place, message) in [
        ("", "", "the expression is empty"),
        ("  ", "  ", "the expression is empty"),
        ("a = 1", "=", "`=` is written `==` here"),
        ("a === 1", "===", "`===` is written `==` here"),
        ("a <> 1", "<>", "`<>` is written `!=` here"),
        ("a and b", "and", "`and` is written `&&` here"),
        ("a or b", "or", "`or` is written `||` here"),
        ("not a", "not", "`not` is written `!` here"),
        ("a & b", "&", "`&` is written `&&` here"),
        ("a == \"x\"", "\"x\"", "texts are written in single quotes"),
        ("a == 'x", "'x", "this text is not closed"),
        (r"a == 'x\n'", r"\n", r"only `\'` and `\\` are escapes"),
        ("a § b", "§", "`§` has no meaning here"),
        ("(a", "(", "this `(` is not closed"),
        ("[1, 2", "[", "this `[` is not closed"),
        ("max(a", "(", "this `(` is not closed"),
        (
            "a)",
            ")",
            "an operator or the end is expected here, not `)`",
        ),
        ("(a]", "]", "an operator or `)` is expected here, not `]`"),
        (
            "a b",
            "b",
            "an operator or the end is expected here, not `b`",
        ),
        ("a +", "", "a value is expected here, not the end"),
        ("a.", "", "a name is expected here, not the end"),
        ("a.1", "1", "a name is expected here, not `1`"),
        (
            "a < b < c",
            "<",
            "comparisons do not chain: `<` is followed by `<`",
        ),
        (
            "a == b in c",
            "in",
            "comparisons do not chain: `==` is followed by `in`",
        ),
        (
            "!a in b",
            "in",
            "`!` would apply to the left side of `in` only",
        ),
        ("1__0", "1__0", "`1__0` is not a number"),
        ("12ab", "12ab", "`12ab` is not a number"),
        ("1_.5", "1_.5", "`1_.5` is not a number"),
        ("1e", "1e", "`1e` is not a number"),
        ("1e999", "1e999", "the number 1e999 is too large"),
        (
            "9223372036854775808",
            "9223372036854775808",
            "the number 9223372036854775808 is too large",
        ),
        ("in", "in", "a value is expected here, not `in`"),
        (&deep, "(", "an expression has at most 100 levels"),
    ] {
        assert_eq!(
            mistakes(source),
            [(place.to_owned(), message.to_owned())],
            "{source}"
        );
    }
    assert_eq!(mistakes(&long)[0].1, "an expression has at most 100 levels");
    assert_eq!(
        mistakes(&" ".repeat(20_000))[0].1,
        "an expression has at most 10000 bytes"
    );
}

#[test]
fn the_deepest_trees_can_be_walked() {
    let chain = format!("1{}", " + 1".repeat(MAX_DEPTH - 1));
    let nested = format!("{}1{}", "(".repeat(MAX_DEPTH), ")".repeat(MAX_DEPTH));
    let lists = format!(
        "{}1{}",
        "[".repeat(MAX_DEPTH - 1),
        "]".repeat(MAX_DEPTH - 1)
    );
    let right = format!(
        "{}1{}",
        "1 - (".repeat(MAX_DEPTH - 1),
        ")".repeat(MAX_DEPTH - 1)
    );
    let scope = Scope {
        mode: Mode::Scalar,
        variables: BTreeMap::new(),
        tables: Vec::new(),
    };
    for source in [&chain, &nested, &lists, &right] {
        let expr = parsed(source).bind(&BTreeMap::new());
        assert_eq!(parsed(&expr.to_string()), expr);
        check(&expr, &scope).unwrap();
        eval(&expr, &Env::variables(&BTreeMap::new())).unwrap();
    }
    assert!(parse(&format!("1 + ({chain})")).is_err());
}

#[test]
fn all_mistakes_come_at_once() {
    let places: Vec<String> = mistakes("a = \"x\" and b or 1__0 in 'y")
        .into_iter()
        .map(|(place, _)| place)
        .collect();
    assert_eq!(places, ["=", "\"x\"", "and", "or", "1__0", "'y"]);
}

#[test]
fn hints() {
    let help = |source: &str| parse(source).unwrap_err()[0].help();
    assert_eq!(help("a = 1").as_deref(), Some("did you mean `==`?"));
    assert_eq!(help("!a in b").as_deref(), Some("write `a not in b`"));
    assert_eq!(
        help("a < b < c").as_deref(),
        Some("join two comparisons with `&&`, or use parentheses")
    );
}

fn well_placed(source: &str) {
    if let Err(errors) = parse(source) {
        assert!(!errors.is_empty());
        for error in errors {
            assert!(
                source.get(error.span.clone()).is_some(),
                "{source:?} {error:?}"
            );
            assert!(!error.to_string().is_empty());
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused_with_places(source in "\\PC{0,80}") {
        well_placed(&source);
    }

    #[test]
    fn any_bytes_are_parsed_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        well_placed(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_tokens_are_parsed_or_refused_with_places(
        tokens in prop::collection::vec(prop::sample::select(vec![
            "a", "b.c", "1", "0.5", "'x'", "'", "\"", "(", ")", "[", "]", ",", ".", "==", "=", "<", "in", "not",
            "and", "&&", "||", "!", "-", "+", "*", "max(", "has(", "none", "§", "1e", "\\",
        ]), 0..200)
    ) {
        well_placed(&tokens.join(" "));
        well_placed(&tokens.concat());
    }
}
