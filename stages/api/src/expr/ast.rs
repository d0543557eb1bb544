//! The syntax tree, its canonical text, and the replacement of names by values.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

use crate::value::Value;

/// An expression.
///
/// Two expressions are equal if their trees are: spans do not count. [`fmt::Display`] prints the canonical text,
/// which has no needless parentheses or spaces and parses back to an equal tree.
#[derive(Debug, Clone)]
pub struct Expr {
    /// What the expression is.
    pub kind: ExprKind,
    /// Where it stands, in bytes of the text.
    pub span: Range<usize>,
}

impl PartialEq for Expr {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

/// The kinds of expression.
#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    /// `'text'`, `1`, `0.5`, `true`, `none`; never a list or a record.
    Literal(Value),
    /// `[a, b]`.
    List(Vec<Expr>),
    /// A name with the fields asked of it: `model.role`. Never empty.
    Path(Vec<Name>),
    /// `!a` or `-a`.
    Unary(UnaryOp, Box<Expr>),
    /// `a + b`.
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    /// `f(a, b)`.
    Call(Name, Vec<Expr>),
}

/// A name in an expression.
#[derive(Debug, Clone)]
pub struct Name {
    /// The name.
    pub text: String,
    /// Where it stands, in bytes of the text.
    pub span: Range<usize>,
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// Operators with one operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnaryOp {
    /// `!`
    Not,
    /// `-`
    Negate,
}

/// Operators with two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinaryOp {
    /// `||`
    Or,
    /// `&&`
    And,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
    /// `in`
    In,
    /// `not in`
    NotIn,
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
}

/// The level of `!` and unary `-`; a binary operator's is [`BinaryOp::level`].
const UNARY_LEVEL: u8 = 6;
/// The level of what never needs parentheses.
const ATOM_LEVEL: u8 = 7;

impl BinaryOp {
    /// How tightly the operator binds; more is tighter.
    pub(super) fn level(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And => 2,
            Self::Add | Self::Subtract => 4,
            Self::Multiply | Self::Divide => 5,
            _ => 3,
        }
    }

    /// Tells whether the operator compares: such operators do not chain.
    pub(super) fn compares(self) -> bool {
        self.level() == 3
    }
}

impl fmt::Display for BinaryOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Or => "||",
            Self::And => "&&",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
            Self::In => "in",
            Self::NotIn => "not in",
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
        })
    }
}

impl Expr {
    /// Replaces the variables, with the fields asked of them, by literals; other names stay.
    ///
    /// A value of an axis becomes its name, a field that a value lacks becomes `none`, and `has(x.f)` becomes
    /// `true` or `false`. A record without a name, which no literal can express, stays.
    #[must_use]
    pub fn bind(&self, variables: &BTreeMap<String, Value>) -> Self {
        let kind = match &self.kind {
            ExprKind::Literal(_) => self.kind.clone(),
            ExprKind::List(items) => {
                ExprKind::List(items.iter().map(|item| item.bind(variables)).collect())
            }
            ExprKind::Path(path) => lookup(path, variables)
                .and_then(|value| Self::literal(value, &self.span))
                .map_or_else(|| self.kind.clone(), |literal| literal.kind),
            ExprKind::Unary(op, operand) => ExprKind::Unary(*op, Box::new(operand.bind(variables))),
            ExprKind::Binary(op, left, right) => ExprKind::Binary(
                *op,
                Box::new(left.bind(variables)),
                Box::new(right.bind(variables)),
            ),
            ExprKind::Call(name, args) => match &args[..] {
                [
                    Self {
                        kind: ExprKind::Path(path),
                        ..
                    },
                ] if name.text == "has" => lookup(path, variables).map_or_else(
                    || self.kind.clone(),
                    |value| ExprKind::Literal(Value::Bool(!value.is_none())),
                ),
                _ => ExprKind::Call(
                    name.clone(),
                    args.iter().map(|arg| arg.bind(variables)).collect(),
                ),
            },
        };
        Self {
            kind,
            span: self.span.clone(),
        }
    }

