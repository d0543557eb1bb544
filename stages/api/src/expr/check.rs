//! The type checker.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::ast::{BinaryOp, Expr, ExprKind, Name, UnaryOp, path_text};
use super::error::{ExprError, ExprErrorKind};
use super::function::{Aggregate, FUNCTIONS, Function, Scalar, function};
use super::relation::{fits, is_text, may_be_equal};
use super::resolve::{Target, resolve};
use super::scope::{Checked, Mode, Scope};
use crate::suggest::closest;
use crate::table::Schema;
use crate::value::{AxisType, Type};

/// Checks an expression.
///
/// # Errors
///
/// Returns every mistake; there is at least one.
pub fn check(expr: &Expr, scope: &Scope<'_>) -> Result<Checked, Vec<ExprError>> {
    let mut checker = Checker {
        scope,
        tables: scope
            .tables
            .iter()
            .map(|(name, schema)| (name.as_str(), *schema))
            .collect(),
        aggregate: None,
        checked: Checked {
            ty: Type::Any,
            axis_reads: BTreeSet::new(),
            column_reads: BTreeSet::new(),
            variable_reads: BTreeMap::new(),
        },
        errors: Vec::new(),
    };
    checker.checked.ty = checker.ty(expr);
    if checker.errors.is_empty() {
        Ok(checker.checked)
    } else {
        Err(checker.errors)
    }
}

/// Checks an expression that must be a truth value.
///
/// # Errors
///
/// Returns every mistake; there is at least one.
pub fn check_condition(expr: &Expr, scope: &Scope<'_>) -> Result<Checked, Vec<ExprError>> {
    expect(expr, check(expr, scope)?, &Type::Bool).map_err(|error| vec![error])
}

/// Checks that an expression has a type; where that is `Float`, any number will do.
///
/// # Errors
///
/// Fails if the expression has another type.
pub fn expect(expr: &Expr, checked: Checked, expected: &Type) -> Result<Checked, ExprError> {
    if fits(&checked.ty, expected) {
        return Ok(checked);
    }
    Err(ExprError {
        span: expr.span.clone(),
        kind: ExprErrorKind::WrongType {
            expected: expected.clone(),
            found: checked.ty,
        },
    })
}

/// The aggregate whose arguments are being checked.
struct Inside {
    function: &'static str,
    /// The table that its columns are of, once there is one.
    table: Option<usize>,
    /// No columns are allowed here: this is the share of a quantile.
    constant: bool,
}

struct Checker<'s> {
    scope: &'s Scope<'s>,
    tables: Vec<(&'s str, &'s Schema)>,
    aggregate: Option<Inside>,
    checked: Checked,
    errors: Vec<ExprError>,
}

