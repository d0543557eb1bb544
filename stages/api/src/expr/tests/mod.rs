//! Tests of the language as a whole.

mod check;
mod eval;
mod parse;
mod print;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::table::{Column, Schema, Table, TableBuilder};
use crate::value::{AxisType, Type, Value};

fn parsed(text: &str) -> Expr {
    parse(text).unwrap_or_else(|errors| panic!("{text}: {errors:?}"))
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn record<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Record(BTreeMap::from(
        fields.map(|(name, value)| (name.to_owned(), value)),
    ))
}

/// The type of the axis `method`.
fn method_type() -> Type {
    Type::Axis(Arc::new(AxisType {
        axis: "method".to_owned(),
        fields: [
            ("name", Type::Text),
            ("by", Type::Text),
            ("k", Type::Int),
            ("trained", Type::Bool),
            ("trained_on", Type::List(Box::new(Type::Text))),
            ("shipped", Type::Record),
        ]
        .map(|(name, ty)| (name.to_owned(), ty))
        .into(),
    }))
}

/// A table of methods with ratios, as a bench gives.
fn bench_schema() -> Schema {
    Schema::new([
        Column::new("method", method_type(), ""),
        Column::new("tensor", Type::Text, ""),
        Column::new("bytes_in", Type::Int, ""),
        Column::new("bytes_out", Type::Int, ""),
        Column::new("ratio", Type::Float, ""),
        Column::new("roundtrip", Type::Bool, ""),
    ])
}

fn bench_table() -> Table {
    let mut builder = TableBuilder::new(&bench_schema());
    for (method, tensor, bytes_in, bytes_out, roundtrip) in [
        ("zstd_19", "a", 100, 80, Some(true)),
        ("zstd_19", "b", 300, 200, Some(true)),
        ("ours", "a", 100, 50, Some(true)),
        ("ours", "b", 300, 100, Some(false)),
        ("plain", "a", 100, 100, None),
    ] {
        let ratio = f64::from(bytes_in) / f64::from(bytes_out);
        builder
            .push_row(vec![
                text(method),
                text(tensor),
                Value::Int(bytes_in.into()),
                Value::Int(bytes_out.into()),
                Value::Float(ratio),
                roundtrip.map_or(Value::None, Value::Bool),
            ])
            .unwrap();
    }
    builder.finish()
}

/// What is known of the methods of [`bench_table`]; nothing of `plain`.
fn axes() -> AxisFields {
    let fields = |fields: &[(&str, Value)]| {
        fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect()
    };
    let methods = [
        (
            "zstd_19".to_owned(),
            fields(&[("by", text("general")), ("k", Value::Int(19))]),
        ),
        (
            "ours".to_owned(),
            fields(&[("by", text("ours")), ("trained", Value::Bool(true))]),
        ),
    ];
    [("method".to_owned(), BTreeMap::from(methods))].into()
}
