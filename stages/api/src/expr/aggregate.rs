//! Aggregates: their arguments row by row, and the statistic over them.

use std::cell::OnceCell;

use super::ast::Expr;
use super::eval_error::{EvalError, EvalErrorKind};
use super::function::Aggregate;
use super::number::Number;
use super::operator::number;
use super::program::{At, Node, Program};
use super::statistic;
use crate::value::Value;

/// A call of an aggregate, with its names resolved.
#[derive(Debug)]
pub(super) struct Aggregation<'a> {
    expr: &'a Expr,
    name: &'static str,
    aggregate: Aggregate,
    /// What has a value for each row, then what has one for all (the share of a quantile).
    args: Vec<Node<'a>>,
    filter: Option<Node<'a>>,
    /// How many rows the table has.
    rows: usize,
}

/// The arguments of an aggregate over the rows of a group.
struct Prepared {
    /// The arguments for each row that passes the filter; the second is zero where there is none.
    rows: Vec<Option<(Number, Number)>>,
    /// The share of a quantile.
    share: f64,
}

impl<'a> Aggregation<'a> {
    /// Takes the arguments of a call apart.
    pub(super) fn new(
        expr: &'a Expr,
        name: &'static str,
        aggregate: Aggregate,
        mut args: Vec<Node<'a>>,
        rows: usize,
    ) -> Self {
        let filter = if args.len() > aggregate.arguments() {
            args.pop()
        } else {
            None
        };
        Self {
            expr,
            name,
            aggregate,
            args,
            filter,
            rows,
        }
    }

    fn error(&self, kind: EvalErrorKind) -> EvalError {
        EvalError::new(&self.expr.span, kind)
    }

    /// Evaluates the arguments for each row that passes the filter.
    fn prepare(&self, rows: Option<&[usize]>) -> Result<Prepared, EvalError> {
        let rows: Result<Vec<_>, EvalError> = match rows {
            Some(rows) => rows.iter().map(|row| self.row(*row)).collect(),
            None => (0..self.rows).map(|row| self.row(row)).collect(),
        };
        Ok(Prepared {
            rows: rows?,
            share: self.share()?,
        })
    }

    fn row(&self, row: usize) -> Result<Option<(Number, Number)>, EvalError> {
        let at = At::Row(row);
        let argument = |node: &Node<'_>| {
            node.value(&at)
                .and_then(|value| number(node, &value))
                .map_err(|error| error.in_row(row))
        };
        if let Some(filter) = &self.filter
            && !filter.truth(&at).map_err(|error| error.in_row(row))?
        {
            return Ok(None);
        }
        let mut arguments = self
            .args
            .iter()
            .take(self.aggregate.columns())
            .map(argument);
        let mut next = || arguments.next().unwrap_or(Ok(Number::Int(0)));
        Ok(Some((next()?, next()?)))
    }

    fn share(&self) -> Result<f64, EvalError> {
        let Some(node) = self.args.get(self.aggregate.columns()) else {
            return Ok(0.5);
        };
        // The share has the same value in each row, so it is asked for without one.
        let none = |_| Err(node.error(EvalErrorKind::Misplaced(node.expr.to_string())));
        let share = number(node, &*node.value(&At::Whole(&none))?)?.float();
        if (0.0..=1.0).contains(&share) {
            Ok(share)
        } else {
            Err(node.error(EvalErrorKind::BadShare(share.to_string())))
        }
    }

    /// Computes the statistic over rows of the group, given by their places in it.
    fn over(
        &self,
        prepared: &Prepared,
        places: impl Iterator<Item = usize>,
    ) -> Result<Value, EvalError> {
        let (first, second): (Vec<Number>, Vec<Number>) = places
            .filter_map(|place| prepared.rows.get(place).copied().flatten())
            .unzip();
        if self.aggregate == Aggregate::Count {
            return Ok(Value::Int(i64::try_from(first.len()).unwrap_or(i64::MAX)));
        }
        let no_rows = || {
            self.error(EvalErrorKind::NoRows {
                function: self.name.to_owned(),
                filtered: self.filter.is_some() && !prepared.rows.is_empty(),
            })
        };
        if first.is_empty() {
            return Err(no_rows());
        }
        match self.aggregate {
            Aggregate::Sum => statistic::sum(&first),
            Aggregate::Min => return statistic::extreme(&first, false).ok_or_else(no_rows),
            Aggregate::Max => return statistic::extreme(&first, true).ok_or_else(no_rows),
            Aggregate::Mean => statistic::mean(&first),
            Aggregate::Geomean => statistic::geomean(&first),
            Aggregate::ByteWeighted => statistic::byte_weighted(&first, &second),
            Aggregate::Count | Aggregate::Median | Aggregate::Quantile => {
                statistic::quantile(&first, prepared.share)
            }
        }
        .map_err(|kind| self.error(kind))
    }
}

/// Some rows of a table, over which a program is evaluated: once, or again and again with rows drawn from it.
///
/// The arguments of the aggregates are evaluated once for each row, however often the rows are drawn.
pub struct Group<'p, 'a> {
    program: &'p Program<'a>,
    /// The rows, or all of them.
    rows: Option<&'p [usize]>,
    /// The arguments of each aggregate, once it was needed.
    prepared: Vec<OnceCell<Result<Prepared, EvalError>>>,
}

impl<'p, 'a> Group<'p, 'a> {
    /// Makes a group of these rows of the table, or of all rows of all tables.
    #[must_use]
    pub fn new(program: &'p Program<'a>, rows: Option<&'p [usize]>) -> Self {
        Self {
            program,
            rows,
            prepared: program
                .aggregations
                .iter()
                .map(|_| OnceCell::new())
                .collect(),
        }
    }

    /// Returns the value over the rows of the group.
    ///
    /// # Errors
    ///
    /// Fails if there is none.
    pub fn value(&self) -> Result<Value, EvalError> {
        self.value_over(None)
    }

    /// Returns the value over rows drawn from the group, given by their places in it.
    ///
    /// # Errors
    ///
    /// Fails if there is none.
    pub fn drawn(&self, places: &[usize]) -> Result<Value, EvalError> {
        self.value_over(Some(places))
    }

    fn value_over(&self, places: Option<&[usize]>) -> Result<Value, EvalError> {
        self.program.value_with(&|index| {
            let aggregation = &self.program.aggregations[index];
            let prepared = self.prepared[index]
                .get_or_init(|| aggregation.prepare(self.rows))
                .as_ref()
                .map_err(Clone::clone)?;
            match places {
                Some(places) => aggregation.over(prepared, places.iter().copied()),
                None => aggregation.over(prepared, 0..prepared.rows.len()),
            }
        })
    }
}
