//! An expression with its names resolved to variables and columns, ready to be evaluated row after row.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::aggregate::{Aggregation, Group};
use super::ast::{BinaryOp, Expr, ExprKind, Name, UnaryOp, label};
use super::eval_error::{EvalError, EvalErrorKind};
use super::function::{Function, Scalar, function};
use super::operator::{binary_value, negated, scalar_value, truth};
use super::resolve::{Target, resolve};
use crate::table::{Schema, Table};
use crate::value::{Type, Value};

/// The fields of axis values: axis, label, field. A value that lacks a field has no entry for it.
pub type AxisFields = BTreeMap<String, BTreeMap<String, BTreeMap<String, Value>>>;

static NO_VARIABLES: BTreeMap<String, Value> = BTreeMap::new();
static NO_AXES: AxisFields = BTreeMap::new();
static NONE: Value = Value::None;

/// What the names of an expression stand for.
#[derive(Debug, Clone, Copy)]
pub struct Env<'a> {
    /// The variables; the value of an axis with fields is a record with its `name`.
    pub variables: &'a BTreeMap<String, Value>,
    /// The tables, by name.
    pub tables: &'a [(String, &'a Table)],
    /// The fields of the labels in axis columns.
    pub axes: &'a AxisFields,
}

impl<'a> Env<'a> {
    /// Variables only.
    #[must_use]
    pub fn variables(variables: &'a BTreeMap<String, Value>) -> Self {
        Self {
            variables,
            tables: &[],
            axes: &NO_AXES,
        }
    }

    /// Tables, and the fields of their axis columns.
    #[must_use]
    pub fn tables(tables: &'a [(String, &'a Table)], axes: &'a AxisFields) -> Self {
        Self {
            variables: &NO_VARIABLES,
            tables,
            axes,
        }
    }
}

/// Evaluates an expression over variables and whole tables.
///
/// # Errors
///
/// Fails if the expression has no value, or names columns outside of aggregates.
pub fn eval(expr: &Expr, env: &Env<'_>) -> Result<Value, EvalError> {
    Program::new(expr, env)?.value()
}

/// Evaluates an expression for one row of a table. For many rows, make a [`Program`] once.
///
/// # Errors
///
/// Fails if the expression has no value, or has aggregates.
pub fn eval_row(expr: &Expr, env: &Env<'_>, row: usize) -> Result<Value, EvalError> {
    Program::new(expr, env)?.row(row)
}

/// Tells whether a condition with this value holds; `none` does not.
#[must_use]
pub fn is_true(value: &Value) -> bool {
    *value == Value::Bool(true)
}

/// An expression with its names resolved.
#[derive(Debug)]
pub struct Program<'a> {
    root: Node<'a>,
    pub(super) aggregations: Vec<Aggregation<'a>>,
}

impl<'a> Program<'a> {
    /// Resolves the names of an expression.
    ///
    /// # Errors
    ///
    /// Fails if a name stands for nothing.
    pub fn new(expr: &'a Expr, env: &Env<'a>) -> Result<Self, EvalError> {
        let mut compiler = Compiler {
            env: *env,
            schemas: env
                .tables
                .iter()
                .map(|(name, table)| (name.as_str(), table.schema()))
                .collect(),
            aggregations: Vec::new(),
            table: None,
        };
        let root = compiler.node(expr)?;
        Ok(Self {
            root,
            aggregations: compiler.aggregations,
        })
    }

    /// Returns the value for a row of the table.
    ///
    /// # Errors
    ///
    /// Fails if there is none; the error says which row it is about.
    pub fn row(&self, row: usize) -> Result<Value, EvalError> {
        self.root
            .value(&At::Row(row))
            .map(Cow::into_owned)
            .map_err(|error| error.in_row(row))
    }

    /// Tells whether the condition holds for a row of the table.
    ///
    /// # Errors
    ///
    /// Fails if it is neither true nor false nor `none`.
    pub fn holds(&self, row: usize) -> Result<bool, EvalError> {
        self.root
            .truth(&At::Row(row))
            .map_err(|error| error.in_row(row))
    }

    /// Returns the value over all rows.
    ///
    /// # Errors
    ///
    /// Fails if there is none.
    pub fn value(&self) -> Result<Value, EvalError> {
        Group::new(self, None).value()
    }

    /// Returns the value, with aggregates from `statistics`.
    pub(super) fn value_with(
        &self,
        statistics: &dyn Fn(usize) -> Result<Value, EvalError>,
    ) -> Result<Value, EvalError> {
        self.root.value(&At::Whole(statistics)).map(Cow::into_owned)
    }
}

