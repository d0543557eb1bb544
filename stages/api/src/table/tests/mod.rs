//! Tests of tables as a whole.

mod file;
mod group;
mod join;
mod row_wise;

use std::collections::BTreeMap;

use super::*;
use crate::expr::{AxisFields, Expr, parse};
use crate::value::{Type, Value};

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn expr(text: &str) -> Expr {
    parse(text).unwrap()
}

fn named(pairs: &[(&str, &str)]) -> Vec<(String, Expr)> {
    pairs
        .iter()
        .map(|(name, text)| ((*name).to_owned(), expr(text)))
        .collect()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Makes a table from lines of JSON.
fn table(lines: &[&str]) -> Table {
    let mut builder = TableBuilder::new(&Schema::default().open());
    for line in lines {
        let json: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
        let cells = json
            .iter()
            .map(|(name, value)| (name, Value::from_json(value)));
        builder.push_named(cells).unwrap();
    }
    builder.finish()
}

/// Shows a table as lines of JSON, absent cells left out.
fn lines(table: &Table) -> Vec<String> {
    table
        .rows()
        .map(|row| {
            let cells = table.schema().columns().iter().zip(row);
            let cells: Vec<String> = cells
                .filter(|(_, value)| !value.is_none())
                .map(|(column, value)| format!("{:?}:{}", column.name, value.to_json()))
                .collect();
            format!("{{{}}}", cells.join(","))
        })
        .collect()
}

fn axes() -> AxisFields {
    let fields = |role: &str| BTreeMap::from([("role".to_owned(), text(role))]);
    let models = [
        ("m1".to_owned(), fields("train")),
        ("m2".to_owned(), fields("test")),
    ];
    [("model".to_owned(), BTreeMap::from(models))].into()
}

fn context(axes: &AxisFields) -> Context<'_> {
    Context { name: "rows", axes }
}

fn column_names(table: &Table) -> Vec<&str> {
    table
        .schema()
        .columns()
        .iter()
        .map(|column| column.name.as_str())
        .collect()
}

#[test]
fn rows_are_checked() {
    let schema = Schema::new([
        Column::new("n", Type::Int, ""),
        Column::new("x", Type::Float, ""),
    ]);
    let mut builder = TableBuilder::new(&schema);
    builder
        .push_row(vec![Value::Int(1), Value::Float(0.5)])
        .unwrap();
    builder.push_row(vec![Value::None, Value::Int(2)]).unwrap();
    builder.push_named([("x", Value::Float(-0.0))]).unwrap();
    for (row, expected) in [
        (
            vec![Value::Int(1)],
            "a row has 1 cells, and there are 2 columns",
        ),
        (
            vec![text("a"), Value::None],
            "the column `n` holds a whole number, not `'a'`",
        ),
        (
            vec![Value::Float(1.0), Value::None],
            "the column `n` holds a whole number, not `1.0`",
        ),
        (
            vec![Value::None, Value::Float(f64::NAN)],
            "the column `x` holds a number, not `NaN`",
        ),
    ] {
        assert_eq!(builder.push_row(row).unwrap_err().to_string(), expected);
    }
    assert_eq!(
        builder
            .push_named([("y", Value::None)])
            .unwrap_err()
            .to_string(),
        "there is no column `y`"
    );
    assert_eq!(
        builder
            .push_named([("x", Value::Int(1)), ("x", Value::Int(1))])
            .unwrap_err()
            .to_string(),
        "there are two columns `x`"
    );
    let table = builder.finish();
    assert_eq!(
        lines(&table),
        ["{\"n\":1,\"x\":0.5}", "{\"x\":2}", "{\"x\":0.0}"]
    );
    assert_eq!(
        table.column("n").unwrap(),
        [Value::Int(1), Value::None, Value::None]
    );
    assert_eq!(table.column("y"), None);
}

#[test]
fn tables_are_put_under_one_another() {
    let mut whole = Table::read(&Table::default().write(Vec::new()).unwrap()[..]).unwrap();
    assert!(whole.schema().is_open());
    let mut first = table(&["{\"a\":1}", "{\"a\":2}"]);
    first.add_constant("model", text("m1")).unwrap();
    assert!(first.add_constant("a", text("m1")).is_err());
    whole.append(first).unwrap();
    whole.append(table(&["{\"a\":0.5,\"b\":true}"])).unwrap();
    assert_eq!(
        lines(&whole),
        [
            "{\"a\":1,\"model\":\"m1\"}",
            "{\"a\":2,\"model\":\"m1\"}",
            "{\"a\":0.5,\"b\":true}"
        ]
    );
    assert_eq!(whole.schema().column("a").unwrap().ty, Type::Float);
    assert!(!whole.schema().is_open());
    let error = whole
        .append(table(&["{\"b\":\"x\"}"]))
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "the column `b` is a truth value in one table and a text in another"
    );
    assert_eq!(whole.len(), 3);
}

#[test]
fn tables_for_people() {
    let table = table(&[
        "{\"method\":\"zstd|19\",\"n\":12,\"ratio\":1.49789}",
        "{\"method\":\"a\\nb\",\"ratio\":123.456}",
        "{\"n\":1000000,\"ratio\":0.00012345}",
    ]);
    let plain = "\
method         n     ratio
zstd|19       12    1.4979
a\\nb           -    123.46
-        1000000  1.234e-4
";
    assert_eq!(render(&table, Style::Plain), plain);
    let markdown = "\
| method   |       n |    ratio |
| -------- | ------: | -------: |
| zstd\\|19 |      12 |   1.4979 |
| a\\nb     |       - |   123.46 |
| -        | 1000000 | 1.234e-4 |
";
    assert_eq!(render(&table, Style::Markdown), markdown);
    for (float, expected) in [
        (0.0, "0.0000"),
        (-1.5, "-1.5000"),
        (12.3456, "12.346"),
        (123_456.78, "123456.8"),
        (1e20, "1.000e20"),
    ] {
        let mut builder = TableBuilder::new(&Schema::new([Column::new("x", Type::Float, "")]));
        builder.push_row(vec![Value::Float(float)]).unwrap();
        let rendered = render(&builder.finish(), Style::Plain);
        assert_eq!(rendered.lines().nth(1).unwrap().trim(), expected);
    }
}