    /// Returns the first names of all paths: variables, columns and tables.
    #[must_use]
    pub fn free_names(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        self.collect_names(&mut names);
        names
    }

    fn collect_names(&self, names: &mut BTreeSet<String>) {
        match &self.kind {
            ExprKind::Literal(_) => {}
            ExprKind::Path(path) => names.extend(path.first().map(|name| name.text.clone())),
            ExprKind::Unary(_, operand) => operand.collect_names(names),
            ExprKind::Binary(_, left, right) => {
                left.collect_names(names);
                right.collect_names(names);
            }
            ExprKind::List(items) | ExprKind::Call(_, items) => {
                for item in items {
                    item.collect_names(names);
                }
            }
        }
    }

    /// Writes a value as an expression; nothing for a record without a name.
    fn literal(value: &Value, span: &Range<usize>) -> Option<Self> {
        let kind = match label(value) {
            Value::Record(_) => return None,
            Value::List(items) => ExprKind::List(
                items
                    .iter()
                    .map(|item| Self::literal(item, span))
                    .collect::<Option<_>>()?,
            ),
            scalar => ExprKind::Literal(scalar.clone()),
        };
        Some(Self {
            kind,
            span: span.clone(),
        })
    }

    fn level(&self) -> u8 {
        match &self.kind {
            ExprKind::Binary(op, ..) => op.level(),
            ExprKind::Unary(..) => UNARY_LEVEL,
            _ => ATOM_LEVEL,
        }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, parentheses: bool) -> fmt::Result {
        if parentheses {
            write!(f, "({self})")
        } else {
            write!(f, "{self}")
        }
    }
}

/// Returns what stands for a value where it is compared: the name of an axis value, else the value.
pub(super) fn label(value: &Value) -> &Value {
    match value {
        Value::Record(record) => record.get("name").unwrap_or(value),
        _ => value,
    }
}

/// Follows a path into the variables; nothing if the first name is none of them.
fn lookup<'v>(path: &[Name], variables: &'v BTreeMap<String, Value>) -> Option<&'v Value> {
    let (first, fields) = path.split_first()?;
    let value = variables.get(&first.text)?;
    Some(
        fields
            .iter()
            .fold(value, |value, field| value.field(&field.text)),
    )
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Literal(value) => write!(f, "{value}"),
            ExprKind::List(items) => {
                f.write_str("[")?;
                write_separated(f, items)?;
                f.write_str("]")
            }
            ExprKind::Path(path) => f.write_str(&path_text(path)),
            ExprKind::Unary(op, operand) => {
                f.write_str(match op {
                    UnaryOp::Not => "!",
                    UnaryOp::Negate => "-",
                })?;
                // `-5` is a literal, so the negation of the literal 5 is not written like that.
                let number = *op == UnaryOp::Negate
                    && match &operand.kind {
                        ExprKind::Literal(Value::Int(int)) => *int >= 0,
                        ExprKind::Literal(Value::Float(float)) => *float >= 0.0,
                        _ => false,
                    };
                operand.write(f, number || operand.level() < UNARY_LEVEL)
            }
            ExprKind::Binary(op, left, right) => {
                // The parser refuses `!a == b`, which people write for `!(a == b)`.
                let left_parentheses = left.level() < op.level()
                    || op.compares()
                        && (left.level() == op.level()
                            || matches!(left.kind, ExprKind::Unary(UnaryOp::Not, _)));
                left.write(f, left_parentheses)?;
                write!(f, " {op} ")?;
                right.write(f, right.level() <= op.level())
            }
            ExprKind::Call(name, args) => {
                write!(f, "{}(", name.text)?;
                write_separated(f, args)?;
                f.write_str(")")
            }
        }
    }
}

fn write_separated(f: &mut fmt::Formatter<'_>, items: &[Expr]) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}

/// Writes a path as it stands in an expression.
pub(super) fn path_text(path: &[Name]) -> String {
    let names: Vec<&str> = path.iter().map(|name| name.text.as_str()).collect();
    names.join(".")
}