/// What a node is evaluated for.
pub(super) enum At<'c> {
    /// A row.
    Row(usize),
    /// No row; the statistics by their number.
    Whole(&'c dyn Fn(usize) -> Result<Value, EvalError>),
}

/// A part of an expression with its names resolved.
#[derive(Debug)]
pub(super) struct Node<'a> {
    pub(super) expr: &'a Expr,
    kind: NodeKind<'a>,
}

#[derive(Debug)]
enum NodeKind<'a> {
    Value(&'a Value),
    Column(&'a [Value]),
    /// Fields of the value in a column.
    Field {
        column: &'a [Value],
        /// The fields of the labels in the column, if it is of an axis.
        labels: Option<&'a BTreeMap<String, BTreeMap<String, Value>>>,
        fields: &'a [Name],
    },
    List(Vec<Node<'a>>),
    Unary(UnaryOp, Box<Node<'a>>),
    Binary(BinaryOp, Box<Node<'a>>, Box<Node<'a>>),
    Has(Box<Node<'a>>),
    Scalar(&'static str, Scalar, Box<Node<'a>>),
    Aggregate(usize),
}

impl<'a> Node<'a> {
    pub(super) fn error(&self, kind: EvalErrorKind) -> EvalError {
        EvalError::new(&self.expr.span, kind)
    }

    fn cell(&self, column: &'a [Value], at: &At<'_>) -> Result<&'a Value, EvalError> {
        match at {
            At::Row(row) => Ok(column.get(*row).unwrap_or(&NONE)),
            At::Whole(_) => Err(self.error(EvalErrorKind::Misplaced(self.expr.to_string()))),
        }
    }

    pub(super) fn value(&self, at: &At<'_>) -> Result<Cow<'_, Value>, EvalError> {
        Ok(match &self.kind {
            NodeKind::Value(value) => Cow::Borrowed(*value),
            NodeKind::Column(column) => Cow::Borrowed(label(self.cell(column, at)?)),
            NodeKind::Field {
                column,
                labels,
                fields,
            } => Cow::Borrowed(follow(self.cell(column, at)?, *labels, fields)),
            NodeKind::List(items) => Cow::Owned(Value::List(
                items
                    .iter()
                    .map(|item| item.value(at).map(Cow::into_owned))
                    .collect::<Result<_, _>>()?,
            )),
            NodeKind::Unary(UnaryOp::Not, operand) => Cow::Owned(Value::Bool(!operand.truth(at)?)),
            NodeKind::Unary(UnaryOp::Negate, operand) => {
                Cow::Owned(negated(self, operand, &*operand.value(at)?)?)
            }
            NodeKind::Binary(BinaryOp::And, left, right) => {
                Cow::Owned(Value::Bool(left.truth(at)? && right.truth(at)?))
            }
            NodeKind::Binary(BinaryOp::Or, left, right) => {
                Cow::Owned(Value::Bool(left.truth(at)? || right.truth(at)?))
            }
            NodeKind::Binary(op, left, right) => {
                let (a, b) = (left.value(at)?, right.value(at)?);
                Cow::Owned(binary_value(self, *op, (left, &a), (right, &b))?)
            }
            NodeKind::Has(operand) => Cow::Owned(Value::Bool(!operand.value(at)?.is_none())),
            NodeKind::Scalar(name, scalar, operand) => Cow::Owned(scalar_value(
                self,
                name,
                *scalar,
                operand,
                &*operand.value(at)?,
            )?),
            NodeKind::Aggregate(index) => match at {
                At::Whole(statistics) => Cow::Owned(statistics(*index)?),
                At::Row(_) => {
                    return Err(self.error(EvalErrorKind::Misplaced(self.expr.to_string())));
                }
            },
        })
    }

    /// Returns whether the node, as a condition, holds.
    pub(super) fn truth(&self, at: &At<'_>) -> Result<bool, EvalError> {
        truth(self, &*self.value(at)?)
    }
}

/// Follows fields from the value in a column.
fn follow<'a>(
    value: &'a Value,
    labels: Option<&'a BTreeMap<String, BTreeMap<String, Value>>>,
    fields: &[Name],
) -> &'a Value {
    let Some((first, rest)) = fields.split_first() else {
        return label(value);
    };
    let start = match (value, labels) {
        (Value::None, _) => return &NONE,
        (Value::Record(_), None) => value.field(&first.text),
        // A label is the name of its value. No other field of the axis may be read, and there are no labels then.
        _ if first.text == "name" => value,
        (Value::Text(text), Some(labels)) => labels
            .get(text)
            .and_then(|record| record.get(&first.text))
            .unwrap_or(&NONE),
        // The labels of a list of numbers have no fields.
        _ => &NONE,
    };
    label(rest.iter().fold(start, |v, field| v.field(&field.text)))
}

/// Turns an expression into nodes.
struct Compiler<'a> {
    env: Env<'a>,
    schemas: Vec<(&'a str, &'a Schema)>,
    aggregations: Vec<Aggregation<'a>>,
    /// The table of the columns met since an aggregate began.
    table: Option<usize>,
}

impl<'a> Compiler<'a> {
    fn node(&mut self, expr: &'a Expr) -> Result<Node<'a>, EvalError> {
        let kind = match &expr.kind {
            ExprKind::Literal(value) => NodeKind::Value(value),
            ExprKind::List(items) => NodeKind::List(self.nodes(items)?),
            ExprKind::Path(path) => self.path(expr, path)?,
            ExprKind::Unary(op, operand) => NodeKind::Unary(*op, Box::new(self.node(operand)?)),
            ExprKind::Binary(op, left, right) => {
                NodeKind::Binary(*op, Box::new(self.node(left)?), Box::new(self.node(right)?))
            }
            ExprKind::Call(name, args) => self.call(expr, name, args)?,
        };
        Ok(Node { expr, kind })
    }

    fn nodes(&mut self, exprs: &'a [Expr]) -> Result<Vec<Node<'a>>, EvalError> {
        exprs.iter().map(|expr| self.node(expr)).collect()
    }

    fn path(&mut self, expr: &Expr, path: &'a [Name]) -> Result<NodeKind<'a>, EvalError> {
        let env = self.env;
        let unknown = || EvalError::new(&expr.span, EvalErrorKind::Unknown(expr.to_string()));
        let is_variable = |name: &str| env.variables.contains_key(name);
        match resolve(path, is_variable, &self.schemas) {
            Some(Target::Variable(name, fields)) => {
                let value = env.variables.get(&name.text).unwrap_or(&NONE);
                let value = fields.iter().fold(value, |v, field| v.field(&field.text));
                Ok(NodeKind::Value(label(value)))
            }
            Some(Target::Column {
                table,
                column,
                fields,
            }) => {
                self.table = Some(table);
                let (_, table) = env.tables.get(table).ok_or_else(unknown)?;
                let schema = table.schema();
                let axis = match schema.column(&column.text).map(|column| &column.ty) {
                    Some(Type::Axis(axis)) => &axis.axis,
                    _ => &column.text,
                };
                let cells = match table.column(&column.text) {
                    Some(cells) => cells,
                    // A table without rows may have been read from a file, which then names no columns.
                    None if table.is_empty() => &[],
                    None => return Err(unknown()),
                };
                Ok(match fields {
                    [] => NodeKind::Column(cells),
                    _ => NodeKind::Field {
                        column: cells,
                        labels: env.axes.get(axis),
                        fields,
                    },
                })
            }
            _ => Err(unknown()),
        }
    }

    fn call(
        &mut self,
        expr: &'a Expr,
        name: &'a Name,
        args: &'a [Expr],
    ) -> Result<NodeKind<'a>, EvalError> {
        let misplaced = || EvalError::new(&expr.span, EvalErrorKind::Misplaced(expr.to_string()));
        let entry = function(&name.text)
            .filter(|entry| entry.function.takes(args.len()))
            .ok_or_else(misplaced)?;
        match (entry.function, args) {
            (Function::Has, [arg]) => Ok(NodeKind::Has(Box::new(self.node(arg)?))),
            (Function::Scalar(scalar), [arg]) => Ok(NodeKind::Scalar(
                entry.name,
                scalar,
                Box::new(self.node(arg)?),
            )),
            (Function::Aggregate(aggregate), _) => {
                self.table = None;
                let args = self.nodes(args)?;
                let table = match (self.table.take(), self.env.tables.len()) {
                    (Some(table), _) => table,
                    (None, 1) => 0,
                    (None, _) => return Err(misplaced()),
                };
                let rows = self.env.tables.get(table).map_or(0, |(_, t)| t.len());
                self.aggregations
                    .push(Aggregation::new(expr, entry.name, aggregate, args, rows));
                Ok(NodeKind::Aggregate(self.aggregations.len() - 1))
            }
            _ => Err(misplaced()),
        }
    }
}
