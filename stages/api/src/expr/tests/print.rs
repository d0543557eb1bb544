use proptest::prelude::*;

use super::*;

#[test]
fn canonical_text() {
    for (source, canonical) in [
        ("a==b", "a == b"),
        ("( ( a ) )", "a"),
        ("(a+b)*c", "(a + b) * c"),
        ("a+(b*c)", "a + b * c"),
        ("a-(b-c)", "a - (b - c)"),
        ("(a<b)==(c<d)", "(a < b) == (c < d)"),
        ("(!a)==b", "(!a) == b"),
        ("!(a==b)", "!(a == b)"),
        ("-(5)", "-(5)"),
        ("- 5", "-5"),
        ("--5", "--5"),
        ("a  not   in[ 1,2, ]", "a not in [1, 2]"),
        ("1.470", "1.47"),
        ("1e3", "1000.0"),
        ("quantile( x,0.25 )", "quantile(x, 0.25)"),
    ] {
        assert_eq!(parsed(source).to_string(), canonical, "{source}");
    }
}

#[test]
fn bound_variables_become_literals() {
    let variables = BTreeMap::from([
        (
            "method".to_owned(),
            record([
                ("name", text("zstd_19")),
                ("k", Value::Int(-4)),
                ("trained_on", Value::List(vec![text("a")])),
                ("shipped", record([("path", text("x"))])),
            ]),
        ),
        ("gap".to_owned(), Value::Int(2)),
    ]);
    for (source, bound) in [
        ("method == 'x'", "'zstd_19' == 'x'"),
        ("method.name == 'x'", "'zstd_19' == 'x'"),
        ("method.k - method.k", "-4 - -4"),
        ("-gap", "-(2)"),
        ("!method.trained", "!none"),
        ("f in method.trained_on", "f in ['a']"),
        (
            "has(method.shipped) && has(method.trained)",
            "true && false",
        ),
        ("has(model.shipped)", "has(model.shipped)"),
        ("max(ratio, layer_gap == gap)", "max(ratio, layer_gap == 2)"),
        ("method.shipped == none", "method.shipped == none"),
    ] {
        let expr = parsed(source).bind(&variables);
        assert_eq!(expr.to_string(), bound, "{source}");
        assert_eq!(parsed(bound), expr, "{source}");
    }
    let free: Vec<String> = parsed("a.b + max(c, d in [e, 1]) + has(f)")
        .free_names()
        .into_iter()
        .collect();
    assert_eq!(free, ["a", "c", "d", "e", "f"]);
}

fn name() -> impl Strategy<Value = Name> {
    "[a-z_][a-z0-9_]{0,3}"
        .prop_filter("reserved", |name| {
            !super::super::parser::RESERVED.contains(&name.as_str())
        })
        .prop_map(|text| Name { text, span: 0..0 })
}

fn expression() -> impl Strategy<Value = Expr> {
    let at = |kind| Expr { kind, span: 0..0 };
    let leaf = prop_oneof![
        any::<i64>().prop_map(Value::Int),
        any::<f64>().prop_filter_map("finite", Value::float),
        (0..10i64).prop_map(Value::Int),
        "[ -~é]{0,6}".prop_map(Value::Text),
        any::<bool>().prop_map(Value::Bool),
        Just(Value::None),
    ]
    .prop_map(move |value| at(ExprKind::Literal(value)));
    let path = prop::collection::vec(name(), 1..4).prop_map(move |path| at(ExprKind::Path(path)));
    let op = prop::sample::select(vec![
        BinaryOp::Or,
        BinaryOp::And,
        BinaryOp::Equal,
        BinaryOp::NotEqual,
        BinaryOp::Less,
        BinaryOp::LessEqual,
        BinaryOp::Greater,
        BinaryOp::GreaterEqual,
        BinaryOp::In,
        BinaryOp::NotIn,
        BinaryOp::Add,
        BinaryOp::Subtract,
        BinaryOp::Multiply,
        BinaryOp::Divide,
    ]);
    prop_oneof![leaf, path].prop_recursive(6, 60, 3, move |inner| {
        let unary = prop::sample::select(vec![UnaryOp::Not, UnaryOp::Negate]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3)
                .prop_map(move |items| at(ExprKind::List(items))),
            (unary, inner.clone())
                .prop_map(move |(op, operand)| at(ExprKind::Unary(op, Box::new(operand)))),
            (op.clone(), inner.clone(), inner.clone()).prop_map(move |(op, left, right)| {
                at(ExprKind::Binary(op, Box::new(left), Box::new(right)))
            }),
            (name(), prop::collection::vec(inner, 0..3))
                .prop_map(move |(name, args)| at(ExprKind::Call(name, args))),
        ]
    })
}

proptest! {
    #[test]
    fn printed_expressions_parse_back(expr in expression()) {
        let printed = expr.to_string();
        prop_assert_eq!(parse(&printed), Ok(expr), "{}", printed);
    }
}