impl Checker<'_> {
    fn error(&mut self, span: &Range<usize>, kind: ExprErrorKind) {
        self.errors.push(ExprError {
            span: span.clone(),
            kind,
        });
    }

    /// Returns the type of an expression; `Any` if it is wrong, so that one mistake is reported once.
    fn ty(&mut self, expr: &Expr) -> Type {
        match &expr.kind {
            ExprKind::Literal(value) => Type::of(value).unwrap_or(Type::Any),
            ExprKind::List(items) => self.list(items),
            ExprKind::Path(path) => self.path(path),
            ExprKind::Unary(UnaryOp::Not, operand) => self.require(operand, &Type::Bool),
            ExprKind::Unary(UnaryOp::Negate, operand) => self.require(operand, &Type::Float),
            ExprKind::Binary(op, left, right) => self.binary(*op, left, right),
            ExprKind::Call(name, args) => self.call(expr, name, args),
        }
    }

    /// Checks that an operand has this type (`Float` for any number), and returns the type it has, or should have.
    fn require(&mut self, expr: &Expr, expected: &Type) -> Type {
        let found = self.ty(expr);
        if found == Type::Any {
            return expected.clone();
        }
        if fits(&found, expected) {
            return found;
        }
        let expected = expected.clone();
        self.error(
            &expr.span,
            ExprErrorKind::WrongType {
                expected: expected.clone(),
                found,
            },
        );
        expected
    }

    fn list(&mut self, items: &[Expr]) -> Type {
        let mut element: Option<Type> = None;
        for item in items {
            let next = self.ty(item);
            element = match element {
                None => Some(next),
                Some(first) => match first.join(&next) {
                    Some(joined) => Some(joined),
                    None => {
                        let kind = ExprErrorKind::MixedList {
                            first,
                            second: next,
                        };
                        self.error(&item.span, kind);
                        Some(Type::Any)
                    }
                },
            };
        }
        Type::List(Box::new(element.unwrap_or(Type::Any)))
    }

    fn binary(&mut self, op: BinaryOp, left: &Expr, right: &Expr) -> Type {
        match op {
            BinaryOp::Or | BinaryOp::And => {
                self.require(left, &Type::Bool);
                self.require(right, &Type::Bool);
                Type::Bool
            }
            BinaryOp::Add | BinaryOp::Subtract | BinaryOp::Multiply => {
                let left = self.require(left, &Type::Float);
                let right = self.require(right, &Type::Float);
                if left == Type::Int { right } else { left }
            }
            BinaryOp::Divide => {
                self.require(left, &Type::Float);
                self.require(right, &Type::Float);
                Type::Float
            }
            BinaryOp::Less | BinaryOp::LessEqual | BinaryOp::Greater | BinaryOp::GreaterEqual => {
                let span = left.span.start..right.span.end;
                let (left, right) = (self.ty(left), self.ty(right));
                let numbers = left.is_number() && right.is_number();
                let texts = is_text(&left) && is_text(&right);
                if !numbers && !texts {
                    self.error(&span, ExprErrorKind::Unordered { left, right });
                }
                Type::Bool
            }
            BinaryOp::Equal | BinaryOp::NotEqual => {
                let span = left.span.start..right.span.end;
                let (left, right) = (self.ty(left), self.ty(right));
                self.comparable(&span, left, right);
                Type::Bool
            }
            BinaryOp::In | BinaryOp::NotIn => {
                let span = left.span.start..right.span.end;
                let left = self.ty(left);
                match self.ty(right) {
                    Type::Any => {}
                    Type::List(element) => self.comparable(&span, left, *element),
                    found => {
                        let expected = Type::List(Box::new(Type::Any));
                        self.error(&right.span, ExprErrorKind::WrongType { expected, found });
                    }
                }
                Type::Bool
            }
        }
    }

    fn comparable(&mut self, span: &Range<usize>, left: Type, right: Type) {
        if !may_be_equal(&left, &right) {
            self.error(span, ExprErrorKind::Incomparable { left, right });
        }
    }

    fn call(&mut self, expr: &Expr, name: &Name, args: &[Expr]) -> Type {
        let Some(entry) = function(&name.text) else {
            let suggestion = suggest(&name.text, FUNCTIONS.iter().map(|entry| entry.name));
            self.error(
                &name.span,
                ExprErrorKind::UnknownFunction {
                    name: name.text.clone(),
                    suggestion,
                },
            );
            return Type::Any;
        };
        if !entry.function.takes(args.len()) {
            self.error(
                &expr.span,
                ExprErrorKind::WrongArity {
                    function: name.text.clone(),
                    usage: entry.usage,
                    found: args.len(),
                },
            );
            return Type::Any;
        }
        match (entry.function, args) {
            (Function::Has, [arg]) => {
                match &arg.kind {
                    ExprKind::Path(path) => {
                        self.path(path);
                    }
                    _ => self.error(&arg.span, ExprErrorKind::NotAPath),
                }
                Type::Bool
            }
            (Function::Scalar(scalar), [arg]) => {
                let ty = self.require(arg, &Type::Float);
                match scalar {
                    Scalar::Abs => ty,
                    Scalar::Round | Scalar::Floor | Scalar::Ceil => Type::Int,
                    Scalar::Sqrt | Scalar::Log2 | Scalar::Exp2 => Type::Float,
                }
            }
            (Function::Aggregate(aggregate), _) => {
                self.aggregate_call(expr, entry.name, aggregate, args)
            }
            _ => Type::Any,
        }
    }

    fn aggregate_call(
        &mut self,
        expr: &Expr,
        function: &'static str,
        aggregate: Aggregate,
        args: &[Expr],
    ) -> Type {
        if let Some(outer) = &self.aggregate {
            let kind = ExprErrorKind::NestedAggregate {
                outer: outer.function.to_owned(),
                inner: function.to_owned(),
            };
            self.error(&expr.span, kind);
            return Type::Any;
        }
        if self.scope.mode != Mode::Aggregate {
            let function = function.to_owned();
            self.error(&expr.span, ExprErrorKind::AggregateHere { function });
            return Type::Any;
        }
        self.aggregate = Some(Inside {
            function,
            table: None,
            constant: false,
        });
        let errors = self.errors.len();
        let mut ty = Type::Float;
        for (index, arg) in args.iter().enumerate() {
            if let Some(inside) = &mut self.aggregate {
                inside.constant = (aggregate.columns()..aggregate.arguments()).contains(&index);
            }
            if index == aggregate.arguments() {
                self.require(arg, &Type::Bool);
            } else {
                let found = self.require(arg, &Type::Float);
                if index == 0 {
                    ty = found;
                }
            }
        }
        let table = self.aggregate.take().and_then(|inside| inside.table);
        if table.is_none() && self.tables.len() != 1 && self.errors.len() == errors {
            let function = function.to_owned();
            self.error(&expr.span, ExprErrorKind::WhichTable { function });
        }
        match aggregate {
            Aggregate::Count => Type::Int,
            Aggregate::Sum | Aggregate::Min | Aggregate::Max => ty,
            _ => Type::Float,
        }
    }

    fn path(&mut self, path: &[Name]) -> Type {
        let variables = &self.scope.variables;
        let Some(target) = resolve(path, |name| variables.contains_key(name), &self.tables) else {
            return Type::Any;
        };
        match target {
            Target::Variable(name, fields) => {
                let reads = self
                    .checked
                    .variable_reads
                    .entry(name.text.clone())
                    .or_default();
                reads.extend(
                    fields
                        .first()
                        .map(|field| field.text.clone())
                        .filter(|field| field != "name"),
                );
                let ty = variables.get(&name.text).cloned().unwrap_or(Type::Any);
                self.fields(name.text.clone(), ty, fields)
            }
            Target::Column {
                table,
                column,
                fields,
            } => {
                let qualified = path_text(&path[..path.len() - fields.len()]);
                let ty = self.column(table, column, &qualified);
                self.fields(qualified, ty, fields)
            }
            Target::Table(table) => {
                let table = self
                    .tables
                    .get(table)
                    .map_or("", |(name, _)| name)
                    .to_owned();
                if let Some(name) = path.first() {
                    self.error(&name.span, ExprErrorKind::WholeTable { table });
                }
                Type::Any
            }
            Target::Unqualified(name) => {
                let tables = self
                    .tables
                    .iter()
                    .filter(|(_, schema)| schema.column(&name.text).is_some())
                    .map(|(table, _)| (*table).to_owned())
                    .collect();
                let column = name.text.clone();
                self.error(&name.span, ExprErrorKind::Unqualified { column, tables });
                Type::Any
            }
            Target::Unknown(name) => {
                self.unknown_name(name);
                Type::Any
            }
        }
    }

    fn unknown_name(&mut self, name: &Name) {
        // Where there is one table and nothing else has a name, a column was meant.
        if let [(table, schema)] = &self.tables[..]
            && self.scope.mode != Mode::Scalar
            && self.scope.variables.is_empty()
        {
            let known: Vec<String> = schema.columns().iter().map(|c| c.name.clone()).collect();
            let kind = ExprErrorKind::UnknownColumn {
                table: (*table).to_owned(),
                column: name.text.clone(),
                suggestion: suggest(&name.text, known.iter().map(String::as_str)),
                known,
            };
            self.error(&name.span, kind);
            return;
        }
        let mut known: Vec<String> = self.scope.variables.keys().cloned().collect();
        match &self.tables[..] {
            [(_, schema)] if self.scope.mode != Mode::Scalar => {
                known.extend(schema.columns().iter().map(|column| column.name.clone()));
            }
            tables => known.extend(tables.iter().map(|(name, _)| (*name).to_owned())),
        }
        let literals = ["none", "true", "false"];
        let names = known.iter().map(String::as_str);
        let suggestion = match name.text.as_str() {
            "null" | "nil" => Some("none".to_owned()),
            text => suggest(text, names.chain(literals)),
        };
        let kind = ExprErrorKind::UnknownName {
            name: name.text.clone(),
            suggestion,
            known,
        };
        self.error(&name.span, kind);
    }

    /// Checks that a column is there and may be used here, and returns its type.
    fn column(&mut self, table: usize, column: &Name, qualified: &str) -> Type {
        let Some((table_name, schema)) = self.tables.get(table).copied() else {
            return Type::Any;
        };
        let ty = match schema.column(&column.text) {
            Some(found) => found.ty.clone(),
            None if schema.is_open() => Type::Any,
            None => {
                let known: Vec<String> = schema
                    .columns()
                    .iter()
                    .map(|column| column.name.clone())
                    .collect();
                let kind = ExprErrorKind::UnknownColumn {
                    table: table_name.to_owned(),
                    column: column.text.clone(),
                    suggestion: suggest(&column.text, known.iter().map(String::as_str)),
                    known,
                };
                self.error(&column.span, kind);
                return Type::Any;
            }
        };
        self.checked
            .column_reads
            .insert((table_name.to_owned(), column.text.clone()));
        let other = match (&mut self.aggregate, self.scope.mode) {
            (None, Mode::Row) => None,
            (None, Mode::Scalar) => Some(ExprErrorKind::ColumnHere {
                column: qualified.to_owned(),
            }),
            (None, Mode::Aggregate) => Some(ExprErrorKind::BareColumn {
                column: qualified.to_owned(),
            }),
            (Some(inside), _) if inside.constant => Some(ExprErrorKind::BareColumn {
                column: qualified.to_owned(),
            }),
            (Some(inside), _) => match inside.table.replace(table) {
                Some(first) if first != table => Some(ExprErrorKind::TwoTables {
                    function: inside.function.to_owned(),
                    first: self
                        .tables
                        .get(first)
                        .map_or("", |(name, _)| name)
                        .to_owned(),
                    second: table_name.to_owned(),
                }),
                _ => None,
            },
        };
        if let Some(kind) = other {
            self.error(&column.span, kind);
        }
        ty
    }

    /// Follows fields from a value of type `ty`, which was written as `path`.
    fn fields(&mut self, mut path: String, mut ty: Type, fields: &[Name]) -> Type {
        for field in fields {
            ty = match ty {
                Type::Any | Type::Record => Type::Any,
                Type::Axis(axis) => self.axis_field(&axis, field),
                ty => {
                    self.error(&field.span, ExprErrorKind::NoFields { path, ty });
                    return Type::Any;
                }
            };
            path = format!("{path}.{}", field.text);
        }
        ty
    }

    fn axis_field(&mut self, axis: &AxisType, field: &Name) -> Type {
        if field.text == "name" {
            return Type::Text;
        }
        if let Some(ty) = axis.fields.get(&field.text) {
            self.checked
                .axis_reads
                .insert((axis.axis.clone(), field.text.clone()));
            return ty.clone();
        }
        let known: Vec<String> = axis.fields.keys().cloned().collect();
        let kind = ExprErrorKind::UnknownField {
            axis: axis.axis.clone(),
            field: field.text.clone(),
            suggestion: suggest(&field.text, known.iter().map(String::as_str)),
            known,
        };
        self.error(&field.span, kind);
        Type::Any
    }
}

fn suggest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<String> {
    closest(name, known).map(str::to_owned)
}
